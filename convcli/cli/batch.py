"""One request over its inputs, in order: filter, tell, report. The same for sound, tables and pictures."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from convcli.cli import INTERRUPTED, Stopped, closed_pipe, say, tell, tell_error
from convcli.cli.progress import Progress
from convcli.cli.single import Single, about
from convcli.errors import ConditionError, ConvcliError, RequestError
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.cli.options import Request
    from convcli.cli.single import Adapter
    from convcli.facts import RunFacts
    from convcli.planning.grammar import Call


@dataclass
class Batch:
    """A request under way."""

    request: Request
    adapter: Adapter
    stopping: Event = field(default_factory=Event)

    def run(self) -> int:
        """Filter every input; the worst exit code."""
        try:
            return self._run()
        except BrokenPipeError:
            raise Stopped(closed_pipe()) from None
        except KeyboardInterrupt:
            raise Stopped(INTERRUPTED) from None

    def _run(self) -> int:
        from convcli.media.outputs import is_file
        from convcli.planning.grammar import parse

        request = self.request
        if request.quiet and request.verbose:
            raise RequestError("-q and -v contradict each other")
        if is_file(request.filter):
            raise RequestError(
                f"expected a FILTER, got the file {request.filter}",
                hint=f"FILTER comes first, then the files: convcli {self.adapter.command} box:5 {request.filter}",
            )
        if request.in_place and request.output is not None:
            raise RequestError(
                "--in-place and -o contradict each other",
                hint="--in-place replaces the inputs themselves",
            )
        calls = parse(request.filter)
        self._check_report()
        runs, code = self._filter_all(calls, list(zip(request.inputs, self._places(), strict=True)))
        if request.report is not None and runs and not request.dry_run:
            self._write_report(runs, request.report)
        return code

    def _places(self) -> Sequence[Path | None]:
        """The output of every input."""
        from convcli.media.outputs import plan_outputs

        request = self.request
        # A plan of several inputs may be looked at before it is known where they are to go.
        if request.dry_run and request.output is None and not request.in_place:
            return [None] * len(request.inputs)
        return plan_outputs(
            request.inputs,
            request.output,
            force=request.force,
            in_place=request.in_place,
            suffix=request.suffix,
        )

    def _check_report(self) -> None:
        request = self.request
        if request.report is not None:
            refuse_report(request.report, request.inputs, force=request.force or request.dry_run)

    def _write_report(self, runs: list[RunFacts], report: Path) -> None:
        from convcli.media.outputs import atomic
        from convcli.report.files import write_report

        write_report(runs[0] if len(self.request.inputs) == 1 else runs, report, atomic=atomic)

    def _filter_all(
        self, calls: tuple[Call, ...], places: list[tuple[Path | None, Path | None]]
    ) -> tuple[list[RunFacts], int]:
        if len(places) == 1:
            facts = self._single(calls, places[0], self._progress(None)).run()
            return [facts], self._tell(facts)
        from concurrent.futures import ThreadPoolExecutor

        from convcli.running.workers import cores

        runs: list[RunFacts] = []
        worst = 0
        jobs = min(self.request.jobs or cores(), len(places))
        pool = ThreadPoolExecutor(jobs)
        progress = self._progress(len(places))
        try:
            futures = [pool.submit(self._single(calls, place, None).run) for place in places]
            for (source, _), future in zip(places, futures, strict=True):
                try:
                    runs.append(future.result())
                    worst = max(worst, self._tell(runs[-1]))
                except ConvcliError as error:
                    tell_error(about(source, error))
                    worst = max(worst, error.exit_code)
                progress.advance(1)
        except BaseException:
            self.stopping.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            progress.close()
        return runs, worst

    def _single(
        self,
        calls: tuple[Call, ...],
        place: tuple[Path | None, Path | None],
        progress: Progress | None,
    ) -> Single:
        return Single(
            request=self.request,
            adapter=self.adapter,
            calls=calls,
            source=place[0],
            output=place[1],
            stopping=self.stopping,
            progress=progress,
        )

    def _progress(self, total: int | None) -> Progress:
        shown = (
            not self.request.quiet
            and not self.request.dry_run
            and self.request.output not in (None, "-")
        )
        return Progress(total, shown=shown)

    def _tell(self, facts: RunFacts) -> int:
        request = self.request
        if request.dry_run:
            from convcli.report.terminal import plan_text

            print(plan_text(facts))
        elif not request.quiet:
            for warning in facts.warnings:
                tell(warning, kind="warning")
            for step in facts.steps:
                if step.note and step.taps is not None:  # what a design did to its taps
                    tell(step.note, kind="note")
            self._summarise(facts)
        held = conditions(facts, request.fail_on)
        for condition in held:
            tell(condition)
        return ConditionError.exit_code if held else 0

    def _summarise(self, facts: RunFacts) -> None:
        from convcli.report.terminal import summary

        say(summary(facts))
        self._show_details(facts)

    def _show_details(self, facts: RunFacts) -> None:
        if self.request.verbose:
            from rich.console import Console

            from convcli.report.terminal import details

            with suppress(OSError):
                Console(stderr=True, highlight=False).print(details(facts))


def refuse_report(report: Path, inputs: Sequence[Path | None], *, force: bool) -> None:
    """Refuse, before any work, a report in no known format, in no folder, that is an input or exists already."""
    from convcli.media.outputs import is_file, refuse_missing_parent
    from convcli.report.files import check_report

    check_report(report)
    refuse_missing_parent(report)
    taken = [path for path in inputs if path is not None and is_file(path)]
    if is_file(report) and any(report.samefile(path) for path in taken):
        raise RequestError(f"the report {report} is one of the inputs", hint="give it another name")
    if is_file(report) and not force:
        raise RequestError(f"the report {report} exists already", hint="--force replaces it")


def own_place(output: Path, read: Sequence[Path | None], *, force: bool, example: str) -> Path:
    """Where an output of another kind than what was read goes, after every refusal that can be known before the work.

    example : a name for one that is not that of an input
    """
    from convcli.media.outputs import plan_outputs

    try:
        for path in read:
            (place,) = plan_outputs([path], str(output), force=force)
    except RequestError as error:
        if "--force" not in (error.hint or ""):  # those of commands that filter do not fit here
            error.hint = f"-o {example} writes a file of its own"
        raise
    return place or output


def conditions(facts: RunFacts, fail_on: tuple[str, ...]) -> list[str]:
    """The `--fail-on` conditions that hold after the run."""
    held = []
    losses = facts.losses
    clipped, missing, became = (
        sum(c.values()) for c in (losses.clipped, losses.missing, losses.became_missing)
    )
    if "clip" in fail_on and clipped:
        held.append(f"{clipped} samples were clipped, and --fail-on clip was asked for")
    if "missing" in fail_on and missing:
        held.append(f"{missing} values were missing, and --fail-on missing was asked for")
    if "missing" in fail_on and became:
        held.append(
            f"{plural(became, 'value')} became missing, and --fail-on missing was asked for"
        )
    return held
