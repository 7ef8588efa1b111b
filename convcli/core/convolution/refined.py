"""Convolutions of bytes in float32 whose results are rounded as those of float64 are.

Few results lie so near to one half that the error of float32 could take them to the other side.
Those are computed once more in float64. The filter then takes hardly longer; in float64 throughout
it would take three times as long (a kernel by FFT a quarter longer). Long separable kernels have a
way of their own (`refined_lines.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.convolution.convolve import mean_valid
from convcli.core.convolution.convolve_2d import LONGEST_PRODUCT, SHORT_LINE, factor
from convcli.core.convolution.near_halves import (
    UNIT,
    ErrorBound,
    accumulated_error,
    refine,
    sums_of_windows,
)
from convcli.core.convolution.refined_lines import MOST_DOUBTFUL, refined_lines
from convcli.core.convolution.rounding import share_a_denominator

if TYPE_CHECKING:
    from convcli.array_types import FloatArray, Taps
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

    The roundings of a sum of k terms are k - 1 additions, the product and the tap itself. A
    division by the sum of taps brings two more, and the comparison in `near_halves.py` three.
    OpenCV's FFT adds up in float64; only the tap and the sum are rounded to float32.
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
    return ErrorBound(accumulated_error(roundings + 2 + 3, UNIT), by_fft)


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
    to_bytes = is_mean and 255 * float(weights.sum()) < _ROUNDED_TO_255
    lines = factor(weights)
    if lines is not None and not _are_short(lines):
        return refined_lines(x, lines, step, to_bytes=to_bytes)

    def at(places: Places) -> FloatArray:
        row, column, channel = places
        windows = sliding_window_view(x, weights.shape, axis=(0, 1))
        starts = (row * step[0], column * step[1], channel)
        flat = weights.reshape(-1)
        return sums_of_windows(windows, starts, lambda read, _: read.reshape(len(read), -1) @ flat)

    def everywhere() -> Array:
        numbers = x.astype(np.float64)
        return mean_valid(numbers, weights, 1.0, step, exact=False, finite=True)

    y = mean_valid(x, window, divisor, step, exact=False, finite=True)
    most = MOST_DOUBTFUL * y.size
    bound = error_of_sums(weights)
    if not is_mean:
        bound = ErrorBound(0.0, error_bound(weights))
    return refine(y, bound, at=at, everywhere=everywhere, most=most, to_bytes=to_bytes)
