"""The paths that compute a convolution layer; the layer takes the one with the least cost.

They differ in speed, and in the answer only by rounding:

* windows: rows of windows times the weights, as large products (im2col; Chellapilla, Puri & Simard
  2006);
* shifted sums: all taps of every sample at once, then their sums; for few outputs;
* tap by tap, for layers that filter every channel by itself;
* Winograd (winograd.py) for windows of 3x3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.work_arrays import work_arrays
from convcli.layers.bands import channels_of_group
from convcli.layers.conv_path import ConvPath, ConvSums
from convcli.layers.winograd import Winograd
from convcli.samples import in_type

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.array_types import Sizes
    from convcli.signals import Array

# Samples that are copied into rows of windows at a time, so that they stay in the caches.
GATHERED = 1 << 18
# Values of an intermediate result at a time: half a megabyte in float32.
AT_ONCE = 1 << 17
# Rows of every product of a signal with one axis. Output k is always row k % SLOT of its product,
# so that it does not depend on where a block begins or ends: BLAS may add up in another order where
# there are other numbers of rows.
SLOT = 64


class WindowProduct(ConvPath):
    """The product of a matrix, whose rows are windows, with the weights (im2col)."""

    def __init__(self, sums: ConvSums, dtype: npt.DTypeLike) -> None:
        super().__init__(sums, dtype)
        parts = np.split(in_type(sums.weights, dtype), sums.groups)
        self.matrices = [self.band.matrix(part) for part in parts]

    @classmethod
    def cost(cls, sums: ConvSums) -> float:
        """Products at 0.023 ns, and copies that are slow where few neighbours are copied."""
        taps = math.prod(sums.shape) * sums.inputs
        run = sums.shape[-1] * sums.inputs if sums.dilation[-1] == 1 else sums.inputs
        products = 0.023 * taps * (sums.outputs + 4)
        copied = taps * (0.15 + 8 / run)
        return sums.groups * (products + copied)

    def fill(self, y: Array, x: Array, first: int) -> None:
        """Compute some rows of a picture, or slots of another signal, at a time."""
        if y.ndim == 2:
            self._fill_slots(y, x, first % SLOT)
            return
        gathered_per_row = y.shape[1] * self.band.taps
        at_once = max(1, GATHERED // gathered_per_row)
        for row in range(0, len(y), at_once):
            part = y[row : row + at_once]
            (rows,) = work_arrays(self.dtype, (math.prod(part.shape[:-1]), self.band.taps))
            self._multiply(part, x[row * self.band.steps[0] :], rows, part.shape[:-1])
            self.finish(part)

    def _fill_slots(self, y: Array, x: Array, lead: int) -> None:
        """Compute products of SLOT rows.

        lead : number of rows of the first product that lie before its first output
        """
        slots = max(1, GATHERED // (SLOT * self.band.taps))
        for start in range(-lead, len(y), slots * SLOT):
            stop = min(start + slots * SLOT, len(y))
            kept = slice(max(start, 0), stop)
            count = -(-(stop - start) // SLOT)
            rows, sums = work_arrays(
                self.dtype, (count, SLOT, self.band.taps), (count, SLOT, self.sums.outputs)
            )
            part = y[kept]
            inputs = x[kept.start * self.band.steps[0] :]
            within = slice(kept.start - start, stop - start)
            for group, matrix in enumerate(self.matrices):
                self._gather(inputs, group, (len(part),), rows.reshape(-1, self.band.taps)[within])
                # Rows outside of `within` are not set. They do not change the other rows.
                np.matmul(rows, matrix, out=sums)
                made = part[..., channels_of_group(group, self.sums.outputs)]
                made[...] = sums.reshape(-1, self.sums.outputs)[within]
            self.finish(part)

    def _multiply(self, part: Array, x: Array, rows: Array, outputs: Sizes) -> None:
        """Compute the outputs `part`, the first of which reads from the first input of `x` on."""
        for group, matrix in enumerate(self.matrices):
            self._gather(x, group, outputs, rows)
            if self.sums.groups == 1:
                np.matmul(rows, matrix, out=part.reshape(len(rows), -1))
            else:
                made = part[..., channels_of_group(group, self.sums.outputs)]
                made[...] = (rows @ matrix).reshape(made.shape)

    def _gather(self, x: Array, group: int, outputs: Sizes, rows: Array) -> None:
        """Copy the windows of a group of channels into rows."""
        inputs = x[None, ..., channels_of_group(group, self.sums.inputs)]
        windows, places = self.band.copies(inputs, outputs, rows)
        np.copyto(places, windows)


class ShiftedSums(ConvPath):
    """Every sample times the weights of all taps; outputs are sums of shifted products.

    Less is copied than for windows where there are fewer outputs than inputs.
    """

    def __init__(self, sums: ConvSums, dtype: npt.DTypeLike) -> None:
        super().__init__(sums, dtype)
        # (height, width, out, in): a row of the product for each tap and output.
        taps_first = sums.weights.transpose(2, 3, 0, 1) if len(sums.shape) == 2 else sums.weights
        self.matrix = in_type(taps_first.reshape(-1, sums.inputs), dtype)

    @classmethod
    def cost(cls, sums: ConvSums) -> float:
        """Products at 0.05 ns, and sums at 2 ns, of pictures without strides and groups."""
        if len(sums.shape) == 1 or sums.groups > 1 or any(step > 1 for step in sums.step):
            return math.inf
        rows = math.prod(sums.shape) * sums.outputs
        return rows * (0.05 * sums.inputs + 2)

    def fill(self, y: Array, x: Array, first: int) -> None:
        """Compute some rows at a time, plane by plane."""
        height, _ = self.band.widths
        width = x.shape[1]
        at_once = max(height, AT_ONCE // (len(self.matrix) * width))
        for row in range(0, len(y), at_once):
            part = y[row : row + at_once]
            inputs = x[row : row + len(part) + height - 1]
            rows, columns, out = part.shape
            of_products = (len(inputs), len(self.matrix), width)
            products, planes = work_arrays(self.dtype, of_products, (out, rows, columns))
            np.matmul(self.matrix, inputs.transpose(0, 2, 1), out=products)
            self._add(products, planes)
            part[...] = planes.transpose(1, 2, 0)
            self.finish(part)

    def _add(self, products: Array, planes: Array) -> None:
        """Add up the taps of each output: (rows, tap and output, columns) to (out, ...)."""
        out, rows, columns = planes.shape
        down, along = self.sums.dilation
        for number, (i, j) in enumerate(np.ndindex(*self.sums.shape)):
            made = slice(number * out, (number + 1) * out)
            shifted = products[i * down : i * down + rows, made, j * along : j * along + columns]
            term = shifted.swapaxes(0, 1)
            if number == 0:
                planes[...] = term
            else:
                planes += term


class TapByTap(ConvPath):
    """One tap after the other, where each channel is filtered by itself into one other."""

    def __init__(self, sums: ConvSums, dtype: npt.DTypeLike) -> None:
        super().__init__(sums, dtype)
        self.taps = []
        for index in np.ndindex(*sums.shape):
            of_channels = sums.weights[(slice(None), 0, *index)]
            self.taps.append((index, in_type(of_channels, dtype)))

    @classmethod
    def cost(cls, sums: ConvSums) -> float:
        """A product and a sum take 0.4 ns for each channel."""
        if sums.inputs > 1 or sums.outputs > 1:
            return math.inf
        return 0.4 * math.prod(sums.shape) * sums.groups

    def fill(self, y: Array, x: Array, first: int) -> None:
        """Compute some rows at a time."""
        at_once = max(1, AT_ONCE // math.prod(y.shape[1:]))
        for row in range(0, len(y), at_once):
            part = y[row : row + at_once]
            inputs = x[row * self.sums.step[0] :]
            (term,) = work_arrays(self.dtype, part.shape)
            for number, (index, weights) in enumerate(self.taps):
                shifted = self._shifted(inputs, index, part.shape[:-1])
                if number == 0:
                    np.multiply(shifted, weights, out=part)
                else:
                    part += np.multiply(shifted, weights, out=term)
            self.finish(part)

    def _shifted(self, x: Array, index: Sizes, outputs: Sizes) -> Array:
        """The inputs that a tap of each output reads."""
        places = []
        for tap, dilation, step, count in zip(
            index, self.sums.dilation, self.sums.step, outputs, strict=True
        ):
            start = tap * dilation
            last = start + (count - 1) * step
            places.append(slice(start, last + 1, step))
        return x[tuple(places)]


_PATHS: tuple[type[ConvPath], ...] = (WindowProduct, ShiftedSums, TapByTap, Winograd)


def least_cost(sums: ConvSums) -> float:
    """The time of an output pixel by the cheapest path, in ns."""
    return min(path.cost(sums) for path in _PATHS)


def cheapest_conv_path(
    sums: ConvSums, dtype: npt.DTypeLike, *, mixes_windows: bool = True
) -> ConvPath:
    """The path that costs least; it depends on the layer alone, not on the signal.

    mixes_windows : it may be a path that does so
    """
    kinds = [path for path in _PATHS if mixes_windows or not path.mixes_windows]
    kind = min(kinds, key=lambda path: path.cost(sums))
    return kind(sums, dtype)
