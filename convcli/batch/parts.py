"""One large input in parts: cut, carried out by any process, joined in order.

    PartedRun     the input and its filter: the same for all parts
    SurveyTask    finds out what has to be known before the input is cut
    PastsTask     the last rows of each group in a part
    PeaksTask     the peaks that a step measures in a part
    FilterTask    filters a part and writes it

All of them can be pickled, and a task does the same in any process that sees the files. What a part
needs of the samples before it follows from the reach of the chain. A part is filtered in the same
jobs as the whole is, so that the result is the same, byte for byte.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import field, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from convcli.batch.units import Unit
from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.division import PartNeeds, PartOfFile
from convcli.media.remote import open_place
from convcli.running.geometry import Geometry
from convcli.running.past import HistoryNeededError
from convcli.running.run import joined_peaks, outputs_at, peaks_of_part, run_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from convcli.batch.run_units import Outcome, Runner
    from convcli.core.binding import Rules
    from convcli.core.chain import Chain
    from convcli.core.task import HeldAfter
    from convcli.media.division import Division, PartSink
    from convcli.media.files import Files, OpenedFile
    from convcli.places import Place
    from convcli.planning.calls import Call
    from convcli.planning.plan import Plan
    from convcli.running.run import RunCounts, SignalPeaks
    from convcli.signals import Signal, SignalPast

Result_co = TypeVar("Result_co", covariant=True)
Value = TypeVar("Value")

# Bytes of a part by default: about a second of work.
PART_BYTES = 1 << 26

# An input is worth cutting if it has this many bytes; below, the start of a process takes longer.
WORTH_CUTTING = 1 << 25

# Lengths for which it is tried whether outputs wait for the end of a signal.
TRIED_LENGTHS = 64


@dataclass(frozen=True, eq=False, kw_only=True)
class PartedRun:
    """An input that is filtered in parts. It can be pickled.

    files, source, output, known : how the input is opened
    calls, rules : how the filter is planned
    result : what is written, as far as it is known
    tail : outputs go on for so many samples past the end
    label, unchanged : as for the sink of the whole
    needs : what the filter needs to know of the samples before a part
    threads : for each part
    """

    files: Files
    source: Place
    output: Place | None
    known: object
    calls: tuple[Call, ...]
    rules: Rules
    result: Signal
    tail: int
    label: str
    unchanged: bool
    needs: PartNeeds
    threads: int = 1

    @contextmanager
    def opened(self) -> Iterator[OpenInput]:
        """The input, open in this process."""
        from convcli.planning.plan import make_plan

        with self._opened_file() as opened:
            division = opened.division()
            if isinstance(division, str):
                raise InputError(f"{self.source}: has changed: {division}")
            plan = make_plan(self.calls, opened.sources[0].signal, self.rules)
            yield OpenInput(self, opened, division, plan)

    @contextmanager
    def _opened_file(self) -> Iterator[OpenedFile]:
        if isinstance(self.source, Path):
            with self.files.reopen(self.source, output=self.output, known=self.known) as opened:
                yield opened
            return
        # Of an object each process reads the ranges of its parts.
        with (
            open_place(self.source) as stream,
            self.files.open(None, stdin=stream, output=self.output) as opened,
        ):
            yield opened


@dataclass(frozen=True, eq=False)
class OpenInput:
    """The input of a parted run, open in one process."""

    run: PartedRun
    opened: OpenedFile
    division: Division
    plan: Plan


class PartTask(Protocol[Result_co]):
    """Something to do with one part. It can be pickled."""

    def carry_out(self, given: OpenInput) -> Result_co:
        """Do it."""
        ...


def carry_out_task(run: PartedRun, task: PartTask[Result_co]) -> Result_co:
    """Open the input and do one task, in any process."""
    with run.opened() as given:
        return task.carry_out(given)


# ------------------------------------------------------------------------------------------- tasks


@dataclass(frozen=True)
class SurveyTask:
    """Finds out what has to be known before the input is cut."""

    task: Any

    def carry_out(self, given: OpenInput) -> Any:
        """Survey a piece of the input."""
        return given.division.survey(self.task, given.run.needs)


@dataclass(frozen=True, eq=False)
class PastsTask:
    """Collects the last rows of each group of interleaved signals in one part."""

    stretch: Any

    def carry_out(self, given: OpenInput) -> Mapping[bytes, SignalPast]:
        """The past of each group after this part, of its own rows alone."""
        part = given.division.part(self.stretch, {})
        pasts: Mapping[bytes, SignalPast] = part.pasts_after(given.run.needs.samples)
        return pasts


@dataclass(frozen=True, eq=False, kw_only=True)
class PartOfRun:
    """One part of the input, and what is known of the samples before it.

    number : of the part, from 0
    stretch : its place in the input
    pasts : of each group before it; None for a single signal
    peaks : what the steps that measure the whole signal have found, in their order
    first : the number of the first output
    last : no part follows
    """

    number: int
    stretch: Any
    pasts: Mapping[bytes, SignalPast] | None = None
    peaks: tuple[SignalPeaks, ...] = ()
    first: int = 0
    last: bool = False


@dataclass(frozen=True, eq=False)
class PeaksTask:
    """Measures a part for the first step whose peaks are not known."""

    part: PartOfRun

    def carry_out(self, given: OpenInput) -> SignalPeaks:
        """The peaks of the part; those of all parts combine by `joined_peaks`."""

        def measured(stretch: Any) -> SignalPeaks:
            return peaks_of_part(
                given.plan,
                given.division.part(stretch, self.part.pasts),
                threads=given.run.threads,
                tail=given.run.tail,
                peaks=self.part.peaks,
            )

        return _with_enough_history(measured, self.part.stretch)


@dataclass(frozen=True, eq=False, kw_only=True)
class WrittenPart:
    """A part that was filtered and written.

    noted : what was noted of its input · written : what was written, both in terms of the medium
    held : the values held after it
    facts, warnings : of the sink
    """

    counts: RunCounts
    noted: Any
    written: Any
    held: HeldAfter | None
    facts: Mapping[str, Any]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FilterTask:
    """Filters a part and writes it.

    place : the file that it is written to: one of its own, or the output of the whole
    apart : that file holds all bytes that the part has in the whole, header included
    near : give the part up where a value is held from farther back than its own length
    held : the values held from before, if they are known
    """

    part: PartOfRun
    place: Path
    apart: bool = False
    near: bool = False
    held: HeldAfter | None = None

    def carry_out(self, given: OpenInput) -> WrittenPart | None:
        """Filter the part; None if it was given up."""
        try:
            return self.written(given)
        except HistoryNeededError:
            return None

    def written(self, given: OpenInput) -> WrittenPart:
        """Filter the part. InputError tells the place in the whole input.

        HistoryNeededError tells that the part was given up.
        """

        def filtered(wanted: Any) -> WrittenPart:
            return self._filter(given, wanted)

        stretch = self.part.stretch
        try:
            return _with_enough_history(filtered, stretch, near=self.near)
        except InputError:
            located = given.division.part(stretch, self.part.pasts).located()
            if located is None:
                raise
            # Lines are not counted before an error has to name one.
            return _with_enough_history(filtered, located)

    def _filter(self, given: OpenInput, stretch: Any) -> WrittenPart:
        run = given.run
        part = given.division.part(stretch, self.part.pasts)
        sink = given.division.sink(
            self.place,
            [run.result],
            label=run.label,
            unchanged=run.unchanged,
            part=part,
            of_file=PartOfFile(
                first=self.part.first,
                opens=self.part.number == 0,
                ends=self.part.last,
                apart=self.apart,
            ),
        )
        try:
            done = run_part(
                given.plan,
                part,
                sink,
                threads=run.threads,
                tail=run.tail,
                peaks=self.part.peaks,
                held=self.held,
            )
            sink.close()
        except BaseException:
            sink.discard()
            raise
        return WrittenPart(
            counts=done.counts,
            noted=part.noted,
            written=sink.written_part,
            held=done.held,
            facts=dict(sink.facts()),
            warnings=tuple(sink.warnings),
        )


def _with_enough_history(
    function: Callable[[Any], Value], stretch: Any, *, near: bool = False
) -> Value:
    """Call a function with a stretch, which begins earlier until no value from before is needed.

    near : raise HistoryNeededError where it would begin by more than its own length earlier
    """
    while True:
        try:
            return function(stretch)
        except HistoryNeededError:
            stretch = stretch.settled_longer()
            if near and stretch.settles_far:
                raise


# --------------------------------------------------------------------------- what can be cut at all


def reason_against(plan: Plan, *, groups: bool) -> str | None:
    """Why a plan is not carried out in parts; None if it is.

    groups : the rows belong to several signals
    """
    if any(step.whole is not None and step.whole.reduces for step in plan.steps):
        return "a pool of the whole signal needs all of it"
    if plan.extension == "wrap":
        return "--edge wrap reads the other end of the signal"
    if plan.chain.needs_end:
        return "a layer with circular padding reads the other end of the signal"
    if plan.chain.in_time or plan.chain.bins:
        return "windows in time follow the times from the first one on"
    return _reason_of_groups(plan) if groups else None


def _reason_of_groups(plan: Plan) -> str | None:
    """Why interleaved signals are not filtered in parts by this plan."""
    for chain in _chains(plan):
        geometry = Geometry(chain, plan.extension)
        if not chain.holds_input_alone:
            return "--by with values held between steps needs the rows one after the other"
        if any(geometry.ready(n) != geometry.count(n) for n in _tried_lengths(chain)):
            return "--by with outputs that wait for later rows of a group"
    return None


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
        if step.whole is not None:
            chains.append(Chain(tuple(ops), plan.signal.axes))
        ops.extend(step.ops)
    return [*chains, Chain(tuple(ops), plan.signal.axes)]


def needs_of(plan: Plan) -> PartNeeds:
    """What the filter of a plan needs to know of the samples before a part."""
    most = 0
    numbered = False
    for chain in _chains(plan):
        reach = chain.reach[0]
        looked = reach.before + abs(reach.after) + abs(reach.anchor)
        most = max(most, 2 * (looked + reach.step) + 2)
        numbered = numbered or reach.step != 1 or reach.phases != 1
    return PartNeeds(samples=most, numbered=numbered)


def parts_for(size: int, workers: int) -> int:
    """How many parts an input of `size` bytes is cut into for some workers."""
    return max(workers, -(-size // PART_BYTES))


# ------------------------------------------------------------------------------------------- a run


@dataclass(frozen=True, slots=True, kw_only=True)
class PartUnit(Unit):
    """A task of a parted run as a unit of work."""

    task: PartTask[Any]


@dataclass(frozen=True, eq=False)
class PartWork:
    """What is done with each unit of a parted run."""

    of: PartedRun
    retries: int = 0

    def refuse(self, unit: Unit) -> None:
        """Refuse nothing."""

    def run(self, unit: PartUnit) -> Any:
        """Carry out the task of a unit, and return its result."""
        return carry_out_task(self.of, unit.task)


@dataclass(eq=False)
class TaskRunner:
    """Carries out tasks by a runner of units, which goes on from one stage to the next."""

    runner: Runner
    name: str
    _begun: int = 0
    _waiting: dict[int, Outcome] = field(default_factory=dict)

    def results(self, tasks: Iterable[PartTask[Result_co]]) -> Iterator[Result_co]:
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

    def _unit(self, task: PartTask[Any]) -> PartUnit:
        unit = PartUnit(number=self._begun, name=self.name, relative=self.name, task=task)
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
    count : of the parts, at most
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
        found = list(self.runner.results([SurveyTask(each) for each in surveys]))
        stretches = self.division.cut(self.count, self.run.needs, found)
        firsts = self._first_outputs(stretches)
        pasts = self._pasts(stretches)
        parts = []
        for number, stretch in enumerate(stretches):
            parts.append(
                PartOfRun(
                    number=number,
                    stretch=stretch,
                    pasts=pasts[number],
                    first=firsts[number],
                    last=number == len(stretches) - 1,
                )
            )
        return self._with_peaks(parts)

    def _first_outputs(self, stretches: Sequence[Any]) -> list[int]:
        """The number of the first output of each part, where parts are written to their places."""
        lengths = self.division.block_lengths
        if not lengths:
            return [0] * len(stretches)
        blocks = [stretch.first for stretch in stretches]
        return outputs_at(self.plan, lengths, blocks, tail=self.run.tail)

    def _pasts(self, stretches: Sequence[Any]) -> list[Mapping[bytes, SignalPast] | None]:
        """The past of each group before each part."""
        if not self.groups:
            return [None] * len(stretches)
        tasks = [PastsTask(stretch) for stretch in stretches[:-1]]
        pasts: list[Mapping[bytes, SignalPast] | None] = [{}]
        for own in self.runner.results(tasks):
            joined = self.division.joined_pasts(pasts[-1] or {}, own, self.run.needs)
            pasts.append(joined)
        return pasts

    def _with_peaks(self, parts: list[PartOfRun]) -> list[PartOfRun]:
        """The parts with the peaks of every step that measures the signal, one after the other."""
        for step in self.plan.steps:
            if step.whole is None:
                continue
            tasks = [PeaksTask(part) for part in parts]
            peaks = joined_peaks(self.runner.results(tasks))
            parts = [replace(part, peaks=(*part.peaks, peaks)) for part in parts]
        return parts

    def filter_into(
        self, sink: PartSink, parts: Sequence[PartOfRun], places: PartPlaces
    ) -> Iterator[RunCounts]:
        """Filter all parts, take them into the whole in their order, and yield what each gave."""
        sink.reserve()
        tasks = (FilterTask(part, places.begin(part.number), near=True) for part in parts)
        held: HeldAfter | None = None
        for number, found in enumerate(self.runner.results(tasks)):
            done = found
            if done is None:
                # It needs values that were last known long before, which its predecessor holds.
                task = FilterTask(parts[number], places.of(number), held=held)
                done = next(self.runner.results([task]))
            if done is None:
                raise ValueError(f"part {number} was given up twice")
            held = done.held
            sink.add_part(done.written, places.of(number))
            places.end(number)
            self.division.note(done.noted)
            self.counts.append(done.counts)
            yield done.counts


class PartPlaces(Protocol):
    """Where parts are written before they are taken into the whole."""

    def begin(self, number: int) -> Path:
        """Prepare the place of a part, by a path that all processes know."""
        ...

    def of(self, number: int) -> Path:
        """The path of a part that was begun."""
        ...

    def end(self, number: int) -> None:
        """Release the place of a part that was taken into the whole."""
        ...


def joined_counts(counts: Iterable[RunCounts]) -> RunCounts:
    """What all parts have read, written and lost."""
    return reduce(_added_counts, counts)


def _added_counts(one: RunCounts, other: RunCounts) -> RunCounts:
    return replace(
        one,
        read=one.read + other.read,
        written=one.written + other.written,
        losses=one.losses + other.losses,
    )
