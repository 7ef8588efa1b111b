"""The bins of an adaptive pool, collected as the samples of a signal pass, in constant memory."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolution.convolve import corrected_quotient
from convcli.core.exact.sums import exact_sums_between
from convcli.core.exact.totals import ExactTotals
from convcli.core.whole_signal import largest_known
from convcli.signals import row_numbers

if TYPE_CHECKING:
    from convcli.array_types import BoolArray, IntArray
    from convcli.core.whole_signal import AdaptivePool
    from convcli.signals import AnyRows, Array, Rows

# What samples are multiplied by where their sum would be beyond the largest float64.
_SCALE = 2.0**-600
# Bins of a signal of one axis that hold at most this many samples are computed together.
NARROW = 64


class AdaptiveBins:
    """The bins of an AdaptivePool as blocks come, in constant memory.

    Where there are more bins than samples, many bins hold the same samples: each of these different
    bins is computed once.

    shape : the length of the signal on each sample axis; seen : how many samples have come along
        axis 0
    """

    def __init__(self, pool: AdaptivePool, shape: tuple[int, ...]) -> None:
        self.pool = pool
        self.shape = shape
        self.seen = 0
        lows, highs = _bin_edges(shape[0], pool.bins[0])
        is_new = np.diff(lows, prepend=-1) + np.diff(highs, prepend=-1) > 0
        # The different bins, and for each bin the number of the one that it is.
        self._lows, self._highs = lows[is_new], highs[is_new]
        self._numbers = np.cumsum(is_new) - 1
        widest = int((highs - lows).max(initial=0))
        self._narrow: _NarrowBins | None = None
        if len(shape) == 1 and widest <= NARROW:
            self._narrow = _NarrowBins(pool, self._lows, self._highs)
        self._totals: Any = None
        # Sums of bins of a signal of one axis.
        self._exact: dict[tuple[int, ...], ExactTotals] = {}
        self._counts: Any = None
        self._dtype: Any = np.float64
        self._rows = np.zeros(len(self._lows), np.int64)

    def add(self, y: Array, rows: AnyRows) -> None:
        """Take in the next block and the input rows of its samples."""
        y = self.pool.weighted(y)
        if self._totals is None:
            self._start(y)
        start = self.seen
        stop = start + len(y)
        if self._narrow is not None:
            self._narrow.add(y, start)
        else:
            first = int(np.searchsorted(self._highs, start, "right"))
            last = int(np.searchsorted(self._lows, stop, "left"))
            edges = zip(
                self._lows[first:last].tolist(), self._highs[first:last].tolist(), strict=True
            )
            for k, (low, high) in enumerate(edges, start=first):
                first_row = max(low, start) - start
                self._add_to_bin(k, y[first_row : high - start])
        self._note_rows(rows, start, stop)
        self.seen = stop

    def _note_rows(self, rows: AnyRows, start: int, stop: int) -> None:
        """Note the input rows of the bins that are aligned with a sample in [start, stop)."""
        aligned = self._highs - 1
        if not self.pool.causal:
            aligned = (self._lows + self._highs - 1) // 2
        first, last = np.searchsorted(aligned, [start, stop])
        places = aligned[first:last] - start
        self._rows[first:last] = row_numbers(rows)[places]

    def _start(self, y: Array) -> None:
        start = 0.0 if self.pool.statistic == "mean" else -np.inf
        self._totals = np.full((len(self._lows), *self.pool.bins[1:], y.shape[-1]), start)
        self._counts = np.zeros(self._totals.shape)
        # The mean of whole numbers, of a picture of bytes, is a fraction.
        self._dtype = np.result_type(y.dtype, np.float32)

    def _add_to_bin(self, k: int, part: Array) -> None:
        if len(self.shape) == 1:
            self._fold((k,), part)
            return
        for columns, places in self._columns:
            if len(columns) == 1:
                windows = part[:, None, places[0, 0] : places[0, -1] + 1]
            else:
                windows = part[:, places]
            pixels = np.moveaxis(windows, 2, 1).reshape(-1, len(columns), part.shape[-1])
            self._fold((k, columns), pixels)

    @cached_property
    def _columns(self) -> list[tuple[IntArray, IntArray]]:
        """The bins along axis 1 by their width: numbers (n,) and the columns of each (n, width)."""
        lows, highs = _bin_edges(self.shape[1], self.pool.bins[1])
        widths = highs - lows
        found = []
        for width in np.unique(widths):
            some = np.flatnonzero(widths == width)
            columns = lows[some][:, None] + np.arange(width)
            found.append((some, columns))
        return found

    def _fold(self, at: Any, part: Array) -> None:
        """Take in samples of some bins along axis 0, of each bin one after the other."""
        known = ~np.isnan(part)
        totals = self._totals[at]
        if self.pool.missing == "propagate":
            totals = np.where(known.all(axis=0), totals, np.nan)
            self._totals[at] = totals
        self._counts[at] += known.sum(axis=0)
        if self.pool.statistic == "mean" and len(self.shape) == 1:
            totals = self._exact.setdefault(at, ExactTotals(part.shape[1]))
            totals.add(np.where(known, part, 0.0))
        elif self.pool.statistic == "mean":
            # One addition after the other, so that the sum does not depend on where the blocks end.
            terms = np.concatenate([totals[None], np.where(known, part, 0.0)])
            self._totals[at] = np.cumsum(terms, axis=0, out=terms)[-1]
        else:
            # The maximum so far is NaN only where a missing sample propagates.
            self._totals[at] = np.maximum(totals, largest_known(part))

    def result(self) -> tuple[Array, Rows]:
        """Return the bins, NaN for a bin without a known sample, and their input rows."""
        if self._narrow is not None:
            means = self._narrow.result()[self._numbers]
            return means.astype(self._dtype), self._rows[self._numbers]
        empty = self._counts == 0
        counts = np.where(empty, 1, self._counts)
        y = self._totals
        if self.pool.statistic == "mean":
            y = y / counts
        for at, totals in self._exact.items():
            # A bin that is missing has a total of NaN, any other one of 0.
            y[at] += totals.mean(counts[at])
        y = self.pool.unweighted(np.where(empty, np.nan, y))
        return y[self._numbers].astype(self._dtype), self._rows[self._numbers]


class _NarrowBins:
    """Bins of few samples of a signal of one axis, many at a time.

    lows, highs : (bins,) the samples [low, high) of each bin
    """

    def __init__(self, pool: AdaptivePool, lows: IntArray, highs: IntArray) -> None:
        self._pool = pool
        self._lows = lows
        self._highs = highs
        self._rest: Any = None
        self._done: list[Array] = []
        self._count = 0

    def add(self, y: Array, start: int) -> None:
        """Take in the samples from number `start` on."""
        if self._rest is not None and len(self._rest):
            start -= len(self._rest)
            y = np.concatenate([self._rest, y])
        first = self._count
        stop = start + len(y)
        last = int(np.searchsorted(self._highs, stop, "right"))
        if last > first:
            low = self._lows[first:last] - start
            high = self._highs[first:last] - start
            channels = [self._statistic(x, low, high) for x in y.T]
            self._done.append(np.stack(channels, axis=1))
            self._count = last
        unread = len(y)
        if last < len(self._lows):
            unread = int(self._lows[last]) - start
        self._rest = y[unread:]

    def _statistic(self, x: Array, low: IntArray, high: IntArray) -> Array:
        """The mean or maximum of the known samples of x[low:high]; NaN where there are none."""
        x = np.ascontiguousarray(x, np.float64)
        known = ~np.isnan(x)
        counts = _counts_between(known, low, high)
        if self._pool.statistic == "mean":
            found = _means_between(np.where(known, x, 0.0), low, high, counts)
        else:
            found = _largest_between(np.where(known, x, -np.inf), low, high)
        needed = high - low if self._pool.missing == "propagate" else 1
        found[counts < needed] = np.nan
        return found

    def result(self) -> Array:
        """The statistic of each bin, (bins, channels)."""
        return np.concatenate(self._done)


def _means_between(x: Array, low: IntArray, high: IntArray, counts: IntArray) -> Array:
    """The sums of x[low:high] over the counts, rounded once; infinities stay in their bins."""
    finite = np.isfinite(x)
    known = np.where(finite, x, 0.0)
    divisors = np.maximum(counts, 1)
    high_part, low_part = exact_sums_between(known, low, high)
    with np.errstate(over="ignore", invalid="ignore"):
        means = corrected_quotient(high_part, low_part, divisors)
    overflows = ~np.isfinite(means)
    if overflows.any():
        sums = exact_sums_between(known * _SCALE, low[overflows], high[overflows])
        small_means = corrected_quotient(*sums, divisors[overflows])
        means[overflows] = small_means / _SCALE
    if not finite.all():
        rises = _counts_between(x == np.inf, low, high) > 0
        falls = _counts_between(x == -np.inf, low, high) > 0
        means[rises] = np.inf
        means[falls] = -np.inf
        means[rises & falls] = np.nan
    return means


def _counts_between(flags: BoolArray, low: IntArray, high: IntArray) -> IntArray:
    """How many flags are set in flags[low:high]."""
    before = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=before[1:])
    counts: IntArray = before[high] - before[low]
    return counts


def _largest_between(x: Array, low: IntArray, high: IntArray) -> Array:
    """Maximum of x[low:high] for each pair of `low` and `high`."""
    # Every second stretch is a bin; `reduceat` requires that each begins inside of the array.
    edges = np.stack([low, high], axis=1).reshape(-1)
    extended = np.append(x, -np.inf)
    largest: Array = np.maximum.reduceat(extended, edges)[::2]
    return largest


def _bin_edges(n: int, bins: int) -> tuple[IntArray, IntArray]:
    """The samples [low, high) of each of the bins of a signal of `n` samples."""
    numbers = np.arange(bins)
    return numbers * n // bins, -(-(numbers + 1) * n // bins)
