"""Convolution layers of 3x3 taps by Winograd's F(4x4, 3x3): 2.25 products an output instead of 9.

Tiles of 4x4 outputs read 6x6 inputs. With d a tile of inputs and g the taps,

    y = A' [(G g G') * (B' d B)] A

where the product in brackets is one for each of 36 places; summed over channels, these are 36
products of matrices. Winograd (1980); Lavin and Gray (2016), https://arxiv.org/abs/1509.09308
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.work_arrays import work_arrays
from convcli.layers.conv_path import ConvPath, ConvSums
from convcli.samples import in_type

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.array_types import FloatArray
    from convcli.signals import Array


# Outputs and taps along a side of a tile, and the inputs that they read.
OUTPUTS, TAPS = 4, 3
INPUTS = OUTPUTS + TAPS - 1
# The points at which polynomials are evaluated, and infinity. The rounding errors of float32 are a
# third of those with 0, 1, -1, 2, -2 (measured; Barabasz et al. 2020,
# https://arxiv.org/abs/1803.10986).
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
# Values of a row of places, before and after the products, that stay in the second cache.
CACHED = 1 << 17
# Multiplications up to which OpenBLAS does not copy the matrices first; the transforms then take
# less than half of the time.
UNCOPIED = 1_000_000
# Tiles of a part from which reading the weights takes less time than copying the matrices would.
FEWEST_TILES = 30


def transforms() -> tuple[FloatArray, FloatArray, FloatArray]:
    """The matrices A' (4, 6), G (6, 3) and B' (6, 6), by the method of Toom and Cook.

    A product of polynomials of 4 and 3 coefficients is found from its values at 6 points; its
    transpose are the sums of 3 taps at 4 places.
    """
    whole = np.linalg.inv(_values_at_points(INPUTS))
    return _values_at_points(OUTPUTS).T, _values_at_points(TAPS), np.asarray(whole.T, np.float64)


def _values_at_points(coefficients: int) -> FloatArray:
    """The matrix that evaluates a polynomial at all points, (6, coefficients)."""
    values = np.zeros((INPUTS, coefficients))
    values[:-1] = np.vander(POINTS, coefficients, increasing=True)
    values[-1, -1] = 1
    return values


class Winograd(ConvPath):
    """A layer of 3x3 taps without strides, dilation and groups."""

    mixes_windows = True

    def __init__(self, sums: ConvSums, dtype: npt.DTypeLike) -> None:
        super().__init__(sums, dtype)
        out_rows, taps, in_rows = transforms()
        self.to_tile = in_rows.astype(dtype)
        self.from_tile = out_rows.astype(dtype)
        # As one product, a tenth of the time of an einsum.
        by_tap = sums.weights.astype(np.float64).transpose(2, 3, 1, 0)
        transformed = np.kron(taps, taps) @ by_tap.reshape(TAPS * TAPS, -1)
        shape = (INPUTS, INPUTS, sums.inputs, sums.outputs)
        self.weights = in_type(transformed.reshape(shape), dtype)

    @classmethod
    def cost(cls, sums: ConvSums) -> float:
        """Products at 0.023 ns, and the transforms at 1.1 ns for each input and output."""
        plain = sums.groups == 1 and set(sums.step) == set(sums.dilation) == {1}
        if sums.shape != (TAPS, TAPS) or not plain:
            return math.inf
        places = (INPUTS / OUTPUTS) ** 2
        products = 0.023 * places * sums.inputs * sums.outputs
        return products + 1.1 * (sums.inputs + sums.outputs) + 12

    def fill(self, y: Array, x: Array, first: int) -> None:
        """Compute tiles in parts that fit into the second cache."""
        rows, columns = y.shape[:2]
        if min(rows, columns) < OUTPUTS:
            self._fill_small(y, x)
            return
        if not x[0].flags.c_contiguous:
            x = np.ascontiguousarray(x)
        most, widest = self._tiles_at_once
        across = _output_ranges(columns, widest)
        lines = max(1, most * OUTPUTS // (across[0].stop - across[0].start))
        for down in _output_ranges(rows, lines):
            for part in across:
                self._fill_tiles(y[down, part], x[_with_halo(down), _with_halo(part)])

    @cached_property
    def _tiles_at_once(self) -> tuple[int, int]:
        """The most tiles of a part, and the most side by side.

        Of many channels a part has as many tiles: products of fewer tiles would not be copied, but
        reading the weights would take too much of the time. With 128 channels 61 tiles, which are
        not copied, take 0.83 of the time of 128.
        """
        inputs, outputs = self.sums.inputs, self.sums.outputs
        cached = CACHED // (INPUTS * (inputs + outputs))
        uncopied = UNCOPIED // (inputs * outputs)
        most = min(cached, uncopied)
        if most < FEWEST_TILES:
            most = max(inputs, outputs)
        columns = UNCOPIED // (INPUTS * INPUTS * max(inputs, outputs))
        return most, max(1, min(most, columns // OUTPUTS - 1))

    def _fill_small(self, y: Array, x: Array) -> None:
        """Compute fewer outputs than a tile has along an axis: append zeros to the inputs."""
        rows, columns = (max(side, OUTPUTS) for side in y.shape[:2])
        filled = np.zeros((rows + TAPS - 1, columns + TAPS - 1, x.shape[2]), self.dtype)
        filled[: len(x), : x.shape[1]] = x
        whole = np.empty((rows, columns, y.shape[2]), self.dtype)
        self.fill(whole, filled, 0)
        y[...] = whole[: y.shape[0], : y.shape[1]]

    def _fill_tiles(self, y: Array, x: Array) -> None:
        """Compute tiles by 36 products, one for each place in a tile.

        The transforms are many small products on views. This is 1.3 times as fast as copying the
        tiles for one large product each. After the transform along the columns of pixels, one
        row of places after the other is multiplied and transformed along the rows of pixels, so
        that it stays in the second cache.

        y : (rows, columns, out), both sides multiples of 4; x : (rows + 2, columns + 2, in)
        """
        lines, across = (side // OUTPUTS for side in y.shape[:2])
        columns, given, products, made = self._work_arrays(lines, across, x.shape[1])
        np.matmul(self.to_tile, _flat(_overlapping(x, 0)), out=_flat(columns))
        windows = _overlapping(columns, 2).swapaxes(0, 1)
        at_once = len(given)
        for first in range(0, INPUTS, at_once):
            rows = slice(first, first + at_once)
            np.matmul(self.to_tile, windows[rows], out=given.transpose(0, 2, 3, 1, 4))
            np.matmul(_joined_tiles(given), self.weights[rows], out=products)
            self._add_bias(products, rows)
            outputs = made[rows].reshape(at_once, -1, *made.shape[3:])
            np.matmul(self.from_tile, products.swapaxes(1, 2), out=outputs)
        self._write_lines(made, y)

    def _write_lines(self, made: Array, y: Array) -> None:
        """Transform rows of outputs into lines of them, and apply the activation in place.

        made : (6, lines of tiles, tiles across, 4, out); y : (rows, columns, out)
        """
        lines = made.shape[1]
        y_lines = y.reshape(lines, OUTPUTS, *y.shape[1:], copy=False)
        by_line = made.reshape(INPUTS, lines, -1).swapaxes(0, 1)
        np.matmul(self.from_tile, by_line, out=_flat(y_lines))
        if self.sums.activation is not None:
            for row in y:
                self.sums.activation(row, row)

    def _add_bias(self, products: Array, rows: slice) -> None:
        """Add the bias to the value at the point 1, which is a term of every output."""
        if self.bias is not None and rows.start <= 1 < rows.stop:
            products[1 - rows.start, 1] += self.bias

    def _work_arrays(self, lines: int, across: int, columns: int) -> list[Array]:
        """Intermediate results of tiles: transformed columns, tiles, products, and rows of outputs.

        Few tiles are multiplied for all rows of places at once, others for one row at a time.
        """
        inputs, outputs = self.sums.inputs, self.sums.outputs
        tiles = lines * across
        at_once = INPUTS if INPUTS * tiles * (inputs + outputs) <= CACHED else 1
        return work_arrays(
            self.dtype,
            (lines, INPUTS, columns, inputs),
            (at_once, INPUTS, lines, across, inputs),
            (at_once, INPUTS, tiles, outputs),
            (INPUTS, lines, across, OUTPUTS, outputs),
        )


def _output_ranges(outputs: int, most: int) -> list[slice]:
    """Cut at least 4 outputs into about equal parts of whole tiles, at most `most` of them.

    The last part overlaps the one before if the outputs are no whole tiles.
    """
    tiles = -(-outputs // OUTPUTS)
    count_of_parts = -(-tiles // most)
    side = min(-(-tiles // count_of_parts), outputs // OUTPUTS) * OUTPUTS
    parts = []
    for start in range(0, outputs, side):
        rest = -(-(outputs - start) // OUTPUTS) * OUTPUTS
        count = min(side, rest)
        first = min(start, outputs - count)
        parts.append(slice(first, first + count))
    return parts


def _with_halo(outputs: slice) -> slice:
    """The inputs along an axis that these outputs read."""
    return slice(outputs.start, outputs.stop + TAPS - 1)


def _flat(x: Array) -> Array:
    """A view of (lines, rows, columns, channels) with one axis for all numbers of a row."""
    return x.reshape(*x.shape[:2], -1, copy=False)


def _joined_tiles(x: Array) -> Array:
    """A view of (rows, places, lines, across, channels) with one axis for all tiles."""
    return x.reshape(*x.shape[:2], -1, x.shape[-1], copy=False)


def _overlapping(x: Array, axis: int) -> Array:
    """A view of the inputs of all tiles, with an axis of tiles before this one."""
    stride = x.strides[axis]
    tiles = (x.shape[axis] - TAPS + 1) // OUTPUTS
    return np.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:axis], tiles, INPUTS, *x.shape[axis + 1 :]),
        (*x.strides[:axis], OUTPUTS * stride, stride, *x.strides[axis + 1 :]),
    )
