"""Mean and squared deviations of every window of a signal, without the errors of running sums.

A running sum keeps the rounding errors of samples that have left the window: after a sample of
1e15, a window of values around 1e-3 gets the sum 0. Here the signal is cut into stretches of k
samples. A window of k samples is the end of one stretch and the beginning of the next (van Herk,
1992, Pattern Recognition Letters 13), and both parts are summed about the last sample of the first
stretch, which lies in the window. The sum of squares about a sample of the window is at most k + 1
times that about its mean, so the relative error of the deviation is bounded whatever lies around.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.convolution.convolve import true_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import BoolArray
    from convcli.signals import Array


# A window that varies by less than this part of its mean is flat: the variation is rounding.
FLAT_SHARE = 8 * np.finfo(np.float64).eps


def window_moments(x: Array, k: int) -> tuple[Array, Array]:
    """Mean of each window of `k` samples along axis 0, and the sum of squared deviations from it.

    x : (n, ...) finite. Returns two arrays (n - k + 1, ...) float64; the second is 0 where the
        window is flat.
    """
    outputs = len(x) - k + 1
    channels = np.ascontiguousarray(np.moveaxis(x, 0, -1), np.float64).reshape(-1, len(x))
    means = np.empty((len(channels), outputs))
    deviations = np.empty((len(channels), outputs))
    for number, channel in enumerate(channels):
        means[number], deviations[number] = _channel_moments(channel, k)
    shape = (*x.shape[1:], outputs)
    return (
        np.moveaxis(means.reshape(shape), -1, 0),
        np.moveaxis(deviations.reshape(shape), -1, 0),
    )


def _channel_moments(x: Array, k: int) -> tuple[Array, Array]:
    """`window_moments` of one channel, (n,)."""
    outputs = len(x) - k + 1
    stretches = _stretches(x, k, fill=x[-1])
    reference = stretches[:-1, -1:]
    ends = stretches[:-1] - reference
    starts = stretches[1:] - reference
    total = _end_and_start_sums(ends, starts)
    deviation = _end_and_start_sums(np.square(ends), np.square(starts))
    mean = total / k
    deviation -= total * mean
    mean += reference
    rounding = k * np.square(FLAT_SHARE * mean)
    deviation[deviation <= rounding] = 0
    return mean.reshape(-1)[:outputs], deviation.reshape(-1)[:outputs]


def _stretches(x: Array, k: int, *, fill: float) -> Array:
    """The signal (n, ...) in stretches (count, k, ...), one more than windows start in."""
    windows = len(x) - k + 1
    count = -(-windows // k) + 1
    padded = np.full((count * k, *x.shape[1:]), fill, np.float64)
    padded[: len(x)] = x[: len(padded)]
    return padded.reshape(count, k, *x.shape[1:])


def _end_and_start_sums(ends: Array, starts: Array) -> Array:
    """The sum of ends[j:] and starts[:j] for each j along axis 1, where windows start."""
    sums = np.cumsum(ends[:, ::-1], axis=1)[:, ::-1]
    sums[:, 1:] += np.cumsum(starts[:, :-1], axis=1)
    return sums


def partial_deviations(x: Array, counted: BoolArray) -> Array:
    """The sum of squared deviations from their mean of the `counted` samples of each window.

    x : (n,) finite; counted : (k,). Returns (n - k + 1,) float64.
    Runs of counted samples are merged one after the other. Two sets of m and n values with means a
    and b together deviate by the deviations of both plus (a - b)^2 m n / (m + n) (Chan, Golub &
    LeVeque, 1979).
    """
    outputs = len(x) - len(counted) + 1
    parts = true_runs(counted)
    if not parts:
        return np.zeros(outputs)
    if len(parts) == 1:
        ((first, last),) = parts
        _, deviation = window_moments(x[first : last + outputs - 1], last - first)
        return deviation
    middle = float(np.median(x))  # taken off, because a large offset would cost the means digits
    mean = np.zeros(outputs)
    deviation = np.zeros(outputs)
    count = 0
    for first, last in parts:
        size = last - first
        samples = x[first : last + outputs - 1] - middle
        part_mean, part_deviation = window_moments(samples, size)
        difference = part_mean - mean
        share = count * size / (count + size)
        deviation += part_deviation + np.square(difference) * share
        mean += difference * (size / (count + size))
        count += size
    level = np.abs(mean) + abs(middle)
    rounding = count * np.square(FLAT_SHARE * level)
    deviation[deviation <= rounding] = 0
    return deviation


def plane_deviations(planes: Sequence[Array], size: tuple[int, int]) -> Array:
    """The sum of squared deviations of each window over several planes, each from its own mean.

    planes : (rows, columns) each, finite; size : (height, width)
    Returns (rows - height + 1, columns - width + 1) float64.
    """
    height, width = size
    if all(_exact_squares(plane, height * width * len(planes)) for plane in planes):
        return _deviations_of_whole_numbers(planes, size)
    rows, columns = planes[0].shape
    total: Array = np.zeros((rows - height + 1, columns - width + 1))
    for plane in planes:
        # Deviations within the rows of a window, and of their means from each other.
        row_means, within_rows = window_moments(plane.T, width)
        _, between_rows = window_moments(row_means.T, height)
        total += _sums_of_positives(within_rows.T, height) + width * between_rows
    return total


def _sums_of_positives(x: Array, k: int) -> Array:
    """The sum of each window of `k` values along axis 0, for values that are not negative."""
    stretches = _stretches(x, k, fill=0.0)
    sums = _end_and_start_sums(stretches[:-1], stretches[1:])
    windows = len(x) - k + 1
    return sums.reshape(-1, *x.shape[1:])[:windows]


def _exact_squares(x: Array, count: int) -> bool:
    """Whether sums of `count` squares of `x` are exact: whole numbers, and not too large."""
    largest = max(-float(x.min()), float(x.max()))
    if largest * largest * count >= 1 << 53:
        return False
    return np.array_equal(x, np.rint(x))


def _deviations_of_whole_numbers(planes: Sequence[Array], size: tuple[int, int]) -> Array:
    """`plane_deviations` by running sums, which are exact for whole numbers."""
    height, width = size
    squares = np.square(planes[0], dtype=np.float64)
    for plane in planes[1:]:
        squares += np.square(plane, dtype=np.float64)
    deviations = _box_sums(squares, size)
    for plane in planes:
        total = _box_sums(plane, size)
        np.multiply(total, total, out=total)
        total *= 1 / (height * width)
        deviations -= total
    # Whole numbers that are not all equal deviate by at least 1/2; less is rounding.
    deviations *= deviations > 0.25
    return deviations


def _box_sums(plane: Array, size: tuple[int, int]) -> Array:
    """The sum of each window of `size`, float64."""
    import cv2

    height, width = size
    rows, columns = plane.shape
    sums = cv2.boxFilter(
        plane,
        cv2.CV_64F,
        (width, height),
        anchor=(0, 0),
        normalize=False,
        borderType=cv2.BORDER_CONSTANT,
    )
    return np.asarray(sums, np.float64)[: rows - height + 1, : columns - width + 1]


def windows_holding(flags: BoolArray, size: tuple[int, ...]) -> BoolArray:
    """Whether each window of `size` along the leading axes holds a true flag."""
    for axis, k in enumerate(size):
        along = np.moveaxis(flags, axis, 0)
        with_zero = np.insert(along, 0, values=False, axis=0)
        counts = np.cumsum(with_zero, axis=0, dtype=np.int64)
        flags = np.moveaxis(counts[k:] > counts[:-k], 0, axis)
    return flags
