"""Means of bytes by a separable kernel, to be rounded to whole numbers as in float64.

Columns are filtered in float64, the rows of the result in float32: three quarters of the time of
float64 alone. The few means that lie nearer to one half than the error of float32 are computed
again along the rows, one product for each tap. Both are products with bands of taps (polyphase.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.convolution.near_halves import (
    UNIT,
    ErrorBound,
    accumulated_error,
    refine,
    sums_of_windows,
)
from convcli.core.convolution.polyphase import PhaseTaps, along_columns, along_rows
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import Float32Array, FloatArray, Taps
    from convcli.core.convolution.near_halves import Places
    from convcli.signals import Array

# Samples of the rows that are computed together, and of a row of them that are converted together.
_TILE = 1 << 19
_STRIP = 1 << 8
# Where a larger part of the means is doubtful, all (of a tile) are computed in float64.
MOST_DOUBTFUL = 1 / 50


def refined_lines(
    x: Array, lines: tuple[Taps, Taps], step: tuple[int, ...], *, to_bytes: bool
) -> Array:
    """Return the valid correlation of bytes with the outer product of two lines.

    x : (rows, columns, channels) bytes; lines : the column and the row
    to_bytes : return rounded bytes, as every mean rounds to 0 ... 255; else float32
    """
    column, row = lines
    if row.size == step[1] == 1:
        return _refined_columns(x, PhaseTaps.one_phase(column * row, step[0]), to_bytes=to_bytes)
    if column.size == step[0] == 1:
        return _refined_rows(x, PhaseTaps.one_phase(row * column, step[1]), to_bytes=to_bytes)
    down, across = (PhaseTaps.one_phase(w, s) for w, s in zip(lines, step, strict=True))
    rows = (len(x) - column.size) // step[0] + 1
    height = max(1, _TILE // x[0].size)
    tiles = []
    for first in range(0, rows, height):
        last = min(first + height, rows)
        read = x[first * step[0] : (last - 1) * step[0] + column.size]
        filtered = _columns_in_float64(read, down)
        tiles.append(_refined_rows(filtered, across, to_bytes=to_bytes))
    return np.concatenate(tiles)


def _refined_rows(x: Array, taps: PhaseTaps, *, to_bytes: bool) -> Array:
    """Return the valid correlation along the rows of (rows, columns, channels) alone."""
    planes = np.moveaxis(x, -1, 0)
    refined = _refined(planes, _Line(taps, 2), to_bytes=to_bytes)
    y = np.empty((*refined.shape[1:], len(refined)), refined.dtype)
    # Channel by channel: one long inner loop each, where interleaved channels make short ones.
    for channel, plane in enumerate(refined):
        y[..., channel] = plane
    return y


def _refined_columns(x: Array, taps: PhaseTaps, *, to_bytes: bool) -> Array:
    """Return the valid correlation along the columns of (rows, columns, channels) alone."""
    samples = x.reshape(len(x), -1)
    width = max(_STRIP, _TILE // len(x))
    strips = []
    for left in range(0, samples.shape[1], width):
        strip = samples[:, left : left + width]
        strips.append(_refined(strip, _Line(taps, 0), to_bytes=to_bytes))
    y = np.concatenate(strips, axis=1)
    return y.reshape(len(y), *x.shape[1:])


def _columns_in_float64(x: Array, taps: PhaseTaps) -> FloatArray:
    """Return the valid correlation along the columns of (rows, columns, channels)."""
    samples = x.reshape(len(x), -1)
    outputs = (len(x) - taps.width) // taps.step + 1
    y = np.empty((outputs, samples.shape[1]))
    for left in range(0, samples.shape[1], _STRIP):
        some = slice(left, left + _STRIP)
        strip = samples[:, some].astype(np.float64)
        y[:, some] = along_columns(strip, taps)
    return y.reshape(outputs, *x.shape[1:])


@dataclass(frozen=True, eq=False)
class _Line:
    """Taps along one axis of samples: 0 for the columns of a plane, 2 for the rows of planes."""

    taps: PhaseTaps
    axis: int

    def filtered(self, x: Array) -> Array:
        """Return the valid correlation of floating samples."""
        along = along_columns if self.axis == 0 else along_rows
        return along(np.ascontiguousarray(x), self.taps)

    def sums_at(self, places: Places, x: Array) -> FloatArray:
        """Return the results at some places in float64."""
        windows = sliding_window_view(x, self.taps.width, axis=self.axis)
        strides = [1] * x.ndim
        strides[self.axis] = self.taps.step
        (weights,) = self.taps.table
        starts = tuple(place * s for place, s in zip(places, strides, strict=True))
        return sums_of_windows(windows, starts, lambda read, _: read @ weights)


def _refined(x: Array, line: _Line, *, to_bytes: bool) -> Array:
    """Return the valid correlation along a line, computed in float32.

    x : bytes or float64
    """
    least, most = float(x.min()), float(x.max())
    # Smaller numbers have smaller errors.
    middle = (least + most) / 2
    y = line.filtered(_less(x, middle))
    (weights,) = line.taps.table
    level = middle * float(weights.sum())
    y += np.float32(level)

    bound = _error_bound(weights, (most - least) / 2, level)
    return refine(
        y,
        ErrorBound(0.0, bound),
        at=lambda places: line.sums_at(places, x),
        everywhere=lambda: line.filtered(x.astype(np.float64, copy=False)),
        most=MOST_DOUBTFUL * y.size,
        to_bytes=to_bytes,
    )


def _less(x: Array, middle: float) -> Float32Array:
    """Return x - middle, rounded once."""
    if x.dtype == np.uint8:
        # The difference of a byte and half of a whole number is exact.
        near_zero = x.astype(np.float32)
        near_zero -= np.float32(middle)
        return near_zero
    near_zero = np.empty(x.shape, np.float32)
    np.subtract(x, middle, out=near_zero, casting="same_kind")
    return near_zero


def _error_bound(line: Taps, largest: float, level: float) -> float:
    """Return the largest error of a mean up to 256 that float32 computes along a line.

    The roundings of a sum of k terms are k - 1 additions, the product, the tap and the sample. Then
    the level is rounded and added, and `near_halves.py` adds and compares: five numbers that are
    rounded, the last four of them at most 256.

    largest : size of the samples; level : what is added to the sum
    """
    relative = accumulated_error(line.size + 2, UNIT)
    of_sum = relative * largest * float(np.abs(line).sum())
    return of_sum + UNIT * (abs(level) + 4 * 256)
