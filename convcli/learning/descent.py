"""Going down a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.layers.trained import Vector


class Adam:
    """Steps down a gradient, each weight at its own pace.

    Adam (Kingma & Ba 2015), with the decay of the weights apart from the gradient (AdamW; Loshchilov & Hutter 2019).
    """

    def __init__(self, size: int, *, rate: float, decay: float, eps: float = 1e-8) -> None:
        self.rate, self.decay, self.eps = rate, decay, eps
        self.mean, self.square = np.zeros(size), np.zeros(size)
        self.count = 0

    def step(self, numbers: Vector, gradient: Vector, decays: Sequence[bool] | Vector) -> None:
        """Change `numbers` in place; `decays` is 1 for those that decay (weights), 0 for others (biases)."""
        with np.errstate(over="ignore", invalid="ignore"):  # what diverges is seen by its loss
            self._step(numbers, gradient, decays)

    def _step(self, numbers: Vector, gradient: Vector, decays: Sequence[bool] | Vector) -> None:
        self.count += 1
        numbers -= self.rate * self.decay * np.asarray(decays) * numbers
        self.mean += (1 - 0.9) * (gradient - self.mean)
        self.square += (1 - 0.999) * (gradient * gradient - self.square)
        mean, square = self.mean / (1 - 0.9**self.count), self.square / (1 - 0.999**self.count)
        numbers -= self.rate * mean / (np.sqrt(square) + self.eps)
