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
    from convcli.array_types import Sizes
    from convcli.core.op import Span
    from convcli.layers.training.trained import BatchShape, Tensors
    from convcli.layers.transposed import PhaseWeights
    from convcli.layers.weights import Tensor
    from convcli.signals import Array


@dataclass(frozen=True, kw_only=True)
class ConvThrough(TrainedLayer):
    """A convolution that runs with weights which follow from the parameters of the layer.

    conv : the convolution that runs
    """

    conv: TrainedLayer

    @abstractmethod
    def conv_tensors(self, tensors: Tensors) -> Tensors:
        """Return weights and bias of the convolution, from the parameters of the layer."""

    def add_up(self, of_conv: Tensors, gradients: Tensors) -> None:
        """Turn derivatives by the weights and bias of `conv` into those by the parameters."""

    def needs(self, outputs: Span) -> Span:
        """Return the inputs that the convolution reads."""
        return self.conv.needs(outputs)

    def output_channels(self, channels: int) -> int:
        """Return how many channels come out of the convolution."""
        return self.conv.output_channels(channels)

    def fitted(self, outputs: Sizes, *, leads: bool) -> Self:
        """Return the layer with the convolution in its fastest form."""
        return replace(self, conv=self.conv.fitted(outputs, leads=leads))

    def rounded(self, outputs: Sizes) -> Sizes:
        """Return as many outputs as the convolution computes."""
        return self.conv.rounded(outputs)

    def for_batches(self, batch: BatchShape) -> BatchThrough:
        """Return what computes the layer for mini-batches of this shape."""
        return BatchThrough(self, self.conv.for_batches(batch))


class BatchThrough(BatchLayer):
    """Computes a convolution whose weights follow from the parameters of its layer."""

    def __init__(self, layer: ConvThrough, conv: BatchLayer) -> None:
        self.layer = layer
        self.conv = conv
        self.of_conv = {each.name: np.zeros(each.shape) for each in layer.conv.learned}

    def load(self, tensors: Tensors) -> None:
        """Give the convolution its weights."""
        self.conv.load(self.layer.conv_tensors(tensors))

    def forward(self, x: Array) -> Array:
        """Return the outputs of the convolution."""
        return self.conv.forward(x)

    def backward(self, dy: Array) -> Array | None:
        """Return the derivatives by the inputs of the convolution."""
        return self.conv.backward(dy)

    def learn(self, dy: Array, gradients: Tensors) -> None:
        """Write the derivatives by the parameters of the layer."""
        if gradients:
            self.conv.learn(dy, self.of_conv)
            self.layer.add_up(self.of_conv, gradients)


@dataclass(frozen=True, kw_only=True)
class TiedConv(TrainedWeights, ConvThrough):
    """A transposed convolution in training: a convolution with its phases as channels.

    shape : of the weights in the model file, (in, out / groups, k...)
    bias : how many constants are learned, 0 without a bias
    phases : which weight of the convolution is which one of the layer
    """

    shape: Sizes
    bias: int
    phases: PhaseWeights

    @property
    def weight_shape(self) -> Sizes:
        """The shape of the weights: (in, out / groups, taps of each axis...)."""
        return self.shape

    @property
    def bias_count(self) -> int:
        """One constant for each output, or none."""
        return self.bias

    def conv_tensors(self, tensors: Tensors) -> Tensors:
        """The weights of all phases; each phase of an output has the bias of the output."""
        found = {"weight": self.phases.scattered(tensors["weight"])}
        if self.bias:
            found["bias"] = np.repeat(tensors["bias"], self.phases.count)
        return found

    def add_up(self, of_conv: Tensors, gradients: Tensors) -> None:
        """Collect the derivatives by the weights of all phases, and add up those by the biases."""
        gradients["weight"][...] = self.phases.gathered(of_conv["weight"], self.shape)
        if self.bias:
            by_phase = of_conv["bias"].reshape(self.bias, self.phases.count)
            gradients["bias"][...] = by_phase.sum(axis=1)


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

    def conv_tensors(self, tensors: Tensors) -> Tensors:
        """Return the constant weights, which no training changes."""
        return {"weight": self.weights}
