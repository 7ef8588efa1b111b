"""Networks that learn: batches of windows forward, and the exact gradients of a loss backward.

A window goes through the same operations that a signal goes through when the network is run, each of them "valid", so
that what is learned is what is run. Windows lie inside the signal, where no layer pads. The gradients are those of
reverse accumulation (Rumelhart, Hinton & Williams 1986): each stage keeps what its derivative needs, in arrays that are
made once and used for every batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convcli.core.ops import folded, windowed
from convcli.layers.nets import Activated, Net, Placed, Pooled, Weighted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.layers.bands import Band, Sizes
    from convcli.layers.nets import Vector
    from convcli.signals import Array


class Stage(Protocol):
    """One layer at work on batches of one size, with the arrays that it needs for that."""

    def forward(self, x: Array) -> Array:
        """The outputs, (batch, samples..., channels)."""
        ...

    def backward(self, dy: Array) -> Array | None:
        """From the derivatives of the loss by the outputs to those by the inputs; `dy` may be overwritten."""
        ...


class _Weighing:
    """A convolution layer at work. `leads`: nothing before it learns, so nobody asks for the gradient of its input."""

    def __init__(
        self, layer: Weighted, place: Placed, band: Band, batch: int, *, dtype: Any, leads: bool
    ) -> None:
        self.layer, self.band, self.outputs = layer, band, place.made
        count, taps = batch * math.prod(place.made) // band.count, band.taps
        wide = band.count * band.outputs
        # A column of ones carries the bias through the product.
        self.rows = [np.ones((count, taps + layer.bias), dtype) for _ in range(layer.groups)]
        self.matrices = [np.zeros((taps + layer.bias, wide), dtype) for _ in range(layer.groups)]
        self.bands = [band.bands(matrix) for matrix in self.matrices]
        self.y = np.empty((batch, *place.made, layer.outputs), dtype)
        self.lane = (
            np.empty((count, wide), dtype) if layer.groups > 1 else self.y.reshape(count, wide)
        )
        self.slopes = np.empty((taps + layer.bias, wide), dtype)
        self.x: Array | None = None
        self.copies: list[tuple[Array, Array]] = []
        self.sloping = band.bands(self.slopes)
        self.back: _Mirrored | _Scattered | None = None
        if not leads:
            self.back = (_Scattered if band.strides else _Mirrored)(self, place, batch, dtype)

    def load(self, weights: Vector, bias: Vector | None) -> None:
        """Take new weights."""
        for g, part in enumerate(np.split(weights * self.layer.scale, self.layer.groups)):
            self.bands[g][...] = self.band.laid_out(part)
            if self.back is not None:
                self.back.load(g, part)
            if bias is not None:
                self.matrices[g][-1].reshape(self.band.count, -1)[...] = self.outputs_of(bias, g)

    def inputs(self, x: Array, g: int) -> Array:
        return x[..., g * self.band.inputs : (g + 1) * self.band.inputs]

    def outputs_of(self, y: Array, g: int) -> Array:
        return y[..., g * self.band.outputs : (g + 1) * self.band.outputs]

    def forward(self, x: Array) -> Array:
        if x is not self.x:
            self.x = x
            self.copies = [
                self.band.copies(self.inputs(x, g), self.outputs, r)
                for g, r in enumerate(self.rows)
            ]
        for g, (rows, matrix) in enumerate(zip(self.rows, self.matrices, strict=True)):
            window, place = self.copies[g]
            np.copyto(place, window)
            np.matmul(rows, matrix, out=self.lane)
            if self.layer.groups > 1:
                part = self.outputs_of(self.y, g)
                part[...] = self.lane.reshape(part.shape)
        return self.y

    def backward(self, dy: Array) -> Array | None:
        return None if self.back is None else self.back(dy)

    def lane_of(self, dy: Array, g: int) -> Array:
        """One group of `dy` as rows."""
        if self.layer.groups == 1:
            return dy.reshape(self.lane.shape)
        part = self.outputs_of(dy, g)
        self.lane.reshape(part.shape)[...] = part
        return self.lane

    def learn(self, dy: Array, weights: Vector, bias: Vector | None) -> None:
        """Write the gradients of the weights and of the bias."""
        for g, rows in enumerate(self.rows):
            np.matmul(rows.T, self.lane_of(dy, g), out=self.slopes)
            part = weights[g * self.band.outputs : (g + 1) * self.band.outputs]
            np.multiply(self.band.summed(self.sloping), self.layer.scale, out=part)
            if bias is not None:
                self.outputs_of(bias, g)[...] = (
                    self.slopes[-1].reshape(self.band.count, -1).sum(axis=0)
                )


class _Mirrored:
    """The gradient of the inputs of a layer without strides: the mirrored layer, on what lies between zeros."""

    def __init__(self, stage: _Weighing, place: Placed, batch: int, dtype: Any) -> None:
        self.band = stage.band.mirrored.fastest(place.given, leads=True, whole=True)
        self.groups = stage.layer.groups
        sides = self.band.reads(place.given)
        self.padded = np.zeros((batch, *sides, stage.layer.outputs), dtype)
        widths = zip(self.band.widths, place.made, strict=True)
        self.inside = (slice(None), *(slice(w - 1, w - 1 + m) for w, m in widths))
        wide = self.band.count * self.band.outputs
        self.rows = np.empty(
            (batch * math.prod(place.given) // self.band.count, self.band.taps), dtype
        )
        self.matrices = [np.zeros((self.band.taps, wide), dtype) for _ in range(self.groups)]
        self.dx = np.empty((batch, *place.given, stage.layer.inputs), dtype)
        parts = [stage.outputs_of(self.padded, g) for g in range(self.groups)]
        self.copies = [self.band.copies(part, place.given, self.rows) for part in parts]
        self.places = [stage.inputs(self.dx, g) for g in range(self.groups)]

    def load(self, g: int, weights: Vector) -> None:
        """Take new weights of one group."""
        mirrored = np.flip(weights.swapaxes(0, 1), axis=tuple(range(2, weights.ndim)))
        self.band.bands(self.matrices[g])[...] = self.band.laid_out(mirrored)

    def __call__(self, dy: Array) -> Array:
        self.padded[self.inside] = dy
        for (window, place), matrix, part in zip(
            self.copies, self.matrices, self.places, strict=True
        ):
            np.copyto(place, window)
            if self.groups == 1:
                np.matmul(self.rows, matrix, out=self.dx.reshape(len(self.rows), -1))
            else:
                part[...] = (self.rows @ matrix).reshape(part.shape)
        return self.dx


class _Scattered:
    """The gradient of the inputs of any layer: the rows of the product added up where they overlap."""

    def __init__(self, stage: _Weighing, place: Placed, batch: int, dtype: Any) -> None:
        self.stage = stage
        self.dx = np.zeros((batch, *place.given, stage.layer.inputs), dtype)
        self.rows = np.empty((len(stage.rows[0]), stage.band.taps), dtype)
        parts = [stage.inputs(self.dx, g) for g in range(stage.layer.groups)]
        self.sums = [stage.band.sums(self.rows, place.made, part) for part in parts]

    def load(self, g: int, weights: Vector) -> None:
        """The stage has the weights."""

    def __call__(self, dy: Array) -> Array:
        self.dx[...] = 0
        for g, (matrix, sums) in enumerate(zip(self.stage.matrices, self.sums, strict=True)):
            np.matmul(self.stage.lane_of(dy, g), matrix[: self.stage.band.taps].T, out=self.rows)
            for some, into in sums:
                np.add(into, some, out=into)
        return self.dx


class _Activating:
    """An activation at work, in place."""

    def __init__(self, layer: Activated, shape: Sizes, dtype: Any) -> None:
        self.function = layer.function
        self.slopes = np.empty(shape, dtype)
        self.y: Any = None

    def forward(self, x: Array) -> Array:
        self.y = self.function(x, out=x)
        return x

    def backward(self, dy: Array) -> Array | None:
        dy *= self.function.derivative(self.y, self.slopes)
        return dy


class _Pooling:
    """A pool at work, one axis after the other."""

    def __init__(self, layer: Pooled, outputs: Sizes) -> None:
        self.layer, self.outputs = layer, outputs
        self.kept: list[tuple[Array, Array]] = []

    def _windows(self, x: Array, axis: int) -> Iterable[Array]:
        return windowed(
            x, self.layer.size[axis], self.layer.step[axis], self.outputs[axis], axis + 1
        )

    def forward(self, x: Array) -> Array:
        self.kept = []
        for axis in range(len(self.outputs)):
            y = folded(self.layer.fold, iter(self._windows(x, axis)))
            self.kept.append((x, y))
            x = y
        return x if self.layer.scale == 1 else x * np.asarray(self.layer.scale, x.dtype)

    def backward(self, dy: Array) -> Array | None:
        for axis in reversed(range(len(self.outputs))):
            x, y = self.kept[axis]
            dx = np.zeros_like(x)
            left = np.ones(y.shape, bool)
            for window, into in zip(self._windows(x, axis), self._windows(dx, axis), strict=True):
                if self.layer.fold is np.add:
                    np.add(into, dy, out=into)
                    continue
                # The first of those that are largest is the one that was passed on.
                chosen = (window == y) & left
                np.add(into, dy * chosen, out=into)
                left &= ~chosen
            dy = dx
        return dy * np.asarray(self.layer.scale, dy.dtype)


class Worker:
    """A network at work on batches of one size: `forward` the windows, then `backward` the derivatives of the loss."""

    def __init__(self, net: Net, batch: int, outputs: Sizes, dtype: Any) -> None:
        self.net, self.batch, self.outputs = net, batch, outputs
        places = net.laid_out(outputs)
        self.stages: list[_Weighing | _Activating | _Pooling] = []
        channels, leads = net.weighted[0].inputs, True
        self.x = np.zeros((batch, *places[0].given, channels), dtype)
        for place in places:
            layer = place.layer
            if isinstance(layer, Weighted) and place.band is not None:
                self.stages.append(
                    _Weighing(layer, place, place.band, batch, dtype=dtype, leads=leads)
                )
                channels, leads = layer.outputs, False
            elif isinstance(layer, Activated):
                self.stages.append(_Activating(layer, (batch, *place.made, channels), dtype))
            elif isinstance(layer, Pooled):
                self.stages.append(_Pooling(layer, place.made))
        self.dy = np.zeros((batch, *places[-1].made, channels), dtype)
        self.gradient: Vector = np.zeros(net.parameters)
        self._inside = (slice(None), *(slice(0, n) for n in outputs))

    def load(self, numbers: Vector) -> None:
        """Take new weights."""
        tensors = iter(self.net.tensors(numbers))
        for stage in self.stages:
            if isinstance(stage, _Weighing):
                stage.load(*next(tensors))

    def forward(self) -> Array:
        """The outputs for the windows in `x`, (batch, outputs..., channels)."""
        y: Array = self.x
        for stage in self.stages:
            y = stage.forward(y)
        return y[self._inside]

    @property
    def slopes(self) -> Array:
        """Where the derivatives of the loss by the outputs are to be written before `backward`."""
        return self.dy[self._inside]

    def backward(self) -> Vector:
        """The gradient of the loss by all weights, in the order of `Net.tensors`."""
        tensors = self.net.tensors(self.gradient)
        dy: Array | None = self.dy
        for stage in reversed(self.stages):
            if dy is None:
                break
            if isinstance(stage, _Weighing):
                stage.learn(dy, *tensors.pop())
            dy = stage.backward(dy)
        return self.gradient
