"""The k-th smallest sample of each window.

Short windows are sorted. The samples of long ones are put into a wavelet matrix (Claude, Navarro &
Ordóñez, Information Systems 47, 2015): the samples are replaced by their ranks, and each level
separates the ranks whose next bit is 0 from those whose bit is 1 and keeps the order within both.
A window is a range of samples on every level, so that the bits of its k-th smallest rank are found
one after the other, for all windows at once. For a picture, the pixels of as many rows as a window
is high are taken column by column; a window is then a range of them. Long windows of a picture that
has few different values are counted instead (`counted_windows.py`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.signals import Array

    Sizes = tuple[int, ...]
    Places = npt.NDArray[np.int64]

# Windows of more samples take less time in a tree than sorted one by one. The limits are for a
# series, for a picture (whose tree is made anew for each row of outputs), for one of few values
# (which are counted instead), and for statistics that look up many samples of each window.
MOST_SORTED = 128
MOST_PIXELS_SORTED = 1024
MOST_PIXELS_SORTED_OF_FEW_VALUES = 400
MOST_SORTED_FOR_SEARCHES = 512

# Samples of all windows that are sorted together, and windows that are looked up together.
SORTED = 1 << 18
LOOKED_UP = 1 << 13


class OrderedWindows(ABC):
    """Some windows, whose samples are known in order.

    known : (windows,) how many samples of each are not missing
    own : (windows,) the sample that the output of each is aligned with
    """

    known: Places
    own: Array

    @abstractmethod
    def smallest(self, k: Places) -> Array:
        """Return the k-th smallest known sample of each window, counted from 0."""

    @abstractmethod
    def counts_of_own(self) -> tuple[Places, Places]:
        """Count the known samples below `own`, and those that are not above it."""


def ordered_windows(
    x: Array, size: Sizes, step: Sizes, *, own: Sizes, searches: bool
) -> Iterator[OrderedWindows]:
    """Yield the windows of (channels, *samples), one channel after the other, some at a time.

    own : the place in a window of the sample that its output is aligned with
    searches : many samples of each window are asked for, instead of one or two
    """
    most = MOST_SORTED_FOR_SEARCHES if searches else MOST_SORTED
    if len(size) > 1:
        most = _most_pixels_sorted(x, searches=searches)
    if math.prod(size) <= most:
        yield from _sorted_windows(x, size, step, own)
        return
    for channel in x:
        if len(size) == 1:
            yield from _long_windows(channel, size[0], step[0], own[0])
        else:
            yield from _large_windows(channel, size, step, own)


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
            yield _Sorted(some.reshape(-1, count), place)


def _most_pixels_sorted(x: Array, *, searches: bool) -> int:
    """How many pixels of a window are sorted: fewer where counting takes less time."""
    from convcli.core.counted_windows import few_values

    if searches or any(few_values(channel) is None for channel in x):
        return MOST_PIXELS_SORTED
    return MOST_PIXELS_SORTED_OF_FEW_VALUES


def _large_windows(x: Array, size: Sizes, step: Sizes, own: Sizes) -> Iterator[OrderedWindows]:
    """Yield the windows of (rows, columns), counted if the picture has few values.

    Else each row of windows is a stretch of as many rows, taken column by column.
    """
    from convcli.core.counted_windows import counted_windows, few_values

    values = few_values(x)
    if values is not None:
        yield from counted_windows(x, values, size, step, own)
        return
    height, _ = size
    place = own[1] * height + own[0]
    for row in range(0, len(x) - height + 1, step[0]):
        by_column = x[row : row + height].T.reshape(-1)
        yield from _long_windows(by_column, math.prod(size), step[1] * height, place)


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


class _Sorted(OrderedWindows):
    """Windows (windows, samples), each of them sorted."""

    def __init__(self, samples: Array, own: int) -> None:
        self.own = samples[:, own]
        self._samples = samples
        self._ordered = np.sort(samples, axis=1)
        missing = np.isnan(self._ordered).sum(axis=1)
        self.known = samples.shape[1] - missing
        self._starts = np.arange(len(samples)) * samples.shape[1]

    def smallest(self, k: Places) -> Array:
        """Return the k-th sample in order; missing ones are the last."""
        found: Array = np.take(self._ordered, self._starts + k)
        return found

    def counts_of_own(self) -> tuple[Places, Places]:
        """Compare each sample with that of the output."""
        own = self.own[:, None]
        return (self._samples < own).sum(axis=1), (self._samples <= own).sum(axis=1)


class LookedUpWindows(OrderedWindows):
    """Windows of any lengths in a wavelet matrix.

    x : (n,), NaN where missing; starts, stops : (windows,) window k holds x[starts[k]:stops[k]]
    own : (windows,) the places of the samples that the outputs are aligned with
    """

    def __init__(self, x: Array, starts: Places, stops: Places, own: Places) -> None:
        self._starts = starts
        self._stops = stops
        self.own = x[own]
        is_known = ~np.isnan(x)
        known_before = np.concatenate([[0], np.cumsum(is_known)])
        self.known = known_before[self._stops] - known_before[self._starts]
        order = np.argsort(x, kind="stable")
        self._values = x[order]
        ranks = np.empty(len(x), np.int64)
        ranks[order] = np.arange(len(x))
        self._levels = list(_levels(ranks))

    def smallest(self, k: Places) -> Array:
        """Find the bits of the rank, from the highest on."""
        low, high = self._starts, self._stops
        rest = np.broadcast_to(k, low.shape)
        rank = np.zeros(low.shape, np.int64)
        for zeros_before in self._levels:
            zeros_low = zeros_before[low]
            zeros_high = zeros_before[high]
            zeros = zeros_high - zeros_low
            is_one = rest >= zeros
            rest = rest - zeros * is_one
            rank = 2 * rank + is_one
            ones_start = zeros_before[-1]
            low = np.where(is_one, low - zeros_low + ones_start, zeros_low)
            high = np.where(is_one, high - zeros_high + ones_start, zeros_high)
        return self._values[rank]

    def counts_of_own(self) -> tuple[Places, Places]:
        """Count the ranks below those of the samples that are equal, and of all up to them."""
        known = int(np.count_nonzero(~np.isnan(self._values)))
        values = self._values[:known]  # missing samples are sorted to the end
        less = np.searchsorted(values, self.own, side="left")
        not_more = np.searchsorted(values, self.own, side="right")
        return self._count_below(less), self._count_below(not_more)

    def _count_below(self, rank: Places) -> Places:
        """Count the samples of each window whose rank is below `rank`."""
        low, high = self._starts, self._stops
        count = np.zeros(low.shape, np.int64)
        bits = len(self._levels)
        beyond = rank >= 1 << bits
        for bit, zeros_before in zip(reversed(range(bits)), self._levels, strict=True):
            zeros_low = zeros_before[low]
            zeros_high = zeros_before[high]
            bit_of_rank = (rank >> bit) & 1
            is_one = bit_of_rank == 1
            count += (zeros_high - zeros_low) * is_one
            ones_start = zeros_before[-1]
            low = np.where(is_one, low - zeros_low + ones_start, zeros_low)
            high = np.where(is_one, high - zeros_high + ones_start, zeros_high)
        return np.where(beyond, self._stops - self._starts, count)


def _levels(ranks: Places) -> Iterator[Places]:
    """Yield, for each bit of the ranks from the highest on, how many zeros come before each place.

    Behind each level the ranks whose bit is 0 are moved before those whose bit is 1.
    """
    last_rank = len(ranks) - 1
    bits = max(1, last_rank.bit_length())
    for bit in reversed(range(bits)):
        is_one = (ranks >> bit) & 1 == 1
        zeros_before = np.zeros(len(ranks) + 1, np.int64)
        np.cumsum(~is_one, out=zeros_before[1:])
        yield zeros_before
        ranks = np.concatenate([ranks[~is_one], ranks[is_one]])
