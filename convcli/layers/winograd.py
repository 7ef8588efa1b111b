"""Convolution layers of 3x3 taps by Winograd's F(4x4, 3x3): 2.25 products an output instead of 9.

Tiles of 4x4 outputs read 6x6 inputs. With d a tile of inputs and g the taps,

    y = A' [(G g G') * (B' d B)] A

where the product in brackets is one for each of 36 places; summed over channels, these are 36
products of matrices. Winograd (1980); Lavin and Gray (2016), https://arxiv.org/abs/1509.09308
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.work_arrays import work_arrays
from convcli.layers.conv_paths import ConvPath, ConvSums

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.signals import Array

# Outputs and taps along a side of a tile, and the inputs that they read.
OUTPUTS, TAPS = 4, 3
INPUTS = OUTPUTS + TAPS - 1
# The points at which polynomials are evaluated, and infinity. The rounding errors of float32 are a
# third of those with 0, 1, -1, 2, -2 (measured; Barabasz et al. 2020,
# https://arxiv.org/abs/1803.10986).
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
# Tiles at a time: as many as fill the second cache, but no fewer than make a large product.
TRANSFORMED = 1 << 20
FEWEST = 224


def transforms() -> tuple[npt.NDArray[np.float64], ...]:
    """The matrices A' (4, 6), G (6, 3) and B' (6, 6), by the method of Toom and Cook.

    A product of polynomials of 4 and 3 coefficients is found from its values at 6 points; its
    transpose are the sums of 3 taps at 4 places.
    """
    whole = _values_at_points(INPUTS)
    return (
        _values_at_points(OUTPUTS).T,
        _values_at_points(TAPS),
        np.linalg.inv(whole).T,
    )


def _values_at_points(coefficients: int) -> npt.NDArray[np.float64]:
    """The matrix that evaluates a polynomial at all points, (6, coefficients)."""
    values = np.zeros((INPUTS, coefficients))
    values[:-1] = np.vander(POINTS, coefficients, increasing=True)
    values[-1, -1] = 1
    return values


class Winograd(ConvPath):
    """A layer of 3x3 taps without strides, dilation and groups."""

    def __init__(self, sums: ConvSums, dtype: npt.DTypeLike) -> None:
        super().__init__(sums, dtype)
        out_rows, taps, in_rows = transforms()
        self.to_tile = in_rows.astype(dtype)
        self.from_tile = out_rows.astype(dtype)
        transformed = np.einsum("fy,gx,oiyx->fgio", taps, taps, sums.weights.astype(np.float64))
        places = INPUTS * INPUTS
        self.weights = transformed.reshape(places, sums.inputs, sums.outputs).astype(dtype)

    @classmethod
    def cost(cls, sums: ConvSums) -> float:
        """Products at 0.025 ns, and the transforms at 2.3 ns for each input and output."""
        plain = sums.groups == 1 and set(sums.step) == set(sums.dilation) == {1}
        if sums.shape != (TAPS, TAPS) or not plain:
            return math.inf
        places = (INPUTS / OUTPUTS) ** 2
        products = 0.025 * places * sums.inputs * sums.outputs
        return products + 2.3 * (sums.inputs + sums.outputs)

    def fill(self, y: Array, x: Array, first: int) -> None:
        """Compute some lines of tiles after the other, in parts that fit the cache."""
        rows, columns = y.shape[:2]
        if not x[0].flags.c_contiguous:
            x = np.ascontiguousarray(x)
        channels = self.sums.inputs + self.sums.outputs
        most = max(FEWEST, TRANSFORMED // (INPUTS * INPUTS * channels))
        width = _side(columns, most)
        height = _side(rows, most * OUTPUTS // width)
        halo = TAPS - 1
        for row in range(0, rows, height):
            for column in range(0, columns, width):
                part = y[row : row + height, column : column + width]
                inputs = x[row : row + height + halo, column : column + width + halo]
                self._fill_part(part, inputs)
                self.finish(part)

    def _fill_part(self, y: Array, x: Array) -> None:
        """Compute some outputs; tiles that are not complete are filled up with zeros."""
        rows, columns = y.shape[:2]
        height, width = (-(-n // OUTPUTS) * OUTPUTS for n in (rows, columns))
        if (rows, columns) == (height, width):
            self._fill_tiles(y, x)
            return
        halo = TAPS - 1
        filled = np.zeros((height + halo, width + halo, x.shape[2]), self.dtype)
        filled[: len(x), : x.shape[1]] = x
        whole = np.empty((height, width, y.shape[2]), self.dtype)
        self._fill_tiles(whole, filled)
        y[...] = whole[:rows, :columns]

    def _fill_tiles(self, y: Array, x: Array) -> None:
        """Compute complete tiles, of which all places lie together for the large products.

        The transforms are small products that read and write in place: 1.3 times as fast as one
        large product for each, of tiles that are copied.
        """
        lines, across = y.shape[0] // OUTPUTS, y.shape[1] // OUTPUTS
        inputs, outputs = x.shape[2], y.shape[2]
        places = INPUTS * INPUTS
        by_line, given, products, made = work_arrays(
            self.dtype,
            (lines, INPUTS, x.shape[1], inputs),
            (INPUTS, INPUTS, lines, across, inputs),
            (INPUTS, INPUTS, lines, across, outputs),
            (lines, INPUTS, across, OUTPUTS, outputs),
        )
        flat = (lines, INPUTS, -1)
        # Down the lines, then along them.
        np.matmul(self.to_tile, _rows_of_lines(x, lines, OUTPUTS, INPUTS), out=by_line.reshape(flat))
        np.matmul(self.to_tile, _tiles_of_lines(by_line, across), out=_by_line(given))
        np.matmul(
            given.reshape(places, -1, inputs),
            self.weights,
            out=products.reshape(places, -1, outputs),
        )
        np.matmul(self.from_tile, _by_line(products), out=made)
        rows = _rows_of_lines(y, lines, OUTPUTS, OUTPUTS)
        np.matmul(self.from_tile, made.reshape(flat), out=rows)


def _side(outputs: int, tiles: int) -> int:
    """The side of a part of so many outputs, of about equal parts of at most so many tiles."""
    needed = -(-outputs // OUTPUTS)
    parts = -(-needed // max(1, tiles))
    return -(-needed // parts) * OUTPUTS


def _rows_of_lines(x: Array, lines: int, step: int, count: int) -> Array:
    """The `count` rows from every `step`-th on, (lines, count, numbers of a row)."""
    row, _, number = x.strides
    return np.lib.stride_tricks.as_strided(
        x, (lines, count, x.shape[1] * x.shape[2]), (step * row, row, number)
    )


def _tiles_of_lines(x: Array, across: int) -> Array:
    """The overlapping tiles of (lines, rows, columns, in): (lines, rows, tiles, 6, in)."""
    line, row, column, number = x.strides
    return np.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:2], across, INPUTS, x.shape[3]),
        (line, row, OUTPUTS * column, column, number),
    )


def _by_line(x: Array) -> Array:
    """Numbers of (rows, columns, lines, tiles, channels) as (lines, rows, tiles, columns, ...)."""
    return x.transpose(2, 0, 3, 1, 4)
