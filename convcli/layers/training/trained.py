"""What training needs of a layer: its windows, its parameters, its gradients on mini-batches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import singledispatch
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from convcli.array_types import FloatArray
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import Sizes
    from convcli.core.op import Op, Span
    from convcli.signals import Array

Vector = FloatArray
# The parameters of a layer, or the derivatives with respect to them, by name: views that are
# changed in place.
Tensors = Mapping[str, Vector]


@dataclass(frozen=True, kw_only=True)
class LearnedTensor:
    """A tensor that training changes.

    name : in the model file, behind the number of its layer; shape : there
    decays : whether a decay of the weights makes it smaller
    """

    name: str
    shape: Sizes
    decays: bool

    @property
    def size(self) -> int:
        """Count the numbers of the tensor."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """The shape of the arrays that go through a layer in training.

    `size` windows of floats of one type.

    given, made : samples of a window on each axis that the layer gets and makes; channels : that it
        gets
    first : the number of the first sample that it makes, counted from a beginning of its pattern
    learns_first : no layer before this one learns, so that the derivatives with respect to its
        inputs are not needed
    shared : the layer before reads its outputs again in `backward`, so that they must stay as they
        are
    """

    size: int
    given: Sizes
    made: Sizes
    channels: int
    dtype: Any
    first: Sizes = ()
    learns_first: bool = False
    shared: bool = False

    def inputs(self) -> Array:
        """A new array for the inputs of the layer, all 0."""
        return np.zeros((self.size, *self.given, self.channels), self.dtype)

    def outputs(self, channels: int) -> Array:
        """A new array for the outputs of the layer, which has `channels` of them; not filled."""
        return np.empty((self.size, *self.made, channels), self.dtype)


class BatchLayer(ABC):
    """Computes a layer and its derivatives on mini-batches of one size.

    Arrays are made once; `forward` keeps in them what `backward` needs.
    """

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Return the outputs, (batch, samples..., channels).

        `x` may be overwritten unless the layer before shares it (`BatchShape.shared`).
        """

    @abstractmethod
    def backward(self, dy: Array) -> Array | None:
        """Return the gradient of the loss with respect to the inputs, from that of the outputs.

        `dy` may be overwritten.

        None if no layer before this one learns.
        """

    def load(self, tensors: Tensors) -> None:
        """Take new parameters, by name. A layer without any ignores them."""

    def learn(self, dy: Array, gradients: Tensors) -> None:
        """Write the gradient with respect to the parameters into `gradients`, by name.

        dy : the gradient with respect to the outputs
        """


