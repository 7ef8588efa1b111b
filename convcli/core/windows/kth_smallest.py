"""The k-th smallest sample of each of some windows, which are sorted or looked up in a tree.

The tree is a wavelet matrix (Claude, Navarro & Ordóñez, Information Systems 47, 2015): the samples
are replaced by their ranks, and each level separates the ranks whose next bit is 0 from those whose
bit is 1 and keeps the order within both. A window is a range of samples on every level, so that the
bits of its k-th smallest rank are found one after the other, for all windows at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import BoolArray, IntArray
    from convcli.signals import Array


class OrderedWindows(ABC):
    """Some windows, whose samples are known in order.

    known : (windows,) how many samples of each are not missing
    own : (windows,) the sample that the output of each is aligned with
    """

    known: IntArray
    own: Array

    @abstractmethod
    def smallest(self, k: IntArray) -> Array:
        """Return the k-th smallest known sample of each window, counted from 0."""

    @abstractmethod
    def counts_of_own(self) -> tuple[IntArray, IntArray]:
        """Count the known samples below `own`, and those that are not above it."""


class SortedWindows(OrderedWindows):
    """Windows (windows, samples), each of them sorted."""

    def __init__(self, samples: Array, own: int) -> None:
        self.own = samples[:, own]
        self._samples = samples
        self._ordered = np.sort(samples, axis=1)
        missing = np.isnan(self._ordered).sum(axis=1)
        self.known = samples.shape[1] - missing
        self._starts = np.arange(len(samples)) * samples.shape[1]

    def smallest(self, k: IntArray) -> Array:
        """Return the k-th sample in order; missing ones are the last."""
        found: Array = np.take(self._ordered, self._starts + k)
        return found

    def counts_of_own(self) -> tuple[IntArray, IntArray]:
        """Compare each sample with that of the output."""
        own = self.own[:, None]
        return (self._samples < own).sum(axis=1), (self._samples <= own).sum(axis=1)


class LookedUpWindows(OrderedWindows):
    """Windows of any lengths in a wavelet matrix.

    x : (n,), NaN where missing; starts, stops : (windows,) window k holds x[starts[k]:stops[k]]
    own : (windows,) the places of the samples that the outputs are aligned with
    """

    def __init__(self, x: Array, starts: IntArray, stops: IntArray, own: IntArray) -> None:
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

    def smallest(self, k: IntArray) -> Array:
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
            low = _place_on_next_level(low, zeros_low, ones_start, is_one)
            high = _place_on_next_level(high, zeros_high, ones_start, is_one)
        return self._values[rank]

    def counts_of_own(self) -> tuple[IntArray, IntArray]:
        """Count the ranks below those of the samples that are equal, and of all up to them."""
        known = int(np.count_nonzero(~np.isnan(self._values)))
        values = self._values[:known]  # missing samples are sorted to the end
        less = np.searchsorted(values, self.own, side="left")
        not_more = np.searchsorted(values, self.own, side="right")
        return self._count_below(less), self._count_below(not_more)

    def _count_below(self, rank: IntArray) -> IntArray:
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
            low = _place_on_next_level(low, zeros_low, ones_start, is_one)
            high = _place_on_next_level(high, zeros_high, ones_start, is_one)
        return np.where(beyond, self._stops - self._starts, count)


def _place_on_next_level(
    place: IntArray, zeros: IntArray, ones_start: int, is_one: BoolArray
) -> IntArray:
    """Where the ranks before a place that have the wanted bit end on the next level.

    zeros : ranks before the place whose bit is 0; ones_start : where ranks with the bit 1 begin
    """
    return np.where(is_one, place - zeros + ones_start, zeros)


def _levels(ranks: IntArray) -> Iterator[IntArray]:
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
