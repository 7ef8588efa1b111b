"""Activations: steps of FILTER that training knows the derivative of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convcli.core.activations import Activation
from convcli.core.ops import Pointwise
from convcli.layers.layer import StepLayer, layer
from convcli.layers.trained import BatchLayer, TrainedLayer

if TYPE_CHECKING:
    from convcli.core.ops import Op
    from convcli.layers.trained import BatchShape, Sizes
    from convcli.signals import Array


@layer("relu", "leaky_relu", "tanh", "sigmoid", "elu", "softplus")
@dataclass(frozen=True, kw_only=True)
class ActivationLayer(StepLayer):
    """A function of every sample whose derivative follows from its value."""

    trainable: ClassVar[bool] = True

    def trained(self, op: Op) -> TrainedActivation | None:
        """How the activation is trained.

        RequestError where its derivative does not follow from its value.
        """
        if not isinstance(op, Pointwise) or not isinstance(op.function, Activation):
            return None
        if not op.function.derivative_follows:
            raise self.call.error(
                "a slope below 0 cannot be trained", hint="leaky_relu:0.1 or elu:1"
            )
        return TrainedActivation(op.function)


@dataclass(frozen=True)
class TrainedActivation(TrainedLayer):
    """An activation as training sees it."""

    function: Activation

    pointwise: ClassVar[bool] = True
    reads_its_outputs: ClassVar[bool] = True

    def reads(self, outputs: Sizes) -> Sizes:
        """Return the number of outputs."""
        return outputs

    def first(self, output: Sizes) -> Sizes:
        """Return the output: it reads the sample at its own place."""
        return output

    def at_work(self, batch: BatchShape) -> BatchActivation:
        """Return the activation at work on mini-batches."""
        shape = (batch.size, *batch.made, batch.channels)
        slopes = np.empty(shape, batch.dtype)
        outputs = np.empty(shape, batch.dtype) if batch.shared else None
        return BatchActivation(self.function, slopes, outputs)


class BatchActivation(BatchLayer):
    """An activation at work.

    slopes : room for its derivatives; outputs : room for its values, None to overwrite its inputs
    """

    def __init__(self, function: Activation, slopes: Array, outputs: Array | None) -> None:
        self.function = function
        self.slopes = slopes
        self.outputs = outputs
        self.y: Any = None

    def forward(self, x: Array) -> Array:
        """Apply the function to every sample; `x` may be overwritten."""
        into = x if self.outputs is None else self.outputs
        y = self.function(x, out=into)
        self.y = y
        return y

    def backward(self, dy: Array) -> Array:
        """Multiply `dy` by the derivative of the function."""
        dy *= self.function.derivative(self.y, self.slopes)
        return dy
