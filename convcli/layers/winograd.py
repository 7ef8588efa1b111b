"""Convolution layers of 3x3 taps by Winograd's F(4x4, 3x3): 2.25 products an output instead of 9.

Tiles of 4x4 outputs read 6x6 inputs. With d a tile of inputs and g the taps,

    y = A' [(G g G') * (B' d B)] A

where the product in brackets is one for each of 36 places; summed over channels, these are 36
products of matrices. Winograd (1980); Lavin and Gray (2016), https://arxiv.org/abs/1509.09308
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

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
# Values of the tiles that are transformed at a time, so that they fit into the second cache; and
# the least number of tiles, because smaller products are slower for each tile.
TRANSFORMED = 1 << 20
FEWEST = 320


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

    def __init__(self, sums: ConvSums, dtype: npt.DTypeLike) -> None:
        super().__init__(sums, dtype)
        out_rows, taps, in_rows = transforms()
        self.to_tile = in_rows.astype(dtype)
        self.from_tile = out_rows.astype(dtype)
        places = INPUTS * INPUTS
        # As one product, a tenth of the time of an einsum.
        by_tap = sums.weights.astype(np.float64).transpose(2, 3, 1, 0)
        transformed = np.kron(taps, taps) @ by_tap.reshape(TAPS * TAPS, -1)
        self.weights = in_type(transformed.reshape(places, sums.inputs, sums.outputs), dtype)

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
        """Compute lines of tiles in parts that fit into the second cache."""
        rows, columns = y.shape[:2]
        if min(rows, columns) < OUTPUTS:
            self._fill_small(y, x)
            return
        if not x[0].flags.c_contiguous:
            x = np.ascontiguousarray(x)
        channels = self.sums.inputs + self.sums.outputs
        most = max(FEWEST, TRANSFORMED // (INPUTS * INPUTS * channels))
        across = _output_ranges(columns, most)
        lines = -(-most * OUTPUTS // (across[0].stop - across[0].start))
        for down in _output_ranges(rows, lines, whole=True):
            for along in across:
                self._fill_tiles(y[down, along], x[_with_halo(down), _with_halo(along)])

    def _fill_small(self, y: Array, x: Array) -> None:
        """Compute fewer outputs than a tile has along an axis: append zeros to the inputs."""
        rows, columns = (max(side, OUTPUTS) for side in y.shape[:2])
        filled = np.zeros((rows + TAPS - 1, columns + TAPS - 1, x.shape[2]), self.dtype)
        filled[: len(x), : x.shape[1]] = x
        whole = np.empty((rows, columns, y.shape[2]), self.dtype)
        self.fill(whole, filled, 0)
        y[...] = whole[: y.shape[0], : y.shape[1]]

    def _fill_tiles(self, y: Array, x: Array) -> None:
        """Compute lines of tiles by 36 products, one for each place in a tile.

        The transforms are many small products on views. This is 1.3 times as fast as copying the
        tiles for one large product each. They take one line of tiles at a time, which stays in the
        second cache.

        y : (rows, columns, out), rows a multiple of 4; x : (rows + 2, columns + 2, in)
        """
        lines = len(y) // OUTPUTS
        runs = _runs_of_tiles(y.shape[1])
        across = runs[-1].tiles.stop
        inputs, outputs = x.shape[2], y.shape[2]
        places = INPUTS * INPUTS
        given, products, columns, made = work_arrays(
            self.dtype,
            (INPUTS, INPUTS, lines, across, inputs),
            (INPUTS, INPUTS, lines, across, outputs),
            (INPUTS, x.shape[1], inputs),
            (INPUTS, across, OUTPUTS, outputs),
        )
        for line in range(lines):
            rows = slice(line * OUTPUTS, line * OUTPUTS + INPUTS)
            self._transform(x[rows], columns, given[:, :, line], runs)
        by_place = given.reshape(places, -1, inputs)
        np.matmul(by_place, self.weights, out=products.reshape(places, -1, outputs))
        if self.bias is not None:
            # The value at the point 1 is a term of every output.
            products[1, 1] += self.bias
        for line in range(lines):
            rows = slice(line * OUTPUTS, (line + 1) * OUTPUTS)
            self._transform_back(products[:, :, line], made, y[rows], runs)

    def _transform(self, x: Array, columns: Array, given: Array, runs: list[_Run]) -> None:
        """Transform a line of tiles: down its columns, then along its rows.

        x : (6, columns, in); given : (6, 6, tiles, in)
        """
        np.matmul(self.to_tile, _flat_rows(x), out=_flat_rows(columns))
        for run in runs:
            into = given[:, :, run.tiles].swapaxes(1, 2)
            np.matmul(self.to_tile, _overlapping(columns, run), out=into)

    def _transform_back(self, products: Array, made: Array, y: Array, runs: list[_Run]) -> None:
        """Make a line of outputs: along its rows, then down its columns.

        products : (6, 6, tiles, out); y : (4, columns, out)
        """
        np.matmul(self.from_tile, products.swapaxes(1, 2), out=made)
        for run in runs:
            rows = made[:, run.tiles].reshape(INPUTS, -1)
            np.matmul(self.from_tile, rows, out=_flat_rows(y[:, run.outputs]))
        if self.sums.activation is not None:
            for row in y:
                self.sums.activation(row, row)


class _Run(NamedTuple):
    """Tiles side by side: their numbers, and the outputs that they make."""

    tiles: slice
    outputs: slice


def _runs_of_tiles(columns: int) -> list[_Run]:
    """The tiles of at least 4 columns; a last one overlaps the one before, so that it is whole."""
    count, rest = divmod(columns, OUTPUTS)
    runs = [_Run(slice(0, count), slice(0, count * OUTPUTS))]
    if rest:
        runs.append(_Run(slice(count, count + 1), slice(columns - OUTPUTS, columns)))
    return runs


def _output_ranges(outputs: int, most: int, *, whole: bool = False) -> list[slice]:
    """Cut at least 4 outputs into about equal parts of at most `most` tiles.

    whole : parts have whole tiles, and the last one overlaps the one before
    """
    tiles = -(-outputs // OUTPUTS)
    count_of_parts = -(-tiles // most)
    side = -(-tiles // count_of_parts) * OUTPUTS
    if whole:
        side = min(side, outputs // OUTPUTS * OUTPUTS)
    parts = []
    for start in range(0, outputs, side):
        count = max(OUTPUTS, min(side, outputs - start))
        if whole:
            count = -(-count // OUTPUTS) * OUTPUTS
        first = min(start, outputs - count)
        parts.append(slice(first, first + count))
    return parts


def _with_halo(outputs: slice) -> slice:
    """The inputs along an axis that these outputs read."""
    return slice(outputs.start, outputs.stop + TAPS - 1)


def _flat_rows(x: Array) -> Array:
    """A view of (rows, columns, channels) with one axis for all numbers of a row."""
    return x.reshape(len(x), -1, copy=False)


def _overlapping(x: Array, run: _Run) -> Array:
    """A view of the inputs of tiles, (rows, tiles, 6, in), of (rows, columns, in)."""
    row, column, number = x.strides
    tiles = run.tiles.stop - run.tiles.start
    return np.lib.stride_tricks.as_strided(
        x[:, run.outputs.start :],
        (len(x), tiles, INPUTS, x.shape[2]),
        (row, OUTPUTS * column, column, number),
    )
