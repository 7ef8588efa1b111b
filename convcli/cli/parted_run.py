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
    needs_of,
    parts_for,
    refuse_parts,
    worthwhile_parts,
)
from convcli.batch.parts import PartedRun
from convcli.batch.processes import ProcessRunner
from convcli.batch.run_units import OwnThread, ended_at_exit
from convcli.cli import print_message
from convcli.cli.progress import RetryNotes
from convcli.media.files import UndividedError
from convcli.media.replacing import path_for_others
from convcli.places import local_path
from convcli.running.workers import cores, keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.batch.parts import PartOfRun
    from convcli.batch.run_units import Runner, Work
    from convcli.cli.filter_command import FilterCommand
    from convcli.cli.planned_input import PlannedInput
    from convcli.media.division import Division
    from convcli.media.files import FileSink
    from convcli.places import Place
    from convcli.running.run import RunCounts


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


def _count_and_jobs(
    planned: PlannedInput, division: Division, asked: int | None
) -> tuple[int, int]:
    """Into how many parts an input is cut, and how many processes filter them.

    asked : number of parts, None to choose it; a note says if more are asked for than make sense
    """
    options = planned.run.command.options
    jobs = options.jobs or cores()
    if asked is None:
        return parts_for(division.size, jobs, groups=planned.opened.grouped), jobs
    count = worthwhile_parts(asked, division.size)
    if count < asked and not options.quiet:
        _note_fewer_parts(count, asked, planned.run.source)
    return count, min(jobs, count)


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
    count, jobs = _count_and_jobs(planned, division, asked)
    options = planned.run.command.options
    threads_of_each = options.threads or max(1, cores() // jobs)
    run = _parted_run(planned, threads_of_each)
    work = cast("Work", PartWork(run, options.batch.retries))
    runner = _runner(work, jobs, planned.run.command)
    with ended_at_exit(runner):
        parted = PartedInput(
            run=run,
            division=division,
            plan=planned.plans[0],
            runner=TaskRunner(runner, str(planned.run.source)),
            groups=planned.opened.grouped,
            count=count,
        )
        yield parted, parted.parts()


def _runner(work: Work, jobs: int, command: FilterCommand) -> Runner:
    """The processes that filter parts, or this process where one is enough."""
    on_retry = RetryNotes(quiet=command.options.quiet)
    if jobs == 1:
        keep_freed_memory()
        return OwnThread(work, command.stopping, on_retry)
    return ProcessRunner(work, jobs, command.stopping, on_retry)


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
