"""One request over its inputs: plan, filter, tell, report. The same for sound, tables and pictures."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from convcli import __version__
from convcli.cli import INTERRUPTED, Stopped, closed_pipe, tell, tell_error
from convcli.cli.progress import Progress
from convcli.errors import ConditionError, ConvcliError, InputError, RequestError
from convcli.facts import InputFacts, LossFacts, OutputFacts, RunFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.cli.options import Request
    from convcli.engine.grammar import Call
    from convcli.engine.plan import Plan
    from convcli.engine.run import Tally
    from convcli.signals import Medium, Signal, Sink, Source


class ClosingSink(Protocol):
    """A Sink that is told when all is written, and what it has to tell then."""

    warnings: list[str]

    def encode(self, y: Any, rows: Any) -> Any: ...
    def write(self, encoded: Any) -> None: ...
    def close(self) -> None: ...
    def discard(self) -> None: ...
    def facts(self) -> Mapping[str, object]: ...


class Opened(Protocol):
    """An input that was opened: one source, or several where a file holds several pages."""

    @property
    def warnings(self) -> list[str]: ...
    @property
    def sources(self) -> Sequence[Source[Any]]: ...
    def details(self) -> Mapping[str, object]: ...
    def check(self, plan: Plan) -> None:
        """Refuse a plan that this input cannot follow."""
        ...

    def sink(self, place: Path | BinaryIO, plans: Sequence[Plan], name: str) -> ClosingSink: ...
    def next_page(self, sink: ClosingSink) -> None: ...


class Adapter(Protocol):
    """What a medium adds to a request: how its files are opened."""

    @property
    def medium(self) -> Medium: ...
    @property
    def tail(self) -> bool:
        """Whether what rings on after the end is kept."""
        ...

    @property
    def stepwise(self) -> bool:
        """Whether each block is to leave before the next is awaited."""
        ...

    def open(
        self, path: Path | None, output: Path | None, calls: tuple[Call, ...]
    ) -> AbstractContextManager[Opened]: ...


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
        from convcli.engine.grammar import parse
        from convcli.media.outputs import plan_outputs

        request = self.request
        if request.quiet and request.verbose:
            raise RequestError("-q and -v contradict each other")
        calls = parse(request.filter)
        self._check_report()
        outputs: Sequence[Path | None] = [None] * len(request.inputs)
        if not request.dry_run:
            outputs = plan_outputs(
                request.inputs,
                request.output,
                force=request.force,
                in_place=request.in_place,
                suffix=request.suffix,
            )
        runs, code = self._filter_all(calls, list(zip(request.inputs, outputs, strict=True)))
        if request.report is not None and runs and not request.dry_run:
            self._write_report(runs, request.report)
        return code

    def _check_report(self) -> None:
        report = self.request.report
        if report is None:
            return
        from convcli.report.files import check_report

        check_report(report)
        taken = [path for path in self.request.inputs if path is not None and path.exists()]
        if report.exists() and any(report.samefile(path) for path in taken):
            raise RequestError(f"the report {report} is one of the inputs", hint="give it another name")

    def _write_report(self, runs: list[RunFacts], report: Path) -> None:
        from convcli.media.outputs import atomic
        from convcli.report.files import write_report

        write_report(runs[0] if len(self.request.inputs) == 1 else runs, report, atomic=atomic)

    def _filter_all(
        self, calls: tuple[Call, ...], places: list[tuple[Path | None, Path | None]]
    ) -> tuple[list[RunFacts], int]:
        if len(places) == 1:
            facts = self._filter(calls, *places[0], progress=self._progress(None))
            return [facts], self._tell(facts)
        runs: list[RunFacts] = []
        worst = 0
        jobs = min(self.request.jobs or os.cpu_count() or 1, len(places))
        pool = ThreadPoolExecutor(jobs)
        progress = self._progress(len(places))
        try:
            futures = [pool.submit(self._filter, calls, *place, progress=None) for place in places]
            for (source, _), future in zip(places, futures, strict=True):
                try:
                    runs.append(future.result())
                    worst = max(worst, self._tell(runs[-1]))
                except ConvcliError as error:
                    tell_error(_about(source, error))
                    worst = max(worst, error.exit_code)
                progress.advance(1)
        except BaseException:
            self.stopping.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            progress.close()
        return runs, worst

    def _progress(self, total: int | None) -> Progress:
        shown = not self.request.quiet and not self.request.dry_run and self.request.output not in (None, "-")
        return Progress(total, shown=shown)

    # ------------------------------------------------------------------------------------------ one input

    def _filter(
        self, calls: tuple[Call, ...], source: Path | None, output: Path | None, *, progress: Progress | None
    ) -> RunFacts:
        from convcli.engine.plan import reads_twice
        from convcli.media.outputs import check_input

        started = time.perf_counter()
        with ExitStack() as held:
            path = source
            if source is not None:
                check_input(source)
            elif sys.stdin is None or sys.stdin.isatty():
                raise RequestError("no input", hint="name a file, or pipe one in: ... | convcli ...")
            elif reads_twice(calls):
                path = held.enter_context(_spooled())
            opened = held.enter_context(self.adapter.open(path, output, calls))
            plans = self._plans(calls, opened)
            if self.request.dry_run:
                return self._facts(source, None, opened, plans, [], None, {}, started)
            try:
                tallies, sink = self._write(opened, plans, source, output, progress)
            except InputError as error:
                raise _about(source, error) from None
            return self._facts(source, output, opened, plans, tallies, sink, sink.facts(), started)

    def _plans(self, calls: tuple[Call, ...], opened: Opened) -> list[Plan]:
        from convcli.engine.plan import Rules, make_plan

        request: Any = self.request
        plans = []
        for each in opened.sources:
            rules = Rules.of(each.signal, edge=request.edge, align=request.align, missing=request.missing)
            plan = make_plan(calls, each.signal, rules)
            if "lookahead" in request.fail_on and _looks_ahead(plan):
                raise ConditionError(
                    f"the filter looks {_looks_ahead(plan)} ahead, and --fail-on lookahead was asked for",
                    hint="--align causal makes every step read only what has been",
                )
            opened.check(plan)
            plans.append(plan)
        return plans

    def _write(
        self, opened: Opened, plans: list[Plan], source: Path | None, output: Path | None, progress: Progress | None
    ) -> tuple[list[Tally], ClosingSink]:
        from convcli.engine.run import run
        from convcli.media.outputs import open_output

        name = "standard output" if output is None else str(output)
        with open_output(output, medium=self.adapter.medium) as place:
            sink = opened.sink(place, plans, name)
            watched = _Watched(sink, self.stopping, progress)
            tallies = []
            try:
                for number, (each, plan) in enumerate(zip(opened.sources, plans, strict=True)):
                    if number:
                        opened.next_page(sink)
                    watched.expect(plan.result.shape[0])
                    tail = plan.chain.reach[0].before if self.adapter.tail else 0
                    tallies.append(run(plan, each, watched, threads=self._threads(), tail=tail))
                sink.close()
            except BaseException:
                sink.discard()
                raise
            finally:
                watched.close()
        return tallies, sink

    def _threads(self) -> int | None:
        """Either the inputs or the blocks of one input share the cores, not both."""
        return 1 if self.adapter.stepwise or len(self.request.inputs) > 1 else self.request.threads

    def _facts(
        self,
        source: Path | None,
        output: Path | None,
        opened: Opened,
        plans: list[Plan],
        tallies: list[Tally],
        sink: ClosingSink | None,
        written: Mapping[str, object],
        started: float,
    ) -> RunFacts:
        from convcli.engine.describe import chain_facts, step_facts

        plan = plans[0]
        warnings = (*opened.warnings, *(sink.warnings if sink else ()))
        signal, result = plan.signal, plan.result
        if tallies:
            signal = replace(signal, shape=(tallies[0].read, *signal.shape[1:]))
            result = replace(result, shape=(tallies[0].written, *result.shape[1:]))
        place = OutputFacts(path=str(output or "-"), details=written, **_of_signal(result))
        return RunFacts(
            version=__version__,
            command=("convcli", *sys.argv[1:]),
            filter=plan.filter,
            edge=plan.rules.edge,
            align=plan.rules.align,
            missing=plan.rules.missing,
            inputs=(InputFacts(path=str(source or "-"), details=opened.details(), **_of_signal(signal)),),
            steps=tuple(step_facts(step) for step in plan.steps),
            chain=chain_facts(plan),
            outputs=(place,),
            losses=_losses(signal, tallies, written),
            warnings=warnings,
            seconds=None if self.request.dry_run else time.perf_counter() - started,
        )

    # ---------------------------------------------------------------------------------------------- words

    def _tell(self, facts: RunFacts) -> int:
        request = self.request
        if request.dry_run:
            from convcli.report.terminal import plan_text

            print(plan_text(facts))
        elif not request.quiet:
            for warning in facts.warnings:
                tell(warning, kind="warning")
            self._summarise(facts)
        held = _conditions(facts, request.fail_on)
        for condition in held:
            tell(condition)
        return ConditionError.exit_code if held else 0

    def _summarise(self, facts: RunFacts) -> None:
        from convcli.report.terminal import details, summary

        print(summary(facts), file=sys.stderr)
        if self.request.verbose:
            from rich.console import Console

            Console(stderr=True, highlight=False).print(details(facts))


def _of_signal(signal: Signal) -> dict[str, Any]:
    return {"medium": signal.medium, "shape": signal.shape, "channels": signal.channels, "rate": signal.rate}


def _losses(signal: Signal, tallies: list[Tally], written: Mapping[str, object]) -> LossFacts:
    if not tallies:
        return LossFacts()
    missing = sum(tally.missing for tally in tallies)
    clipped: Any = written.get("clipped", {})
    return LossFacts(
        clipped=clipped,
        missing={name: int(count) for name, count in zip(signal.channels, missing, strict=True) if count},
        edge_affected=sum(tally.edge_affected for tally in tallies),
    )


def _conditions(facts: RunFacts, fail_on: tuple[str, ...]) -> list[str]:
    """The `--fail-on` conditions that hold after the run."""
    held = []
    clipped, missing = sum(facts.losses.clipped.values()), sum(facts.losses.missing.values())
    if "clip" in fail_on and clipped:
        held.append(f"{clipped} samples were clipped, and --fail-on clip was asked for")
    if "missing" in fail_on and missing:
        held.append(f"{missing} values were missing, and --fail-on missing was asked for")
    return held


def _looks_ahead(plan: Plan) -> str:
    """How far, in words; empty where the plan reads nothing later than what it gives."""
    if any(step.whole is not None for step in plan.steps):
        return "over the whole signal"
    farthest = max(plan.chain.look_ahead(axis) for axis in range(plan.signal.axes))
    return f"{farthest} samples" if farthest > 0 else ""


def _about(source: Path | None, error: ConvcliError) -> ConvcliError:
    """The error with the name of its input, where it does not say it already."""
    name = "standard input" if source is None else str(source)
    if name not in error.message:
        error.message = f"{name}: {error.message}"
    return error


class _Watched:
    """A sink that shows progress and can be stopped between blocks."""

    def __init__(self, sink: Sink[Any], stopping: Event, progress: Progress | None) -> None:
        self.sink, self.stopping, self.progress = sink, stopping, progress

    def encode(self, y: Any, rows: Any) -> Any:
        return len(rows), self.sink.encode(y, rows)

    def write(self, encoded: Any) -> None:
        if self.stopping.is_set():
            raise Stopped(INTERRUPTED)
        count, stored = encoded
        self.sink.write(stored)
        if self.progress is not None:
            self.progress.advance(count)

    def expect(self, total: int | None) -> None:
        if self.progress is not None:
            self.progress.expect(total)

    def close(self) -> None:
        if self.progress is not None:
            self.progress.close()


class _spooled(AbstractContextManager[Path]):  # noqa: N801 -- used as a function
    """Standard input in a temporary file, for filters that must read it twice."""

    def __enter__(self) -> Path:
        import shutil
        import tempfile

        self.file = tempfile.NamedTemporaryFile(prefix="convcli-")
        try:
            shutil.copyfileobj(sys.stdin.buffer, self.file, 1 << 20)
            self.file.flush()
        except OSError as error:
            self.file.close()
            raise InputError(f"standard input cannot be kept for a second reading: {error.strerror}") from error
        return Path(self.file.name)

    def __exit__(self, *_: object) -> None:
        self.file.close()
