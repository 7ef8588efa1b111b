"""What training needs of a layer.

The geometry of its windows, and the layer at work on a mini-batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from convcli.signals import Array

Vector = npt.NDArray[np.float64]
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class BatchShape:
    """The shape of the arrays that go through a layer in training.

    `size` windows of floats of one type.

    given, made : samples of a window on each axis that the layer gets and makes; channels : that it
        gets
    leads : no layer before this one learns, so that the derivatives by its inputs are not needed
    shared : the layer before reads its outputs again in `backward`, so that they must stay as they
        are
    """

    size: int
    given: Sizes
    made: Sizes
    channels: int
    dtype: Any
    leads: bool
    shared: bool

    def inputs(self) -> Array:
        """A new array for the inputs of the layer, all 0."""
        return np.zeros((self.size, *self.given, self.channels), self.dtype)


class BatchLayer(ABC):
    """A layer at work on mini-batches of one size.

    It keeps what its derivative needs in arrays that it made once.
    """

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Return the outputs, (batch, samples..., channels).

        `x` may be overwritten unless the layer before shares it (`BatchShape.shared`).
        """

    @abstractmethod
    def backward(self, dy: Array) -> Array | None:
        """Return the derivatives of the loss by the inputs, from those by the outputs.

        `dy` may be overwritten.

        None where nobody needs them.
        """

    def load(self, numbers: Vector) -> None:
        """Take new weights, (parameters,). A layer without weights ignores them."""

    def learn(self, dy: Array, gradient: Vector) -> None:
        """Write the derivatives of the loss by the weights to `gradient`; `dy` : by the outputs."""


class TrainedLayer(ABC):
    """A layer as training sees it. Windows lie inside the signal, where no layer pads."""

    # Whether an output reads one sample, its own.
    pointwise: ClassVar[bool] = False
    # Whether its derivative reads its outputs, which nobody may overwrite before that.
    reads_its_outputs: ClassVar[bool] = False

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        return 0

    @abstractmethod
    def reads(self, outputs: Sizes) -> Sizes:
        """Return how many inputs so many outputs read, on each axis."""

    @abstractmethod
    def first(self, output: Sizes) -> Sizes:
        """Return the first input that an output reads, on each axis.

        The index is absolute, as those of a Reach.
        """

    @abstractmethod
    def at_work(self, batch: BatchShape) -> BatchLayer:
        """Return the layer at work on mini-batches."""

    def output_channels(self, channels: int) -> int:
        """Return how many channels come out of `channels`."""
        return channels

    @property
    def side_by_side_sums(self) -> tuple[Sizes, float] | None:
        """Size and factor of sums over windows that lie side by side; None of any other layer."""
        return None

    def absorbing(self, previous: TrainedLayer) -> TrainedLayer | None:
        """Return one layer that computes `previous` and this one; None where there is none."""
        return None

    def fitted(self, outputs: Sizes, *, leads: bool) -> Self:
        """Return the layer in the form that computes so many outputs fastest."""
        return self

    def rounded(self, outputs: Sizes) -> Sizes:
        """Return how many outputs are computed where at least `outputs` are wanted."""
        return outputs
