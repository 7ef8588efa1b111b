"""The loop: blocks are decoded, cut into jobs, filtered and encoded in any thread, and written in order.

Sound, tables and pictures, whole arrays and streams, one signal or many interleaved ones all go through `run`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.chain import Chain
from convcli.core.whole import Normalize, Reduce, Reduction
from convcli.engine.stream import Stream
from convcli.engine.workers import Workers
from convcli.errors import InputError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from convcli.core.chain import Job
    from convcli.core.ops import Op
    from convcli.engine.plan import BoundStep, Plan
    from convcli.signals import Array, Block, Rows, Sink, Source

    ChainOf = Callable[[bytes], Chain]

# The name of the group where the rows are not told apart.
ALL = b""


@dataclass
class Tally:
    """What was counted on the way: samples along axis 0, and missing ones per channel."""

    read: int = 0
    written: int = 0
    missing: Any = 0
    edge_affected: int = 0


@dataclass(frozen=True)
class Piece:
    """Consecutive samples of one signal and the rows of the input at which they stand."""

    group: bytes
    x: Array
    rows: Rows


@dataclass(frozen=True)
class Batch:
    """Jobs that became ready together. All rows before `release` are complete with it; None where order is kept."""

    jobs: list[tuple[bytes, Job]]
    release: int | None

    def run(self) -> tuple[list[Piece], int | None]:
        """The outputs of every job."""
        try:
            return [Piece(group, job.run(), job.rows) for group, job in self.jobs], self.release
        finally:
            for _, job in self.jobs:  # one that was not reached must not be waited for
                job.let_go()


def run(plan: Plan, source: Source[Any], sink: Sink[Any], *, threads: int | None = None, tail: int = 0) -> Tally:
    """Filter all that `source` gives into `sink`, letting `tail` more inputs ring out. Closes neither."""
    tally = Tally()
    with Workers(threads) as workers:
        pieces = partial(_filtered, _Reading(plan, source, workers, tally).arrivals, plan, workers, tally, tail)
        outputs = _numbered(_in_row_order(pieces())) if plan.signal.medium != "table" else _in_row_order(pieces())
        for encoded, count in workers.map(lambda out: (sink.encode(*out), len(out[1])), outputs):
            sink.write(encoded)
            tally.written += count
    return tally


@dataclass
class _Reading:
    """The source, pass after pass, as pieces of its signals."""

    plan: Plan
    source: Source[Any]
    workers: Workers
    tally: Tally

    def arrivals(self) -> Iterator[list[Piece]]:
        """One list of pieces for each block, a piece for each signal that the block holds samples of."""
        self.tally.read, self.tally.missing = 0, np.zeros(len(self.plan.signal.channels), np.int64)
        for block, missing in self.workers.map(self._decode, self.source.chunks()):
            if self.plan.rules.missing == "error" and missing.any():
                self._refuse_missing(block)
            rows = np.arange(self.tally.read, self.tally.read + len(block.x))
            self.tally.read += len(block.x)
            self.tally.missing += missing
            yield list(split(block, rows))

    def _decode(self, raw: Any) -> tuple[Block, Any]:
        block = getattr(self.source, "decode_bytes", self.source.decode)(raw)
        axes = tuple(range(block.x.ndim - 1))
        if block.x.dtype == np.uint8 or block.x.size == 0 or not np.isnan(block.x.min()):
            return block, np.zeros(block.x.shape[-1], np.int64)
        return block, np.isnan(block.x).sum(axis=axes)

    def _refuse_missing(self, block: Block) -> None:
        place = np.argwhere(np.isnan(block.x))[0]
        row, channel = self.tally.read + int(place[0]), self.plan.signal.channels[int(place[-1])]
        raise InputError(
            f"missing value in data row {row + 1}, {channel}",
            hint="--missing keep, fill or propagate accept missing values",
        )


def split(block: Block, rows: Rows) -> Iterator[Piece]:
    """The samples of a block by the signal that they belong to."""
    if block.groups is None:
        yield Piece(ALL, block.x, rows)
        return
    if not len(rows):
        return
    codes = block.groups.codes
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(block.groups.names)))
    for name, start, end in zip(block.groups.names, [0, *ends[:-1]], ends, strict=True):
        if end > start:
            mine = order[start:end]
            yield Piece(name, block.x[mine], rows[mine])


# ------------------------------------------------------------------------------------------------ stages


def _filtered(
    arrivals: Callable[[], Iterable[list[Piece]]], plan: Plan, workers: Workers, tally: Tally, tail: int
) -> Iterator[tuple[list[Piece], int | None]]:
    """The outputs of all steps. A step that reduces the whole signal ends a stage; the next begins with its result."""
    stage: list[BoundStep] = []
    edge = plan.rules.edge
    for step in plan.steps:
        if not isinstance(step.whole, Reduce):
            stage.append(step)
            continue
        chain_of = _settled(stage, arrivals, plan, workers, 0)
        results = workers.map(Batch.run, _cut(arrivals(), chain_of, edge, Tally(), 0))
        reduced = _reduced(results, step, plan)
        arrivals = partial(iter, [reduced])
        stage, tail = [], 0
    chain_of = _settled(stage, arrivals, plan, workers, tail)
    yield from workers.map(Batch.run, _cut(arrivals(), chain_of, edge, tally, tail))


def _settled(
    steps: list[BoundStep], arrivals: Callable[[], Iterable[list[Piece]]], plan: Plan, workers: Workers, tail: int
) -> ChainOf:
    """The chain of each signal, after a pass over the input for every step that has to measure it first."""
    ops: list[Op | dict[bytes, Op]] = []

    def chain_of(group: bytes) -> Chain:
        return Chain(tuple(op[group] if isinstance(op, dict) else op for op in ops), plan.signal.axes)

    for step in steps:
        if isinstance(step.whole, Normalize):
            peaks: dict[bytes, Any] = defaultdict(partial(np.zeros, len(step.after.channels)))
            for pieces, _ in workers.map(Batch.run, _cut(arrivals(), chain_of, plan.rules.edge, Tally(), tail)):
                for piece in pieces:
                    peaks[piece.group] = np.fmax(peaks[piece.group], step.whole.measure(piece.x))
            settled = {group: step.whole.settle(peak) for group, peak in peaks.items()}
            ops.append(defaultdict(partial(step.whole.settle, np.zeros(len(step.after.channels))), settled))
        else:
            ops.extend(step.ops)
    return chain_of


def _reduced(results: Iterator[tuple[list[Piece], int | None]], step: BoundStep, plan: Plan) -> list[Piece]:
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
    return [Piece(group, *reduction.result()) for group, reduction in running.items()]


def _check_bins(reduction: Reduction, plan: Plan) -> None:
    expected, bins = reduction.shape[0], reduction.reduce.bins[0]
    if reduction.seen != expected:
        raise InputError(f"the signal ended after {reduction.seen} of {expected} samples")
    if plan.signal.medium == "table" and bins > expected:
        raise RequestError(f"a table of {expected} rows cannot get {bins}", hint=f"ask for at most {expected}")


# -------------------------------------------------------------------------------------------- cut and order


def _cut(arrivals: Iterable[list[Piece]], chain_of: ChainOf, edge: Any, tally: Tally, tail: int) -> Iterator[Batch]:
    """Jobs as soon as their inputs are there, a batch for each arrival and one for the ends of all signals."""
    streams: dict[bytes, Stream] = {}
    seen = 0
    for pieces in arrivals:
        ready: list[tuple[bytes, Job]] = []
        for piece in pieces:
            stream = streams.get(piece.group)
            if stream is None:
                stream = streams[piece.group] = Stream(chain_of(piece.group), edge, tail=tail)
            job = stream.push(piece.x, piece.rows)
            if job is not None:
                ready.append((piece.group, job))
            seen = max(seen, int(piece.rows[-1]) + 1) if len(piece.rows) else seen
        yield Batch(ready, _release(streams, seen))
    last = [(group, job) for group, stream in streams.items() if (job := stream.finish()) is not None]
    tally.edge_affected = sum(stream.edge_affected for stream in streams.values())
    if last or list(streams) != [ALL]:
        yield Batch(last, None if list(streams) == [ALL] else seen)


def _release(streams: dict[bytes, Stream], seen: int) -> int | None:
    """The first row whose output may still be waiting in some signal."""
    if list(streams) == [ALL]:
        return None
    waiting = [row for stream in streams.values() if (row := stream.next_row) is not None]
    return min(waiting, default=seen)


def _in_row_order(results: Iterable[tuple[list[Piece], int | None]]) -> Iterator[tuple[Array, Rows]]:
    """The outputs of interleaved signals merged by the rows they stand at, each as soon as no earlier one can come."""
    waiting: list[Piece] = []
    lowest: float = np.inf
    for pieces, release in results:
        waiting += pieces
        lowest = min((lowest, *(int(piece.rows[0]) for piece in pieces)))
        if release is None:
            yield from ((piece.x, piece.rows) for piece in waiting)
            waiting, lowest = [], np.inf
            continue
        if release <= lowest:
            continue
        y = np.concatenate([piece.x for piece in waiting])
        rows = np.concatenate([piece.rows for piece in waiting])
        order = np.argsort(rows, kind="stable")
        free = int(np.searchsorted(rows[order], release))
        if free:
            yield y[order[:free]], rows[order[:free]]
        waiting = [Piece(ALL, y[order[free:]], rows[order[free:]])] if free < len(order) else []
        lowest = int(waiting[0].rows[0]) if waiting else np.inf


def _numbered(outputs: Iterable[tuple[Array, Rows]]) -> Iterator[tuple[Array, Rows]]:
    """Outputs by their own numbers, for media that carry nothing along with a sample."""
    count = 0
    for y, _ in outputs:
        yield y, np.arange(count, count + len(y))
        count += len(y)
