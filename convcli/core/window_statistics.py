"""Means and squared deviations of every window, from nothing but the samples of the window itself.

A running sum carries what it has forgotten: after 1e15 a window of 1e-3 comes out as 0. Here every window of k samples
is the end of one stretch of k and the beginning of the next (van Herk, 1992, Pattern Recognition Letters 13), and is
summed about the last sample of the first stretch, which lies in it. The sum of squares about a sample of the window is
at most k + 1 times that about the mean, so the relative error of the deviation is bounded whatever stands around.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.core.convolve import runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.signals import Array

    Flags = npt.NDArray[np.bool_]

# Below so many times the rounding of its mean the variation of a window is rounding.
ROUNDING = 8 * np.finfo(np.float64).eps


def window_moments(x: Array, k: int) -> tuple[Array, Array]:
    """Mean of each window of `k` samples along axis 0, and the sum of squared deviations from it.

    x : (n, ...) finite. Returns two arrays (n - k + 1, ...) float64; the second is 0 where the window is flat.
    """
    outputs = len(x) - k + 1
    lanes = np.ascontiguousarray(np.moveaxis(x, 0, -1), np.float64).reshape(-1, len(x))
    mean, deviation = np.empty((len(lanes), outputs)), np.empty((len(lanes), outputs))
    for lane, m, d in zip(lanes, mean, deviation, strict=True):
        m[:], d[:] = _of_lane(lane, k)
    shape = (*x.shape[1:], outputs)
    return np.moveaxis(mean.reshape(shape), -1, 0), np.moveaxis(deviation.reshape(shape), -1, 0)


def _of_lane(x: Array, k: int) -> tuple[Array, Array]:
    outputs = len(x) - k + 1
    stretches = -(-outputs // k)
    padded = np.full((stretches + 1) * k, x[-1])
    padded[: len(x)] = x[: padded.size]
    rows = padded.reshape(-1, k)
    about = rows[:-1, -1:]
    ends, starts = rows[:-1] - about, rows[1:] - about
    total = _joined(ends, starts)
    squares = _joined(np.square(ends), np.square(starts))
    mean = total / k
    squares -= total * mean
    mean += about
    squares[squares <= k * np.square(ROUNDING * mean)] = 0
    return mean.reshape(-1)[:outputs], squares.reshape(-1)[:outputs]


def _joined(ends: Array, starts: Array) -> Array:
    """For each j the sum of ends[j:] and starts[:j]."""
    sums = np.cumsum(ends[:, ::-1], axis=1)[:, ::-1]
    sums[:, 1:] += np.cumsum(starts[:, :-1], axis=1)
    return sums


def deviations_of_some(x: Array, there: Flags) -> Array:
    """The sum of squared deviations from their mean of those samples of each window that are `there`.

    x : (n,) finite; there : (k,). Stretch after stretch of them is joined to what came before: of two sets with means
    a, b of m, n values it is that of both and (a - b)^2 m n / (m + n) (Chan, Golub & LeVeque 1979).
    """
    outputs, stretches = len(x) - len(there) + 1, runs(there)
    if not stretches:
        return np.zeros(outputs)
    if len(stretches) == 1:
        ((first, last),) = stretches
        return window_moments(x[first : last + outputs - 1], last - first)[1]
    middle = float(np.median(x))  # a large offset would cost the means digits
    mean, deviation, count = np.zeros(outputs), np.zeros(outputs), 0
    for first, last in stretches:
        size = last - first
        theirs, within = window_moments(x[first : last + outputs - 1] - middle, size)
        apart = theirs - mean
        deviation += within + np.square(apart) * (count * size / (count + size))
        mean += apart * (size / (count + size))
        count += size
    deviation[deviation <= count * np.square(ROUNDING * (np.abs(mean) + abs(middle)))] = 0
    return deviation


def window_sums(x: Array, k: int) -> Array:
    """Sum of each window of `k` samples along axis 0, of values that are not negative."""
    outputs = len(x) - k + 1
    stretches = -(-outputs // k)
    padded = np.zeros(((stretches + 1) * k, *x.shape[1:]))
    padded[: len(x)] = x[: len(padded)]
    rows = padded.reshape(-1, k, *x.shape[1:])
    return _joined(rows[:-1], rows[1:]).reshape(-1, *x.shape[1:])[:outputs]


def plane_deviations(planes: Sequence[Array], size: tuple[int, int]) -> Array:
    """The sum of squared deviations of each window of some planes, in each plane from its own mean.

    planes : (rows, columns) each, finite; size : (height, width)
    """
    height, width = size
    if all(is_whole(x, height * width * len(planes)) for x in planes):
        return _whole_deviations(planes, size)
    total: Array = np.zeros(tuple(n - k + 1 for n, k in zip(planes[0].shape, size, strict=True)))
    for x in planes:  # the rows of a window by themselves, then their means
        means, within = window_moments(x.T, width)
        _, between = window_moments(means.T, height)
        total += window_sums(within.T, height) + width * between
    return total


def is_whole(x: Array, count: int) -> bool:
    """Whether sums of `count` squares of `x` are exact: whole numbers, and not too large."""
    largest = max(-float(x.min()), float(x.max()))
    return largest * largest * count < 1 << 53 and bool(np.all(x == np.rint(x)))


def _whole_deviations(planes: Sequence[Array], size: tuple[int, int]) -> Array:
    """Of whole numbers running sums are exact: nothing is carried."""
    import cv2

    (height, width), (rows, columns) = size, planes[0].shape
    kept = np.s_[: rows - height + 1, : columns - width + 1]

    def sums(x: Array) -> Array:
        edge = cv2.BORDER_CONSTANT
        all_sums = cv2.boxFilter(
            x, cv2.CV_64F, (width, height), anchor=(0, 0), normalize=False, borderType=edge
        )
        return np.asarray(all_sums, np.float64)[kept]

    squares = np.square(planes[0], dtype=np.float64)
    for x in planes[1:]:
        squares += np.square(x, dtype=np.float64)
    deviations = sums(squares)
    for x in planes:
        total = sums(x)
        np.multiply(total, total, out=total)
        total *= 1 / (height * width)
        deviations -= total
    # A window of whole numbers that is not flat deviates by 1/2 at least; what is less is rounding.
    deviations *= deviations > 0.25
    return deviations


def touched(bad: Flags, size: tuple[int, ...]) -> Flags:
    """The windows of `size` along the leading axes that hold anything `bad`."""
    for axis, k in enumerate(size):
        counts = np.cumsum(
            np.insert(np.moveaxis(bad, axis, 0), 0, values=False, axis=0), axis=0, dtype=np.int64
        )
        bad = np.moveaxis(counts[k:] > counts[:-k], 0, axis)
    return bad
