"""Convolutions in training whose weights are made of other numbers, or never change.

A transposed convolution runs as a convolution with an output channel for each phase. Each of its
weights is one learned number or 0, and its bias repeats one number for all phases. The weights of
an interpolation are constant.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np

from convcli.dataclass import dataclass
from convcli.layers.training.trained import BatchLayer, TrainedLayer, TrainedWeights

if TYPE_CHECKING:
    from convcli.array_types import IntArray, Sizes
    from convcli.core.op import Span
    from convcli.layers.conv import BatchConv, TrainedConv
    from convcli.layers.training.trained import BatchShape, Vector
    from convcli.layers.weights import Tensor
    from convcli.signals import Array


@dataclass(frozen=True, kw_only=True)
class ConvThrough(TrainedLayer):
    """A convolution that runs with weights which follow from the parameters of the layer.

    conv : the convolution that runs
    """

    conv: TrainedConv

    @abstractmethod
    def conv_numbers(self, numbers: Vector) -> Vector:
        """Return weights and bias of the convolution, from the parameters of the layer."""

    def add_up(self, slopes: Vector, gradient: Vector) -> None:
        """Turn derivatives by the weights and bias of `conv` into those by the parameters."""

    def needs(self, outputs: Span) -> Span:
        """Return the inputs that the convolution reads."""
        return self.conv.needs(outputs)

    def output_channels(self, channels: int) -> int:
        """Return how many channels come out of the convolution."""
        return self.conv.outputs

    def fitted(self, outputs: Sizes, *, leads: bool) -> Self:
        """Return the layer with the convolution in its fastest form."""
        return replace(self, conv=self.conv.fitted(outputs, leads=leads))

    def rounded(self, outputs: Sizes) -> Sizes:
        """Return as many outputs as the convolution computes."""
        return self.conv.rounded(outputs)

    def at_work(self, batch: BatchShape) -> BatchThrough:
        """Return the layer at work on mini-batches."""
        return BatchThrough(self, self.conv.at_work(batch))


class BatchThrough(BatchLayer):
    """A convolution at work whose weights follow from the parameters of its layer."""

    def __init__(self, layer: ConvThrough, conv: BatchConv) -> None:
        self.layer = layer
        self.conv = conv
        self.slopes = np.zeros(layer.conv.parameters)

    def load(self, numbers: Vector) -> None:
        """Give the convolution its weights."""
        self.conv.load(self.layer.conv_numbers(numbers))

    def forward(self, x: Array) -> Array:
        """Return the outputs of the convolution."""
        return self.conv.forward(x)

    def backward(self, dy: Array) -> Array | None:
        """Return the derivatives by the inputs of the convolution."""
        return self.conv.backward(dy)

    def learn(self, dy: Array, gradient: Vector) -> None:
        """Write the derivatives by the parameters of the layer."""
        if not gradient.size:
            return
        self.conv.learn(dy, self.slopes)
        self.layer.add_up(self.slopes, gradient)


@dataclass(frozen=True, kw_only=True)
class TiedConv(TrainedWeights, ConvThrough):
    """A transposed convolution in training: a convolution with its phases as channels.

    shape : of the weights in the model file, (in, out / groups, k...)
    bias : how many constants are learned, 0 without a bias
    sources : for each number of the convolution the number of the parameter that it equals, counted
        from 1; 0 where it stays 0
    """

    shape: Sizes
    bias: int
    sources: IntArray

    @property
    def weight_shape(self) -> Sizes:
        """(in, out / groups, k...)."""
        return self.shape

    @property
    def bias_count(self) -> int:
        """One constant for each output, or none."""
        return self.bias

    def conv_numbers(self, numbers: Vector) -> Vector:
        """Set each number of the convolution to the parameter that it equals, or to 0."""
        with_zero = np.concatenate([np.zeros(1), numbers])
        return with_zero[self.sources]

    def add_up(self, slopes: Vector, gradient: Vector) -> None:
        """Add up the derivatives by all numbers that equal a parameter."""
        sums = np.bincount(self.sources, slopes, len(gradient) + 1)
        gradient[...] = sums[1:]


@dataclass(frozen=True, kw_only=True)
class ConstantConv(ConvThrough):
    """A convolution that is not learned, such as an interpolation.

    weights : (out, in / groups, k...); it has no bias
    """

    weights: Tensor

    @property
    def homogeneous(self) -> bool:
        """A convolution without a bias is homogeneous."""
        return True

    def conv_numbers(self, numbers: Vector) -> Vector:
        """The constant weights."""
        return self.weights.ravel()
