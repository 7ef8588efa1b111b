"""Order statistics of every window: medians, quantiles, ranks, deviations from the median.

Each is a formula of the k-th smallest known samples of a window (`OrderedWindows`). A short window
is sorted; a long one of a series is looked up in a tree (`kth_smallest.py`), in a time that grows
with the logarithm of its length; a large one of a picture is counted (`counted.py`). All choose
samples without rounding, so the answer does not depend on which of them ran, nor on where a block
begins.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.convolution.direct import window_counts
from convcli.core.windows.counted import counted_windows
from convcli.core.windows.kth_smallest import LookedUpWindows, SortedWindows
from convcli.core.windows.sliding import WindowFunction
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import Sizes
    from convcli.core.convolution.rounding import Rounding
    from convcli.core.windows.kth_smallest import OrderedWindows
    from convcli.core.windows.ragged import RaggedWindows
    from convcli.signals import Array


# The standard deviation of a normal distribution over its median absolute deviation.
NORMAL_SCALE = 1.4826

# OpenCV computes medians of float32 in squares of these sides.
_FLOAT_SIDES = (3, 5)


class OrderStatistic(WindowFunction):
    """A statistic of the ordered samples of a window."""

    # The place in a window of the sample that its output is aligned with, for statistics that read
    # that sample.
    own: Sizes = ()

    # Whether the statistic looks up many samples of a window, instead of one or two.
    searches = False

    @property
    def rounding(self) -> Rounding:
        """The rounding class: a sample is chosen, or the mean of two."""
        return "exact"

    @abstractmethod
    def of_ordered(self, windows: OrderedWindows) -> Array:
        """Return the number of each window, (windows,); any number where no sample is known."""

    def of_windows(self, x: Array, size: Sizes, step: Sizes) -> Array:
        """Compute some windows at a time."""
        y = np.empty((len(x), *window_counts(x.shape[1:], size, step)))
        flat = y.reshape(-1)
        own = self.own or (0,) * len(size)
        first = 0
        for windows in ordered_windows(x, size, step, own=own, searches=self.searches):
            numbers = self.of_ordered(windows)
            last = first + len(numbers)
            flat[first:last] = np.where(windows.known > 0, numbers, np.nan)
            first = last
        return y


@dataclass(frozen=True, eq=False)
class Median(OrderStatistic):
    """The middle one of the known samples, or the mean of the two in the middle."""

    nn_windows = "quantile({windows}, 0.5, {axes})"

    def of_ordered(self, windows: OrderedWindows) -> Array:
        """Return the median of each window."""
        return _median(windows)

    def of_windows(self, x: Array, size: Sizes, step: Sizes) -> Array:
        """Compute medians along one axis by bottleneck, in small squares by OpenCV."""
        if len(size) == 1:
            import bottleneck

            k = size[0]
            y = bottleneck.move_median(x, k, min_count=1, axis=1)
            return np.asarray(y[:, k - 1 :: step[0]])
        if size[0] == size[1] and size[0] in _FLOAT_SIDES:
            single = x.astype(np.float32)
            if bool((single == x).all()):
                made = [_square_medians(plane[..., None], size[0], step) for plane in single]
                return np.concatenate(made, axis=2).transpose(2, 0, 1)
        return super().of_windows(x, size, step)

    def of_stored(self, x: Array, size: Sizes, step: Sizes) -> Array | None:
        """Compute medians of bytes in squares of odd sides by OpenCV."""
        if x.dtype != np.uint8 or x.ndim != 3:
            return None
        side, width = size
        is_odd_square = side == width and side % 2 == 1
        # OpenCV takes sides up to 255.
        if not is_odd_square or side > 255:
            return None
        channels = x.shape[2]
        if channels in (1, 3, 4):
            return _square_medians(x, side, step)
        planes = np.split(x, channels, axis=2)
        made = [_square_medians(plane, side, step) for plane in planes]
        return np.concatenate(made, axis=2)


@dataclass(frozen=True, eq=False)
class Quantile(OrderStatistic):
    """The quantile `q` of the known samples, interpolated linearly between two of them."""

    q: float

    rounding = "rounded"

    @property
    def nn_windows(self) -> str:
        """The quantile of PyTorch and JAX, which interpolate alike."""
        return f"quantile({{windows}}, {self.q:g}, {{axes}})"

    def of_ordered(self, windows: OrderedWindows) -> Array:
        """Return the quantile of each window."""
        last = np.maximum(windows.known - 1, 0)
        place = self.q * last
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, last)
        low = windows.smallest(below)
        high = windows.smallest(above)
        share = place - below
        with np.errstate(invalid="ignore", over="ignore"):
            between = low + (high - low) * share
        return np.where((share == 0) | (low == high), low, between)


@dataclass(frozen=True, eq=False, kw_only=True)
class Rank(OrderStatistic):
    """The rank of the output's own sample among the known samples of its window: 1 is the smallest.

    Equal samples share the mean of their ranks.

    share : divide the rank by the number of known samples
    """

    own: Sizes
    share: bool
    homogeneous = False
    about_own_sample = True

    @property
    def rounding(self) -> Rounding:
        """The rounding class: ranks are whole or end in one half."""
        return "rounded" if self.share else "exact"

    def of_ordered(self, windows: OrderedWindows) -> Array:
        """Return the rank; missing where the sample itself is."""
        less, not_more = windows.counts_of_own()
        rank = (less + not_more + 1) / 2
        if self.share:
            rank /= np.maximum(windows.known, 1)
        return np.where(np.isnan(windows.own), np.nan, rank)


@dataclass(frozen=True, eq=False)
class MedianDeviation(OrderStatistic):
    """The median of the distances of the known samples from their median, not scaled."""

    searches = True

    def of_ordered(self, windows: OrderedWindows) -> Array:
        """Return the median absolute deviation of each window."""
        return _median_deviation(windows, _median(windows))


@dataclass(frozen=True, eq=False, kw_only=True)
class Hampel(OrderStatistic):
    """The sample itself, or the median of its window if it lies far from that median.

    limit : the largest distance of a sample that is kept, in scaled median absolute deviations
    """

    own: Sizes
    limit: float

    searches = True
    about_own_sample = True

    def of_ordered(self, windows: OrderedWindows) -> Array:
        """Return the sample or the median; the median of a missing sample."""
        median = _median(windows)
        allowed = self.limit * NORMAL_SCALE * _median_deviation(windows, median)
        with np.errstate(invalid="ignore"):
            stays = np.abs(windows.own - median) <= allowed
        # Infinities are no nearer to each other than to any other sample.
        stays |= windows.own == median
        return np.where(stays, windows.own, median)


def _square_medians(x: Array, side: int, step: Sizes) -> Array:
    """The medians of squares of odd sides in (rows, columns, channels), by OpenCV."""
    import cv2

    rows, columns = (n - side + 1 for n in x.shape[:2])
    half = side // 2
    y: Any = cv2.medianBlur(np.ascontiguousarray(x), side)
    complete = y.reshape(x.shape)[half : half + rows, half : half + columns]
    return np.asarray(complete[:: step[0], :: step[1]])


def _median(windows: OrderedWindows) -> Array:
    known = np.maximum(windows.known, 1)
    low = windows.smallest((known - 1) // 2)
    if not _has_even(known):
        return low
    high = windows.smallest(known // 2)
    return _mean_of_two(low, high)


def _median_deviation(windows: OrderedWindows, median: Array) -> Array:
    """The median distance of the known samples from `median`."""
    known = np.maximum(windows.known, 1)
    low = _distance(windows, median, (known - 1) // 2)
    if not _has_even(known):
        return low
    high = _distance(windows, median, known // 2)
    return _mean_of_two(low, high)


def _has_even(counts: Any) -> bool:
    """Whether some window has two samples in the middle."""
    return bool((counts % 2 == 0).any())


def _mean_of_two(low: Array, high: Array) -> Array:
    """The means of two samples; equal infinities stay as they are."""
    with np.errstate(invalid="ignore"):
        return np.where(low == high, low, (low + high) / 2)


def _distance(windows: OrderedWindows, median: Array, k: Any) -> Array:
    """The k-th smallest distance from the median, k counted from 0.

    The k + 1 nearest samples follow each other in order. They begin at the first sample from which
    on the farther end is the upper one, or one sample before it.
    """
    low = np.zeros_like(k)
    high = np.maximum(windows.known - 1, 0) - k
    for _ in range(int(high.max(initial=0)).bit_length()):
        middle = (low + high) // 2
        below, above = _end_distances(windows, median, middle, k)
        is_upper = above >= below
        high = np.where(is_upper & (low < high), middle, high)
        low = np.where(is_upper | (low >= high), low, middle + 1)
    one_before = np.maximum(low - 1, 0)
    farthest = np.maximum(*_end_distances(windows, median, low, k))
    farthest_before = np.maximum(*_end_distances(windows, median, one_before, k))
    return np.minimum(farthest, farthest_before)


def _end_distances(
    windows: OrderedWindows, median: Array, first: Any, k: Any
) -> tuple[Array, Array]:
    """How far the first and the last of k + 1 samples in order lie below and above the median."""
    with np.errstate(invalid="ignore"):
        below = median - windows.smallest(first)
        above = windows.smallest(first + k) - median
    # Equal infinities are at no distance.
    return np.where(np.isnan(below), 0.0, below), np.where(np.isnan(above), 0.0, above)


@dataclass(frozen=True)
class OrderInTime:
    """A statistic of the known samples of each window in order of their size."""

    statistic: OrderStatistic

    def __call__(self, windows: RaggedWindows) -> Array:
        """Look up the samples of every channel in a tree of its own."""
        y = np.empty((len(windows.low), windows.x.shape[1]))
        for channel in range(y.shape[1]):
            x = windows.x[:, channel]
            ordered = LookedUpWindows(x, windows.low, windows.high, windows.own)
            numbers = self.statistic.of_ordered(ordered)
            y[:, channel] = np.where(ordered.known > 0, numbers, np.nan)
        return y


# --------------------------------------------------------------------------------- windows in order


# Windows of more samples take less time in a tree, or counted, than sorted one by one. The limits
# are for a series and for a picture, and for statistics that look up many samples of each window.
MOST_SORTED = 128
MOST_SORTED_FOR_SEARCHES = 512
MOST_PIXELS_SORTED = 400
MOST_PIXELS_SORTED_FOR_SEARCHES = 2500

# Samples of all windows that are sorted together, and windows that are looked up together.
SORTED = 1 << 18
LOOKED_UP = 1 << 13


def ordered_windows(
    x: Array, size: Sizes, step: Sizes, *, own: Sizes, searches: bool
) -> Iterator[OrderedWindows]:
    """Yield the windows of (channels, *samples), one channel after the other, some at a time.

    own : the place in a window of the sample that its output is aligned with
    searches : many samples of each window are asked for, instead of one or two
    """
    most = _most_sorted(len(size), searches=searches)
    # Windows that are farther apart are sorted less often.
    if math.prod(size) <= most * math.prod(step):
        yield from _sorted_windows(x, size, step, own)
        return
    for channel in x:
        if len(size) == 1:
            yield from _long_windows(channel, size[0], step[0], own[0])
        else:
            yield from counted_windows(channel, size, step, own)


def _most_sorted(axes: int, *, searches: bool) -> int:
    """The most samples of a window that is sorted."""
    if axes == 1:
        return MOST_SORTED_FOR_SEARCHES if searches else MOST_SORTED
    return MOST_PIXELS_SORTED_FOR_SEARCHES if searches else MOST_PIXELS_SORTED


def _sorted_windows(x: Array, size: Sizes, step: Sizes, own: Sizes) -> Iterator[OrderedWindows]:
    """Yield short windows, of many short channels together."""
    sample_axes = tuple(range(1, x.ndim))
    at_every_sample: Any = sliding_window_view(x, size, axis=sample_axes)
    every = tuple(slice(None, None, s) for s in step)
    windows = at_every_sample[(slice(None), *every)]
    channels, rows, *columns = windows.shape[: x.ndim]
    count = math.prod(size)
    place = int(np.ravel_multi_index(own, size))
    in_row = count * math.prod(columns)
    rows_at_once = max(1, SORTED // in_row)
    channels_at_once = max(1, SORTED // (in_row * rows))
    for channel in range(0, channels, channels_at_once):
        for row in range(0, rows, rows_at_once):
            some = windows[channel : channel + channels_at_once, row : row + rows_at_once]
            yield SortedWindows(some.reshape(-1, count), place)


def _long_windows(x: Array, k: int, step: int, own: int) -> Iterator[OrderedWindows]:
    outputs = (len(x) - k) // step + 1
    inputs_at_once = max(LOOKED_UP, k // 2)
    at_once = inputs_at_once // step + 1
    for first in range(0, outputs, at_once):
        last = min(first + at_once, outputs)
        begin = first * step
        end = (last - 1) * step + k
        starts = np.arange(last - first) * step
        yield LookedUpWindows(x[begin:end], starts, starts + k, starts + own)
