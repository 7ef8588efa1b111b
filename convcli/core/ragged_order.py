"""Order statistics of windows of any lengths, by a wavelet matrix.

The known samples of a channel are numbered by size. A wavelet matrix (Claude, Navarro & Ordonez,
2015) keeps these numbers bit by bit: the k-th smallest sample of any stretch is found with two
look-ups for each bit, whatever the length of the stretch. So a window costs log2(n) for n samples
of a block, and a sample that has left it plays no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.ragged import RaggedWindows
    from convcli.core.reach import Indices
    from convcli.signals import Array


class OrderedWindows:
    """The known samples of the windows of one channel in order of their size.

    counts : (outputs,) how many samples of each window are known
    """

    def __init__(self, windows: RaggedWindows, channel: int) -> None:
        known = ~windows.missing[:, channel]
        before = np.zeros(len(known) + 1, np.int64)
        np.cumsum(known, out=before[1:])
        self._low = before[windows.low]
        self._high = before[windows.high]
        self.counts = self._high - self._low
        values = windows.x[known, channel]
        order = np.argsort(values, kind="stable")
        self._sorted = values[order]
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        self._bits = max(1, (len(order) - 1).bit_length())
        self._levels = list(_levels_of(ranks, self._bits))

    def smallest(self, k: Indices) -> Array:
        """Return the k-th smallest sample of each window, from 0; anything where there is none."""
        if not len(self._sorted):
            return np.full(len(k), np.nan)
        low, high, left = self._low, self._high, k
        rank = np.zeros(len(k), np.int64)
        for bit, (zeros, total) in zip(reversed(range(self._bits)), self._levels, strict=True):
            zeros_before, zeros_until = zeros[low], zeros[high]
            found = zeros_until - zeros_before
            is_one = left >= found
            left = np.where(is_one, left - found, left)
            low = np.where(is_one, total + low - zeros_before, zeros_before)
            high = np.where(is_one, total + high - zeros_until, zeros_until)
            rank |= is_one.astype(np.int64) << bit
        return np.asarray(self._sorted[np.minimum(rank, len(self._sorted) - 1)])

    def quantile(self, share: float) -> Array:
        """Return a quantile, on the line between the two samples beside it; NaN of none."""
        last = np.maximum(self.counts - 1, 0)
        place = last * share
        below = np.floor(place).astype(np.int64)
        low = self.smallest(below)
        high = self.smallest(np.minimum(below + 1, last))
        y = low + (high - low) * (place - below)
        return np.where(self.counts > 0, y, np.nan)

    def median(self) -> Array:
        """Return the sample in the middle, or the mean of the two in the middle; NaN of none."""
        last = np.maximum(self.counts - 1, 0)
        low = self.smallest(last // 2)
        high = self.smallest((last + 1) // 2)
        return np.where(self.counts > 0, (low + high) / 2, np.nan)


def _levels_of(ranks: Indices, bits: int) -> Iterator[tuple[Indices, int]]:
    """Yield the zeros before each place at the highest bit, then at the next one, and their number.

    After each bit the numbers are divided by it, those with a zero first.
    """
    for bit in reversed(range(bits)):
        is_one = (ranks >> bit) & 1 == 1
        zeros = np.zeros(len(ranks) + 1, np.int64)
        np.cumsum(~is_one, out=zeros[1:])
        yield zeros, int(zeros[-1])
        ranks = np.concatenate([ranks[~is_one], ranks[is_one]])


@dataclass(frozen=True)
class QuantileInTime:
    """A quantile of the known samples of each window; that of 1/2 is the median."""

    share: float

    def __call__(self, windows: RaggedWindows) -> Array:
        """Compute the quantile of every channel."""
        y: Any = np.empty((len(windows.low), windows.x.shape[1]))
        for channel in range(y.shape[1]):
            ordered = OrderedWindows(windows, channel)
            of_half = self.share == 0.5
            y[:, channel] = ordered.median() if of_half else ordered.quantile(self.share)
        return np.asarray(y)
