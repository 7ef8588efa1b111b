"""One input of a filter command: opened, planned, filtered and written."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from convcli import __version__
from convcli.cli import INTERRUPTED, Stopped, tell
from convcli.cli.opening import read_input
from convcli.cli.options import Condition
from convcli.dataclass import dataclass
from convcli.errors import ConditionError, ConvcliError, InputError
from convcli.facts import InputFacts, LossFacts, OutputFacts, RunFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from threading import Event

    from convcli.batch.parts import PartedRun, PartOfRun
    from convcli.cli.filter_command import FilterCommand
    from convcli.cli.parted_run import PartOptions, WholeRun
    from convcli.cli.progress import Progress
    from convcli.cli.run_preview import RunPreview
    from convcli.facts.preview import FeatureMapFacts, PreviewFacts
    from convcli.media.division import Division, PartSink
    from convcli.media.files import FileSink, OpenedFile
    from convcli.places import Place
    from convcli.planning.calls import Call
    from convcli.planning.plan import Plan
    from convcli.previews.observe import PreviewSize
    from convcli.running.run import RunCounts
    from convcli.signals import Signal, Sink, Source

# Whether a filter makes more rows is tried with so many.
MANY_ROWS = 1 << 20


@dataclass(frozen=True, eq=False, kw_only=True)
class InputRun:
    """The run of a filter command over one input.

    source : the input, None for standard input
    output : where its result goes, None for standard output
    alone : no other input is filtered at the same time
    replaces : an object may be replaced that another program has made meanwhile
    progress : where the work done is counted, None if several inputs run at once
    preview_size : how much of the signals is collected to be drawn; None for nothing
    """

    command: FilterCommand
    calls: tuple[Call, ...]
    source: Place | None
    output: Place | None
    alone: bool
    replaces: bool
    progress: Progress | None
    preview_size: PreviewSize | None = None

    def run(self) -> RunFacts:
        """Filter the input and return the facts of the run."""
        from convcli.planning.plan import reads_twice

        started = time.perf_counter()
        with ExitStack() as held:
            # A named pipe is not kept: its reader says that it can be read only once.
            twice = self.source is None and reads_twice(self.calls)
            given = read_input(self.source, held, twice=twice, example="convcli ...")
            opened = held.enter_context(given.opened(self.command.files, self.output))
            held.enter_context(_with_doubts(opened))
            plans = self._plans(opened)
            if self.command.options.dry_run:
                return self._facts(opened, plans, None)
            try:
                facts = self._carry_out(opened, plans)
            except InputError as error:
                raise given.explain(error) from None
        warnings = tuple(given.message(text) for text in facts.warnings)
        return replace(facts, warnings=warnings, seconds=time.perf_counter() - started)

    def _plans(self, opened: OpenedFile) -> list[Plan]:
        """A plan for each page. RequestError or ConditionError if one cannot be carried out."""
        from convcli.planning.plan import make_plan, rules_for

        options = self.command.options
        calls = self.command.planned_calls(opened, self.calls)
        plans = []
        for source in opened.sources:
            rules = rules_for(
                source.signal,
                calls,
                edge=options.edge,
                align=options.align,
                missing=self.command.missing,
            )
            plan = make_plan(calls, source.signal, rules)
            if options.fails_on(Condition.LOOKAHEAD):
                _refuse_look_ahead(plan)
            _refuse_new_rows(plan)
            opened.check(plan.result, keeps_shape=plan.keeps_shape)
            if not self.command.tail:
                _check_is_left(plan, plan.signal.shape[0], plan.result.shape[0])
            plans.append(plan)
        return plans

    def _carry_out(self, opened: OpenedFile, plans: list[Plan]) -> RunFacts:
        return self._facts(opened, plans, self._write(opened, plans))

    def _write(self, opened: OpenedFile, plans: list[Plan]) -> _WrittenOutput:
        from convcli.media.outputs import open_output
        from convcli.media.replacing import only_writing
        from convcli.running.workers import keep_freed_memory

        keep_freed_memory()
        preview = self._preview(plans)
        medium = self.command.files.medium
        with open_output(self.output, medium=medium, replace=self.replaces) as place:
            with only_writing(self.output):
                sink = self._sink(opened, place, plans)
            watched = _WatchedSink(sink, self.command.stopping, self.progress, self.output)
            try:
                counts = self._counts_of_parts(opened, plans, place, sink, watched)
                if not counts:
                    counts = self._counts_of_pages(opened, plans, watched, preview)
                with only_writing(self.output):
                    sink.close()
            except BaseException:
                sink.discard()
                raise
            finally:
                watched.close()
        if preview is None:
            return _WrittenOutput(sink, counts)
        # The maps are those of the input as it was filtered, before it is read again to be shown.
        maps = preview.feature_maps(plans[0])
        shown = preview.facts(self.command.files, self.source, self.output)
        return _WrittenOutput(sink, counts, preview=shown, feature_maps=maps)

    def _counts_of_pages(
        self,
        opened: OpenedFile,
        plans: list[Plan],
        watched: _WatchedSink,
        preview: RunPreview | None,
    ) -> list[RunCounts]:
        """Filter the pages of an input, one after the other; most inputs have one."""
        from convcli.media.replacing import only_writing
        from convcli.running.run import run

        threads = self._threads()
        counts = []
        for number, (source, plan) in enumerate(zip(opened.sources, plans, strict=True)):
            if number > 0:
                with only_writing(self.output):
                    watched.sink.next_page()
            watched.expect(plan.result.shape[0])
            seen: tuple[Source[Any], Sink[Any]] = (source, watched)
            if preview is not None:
                seen = preview.observed(source, watched, number)
            tail = self._tail(plan)
            counted = run(plan, *seen, threads=threads, tail=tail, prompt=self.command.prompt)
            _check_is_left(plan, counted.read, counted.written)
            counts.append(counted)
        return counts

    def _sink(self, opened: OpenedFile, place: Path | BinaryIO, plans: list[Plan]) -> FileSink:
        """The sink for the whole result."""
        return opened.sink(
            place,
            [self._written_signal(plan) for plan in plans],
            label=label_of(self.calls),
            unchanged=all(plan.identity for plan in plans),
        )

    # --- parts ---

    def _counts_of_parts(
        self,
        opened: OpenedFile,
        plans: list[Plan],
        place: Any,
        sink: FileSink,
        watched: _WatchedSink,
    ) -> list[RunCounts]:
        """Filter a large input in parts if that is asked for; nothing if it is filtered as one."""
        options = self.command.options
        several_jobs = self.alone and (options.jobs or 1) > 1
        if options.parts == 1 or not (options.parts or several_jobs):
            return []
        from convcli.cli.parted_run import filtered_in_parts, joined_counts, worth_cutting

        if not options.parts and not worth_cutting(self.source):
            return []
        part_sink = cast("PartSink", sink)
        whole = self._whole(opened, plans)
        division = self._division(whole, place, part_sink)
        if division is None:
            return []
        counts = []
        watched.expect(plans[0].result.shape[0])
        part_options = self._part_options(options.parts)
        for part in filtered_in_parts(whole, division, part_options, place, part_sink):
            watched.advance(part.written)
            counts.append(part)
        return [joined_counts(counts)]

    def _whole(self, opened: OpenedFile, plans: list[Plan]) -> WholeRun:
        from convcli.cli.parted_run import WholeRun

        return WholeRun(
            files=self.command.files,
            source=self.source,
            output=self.output,
            opened=opened,
            calls=self.command.planned_calls(opened, self.calls),
            plans=plans,
            result=self._written_signal(plans[0]),
            tail=self._tail(plans[0]),
            label=label_of(self.calls),
            unchanged=all(plan.identity for plan in plans),
        )

    def _division(self, whole: WholeRun, place: Any, sink: PartSink) -> Division | None:
        """The division of the input; None, after a note with the reason, if it is one unit."""
        from convcli.cli.parted_run import division_of

        division: Division | str = "a page or a drawing of the run shows the whole signal"
        if self.preview_size is None:
            division = division_of(whole, place, sink)
        if not isinstance(division, str):
            return division
        if not self.command.options.quiet:
            name = whole.source or "standard input"
            tell(f"{name} is filtered as one unit: {division}", kind="note")
        return None

    def cut(self, count: int) -> tuple[PartedRun, list[PartOfRun]] | None:
        """Cut the input into at most `count` parts for others; None if it is filtered as one."""
        from convcli.cli.parted_run import cut_for_others
        from convcli.media.scratch import scratch

        with ExitStack() as held:
            given = read_input(self.source, held, example="convcli ...")
            opened = held.enter_context(given.opened(self.command.files, self.output))
            plans = self._plans(opened)
            whole = self._whole(opened, plans)
            file, place = scratch()
            held.enter_context(file)
            sink = cast("PartSink", self._sink(opened, place, plans))
            division = self._division(whole, place, sink)
            sink.discard()
            if division is None:
                return None
            return cut_for_others(whole, division, self._part_options(count))

    def run_part(self, run: PartedRun, part: PartOfRun) -> RunFacts:
        """Filter one part of the input into a file of its own and return the facts of the run."""
        from convcli.batch.parts import FilterTask
        from convcli.media.outputs import open_output

        started = time.perf_counter()
        with run.opened() as given:
            with open_output(self.output, medium=self.command.files.medium) as place:
                task = FilterTask(part=part, place=cast("Path", place), apart=True)
                done = task.written(given)
            given.division.note(done.noted)
            sink = WrittenSink(facts=lambda: done.facts, warnings=list(done.warnings))
            written = _WrittenOutput(sink, [done.counts])
            facts = self._facts(given.opened, [given.plan], written)
        return replace(facts, seconds=time.perf_counter() - started)

    def _part_options(self, count: int | None) -> PartOptions:
        """Into how many parts an input is cut, and how many processes filter them."""
        from convcli.cli.parted_run import PartOptions
        from convcli.running.workers import cores, keep_freed_memory

        options = self.command.options
        jobs = options.jobs or cores()
        if count is not None:
            jobs = min(jobs, count)
        threads = options.threads or max(1, cores() // jobs)
        return PartOptions(
            count=count,
            jobs=jobs,
            threads=threads,
            retries=options.batch.retries,
            stopping=self.command.stopping,
            prepare=keep_freed_memory,
        )

    def _preview(self, plans: list[Plan]) -> RunPreview | None:
        if self.preview_size is None:
            return None
        from convcli.cli.run_preview import RunPreview

        signals = [(plan.signal, self._written_signal(plan)) for plan in plans]
        return RunPreview(signals, self.preview_size)

    def _tail(self, plan: Plan) -> int:
        """How many inputs of silence follow the signal, so that the filter can ring out."""
        return plan.chain.reach[0].before if self.command.tail else 0

    def _written_signal(self, plan: Plan) -> Signal:
        """The result of a plan with its tail, and with what is cut off before it."""
        from convcli.running.geometry import Geometry

        result = plan.result
        if plan.rules.edge == "valid":
            first = Geometry(plan.chain, plan.rules.edge).aligned_sample(0)
            result = replace(result, skipped=first)
        length = plan.signal.shape[0]
        if not self.command.tail or length is None or result.shape[0] is None:
            return result
        count = plan.chain.count(0, length + self._tail(plan))
        return replace(result, shape=(count, *result.shape[1:]))

    def _threads(self) -> int | None:
        """Threads for this input; None for as many as there are cores.

        Either the inputs or the blocks of one input share the cores, not both.
        """
        options = self.command.options
        if self.command.prompt:
            return 1
        if options.threads:
            return options.threads
        return None if self.alone else 1

    def _facts(
        self, opened: OpenedFile, plans: list[Plan], written: _WrittenOutput | None
    ) -> RunFacts:
        """The facts of the run; `written` is None if nothing was filtered."""
        plan = plans[0]
        signal = plan.signal
        result = plan.result
        details: Mapping[str, Any] = {}
        losses = LossFacts()
        warnings = [*opened.warnings, *_unasked_delay_warnings(plan)]
        if written is not None:
            details = written.sink.facts()
            signal = _with_length(signal, written.counts[0].read)
            result = _with_length(result, written.counts[0].written)
            losses = written.losses(details)
            warnings += written.sink.warnings
        source = InputFacts.of(str(self.source or "-"), signal, details=opened.details())
        output = OutputFacts.of(str(self.output or "-"), result, details=details)
        facts = RunFacts(
            version=__version__,
            command=self.command.words,
            filter=plan.filter,
            edge=plan.rules.edge,
            align=plan.rules.align,
            missing=plan.rules.missing,
            inputs=(source,),
            outputs=(output,),
            losses=losses,
            preview=None if written is None else written.preview,
            feature_maps=() if written is None else written.feature_maps,
            warnings=tuple(warnings),
        )
        return self._with_design(facts, plan) if self.command.options.tells else facts

    def _with_design(self, run: RunFacts, plan: Plan) -> RunFacts:
        """The facts with those of each step, and of all of them as one chain."""
        from convcli.planning.describe import (
            chain_facts,
            chain_with_response,
            step_facts,
            with_response,
        )

        steps = []
        for step in plan.steps:
            facts = step_facts(step)
            if self.command.options.draws:
                facts = with_response(facts, step)
            steps.append(facts)
        designed = tuple(steps)
        shared = self.command.designs.setdefault(designed, designed)
        chain = chain_facts(plan)
        if self.command.options.draws:
            chain = chain_with_response(chain, plan.steps)
        return replace(run, steps=shared, chain=chain)


@contextmanager
def _with_doubts(opened: OpenedFile) -> Iterator[None]:
    """Errors tell what was taken for granted in reading the input, for that may be their cause."""
    try:
        yield
    except ConvcliError as error:
        hints = [*filter(None, [error.hint]), *opened.doubts]
        error.hint = "; ".join(hints) or None
        raise


def _with_length(signal: Signal, length: int) -> Signal:
    return replace(signal, shape=(length, *signal.shape[1:]))


@dataclass(frozen=True, eq=False, kw_only=True)
class WrittenSink:
    """What is left of a sink that has written a part."""

    facts: Callable[[], Mapping[str, Any]]
    warnings: list[str]


@dataclass(frozen=True, eq=False)
class _WrittenOutput:
    """A written output: the closed sink, what was counted for each page, and what is drawn."""

    sink: WrittenSink | FileSink
    counts: list[RunCounts]
    preview: PreviewFacts | None = None
    feature_maps: tuple[FeatureMapFacts, ...] = ()

    def losses(self, details: Mapping[str, Any]) -> LossFacts:
        """The losses of all pages, with the samples that the sink has clipped."""
        pages = [counts.losses for counts in self.counts]
        losses = sum(pages, LossFacts())
        return replace(losses, clipped=details.get("clipped", {}))


def label_of(calls: tuple[Call, ...]) -> str:
    """The filter in a few characters, for the names of new columns: `sma20`, `x-sma20_diff1`."""
    from convcli.designs import find

    words = []
    for call in calls:
        values = [f"{argument.key or ''}{argument.text}" for argument in call.arguments]
        if find(call.name).runs_model:  # `model_next`, without the folder of the model file
            values = ["", Path(call.first_value("path") or "").stem]
        word = call.name + "_".join(values)
        if call.group is not None:
            word = re.sub(r"[\s:=]", "", call.text)
        words.append(word)
    return re.sub(r"[^\w.%+-]+", "_", "_".join(words)).strip("_")


def _check_is_left(plan: Plan, read: int | None, written: int | None) -> None:
    """Raise RequestError if nothing is left of a signal; an empty output would look like success.

    read, written : samples along axis 0, None where that is not known yet
    """
    if written != 0 or read in (None, 0):
        return
    from convcli.errors import RequestError

    what = plan.signal.medium.thing.removeprefix("a ")
    why = "the filter has no output for it"
    hint = None
    if plan.rules.edge == "valid":
        why = "the filter is longer than it, and --edge is valid"
        hint = "other rules of --edge keep its length"
    raise RequestError(f"nothing is left of the {what}: {why}", hint=hint)


def _refuse_new_rows(plan: Plan) -> None:
    """Raise RequestError if the plan makes more outputs than there are rows to write them into."""
    if not plan.signal.medium.carries_cells:
        return
    from convcli.core.chain import Chain

    for step in plan.steps:
        # Padded layers of a network may make more rows than others take away. The rows that an
        # interpolation makes have a row to stand beside.
        chain = Chain(step.ops)
        phases = chain.reach[0].phases
        if chain.count(0, MANY_ROWS) > MANY_ROWS * phases:
            raise step.call.error("a table cannot get more rows than it has")


def _unasked_delay_warnings(plan: Plan) -> list[str]:
    if not any(step.step.hides_length or step.stage.warnings for step in plan.steps):
        return []
    from convcli.planning.latency import unasked_delays

    return list(unasked_delays(plan))


def _refuse_look_ahead(plan: Plan) -> None:
    from convcli.checking.look_ahead import find_look_ahead

    ahead = find_look_ahead(plan)
    if ahead is not None:
        raise ConditionError(
            f"{ahead.text}, and --fail-on lookahead was asked for", hint=ahead.hint
        )


class _WatchedSink:
    """A sink that shows progress, and that stops the run between two blocks.

    place : what it writes to, for errors; None is standard output
    """

    def __init__(
        self, sink: FileSink, stopping: Event, progress: Progress | None, place: Place | None
    ) -> None:
        self.sink = sink
        self.stopping = stopping
        self.progress = progress
        self.place = place

    def encode(self, y: Any, rows: Any) -> Any:
        return len(rows), self.sink.encode(y, rows)

    def stored(self, encoded: Any) -> Any:
        _, stored = encoded
        return self.sink.stored(stored)

    def write(self, encoded: Any) -> None:
        if self.stopping.is_set():
            raise Stopped(INTERRUPTED)
        from convcli.media.replacing import only_writing

        count, stored = encoded
        with only_writing(self.place):
            self.sink.write(stored)
        if self.progress is not None:
            self.progress.advance(count)

    def advance(self, count: int) -> None:
        """Show the progress of a part that was written by another process."""
        if self.stopping.is_set():
            raise Stopped(INTERRUPTED)
        if self.progress is not None:
            self.progress.advance(count)

    def expect(self, total: int | None) -> None:
        if self.progress is not None:
            self.progress.expect(total)

    def close(self) -> None:
        if self.progress is not None:
            self.progress.close()
