"""One large input filtered in parts by several processes, or why it is filtered as one unit."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from convcli.batch.parted_input import (
    LEAST_BYTES,
    MOST_PARTS,
    WORTH_CUTTING,
    PartedInput,
    PartWork,
    TaskRunner,
    joined_counts,
    needs_of,
    parts_for,
    reason_against,
    worthwhile_parts,
)
from convcli.batch.parts import PartedRun
from convcli.cli import tell
from convcli.dataclass import dataclass
from convcli.media.division import UndividedError
from convcli.media.remote import local_path
from convcli.media.replacing import path_for_others
from convcli.media.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Event

    from convcli.batch.parts import PartOfRun
    from convcli.batch.run_units import Runner, Work
    from convcli.media.division import Division, PartSink
    from convcli.media.files import Files, OpenedFile
    from convcli.places import Place
    from convcli.planning.calls import Call
    from convcli.planning.plan import Plan
    from convcli.running.run import RunCounts
    from convcli.signals import Signal


@dataclass(frozen=True, eq=False, kw_only=True)
class WholeRun:
    """An input that is about to be filtered.

    source, output : None is standard input or standard output
    calls : the steps of the filter
    result : the signal that is written, its tail included
    label, unchanged : arguments of `OpenedFile.sink`
    drawn : a page or a drawing shows the whole signal
    """

    files: Files
    source: Place | None
    output: Place | None
    opened: OpenedFile
    calls: tuple[Call, ...]
    plans: Sequence[Plan]
    result: Signal
    tail: int
    label: str
    unchanged: bool
    drawn: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class PartOptions:
    """Into how many parts an input is cut, and how the processes that filter them run.

    count : number of parts; None to choose it by the size of the input
    jobs : number of processes
    threads : number of threads in each process
    retries : how often a part is tried again after an error that may pass
    stopping : set when the run is cancelled
    prepare : function that is called once in each process
    """

    count: int | None
    jobs: int
    threads: int
    retries: int
    stopping: Event
    prepare: Callable[[], object]

    def runner(self, work: Work) -> Runner:
        """The processes, or this process where one is enough."""
        if self.jobs == 1:
            from convcli.batch.run_units import OwnThread

            self.prepare()
            return OwnThread(work, self.stopping)
        from convcli.batch.processes import ProcessRunner

        return ProcessRunner(work, self.jobs, self.stopping, self.prepare)


def worth_cutting(source: Place | None) -> bool:
    """Whether an input is so large that several processes are worth their start."""
    path = local_path(source)
    if path is None or not path.is_file():
        return False
    return path.stat().st_size >= WORTH_CUTTING


def count_of_parts(asked: int, size: int, name: object, *, quiet: bool) -> int:
    """How many parts an input is cut into, after a note if more are asked for than make sense.

    size : bytes of all samples
    name : of the input, for the note
    """
    count = worthwhile_parts(asked, size)
    if count < asked and not quiet:
        reason = f"parts have at least {LEAST_BYTES >> 10} KB"
        if count == MOST_PARTS:
            reason = "object stores join no more"
        tell(f"{name} is cut into {count:,} parts instead of {asked:,}: {reason}", kind="note")
    return count


def division_of(whole: WholeRun, place: Any, sink: PartSink) -> Division:
    """The division of an input. UndividedError says why it is filtered as one unit.

    place : where the whole result is written
    sink : the sink that writes it
    """
    if whole.drawn:
        raise UndividedError("a page or a drawing of the run shows the whole signal")
    if whole.source is None:
        raise UndividedError("standard input is read from its beginning to its end")
    if len(whole.plans) > 1:
        raise UndividedError("a file of several pages is filtered page by page")
    division = whole.opened.division()
    reason = reason_against(whole.plans[0], groups=whole.opened.grouped)
    if reason is None and not division.apart and not isinstance(place, Path):
        reason = "a pipe is written from its beginning to its end"
    if reason is None:
        reason = sink.undivided
    if reason is not None:
        raise UndividedError(reason)
    return division


def parted_run(whole: WholeRun, threads: int) -> PartedRun:
    """The run of an input in parts, as a value that can be sent to other processes.

    threads : of each process
    """
    path = local_path(whole.source)
    return PartedRun(
        files=whole.files,
        source=cast("Place", whole.source) if path is None else path.absolute(),
        output=whole.output,
        known=whole.opened.known,
        calls=whole.calls,
        rules=whole.plans[0].rules,
        result=whole.result,
        tail=whole.tail,
        label=whole.label,
        unchanged=whole.unchanged,
        needs=needs_of(whole.plans[0]),
        threads=threads,
    )


@contextmanager
def _parted_input(
    whole: WholeRun, division: Division, options: PartOptions
) -> Iterator[tuple[PartedInput, list[PartOfRun]]]:
    """Start the processes, and yield the input with its parts; end the processes at the exit."""
    run = parted_run(whole, options.threads)
    runner = options.runner(cast("Work", PartWork(run, options.retries)))
    grouped = whole.opened.grouped
    count = options.count
    try:
        if count is None:
            count = parts_for(division.size, options.jobs, groups=grouped)
        parted = PartedInput(
            run=run,
            division=division,
            plan=whole.plans[0],
            runner=TaskRunner(runner, str(whole.source)),
            groups=grouped,
            count=count,
        )
        yield parted, parted.parts()
    except BaseException:
        runner.cancel()
        raise
    finally:
        runner.close()


def filtered_in_parts(
    whole: WholeRun, division: Division, options: PartOptions, place: Any, sink: PartSink
) -> Iterator[RunCounts]:
    """Filter the parts of an input into its output; yield the counts of each part, in order."""
    with (
        _parted_input(whole, division, options) as (parted, parts),
        closing(_part_places(division, whole.output, place)) as places,
    ):
        yield from parted.filter_into(sink, parts, places)


def cut_for_others(
    whole: WholeRun, division: Division, options: PartOptions
) -> tuple[PartedRun, list[PartOfRun]]:
    """The parts of an input as values, with all that is known of the samples before each."""
    with _parted_input(whole, division, options) as (parted, parts):
        return parted.run, parts


def _part_places(
    division: Division, output: Place | None, place: Any
) -> PartsInOutput | TemporaryParts:
    if division.apart:
        path = local_path(output)
        return TemporaryParts(None if path is None else path.absolute().parent)
    return PartsInOutput(path_for_others(place))


@dataclass(frozen=True, eq=False)
class PartsInOutput:
    """The places of parts that are written to their positions in the output.

    place : the output
    """

    place: Path

    def begin(self, number: int) -> Path:
        """Return the output, in which the part has its position."""
        return self.place

    def of(self, number: int) -> Path:
        """Return the output itself, which holds the part at its position."""
        return self.place

    def end(self, number: int) -> None:
        """Do nothing: the part is in the output already."""

    def close(self) -> None:
        """Do nothing: there are no temporary files."""


class TemporaryParts:
    """The places of parts that are temporary files, without names where the system allows it.

    folder : the folder on whose disk the files are; None for the folder of temporary files
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: dict[int, tuple[BinaryIO, Path]] = {}

    def begin(self, number: int) -> Path:
        """Make the temporary file of a part, and return its path."""
        file, place = scratch(self._folder)
        self._files[number] = (file, path_for_others(place))
        return self.of(number)

    def of(self, number: int) -> Path:
        """The path of a part that was begun."""
        return self._files[number][1]

    def end(self, number: int) -> None:
        """Remove the temporary file of a part."""
        file, _ = self._files.pop(number)
        file.close()

    def close(self) -> None:
        """Remove the temporary files of all parts that were not ended."""
        for number in list(self._files):
            self.end(number)


__all__ = [
    "PartOptions",
    "WholeRun",
    "count_of_parts",
    "cut_for_others",
    "division_of",
    "filtered_in_parts",
    "joined_counts",
    "worth_cutting",
]
