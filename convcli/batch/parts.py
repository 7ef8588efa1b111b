"""What is done with the parts of one large input, as values that any process can carry out.

    PartedRun           the input and its filter: the same for all parts
    survey_input        finds out what has to be known before the input is cut
    find_ends           the last rows of each group in a part, and the first
    count_bins          how many calendar bins begin in a part
    take_measure        what a step measures in a part
    filter_for_whole    filters a part and writes it

A task is a function of the open input; `functools.partial` gives it the part. All of this can be
pickled, and a task does the same in any process that sees the files. What a part needs of the
samples before it follows from the reach of the chain. A part is filtered in the same jobs as the
whole is, so that the result is the same, byte for byte.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.division import PartOfFile
from convcli.media.files import UndividedError, closed_or_discarded
from convcli.media.replacing import refuse_full_disk
from convcli.media.scratch import refuse_full_scratch
from convcli.places import local_path
from convcli.running.past import EndsOfSignals, HistoryNeededError, KeptSamples, ends_of_part
from convcli.running.run import KnownElsewhere, bins_of_part, measure_part, run_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from convcli.core.binding import Rules
    from convcli.core.task import HeldValues
    from convcli.media.division import Division, PartNeeds
    from convcli.media.files import Files, OpenedFile
    from convcli.places import Place
    from convcli.planning.calls import Call
    from convcli.planning.plan import Plan
    from convcli.running.run import BinsBegun, RunCounts, SignalMeasures
    from convcli.signals import Signal, SignalPast

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False, kw_only=True)
class PartedRun:
    """An input that is filtered in parts. It can be pickled.

    files, source, output, known : how the input is opened
    calls, rules : how the filter is planned
    result : what is written, as far as it is known
    tail : number of outputs after the end of the input
    label, unchanged : arguments of `OpenedFile.sink` for the whole result
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
            try:
                division = opened.division()
            except UndividedError as error:
                raise InputError(f"{self.source}: has changed: {error}") from error
            plan = make_plan(self.calls, opened.sources[0].signal, self.rules)
            yield OpenInput(self, opened, division, plan)

    @contextmanager
    def _opened_file(self) -> Iterator[OpenedFile]:
        path = local_path(self.source)
        if path is not None:
            with self.files.reopen(path, output=self.output, known=self.known) as opened:
                yield opened
            return
        # Each process reads only the ranges of the object that its parts need.
        with (
            self.source.open("rb") as stream,
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


def carry_out_task(run: PartedRun, task: Callable[[OpenInput], Result]) -> Result:
    """Open the input and do one task, in any process."""
    with run.opened() as open_input:
        return task(open_input)


# ------------------------------------------------------------------------------------------- tasks


def survey_input(survey: Any, open_input: OpenInput) -> Any:
    """Find out what has to be known of a piece of the input before it is cut."""
    return survey.of(open_input.division)


def kept_samples(plan: Plan, needs: PartNeeds) -> KeptSamples:
    """Which rows of each group are kept for the parts around."""
    return KeptSamples(needs.samples, plan.chain if needs.in_time else None, needs.waits)


def find_ends(stretch: Any, open_input: OpenInput) -> EndsOfSignals:
    """The last rows of each group in a part, and the first, from the rows of the part alone."""

    def found(stretch: Any) -> EndsOfSignals:
        kept = kept_samples(open_input.plan, open_input.run.needs)
        return ends_of_part(open_input.division.part(stretch, {}), kept)

    return _with_places_of_errors(found, stretch, open_input.division)


@dataclass(frozen=True, eq=False, kw_only=True)
class PartOfRun:
    """One part of the input, and what is known of the samples around it.

    number : of the part, from 0
    stretch : its place in the input
    pasts : of each group before it; None for a single signal
    known : what is known of the rest of the signal
    first : the number of the first output
    last : no part follows
    """

    number: int
    stretch: Any
    pasts: Mapping[bytes, SignalPast] | None
    known: KnownElsewhere
    first: int
    last: bool


def count_bins(part: PartOfRun, open_input: OpenInput) -> BinsBegun:
    """How many of each calendar bins begin in a part, one after the other, for each signal."""
    # Bins that begin after the part are not counted.
    known = KnownElsewhere(bins=part.known.bins)

    def counted(stretch: Any) -> BinsBegun:
        source = open_input.division.part(stretch, part.pasts)
        return bins_of_part(open_input.plan, source, known=known)

    return _with_enough_history(counted, part.stretch, open_input.division)


def take_measure(part: PartOfRun, open_input: OpenInput) -> SignalMeasures:
    """Take the first measure that is not known, of a part.

    The measures of all parts combine by `joined_measures`.
    """

    def measured(stretch: Any) -> SignalMeasures:
        return measure_part(
            open_input.plan,
            open_input.division.part(stretch, part.pasts),
            threads=open_input.run.threads,
            tail=open_input.run.tail,
            known=part.known,
        )

    return _with_enough_history(measured, part.stretch, open_input.division)


@dataclass(frozen=True, eq=False, kw_only=True)
class WrittenPart:
    """A part that was filtered and written.

    noted, written : opaque values for `Division.note` and `FileSink.add_part`
    held : the values held after it
    facts, warnings : of the sink
    """

    counts: RunCounts
    noted: Any
    written: Any
    held: HeldValues | None
    facts: Mapping[str, Any]
    warnings: tuple[str, ...]


def filter_part(
    part: PartOfRun,
    place: Path,
    open_input: OpenInput,
    *,
    apart: bool = False,
    may_give_up: bool = False,
) -> WrittenPart:
    """Filter a part and write it. InputError gives the place in the whole input.

    place : the file that it is written to: a file for this part, or the output of the whole
    apart : that file holds all bytes that the part has in the whole, header included
    may_give_up : raise HistoryNeededError where the settling would be longer than the part
    """
    run = open_input.run
    of_file = PartOfFile(first=part.first, opens=part.number == 0, ends=part.last, apart=apart)

    def written(stretch: Any) -> WrittenPart:
        source = open_input.division.part(stretch, part.pasts)
        made = open_input.division.sink(
            place,
            [run.result],
            label=run.label,
            unchanged=run.unchanged,
            part=source,
            of_file=of_file,
        )
        with closed_or_discarded(made) as sink:
            counts, held = run_part(
                open_input.plan,
                source,
                sink,
                threads=run.threads,
                tail=run.tail,
                known=part.known,
            )
        return WrittenPart(
            counts=counts,
            noted=source.noted,
            written=sink.written_part,
            held=held,
            facts=dict(sink.facts()),
            warnings=tuple(sink.warnings),
        )

    return _with_enough_history(written, part.stretch, open_input.division, may_give_up=may_give_up)


def filter_for_whole(
    part: PartOfRun, place: Path, open_input: OpenInput, *, may_give_up: bool = False
) -> WrittenPart | None:
    """Filter a part for the whole output. OutputError for a full disk.

    may_give_up : return None where the settling would be longer than the part
    """
    output = open_input.run.output
    full = refuse_full_scratch("a part") if output is None else refuse_full_disk(output)
    try:
        with full:
            return filter_part(part, place, open_input, may_give_up=may_give_up)
    except HistoryNeededError:
        return None


def _with_places_of_errors(
    function: Callable[[Any], Result], stretch: Any, division: Division
) -> Result:
    """Call a function with a stretch; its InputError gives the place in the whole input."""
    try:
        return function(stretch)
    except InputError:
        located = division.part(stretch, None).located()
        if located is None:
            raise
        # Lines are not counted before an error has to name one.
        return function(located)


def _with_enough_history(
    function: Callable[[Any], Result],
    stretch: Any,
    division: Division,
    *,
    may_give_up: bool = False,
) -> Result:
    """Call a function with a stretch, whose settling grows until it holds all needed values.

    Its InputError gives the place in the whole input.
    may_give_up : raise HistoryNeededError where the settling would be longer than the part
    """

    def settled(stretch: Any) -> Result:
        while True:
            try:
                return function(stretch)
            except HistoryNeededError:
                stretch = stretch.with_longer_settling()
                if may_give_up and stretch.settles_far:
                    raise

    return _with_places_of_errors(settled, stretch, division)
