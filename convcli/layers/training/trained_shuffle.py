"""Training of layers that turn channels into samples and back, or repeat samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.layers.phases import interleaved_phases, split_phases
from convcli.layers.training.trained import BatchLayer, TrainedLayer

if TYPE_CHECKING:
    from convcli.array_types import Sizes
    from convcli.core.op import Span
    from convcli.layers.training.trained import BatchShape
    from convcli.signals import Array


@dataclass(frozen=True)
class _Upsampling(TrainedLayer):
    """A layer that makes `factors` samples of each one, on each axis."""

    factors: Sizes

    homogeneous = True

    def needs(self, outputs: Span) -> Span:
        """Return the inputs that the outputs are phases of."""
        found = []
        for (low, high), factor in zip(outputs, self.factors, strict=True):
            found.append((low // factor, -(-high // factor)))
        return tuple(found)

    @property
    def pace(self) -> tuple[tuple[int, int], ...]:
        """Return the factor of each axis: outputs for one input."""
        return tuple((1, factor) for factor in self.factors)


class TrainedInterleaving(_Upsampling):
    """Channels that become samples: pixel_shuffle."""

    def output_channels(self, channels: int) -> int:
        """Return how many channels have all phases."""
        return channels // math.prod(self.factors)

    def for_batches(self, batch: BatchShape) -> BatchInterleaving:
        """Return what computes the layer for mini-batches of this shape."""
        return BatchInterleaving(self.factors, batch)


class TrainedRepetition(_Upsampling):
    """Samples that are repeated: the upsampling by the nearest one."""

    def for_batches(self, batch: BatchShape) -> BatchRepetition:
        """Return what computes the layer for mini-batches of this shape."""
        return BatchRepetition(self.factors, batch)


class _WholeCells:
    """The outputs of an upsampling layer within those of all its inputs.

    wanted : where they are, in an array (batch, samples..., channels)
    """

    def __init__(self, factors: Sizes, batch: BatchShape, channels: int) -> None:
        sides = [n * factor for n, factor in zip(batch.given, factors, strict=True)]
        self.dy = np.zeros((batch.size, *sides, channels), batch.dtype)
        places = []
        for first, count, factor in zip(batch.first, batch.made, factors, strict=True):
            phase = first % factor
            places.append(slice(phase, phase + count))
        self.wanted = (slice(None), *places)

    def padded(self, dy: Array) -> Array:
        """The gradient of all outputs, which is 0 outside of those that are wanted."""
        self.dy[self.wanted] = dy
        return self.dy


class BatchInterleaving(BatchLayer):
    """Computes `TrainedInterleaving` on mini-batches."""

    def __init__(self, factors: Sizes, batch: BatchShape) -> None:
        self.factors = factors
        self.cells = _WholeCells(factors, batch, batch.channels // math.prod(factors))

    def forward(self, x: Array) -> Array:
        """Interleave the phases of all channels."""
        return interleaved_phases(x, self.factors)[self.cells.wanted]

    def backward(self, dy: Array) -> Array:
        """Split the derivatives into phases."""
        return split_phases(self.cells.padded(dy), self.factors)


class BatchRepetition(BatchLayer):
    """Computes `TrainedRepetition` on mini-batches."""

    def __init__(self, factors: Sizes, batch: BatchShape) -> None:
        self.factors = factors
        self.cells = _WholeCells(factors, batch, batch.channels)

    def forward(self, x: Array) -> Array:
        """Repeat along one axis after the other."""
        for axis, factor in enumerate(self.factors, start=1):
            x = np.repeat(x, factor, axis=axis)
        return x[self.cells.wanted]

    def backward(self, dy: Array) -> Array:
        """Add up the gradients of all copies of a sample."""
        phases = split_phases(self.cells.padded(dy), self.factors)
        each = phases.reshape(*phases.shape[:-1], -1, math.prod(self.factors))
        return np.ascontiguousarray(each.sum(axis=-1))


@dataclass(frozen=True)
class TrainedSplitting(TrainedLayer):
    """Neighbouring samples that become channels: pixel_unshuffle.

    factors : this many samples on each axis become one
    """

    factors: Sizes

    homogeneous = True

    def needs(self, outputs: Span) -> Span:
        """Return the samples that become one."""
        sides = zip(outputs, self.factors, strict=True)
        return tuple((low * factor, high * factor) for (low, high), factor in sides)

    @property
    def pace(self) -> tuple[tuple[int, int], ...]:
        """Return the factor of each axis: inputs for one output."""
        return tuple((factor, 1) for factor in self.factors)

    def output_channels(self, channels: int) -> int:
        """Return how many channels the phases are."""
        return channels * math.prod(self.factors)

    def for_batches(self, batch: BatchShape) -> BatchSplitting:
        """Return what computes the layer for mini-batches of this shape."""
        return BatchSplitting(self.factors, batch)


class BatchSplitting(BatchLayer):
    """Computes `TrainedSplitting` on mini-batches."""

    def __init__(self, factors: Sizes, batch: BatchShape) -> None:
        self.factors = factors
        self.dx = batch.inputs()
        sides = zip(batch.made, factors, strict=True)
        # The layer before may make more than is read.
        self.read = (slice(None), *(slice(0, n * factor) for n, factor in sides))

    def forward(self, x: Array) -> Array:
        """Put the phases side by side."""
        return split_phases(x[self.read], self.factors)

    def backward(self, dy: Array) -> Array:
        """Interleave the derivatives of all phases."""
        self.dx[self.read] = interleaved_phases(dy, self.factors)
        return self.dx
