"""Convolutions of bytes in float32 whose results are rounded as those of float64 are.

Few results lie so near to one half that the error of float32 could take them to the other side.
Those are computed once more in float64. The filter then takes hardly longer; in float64 throughout
it would take three times as long (a kernel by FFT a quarter longer).

Of long separable kernels, columns are filtered in float64, the rows of the result in float32: three
quarters of the time of float64 alone. The doubtful means are computed again along the rows, one
product for each tap. Both are products with bands of taps (polyphase.py).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.convolution.convolve import mean_valid
from convcli.core.convolution.convolve_2d import LONGEST_PRODUCT, SHORT_LINE, factor
from convcli.core.convolution.near_halves import (
    FLOAT32_HALF_ULP,
    ErrorBound,
    InDouble,
    accumulated_error,
    refine,
    sums_of_windows,
)
from convcli.core.convolution.polyphase import PhaseTaps, along_columns, along_rows
from convcli.core.convolution.rounding import share_a_denominator
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import Float32Array, FloatArray, Taps
    from convcli.core.convolution.near_halves import Places
    from convcli.signals import Array


# Half a unit in the last place of float64.
_DOUBLE_UNIT = 2.0**-53
# The smallest kernel that is not separable of which OpenCV computes the sums by FFT. The length of
# its transforms is at most `_SHORTEST_TILE` pixels and the kernel, or `_LARGEST_TILE` kernels, up
# to the next length with an FFT.
_LEAST_BY_FFT = 130
_SHORTEST_TILE = 256
_LARGEST_TILE = 5.5
_NEXT_FFT = 1.25
# Roundings of an FFT for each halving of its length, and the error of its roots in units for each
# pixel of its length.
_PER_HALVING = 9
_OF_ROOTS = 2
# The most samples that may be read again, as a mean over all outputs: beyond it float64 throughout
# takes less time. OpenCV's FFT takes hardly more time in float64.
_MOST_READ_AGAIN = 25.0
_MOST_READ_AGAIN_BY_FFT = 1.0
# A separable kernel with more taps along an axis is computed faster by FFTs in float64.
_LONGEST_LINE = 900
# Where a larger part of the means is doubtful, all (of a tile) are computed in float64.
_MOST_DOUBTFUL = 1 / 50
# Samples of the strips in which a window of few taps is filtered.
_STRIP_SAMPLES = 1 << 18
# Means below this number are rounded to 255 at most.
_ROUNDED_TO_255 = 255.49


def refines_cheaply(taps: Taps, divisor: float) -> bool:
    """Return whether the results near one half are so few that it pays to compute them again."""
    if taps.ndim != 2 or not taps.any():
        return False
    weights = taps / divisor
    lines = factor(weights)
    longest = LONGEST_PRODUCT if lines is None else _LONGEST_LINE
    if max(taps.shape) > longest:
        return False
    if lines is None or _are_short(lines):
        most = _MOST_READ_AGAIN_BY_FFT if _is_by_fft(taps, lines) else _MOST_READ_AGAIN
        part = 2 * error_bound(weights)
        if part * taps.size >= most:
            return False
    return not share_a_denominator(weights)


def computes_rows_twice(taps: Taps) -> bool:
    """Return whether a block of outputs costs the time of as many rows as it reads.

    OpenCV computes both lines of a window at once, an output for every row that it reads. So what
    two blocks read is computed twice.
    """
    lines = factor(taps)
    return lines is not None and _are_short(lines)


def _are_short(lines: tuple[Taps, Taps]) -> bool:
    """Return whether OpenCV filters by both lines at once."""
    return max(line.size for line in lines) <= SHORT_LINE


def _is_by_fft(taps: Taps, lines: tuple[Taps, Taps] | None) -> bool:
    """Return whether OpenCV computes the sums by FFT.

    lines : the factors of the taps
    """
    return lines is None and taps.size >= _LEAST_BY_FFT


def error_bound(taps: Taps) -> float:
    """Return the largest error of a mean of bytes weighted by taps, in float32."""
    bound = error_of_sums(taps)
    size = float(np.abs(taps).sum())
    return bound.relative * 255 * size + bound.absolute


def error_of_sums(taps: Taps) -> ErrorBound:
    """Return a bound of the error of sums of products of bytes and taps.

    The roundings of a sum of k terms are k - 1 additions, the product and the tap itself. The
    comparison in `near_halves.py` brings three more. OpenCV's FFT adds up in float64; only the tap
    and the sum are rounded to float32.
    """
    by_fft = 0.0
    lines = factor(taps)
    if _is_by_fft(taps, lines):
        roundings = 2
        by_fft = _error_by_fft(taps)
    elif lines is not None:
        roundings = sum(line.size + 1 for line in lines)
    else:
        roundings = taps.size + 1
    return ErrorBound(accumulated_error(roundings + 3, FLOAT32_HALF_ULP), by_fft)


def _error_by_fft(taps: Taps) -> float:
    """Return a bound of the error that OpenCV's FFT in float64 adds to sums of bytes times taps.

    An output of a transform is a sum of its inputs times roots of 1. On its way, an input meets at
    most `_PER_HALVING` roundings, and one root, for each halving of the length: the radices are at
    most 5. OpenCV computes half of the roots by a recurrence (DFTInit in dxt.cpp), each step of
    which adds up to four units: the error of the last one is `_OF_ROOTS` times the length. By the
    inequality of Cauchy and Schwarz, the error of the circular correlation of x and w through three
    such transforms is at most `accumulated_error(n)` |x| |w|, n counting the roundings of all three
    (Percival, Rapid multiplication modulo the sum and difference of highly composite numbers,
    Mathematics of Computation 72, 2003, theorem 5.1). Bytes have |x| <= 255 sqrt(pixels).
    """
    roundings = 0.0
    pixels = 1.0
    for k in taps.shape:
        side = _NEXT_FFT * max(_SHORTEST_TILE + k, _LARGEST_TILE * k)
        roundings += math.log2(side) * (_PER_HALVING + _OF_ROOTS * side)
        pixels *= side
    norms = 255 * math.sqrt(pixels) * float(np.linalg.norm(taps))
    return accumulated_error(3 * roundings, _DOUBLE_UNIT) * norms


def refined_mean(x: Array, window: Taps, divisor: float, step: tuple[int, ...]) -> Array:
    """Return `mean_valid` of bytes, to be rounded to whole numbers as in float64.

    x : (rows, columns, channels) bytes; window : (height, width)
    Returns float32, or bytes if none of the means has to be cut off.
    """
    weights = window / divisor
    is_mean = bool((weights >= 0).all())
    largest = 255 * float(weights.sum())
    to_bytes = is_mean and largest < _ROUNDED_TO_255
    lines = factor(weights)
    if lines is not None and not _are_short(lines):
        return refined_lines(x, lines, step, to_bytes=to_bytes)
    kernel = _WeightedWindow(weights, step)
    strips = kernel.strips(x)
    shape = kernel.outputs_of(x)
    bound = error_of_sums(weights)
    if not is_mean:
        bound = ErrorBound(0.0, error_bound(weights))
    in_double = InDouble(
        at=lambda places: kernel.sums_at(places, x),
        everywhere=lambda: kernel.filtered(x),
        most=_MOST_DOUBTFUL * math.prod(shape),
    )
    return refine(map(kernel.sums, strips), shape, bound, in_double, to_bytes=to_bytes)


@dataclass(frozen=True, eq=False)
class _WeightedWindow:
    """The weights of a window, (height, width), and its step along each axis."""

    weights: Taps
    step: tuple[int, ...]

    def outputs_of(self, x: Array) -> tuple[int, ...]:
        """Return the shape of the results."""
        counts = zip(x.shape, self.weights.shape, self.step, strict=False)
        return (*((n - k) // step + 1 for n, k, step in counts), x.shape[2])

    def strips(self, x: Array) -> Iterator[Array]:
        """Yield the inputs of strips of results, which lie side by side and fit the cache.

        A Gaussian of 25 x 25 taps then takes three quarters of the time.
        """
        width = self.weights.shape[1]
        step = self.step[1]
        _, outputs, channels = self.outputs_of(x)
        together = max(16 * width, _STRIP_SAMPLES // (len(x) * channels))
        if _is_by_fft(self.weights, factor(self.weights)):
            together = outputs
        for first in range(0, outputs, together):
            last = min(first + together, outputs)
            yield x[:, first * step : (last - 1) * step + width]

    def sums(self, x: Array) -> Array:
        """Return the valid correlation, in float32 of bytes."""
        return mean_valid(x, self.weights, 1.0, self.step, exact=False, finite=True)

    def filtered(self, x: Array) -> Array:
        """Return the valid correlation in float64."""
        y = [self.sums(strip.astype(np.float64)) for strip in self.strips(x)]
        return np.concatenate(y, axis=1)

    def sums_at(self, places: Places, x: Array) -> FloatArray:
        """Return the results at some places in float64."""
        row, column, channel = places
        windows = sliding_window_view(x, self.weights.shape, axis=(0, 1))
        starts = (row * self.step[0], column * self.step[1], channel)
        return sums_of_windows(windows, starts, self._products)

    def _products(self, read: FloatArray, _: slice) -> FloatArray:
        """Sum up windows, (windows, height, width)."""
        samples = read.reshape(len(read), -1)
        return samples @ self.weights.reshape(-1)


# --------------------------------------------------------------------------- long separable kernels


# Samples of the rows that are computed together, and of a row of them that are converted together.
_TILE = 1 << 19
_STRIP = 1 << 8


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

    bound = _error_along_line(weights, (most - least) / 2, level)
    in_double = InDouble(
        at=lambda places: line.sums_at(places, x),
        everywhere=lambda: line.filtered(x.astype(np.float64, copy=False)),
        most=_MOST_DOUBTFUL * y.size,
    )
    return refine([y], y.shape, ErrorBound(0.0, bound), in_double, to_bytes=to_bytes)


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


def _error_along_line(line: Taps, largest: float, level: float) -> float:
    """Return the largest error of a mean up to 256 that float32 computes along a line.

    The roundings of a sum of k terms are k - 1 additions, the product, the tap and the sample. Then
    the level is rounded and added, and `near_halves.py` adds and compares: five numbers that are
    rounded, the last four of them at most 256.

    largest : size of the samples; level : what is added to the sum
    """
    relative = accumulated_error(line.size + 2, FLOAT32_HALF_ULP)
    of_sum = relative * largest * float(np.abs(line).sum())
    return of_sum + FLOAT32_HALF_ULP * (abs(level) + 4 * 256)
