"""One signal that arrives in blocks, cut into jobs that have all the inputs they need."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.extend import is_missing_outside
from convcli.core.task import nothing_earlier
from convcli.running.jobs import ROW_AFTER, ROW_BEFORE, Job
from convcli.running.past import HistoryNeededError, held_in_past
from convcli.signals import joined_row_numbers, rows_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convcli.array_types import IntArray
    from convcli.core.extend import Extent
    from convcli.core.in_time.reach import Stamps
    from convcli.core.task import HeldLookup, HeldValues
    from convcli.running.geometry import Geometry
    from convcli.running.jobs import SignalName
    from convcli.signals import AnyRows, Array, SignalPast, SignalStart

# The next row of a signal that gives no more outputs.
NEVER = (1 << 63) - 1

# Blocks that are kept as they came. More of them, each of a few rows, are joined.
MOST_KEPT_BLOCKS = 16

# Outputs of one job of a filter that makes several of each sample: a block of a table would become
# many times as long.
MOST_INTERPOLATED = 1 << 18

# A job waits for more samples so that it does not consist mainly of inputs that the last job read
# too. At most this many samples wait.
LARGEST_WAIT = 8_000_000


class Stream:
    """Takes in the blocks of one signal and gives out jobs in order.

    A whole array is a stream of one block.

    patience : how many outputs a job must have for each input that the next job reads again; 0
        gives each output as soon as it is known
    with_rows : outputs come with the input rows that they are aligned with, whose cells a table
        needs; otherwise with their own numbers. With rows, `resample` of a sound takes 4 times as
        long.
    """

    def __init__(
        self,
        group: SignalName,
        geometry: Geometry,
        *,
        patience: float = 1.0,
        with_rows: bool = True,
    ) -> None:
        self.group = group
        self.geometry = geometry
        self.patience = patience
        self.with_rows = with_rows
        self.outputs_done = 0
        self.earlier: HeldLookup = nothing_earlier
        self._ended = False
        self._buffer = _SampleBuffer()
        # Samples and outputs before those that are filtered here.
        self._samples_before = 0
        self._outputs_before = 0
        self._bins_before = geometry.bins_begun
        # The first sample that comes, where windows follow times.
        self._first_taken = 0
        self._affected_here: int | None = None

    # --- parts of a signal ---

    def skip(self, lengths: Iterable[int], width: int, bins: Sequence[int] = ()) -> None:
        """Take note of blocks whose outputs are computed elsewhere; their samples do not come.

        lengths : of the blocks; width : how many numbers each of their samples has
        bins : the number of the first of each calendar bins that comes
        """
        if self.geometry.timed:
            self._start_at(sum(lengths), width, bins)
            return
        for length in lengths:
            self._buffer.skip(length, width)
            ready = self.geometry.ready(self._buffer.n)
            if ready > self.outputs_done and self._pays(ready):
                self.outputs_done = ready

    def _start_at(self, sample: int, width: int, bins: Sequence[int] = ()) -> None:
        """Begin with the sample of a number, as if it were the first one."""
        self.outputs_done = self.geometry.start_at(sample, bins)
        self._buffer.skip(sample, width)
        self._first_taken = sample

    def skip_known(self) -> None:
        """Count all outputs that are known so far as computed."""
        self.outputs_done = max(self.outputs_done, self.geometry.ready(self._buffer.n))

    @property
    def history(self) -> int:
        """How many of the samples that came so far are needed from now on."""
        if self._buffer.n == 0 or self.geometry.timed:
            return 0
        oldest = self.geometry.oldest_needed(self.outputs_done, self._buffer.n)
        return self._buffer.n - max(0, oldest)

    def recall(self, x: Array, rows: AnyRows, stamps: Stamps | None = None) -> None:
        """Take in some of the last samples before those that are filtered here, in their order.

        Windows in time take them as the first samples of a signal, and outputs that are known by
        then as computed elsewhere. For other windows `skip` has counted them.
        """
        if self.geometry.timed:
            self.take(x, rows, stamps)
            self.skip_known()
        else:
            self._buffer.recall(self._kept_as(x), rows)

    @property
    def lacks_history(self) -> bool:
        """Whether samples may be needed that came before the first one that was recalled."""
        if self._first_taken == 0:
            return False
        n = self._buffer.n
        return (
            n == self._first_taken
            or self.geometry.first_needed(self.outputs_done, n) <= self._first_taken
        )

    def go_on(self, past: SignalPast, bins: Sequence[int] = ()) -> None:
        """Go on after earlier samples, all of whose known outputs are computed elsewhere.

        bins : the number of the first of each calendar bins in the samples of the past
        """
        rows = np.full(len(past.samples), ROW_BEFORE)
        if self.geometry.timed:
            self._start_at(past.first, 1, bins)
        else:
            self.skip([past.count], 1)
            self.skip_known()
        self.recall(past.samples, rows, past.stamps)
        starts = self.geometry.held_starts(self.outputs_done)
        self.earlier = partial(held_in_past, past, starts)
        self.begin()

    def begin(self) -> None:
        """Count the samples and outputs from now on as filtered here."""
        self._samples_before = self._buffer.n
        self._outputs_before = self.outputs_done
        self._bins_before = self.geometry.bins_begun

    @property
    def bins_begun(self) -> tuple[int, ...]:
        """How many of each calendar bins have begun here."""
        counts = zip(self.geometry.bins_begun, self._bins_before, strict=True)
        return tuple(begun - before for begun, before in counts)

    @property
    def held_after(self) -> HeldValues | None:
        """The values that the next job holds, once the last one has run; None if unknown."""
        if self.earlier is nothing_earlier:
            return {}
        places = self.geometry.chain.held_places
        try:
            return {place: self.earlier(place) for place in places}
        except HistoryNeededError:
            return None

    # --- samples ---

    def take(self, x: Array, rows: AnyRows, stamps: Stamps | None = None) -> None:
        """Take in the next samples.

        rows : the input rows of the samples; stamps : their times, where windows depend on them
        """
        self.geometry.arrive(stamps)
        if not len(x):
            return
        self._buffer.append(self._kept_as(x), rows)

    def _kept_as(self, x: Array) -> Array:
        """Return the samples as they are kept until a job reads them."""
        if is_missing_outside(self.geometry.edge):
            # No stored whole number can say that a sample is missing.
            return self.geometry.chain.samples(x)
        return x

    def known_jobs(self, *, all_known: bool = False) -> list[Job]:
        """Return jobs for the outputs that are known, if there are enough of them.

        all_known : return them even if they are few
        """
        ready = self.geometry.ready(self._buffer.n)
        return self._jobs(ready, None) if all_known or self._pays(ready) else []

    def finish(self) -> list[Job]:
        """Return the outputs that were waiting for the end of the signal."""
        n = self._buffer.n
        self._ended = True
        if n == 0:
            return []
        self.geometry.arrive(None, ended=True)
        return self._jobs(self.geometry.count(n), n + self.geometry.tail)

    def finish_part(self, following: SignalStart | None) -> list[Job]:
        """Return the outputs that were waiting at the end of a part.

        following : the first samples after the part; None if the signal has ended
        """
        if following is None:
            return self.finish()
        jobs = self.known_jobs(all_known=True)
        # Outputs that are known only by samples after the part are counted in the next part.
        self._affected_here = self.edge_affected
        rows = np.full(len(following.samples), ROW_AFTER)
        self.take(following.samples, rows, following.stamps)
        if following.decides:
            return jobs + self.known_jobs(all_known=True)
        return jobs + self.finish()

    @property
    def next_row(self) -> int:
        """The input row of the next output; NEVER if the signal would give none if it ended.

        A last window that the signal does not fill is aligned with the last row there is.
        """
        if self._ended:
            return NEVER
        n = self._buffer.n
        sample = self.geometry.aligned_sample(self.outputs_done)
        if sample >= n and self.geometry.count(n) <= self.outputs_done:
            return NEVER
        return self._buffer.row(sample)

    @property
    def edge_affected(self) -> int:
        """How many of the outputs so far read what lies outside of the signal."""
        if self._affected_here is not None:
            return self._affected_here
        if not self._buffer.kept_any:
            return 0
        count = self.geometry.edge_affected
        before = count(self._samples_before, self._outputs_before, self._columns)
        return count(self._buffer.n, self.outputs_done, self._columns) - before

    @property
    def _columns(self) -> int | None:
        return self._buffer.columns if self.geometry.chain.axes == 2 else None

    def _pays(self, ready: int) -> bool:
        """Whether there are enough outputs ready to be worth reading some inputs twice."""
        if not self.patience:
            return True
        reach = self.geometry.chain.reach[0]
        fresh = (ready - self.outputs_done) * reach.step // self.geometry.phases
        read_twice = reach.before + reach.after
        return fresh >= self.patience * read_twice or fresh * self._buffer.width > LARGEST_WAIT

    def _jobs(self, stop: int, end: int | None) -> list[Job]:
        """Return the jobs of the outputs up to `stop`.

        end : the length of the signal and its tail once it is known
        """
        first = self.outputs_done
        at_once = MOST_INTERPOLATED if self.geometry.phases > 1 else max(stop - first, 1)
        lasts = [*range(first + at_once, stop, at_once), stop]
        return [self._job(last, end) for last in lasts if last > self.outputs_done]

    def _job(self, stop: int, end: int | None) -> Job:
        """Return the job of the outputs up to `stop`, of which there is at least one."""
        start = self.outputs_done
        place = self.geometry.place((start, stop), self._buffer.n, self._columns, end)
        job = Job(
            group=self.group,
            chain=self.geometry.chain,
            place=place,
            parts=self._buffer.extended(place.along),
            rows=self._rows_of(start, stop),
            earlier=self.earlier,
        )
        self.earlier = job.held
        self.outputs_done = stop
        if not self.geometry.needs_end:
            self._buffer.drop_before(self.geometry.oldest_needed(stop, self._buffer.n))
            self.geometry.forget(stop)
        return job

    def _rows_of(self, start: int, stop: int) -> AnyRows:
        """Return the input rows of the outputs [start, stop), at most the last row there is."""
        if not self.with_rows:
            return range(start, stop)
        buffer = self._buffer
        stride = self.geometry.stride
        first = self.geometry.aligned_sample(start)
        last = self.geometry.aligned_sample(stop - 1)
        if stride is not None and buffer.first <= first and last < buffer.n:
            first_kept = first - buffer.first
            last_kept = last - buffer.first
            return buffer.rows()[first_kept : last_kept + 1 : stride]
        samples = self.geometry.aligned_sample(np.arange(start, stop))
        return buffer.rows_at(samples)


class _SampleBuffer:
    """The latest samples of one signal and their input rows, as the blocks in which they came.

    n : how many samples have come; first : the number of the first one that is kept
    """

    def __init__(self) -> None:
        self.n = 0
        self.first = 0
        self._parts: list[Array] = []
        self._rows: list[AnyRows] = []
        self._width = 0

    @property
    def kept_any(self) -> bool:
        """Whether samples have come that were not skipped."""
        return bool(self._parts)

    def skip(self, length: int, width: int) -> None:
        """Count samples that do not come; each has `width` numbers."""
        self.n += length
        self.first = self.n
        self._width = width

    def recall(self, x: Array, rows: AnyRows) -> None:
        """Append some of the last samples that were skipped."""
        self._parts.append(x)
        self._rows.append(rows)
        self.first -= len(x)

    def append(self, x: Array, rows: AnyRows) -> None:
        """Append the next block of the signal."""
        self._parts.append(x)
        self._rows.append(rows)
        self.n += len(x)

    @property
    def columns(self) -> int:
        """Width of a picture in pixels."""
        return int(self._parts[0].shape[1])

    @property
    def width(self) -> int:
        """How many numbers a sample of axis 0 has: channels, or columns times channels."""
        return self._parts[0][:1].size if self._parts else self._width

    def rows(self) -> AnyRows:
        """Return the input rows of all samples that are kept."""
        if len(self._rows) > 1:
            self._rows = [joined_row_numbers(self._rows)]
        return self._rows[0]

    def row(self, sample: int) -> int:
        """Return the input row of a sample, at most that of the last one."""
        nearest = min(max(sample, 0), self.n - 1)
        rows = self.rows()
        return int(rows[nearest - self.first])

    def rows_at(self, samples: IntArray) -> AnyRows:
        """Return the input rows of samples; for a sample that is not kept, that of the nearest."""
        rows = self.rows()
        places = np.clip(samples, self.first, self.n - 1) - self.first
        return rows_at(rows, places)

    def extended(self, extent: Extent) -> list[Array]:
        """Return the samples of `extent` as blocks; only those outside are copied."""
        parts = self._kept(extent.within)
        if extent.start >= 0 and extent.stop <= self.n:
            return parts
        before, past = extent.outside(self._joined(), 0, first=self.first)
        return [before, *parts, past]

    def drop_before(self, sample: int) -> None:
        """Forget all samples before `sample`."""
        if sample <= self.first:
            return
        rows = self.rows()
        self._rows = [rows[sample - self.first :]]
        self._parts = self._kept(slice(sample, self.n))
        self.first = sample
        if len(self._parts) > MOST_KEPT_BLOCKS:
            self._joined()

    def _kept(self, samples: slice) -> list[Array]:
        parts = []
        start = self.first
        for part in self._parts:
            piece = part[max(samples.start - start, 0) : max(samples.stop - start, 0)]
            if len(piece):
                parts.append(piece)
            start += len(part)
        return parts

    def _joined(self) -> Array:
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]
