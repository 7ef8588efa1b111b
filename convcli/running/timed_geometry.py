"""The geometry of a chain with windows in time: which samples its outputs read.

It has the methods of `Geometry`. The times of the signal come block by block, and times that no
later output needs are forgotten.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import TYPE_CHECKING

from convcli.core.in_time.reach import NO_STAMPS
from convcli.core.in_time.tracking import ChainTracker
from convcli.running.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.core.chain import Chain
    from convcli.core.in_time.reach import Stamps
    from convcli.core.reach import Index
    from convcli.signals import Edge


# The wall clock is put back by less than this, in nanoseconds. The bin of the times before
# continues then, so that the bin does not follow from later times alone.
CLOCK_SET_BACK = 48 * 3600 * 10**9

# Times of this many blocks are forgotten together, which saves a third of the time of short blocks.
REMEMBERED = 8


class TimedGeometry(Geometry):
    """The geometry of a chain with windows in time on one signal.

    Outside of the signal all samples are missing, and there are no times.
    """

    timed = True
    # The distance between outputs depends on the times.
    stride = None
    # Filters in time do not interpolate.
    phases = 1
    origin = 0

    def __init__(self, chain: Chain, edge: Edge, tail: int = 0) -> None:
        super().__init__(chain, edge, tail)
        self._unbound = chain
        self._tracker = ChainTracker(chain)
        self._blocks = 0
        reach = chain.reach[0]
        self._samples = 0
        self._ended = False
        # Of the outputs up to `_noted`, those from `_inner_from` to `_inner_to` read no sample
        # outside of the signal.
        self._inner_from = self._inner_to = self._noted = 0
        self._sure_from: int | None = None
        self._unsure = 0
        around = reach.before + abs(reach.after) + abs(reach.anchor)
        self._rows_looked = around + reach.step + 1

    def arrive(self, stamps: Stamps | None, *, ended: bool = False) -> None:
        """Take note of the times of the next samples, and of the end of the signal."""
        known = NO_STAMPS if stamps is None else stamps
        self._tracker.arrive(known, ended=ended)
        self.chain = self._tracker.chain
        self._samples += len(known)
        self._ended = ended
        self._count_unsure(known)

    @property
    def bins_begun(self) -> tuple[int, ...]:
        """How many of each calendar bins have begun, one after the other."""
        return self._tracker.bins_begun

    def start_at(self, sample: int, bins: Sequence[int] = ()) -> int:
        """Begin with the sample of a number; return the number of the first output.

        Sums are taken by the numbers of samples and bins.
        """
        first = self._tracker.start_at(sample, bins)
        self.chain = self._tracker.chain
        self._samples = sample
        self._inner_from = self._inner_to = self._noted = first
        return first

    def _count_unsure(self, stamps: Stamps) -> None:
        """Count the samples that may belong to a bin that has begun before the first of them."""
        if not self._unbound.times.bins or not len(stamps):
            return
        if self._sure_from is None:
            self._sure_from = int(stamps[0, 0]) + CLOCK_SET_BACK
        self._unsure += int((stamps[:, 0] < self._sure_from).sum())

    def first_needed(self, done: int, n: int) -> int:
        """Return the first sample with which a run can begin that gives outputs from `done` on.

        It is at most the first sample that has come if earlier ones may be needed. An output that
        is aligned with a sample before the first one has the time of another sample, so that a few
        more are needed than the windows hold. A stride over bins skips many samples, so that the
        first of its outputs may not be the first one that a window holds.
        """
        if self._unbound.times.counted and self._tracker.reads_first(done):
            return 0
        return self.oldest_needed(done, n) - self._rows_looked - self._unsure

    def decisive(self, n: int) -> int:
        """Return how many of the `n` samples after a part decide the outputs of that part.

        It is more than `n` if these are not enough. Bins of bins, and outputs of a stride over
        bins, are complete one bin later each.
        """
        times = self._unbound.times
        wanted = self.ready(self._unsure) + max(1, len(times.bins)) + times.counted
        known = bisect_left(range(n), wanted, key=self.ready)
        return max(known + 1, self._rows_looked)

    def forget(self, done: int) -> None:
        """Forget the times that no output from number `done` on needs, once in a while."""
        self._blocks += 1
        if self._blocks % REMEMBERED:
            return
        self._note_edges(done)
        self._tracker.forget(done)
        self.chain = self._tracker.chain

    @cached_property
    def needs_end(self) -> bool:
        """Whether no output is known before the signal has ended."""
        return self._unbound.needs_end

    def ready(self, n: Index) -> Index:
        """Count the outputs that are known when `n` samples have come and more may follow."""
        return self.chain.ready(0, n)

    def edge_affected(self, n: int, outputs: int, columns: int | None = None) -> int:
        """Count those of the first `outputs` outputs that read what lies outside of the signal.

        Of a run that begins in the middle, earlier outputs are counted, too.
        """
        if self.edge == "valid":
            return 0
        self._note_edges(outputs)
        inner = min(outputs, self._inner_to) - self._inner_from
        return outputs - max(0, inner)

    def _note_edges(self, done: int) -> None:
        """Note which of the outputs up to `done` read outside, while their times are known.

        The first sample that an output reads never lies before that of an earlier output, and
        neither does the last one. An output that is known before the end reads nothing beyond it.
        """
        fresh = range(self._noted, done)
        if self._inner_from == self._noted:
            self._inner_from += bisect_left(fresh, 0, key=self.chain.first_read)
        if self._inner_to == self._noted:
            known = len(fresh)
            if self._ended:
                known = bisect_right(fresh, self._samples, key=self._read_before)
            self._inner_to += known
        self._noted = max(self._noted, done)

    def _read_before(self, k: int) -> int:
        """The number after the last sample that output `k` reads."""
        _, high = self.chain.needs(0, k, k + 1)[0]
        return int(high)

    def oldest_needed(self, done: int, n: int) -> int:
        """Return the first sample that must be kept after `done` outputs."""
        low, _ = self.reads(done, done + 1)
        return min(low, self.aligned_sample(done), n - 1)
