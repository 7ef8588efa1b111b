"""One large input filtered in parts by several processes, or why it is filtered as one unit."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from convcli.batch.parts import (
    WORTH_CUTTING,
    PartedInput,
    PartedRun,
    PartWork,
    TaskRunner,
    joined_counts,
    needs_of,
    parts_for,
    reason_against,
)
from convcli.dataclass import dataclass
from convcli.media.replacing import path_for_others

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Event

    from convcli.batch.parts import PartOfRun
    from convcli.batch.run_units import Work
    from convcli.media.division import Division, PartSink
    from convcli.media.files import Files, OpenedFile
    from convcli.planning.calls import Call
    from convcli.planning.plan import Plan
    from convcli.running.run import RunCounts
    from convcli.signals import Signal


@dataclass(frozen=True, eq=False, kw_only=True)
class WholeRun:
    """An input that is about to be filtered.

    source, output : None is standard input or standard output
    calls : the steps that it is filtered by
    result : what is written, with its tail
    label, unchanged : as for the sink
    """

    files: Files
    source: Path | None
    output: Path | None
    opened: OpenedFile
    calls: tuple[Call, ...]
    plans: Sequence[Plan]
    result: Signal
    tail: int
    label: str
    unchanged: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class PartedBy:
    """How an input is to be cut and who filters the parts.

    count : of the parts; None to choose by the size of the input
    jobs : processes
    threads : of each process
    retries : how often a part is tried again after an error that may pass
    stopping : set when the run is over before its end
    prepare : called once in each process
    """

    count: int | None
    jobs: int
    threads: int
    retries: int
    stopping: Event
    prepare: Callable[[], object]


def worth_cutting(whole: WholeRun) -> bool:
    """Whether an input is so large that several processes are worth their start."""
    if whole.source is None or not whole.source.is_file():
        return False
    return whole.source.stat().st_size >= WORTH_CUTTING


def division_of(whole: WholeRun, place: Any, sink: PartSink) -> Division | str:
    """How an input is cut, or why it is not.

    place : where the whole result is written · sink : what writes it
    """
    if whole.source is None:
        return "standard input is read from its beginning to its end"
    if len(whole.plans) > 1:
        return "a file of several pages is filtered page by page"
    division = whole.opened.division()
    if isinstance(division, str):
        return division
    reason = reason_against(whole.plans[0], groups=whole.opened.grouped)
    if reason is None and not division.apart and not isinstance(place, Path):
        reason = "a pipe is written from its beginning to its end"
    if reason is None:
        reason = sink.divide()
    return division if reason is None else reason


def filtered_in_parts(
    whole: WholeRun, division: Division, by: PartedBy, place: Any, sink: PartSink
) -> Iterator[RunCounts]:
    """Filter the parts of an input into its output; yield what each part gave, in order."""
    from convcli.batch.processes import ProcessRunner

    run = PartedRun(
        files=whole.files,
        path=cast("Path", whole.source).absolute(),
        output=whole.output,
        known=whole.opened.known,
        calls=whole.calls,
        rules=whole.plans[0].rules,
        result=whole.result,
        tail=whole.tail,
        label=whole.label,
        unchanged=whole.unchanged,
        needs=needs_of(whole.plans[0]),
        threads=by.threads,
    )
    runner = ProcessRunner(
        cast("Work", PartWork(run, by.retries)), by.jobs, by.stopping, by.prepare
    )
    try:
        parted = PartedInput(
            run=run,
            division=division,
            plan=whole.plans[0],
            runner=TaskRunner(runner, str(whole.source)),
            groups=whole.opened.grouped,
            count=by.count or parts_for(division.size, by.jobs),
        )
        parts = parted.parts()
        with _places(parts, division, whole.output, place) as places:
            yield from parted.filter_into(sink, parts, places)
    except BaseException:
        runner.cancel()
        raise
    finally:
        runner.close()


@contextmanager
def _places(
    parts: Sequence[PartOfRun], division: Division, output: Path | None, place: Any
) -> Iterator[list[Path]]:
    """Where each part is written: to its place in the output, or to a file beside the output."""
    if not division.apart:
        yield [path_for_others(place)] * len(parts)
        return
    beside = None if output is None else output.absolute().parent
    with tempfile.TemporaryDirectory(prefix=".convcli-", dir=beside) as folder:
        yield [Path(folder, f"part{part.number}") for part in parts]


__all__ = [
    "PartedBy",
    "WholeRun",
    "division_of",
    "filtered_in_parts",
    "joined_counts",
    "worth_cutting",
]
