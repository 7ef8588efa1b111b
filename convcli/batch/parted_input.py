"""One large input that is cut, filtered in parts by a runner of units, and joined in order."""

from __future__ import annotations

from collections import deque
from dataclasses import field, replace
from functools import partial, reduce
from operator import add
from typing import TYPE_CHECKING, Any, BinaryIO

from convcli.batch.parts import (
    PartOfRun,
    Result,
    carry_out_task,
    count_bins,
    filter_for_whole,
    find_ends,
    kept_samples,
    survey_input,
    take_measure,
)
from convcli.batch.units import Unit
from convcli.dataclass import dataclass
from convcli.media.division import PartNeeds
from convcli.media.files import UndividedError
from convcli.media.replacing import path_for_others
from convcli.media.scratch import scratch
from convcli.planning.plan import runs_model
from convcli.running.chains import ALL
from convcli.running.geometry import Geometry
from convcli.running.past import joined_followings, joined_pasts
from convcli.running.run import KnownElsewhere, joined_measures, outputs_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from convcli.batch.parts import OpenInput, PartedRun
    from convcli.batch.run_units import Outcome, Runner
    from convcli.core.chain import Chain
    from convcli.media.division import Division
    from convcli.media.files import FileSink
    from convcli.planning.plan import Plan
    from convcli.running.past import Followings, Pasts
    from convcli.running.run import BinsBegun, RunCounts, SignalMeasures
    from convcli.signals import SignalPast

# Bytes of a part by default: about a second of work.
PART_BYTES = 1 << 26

# Most parts for each worker where rows belong to groups.
PARTS_OF_GROUPS = 4

# An input is worth cutting if it has this many bytes; below, the start of a process takes longer.
WORTH_CUTTING = 1 << 25

# Object stores join no more parts than these. The places of all parts are in memory.
MOST_PARTS = 10_000

# It takes longer to begin a part with fewer bytes than these than to filter it.
LEAST_BYTES = 1 << 16
# This many parts may be smaller than that, since they cost little.
FEW_PARTS = 16

# Number of signal lengths at which `_waits` tries a chain.
TRIED_LENGTHS = 64


def refuse_parts(plan: Plan, *, groups: bool) -> None:
    """Raise UndividedError for a plan that is not carried out in parts.

    groups : the rows belong to several signals
    """
    if any(step.stage.pool is not None for step in plan.steps):
        raise UndividedError("a pool of the whole signal needs all of it")
    if plan.extension == "wrap":
        raise UndividedError("--edge wrap reads the other end of the signal; other edges do not")
    if plan.chain.needs_end:
        raise UndividedError("a layer with circular padding reads the other end of the signal")
    if plan.chain.times.in_time:
        _refuse_strides_in_time(plan, groups=groups)
    if groups:
        _refuse_parts_of_groups(plan)


def _refuse_strides_in_time(plan: Plan, *, groups: bool) -> None:
    strides = [op for op in plan.chain.ops if op.reach[0].step != 1]
    if groups and strides and (plan.chain.times.counted or _waits(plan)):
        raise UndividedError(
            "--by with strides beside windows in time or calendar bins that wait for later rows; "
            "a command for each step is cut"
        )
    if any(op.times.counted for op in strides):
        raise UndividedError("branches with strides over calendar bins")


def _refuse_parts_of_groups(plan: Plan) -> None:
    if not all(chain.holds_input_alone for chain in _chains(plan)):
        raise UndividedError(
            "--by with values held between steps needs the rows one after the other; "
            "a command for each step is cut"
        )


def _waits(plan: Plan) -> bool:
    """Whether some outputs are known only when later samples have come, or none follow."""
    if plan.chain.times.bins:
        return True
    for chain in _chains(plan):
        geometry = Geometry(chain, plan.extension)
        if any(_waits_after(n, geometry) for n in _tried_lengths(chain)):
            return True
    return False


def _waits_after(n: int, geometry: Geometry) -> bool:
    """Whether an output that is aligned with one of `n` samples is not known by them."""
    known = geometry.ready(n)
    return known != geometry.count(n) or geometry.aligned_sample(known) < n


def _tried_lengths(chain: Chain) -> range:
    reach = chain.reach[0]
    period = min(reach.step, 1 << 12)
    return range(1, 2 * period + reach.before + TRIED_LENGTHS)


def _chains(plan: Plan) -> list[Chain]:
    """The chains of all passes: up to each step that measures the signal, and to the end."""
    from convcli.core.chain import Chain

    ops: list[Any] = []
    chains = []
    for step in plan.steps:
        if step.sees_whole:
            chains.append(Chain(tuple(ops), plan.signal.axes))
        ops.extend(step.ops)
    return [*chains, Chain(tuple(ops), plan.signal.axes)]


