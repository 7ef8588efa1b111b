"""The result of one input of a filter command, filtered page by page or in parts, and written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli.cli import INTERRUPTED, Stopped
from convcli.cli.importing import importing
from convcli.cli.input_run import check_is_left
from convcli.cli.planned_input import WrittenOutput
from convcli.media.files import closed_or_discarded
from convcli.media.outputs import open_output
from convcli.media.replacing import only_writing
from convcli.running.run import run
from convcli.running.workers import keep_freed_memory

if TYPE_CHECKING:
    from convcli.cli.input_run import InputRun
    from convcli.cli.planned_input import PlannedInput
    from convcli.cli.run_preview import RunPreview
    from convcli.media.files import FileSink
    from convcli.running.run import RunCounts
    from convcli.signals import Sink, Source


def write_output(planned: PlannedInput) -> WrittenOutput:
    """Filter an open input, write its result, and return what was written."""
    keep_freed_memory()
    asked = planned.run
    files = asked.command.files
    preview = _preview(planned)
    opening = open_output(
        asked.output, medium=files.medium, replace=asked.replaces, aside=asked.aside
    )
    with opening as place:
        with only_writing(asked.output):
            sink = planned.sink(place)
        try:
            with closed_or_discarded(_WatchedSink(sink, asked)) as watched:
                counts = _counts_of_parts(planned, place, watched)
                if not counts:
                    counts = _counts_of_pages(planned, watched, preview)
        finally:
            asked.progress.close()
    written = WrittenOutput(details=sink.facts(), warnings=sink.warnings, counts=counts)
    if preview is None:
        return written
    # The maps are those of the input as it was filtered, before it is read again to be shown.
    maps = preview.feature_maps(planned.plans[0])
    shown = preview.facts(files, asked.source, asked.written)
    return replace(written, preview=shown, feature_maps=maps)


def _preview(planned: PlannedInput) -> RunPreview | None:
    size = planned.run.preview_size
    if size is None:
        return None
    from convcli.cli.run_preview import RunPreview

    return RunPreview([(plan.signal, planned.result(plan)) for plan in planned.plans], size)


def _counts_of_pages(
    planned: PlannedInput, watched: _WatchedSink, preview: RunPreview | None
) -> list[RunCounts]:
    """Filter the pages of an input, one after the other; most inputs have one."""
    follow = planned.run.command.follow
    counts = []
    pages = zip(planned.opened.sources, planned.plans, strict=True)
    for number, (source, plan) in enumerate(pages):
        if number > 0:
            watched.next_page()
        planned.run.progress.expect(plan.result.shape[0])
        seen: tuple[Source[Any], Sink[Any]] = (source, watched)
        if preview is not None:
            seen = preview.observed(source, watched, number)
        tail = planned.tail(plan)
        counted = run(plan, *seen, threads=planned.threads, tail=tail, follow=follow)
        check_is_left(plan, counted.read, counted.written)
        counts.append(counted)
    return counts


def _counts_of_parts(planned: PlannedInput, place: Any, watched: _WatchedSink) -> list[RunCounts]:
    """Filter a large input in parts if that is asked for; nothing if it is filtered as one."""
    asked = planned.run
    options = asked.command.options
    several_jobs = asked.alone and (options.jobs or 1) > 1
    if options.parts == 1 or not (options.parts or several_jobs):
        return []
    from convcli.batch.parted_input import joined_counts
    from convcli.cli.parted_run import division_or_note, filtered_in_parts, worth_cutting

    if not options.parts and not worth_cutting(asked.source):
        return []
    division = division_or_note(planned, place, watched.sink)
    if division is None:
        return []
    plan = planned.plans[0]
    counts = []
    asked.progress.expect(plan.result.shape[0])
    for part in filtered_in_parts(planned, division, place, watched.sink):
        watched.advance(part.written)
        counts.append(part)
    counted = joined_counts(counts)
    check_is_left(plan, counted.read, counted.written)
    return [counted]


def _page_modules(asked: InputRun) -> tuple[str, ...]:
    """The modules that the report of a run needs, which is written as soon as its output is.

    That on several inputs is written by another process, or much later.
    """
    report = asked.command.options.report
    if report is None or not asked.alone:
        return ()
    from convcli.report.files import renderer_modules

    return renderer_modules(report, of_sounds=asked.command.files.medium.in_seconds)


class _WatchedSink:
    """A sink that shows the progress of a run, and that stops it between two blocks."""

    def __init__(self, sink: FileSink, asked: InputRun) -> None:
        self.sink = sink
        self._output = asked.output
        self._progress = asked.progress
        self._stopping = asked.command.stopping
        self._imported = _page_modules(asked)

    def encode(self, y: Any, rows: Any) -> Any:
        return len(rows), self.sink.encode(y, rows)

    def stored(self, encoded: Any) -> Any:
        """The samples of an encoded block as they are stored, if the sink gives them."""
        _, stored = encoded
        return self.sink.stored(stored)

    def write(self, encoded: Any) -> None:
        count, stored = encoded
        if self._stopping.is_set():
            raise Stopped(INTERRUPTED)
        with only_writing(self._output):
            self.sink.write(stored)
        self._progress.advance(count)

    def advance(self, count: int) -> None:
        """Show the progress of a part that was written by another process."""
        if self._stopping.is_set():
            raise Stopped(INTERRUPTED)
        self._progress.advance(count)

    def next_page(self) -> None:
        with only_writing(self._output):
            self.sink.next_page()

    def close(self) -> None:
        """Close the sink, which waits for the disk: a page's modules are imported meanwhile."""
        with only_writing(self._output), importing(self._imported):
            self.sink.close()

    def discard(self) -> None:
        self.sink.discard()
