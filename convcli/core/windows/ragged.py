"""Statistics of windows of any lengths: a window is a stretch of consecutive samples.

A statistic reads only the samples of its window, in an order that depends on their numbers in the
signal and not on where a block begins. So blocks of any size give the same bits, and a sample has
no effect on windows that do not hold it.

Sums are taken from a tree: level j has the sums of 2**j samples that begin at a multiple of 2**j.
A window of n samples is at most 2 log2(n) nodes. Two nodes are joined as the statistic says.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.array_types import BoolArray, IntArray
    from convcli.signals import Array

    # Makes the node of two neighbours; the last two are the places of their last samples.
    _Join = Callable[[Any, Any, IntArray, IntArray], Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class RaggedWindows:
    """Samples and the windows of the outputs in them.

    x : (n, channels), NaN where missing
    low, high : (outputs,) window k holds the samples [low[k], high[k])
    first : the number of x[0] in the signal
    own : (outputs,) the place of the sample that each output is aligned with
    times : (n,) of the samples, in nanoseconds
    """

    x: Array
    low: IntArray
    high: IntArray
    first: int
    own: IntArray
    times: IntArray

    @property
    def at(self) -> IntArray:
        """(outputs,) times of the samples that the outputs are aligned with, in nanoseconds."""
        return self.times[self.own]

    @cached_property
    def missing(self) -> BoolArray:
        """(n, channels) True where a sample is missing."""
        return np.isnan(self.x)

    @cached_property
    def known(self) -> Array:
        """(n, channels) the samples, 0 where they are missing."""
        return np.where(self.missing, 0.0, self.x)

    @cached_property
    def gaps(self) -> IntArray:
        """How many samples of each window are missing, (outputs, channels)."""
        return self.counted(self.missing)

    @cached_property
    def counts(self) -> IntArray:
        """How many samples of each window are known, (outputs, channels)."""
        return (self.high - self.low)[:, None] - self.gaps

    def between(self, begin: float | None, end: float | None) -> RaggedWindows:
        """Narrow the windows to the samples at distances [begin, end) before their outputs.

        begin, end : in nanoseconds, None for the bound of the window
        """
        low, high = self.low, self.high
        if end is not None:
            newer = np.searchsorted(self.times, self.at - math.ceil(end), "right")
            low = np.maximum(low, newer)
        if begin is not None:
            not_newer = np.searchsorted(self.times, self.at - math.ceil(begin), "right")
            high = np.minimum(high, not_newer)
        return replace(self, low=low, high=high)

    def counted(self, flags: BoolArray) -> IntArray:
        """Count the flags that are set in each window, (outputs, channels)."""
        before = np.zeros((len(flags) + 1, *flags.shape[1:]), np.int64)
        np.cumsum(flags, axis=0, out=before[1:])
        return np.asarray(before[self.high] - before[self.low])

    def sums(self, values: Array) -> Array:
        """Sum the values in each window."""
        found = np.zeros((len(self.low), *values.shape[1:]))
        for nodes in self.nodes(values, lambda a, b, *_: a + b):
            found[nodes.outputs] += nodes.values
        return found

    def nodes(self, leaves: Any, join: _Join) -> Iterator[_Nodes]:
        """Yield the nodes that the windows consist of, a level of the tree at a time.

        leaves : (n, ...) the lowest level, in which 0 changes no node
        """
        level = leaves
        ends = np.arange(len(leaves))
        first = self.first
        low = self.low + first
        high = self.high + first
        while True:
            odd = np.flatnonzero((low < high) & _is_odd(low))
            if len(odd):
                places = low[odd] - first
                yield _Nodes(odd, level[places], ends[places])
                low = low.copy()
                low[odd] += 1
            odd = np.flatnonzero((low < high) & _is_odd(high))
            if len(odd):
                high = high.copy()
                high[odd] -= 1
                places = high[odd] - first
                yield _Nodes(odd, level[places], ends[places])
            low = low >> 1
            high = high >> 1
            if not (low < high).any():
                return
            level = _padded_to_even(level, first)
            ends = _padded_to_even(ends, first)
            level = join(level[0::2], level[1::2], ends[0::2], ends[1::2])
            ends = ends[1::2]
            first >>= 1


@dataclass(frozen=True)
class _Nodes:
    """Nodes of one level: values[i] is a part of the window of output number outputs[i].

    ends : the place of the last sample of each node
    """

    outputs: IntArray
    values: Any
    ends: IntArray


def _is_odd(numbers: IntArray) -> BoolArray:
    return np.asarray(numbers & 1 == 1)


def _padded_to_even(level: Any, first: int) -> Any:
    """Return a level that begins at an even number and has an even length.

    No window contains a node that lies partly outside of the samples.
    """
    before = first & 1
    after = (before + len(level)) & 1
    if not before and not after:
        return level
    shape = (before + len(level) + after, *level.shape[1:])
    padded = np.zeros(shape, level.dtype)
    padded[before : before + len(level)] = level
    return padded


class Statistic(Protocol):
    """What is computed from the samples of each window."""

    def __call__(self, windows: RaggedWindows) -> Array:
        """Return (outputs, channels); NaN for a window without a known sample."""
        ...


def sum_of_known(windows: RaggedWindows) -> Array:
    """The sum of the known samples."""
    return np.where(windows.counts > 0, windows.sums(windows.known), np.nan)


def mean(windows: RaggedWindows) -> Array:
    """The mean of the known samples; that of equal samples is their value."""
    counts = windows.counts
    with np.errstate(divide="ignore", invalid="ignore"):
        y = windows.sums(windows.known) / counts
    return keep_equal(y, windows)


def keep_equal(y: Array, windows: RaggedWindows) -> Array:
    """Put the value of windows whose known samples are all equal in place of a rounded mean."""
    latest = _latest_known(windows)
    for channel in range(windows.x.shape[1]):
        x = windows.x[:, channel]
        missing = windows.missing[:, channel]
        last = latest[windows.high, channel]
        lowest = np.minimum(windows.low, len(x) - 1)
        begin = _next_known(missing)[lowest]
        change = _latest_change(x, missing)[np.maximum(last, 0)]
        equal = (last >= windows.low) & (change <= begin)
        # Adding 0 turns -0 into 0.
        y[equal, channel] = x[last[equal]] + 0.0
    return y


def _latest_known(windows: RaggedWindows) -> IntArray:
    """(n + 1, channels) the last known sample before each place, -1 for none."""
    missing = windows.missing
    places = np.arange(len(missing))[:, None]
    found = np.full((len(missing) + 1, missing.shape[1]), -1, np.int64)
    np.maximum.accumulate(np.where(missing, -1, places), axis=0, out=found[1:])
    return found


def _next_known(missing: BoolArray) -> IntArray:
    """(n,) the first known sample at or after each place; n for none."""
    n = len(missing)
    places = np.where(missing, n, np.arange(n))
    from_the_end = np.minimum.accumulate(places[::-1])
    return np.asarray(from_the_end[::-1])


def _latest_change(x: Array, missing: BoolArray) -> IntArray:
    """(n,) the last place up to each one where a known sample differs from the one before it."""
    known = np.flatnonzero(~missing)
    changes = np.zeros(len(x), np.int64)
    values = x[known]
    differs_from_next = values[1:] != values[:-1]
    places = known[1:][differs_from_next]
    changes[places] = places
    return np.asarray(np.maximum.accumulate(changes))


@dataclass(frozen=True)
class ExtremeInTime:
    """The largest (np.fmax) or smallest (np.fmin) known sample."""

    fold: Callable[..., Any]

    def __call__(self, windows: RaggedWindows) -> Array:
        """Combine two stretches of 2**j samples that cover a window of up to 2**(j+1)."""
        lengths = windows.high - windows.low
        y = np.full((len(lengths), windows.x.shape[1]), np.nan)
        level = windows.x
        size = 1
        while True:
            covered = (lengths >= size) & (lengths < 2 * size)
            outputs = np.flatnonzero(covered)
            if len(outputs):
                from_start = level[windows.low[outputs]]
                to_end = level[windows.high[outputs] - size]
                y[outputs] = self.fold(from_start, to_end)
            if not (lengths >= 2 * size).any():
                return y
            level = self.fold(level[:-size], level[size:])
            size *= 2


def first_known(windows: RaggedWindows) -> Array:
    """First known sample of each window, (outputs, channels); NaN where none is known."""
    y = np.empty((len(windows.low), windows.x.shape[1]))
    last = len(windows.x) - 1
    for channel in range(y.shape[1]):
        places = _next_known(windows.missing[:, channel])[np.minimum(windows.low, last)]
        values = windows.x[np.minimum(places, last), channel]
        y[:, channel] = np.where(places < windows.high, values, np.nan)
    return y


def last_known_of_each(windows: RaggedWindows) -> Array:
    """Last known sample of each window, (outputs, channels); NaN where none is known."""
    places = _latest_known(windows)[windows.high]
    values = np.take_along_axis(windows.x, np.maximum(places, 0), axis=0)
    return np.where(places >= windows.low[:, None], values, np.nan)


def deviations(windows: RaggedWindows) -> Array:
    """The sum of squared deviations of the known samples from their mean.

    A node is (one of its samples, their number, the sum of their differences from that one, the sum
    of squared deviations): a large offset common to all samples costs no digits. Sets of m and n
    samples with means a and b deviate together by the deviations of both plus
    (a - b)**2 m n / (m + n) (Chan, Golub & LeVeque, 1979).
    """
    zeros = np.zeros_like(windows.known)
    counts = (~windows.missing).astype(np.float64)
    leaves = np.stack([windows.known, counts, zeros, zeros], axis=-1)
    y = np.zeros((len(windows.low), *leaves.shape[1:]))
    for nodes in windows.nodes(leaves, _joined_moments):
        so_far = y[nodes.outputs]
        y[nodes.outputs] = _joined_moments(so_far, nodes.values)
    return np.where(windows.counts > 0, y[..., 3], np.nan)


@dataclass(frozen=True)
class MomentInTime:
    """The mean square of the known samples, about their mean or about 0.

    centred : about the mean, as a variance; else about 0
    root : the square root of it
    ddof : what is taken off the number of samples before it divides the sum
    """

    centred: bool
    root: bool
    ddof: int = 0

    def __call__(self, windows: RaggedWindows) -> Array:
        """Divide the sum of squares; NaN where no sample is left to divide by."""
        squares = deviations(windows) if self.centred else windows.sums(np.square(windows.known))
        left = windows.counts - self.ddof
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.where(left > 0, squares / left, np.nan)
        return np.sqrt(y) if self.root else y


def _joined_moments(a: Any, b: Any, *_ends: IntArray) -> Any:
    """Join two nodes of `deviations`."""
    sample_a, count_a, sum_a, spread_a = np.moveaxis(a, -1, 0)
    sample_b, count_b, sum_b, spread_b = np.moveaxis(b, -1, 0)
    count = count_a + count_b
    # A set of no samples has nothing to differ from.
    apart = np.where((count_a > 0) & (count_b > 0), sample_b - sample_a, 0.0)
    mean_a = sum_a / np.maximum(count_a, 1)
    mean_b = sum_b / np.maximum(count_b, 1)
    share = count_a * count_b / np.maximum(count, 1)
    between = np.square(apart + mean_b - mean_a) * share
    sample = np.where(count_a > 0, sample_a, sample_b)
    total_of_both = sum_a + sum_b + count_b * apart
    return np.stack([sample, count, total_of_both, spread_a + spread_b + between], axis=-1)