def needs_of(plan: Plan, *, groups: bool) -> PartNeeds:
    """What the filter of a plan needs to know of the samples around a part.

    groups : the rows belong to several signals
    """
    most = 0
    numbered = False
    for chain in _chains(plan):
        reach = chain.reach[0]
        looked = reach.before + abs(reach.after) + abs(reach.anchor)
        most = max(most, 2 * (looked + reach.step) + 2)
        numbered = numbered or reach.step != 1 or reach.phases != 1
    in_time = plan.chain.times.in_time
    return PartNeeds(
        samples=most,
        numbered=numbered or in_time,
        in_time=in_time,
        waits=groups and _waits(plan),
    )


def parts_for(size: int, workers: int, *, groups: bool = False) -> int:
    """How many parts an input of `size` bytes is cut into for some workers.

    groups : the last rows of every group are kept for each part, so that there are fewer parts
    """
    count = max(workers, -(-size // PART_BYTES))
    if groups:
        count = min(count, PARTS_OF_GROUPS * workers)
    return worthwhile_parts(count, size)


def worthwhile_parts(count: int, size: int) -> int:
    """How many of `count` parts an input of `size` bytes is cut into at most."""
    return min(count, max(FEW_PARTS, size // LEAST_BYTES), MOST_PARTS)


# ------------------------------------------------------------------------------------------- a run


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUnit(Unit):
    """A task of a parted run as a unit of work."""

    task: Callable[[OpenInput], Any]


@dataclass(frozen=True, eq=False)
class PartWork:
    """What is done with each unit of a parted run."""

    parted_run: PartedRun
    retries: int = 0

    @property
    def runs_network(self) -> bool:
        """Whether a step of the filter runs a network."""
        return runs_model(self.parted_run.calls)

    def refuse(self, unit: Unit) -> None:
        """Accept every unit: a task makes no file that could replace another one."""

    def run(self, unit: TaskUnit) -> Any:
        """Carry out the task of a unit, and return its result."""
        return carry_out_task(self.parted_run, unit.task)


@dataclass(eq=False)
class TaskRunner:
    """Carries out tasks by a runner of units, the same for all tasks of a run."""

    runner: Runner
    name: str
    _begun: int = 0
    _waiting: dict[int, Outcome] = field(default_factory=dict)

    def results(self, tasks: Iterable[Callable[[OpenInput], Result]]) -> Iterator[Result]:
        """Carry tasks out at once, and yield their results in their order.

        The first error in that order is raised.
        """
        under_way: deque[int] = deque()
        for task in tasks:
            if len(under_way) == self.runner.window:
                yield self._result(under_way.popleft())
            unit = self._unit(task)
            self.runner.submit(unit)
            under_way.append(unit.number)
        while under_way:
            yield self._result(under_way.popleft())

    def _unit(self, task: Callable[[OpenInput], Any]) -> TaskUnit:
        unit = TaskUnit(number=self._begun, name=self.name, relative=self.name, task=task)
        self._begun += 1
        return unit

    def _result(self, number: int) -> Any:
        """Wait for the unit of a number, and return its result."""
        while number not in self._waiting:
            outcome = self.runner.next_outcome()
            self._waiting[outcome.unit.number] = outcome
        outcome = self._waiting.pop(number)
        if outcome.error is not None:
            raise outcome.error
        return outcome.facts


@dataclass(eq=False, kw_only=True)
class PartedInput:
    """An open input that is cut into parts, filtered by a runner, and joined.

    groups : the rows belong to several signals
    count : the largest number of parts
    """

    run: PartedRun
    division: Division
    plan: Plan
    runner: TaskRunner
    groups: bool
    count: int
    counts: list[RunCounts] = field(default_factory=list)

    def parts(self) -> list[PartOfRun]:
        """Cut the input, and find out what has to be known of the samples before each part."""
        surveys = self.division.surveys(self.count, self.run.needs)
        found = list(self.runner.results([partial(survey_input, each) for each in surveys]))
        stretches = self.division.cut(self.count, self.run.needs, found)
        firsts = self._first_outputs(stretches)
        pasts, followings = self._around(stretches)
        parts = []
        for number, stretch in enumerate(stretches):
            is_last = number == len(stretches) - 1
            part = PartOfRun(
                number=number,
                stretch=stretch,
                pasts=pasts[number],
                known=KnownElsewhere(following=followings[number]),
                first=firsts[number],
                last=is_last,
            )
            parts.append(part)
        return self._with_measures(self._with_bins(parts))

    def _first_outputs(self, stretches: Sequence[Any]) -> list[int]:
        """The number of the first output of each part, where parts are written to their places."""
        lengths = self.division.block_lengths
        if not lengths:
            return [0] * len(stretches)
        blocks = [stretch.first for stretch in stretches]
        return outputs_at(self.plan, lengths, blocks, tail=self.run.tail)

    def _around(
        self, stretches: Sequence[Any]
    ) -> tuple[list[Pasts | None], list[Followings | None]]:
        """The past of each group before each part, and its first rows after each part."""
        nothing: list[Any] = [None] * len(stretches)
        if not self.groups:
            return nothing, nothing
        kept = kept_samples(self.plan, self.run.needs)
        last_read = len(stretches) if kept.waits else len(stretches) - 1
        tasks = [partial(find_ends, stretch) for stretch in stretches[:last_read]]
        pasts: list[dict[bytes, SignalPast]] = [{}]
        starts: list[Followings] = []
        for own in self.runner.results(tasks):
            pasts.append(joined_pasts(pasts[-1], own.pasts, kept))
            starts.append(own.starts)
        if not kept.waits:
            return list(pasts), nothing
        followings: list[Followings] = [{}]
        for own_starts in reversed(starts):
            followings.append(joined_followings(own_starts, followings[-1], kept))
        followings.reverse()
        for past, coming in zip(pasts, followings, strict=True):
            # A group that does not come again was finished in the part with its last row.
            for group in past.keys() - coming.keys():
                del past[group]
        return list(pasts[:-1]), list(followings[1:])

    def _with_bins(self, parts: list[PartOfRun]) -> list[PartOfRun]:
        """The parts with the number of calendar bins before each, where that matters.

        Bins of bins are counted when the numbers of the bins before them are known.
        """
        for level in range(self.plan.chain.times.counted):
            tasks = [partial(count_bins, part) for part in parts[:-1]]
            begun: BinsBegun = dict.fromkeys([] if self.groups else [ALL], (0,) * (level + 1))
            numbered = [_with_known(parts[0], bins=begun)]
            found = self.runner.results(tasks)
            for part, own in zip(parts[1:], found, strict=True):
                begun = _added_bins(begun, own, level + 1)
                numbered.append(_with_known(part, bins=begun))
            parts = numbered
        return parts

    def _with_measures(self, parts: list[PartOfRun]) -> list[PartOfRun]:
        """The parts with all that is measured of the signal, one measure after the other."""
        measures: tuple[SignalMeasures, ...] = ()
        for measure in self.plan.measures:
            tasks = [partial(take_measure, part) for part in parts]
            found = joined_measures(measure, self.runner.results(tasks))
            measures = (*measures, found)
            parts = [_with_known(part, measures=measures) for part in parts]
        return parts

    def filter_into(
        self, output: FileSink, parts: Sequence[PartOfRun], places: PartPlaces
    ) -> Iterator[RunCounts]:
        """Filter all parts, add them to the whole in their order, and yield the counts of each."""
        output.reserve()
        tasks = (
            partial(filter_for_whole, part, places.begin(part.number), may_give_up=True)
            for part in parts
        )
        held = None
        for number, found in enumerate(self.runner.results(tasks)):
            done = found
            if done is None:
                # The part needs a value that was last known long before it. All earlier parts are
                # done now, and the last of them has returned this value.
                part = _with_known(parts[number], held=held)
                task = partial(filter_for_whole, part, places.of(number))
                done = next(self.runner.results([task]))
            if done is None:
                raise ValueError(f"part {number} was given up twice")
            held = done.held
            output.add_part(done.written, places.of(number))
            places.end(number)
            self.division.note(done.noted)
            self.counts.append(done.counts)
            yield done.counts


def _with_known(part: PartOfRun, **known: Any) -> PartOfRun:
    """The part with more that is known of the rest of the signal."""
    return replace(part, known=replace(part.known, **known))


def _added_bins(begun: BinsBegun, own: BinsBegun, levels: int) -> BinsBegun:
    """The bins that have begun after a part; `levels` : of the bins that follow each other."""
    added = dict(begun)
    for group, counts in own.items():
        before = begun.get(group, (0,) * levels)
        added[group] = tuple(map(add, before, counts))
    return added


class PartPlaces:
    """Where parts are written before they are added to the whole.

    whole : the output, by a path that all processes know, if parts are written at their places in
        it; None: each has a temporary file, without a name where the system allows it
    folder : the folder on whose disk temporary files are; None for the folder of such files
    """

    def __init__(self, whole: Path | None, folder: Path | None = None) -> None:
        self._whole = whole
        self._folder = folder
        self._files: dict[int, tuple[BinaryIO, Path]] = {}

    def begin(self, number: int) -> Path:
        """Prepare the place of a part, and return its path."""
        if self._whole is None:
            file, place = scratch(self._folder)
            self._files[number] = (file, path_for_others(place))
        return self.of(number)

    def of(self, number: int) -> Path:
        """The path of a part that was begun."""
        return self._whole or self._files[number][1]

    def end(self, number: int) -> None:
        """Remove the temporary file of a part, if it has one."""
        if number in self._files:
            file, _ = self._files.pop(number)
            file.close()

    def close(self) -> None:
        """Remove the temporary files of all parts that were not ended."""
        for number in list(self._files):
            self.end(number)


def joined_counts(counts: Iterable[RunCounts]) -> RunCounts:
    """The sums of the samples that all parts have read, written and lost."""
    return reduce(_added_counts, counts)


def _added_counts(one: RunCounts, other: RunCounts) -> RunCounts:
    return replace(
        one,
        read=one.read + other.read,
        written=one.written + other.written,
        losses=one.losses + other.losses,
    )
