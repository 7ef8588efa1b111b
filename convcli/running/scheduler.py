"""The scheduler: blocks become jobs, and outputs of several signals come in row order.

A single signal is the simple case: one `Stream`. Interleaved signals that one chain treats alike
are filtered side by side (`InterleavedSignals`); others have a `Stream` each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.chain import Chain
from convcli.running.geometry import Geometry
from convcli.running.jobs import JobBatch, SignalBlock
from convcli.running.past import AT_START
from convcli.running.stream import NEVER, Stream
from convcli.running.timed_geometry import geometry_of
from convcli.signals import row_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.core.ops import Op
    from convcli.core.task import HeldAfter
    from convcli.running.interleaved import InterleavedSignals
    from convcli.running.jobs import BatchOutputs, Job, SignalName
    from convcli.running.past import Beginning
    from convcli.signals import AnyRows, Block, Edge, Signal

    # Blocks in their order, each with the input rows of its samples.
    Arrivals = Iterable[tuple[Block, AnyRows]]

# The name of the only signal of an input that has no groups: no group can be called so.
ALL: SignalName = None

# Rows that are handed on at a time where many were waiting.
RELEASED = 1 << 16


@dataclass(frozen=True, eq=False)
class Chains:
    """The chain of each signal.

    All signals have the same, except for operations that were measured for each by itself.
    """

    ops: list[Op | dict[SignalName, Op]]
    signal: Signal

    @cached_property
    def common(self) -> Chain | None:
        """The chain of all signals, None if they differ."""
        ops = tuple(op for op in self.ops if not isinstance(op, dict))
        return Chain(ops, self.signal.axes) if len(ops) == len(self.ops) else None

    def of(self, group: SignalName) -> Chain:
        """Return the chain of one signal."""
        if self.common is not None:
            return self.common
        ops = tuple(op[group] if isinstance(op, dict) else op for op in self.ops)
        return Chain(ops, self.signal.axes)


class Scheduler:
    """Takes in blocks and gives out jobs as soon as their inputs are there.

    tail : outputs go on for so many samples past the end of a signal
    by_group : let every signal be known by its group, also where several could be filtered side by
        side
    beginning : where the blocks begin in the signal
    """

    def __init__(
        self,
        chains: Chains,
        edge: Edge,
        *,
        tail: int = 0,
        by_group: bool = False,
        beginning: Beginning = AT_START,
    ) -> None:
        self.chains = chains
        self.edge = edge
        self.tail = tail
        self.beginning = beginning
        common = chains.common
        self._side_by_side = (
            not by_group
            and common is not None
            and common.uniform
            and not common.in_time
            and edge != "wrap"
        )
        self._interleaved: InterleavedSignals | None = None
        self._streams: dict[SignalName, Stream] = {}
        self._next_rows: dict[SignalName, int] = {}

    def batches(self, arrivals: Arrivals) -> Iterator[JobBatch]:
        """Yield a batch of jobs for each block, and one for the ends of all signals."""
        seen = 0
        begun = False
        for block, rows in arrivals:
            if block.role == "earlier":
                self._stream(ALL).recall(block.stored, rows)
                continue
            kept = block.role == "filtered"
            if kept and not begun:
                self._begin()
                begun = True
            jobs = self._push(block, rows)
            if isinstance(rows, range):
                seen = max(seen, rows.stop)
            else:
                seen = max(seen, int(rows.max(initial=-1)) + 1)
            yield JobBatch(jobs, min(self._next_row(), seen), kept)
        if not begun:
            self._begin()
        yield JobBatch(self._finish() if self.beginning.ends else [], seen)

    @property
    def history(self) -> int:
        """How many samples before the first block are needed."""
        if not self.beginning.lengths:
            return 0
        return self._stream(ALL).history

    def _begin(self) -> None:
        """Count what comes from now on as filtered here."""
        for stream in self._streams.values():
            stream.begin()

    @property
    def held_after(self) -> HeldAfter | None:
        """The values that the next job of a single signal holds; None for interleaved signals."""
        stream = self._streams.get(ALL)
        return None if stream is None else stream.held_after

    @property
    def edge_affected(self) -> int:
        """How many of the outputs so far read what lies outside of their signal."""
        affected = sum(stream.edge_affected for stream in self._streams.values())
        if self._interleaved is not None:
            affected += self._interleaved.edge_affected
        return affected

    def _push(self, block: Block, rows: AnyRows) -> list[Job]:
        if block.groups is None:
            job = self._stream(ALL).push(block.stored, rows, block.stamps)
            return [] if job is None else [job]
        numbers = row_numbers(rows)
        if self._side_by_side:
            return self._signals(block).push(block.groups, block.x, numbers)
        jobs = []
        for group, x, places in block.by_group():
            stream = self._stream(group)
            stamps = None if block.stamps is None else block.stamps[places]
            job = stream.push(x, numbers[places], stamps)
            self._next_rows[group] = stream.next_row
            if job is not None:
                jobs.append(job)
        return jobs

    def _finish(self) -> list[Job]:
        if self._interleaved is not None:
            return self._interleaved.finish()
        jobs = [stream.finish() for stream in self._streams.values()]
        return [job for job in jobs if job is not None]

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
            patient = not self.chains.signal.medium.prompt
            stream = Stream(group, geometry, patient=patient)
            self._streams[group] = stream
            self._resume(stream, group)
        return stream

    def _resume(self, stream: Stream, group: SignalName) -> None:
        """Let a stream go on where the blocks before the first one have ended."""
        pasts = self.beginning.pasts
        if pasts is None:
            stream.last_job = self.beginning.values
            stream.skip(self.beginning.lengths, self.beginning.width)
            return
        past = pasts.get(group or b"")
        if past is not None:
            stream.go_on(past)


def in_row_order(results: Iterable[BatchOutputs]) -> Iterator[SignalBlock]:
    """Merge the outputs of interleaved signals by their rows.

    An output is yielded as soon as none of an earlier row can come.
    """
    waiting: list[SignalBlock] = []
    lowest = NEVER
    for result in results:
        waiting += result.blocks
        for block in result.blocks:
            lowest = min(lowest, int(row_numbers(block.rows).min()))
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