class TrainedLayer(ABC):
    """A layer in training. Windows lie inside the signal, where no layer pads.

    Samples are counted on each axis as by a Reach: output k of a layer with a stride reads from the
    input k * stride - before on.
    """

    # --- geometry ---

    @property
    def pointwise(self) -> bool:
        """Whether there is an output for each input, whatever the length."""
        return False

    @abstractmethod
    def needs(self, outputs: Span) -> Span:
        """Return the inputs [low, high) that the outputs [low, high) read, on each axis."""

    def from_the_start(self) -> Self:
        """Return the layer with windows the first of which begins at input 0."""
        return self

    @property
    def pace(self) -> tuple[tuple[int, int], ...] | None:
        """The ratio (inputs, outputs) along each axis; None for one output for each input."""
        return None

    def output_channels(self, channels: int) -> int:
        """Return how many channels come out of `channels`."""
        return channels

    # --- what is learned ---

    @property
    def learned(self) -> tuple[LearnedTensor, ...]:
        """The tensors that training changes."""
        return ()

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.size for parameter in self.learned)

    def started(self, random: np.random.Generator) -> Tensors:
        """Initial values of the parameters, by name."""
        return {}

    def frozen(self) -> TrainedLayer:
        """Return the layer with weights that training does not change."""
        return self

    # --- what a change of units does to it ---

    @property
    def homogeneous(self) -> bool:
        """Whether inputs times a factor above 0 give outputs times that factor."""
        return False

    @property
    def takes_units(self) -> bool:
        """Whether its weights can take up a unit of its inputs, and one of its outputs."""
        return False

    def take_input_unit(self, tensors: Tensors, unit: float) -> None:
        """Change weights, in place, so that they read samples that are not divided by `unit`."""

    def take_output_unit(self, tensors: Tensors, unit: float) -> None:
        """Change weights, in place, so that their outputs are multiplied by `unit`."""

    # --- a blind network ---

    def own_tap(self, before: Sizes) -> Sizes | None:
        """The tap that reads the sample `before` samples after the first one of a window.

        None if no tap does.
        """
        return None

    def weights_of_tap(self, tensors: Tensors, tap: Sizes) -> Vector:
        """A view of the weights of a tap, of all inputs and outputs, in `tensors`.

        Raises ValueError for a layer that has no taps; `own_tap` returns None for such a layer.
        """
        raise ValueError(f"{type(self).__name__} has no taps")

    # --- on mini-batches ---

    @property
    def reads_its_outputs(self) -> bool:
        """Whether `backward` reads the outputs, which must not be overwritten before."""
        return False

    @abstractmethod
    def for_batches(self, batch: BatchShape) -> BatchLayer:
        """Return what computes the layer for mini-batches of this shape."""

    @property
    def side_by_side_sums(self) -> tuple[Sizes, float] | None:
        """Size and factor of sums over windows that lie side by side; None of any other layer."""
        return None

    def absorbing(self, previous: TrainedLayer) -> TrainedLayer | None:
        """Return one layer that computes `previous` and this one; None where there is none."""
        return None

    def fitted(self, outputs: Sizes, *, learns_first: bool) -> Self:
        """Return the layer in the form that computes windows with these outputs fastest."""
        return self

    def rounded(self, outputs: Sizes) -> Sizes:
        """Return how many outputs are computed where at least `outputs` are wanted."""
        return outputs


class TrainedWeights(TrainedLayer):
    """A layer with the parameters `weight` and `bias`, a constant for each output; or no bias."""

    takes_units = True

    @property
    @abstractmethod
    def weight_shape(self) -> Sizes:
        """The shape of the weights in a model file; an output sums over all but the first axis."""

    @property
    @abstractmethod
    def bias_count(self) -> int:
        """How many constants are learned, 0 without a bias."""

    @property
    def learned(self) -> tuple[LearnedTensor, ...]:
        """The weights, and the bias if there is one, which does not decay."""
        weight = LearnedTensor(name="weight", shape=self.weight_shape, decays=True)
        if not self.bias_count:
            return (weight,)
        bias = LearnedTensor(name="bias", shape=(self.bias_count,), decays=False)
        return weight, bias

    def started(self, random: np.random.Generator) -> Tensors:
        """Uniform numbers in +-1 / sqrt(inputs to an output), as in torch (He et al. 2015)."""
        bound = 1 / math.sqrt(math.prod(self.weight_shape[1:]))
        found = {}
        for parameter in self.learned:
            found[parameter.name] = random.uniform(-bound, bound, parameter.shape)
        return found

    def take_input_unit(self, tensors: Tensors, unit: float) -> None:
        """Divide the weights by the unit of the inputs."""
        np.divide(tensors["weight"], unit, out=tensors["weight"])

    def take_output_unit(self, tensors: Tensors, unit: float) -> None:
        """Multiply weights and bias by the unit of the outputs."""
        for tensor in tensors.values():
            np.multiply(tensor, unit, out=tensor)


def inputs_of_windows(outputs: Span, *, step: Sizes, before: Sizes, widths: Sizes) -> Span:
    """The inputs [low, high) of the windows of outputs [low, high), on each axis.

    The window of output k begins at the input k * step - before.
    """
    found = []
    for axis, (low, high) in enumerate(outputs):
        first = low * step[axis] - before[axis]
        last = (high - 1) * step[axis] - before[axis]
        found.append((first, last + widths[axis]))
    return tuple(found)


def span_lengths(span: Span) -> Sizes:
    """How many samples lie in [low, high), on each axis."""
    return tuple(high - low for low, high in span)


@singledispatch
def trained_form(op: Op) -> TrainedLayer | None:
    """How an operation that a layer became is trained; None where it has no part in that.

    The module of each kind of operation registers what it is. NotImplementedError for a kind that
    is not registered: a network with it cannot be trained.
    """
    raise NotImplementedError(type(op).__name__)
