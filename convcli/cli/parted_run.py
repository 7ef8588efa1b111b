"""One large input filtered in parts by several processes, or why it is filtered as one unit."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from convcli.batch.parted_input import (
    LEAST_BYTES,
    MOST_PARTS,
    WORTH_CUTTING,
    PartedInput,
    PartPlaces,
    PartWork,
    TaskRunner,
    joined_counts,
    needs_of,
    parts_for,
    refuse_parts,
    worthwhile_parts,
)
from convcli.batch.parts import PartedRun
from convcli.cli import print_message
from convcli.cli.progress import RetryNotes
from convcli.dataclass import dataclass
from convcli.media.files import UndividedError
from convcli.media.replacing import path_for_others
from convcli.places import local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from convcli.batch.parts import PartOfRun
    from convcli.batch.run_units import OnRetry, Runner, Work
    from convcli.cli.planned_input import PlannedInput
    from convcli.media.division import Division
    from convcli.media.files import FileSink
    from convcli.places import Place
    from convcli.running.run import RunCounts


@dataclass(frozen=True, eq=False, kw_only=True)
class PartOptions:
    """Into how many parts an input is cut, and how the processes that filter them run.

    count : number of parts; None to choose it by the size of the input
    jobs : number of processes
    threads : number of threads in each process
    retries : how often a part is tried again after an error that may pass
    stopping : set when the run is cancelled
    on_retry : is called with each part that is tried again
    prepare : function that is called once in each process
    """

    count: int | None
    jobs: int
    threads: int
    retries: int
    stopping: Event
    on_retry: OnRetry
    prepare: Callable[[], object]

    def runner(self, work: Work) -> Runner:
        """The processes, or this process where one is enough."""
        if self.jobs == 1:
            from convcli.batch.run_units import OwnThread

            self.prepare()
            return OwnThread(work, self.stopping, self.on_retry)
        from convcli.batch.processes import ProcessRunner

        return ProcessRunner(work, self.jobs, self.stopping, self.on_retry, self.prepare)


def worth_cutting(source: Place | None) -> bool:
    """Whether an input is so large that several processes are worth their start."""
    path = local_path(source)
    if path is None or not path.is_file():
        return False
    return path.stat().st_size >= WORTH_CUTTING


def division_or_note(planned: PlannedInput, place: Any, sink: FileSink) -> Division | None:
    """The division of an input; None, after a note with the reason, if it is one unit.

    place : where the whole result is written
    sink : the sink that writes it
    """
    try:
        return _division(planned, place, sink)
    except UndividedError as error:
        if not planned.run.command.options.quiet:
            name = planned.run.source or "standard input"
            print_message(f"{name} is filtered as one unit: {error}", kind="note")
        return None


def _division(planned: PlannedInput, place: Any, sink: FileSink) -> Division:
    """The division of an input. UndividedError says why it is filtered as one unit."""
    if planned.run.preview_size is not None:
        raise UndividedError("a page or a drawing of the run shows the whole signal")
    if planned.run.source is None:
        raise UndividedError("standard input is read from its beginning to its end")
    if len(planned.plans) > 1:
        raise UndividedError("a file of several pages is filtered page by page")
    division = planned.opened.division()
    refuse_parts(planned.plans[0], groups=planned.opened.grouped)
    if not division.apart and not isinstance(place, Path):
        raise UndividedError("a pipe is written from its beginning to its end")
    sink.parted()
    return division


def _part_options(planned: PlannedInput, division: Division, asked: int | None) -> PartOptions:
    """Into how many parts an input is cut, and how many processes filter them.

    asked : number of parts, None to choose it; a note says if more are asked for than make sense
    """
    from convcli.running.workers import cores, keep_freed_memory

    options = planned.run.command.options
    count = asked
    jobs = options.jobs or cores()
    if asked is not None:
        count = worthwhile_parts(asked, division.size)
        jobs = min(jobs, count)
        if count < asked and not options.quiet:
            _note_fewer_parts(count, asked, planned.run.source)
    threads_of_each = options.threads or max(1, cores() // jobs)
    return PartOptions(
        count=count,
        jobs=jobs,
        threads=threads_of_each,
        retries=options.batch.retries,
        stopping=planned.run.command.stopping,
        on_retry=RetryNotes(quiet=options.quiet),
        prepare=keep_freed_memory,
    )


def _note_fewer_parts(count: int, asked: int, name: object) -> None:
    reason = f"parts have at least {LEAST_BYTES >> 10} KB"
    if count == MOST_PARTS:
        reason = "object stores join no more"
    print_message(f"{name} is cut into {count:,} parts instead of {asked:,}: {reason}", kind="note")


def _parted_run(planned: PlannedInput, threads: int) -> PartedRun:
    """The run of an input in parts, as a value that can be sent to other processes.

    threads : of each process
    """
    plan = planned.plans[0]
    source = cast("Place", planned.run.source)
    path = local_path(source)
    return PartedRun(
        files=planned.run.command.files,
        source=source if path is None else path.absolute(),
        output=planned.run.output,
        known=planned.opened.known,
        calls=planned.calls,
        rules=plan.rules,
        result=planned.result(plan),
        tail=planned.tail(plan),
        label=planned.label,
        unchanged=planned.unchanged,
        needs=needs_of(plan, groups=planned.opened.grouped),
        threads=threads,
    )


@contextmanager
def _parted_input(
    planned: PlannedInput, division: Division, asked: int | None
) -> Iterator[tuple[PartedInput, list[PartOfRun]]]:
    """Start the processes, and yield the input with its parts; end the processes at the exit."""
    options = _part_options(planned, division, asked)
    run = _parted_run(planned, options.threads)
    runner = options.runner(cast("Work", PartWork(run, options.retries)))
    grouped = planned.opened.grouped
    count = options.count
    try:
        if count is None:
            count = parts_for(division.size, options.jobs, groups=grouped)
        parted = PartedInput(
            run=run,
            division=division,
            plan=planned.plans[0],
            runner=TaskRunner(runner, str(planned.run.source)),
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
    planned: PlannedInput, division: Division, place: Any, sink: FileSink
) -> Iterator[RunCounts]:
    """Filter the parts of an input into its output; yield the counts of each part, in order."""
    asked = planned.run.command.options.parts
    with (
        _parted_input(planned, division, asked) as (parted, parts),
        closing(_part_places(division, planned.run.output, place)) as places,
    ):
        yield from parted.filter_into(sink.parted(), parts, places)


def cut_for_others(
    planned: PlannedInput, division: Division, count: int
) -> tuple[PartedRun, list[PartOfRun]]:
    """At most `count` parts of an input as values, with what each knows of samples before it."""
    with _parted_input(planned, division, count) as (parted, parts):
        return parted.run, parts


def _part_places(division: Division, output: Place | None, place: Any) -> PartPlaces:
    if division.apart:
        path = local_path(output)
        return PartPlaces(None, None if path is None else path.absolute().parent)
    return PartPlaces(path_for_others(place))


__all__ = [
    "cut_for_others",
    "division_or_note",
    "filtered_in_parts",
    "joined_counts",
    "worth_cutting",
]
