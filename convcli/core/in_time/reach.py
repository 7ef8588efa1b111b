"""Reach in time: which samples a window reads follows from the times of the samples.

Samples may come at any distance from each other, or at the same time. A window in time reads the
samples within a duration of its output; a calendar bin reads the samples of one day, week, month,
quarter or year. Both give the same facts as `Reach` once they are bound to the times of a signal.
Every operation of a chain has a tracker, which records the times of its inputs as they come and
passes on those of its outputs:

    times of the signal -> tracker of op 0 -> times of its outputs -> tracker of op 1 -> ...

A stamp is a pair of whole numbers: nanoseconds of UTC, for distances and for the order, and
nanoseconds of local time (the wall clock), for the calendar. The two differ where the time zone of
a table is not UTC.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.reach import Reach
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import IntArray
    from convcli.calendar_bins import CalendarBins

    # (n, 2): nanoseconds since 1970 on the clock, and on the wall clock.
    Stamps = IntArray


@dataclass(frozen=True, eq=False)
class Times:
    """The stamps of the consecutive samples of a signal from number `first` on."""

    stamps: Stamps
    first: int = 0

    @property
    def n(self) -> int:
        """The number of samples that have come."""
        return self.first + len(self.stamps)

    @cached_property
    def instants(self) -> IntArray:
        """Nanoseconds on the clock that never goes back; contiguous, to be searched."""
        return np.ascontiguousarray(self.stamps[:, 0])

    def followed_by(self, stamps: Stamps) -> Times:
        """Return the times with those of the next samples."""
        if not len(stamps):
            return self
        if not len(self.stamps):
            return Times(stamps, self.first)
        return Times(np.concatenate([self.stamps, stamps]), self.first)

    def since(self, sample: int) -> Times:
        """Return the times from number `sample` on."""
        dropped = min(max(sample - self.first, 0), len(self.stamps))
        return Times(self.stamps[dropped:], self.first + dropped)

    def at(self, samples: IntArray) -> Stamps:
        """Return the stamps of samples, of the nearest one that is known where one is not."""
        places = np.clip(samples - self.first, 0, len(self.stamps) - 1)
        return self.stamps[places]


NO_STAMPS = np.zeros((0, 2), np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeReach(Reach):
    """A window in time around each sample.

    Output k reads sample i if -back <= t[i] - t[k] <= ahead, in nanoseconds.

    ahead : None if an output reads no sample that comes after its own, not even at the same time
    beyond : samples outside of the window that are read too, on each side on which it ends
    times : of the samples that have come; None as long as the signal is unknown: then the answers
        are those of a window of one sample
    """

    back: int
    ahead: int | None = None
    beyond: int = 0
    times: Times | None = None

    def needs(self, start: Any, stop: Any) -> tuple[Any, Any]:
        """Return inputs [low, high) that hold all that the outputs [start, stop) read.

        `low` follows from the time of the sample before output `start`. So it is known before that
        output's own time is, and the inputs that are kept for the output are exactly those that it
        is given.
        """
        if self.times is None:
            return super().needs(start, stop)
        low = self._lowest(self.times, int(start)) - self.beyond
        high = self._end(self.times, int(stop))
        return low, high

    def first_read(self, k: int) -> int:
        """Return the first input that output `k` reads, from its own time."""
        low, _ = self.windows(k, k + 1)
        return int(low[0])

    def _lowest(self, times: Times, start: int) -> int:
        if start <= 0 or not len(times.stamps):
            return start
        last_known = min(start, times.n) - 1
        place = max(last_known - times.first, 0)
        earliest = times.instants[place] - self.back
        low = times.first + int(times.instants.searchsorted(earliest))
        return min(low, start)

    def _end(self, times: Times, stop: int) -> int:
        last = stop - 1
        if self.ahead is None or not times.first <= last < times.n:
            return stop
        time = times.instants[last - times.first] + self.ahead
        end = times.first + int(times.instants.searchsorted(time, "right"))
        return end + self.beyond

    def ready(self, n: Any) -> Any:
        """Count the outputs that can be computed from the first `n` inputs.

        A sample may come at the time of the last one, so an output has to wait for a later one.
        """
        if self.times is None or self.ahead is None:
            return super().ready(n)
        come = max(int(n) - self.times.first, 0)
        instants = self.times.instants[:come]
        known = self.times.first
        if len(instants):
            latest = instants[-1] - self.ahead
            known += int(instants.searchsorted(latest))
        return known

    def times_of(self, samples: IntArray) -> IntArray:
        """Return the times of samples in nanoseconds; zeros before any time is known."""
        if self.times is None or not len(self.times.stamps):
            return np.zeros(len(samples), np.int64)
        return self.times.at(samples)[:, 0]

    def windows(self, start: int, stop: int) -> tuple[IntArray, IntArray]:
        """Return the inputs [low, high) of each of the outputs [start, stop).

        An output that lies outside of the signal reads the sample that lies there.
        """
        k = np.arange(start, stop)
        low, high = k, k + 1
        times = self.times
        if times is None or not len(times.stamps):
            return low, high
        time = times.at(k)[:, 0]
        inside = (k >= times.first) & (k < times.n)
        found = times.first + np.searchsorted(times.instants, time - self.back)
        low = np.where(inside, np.minimum(found, k) - self.beyond, low)
        if self.ahead is not None:
            found = times.first + np.searchsorted(times.instants, time + self.ahead, "right")
            high = np.where(inside, found + self.beyond, high)
        return low, high


@dataclass(frozen=True, kw_only=True, eq=False)
class BinReach(Reach):
    """One output for each calendar bin that holds a sample.

    centred : an output is aligned with the sample in the middle of its bin, else with the last one
    starts : the first samples of the bins from number `first` on; None as long as the signal is
        unknown
    n : the number of samples that have come
    """

    bins: CalendarBins
    centred: bool = False
    starts: IntArray | None = None
    first: int = 0
    n: int = 0

    def needs(self, start: Any, stop: Any) -> tuple[Any, Any]:
        """Return the inputs [low, high) of the outputs [start, stop)."""
        if self.starts is None:
            return super().needs(start, stop)
        return self._start_of(start), self._start_of(stop)

    def _start_of(self, k: Any) -> Any:
        """Return the first sample of bins `k`; bins outside of the signal have one sample each."""
        if self.starts is None:
            return k
        bins = len(self.starts)
        if isinstance(k, int):
            if k < 0:
                return k
            place = min(max(k - self.first, 0), bins)
            beyond = max(k - self.first - bins, 0)
            return int(self._bounds[place]) + beyond
        places = np.clip(k - self.first, 0, bins)
        beyond = np.maximum(k - self.first - bins, 0)
        return np.where(k < 0, k, self._bounds[places] + beyond)

    @cached_property
    def _bounds(self) -> IntArray:
        """The first sample of each bin, and the number of samples that have come."""
        starts: Any = self.starts
        if starts is None:
            starts = []
        return np.append(starts, self.n).astype(np.int64)

    def ready(self, n: Any) -> Any:
        """Count the bins that are complete: a sample of a later bin has come."""
        if self.starts is None:  # each sample is a bin, and no bin reads beyond the signal
            return n
        complete = self.first + np.searchsorted(self.starts[1:], n, "right")
        return complete if np.ndim(n) else int(complete)

    def count(self, n: int) -> int:
        """Count the bins of a signal of `n` samples."""
        if self.starts is None:
            return super().count(n)
        return max(self.first + len(self.starts), min(n, 1))

    def aligned_input(self, k: Any) -> Any:
        """Return the sample that output `k` is aligned with."""
        last = self._start_of(k + 1) - 1
        if self.centred:
            last = (self._start_of(k) + last) // 2
        return last

    def windows(self, start: int, stop: int) -> tuple[IntArray, IntArray]:
        """Return the inputs [low, high) of each of the outputs [start, stop)."""
        k = np.arange(start, stop)
        return self._start_of(k), self._start_of(k + 1)


class Tracker:
    """The times of the inputs and outputs of an operation whose reach is in samples.

    reach : the reach of the operation, bound to the times so far
    """

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._n = 0
        self._outputs = 0
        self._last = NO_STAMPS

    def arrive(self, stamps: Stamps, *, ended: bool) -> Stamps:
        """Take note of the stamps of the next inputs; return those of the next outputs."""
        known = np.concatenate([self._last, stamps])
        first = self._n - len(self._last)
        self._n += len(stamps)
        self._last = known[-1:]
        aligned = self._n - 1 - self.reach.anchor
        stop = aligned * self.reach.phases // self.reach.step + 1
        if ended:
            stop = self.reach.count(self._n)
        if stop <= self._outputs or not len(known):
            return NO_STAMPS
        inputs = self.reach.aligned_input(np.arange(self._outputs, stop))
        self._outputs = stop
        places = np.clip(inputs - first, 0, len(known) - 1)
        return known[places]

    @property
    def bins_begun(self) -> tuple[int, ...]:
        """How many of each calendar bins have begun, one after the other."""
        return ()

    def start_at(self, sample: int, bins: Sequence[int] = ()) -> int:
        """Begin with the input of a number, before any has come; return the first output.

        It is the first one that is aligned with this input or a later one.

        bins : the number of the first bin of each of the calendar bins; 0 where there is none
        """
        aligned = sample - self.reach.anchor
        first = -(-aligned * self.reach.phases // self.reach.step)
        self._n = sample
        self._outputs = max(0, first)
        return self._outputs

    def forget(self, inputs: int, outputs: int) -> None:
        """Forget what only inputs before `inputs` and outputs before `outputs` need."""


class TimeTracker(Tracker):
    """The times of an operation whose windows are bounded in time."""

    def __init__(self, reach: TimeReach) -> None:
        super().__init__(reach)
        self._unbound = reach
        self._times = Times(NO_STAMPS)

    def arrive(self, stamps: Stamps, *, ended: bool) -> Stamps:
        """Take note of the stamps of the next inputs; they are also those of the outputs."""
        self._bind(self._times.followed_by(stamps))
        return stamps

    def start_at(self, sample: int, bins: Sequence[int] = ()) -> int:
        """Begin with the input of a number, before any has come; return the first output."""
        self._bind(Times(NO_STAMPS, sample))
        return sample

    def forget(self, inputs: int, outputs: int) -> None:
        """Forget old times, except the one before the next output, whose window follows from it."""
        first_needed = min(inputs, outputs - 1)
        self._bind(self._times.since(first_needed))

    def _bind(self, times: Times) -> None:
        self._times = times
        self.reach = replace(self._unbound, times=times)


class BinTracker(Tracker):
    """The calendar bins of an operation with one output for each of them."""

    def __init__(self, reach: BinReach) -> None:
        super().__init__(reach)
        self._bound = replace(reach, starts=np.zeros(0, np.int64))
        self._times = Times(NO_STAMPS)
        self._bin: int | None = None
        self._given = 0

    def arrive(self, stamps: Stamps, *, ended: bool) -> Stamps:
        """Take note of the stamps of the next inputs; return those of complete bins."""
        bound = self._bound
        starts = bound.starts
        if len(stamps) and starts is not None:
            fresh = bound.n + self._starts_of_bins(stamps)
            starts = np.append(starts, fresh)
        self._times = self._times.followed_by(stamps)
        self._bound = replace(bound, starts=starts, n=bound.n + len(stamps))
        self.reach = self._bound
        return self._stamps_of_complete(ended=ended)

    def _starts_of_bins(self, stamps: Stamps) -> IntArray:
        """Return the places of stamps at which a new bin begins."""
        numbers = self._bound.bins.numbers(stamps)
        before = numbers[0] - 1 if self._bin is None else self._bin
        # When the wall clock is put back, the current bin continues.
        numbers = np.maximum.accumulate(np.append(before, numbers))
        self._bin = int(numbers[-1])
        return np.flatnonzero(numbers[1:] > numbers[:-1])

    def _stamps_of_complete(self, *, ended: bool) -> Stamps:
        bound = self._bound
        stop = bound.count(bound.n) if ended else int(bound.ready(bound.n))
        if stop <= self._given or bound.n == 0:
            return NO_STAMPS
        aligned = bound.aligned_input(np.arange(self._given, stop))
        found = self._times.at(aligned)
        self._given = stop
        open_bin = int(bound.needs(stop, stop)[0])
        self._times = self._times.since(open_bin)
        return found

    @property
    def bins_begun(self) -> tuple[int, ...]:
        """The number of bins that have begun so far, as one entry."""
        starts = self._bound.starts
        return (self._bound.first + (0 if starts is None else len(starts)),)

    def start_at(self, sample: int, bins: Sequence[int] = ()) -> int:
        """Begin with the input of a number, before any has come; return the first bin."""
        first = next(iter(bins), 0)
        self._times = Times(NO_STAMPS, sample)
        self._bound = replace(self._bound, n=sample, first=first)
        self.reach = self._bound
        self._given = first
        return first

    def forget(self, inputs: int, outputs: int) -> None:
        """Forget the bins before output `outputs`, which no later output reads."""
        starts = self._bound.starts
        if starts is None:
            return
        last_bin = max(0, len(starts) - 1)
        dropped = int(np.clip(outputs - self._bound.first, 0, last_bin))
        first = self._bound.first + dropped
        self._bound = replace(self._bound, starts=starts[dropped:], first=first)
        self.reach = self._bound
