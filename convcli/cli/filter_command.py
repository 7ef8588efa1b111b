"""The commands that filter: every input is filtered, summarised and reported, in order."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from convcli.cli import Stopped, closed_pipe, say, tell, tell_error
from convcli.cli.input_run import InputRun
from convcli.cli.opening import input_name, name_input
from convcli.cli.options import Condition
from convcli.cli.progress import Progress
from convcli.cli.results import refuse_plot, refuse_report
from convcli.errors import ConditionError, ConvcliError, RequestError
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from convcli.cli.options import Request, RunOptions
    from convcli.facts import RunFacts, StepFacts
    from convcli.media.files import Files, OpenedFile
    from convcli.planning.calls import Call
    from convcli.previews.observe import PreviewSize
    from convcli.signals import Missing

    # An input and its output; None is standard input or standard output.
    InOut = tuple[Path | None, Path | None]


@dataclass(eq=False, kw_only=True)
class FilterCommand:
    """A command that applies a filter to its inputs.

    files : how the inputs are opened and the outputs written
    missing : what happens to missing values; None: what a model was learned with, else keep
    suffix : suffix of outputs that are named after their inputs; None keeps that of the input
    tail : the filter rings out after the end of the input
    prompt : each block is written before the next is read
    stopping : set when the command is interrupted, to stop the runs of all inputs
    designs : the steps as designed for each kind of input, so that a batch holds them once
    """

    request: Request
    options: RunOptions
    files: Files
    missing: Missing | None = None
    suffix: str | None = None
    tail: bool = False
    prompt: bool = False
    stopping: Event = field(default_factory=Event)
    designs: dict[tuple[StepFacts, ...], tuple[StepFacts, ...]] = field(default_factory=dict)

    def run(self) -> int:
        """Filter every input and return the worst exit code."""
        try:
            return self._run()
        except BrokenPipeError:
            raise Stopped(closed_pipe()) from None

    def _run(self) -> int:
        from convcli.planning.plan import learned_rules

        self._check_request()
        calls = self._calls()
        self.files = self.files.for_model(learned_rules(calls))
        report = self.options.report
        if report is not None:
            force = self.options.force or self.options.dry_run
            refuse_report(report, self.request.paths, force=force)
        if self.options.plot is not None:
            self._check_plot(self.options.plot)
        places = list(zip(self.request.paths, self._places(), strict=True))
        runs, code = self._filter_all(calls, places)
        if report is not None and runs and not self.options.dry_run:
            self._write_report(runs, report)
        if self.options.plot is not None and runs and not self.options.dry_run:
            self._write_plot(runs[0], self.options.plot)
        return code

    def _calls(self) -> tuple[Call, ...]:
        """The steps of FILTER as written, before they are bound to a signal."""
        from convcli.planning.grammar import parse

        return parse(self.request.filter)

    def planned_calls(self, opened: OpenedFile, calls: tuple[Call, ...]) -> tuple[Call, ...]:
        """The steps that an open input is filtered by: those of FILTER."""
        return calls

    def _check_request(self) -> None:
        """Refuse options that contradict each other, and a file in the place of FILTER."""
        from convcli.media.outputs import is_file

        options = self.options
        if options.quiet and options.verbose:
            raise RequestError("-q and -v contradict each other")
        text = self.request.filter
        if is_file(text):
            command = f"convcli {self.files.command} box:5 {text}"
            raise RequestError(
                f"expected a FILTER, got the file {text}",
                hint=f"FILTER comes first, then the files: {command}",
            )
        if options.in_place and self.request.output is not None:
            raise RequestError(
                "--in-place and -o contradict each other",
                hint="--in-place replaces the inputs themselves",
            )

    def _places(self) -> Sequence[Path | None]:
        """The output of every input; None is standard output."""
        from convcli.media.outputs import plan_outputs

        inputs = self.request.paths
        options = self.options
        output = self.request.output
        # The plan of several inputs can be printed before it is known where they are written.
        if options.dry_run and output is None and not options.in_place:
            return [None] * len(inputs)
        return plan_outputs(
            inputs, output, force=options.force, in_place=options.in_place, suffix=self.suffix
        )

    def _check_plot(self, plot: Path) -> None:
        if len(self.request.paths) > 1:
            raise RequestError(
                "--plot draws one input", hint="--report FILE.html shows any number of them"
            )
        force = self.options.force or self.options.dry_run
        refuse_plot(plot, self.request.paths, force=force)

    def _write_plot(self, run: RunFacts, plot: Path) -> None:
        from convcli.media.outputs import atomic
        from convcli.report.plots import run_rows_of_figures, write_plot
        from convcli.report.words import run_title, visible

        title = f"{run_title(run)}: {visible(run.filter)}"
        write_plot(run_rows_of_figures(run), plot, title=title, atomic=atomic)

    def _write_report(self, runs: list[RunFacts], report: Path) -> None:
        from convcli.media.outputs import atomic
        from convcli.report.files import write_report

        write_report(runs, report, atomic=atomic)

    def _filter_all(
        self, calls: tuple[Call, ...], places: list[InOut]
    ) -> tuple[list[RunFacts], int]:
        """The facts of all inputs that could be filtered, and the worst exit code."""
        if len(places) == 1:
            facts = self._run_of(calls, places[0], self._progress(None)).run()
            return [facts], self._tell(facts)
        from concurrent.futures import ThreadPoolExecutor

        from convcli.running.workers import cores

        jobs = min(self.options.jobs or cores(), len(places))
        pool = ThreadPoolExecutor(jobs)
        progress = self._progress(len(places))
        try:
            runs = [self._run_of(calls, place, None, at) for at, place in enumerate(places)]
            futures = [pool.submit(run.run) for run in runs]
            sources = [source for source, _ in places]
            return self._collect(sources, futures, progress)
        except BaseException:
            self.stopping.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            progress.close()

    def _collect(
        self, sources: list[Path | None], futures: list[Future[RunFacts]], progress: Progress
    ) -> tuple[list[RunFacts], int]:
        """Wait for each input in turn; the error of one is printed, and the others go on."""
        runs: list[RunFacts] = []
        worst = 0
        for source, future in zip(sources, futures, strict=True):
            try:
                facts = future.result()
                runs.append(facts)
                code = self._tell(facts)
            except ConvcliError as error:
                tell_error(name_input(error, input_name(source)))
                code = error.exit_code
            worst = max(worst, code)
            progress.advance(1)
        return runs, worst

    def _run_of(
        self, calls: tuple[Call, ...], place: InOut, progress: Progress | None, number: int = 0
    ) -> InputRun:
        """The run of an input; the first inputs of a batch are drawn larger than the others."""
        source, output = place
        return InputRun(
            command=self,
            calls=calls,
            source=source,
            output=output,
            progress=progress,
            preview_size=self._preview_size(number),
        )

    def _preview_size(self, number: int) -> PreviewSize | None:
        """How much is collected of an input for a page; None where nothing is drawn."""
        options = self.options
        if options.dry_run or not (options.plot or options.report):
            return None
        from convcli.report.files import draws

        if options.plot is None and options.report is not None and not draws(options.report):
            return None
        from convcli.previews.observe import FULL, MOST_FULL, THUMBNAIL

        return FULL if number < MOST_FULL else THUMBNAIL

    def _progress(self, total: int | None) -> Progress:
        """Progress is shown if the data do not go to standard output."""
        silent = self.options.quiet or self.options.dry_run
        return Progress(total, shown=not silent and self.request.output not in (None, "-"))

    def _tell(self, facts: RunFacts) -> int:
        """Print the plan or the summary of an input, and return its exit code."""
        options = self.options
        if options.dry_run:
            from convcli.report.terminal import plan_text

            print(plan_text(facts))
        elif not options.quiet:
            for warning in facts.warnings:
                tell(warning, kind="warning")
            for step in facts.steps:
                if step.note and step.taps is not None:  # the design has changed its taps
                    tell(step.note, kind="note")
                for notice in step.notices:
                    tell(notice, kind="note")
            self._summarise(facts)
        return exit_code_of(conditions(facts, options))

    def _summarise(self, facts: RunFacts) -> None:
        from convcli.report.terminal import summary

        say(summary(facts))
        self._show_details(facts)

    def _show_details(self, facts: RunFacts) -> None:
        if self.options.verbose:
            from rich.console import Console

            from convcli.report.terminal import details

            console = Console(stderr=True, highlight=False)
            with suppress(OSError):
                console.print(details(facts))
                if console.is_terminal and facts.chain is not None:
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
        held.append(f"{clipped} samples were clipped, and --fail-on clip was asked for")
    if options.fails_on(Condition.MISSING):
        missing = sum(losses.missing.values())
        if missing:
            held.append(f"{missing} values were missing, and --fail-on missing was asked for")
        became = sum(losses.became_missing.values())
        if became:
            values = plural(became, "value")
            held.append(f"{values} became missing, and --fail-on missing was asked for")
    return held


def exit_code_of(held: Sequence[str]) -> int:
    """Print the conditions that hold, and return the exit code."""
    for condition in held:
        tell(condition)
    return ConditionError.exit_code if held else 0
