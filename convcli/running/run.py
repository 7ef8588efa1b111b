"""The loop: blocks are decoded, cut into jobs, filtered, encoded and written.

Sound, tables and pictures, whole arrays and streams, one signal or many interleaved ones all go
through `run`:

    source.pieces     in order
    source.decode     any thread
    Scheduler         in order: blocks are cut into jobs
    Job.run           any thread
    sink.encode       any thread; interleaved signals are first put into the order of their rows
    sink.write        in order
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convcli.core.missing import count_missing
from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.facts import LossFacts
from convcli.running.chains import ALL, ChainOfEachSignal, chains_so_far
from convcli.running.past import Beginning
from convcli.running.scheduler import Scheduler, in_row_order
from convcli.running.workers import Workers
from convcli.signals import Block, Groups, LiveSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from convcli.array_types import IntArray
    from convcli.core.adaptive_bins import AdaptiveBins
    from convcli.core.op import Measure
    from convcli.core.task import HeldValues
    from convcli.core.whole_signal import AdaptivePool
    from convcli.planning.plan import BoundStep, Plan
    from convcli.running.jobs import BatchOutputs, JobBatch, SignalBlock, SignalName
    from convcli.running.past import Followings
    from convcli.running.scheduler import Arrivals
    from convcli.signals import AnyRows, PartSource, Rows, Signal, Sink, Source

    # Begins a pass over the input, which is cut into jobs by a scheduler.
    Pass = Callable[[Scheduler], Arrivals]
    MissingCounts = IntArray
    # What was measured of each signal.
    SignalMeasures = dict[SignalName, Any]
    # How many of each calendar bins have begun, one after the other, for each signal.
    BinsBegun = Mapping[SignalName, tuple[int, ...]]


@dataclass(frozen=True, eq=False, kw_only=True)
class RunCounts:
    """What one run has read and written, in samples along axis 0, and what was lost."""

    read: int
    written: int
    losses: LossFacts


def run(
    plan: Plan,
    source: Source[Any],
    sink: Sink[Any],
    *,
    threads: int | None = None,
    tail: int = 0,
    follow: bool = False,
) -> RunCounts:
    """Filter all samples of `source` into `sink`; close neither.

    tail : outputs go on for this many samples past the end
    follow : each output is written as soon as it is known
    """
    # The result is then the same, bit for bit, wherever a piece ends.
    in_any_pieces = plan.single_pass and plan.chain.cell is not None
    with Workers(threads) as workers:
        loop = _Loop(plan, _WholeSource(source, in_any_pieces), sink, workers, follow)
        return loop.written(tail)


def run_part(
    plan: Plan,
    part: PartSource[Any],
    sink: Sink[Any],
    *,
    threads: int | None = None,
    tail: int = 0,
    known: KnownElsewhere,
) -> tuple[RunCounts, HeldValues | None]:
    """Filter one part of a signal into `sink`; close neither.

    tail : outputs go on for this many samples past the end of the signal
    Returns also the values held after the part; None for interleaved signals.

    Raises HistoryNeededError if values are needed that are held from before the part, and unknown.
    """
    with Workers(threads) as workers:
        loop = _Loop(plan, part, sink, workers, known=known)
        counts = loop.written(tail)
    return counts, loop.held_after


def measure_part(
    plan: Plan,
    part: PartSource[Any],
    *,
    threads: int | None = None,
    tail: int = 0,
    known: KnownElsewhere,
) -> SignalMeasures:
    """Take the first measure of a signal that is not known, of one of its parts.

    The measures of parts combine by `joined_measures`. Arguments and errors are those of
    `run_part`.
    """
    with Workers(threads) as workers:
        loop = _Loop(plan, part, None, workers, known=known)
        return loop.measured(tail)


def bins_of_part(plan: Plan, part: PartSource[Any], *, known: KnownElsewhere) -> BinsBegun:
    """Count the calendar bins of each kind that begin in a part of a signal.

    Bins of bins are counted if `known` has the numbers of the bins before. Errors are those of
    `run_part`.
    """
    with Workers(1) as workers:
        return _Loop(plan, part, None, workers, known=known).bins_begun()


def outputs_at(
    plan: Plan, lengths: Sequence[int], blocks: Sequence[int], *, tail: int = 0
) -> list[int]:
    """Count the outputs that are computed before some blocks of a signal.

    lengths : of all blocks; blocks : their numbers, increasing
    """
    chains = ChainOfEachSignal(plan.signal, plan.chain.ops)
    scheduler = Scheduler(chains, plan.extension, tail=tail)
    return scheduler.outputs_at(lengths, blocks, sample_width(plan.signal))


def sample_width(signal: Signal) -> int:
    """How many numbers a sample along axis 0 has: its channels, or those of a row of pixels."""
    sides = [side or 1 for side in signal.shape[1:]]
    return math.prod(sides) * len(signal.channels)


def joined_measures(measure: Measure, parts: Iterable[SignalMeasures]) -> SignalMeasures:
    """What is measured of signals of several parts, whatever their order."""
    joined: SignalMeasures = {}
    for part in parts:
        for group, found in part.items():
            if group in joined:
                joined[group] = measure.joined(joined[group], found)
            else:
                joined[group] = found
    return joined


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownElsewhere:
    """What is known of the rest of a signal when one of its parts is filtered.

    measures : what was measured of the whole signal, in the order of the measures of the plan
    held : the values held from before the part; None if they are not known
    following : the first samples of interleaved signals after the part, where outputs wait for them
    bins : how many of each calendar bins have begun before the part for each signal, where that
        matters
    """

    measures: Sequence[SignalMeasures] = ()
    held: HeldValues | None = None
    following: Followings | None = None
    bins: BinsBegun = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _WholeSource:
    """A whole signal as the only part of itself.

    in_any_pieces : whether pieces may be of any length
    """

    source: Source[Any]
    in_any_pieces: bool

    before: ClassVar[tuple[int, ...]] = ()
    first_row: ClassVar[int] = 0
    pasts: ClassVar[None] = None
    ends: ClassVar[bool] = True

    def pieces_with_history(self, history: int) -> Iterator[Any]:  # noqa: ARG002 -- nothing comes before
        """Yield the pieces of the source in their order."""
        if self.in_any_pieces and isinstance(self.source, LiveSource):
            return self.source.pieces_as_they_come()
        return self.source.pieces()

    def last_for_now(self, raw: Any) -> bool:
        """Whether the next piece may be long in coming."""
        return isinstance(self.source, LiveSource) and self.source.last_for_now(raw)

    def decode(self, raw: Any) -> Block:
        """Return the samples of one piece as a block."""
        return self.source.decode(raw)


@dataclass(eq=False)
class _Reader:
    """Reads the source, one pass after the other.

    read : the samples of the latest pass along axis 0; missing : how many were missing, per channel
    """

    plan: Plan
    source: PartSource[Any]
    workers: Workers
    read: int = 0
    missing: Any = 0

    def arrivals(self, scheduler: Scheduler) -> Iterator[tuple[Block, AnyRows]]:
        """Yield each block and the input rows of its samples."""
        self.read = 0
        self.missing = np.zeros(len(self.plan.signal.channels), np.int64)
        row = 0
        pieces = self.source.pieces_with_history(scheduler.history)
        last_for_now = self.source.last_for_now
        for block, missing in self.workers.map(self._decode, pieces, last_for_now=last_for_now):
            block.on_arrival()
            rows = range(row, row + len(block.stored))
            row = rows.stop
            if block.role == "filtered":
                if self.plan.rules.missing == "error" and missing.any():
                    self._refuse_missing(block)
                self.read += len(rows)
                self.missing += missing
            yield block, rows

    def _decode(self, raw: Any) -> tuple[Block, MissingCounts]:
        """Decode a piece and count the missing samples of each channel."""
        block = self.source.decode(raw)
        return block, count_missing(block.stored)

    def _refuse_missing(self, block: Block) -> None:
        missing = np.argwhere(np.isnan(block.x))
        first, *columns, channel_number = missing[0].tolist()
        row = self.source.first_row + self.read + first
        channel = self.plan.signal.channels[channel_number]
        place = f"at x {columns[0]}, y {row}" if columns else f"in data row {row + 1}"
        raise InputError(
            f"missing value {place}, {channel}",
            hint="--missing keep, fill or propagate accept missing values",
        )


@dataclass(eq=False)
class _Loop:
    """One run: the steps of the plan are filtered in sections.

    An adaptive pool of the whole signal ends a section; the next section begins with
    the bins.
    """

    plan: Plan
    source: PartSource[Any]
    sink: Sink[Any] | None
    workers: Workers
    follow: bool = False
    known: KnownElsewhere = field(default_factory=KnownElsewhere)
    _became_missing: Counter[str] = field(default_factory=Counter)
    _edge_affected: int = 0
    _scheduled: Scheduler | None = None

    def __post_init__(self) -> None:
        self.reader = _Reader(self.plan, self.source, self.workers)
        self._beginning = Beginning(
            lengths=self.source.before,
            width=sample_width(self.plan.signal),
            pasts=self.source.pasts,
            held=self.known.held,
            ends=self.source.ends,
            following=self.known.following,
            bins=self._first_bins(),
        )

    def _first_bins(self) -> dict[SignalName, tuple[int, ...]]:
        """For each signal the number of the first of each calendar bins that comes.

        It follows from the times of the samples before the part.
        """
        begun = self.known.bins
        if not begun:
            return {}
        from convcli.core.in_time.tracking import first_bins

        chain = self.plan.chain
        pasts = self.source.pasts
        if pasts is None:
            start = sum(self.source.before)
            return {ALL: first_bins(chain, start, self._stamps_before(), begun[ALL])}
        return {
            group: first_bins(chain, past.first, past.stamps, begun[group])
            for group, past in pasts.items()
            if past.stamps is not None
        }

    def _stamps_before(self) -> IntArray:
        """The stamps of the samples before the part of a single signal."""
        stamps = [np.zeros((0, 2), np.int64)]
        for raw in self.source.pieces_with_history(0):
            block = self.source.decode(raw)
            if block.role == "filtered" or block.stamps is None:
                break
            stamps.append(block.stamps)
        return np.concatenate(stamps)

    def bins_begun(self) -> BinsBegun:
        """Count the calendar bins that begin in the samples."""
        chains = ChainOfEachSignal(self.plan.signal, self.plan.chain.ops)
        scheduler = self._scheduler(chains, 0)
        for batch in scheduler.batches(self.reader.arrivals(scheduler)):
            batch.give_up()
        return scheduler.bins_begun

    def written(self, tail: int) -> RunCounts:
        """Write all outputs, and return what was read and written."""
        written = 0
        for encoded, count in self.encoded(tail):
            self._sink.write(encoded)
            written += count
        return RunCounts(read=self.reader.read, written=written, losses=self.losses())

    @property
    def _sink(self) -> Sink[Any]:
        if self.sink is None:
            raise ValueError("nothing is written while a signal is measured")
        return self.sink

    def measured(self, tail: int) -> SignalMeasures:
        """Take the first measure that is not known."""
        ops = self.plan.chain.ops
        chains, measure = chains_so_far(self.plan.signal, ops, self.known.measures)
        if measure is None:
            raise ValueError("nothing is to be measured")
        return self._measured(chains, measure, self.reader.arrivals, tail)

    def losses(self) -> LossFacts:
        """Return what was lost, by the names of the channels."""
        counts = zip(self.plan.signal.channels, self.reader.missing.tolist(), strict=True)
        return LossFacts(
            missing={name: count for name, count in counts if count},
            became_missing=self._became_missing,
            edge_affected=self._edge_affected,
        )

    def encoded(self, tail: int) -> Iterator[tuple[Any, int]]:
        """Yield the outputs of all steps, encoded, and how many samples each part has."""
        section: list[BoundStep] = []
        arrivals: Pass = self.reader.arrivals
        for step in self.plan.steps:
            pool = step.stage.pool
            if pool is None:
                section.append(step)
                continue
            bins = self._pooled(section, step, pool, arrivals)
            arrivals = partial(_bins_again, bins)
            section = []
            tail = 0
        yield from self._last_section(section, arrivals, tail)

    def _last_section(
        self, section: list[BoundStep], arrivals: Pass, tail: int
    ) -> Iterator[tuple[Any, int]]:
        chains = self._measured_chains(section, arrivals, tail)
        scheduler = self._scheduler(chains, tail)
        blocks = iter(arrivals(scheduler))
        first = next(blocks, None)
        if first is None:
            return
        batches = scheduler.batches(chain([first], blocks))
        interleaved = first[0].groups is not None
        if interleaved:
            outputs = self._counted(self.workers.map(self._run, batches), section)
            yield from self.workers.map(self._encode, in_row_order(outputs))
        else:
            # The outputs of a single signal come in order: the thread that filtered a block encodes
            # it.
            results = self.workers.map(self._run_and_encode, batches, last_for_now=_last_for_now)
            for losses, encoded in results:
                self._count(losses, section)
                yield from encoded
        self._edge_affected = scheduler.edge_affected
        self._scheduled = scheduler

    @property
    def held_after(self) -> HeldValues | None:
        """The values held after the last output; None if unknown. It may take a computation."""
        return None if self._scheduled is None else self._scheduled.held_after

    def _scheduler(
        self, chains: ChainOfEachSignal, tail: int, *, by_group: bool = False
    ) -> Scheduler:
        """Return what cuts the blocks of a pass into jobs."""
        return Scheduler(
            chains,
            self.plan.extension,
            tail=tail,
            by_group=by_group,
            follow=self.follow and not by_group,
            beginning=self._beginning,
        )

    def _encode(self, block: SignalBlock) -> tuple[Any, int]:
        """Encode a block; return also how many samples it has."""
        return self._sink.encode(block.x, block.rows), len(block.x)

    def _run(self, batch: JobBatch) -> BatchOutputs:
        """Run a batch; threads without a batch of their own help with its blocks."""
        return batch.run(self.workers.nested_map)

    def _run_and_encode(
        self, batch: JobBatch
    ) -> tuple[list[MissingCounts | None], list[tuple[Any, int]]]:
        """Run a batch; return what became missing in each block, and the blocks encoded."""
        blocks = self._run(batch).blocks
        losses = [block.became_missing for block in blocks]
        return losses, [self._encode(block) for block in blocks]

    # --- what was lost ---

    def _counted(
        self, results: Iterable[BatchOutputs], section: list[BoundStep]
    ) -> Iterator[BatchOutputs]:
        """Pass on the outputs of a section and count what became missing in it."""
        for result in results:
            self._count([block.became_missing for block in result.blocks], section)
            yield result

    def _count(self, losses: list[MissingCounts | None], section: list[BoundStep]) -> None:
        """Count outputs that became missing, by the names of the channels of the section."""
        for counts in losses:
            if counts is None or not section:
                continue
            for name, count in zip(section[-1].after.channels, counts.tolist(), strict=True):
                if count:
                    self._became_missing[name] += count

    # --- steps that see the whole signal first ---

    def _measured_chains(
        self, steps: list[BoundStep], arrivals: Pass, tail: int
    ) -> ChainOfEachSignal:
        """Return the chain of each signal.

        Each measure takes one pass over the input.
        """
        if self.plan.single_pass:
            return ChainOfEachSignal(self.plan.signal, self.plan.chain.ops, planned=self.plan.chain)
        ops = tuple(op for step in steps for op in step.ops)
        known = list(self.known.measures)
        while True:
            chains, measure = chains_so_far(self.plan.signal, ops, known)
            if measure is None:
                return chains
            known.append(self._measured(chains, measure, arrivals, tail))

    def _measured(
        self, chains: ChainOfEachSignal, measure: Measure, arrivals: Pass, tail: int
    ) -> SignalMeasures:
        """Measure the outputs of `chains`, for each signal."""
        scheduler = self._scheduler(chains, tail, by_group=True)
        batches = scheduler.batches(arrivals(scheduler))
        blocks = _blocks_of_results(self.workers.map(self._run, batches))
        parts = ({block.group: measure.of_block(block.x)} for block in blocks)
        return joined_measures(measure, parts)

    def _pooled(
        self, section: list[BoundStep], step: BoundStep, pool: AdaptivePool, arrivals: Pass
    ) -> list[tuple[Block, AnyRows]]:
        """Return the bins of each signal as blocks for the next section.

        Memory stays constant if the length of the signal is known.
        """
        chains = self._measured_chains(section, arrivals, 0)
        scheduler = self._scheduler(chains, 0, by_group=True)
        results = self.workers.map(self._run, scheduler.batches(arrivals(scheduler)))
        blocks = _blocks_of_results(self._counted(results, section))
        length = step.before.shape[0]
        if length is None or self.plan.rules.edge == "valid":
            bins_of_signals = _bins_of_gathered(pool, blocks)
        else:
            bins_of_signals = _bins_of_known_length(pool, blocks, length)
        for bins in bins_of_signals.values():
            self._check_bins(bins)
        return _as_arrivals(bins_of_signals)

    def _check_bins(self, bins: AdaptiveBins) -> None:
        expected = bins.shape[0]
        count = bins.pool.bins[0]
        if bins.seen != expected:
            raise InputError(f"the signal ended after {bins.seen} of {expected} samples")
        if self.plan.signal.medium.carries_cells and count > expected:
            raise RequestError(
                f"a table of {expected} rows cannot get {count}",
                hint=f"ask for at most {expected}",
            )


def _last_for_now(batch: JobBatch) -> bool:
    return batch.last_for_now


def _bins_again(bins: list[tuple[Block, AnyRows]], _: Scheduler) -> Iterator[tuple[Block, AnyRows]]:
    """Yield bins as if they had been read."""
    return iter(bins)


def _blocks_of_results(results: Iterable[BatchOutputs]) -> Iterator[SignalBlock]:
    for result in results:
        yield from result.blocks


def _bins_of_known_length(
    pool: AdaptivePool, blocks: Iterable[SignalBlock], length: int
) -> dict[SignalName, AdaptiveBins]:
    """Pool signals of `length` samples block by block."""
    # Few runs pool the whole signal.
    from convcli.core.adaptive_bins import AdaptiveBins

    bins_of_signals: dict[SignalName, AdaptiveBins] = {}
    for block in blocks:
        if 0 in block.x.shape:  # nothing is left of the signal
            continue
        bins = bins_of_signals.get(block.group)
        if bins is None:
            bins = AdaptiveBins(pool, (length, *block.x.shape[1:-1]))
            bins_of_signals[block.group] = bins
        bins.add(block.x, block.rows)
    return bins_of_signals


def _bins_of_gathered(
    pool: AdaptivePool, blocks: Iterable[SignalBlock]
) -> dict[SignalName, AdaptiveBins]:
    """Gather signals of unknown length, then pool them."""
    gathered: dict[SignalName, list[SignalBlock]] = defaultdict(list)
    for block in blocks:
        gathered[block.group].append(block)
    bins_of_signals = {}
    for parts in gathered.values():
        length = sum(len(part.x) for part in parts)
        bins_of_signals.update(_bins_of_known_length(pool, parts, length))
    return bins_of_signals


def _as_arrivals(bins_of_signals: dict[SignalName, AdaptiveBins]) -> list[tuple[Block, AnyRows]]:
    """Return the bins of all signals in one block, as if they had been read."""
    if not bins_of_signals:
        return []
    results = [bins.result() for bins in bins_of_signals.values()]
    if ALL in bins_of_signals:
        return [(Block(y), rows) for y, rows in results]
    lengths = [len(rows) for _, rows in results]
    names = [name for name in bins_of_signals if name is not None]
    codes = np.repeat(np.arange(len(results)), lengths)
    groups = Groups(names, codes)
    y = np.concatenate([some for some, _ in results])
    rows: Rows = np.concatenate([some for _, some in results])
    return [(Block(y, groups), rows)]
