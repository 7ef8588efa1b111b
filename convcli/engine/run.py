"""The loop: blocks are decoded, cut into jobs, filtered and encoded in any thread, and written in order.

Sound, tables and pictures, whole arrays and streams, one signal or many interleaved ones all go through `run`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.chain import Chain
from convcli.core.missing import any_missing
from convcli.core.whole import Normalize, Reduce, Reduction
from convcli.engine.stream import NEVER, Stream, numbers_of
from convcli.engine.workers import Workers
from convcli.errors import InputError, RequestError
from convcli.signals import Block, Groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from convcli.core.chain import Job
    from convcli.core.extend import Edge
    from convcli.core.ops import Op
    from convcli.engine.lanes import Lanes
    from convcli.engine.plan import BoundStep, Plan
    from convcli.signals import AnyRows, Array, Signal, Sink, Source

    Encode = Callable[["Piece"], tuple[Any, int]]
    Arrivals = Callable[[], Iterable[tuple[Block, AnyRows]]]

# Outputs that became known together, and the first row that may still be waiting.
Results = tuple[list["Piece"], int]

# The name of the group where the rows are not told apart.
ALL = b""

# Rows that are handed on at a time where many were waiting.
RELEASED = 1 << 16


@dataclass
class Tally:
    """What was counted on the way: samples along axis 0, and missing ones per channel.

    missing : those of the input; became_missing : those of the result whose input was there, by the name of the channel
    """

    read: int = 0
    written: int = 0
    missing: Any = 0
    became_missing: Counter[str] = field(default_factory=Counter)
    edge_affected: int = 0


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


def run(plan: Plan, source: Source[Any], sink: Sink[Any], *, threads: int | None = None, tail: int = 0) -> Tally:
    """Filter all that `source` gives into `sink`, letting `tail` more inputs ring out. Closes neither."""
    tally = Tally()
    with Workers(threads) as workers:
        arrivals = _Reading(plan, source, workers, tally).arrivals
        encode = partial(_encoded, sink, carried=plan.signal.medium == "table")
        for encoded, count in _filtered(arrivals, plan, workers, tally, tail=tail, encode=encode):
            sink.write(encoded)
            tally.written += count
    return tally


def _encoded(sink: Sink[Any], piece: Piece, *, carried: bool) -> tuple[Any, int]:
    """What the sink makes of a piece, and of how many samples. Rows that carry nothing along count from the first."""
    rows = piece.rows if carried else range(piece.number, piece.number + len(piece.x))
    return sink.encode(piece.x, rows), len(piece.x)


@dataclass
class _Reading:
    """The source, pass after pass."""

    plan: Plan
    source: Source[Any]
    workers: Workers
    tally: Tally

    def arrivals(self) -> Iterator[tuple[Block, AnyRows]]:
        """Each block and the rows of the input at which its samples stand."""
        self.tally.read, self.tally.missing = 0, np.zeros(len(self.plan.signal.channels), np.int64)
        for block, missing in self.workers.map(self._decode, self.source.chunks()):
            if self.plan.rules.missing == "error" and missing.any():
                self._refuse_missing(block)
            rows = range(self.tally.read, self.tally.read + len(block.stored))
            self.tally.read += len(block.stored)
            self.tally.missing += missing
            yield block, rows

    def _decode(self, raw: Any) -> tuple[Block, Any]:
        block = self.source.decode(raw)
        x = block.stored
        if not any_missing(x):
            return block, np.zeros(x.shape[-1], np.int64)
        return block, np.isnan(x).sum(axis=tuple(range(x.ndim - 1)))

    def _refuse_missing(self, block: Block) -> None:
        place = np.argwhere(np.isnan(block.x))[0]
        row, channel = self.tally.read + int(place[0]), self.plan.signal.channels[int(place[-1])]
        raise InputError(
            f"missing value in data row {row + 1}, {channel}",
            hint="--missing keep, fill or propagate accept missing values",
        )


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


# ------------------------------------------------------------------------------------------------ stages


@dataclass(frozen=True)
class _Chains:
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
        return Stream(self.of(group), edge, tail=tail, patient=self.signal.medium != "table")


def _filtered(
    arrivals: Arrivals, plan: Plan, workers: Workers, tally: Tally, *, tail: int, encode: Encode
) -> Iterator[tuple[Any, int]]:
    """The outputs of all steps, encoded, and how many samples each is of.

    A step that reduces the whole signal ends a stage; the next begins with its result.
    """
    stage: list[BoundStep] = []
    edge = plan.rules.edge
    for step in plan.steps:
        if not isinstance(step.whole, Reduce):
            stage.append(step)
            continue
        chains = _settled(stage, arrivals, plan, workers, 0)
        results = workers.map(Batch.run, _cut(arrivals(), _Apart(chains, edge, 0), Tally()))
        reduced = _reduced(_counted(results, stage, tally), step, plan)
        arrivals = partial(iter, reduced)
        stage, tail = [], 0
    chains = _settled(stage, arrivals, plan, workers, tail)
    blocks = iter(arrivals())
    for first in blocks:
        batches = _cut(chain([first], blocks), _signals(first[0], chains, edge, tail), tally)
        if first[0].groups is not None:
            ordered = _in_row_order(_counted(workers.map(Batch.run, batches), stage, tally))
            yield from workers.map(encode, ordered)
            continue
        # Alone in its file a signal comes in order: a block is encoded by the thread that filtered it.
        for lost, outputs in workers.map(partial(_run_and_encode, encode), batches):
            _count(lost, stage, tally)
            yield from outputs


def _run_and_encode(encode: Encode, batch: Batch) -> tuple[list[Any], list[tuple[Any, int]]]:
    """What became missing in each piece of a batch, and the pieces encoded."""
    pieces, _ = batch.run()
    return [piece.became_missing for piece in pieces], [encode(piece) for piece in pieces]


def _counted(results: Iterable[Results], stage: list[BoundStep], tally: Tally) -> Iterator[Results]:
    """The outputs of a stage, and on the way what became missing in it."""
    for pieces, release in results:
        _count([piece.became_missing for piece in pieces], stage, tally)
        yield pieces, release


def _count(lost: list[Any], stage: list[BoundStep], tally: Tally) -> None:
    """Add what became missing in some pieces to the tally."""
    for counts in lost:
        if counts is not None and stage:
            named = zip(stage[-1].after.channels, counts.tolist(), strict=True)
            tally.became_missing.update({name: count for name, count in named if count})


def _signals(first: Block, chains: _Chains, edge: Edge, tail: int) -> _Apart | Lanes:
    """How the signals are cut into jobs that begin with the block `first`."""
    common = chains.common
    if first.groups is not None and edge != "wrap" and common is not None and common.uniform:
        from convcli.engine.lanes import Lanes

        return Lanes(common, edge, first.x.shape[1])
    return _Apart(chains, edge, tail)


def _settled(steps: list[BoundStep], arrivals: Arrivals, plan: Plan, workers: Workers, tail: int) -> _Chains:
    """The chain of each signal, after a pass over the input for every step that has to measure it first."""
    ops: list[Op | dict[bytes, Op]] = []
    for step in steps:
        if isinstance(step.whole, Normalize):
            peaks: dict[bytes, Any] = defaultdict(partial(np.zeros, len(step.after.channels)))
            signals = _Apart(_Chains([*ops], plan.signal), plan.rules.edge, tail)
            for pieces, _ in workers.map(Batch.run, _cut(arrivals(), signals, Tally())):
                for piece in pieces:
                    peaks[piece.group] = np.fmax(peaks[piece.group], step.whole.measure(piece.x))
            settled = {group: step.whole.settle(peak) for group, peak in peaks.items()}
            ops.append(defaultdict(partial(step.whole.settle, np.zeros(len(step.after.channels))), settled))
        else:
            ops.extend(step.ops)
    return _Chains(ops, plan.signal)


def _reduced(results: Iterator[Results], step: BoundStep, plan: Plan) -> list[tuple[Block, AnyRows]]:
    """The bins of each signal, in constant memory where its length is known beforehand."""
    reduce, n = step.whole, step.before.shape[0]
    assert isinstance(reduce, Reduce)  # noqa: S101 -- what the caller has seen
    gathered: dict[bytes, list[Piece]] = defaultdict(list)
    running: dict[bytes, Reduction] = {}
    for pieces, _ in results:
        for piece in pieces:
            if n is None or plan.rules.edge == "valid":
                gathered[piece.group].append(piece)
                continue
            shape = (n, *piece.x.shape[1:-1])
            running.setdefault(piece.group, Reduction(reduce, shape)).add(piece.x, piece.rows)
    for group, parts in gathered.items():
        running[group] = Reduction(reduce, (sum(len(part.x) for part in parts), *parts[0].x.shape[1:-1]))
        for part in parts:
            running[group].add(part.x, part.rows)
    for reduction in running.values():
        _check_bins(reduction, plan)
    bins = [reduction.result() for reduction in running.values()]
    if not bins or ALL in running:
        return [(Block(y), rows) for y, rows in bins]
    groups = Groups(list(running), np.repeat(np.arange(len(bins)), [len(rows) for _, rows in bins]))
    return [(Block(np.concatenate([y for y, _ in bins]), groups), np.concatenate([rows for _, rows in bins]))]


def _check_bins(reduction: Reduction, plan: Plan) -> None:
    expected, bins = reduction.shape[0], reduction.reduce.bins[0]
    if reduction.seen != expected:
        raise InputError(f"the signal ended after {reduction.seen} of {expected} samples")
    if plan.signal.medium == "table" and bins > expected:
        raise RequestError(f"a table of {expected} rows cannot get {bins}", hint=f"ask for at most {expected}")


# -------------------------------------------------------------------------------------------- cut and order


class _Apart:
    """Signals that each go their own way, a `Stream` for each."""

    def __init__(self, chains: _Chains, edge: Edge, tail: int) -> None:
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
                stream = self.streams[piece.group] = self.chains.stream(piece.group, self.edge, self.tail)
            job = stream.push(piece.x, piece.rows)
            if job is not None:
                ready.append((piece.group, job))
            if piece.group != ALL:
                self.next_rows[piece.group] = stream.next_row
        return ready

    def finish(self) -> list[tuple[bytes, Job]]:
        """The outputs that were waiting for the end of the signals."""
        return [(group, job) for group, stream in self.streams.items() if (job := stream.finish()) is not None]

    def release(self, seen: int) -> int:
        """The first row whose output may still be waiting, `seen` rows having come."""
        return min(min(self.next_rows.values(), default=NEVER), seen)

    @property
    def edge_affected(self) -> int:
        """How many of the outputs so far read what lies outside of their signal."""
        return sum(stream.edge_affected for stream in self.streams.values())


def _cut(arrivals: Iterable[tuple[Block, AnyRows]], signals: _Apart | Lanes, tally: Tally) -> Iterator[Batch]:
    """Jobs as soon as their inputs are there, a batch for each arrival and one for the ends of all signals."""
    seen = 0
    for block, rows in arrivals:
        ready = signals.push(block, rows)
        seen = max(seen, rows.stop if isinstance(rows, range) else int(rows.max(initial=-1)) + 1)
        yield Batch(ready, signals.release(seen))
    last = signals.finish()
    tally.edge_affected = signals.edge_affected
    yield Batch(last, seen)


def _in_row_order(results: Iterable[Results]) -> Iterator[Piece]:
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
