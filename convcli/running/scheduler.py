"""The scheduler: blocks become jobs, and outputs of several signals come in row order.

A single signal is the simple case: one `Stream`. Interleaved signals that one chain treats alike
are filtered side by side (`InterleavedSignals`); others have a `Stream` each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.running.chains import ALL, geometry_of
from convcli.running.geometry import Geometry
from convcli.running.jobs import ROW_AFTER, JobBatch, SignalBlock
from convcli.running.past import AT_START, HistoryNeededError
from convcli.running.stream import NEVER, Stream
from convcli.signals import end_of_rows, row_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.core.chain import Chain
    from convcli.core.task import HeldValues
    from convcli.running.chains import ChainOfEachSignal
    from convcli.running.interleaved import InterleavedSignals
    from convcli.running.jobs import BatchOutputs, Job, SignalName
    from convcli.running.past import Beginning, Followings
    from convcli.signals import AnyRows, Block, Edge, Groups

    # Blocks in their order, each with the input rows of its samples.
    Arrivals = Iterable[tuple[Block, AnyRows]]

# The outputs that a job along one axis has, for each input that it shares with the next job,
# because an FFT costs by the sum of both. `gaussian:30` on 12 megapixels takes 1.4 s of processor
# time with 3 outputs for each input, and 19 s with 1. A table gives out its rows early: a filter of
# a few taps waits for no row, one of a million taps for a few blocks.
OUTPUTS_PER_REACH = 3.0
ROWS_PER_REACH = 1 / 16

# Signals that have a `Stream` each are filtered when ROWS_OF_EACH rows have come for each on
# average, or ROWS_OF_ALL in all. With 500 tickers and a window in time this takes half the time.
ROWS_OF_EACH = 1 << 8
ROWS_OF_ALL = 1 << 18

# Rows that are handed on at a time where many were waiting.
RELEASED = 1 << 16


class Scheduler:
    """Takes in blocks and gives out jobs as soon as their inputs are there.

    tail : outputs go on for this many samples past the end of a signal
    by_group : filter every group as a signal of its own, even if several could be filtered side by
        side
    follow : give each output as soon as it is known, whatever it costs
    beginning : where the blocks begin in the signal
    """

    def __init__(
        self,
        chains: ChainOfEachSignal,
        edge: Edge,
        *,
        tail: int = 0,
        by_group: bool = False,
        follow: bool = False,
        beginning: Beginning = AT_START,
    ) -> None:
        self.chains = chains
        self.edge = edge
        self.tail = tail
        self.beginning = beginning
        self.follow = follow
        common = chains.common
        self._side_by_side = (
            not by_group and common is not None and edge != "wrap" and _fits_side_by_side(common)
        )
        self._interleaved: InterleavedSignals | None = None
        self._streams: dict[SignalName, Stream] = {}
        self._next_rows: dict[SignalName, int] = {}
        self._fed: dict[SignalName, Stream] = {}
        self._rows_waiting = 0

    def batches(self, arrivals: Arrivals) -> Iterator[JobBatch]:
        """Yield batches of jobs for each block and for the ends of all signals.

        The jobs of a single signal are batches of their own, those of several signals one batch.
        """
        seen = 0
        begun = False
        after_settling = False
        for block, rows in arrivals:
            if block.role == "earlier":
                self._stream(ALL).recall(block.stored, rows, block.stamps)
                continue
            kept = block.role == "filtered"
            after_settling = after_settling or not kept
            if kept and not begun:
                yield from self._begin(seen, after_settling=after_settling)
                begun = True
            seen = max(seen, end_of_rows(rows))
            if block.groups is None:
                stream = self._stream(ALL)
                stream.take(block.stored, rows, block.stamps)
                if not kept and not self._settles(stream):
                    stream.skip_known()
                for job in stream.known_jobs():
                    yield JobBatch([job], seen, kept)
                if block.last_for_now:
                    yield JobBatch([], seen, last_for_now=True)
            else:
                jobs = self._push(block, rows, block.groups)
                yield JobBatch(jobs, min(self._next_row(), seen))
        if not begun:
            yield from self._begin(seen, after_settling=after_settling)
        for jobs in self._last_jobs():
            yield JobBatch(jobs, seen)

    # --- parts of a signal ---

    @property
    def history(self) -> int:
        """How many samples before the first block are needed."""
        if not self.beginning.lengths:
            return 0
        return self._stream(ALL).history

    def outputs_at(self, lengths: Sequence[int], blocks: Sequence[int], width: int) -> list[int]:
        """Count the outputs that are computed before some blocks of a single signal.

        lengths : of all blocks; blocks : their numbers, increasing; width : numbers of a sample
        """
        stream = self._stream(ALL)
        counts = []
        done = 0
        for block in blocks:
            stream.skip(lengths[done:block], width)
            done = block
            counts.append(stream.outputs_done)
        return counts

    @property
    def bins_begun(self) -> dict[SignalName, tuple[int, ...]]:
        """How many of each calendar bins have begun in the part, for each signal."""
        return {group: stream.bins_begun for group, stream in self._streams.items()}

    @property
    def held_after(self) -> HeldValues | None:
        """The values that the next job of a single signal holds; None for interleaved signals."""
        stream = self._streams.get(ALL)
        return None if stream is None else stream.held_after

    def _begin(self, seen: int, *, after_settling: bool) -> Iterator[JobBatch]:
        """Count the samples and outputs from now on as filtered here.

        Where jobs may be of any length, the outputs that are waiting now belong to the part before.

        after_settling : whether the blocks before were filtered for the values that they hold
        """
        alone = self._streams.get(ALL)
        if alone is None:
            return
        if alone.lacks_history:
            raise HistoryNeededError
        if self._jobs_of_any_length and after_settling:
            for job in alone.known_jobs(all_known=True):
                yield JobBatch([job], seen, kept=False)
        alone.begin()

    def _settles(self, stream: Stream) -> bool:
        """Whether outputs before the part are computed for the values that they hold."""
        if self.beginning.held is not None or not stream.geometry.chain.holds:
            return False
        return not stream.lacks_history

    @property
    def _jobs_of_any_length(self) -> bool:
        """Whether results are the same however the outputs are divided into jobs."""
        return self.chains.signal.medium.exact

    def _resume(self, stream: Stream, group: SignalName) -> None:
        """Let a stream go on where the blocks before the first one have ended."""
        pasts = self.beginning.pasts
        bins = self.beginning.bins.get(group, ())
        if pasts is None:
            stream.earlier = self.beginning.earlier
            stream.skip(self.beginning.lengths, self.beginning.width, bins)
            if self._jobs_of_any_length:
                stream.skip_known()
            return
        past = pasts.get(group or b"")
        if past is not None:
            stream.go_on(past, bins)

    def _unfinished_jobs(self) -> Iterator[list[Job]]:
        """Yield the jobs of outputs that wait at the end of a part, if jobs may have any length."""
        if not self._jobs_of_any_length:
            return
        streams = self._streams.values()
        yield [job for stream in streams for job in stream.known_jobs(all_known=True)]

    def _jobs_of_waiting_rows(self, following: Followings) -> Iterator[list[Job]]:
        """Yield the jobs of all outputs that are aligned with a row of the part."""
        jobs: list[Job] = []
        if self._interleaved is not None:
            jobs = self._interleaved.finish_part(following)
        for group, stream in self._streams.items():
            jobs += stream.finish_part(following.get(group))
            self._next_rows[group] = stream.next_row
        if self._next_row() < ROW_AFTER:
            raise ValueError("the samples after the part do not decide all of its outputs")
        yield jobs

    # --- signals ---

    @property
    def edge_affected(self) -> int:
        """How many of the outputs so far read what lies outside of their signal."""
        affected = sum(stream.edge_affected for stream in self._streams.values())
        if self._interleaved is not None:
            affected += self._interleaved.edge_affected
        return affected

    def _push(self, block: Block, rows: AnyRows, groups: Groups) -> list[Job]:
        """Return the jobs of several signals that come in one block."""
        numbers = row_numbers(rows)
        if self._side_by_side:
            return self._signals(block).push(groups, block.x, numbers)
        for group, x, places in block.by_group():
            stream = self._stream(group)
            stamps = None if block.stamps is None else block.stamps[places]
            stream.take(x, numbers[places], stamps)
            first = int(numbers[places[0]])
            self._next_rows[group] = min(self._next_rows.get(group, NEVER), first)
            self._fed[group] = stream
        self._rows_waiting += len(numbers)
        enough = min(ROWS_OF_EACH * len(self._streams), ROWS_OF_ALL)
        if self._rows_waiting < enough and not self.follow:
            return []
        return self._known_jobs()

    def _known_jobs(self) -> list[Job]:
        """Return the jobs of all signals that have got rows since the last call."""
        jobs = []
        for group, stream in self._fed.items():
            jobs += stream.known_jobs()
            self._next_rows[group] = stream.next_row
        self._fed = {}
        self._rows_waiting = 0
        return jobs

    def _last_jobs(self) -> Iterator[list[Job]]:
        """Yield the jobs of the ends of all signals, as many together as there are groups."""
        if not self.beginning.ends:
            following = self.beginning.following
            if following is None:
                yield from self._unfinished_jobs()
            else:
                yield from self._jobs_of_waiting_rows(following)
            return
        if self._interleaved is not None:
            yield self._interleaved.finish()
            return
        alone = self._streams.get(ALL)
        if alone is not None:
            yield from ([job] for job in alone.finish())
            return
        yield [job for stream in self._streams.values() for job in stream.finish()]

    def _next_row(self) -> int:
        """Return the first row of an output that is still to come; NEVER for a single signal."""
        if self._interleaved is not None:
            return self._interleaved.next_row
        return min(self._next_rows.values(), default=NEVER)

    def _signals(self, block: Block) -> InterleavedSignals:
        """Return the signals that are filtered side by side; make them at the first block."""
        if self._interleaved is None:
            from convcli.running.interleaved import InterleavedSignals

            geometry = Geometry(self.chains.of(ALL), self.edge, self.tail)
            self._interleaved = InterleavedSignals(geometry, block.stored.shape[1])
            self._interleaved.resume(self.beginning.pasts or {})
        return self._interleaved

    def _stream(self, group: SignalName) -> Stream:
        """Return the stream of one signal, at its first block a new one."""
        stream = self._streams.get(group)
        if stream is None:
            geometry = geometry_of(self.chains.of(group), self.edge, self.tail)
            stream = Stream(
                group,
                geometry,
                patience=self._patience(geometry.chain),
                with_rows=self.chains.signal.medium.carries_cells,
            )
            self._streams[group] = stream
            self._resume(stream, group)
        return stream

    def _patience(self, chain: Chain) -> float:
        """How many outputs a job has to have for each input that it shares with the next job."""
        if self.follow or chain.times.in_time:
            return 0.0
        if chain.cell is not None and chain.cell > 1:
            # The cells of a frame grid read the same inputs twice in a long job, too.
            return 1.0
        if self.chains.signal.medium.early_rows:
            return ROWS_PER_REACH
        prefers_long_jobs = len(chain.ops) == 1 and chain.ops[0].prefers_long_jobs
        if self.chains.signal.axes == 1 or prefers_long_jobs:
            return OUTPUTS_PER_REACH
        return 1.0


def in_row_order(results: Iterable[BatchOutputs]) -> Iterator[SignalBlock]:
    """Merge the outputs of interleaved signals by their rows.

    An output is yielded as soon as none of an earlier row can come.
    """
    waiting: list[SignalBlock] = []
    lowest = NEVER
    for result in results:
        waiting += result.blocks
        for block in result.blocks:
            numbers = row_numbers(block.rows)
            lowest = min(lowest, int(numbers.min()))
        if result.complete <= lowest:
            continue
        y = np.concatenate([block.x for block in waiting])
        rows = np.concatenate([row_numbers(block.rows) for block in waiting])
        free = rows < result.complete
        ready = np.flatnonzero(free)
        ready = ready[np.argsort(rows[ready], kind="stable")]
        for first in range(0, len(ready), RELEASED):
            some = ready[first : first + RELEASED]
            yield SignalBlock(ALL, y[some], rows[some])
        kept = ~free
        waiting = [SignalBlock(ALL, y[kept], rows[kept])] if kept.any() else []
        lowest = int(rows[kept].min(initial=NEVER))


def _fits_side_by_side(chain: Chain) -> bool:
    """Whether a chain can filter interleaved signals side by side, as channels of one array.

    Then all channels are treated alike, wherever a signal begins: outputs depend on no times, and
    no operation has several phases.
    """
    has_phases = any(op.reach[0].phases > 1 for op in chain.ops)
    return chain.uniform and not chain.times.in_time and not has_phases
