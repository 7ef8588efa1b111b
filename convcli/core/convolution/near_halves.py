"""Convolutions of bytes in float32 whose results are rounded as those of float64 are.

Few results lie so near to one half that the error of float32 could take them to the other side.
Those are computed once more in float64. The filter then takes a quarter longer (a kernel by FFT a
tenth); in float64 throughout it would take three times as long (by FFT a quarter longer).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.core.convolution.convolve import mean_valid
from convcli.core.convolution.convolve_2d import LONGEST_PRODUCT, factor
from convcli.core.convolution.rounding import share_a_denominator
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import BoolArray, Float32Array, FloatArray, Taps
    from convcli.signals import Array

    Places = tuple[npt.NDArray[np.intp], ...]

# Half a unit in the last place of float32 and of float64.
_UNIT = 2.0**-24
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
# Where more samples of a window, for each output, would have to be read again, float64 throughout
# takes less time. OpenCV's FFT takes hardly more time in float64.
_MOST_READ_AGAIN = 25.0
_MOST_READ_AGAIN_BY_FFT = 1.0
# Where a larger part of the results is doubtful, all are computed in float64.
_MOST_DOUBTFUL = 1 / 50
# Results that are compared together, and bytes of windows that are computed together: they stay in
# the cache.
_COMPARED = 1 << 17
_GATHERED = 1 << 15


def refines_cheaply(taps: Taps, divisor: float) -> bool:
    """Return whether the results near one half are so few that it pays to compute them again."""
    if taps.ndim != 2 or not taps.any() or max(taps.shape) > LONGEST_PRODUCT:
        return False
    part = 2 * error_bound(taps / divisor)
    most = _MOST_READ_AGAIN_BY_FFT if _is_by_fft(taps) else _MOST_READ_AGAIN
    return part * taps.size < most and not share_a_denominator(taps / divisor)


def _is_by_fft(taps: Taps) -> bool:
    """Return whether OpenCV computes the sums by FFT."""
    return taps.size >= _LEAST_BY_FFT and factor(taps) is None


@dataclass(frozen=True)
class ErrorBound:
    """A bound of the error of a sum: a part of the sum of |tap| * sample, and a number beside it.

    relative : that part; absolute : the number, in units of a byte
    """

    relative: float
    absolute: float


def error_bound(taps: Taps) -> float:
    """Return the largest error of a mean of bytes weighted by taps, in float32."""
    bound = error_of_sums(taps)
    size = float(np.abs(taps).sum())
    return bound.relative * 255 * size + bound.absolute


def error_of_sums(taps: Taps) -> ErrorBound:
    """Return a bound of the error of sums of products of bytes and taps.

    A sum of products through which n roundings go, in whatever order it is added up, has a relative
    error of at most gamma(n) = n u / (1 - n u), u being half a unit in the last place (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd edition, lemma 3.1 and section 3.1). Of k
    terms, these are k - 1 additions, the product and the tap itself. A division by the sum of taps
    brings two more, and the comparison in `_doubtful` three. OpenCV's FFT adds up in float64; only
    the tap and the sum are rounded to float32.
    """
    by_fft = 0.0
    lines = factor(taps)
    if _is_by_fft(taps):
        roundings = 2
        by_fft = _error_by_fft(taps)
    elif lines is not None:
        roundings = sum(line.size + 1 for line in lines)
    else:
        roundings = taps.size + 1
    error = (roundings + 2 + 3) * _UNIT
    return ErrorBound(error / (1 - error), by_fft)


def _error_by_fft(taps: Taps) -> float:
    """Return a bound of the error that OpenCV's FFT in float64 adds to sums of bytes times taps.

    An output of a transform is a sum of its inputs times roots of 1. On its way, an input meets at
    most `_PER_HALVING` roundings, and one root, for each halving of the length: the radices are at
    most 5. OpenCV computes half of the roots by a recurrence (DFTInit in dxt.cpp), each step of
    which adds up to four units: the error of the last one is `_OF_ROOTS` times the length. By the
    inequality of Cauchy and Schwarz, the error of the circular correlation of x and w through three
    such transforms is at most gamma(n) |x| |w|, n counting the roundings of all three (Percival,
    Rapid multiplication modulo the sum and difference of highly composite numbers, Mathematics of
    Computation 72, 2003, theorem 5.1). Bytes have |x| <= 255 sqrt(pixels).
    """
    roundings = 0.0
    pixels = 1.0
    for k in taps.shape:
        side = _NEXT_FFT * max(_SHORTEST_TILE + k, _LARGEST_TILE * k)
        roundings += math.log2(side) * (_PER_HALVING + _OF_ROOTS * side)
        pixels *= side
    error = 3 * roundings * _DOUBLE_UNIT
    norms = 255 * math.sqrt(pixels) * float(np.linalg.norm(taps))
    return error / (1 - error) * norms


def refined(y: Array, x: Array, window: Taps, step: tuple[int, ...]) -> Array:
    """Return results that are rounded to whole numbers as float64 would be.

    y : (rows, columns, channels) the valid correlation of x with the window, float32; it is changed
    x : (rows, columns, channels) bytes; window : (height, width)
    """
    places = _doubtful(y, window)
    doubtful = len(places[0])
    if doubtful > _MOST_DOUBTFUL * y.size:
        return mean_valid(x.astype(np.float64), window, 1.0, step, exact=False, finite=True)
    if doubtful > 0:
        y[places] = _rounded_alike(_sums_at(places, x, window, step))
    return y


def _doubtful(y: Array, window: Taps) -> Places:
    """Return the rows, columns and channels of the results that may be rounded to either side.

    Rounded with the largest error added and taken off, they become different bytes. The error of
    sums of positive numbers is in proportion to the sum.
    """
    import cv2

    bound = error_of_sums(window)
    relative, absolute = bound.relative, bound.absolute
    if not (window >= 0).all():
        relative, absolute = 0.0, error_bound(window)
    row = math.prod(y.shape[1:])
    together = max(1, _COMPARED // max(row, 1))
    found = []
    for first in range(0, len(y), together):
        part = y[first : first + together]
        more: Any = cv2.convertScaleAbs(part, alpha=1 + relative, beta=absolute)
        less: Any = cv2.convertScaleAbs(part, alpha=1 - relative, beta=-absolute)
        places = _places_of_few((more != less).reshape(-1))
        found.append(places + first * row)
    return np.unravel_index(np.concatenate(found), y.shape)


def _places_of_few(flags: BoolArray) -> npt.NDArray[np.intp]:
    """Return `np.flatnonzero(flags)` in a third of the time if few of them are true."""
    whole = len(flags) // 8 * 8
    words = flags[:whole].view(np.uint64)
    of_eight = np.flatnonzero(words != 0)
    number, place = np.nonzero(flags[:whole].reshape(-1, 8)[of_eight])
    rest = whole + np.flatnonzero(flags[whole:])
    return np.concatenate([8 * of_eight[number] + place, rest])


def _sums_at(places: Places, x: Array, window: Taps, step: tuple[int, ...]) -> FloatArray:
    """Return the results at these places in float64."""
    row, column, channel = places
    windows = np.lib.stride_tricks.sliding_window_view(x, window.shape, axis=(0, 1))
    weights = window.reshape(-1)
    sums = np.empty(len(row))
    together = max(1, _GATHERED // window.size)
    for first in range(0, len(row), together):
        part = slice(first, first + together)
        read = windows[row[part] * step[0], column[part] * step[1], channel[part]]
        samples = read.reshape(len(read), -1).astype(np.float64)
        sums[part] = samples @ weights
    return sums


def _rounded_alike(sums: FloatArray) -> Float32Array:
    """Return the float32 next to each sum that is rounded to the same whole number."""
    near = sums.astype(np.float32)
    whole = np.rint(sums)
    crossed = np.rint(near) != whole
    near[crossed] = np.nextafter(near[crossed], whole[crossed].astype(np.float32))
    return near
