"""Adam, the optimizer of the trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convcli.layers.training.trained import Vector

# Decay of the running means of the gradient and of its square, and the term that avoids 0 / 0.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Gradient descent with a step size for every weight.

    Adam (Kingma & Ba 2015) with weight decay apart from the gradient (AdamW: Loshchilov & Hutter
    2019). `decays` is 1 for parameters that decay (weights) and 0 for others (biases).
    """

    def __init__(self, decays: Vector, *, learning_rate: float, weight_decay: float) -> None:
        self.decays = decays
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.mean = np.zeros(len(decays))
        self.square = np.zeros(len(decays))
        self.steps = 0

    def step(self, parameters: Vector, gradient: Vector) -> None:
        """Change `parameters` in place."""
        self.steps += 1
        with np.errstate(over="ignore", invalid="ignore"):  # the loss shows a divergence
            parameters -= self.learning_rate * self.weight_decay * self.decays * parameters
            self.mean += (1 - BETA_1) * (gradient - self.mean)
            self.square += (1 - BETA_2) * (gradient * gradient - self.square)
            mean = self.mean / (1 - BETA_1**self.steps)
            square = self.square / (1 - BETA_2**self.steps)
            parameters -= self.learning_rate * mean / (np.sqrt(square) + EPSILON)
