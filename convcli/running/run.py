"""The loop: blocks are decoded, cut into jobs, filtered and encoded in any thread, and written in order.

Sound, tables and pictures, whole arrays and streams, one signal or many interleaved ones all go through `run`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.missing import any_missing
from convcli.core.whole import Normalize, Reduce, Reduction
from convcli.errors import InputError, RequestError
from convcli.running.pieces import ALL, Apart, Batch, Chains, Piece, cut, in_row_order, signals_of
from convcli.running.workers import Workers
from convcli.signals import Block, Groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from convcli.core.ops import Op
    from convcli.planning.plan import BoundStep, Plan
    from convcli.running.pieces import Results
    from convcli.signals import AnyRows, Sink, Source

    Encode = Callable[[Piece], tuple[Any, int]]
    Arrivals = Callable[[], Iterable[tuple[Block, AnyRows]]]


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


def run(
    plan: Plan, source: Source[Any], sink: Sink[Any], *, threads: int | None = None, tail: int = 0
) -> Tally:
    """Filter all that `source` gives into `sink`, letting `tail` more inputs ring out. Closes neither."""
    tally = Tally()
    with Workers(threads) as workers:
        arrivals = _Reading(plan, source, workers, tally).arrivals
        encode = partial(_encoded, sink, carried=plan.signal.medium.carries_cells)
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


# ------------------------------------------------------------------------------------------------ stages


def _filtered(
    arrivals: Arrivals, plan: Plan, workers: Workers, tally: Tally, *, tail: int, encode: Encode
) -> Iterator[tuple[Any, int]]:
    """The outputs of all steps, encoded, and how many samples each is of.

    A step that reduces the whole signal ends a stage; the next begins with its result. Alone in its file a signal comes
    in order: then a block is encoded by the thread that filtered it.
    """
    stage: list[BoundStep] = []
    edge = plan.rules.edge
    for step in plan.steps:
        if not isinstance(step.whole, Reduce):
            stage.append(step)
            continue
        chains = _settled(stage, arrivals, plan, workers, 0)
        results = workers.map(Batch.run, cut(arrivals(), Apart(chains, edge, 0)))
        reduced = _reduced(_counted(results, stage, tally), step, plan)
        arrivals = partial(iter, reduced)
        stage, tail = [], 0
    chains = _settled(stage, arrivals, plan, workers, tail)
    blocks = iter(arrivals())
    first = next(blocks, None)
    if first is None:
        return
    signals = signals_of(first[0], chains, edge, tail)
    batches = cut(chain([first], blocks), signals)
    if first[0].groups is not None:
        ordered = in_row_order(_counted(workers.map(Batch.run, batches), stage, tally))
        yield from workers.map(encode, ordered)
    else:
        for lost, outputs in workers.map(partial(_run_and_encode, encode), batches):
            _count(lost, stage, tally)
            yield from outputs
    tally.edge_affected = signals.edge_affected


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


def _settled(
    steps: list[BoundStep], arrivals: Arrivals, plan: Plan, workers: Workers, tail: int
) -> Chains:
    """The chain of each signal, after a pass over the input for every step that has to measure it first."""
    ops: list[Op | dict[bytes, Op]] = []
    for step in steps:
        if isinstance(step.whole, Normalize):
            peaks: dict[bytes, Any] = defaultdict(partial(np.zeros, len(step.after.channels)))
            signals = Apart(Chains([*ops], plan.signal), plan.rules.edge, tail)
            for pieces, _ in workers.map(Batch.run, cut(arrivals(), signals)):
                for piece in pieces:
                    peaks[piece.group] = np.fmax(peaks[piece.group], step.whole.measure(piece.x))
            settled = {group: step.whole.settle(peak) for group, peak in peaks.items()}
            ops.append(
                defaultdict(partial(step.whole.settle, np.zeros(len(step.after.channels))), settled)
            )
        else:
            ops.extend(step.ops)
    return Chains(ops, plan.signal)


def _reduced(
    results: Iterator[Results], step: BoundStep, plan: Plan
) -> list[tuple[Block, AnyRows]]:
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
        running[group] = Reduction(
            reduce, (sum(len(part.x) for part in parts), *parts[0].x.shape[1:-1])
        )
        for part in parts:
            running[group].add(part.x, part.rows)
    for reduction in running.values():
        _check_bins(reduction, plan)
    bins = [reduction.result() for reduction in running.values()]
    if not bins or ALL in running:
        return [(Block(y), rows) for y, rows in bins]
    groups = Groups(list(running), np.repeat(np.arange(len(bins)), [len(rows) for _, rows in bins]))
    return [
        (
            Block(np.concatenate([y for y, _ in bins]), groups),
            np.concatenate([rows for _, rows in bins]),
        )
    ]


def _check_bins(reduction: Reduction, plan: Plan) -> None:
    expected, bins = reduction.shape[0], reduction.reduce.bins[0]
    if reduction.seen != expected:
        raise InputError(f"the signal ended after {reduction.seen} of {expected} samples")
    if plan.signal.medium.carries_cells and bins > expected:
        raise RequestError(
            f"a table of {expected} rows cannot get {bins}", hint=f"ask for at most {expected}"
        )
