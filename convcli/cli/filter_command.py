"""The commands that filter: every input is filtered, summarised and reported, in order."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import field
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING, Any, ClassVar

from convcli.cli import Stopped, closed_pipe, print_message, say, shows_drawings
from convcli.cli.input_run import InputRun
from convcli.cli.options import Condition
from convcli.cli.progress import Progress
from convcli.cli.results import (
    given_words,
    refuse_plot,
    refuse_report,
    refuse_shared_places,
    report_runs,
)
from convcli.dataclass import dataclass
from convcli.errors import ConditionError, RequestError
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convcli.cli.options import Request, RunOptions
    from convcli.cli.planned_input import PlannedInput
    from convcli.facts import RunFacts, StepFacts
    from convcli.media.files import Files, OpenedFile
    from convcli.places import Place
    from convcli.planning.calls import Call
    from convcli.planning.plan import Plan
    from convcli.previews.preview import PreviewSize
    from convcli.running.kept_plans import KeptPlans
    from convcli.signals import Edge, Missing, Signal

# The name of standard input among the inputs.
STDIN = "-"
# What edge rules say of the samples that --tail would read.
_EMPTY_AFTER_THE_END = {
    "shrink": "samples after the end are missing",
    "missing": "samples after the end are missing",
    "valid": "no output reads what lies after the end",
}


@dataclass(eq=False, kw_only=True)
class FilterCommand:
    """A command that applies a filter to its inputs.

    A command that differs in what it does overrides the public methods.

    files : how the inputs are opened and the outputs written
    missing : what happens to missing values; None: what a model was learned with, else keep
    suffix : suffix of outputs that are named after their inputs; None keeps that of the input
    tail : the filter rings out after the end of the input
    follow : each block is written before the next is read
    stopping : set when the command is interrupted, to stop the runs of all inputs
    calls : the steps of FILTER, which are read when the command runs
    designs : facts of the steps and of the chain for each kind of input, so that a batch makes and
        holds them once
    words : the command line
    """

    # The option that makes the command write no data; None where it writes them.
    instead_of_data: ClassVar[str | None] = None

    request: Request
    options: RunOptions
    files: Files
    missing: Missing | None = None
    suffix: str | None = None
    tail: bool = False
    follow: bool = False
    stopping: Event = field(default_factory=Event)
    calls: tuple[Call, ...] = ()
    designs: dict[object, tuple[tuple[StepFacts, ...], StepFacts]] = field(default_factory=dict)
    words: tuple[str, ...] = field(default_factory=given_words)

    @cached_property
    def plans(self) -> KeptPlans:
        """The plans of the last few inputs, for the next one that is like one of them."""
        from convcli.running.kept_plans import KeptPlans

        return KeptPlans()

    @property
    def writes(self) -> bool:
        """Whether the command writes filtered data."""
        return self.instead_of_data is None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the event, which belongs to one process."""
        return {**vars(self), "stopping": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The command in another process, where it is not stopped."""
        vars(self).update(state, stopping=Event())

    def run(self) -> int:
        """Filter every input and return the worst exit code."""
        try:
            return self._run()
        except BrokenPipeError:
            raise Stopped(closed_pipe()) from None

    def _run(self) -> int:
        from convcli.planning.plan import learned_rules

        self._check_request()
        self.calls = self.read_filter()
        self.files = self.files.for_model(learned_rules(self.calls))
        if self._is_batch():
            from convcli.cli.filter_batch import FilterBatch

            return FilterBatch(self).run()
        return self._run_single()

    def reads_twice(self) -> bool:
        """Whether the input is read before the first output, so that a pipe is stored."""
        from convcli.planning.plan import reads_twice

        return reads_twice(self.calls)

    def filters(self) -> tuple[Call, ...]:
        """The steps of all filters of the command."""
        return self.calls

    def options_of_results(self) -> tuple[object, ...]:
        """What the results depend on besides the filters; each is known by its `repr`."""
        options = self.options
        return (
            options.edge,
            options.align,
            self.missing,
            self.files,
            self.suffix,
            self.tail,
            self.instead_of_data,
        )

    def _is_batch(self) -> bool:
        """Whether the inputs are a list that has to be made first."""
        from convcli.places import is_file

        words = self.request.inputs or [STDIN]
        if len(words) > 1 or self.options.batch.asked:
            return True
        # A batch is not imported for a file.
        if words[0] == STDIN or is_file(words[0]):
            return False
        from convcli.batch.listing import InputWords

        return InputWords(words=words).several

    def _run_single(self) -> int:
        """Filter the one input and return the exit code."""
        from convcli.places import place_of

        options = self.options
        word = (self.request.inputs or [STDIN])[0]
        source = None if word == STDIN else place_of(word)
        self.check_reports([source], several=False)
        output = self._single_output(source)
        if options.report is not None or options.plot is not None:
            refuse_shared_places({"--report": options.report, "--plot": options.plot}, [output])
        facts = self.input_run(
            source,
            output,
            alone=True,
            replaces=options.force or options.in_place,
            progress=Progress(None, shown=self.shows_progress),
        ).run()
        try:
            return self.report_run(facts)
        finally:  # also where the reader of standard output has closed it
            if not options.dry_run:
                self.write_reports([facts])

    def _single_output(self, source: Place | None) -> Place | None:
        from convcli.media.output_names import plan_output

        options = self.options
        nowhere = self.request.output is None and not options.in_place
        if not self.writes or (options.dry_run and nowhere):
            return None
        return plan_output(
            source,
            self.request.output,
            force=self.options.force,
            in_place=self.options.in_place,
            suffix=self.suffix,
        )

    def check_reports(self, inputs: Iterable[Place | None], *, several: bool) -> None:
        """Refuse a report or a drawing that cannot be written, before the work begins."""
        options = self.options
        force = options.force or options.dry_run
        if not several:
            inputs = tuple(inputs)
        refuse_report(options.report, inputs, force=force)
        if options.plot is not None:
            if several:
                raise RequestError(
                    "--plot draws one input", hint="--report FILE.html shows any number of them"
                )
            refuse_plot(options.plot, inputs, force=force)

    def write_reports(self, runs: list[RunFacts]) -> None:
        """Write the report and the drawing that were asked for."""
        if not runs:
            return
        report_runs(runs, self.options.report)
        if self.options.plot is not None:
            self._write_plot(runs[0], self.options.plot)

    def read_filter(self) -> tuple[Call, ...]:
        """The steps of FILTER as written, before they are bound to a signal."""
        from convcli.planning.grammar import parse

        return parse(self.request.filter)

    def planned_calls(self, opened: OpenedFile) -> tuple[Call, ...]:
        """The steps that an open input is filtered by: those of FILTER."""
        return self.calls

    def plan_of(self, calls: tuple[Call, ...], signal: Signal) -> Plan:
        """The plan of some steps for a signal, by the rules that were asked for."""
        from convcli.running.kept_plans import PlanRequest

        # A filter rings out into silence, even where the last sample would go on.
        default_edge: Edge | None = "zero" if self.tail else None
        request = PlanRequest(
            filter=calls,
            signal=signal,
            edge=self.options.edge or default_edge,
            align=self.options.align,
            missing=self.missing,
        )
        return self.plans.plan(request).plan

    def carry_out(self, planned: PlannedInput) -> RunFacts:
        """Filter an open input, write its result, and return the facts of the run."""
        from convcli.cli.written_output import write_output

        return planned.facts(write_output(planned))

    def _check_request(self) -> None:
        """Refuse options that contradict each other, and a file in place of FILTER."""
        from convcli.places import is_file

        options = self.options
        inputs = self.request.inputs or []
        if options.quiet and options.verbose:
            raise RequestError("-q and -v contradict each other")
        text = self.request.filter
        if is_file(text) or (inputs and not is_file(inputs[0])):
            from convcli.cli.word_order import refuse_other_order

            refuse_other_order(self.files.command, text, inputs, self.request.output)
        nowhere = self.writes and self.request.output is None and not options.in_place
        if len(inputs) == 2 and nowhere:
            from convcli.cli.word_order import refuse_second_as_output

            refuse_second_as_output(self.files.command, text, inputs)
        if not self.writes and (options.in_place or self.request.output is not None):
            raise RequestError(
                f"{self.instead_of_data} writes no data", hint="leave out -o and --in-place"
            )
        if options.in_place and self.request.output is not None:
            raise RequestError(
                "--in-place and -o contradict each other",
                hint="--in-place replaces the inputs themselves",
            )
        if options.in_place and options.batch.skip_existing:
            raise RequestError(
                "--in-place and --skip-existing contradict each other: every output exists",
                hint="--resume skips inputs that an earlier run finished",
            )
        self._refuse_without_effect()

    def _refuse_without_effect(self) -> None:
        """Raise RequestError for options that have no effect together."""
        options = self.options
        is_stdout = self.request.output in (None, "-") and not options.in_place
        if options.batch.skip_existing and is_stdout:
            raise RequestError(
                "--skip-existing skips inputs whose output exists, and standard output always does",
                hint="-o names an output, or leave --skip-existing out",
            )
        if self.tail and options.edge in _EMPTY_AFTER_THE_END:
            outside = _EMPTY_AFTER_THE_END[options.edge]
            raise RequestError(
                f"--tail and --edge {options.edge} contradict each other: {outside}",
                hint="--edge zero lets the filter ring out into silence",
            )

    def _write_plot(self, run: RunFacts, plot: Place) -> None:
        from convcli.media.replacing import atomic
        from convcli.report.plots import run_rows_of_figures, write_plot
        from convcli.report.words import run_title, visible

        title = f"{run_title(run)}: {visible(run.filter)}"
        rows = run_rows_of_figures(run)
        empty = f"no {self.files.medium.sample}s"
        write_plot(rows, plot, title=title, atomic=atomic, empty=empty)

    def input_run(
        self,
        source: Place | None,
        output: Place | None,
        *,
        number: int | None = None,
        alone: bool = False,
        replaces: bool = False,
        progress: Progress | None = None,
    ) -> InputRun:
        """The run of an input; the first inputs of a batch are drawn larger than the others.

        number : of the input in a batch, counted from 1
        alone : no other input is filtered at the same time
        replaces : an object that another program has made meanwhile may be replaced
        """
        return InputRun(
            command=self,
            source=source,
            output=output,
            alone=alone,
            replaces=replaces,
            progress=progress or Progress(None, shown=False),
            preview_size=self._preview_size(number),
        )

    def _preview_size(self, number: int | None) -> PreviewSize | None:
        """How much is collected of an input for a page; None where nothing is drawn."""
        options = self.options
        if options.dry_run or not (options.plot or options.report):
            return None
        from convcli.report.files import draws_signals

        if options.plot is None and not draws_signals(options.report):
            return None
        from convcli.previews.preview import size_of_input

        return size_of_input(number)

    @property
    def shows_progress(self) -> bool:
        """Whether progress is shown: the data do not go to standard output."""
        silent = self.options.quiet or self.options.dry_run
        return not silent and self.request.output not in (None, "-")

    def report_run(self, facts: RunFacts) -> int:
        """Print the plan or the summary of an input, and return its exit code."""
        options = self.options
        if options.dry_run:
            from convcli.report.terminal import plan_text

            print(plan_text(facts))
        elif not options.quiet:
            for warning in facts.warnings:
                print_message(warning, kind="warning")
            for step in facts.steps:
                if step.note and step.taps is not None:  # the design has changed its taps
                    print_message(step.note, kind="note")
                for notice in step.notices:
                    print_message(notice, kind="note")
            self._summarise(facts)
        return exit_code_of(conditions(facts, options))

    def _summarise(self, facts: RunFacts) -> None:
        from convcli.report.terminal import summary

        say(summary(facts))
        self._show_details(facts)

    def _show_details(self, facts: RunFacts) -> None:
        if self.options.verbose:
            from rich.console import Console

            from convcli.report.terminal import run_details

            console = Console(stderr=True, highlight=False)
            with suppress(OSError):
                console.print(run_details(facts))
                if shows_drawings(sys.stderr) and facts.chain is not None:
                    from convcli.report.braille import step_drawings

                    # A single step is drawn as itself, several as one chain.
                    drawn = facts.steps[0] if len(facts.steps) == 1 else facts.chain
                    say("\n".join(step_drawings(drawn)))


def conditions(facts: RunFacts, options: RunOptions) -> list[str]:
    """The `--fail-on` conditions that hold after a run, in words."""
    losses = facts.losses
    held = []
    clipped = sum(losses.clipped.values())
    if clipped and options.fails_on(Condition.CLIP):
        were = "sample was" if clipped == 1 else "samples were"
        held.append(f"{clipped:,} {were} clipped, and --fail-on clip was asked for")
    if options.fails_on(Condition.MISSING):
        missing = sum(losses.missing.values())
        if missing:
            were = "value was" if missing == 1 else "values were"
            held.append(f"{missing} {were} missing, and --fail-on missing was asked for")
        became = sum(losses.became_missing.values())
        if became:
            values = plural(became, "value")
            held.append(f"{values} became missing, and --fail-on missing was asked for")
    return held


def exit_code_of(held: Sequence[str]) -> int:
    """Print the conditions that hold, and return the exit code."""
    for condition in held:
        print_message(condition)
    return ConditionError.exit_code if held else 0
