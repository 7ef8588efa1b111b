"""Signals cut into jobs as soon as their inputs are there, and the outputs of interleaved ones put in order again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.chain import Chain
from convcli.running.stream import NEVER, Stream, numbers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.core.chain import Job
    from convcli.core.ops import Op
    from convcli.running.lanes import Lanes
    from convcli.signals import AnyRows, Array, Block, Edge, Signal

# Outputs that became known together, and the first row that may still be waiting.
Results = tuple[list["Piece"], int]

# The name of the group where the rows are not told apart.
ALL = b""

# Rows that are handed on at a time where many were waiting.
RELEASED = 1 << 16


@dataclass(frozen=True)
class Piece:
    """Consecutive samples of one signal and the rows of the input at which they stand.

    number : of the first of them in its signal
    became_missing : per channel, how many of them a step took; None where it took none
    """

    group: bytes
    x: Array
    rows: AnyRows
    number: int = 0
    became_missing: Any = None


@dataclass(frozen=True)
class Batch:
    """Jobs that became ready together. All rows before `release` are complete with it."""

    jobs: list[tuple[bytes, Job]]
    release: int

    def run(self) -> Results:
        """The outputs of every job."""
        try:
            return [_done(group, job) for group, job in self.jobs], self.release
        finally:
            for _, job in self.jobs:  # one that was not reached must not be waited for
                job.let_go()


def _done(group: bytes, job: Job) -> Piece:
    y = job.run()
    found = job.became_missing(y)
    lost = None if found is None else found.sum(axis=tuple(range(found.ndim - 1)))
    return Piece(group, y, job.rows, job.span[0][0], lost)


def split(block: Block, rows: AnyRows) -> Iterator[Piece]:
    """The samples of a block by the signal that they belong to."""
    if block.groups is None:
        yield Piece(ALL, block.x, rows)
        return
    if not len(rows):
        return
    codes, numbers = block.groups.codes, numbers_of(rows)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(block.groups.names)))
    for name, start, end in zip(block.groups.names, [0, *ends[:-1]], ends, strict=True):
        if end > start:
            mine = order[start:end]
            yield Piece(name, block.x[mine], numbers[mine])


@dataclass(frozen=True)
class Chains:
    """The chain of each signal: the same for all of them but for operations that were settled for each by itself."""

    ops: list[Op | dict[bytes, Op]]
    signal: Signal

    @cached_property
    def common(self) -> Chain | None:
        """The chain of all signals, if it is one."""
        ops = tuple(op for op in self.ops if not isinstance(op, dict))
        return Chain(ops, self.signal.axes) if len(ops) == len(self.ops) else None

    def of(self, group: bytes) -> Chain:
        """The chain of one signal."""
        return self.common or Chain(
            tuple(op[group] if isinstance(op, dict) else op for op in self.ops), self.signal.axes
        )

    def stream(self, group: bytes, edge: Edge, tail: int) -> Stream:
        """A signal that begins. The rows of a table leave as soon as they are known."""
        return Stream(self.of(group), edge, tail=tail, patient=not self.signal.medium.prompt)


def signals_of(first: Block, chains: Chains, edge: Edge, tail: int) -> Apart | Lanes:
    """How the signals are cut into jobs that begin with the block `first`."""
    common = chains.common
    if first.groups is not None and edge != "wrap" and common is not None and common.uniform:
        from convcli.running.lanes import Lanes

        return Lanes(common, edge, first.x.shape[1])
    return Apart(chains, edge, tail)


class Apart:
    """Signals that each go their own way, a `Stream` for each."""

    def __init__(self, chains: Chains, edge: Edge, tail: int) -> None:
        self.chains, self.edge, self.tail = chains, edge, tail
        self.streams: dict[bytes, Stream] = {}
        self.next_rows: dict[bytes, int] = {}

    def push(self, block: Block, rows: AnyRows) -> list[tuple[bytes, Job]]:
        """Take in a block of samples, which stand at `rows` of the input; what can be computed now."""
        ready: list[tuple[bytes, Job]] = []
        pieces = [Piece(ALL, block.stored, rows)] if block.groups is None else split(block, rows)
        for piece in pieces:
            stream = self.streams.get(piece.group)
            if stream is None:
                stream = self.streams[piece.group] = self.chains.stream(
                    piece.group, self.edge, self.tail
                )
            job = stream.push(piece.x, piece.rows)
            if job is not None:
                ready.append((piece.group, job))
            if piece.group != ALL:
                self.next_rows[piece.group] = stream.next_row
        return ready

    def finish(self) -> list[tuple[bytes, Job]]:
        """The outputs that were waiting for the end of the signals."""
        return [
            (group, job)
            for group, stream in self.streams.items()
            if (job := stream.finish()) is not None
        ]

    def release(self, seen: int) -> int:
        """The first row whose output may still be waiting, `seen` rows having come."""
        return min(min(self.next_rows.values(), default=NEVER), seen)

    @property
    def edge_affected(self) -> int:
        """How many of the outputs so far read what lies outside of their signal."""
        return sum(stream.edge_affected for stream in self.streams.values())


def cut(arrivals: Iterable[tuple[Block, AnyRows]], signals: Apart | Lanes) -> Iterator[Batch]:
    """Jobs as soon as their inputs are there, a batch for each arrival and one for the ends of all signals."""
    seen = 0
    for block, rows in arrivals:
        ready = signals.push(block, rows)
        seen = max(seen, rows.stop if isinstance(rows, range) else int(rows.max(initial=-1)) + 1)
        yield Batch(ready, signals.release(seen))
    last = signals.finish()
    yield Batch(last, seen)


def in_row_order(results: Iterable[Results]) -> Iterator[Piece]:
    """The outputs of interleaved signals merged by the rows they stand at, each as soon as no earlier one can come."""
    waiting: list[Piece] = []
    lowest = NEVER
    for pieces, release in results:
        waiting += pieces
        lowest = min((lowest, *(int(numbers_of(piece.rows).min()) for piece in pieces)))
        if release <= lowest:
            continue
        y = np.concatenate([piece.x for piece in waiting])
        rows = np.concatenate([numbers_of(piece.rows) for piece in waiting])
        free = rows < release
        out = np.flatnonzero(free)
        out = out[np.argsort(rows[out], kind="stable")]
        for first in range(0, len(out), RELEASED):
            some = out[first : first + RELEASED]
            yield Piece(ALL, y[some], rows[some])
        waiting = [] if free.all() else [Piece(ALL, y[~free], rows[~free])]
        lowest = int(rows[~free].min(initial=NEVER))
