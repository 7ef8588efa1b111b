"""One input on its way: opened, planned, filtered, written, and what there is to say of it."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from convcli import __version__
from convcli.cli import INTERRUPTED, Stopped
from convcli.errors import ConditionError, ConvcliError, InputError, RequestError
from convcli.facts import InputFacts, LossFacts, OutputFacts, RunFacts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from threading import Event

    from convcli.cli.options import Request
    from convcli.cli.progress import Progress
    from convcli.planning.grammar import Call
    from convcli.planning.plan import Plan
    from convcli.running.run import RunCounts
    from convcli.signals import Medium, Sink, Source

# Of mallopt: from how many bytes on memory is mapped by itself, and how much that is free is kept.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1


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
    def command(self) -> str:
        """The word of the command line for this medium."""
        ...

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


@dataclass(frozen=True, kw_only=True)
class Single:
    """One input of a request, and where its result goes."""

    request: Request
    adapter: Adapter
    calls: tuple[Call, ...]
    source: Path | None
    output: Path | None
    stopping: Event
    progress: Progress | None

    def run(self) -> RunFacts:
        """Filter it; the facts of the run."""
        from convcli.media.outputs import check_input
        from convcli.planning.plan import reads_twice

        started = time.perf_counter()
        with ExitStack() as held:
            path = self.source
            if path is not None:
                check_input(path)
            elif sys.stdin is None or sys.stdin.isatty():
                raise RequestError(
                    "no input", hint="name a file, or pipe one in: ... | convcli ..."
                )
            elif reads_twice(self.calls):
                path = held.enter_context(spooled(sys.stdin.buffer, shown(None)))
                held.enter_context(called(shown(None), path))
            opened = held.enter_context(self.adapter.open(path, self.output, self.calls))
            plans = self._plans(opened)
            if self.request.dry_run:
                return self._facts(opened, plans, None)
            try:
                facts = self._carry_out(opened, plans)
            except InputError as error:
                raise about(self.source, error, read=path) from None
        warnings = tuple(text.replace(str(path), shown(self.source)) for text in facts.warnings)
        return replace(facts, warnings=warnings, seconds=time.perf_counter() - started)

    def _plans(self, opened: Opened) -> list[Plan]:
        from convcli.checking.look_ahead import find_look_ahead
        from convcli.planning.plan import make_plan, rules_for

        request: Any = self.request
        plans = []
        for each in opened.sources:
            rules = rules_for(
                each.signal,
                self.calls,
                edge=request.edge,
                align=request.align,
                missing=request.missing,
            )
            plan = make_plan(self.calls, each.signal, rules)
            ahead = find_look_ahead(plan)
            if "lookahead" in request.fail_on and ahead:
                raise ConditionError(
                    f"{ahead.text}, and --fail-on lookahead was asked for", hint=ahead.hint
                )
            opened.check(plan)
            plans.append(plan)
        return plans

    def _carry_out(self, opened: Opened, plans: list[Plan]) -> RunFacts:
        return self._facts(opened, plans, self._write(opened, plans))

    def _write(self, opened: Opened, plans: list[Plan]) -> _Written:
        from convcli.media.outputs import open_output
        from convcli.running.run import run

        keep_freed_memory()
        name = "standard output" if self.output is None else str(self.output)
        with open_output(self.output, medium=self.adapter.medium) as place:
            sink = opened.sink(place, plans, name)
            watched = _Watched(sink, self.stopping, self.progress)
            counts = []
            try:
                for number, (each, plan) in enumerate(zip(opened.sources, plans, strict=True)):
                    if number:
                        opened.next_page(sink)
                    watched.expect(plan.result.shape[0])
                    tail = plan.chain.reach[0].before if self.adapter.tail else 0
                    counts.append(run(plan, each, watched, threads=self._threads(), tail=tail))
                sink.close()
            except BaseException:
                sink.discard()
                raise
            finally:
                watched.close()
        return _Written(sink, counts)

    def _threads(self) -> int | None:
        """Either the inputs or the blocks of one input share the cores, not both."""
        if self.adapter.stepwise:
            return 1
        return self.request.threads or (
            1 if len(self.request.inputs) > 1 and self.request.jobs != 1 else None
        )

    def _facts(self, opened: Opened, plans: list[Plan], written: _Written | None) -> RunFacts:
        plan = plans[0]
        signal, result = plan.signal, plan.result
        details: Mapping[str, object] = {}
        if written is not None:
            details = written.sink.facts()
            signal = replace(signal, shape=(written.counts[0].read, *signal.shape[1:]))
            result = replace(result, shape=(written.counts[0].written, *result.shape[1:]))
        return RunFacts(
            version=__version__,
            command=("convcli", *sys.argv[1:]),
            filter=plan.filter,
            edge=plan.rules.edge,
            align=plan.rules.align,
            missing=plan.rules.missing,
            inputs=(InputFacts.of(str(self.source or "-"), signal, details=opened.details()),),
            outputs=(OutputFacts.of(str(self.output or "-"), result, details=details),),
            losses=LossFacts() if written is None else written.losses(details),
            warnings=(*opened.warnings, *(written.sink.warnings if written is not None else ())),
            **(self._designed(plan) if self.request.tells else {}),
        )

    def _designed(self, plan: Plan) -> dict[str, Any]:
        """The facts of the steps, by themselves and as one."""
        from convcli.planning.describe import chain_facts, step_facts, with_response

        steps = tuple(step_facts(step) for step in plan.steps)
        if self.request.report is not None:
            steps = tuple(
                with_response(facts, step) for facts, step in zip(steps, plan.steps, strict=True)
            )
        return {"steps": steps, "chain": chain_facts(plan)}


@cache
def keep_freed_memory() -> None:
    """Blocks are of one size: what one lets go the next takes, not new pages from the system (a sixth of the time).

    mallopt(3) of glibc; where there is none, memory comes as it comes.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 25)
        mallopt(_TRIM_THRESHOLD, 1 << 27)


@dataclass(frozen=True)
class _Written:
    """What was written: the sink, closed, and what was counted for each page."""

    sink: ClosingSink
    counts: list[RunCounts]

    def losses(self, details: Mapping[str, Any]) -> LossFacts:
        """Return the losses of all pages, with the samples that the sink has clipped."""
        losses = sum((counts.losses for counts in self.counts), LossFacts())
        return replace(losses, clipped=details.get("clipped", {}))


def shown(source: Path | None) -> str:
    """What an input is called in words."""
    return "standard input" if source is None else str(source)


def about(source: Path | None, error: ConvcliError, *, read: Path | None = None) -> ConvcliError:
    """The error with the name of its input, where it names neither that nor the file that was `read` in its place."""
    name = shown(source)
    if name not in error.message and str(read) not in error.message:
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


@contextmanager
def called(name: str, path: Path) -> Iterator[None]:
    """Errors that name `path`, which the user has never seen, say `name` instead."""
    try:
        yield
    except ConvcliError as error:
        error.message = error.message.replace(str(path), name)
        raise


@contextmanager
def spooled(stream: BinaryIO, name: str) -> Iterator[Path]:
    """What comes through a pipe in a temporary file, for those who must read it twice."""
    import shutil

    from convcli.media.outputs import scratch

    file, path = scratch()
    with file:
        try:
            shutil.copyfileobj(stream, file, 1 << 20)
            file.flush()
        except OSError as error:
            raise InputError(
                f"{name} cannot be kept for a second reading: {error.strerror}"
            ) from error
        yield path
