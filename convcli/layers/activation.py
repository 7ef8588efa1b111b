"""Activations: steps of FILTER that training knows the derivative of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from convcli.core.activations import Activation
from convcli.core.one_sample import ActivationOp
from convcli.dataclass import dataclass
from convcli.layers.layer import StepLayer, layer
from convcli.layers.training.trained import BatchLayer, TrainedLayer, trained_form

if TYPE_CHECKING:
    from convcli.core.op import Span
    from convcli.layers.training.trained import BatchShape
    from convcli.signals import Array


@layer(
    "relu",
    "leaky_relu",
    "tanh",
    "sigmoid",
    "elu",
    "softplus",
    "gelu",
    "silu",
    "swish",
    "hardswish",
)
@dataclass(frozen=True, kw_only=True)
class ActivationLayer(StepLayer):
    """A function of every sample, with a derivative."""

    trainable: ClassVar[bool] = True


@dataclass(frozen=True)
class TrainedActivation(TrainedLayer):
    """An activation in training, with its derivative."""

    function: Activation

    pointwise = True

    @property
    def reads_its_outputs(self) -> bool:
        """Whether the derivative is computed from the values."""
        return self.function.derivative_follows

    @property
    def homogeneous(self) -> bool:
        """Whether f(c x) is c f(x) for every c > 0."""
        return self.function.homogeneous

    def needs(self, outputs: Span) -> Span:
        """Return the outputs: each reads the sample at its own place."""
        return outputs

    def for_batches(self, batch: BatchShape) -> BatchActivation:
        """Return what computes the activation for mini-batches of this shape."""
        derivatives = batch.outputs(batch.channels)
        overwrites = self.function.derivative_follows and not batch.shared
        outputs = None if overwrites else batch.outputs(batch.channels)
        return BatchActivation(self.function, derivatives, outputs)


@trained_form.register(ActivationOp)
def _trained_activation(op: ActivationOp) -> TrainedActivation:
    """How an activation is trained."""
    return TrainedActivation(op.function)


class BatchActivation(BatchLayer):
    """Computes an activation on mini-batches.

    derivatives : array for them; outputs : array for the values, None to overwrite the inputs
    """

    def __init__(self, function: Activation, derivatives: Array, outputs: Array | None) -> None:
        self.function = function
        self.derivatives = derivatives
        self.outputs = outputs
        self.kept: Any = None

    def forward(self, x: Array) -> Array:
        """Apply the function to every sample; `x` may be overwritten."""
        into = x if self.outputs is None else self.outputs
        y = self.function(x, out=into)
        self.kept = y if self.function.derivative_follows else x
        return y

    def backward(self, dy: Array) -> Array:
        """Multiply `dy` by the derivative of the function."""
        dy *= self.function.derivative(self.kept, self.derivatives)
        return dy
