"""How a convolution is trained: the shapes of its windows, and its gradients on mini-batches.

The products are those of banded matrices (`bands.py`).

Some weights are made of other numbers, or never change: a transposed convolution runs as a
convolution with an output channel for each phase. Each of its weights is one learned number or 0,
and its bias repeats one number for all phases. The weights of an interpolation are constant.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from convcli.dataclass import dataclass
from convcli.layers.bands import Band, channels_of_group
from convcli.layers.training.trained import (
    BatchLayer,
    TrainedLayer,
    TrainedWeights,
    inputs_of_windows,
)

if TYPE_CHECKING:
    from convcli.array_types import Sizes
    from convcli.core.op import Span
    from convcli.layers.conv_op import ConvOp
    from convcli.layers.training.trained import BatchShape, Tensors, Vector
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
        """Turn the gradient of the weights and bias of `conv` into that of the parameters."""

    def needs(self, outputs: Span) -> Span:
        """Return the inputs that the convolution reads."""
        return self.conv.needs(outputs)

    def output_channels(self, channels: int) -> int:
        """Return how many channels come out of the convolution."""
        return self.conv.output_channels(channels)

    def fitted(self, outputs: Sizes, *, learns_first: bool) -> Self:
        """Return the layer with the convolution in its fastest form."""
        return replace(self, conv=self.conv.fitted(outputs, learns_first=learns_first))

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
        """Return the gradient with respect to the inputs of the convolution."""
        return self.conv.backward(dy)

    def learn(self, dy: Array, gradients: Tensors) -> None:
        """Write the gradient with respect to the parameters of the layer."""
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
        """Gather the gradient of the weights of all phases, and add up that of the biases."""
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


@dataclass(frozen=True, kw_only=True)
class TrainedConv(TrainedWeights):
    """A convolution layer in training, with the pool before it that it has taken in.

    op : the layer as it runs; its weights give the shape alone
    pool : size of the windows whose sums the taps weigh instead of single inputs; () without a pool
    scale : factor of these sums
    count : outputs along the last axis that are computed at once (`Band`)
    """

    op: ConvOp
    pool: Sizes = ()
    scale: float = 1.0
    count: int = 1

    @property
    def outputs(self) -> int:
        """How many channels the layer makes."""
        return len(self.op.weights)

    @property
    def weight_shape(self) -> Sizes:
        """Shape of the weights, (out, in / groups, k...)."""
        return self.op.weights.shape

    @property
    def bias_count(self) -> int:
        """One constant for each output, or none."""
        return 0 if self.op.bias is None else self.outputs

    def frozen(self) -> ConstantConv:
        """Return the convolution with its weights as they are."""
        return ConstantConv(conv=self, weights=self.op.weights)

    def own_tap(self, before: Sizes) -> Sizes | None:
        """The tap that reads the sample `before` samples after the first of the window."""
        taps = []
        sizes = self.op.weights.shape[2:]
        for place, dilation, size in zip(before, self.op.dilation, sizes, strict=True):
            tap, between = divmod(place, dilation)
            if between or not 0 <= tap < size:
                return None
            taps.append(tap)
        return tuple(taps)

    def weights_of_tap(self, tensors: Tensors, tap: Sizes) -> Vector:
        """A view of the weights of one tap, of all inputs and outputs."""
        where: Any = (slice(None), slice(None), *tap)
        weights: Vector = tensors["weight"][where]
        return weights

    @cached_property
    def band(self) -> Band:
        """The geometry of one group of channels."""
        op = self.op
        band = Band.of_weights(op.weights, step=op.step, dilation=op.dilation, groups=op.groups)
        return replace(band, pool=self.pool or band.pool, count=self.count)

    def needs(self, outputs: Span) -> Span:
        """Return the inputs that the outputs read, through the pool if there is one."""
        band = self.band
        before = tuple(n * pool for n, pool in zip(self.op.at.before, band.pool, strict=True))
        return inputs_of_windows(outputs, step=band.steps, before=before, widths=band.widths)

    @property
    def pace(self) -> tuple[tuple[int, int], ...]:
        """Return the stride of each axis, for one output."""
        return tuple((step, 1) for step in self.band.steps)

    def output_channels(self, channels: int) -> int:
        """Return how many channels come out."""
        return self.outputs

    def absorbing(self, previous: TrainedLayer) -> TrainedConv | None:
        """Return the layer with the mean or sum before it: each tap weighs a whole window."""
        sums = previous.side_by_side_sums
        if sums is None:
            return None
        pool, scale = sums
        return replace(self, pool=pool, scale=scale)

    def fitted(self, outputs: Sizes, *, learns_first: bool) -> Self:
        """Return the layer with the fastest number of outputs at once."""
        # Without strides another band computes the gradient with respect to the inputs.
        alone = learns_first or not self.band.strides
        return replace(self, count=self.band.fastest(outputs, learns_first=alone).count)

    def rounded(self, outputs: Sizes) -> Sizes:
        """Return the outputs, along the last axis a multiple of those that are computed at once."""
        rows = -(-outputs[-1] // self.count)
        return (*outputs[:-1], rows * self.count)

    def for_batches(self, batch: BatchShape) -> BatchConv:
        """Return what computes the layer for mini-batches of this shape."""
        return BatchConv(self, batch)


@dataclass(frozen=True, eq=False)
class _BandProduct:
    """The product of gathered rows and a banded matrix, for one group of channels.

    rows : (count, taps), with a last column of ones where a bias is added
    matrix : (taps, outputs at once), with a last row for the bias
    weights : a view of the entries of the matrix that are weights (`Band.bands`)
    """

    rows: Array
    matrix: Array
    weights: Array

    @classmethod
    def of(cls, band: Band, rows: Array) -> _BandProduct:
        """The product with these rows, and weights of 0."""
        matrix = np.zeros((rows.shape[1], band.count * band.outputs), rows.dtype)
        return cls(rows, matrix, band.bands(matrix))


class BatchConv(BatchLayer):
    """Computes a convolution and its gradients on mini-batches.

    Each group of channels is one product of gathered rows and a banded matrix (`Band`).
    """

    def __init__(self, layer: TrainedConv, batch: BatchShape) -> None:
        self.layer = layer
        self.band = band = layer.band
        self.groups = layer.op.groups
        self.made = batch.made
        count = batch.size * math.prod(batch.made) // band.count
        # A column of ones carries the bias through the product.
        taps = band.taps + (layer.bias_count > 0)
        self.products = []
        for _ in range(self.groups):
            rows = np.ones((count, taps), batch.dtype)
            self.products.append(_BandProduct.of(band, rows))
        self.gradient = np.empty_like(self.products[0].matrix)
        self.gradient_bands = band.bands(self.gradient)
        self.y = batch.outputs(layer.outputs)
        if self.groups == 1:
            self.product = self.y.reshape(count, -1)
        else:
            self.product = np.empty((count, self.gradient.shape[1]), batch.dtype)
        self.x: Array | None = None
        self.copies: list[tuple[Array, Array]] = []
        self.back: _MirroredConv | _ScatteredRows | None = None
        if not batch.learns_first:
            kind = _ScatteredRows if band.strides else _MirroredConv
            self.back = kind(self, batch)

    def inputs_of(self, x: Array, group: int) -> Array:
        """The input channels of one group."""
        return x[..., channels_of_group(group, self.band.inputs)]

    def outputs_of(self, y: Array, group: int) -> Array:
        """The output channels of one group."""
        return y[..., channels_of_group(group, self.band.outputs)]

    def load(self, tensors: Tensors) -> None:
        """Fill the matrices with new weights."""
        bias = tensors.get("bias")
        scaled = tensors["weight"] * self.layer.scale
        for group, part in enumerate(np.split(scaled, self.groups)):
            product = self.products[group]
            product.weights[...] = self.band.laid_out(part)
            if self.back is not None:
                self.back.load(group, part)
            if bias is not None:
                last_row = product.matrix[-1].reshape(self.band.count, -1)
                last_row[...] = self.outputs_of(bias, group)

    def forward(self, x: Array) -> Array:
        """Return the outputs, in an array that is used again."""
        if x is not self.x:
            self.x = x
            self.copies = [
                self.band.copies(self.inputs_of(x, group), self.made, product.rows)
                for group, product in enumerate(self.products)
            ]
        for group, (windows, place) in enumerate(self.copies):
            np.copyto(place, windows)
            product = self.products[group]
            np.matmul(product.rows, product.matrix, out=self.product)
            if self.groups > 1:
                part = self.outputs_of(self.y, group)
                part[...] = self.product.reshape(part.shape)
        return self.y

    def backward(self, dy: Array) -> Array | None:
        """Return the gradient of the inputs; None if no layer before this one learns."""
        return None if self.back is None else self.back(dy)

    def rows_of(self, dy: Array, group: int) -> Array:
        """One group of `dy`, a row for each row of the product."""
        if self.groups == 1:
            return dy.reshape(self.product.shape)
        part = self.outputs_of(dy, group)
        self.product.reshape(part.shape)[...] = part
        return self.product

    def learn(self, dy: Array, gradients: Tensors) -> None:
        """Write the gradient with respect to the weights and the bias."""
        weights = gradients["weight"]
        bias = gradients.get("bias")
        for group, product in enumerate(self.products):
            np.matmul(product.rows.T, self.rows_of(dy, group), out=self.gradient)
            part = weights[channels_of_group(group, self.band.outputs)]
            np.multiply(self.band.summed(self.gradient_bands), self.layer.scale, out=part)
            if bias is not None:
                last_row = self.gradient[-1].reshape(self.band.count, -1)
                self.outputs_of(bias, group)[...] = last_row.sum(axis=0)


class _MirroredConv:
    """The gradient with respect to the inputs of a layer without strides.

    It is the mirrored layer applied to the gradient of the outputs, padded with zeros.
    """

    def __init__(self, conv: BatchConv, batch: BatchShape) -> None:
        self.band = band = conv.band.mirrored.fastest(batch.given, learns_first=True, whole=True)
        sides = band.reads(batch.given)
        self.padded = np.zeros((batch.size, *sides, conv.layer.outputs), batch.dtype)
        widths = zip(band.widths, batch.made, strict=True)
        self.inside = (slice(None), *(slice(w - 1, w - 1 + m) for w, m in widths))
        count = batch.size * math.prod(batch.given) // band.count
        rows = np.empty((count, band.taps), batch.dtype)
        self.dx = batch.inputs()
        self.products = []
        self.copies = []
        self.places = []
        for group in range(conv.groups):
            self.products.append(_BandProduct.of(band, rows))
            derivatives = conv.outputs_of(self.padded, group)
            self.copies.append(band.copies(derivatives, batch.given, rows))
            self.places.append(conv.inputs_of(self.dx, group))

    def load(self, group: int, weights: Vector) -> None:
        """Fill the matrix of one group with its weights.

        Inputs and outputs are exchanged, and the taps are flipped.
        """
        mirrored = np.flip(weights.swapaxes(0, 1), axis=tuple(range(2, weights.ndim)))
        self.products[group].weights[...] = self.band.laid_out(mirrored)

    def __call__(self, dy: Array) -> Array:
        self.padded[self.inside] = dy
        for group, product in enumerate(self.products):
            windows, place = self.copies[group]
            np.copyto(place, windows)
            if len(self.products) == 1:
                made = self.dx.reshape(len(product.rows), -1)
                np.matmul(product.rows, product.matrix, out=made)
            else:
                part = self.places[group]
                part[...] = (product.rows @ product.matrix).reshape(part.shape)
        return self.dx


class _ScatteredRows:
    """The gradient with respect to the inputs of any layer.

    It is the rows of the transposed product, added up where they overlap.
    """

    def __init__(self, conv: BatchConv, batch: BatchShape) -> None:
        self.conv = conv
        self.dx = batch.inputs()
        self.rows = np.empty((len(conv.products[0].rows), conv.band.taps), batch.dtype)
        self.sums = [
            conv.band.sums(self.rows, batch.made, conv.inputs_of(self.dx, group))
            for group in range(conv.groups)
        ]

    def load(self, group: int, weights: Vector) -> None:
        """Do nothing: the matrices of the layer are used."""

    def __call__(self, dy: Array) -> Array:
        self.dx[...] = 0
        for group, sums in enumerate(self.sums):
            matrix = self.conv.products[group].matrix[: self.conv.band.taps]
            np.matmul(self.conv.rows_of(dy, group), matrix.T, out=self.rows)
            for some, into in sums:
                np.add(into, some, out=into)
        return self.dx
