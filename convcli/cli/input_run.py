"""One input of a filter command: opened, planned, and given to the command to be filtered."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from convcli.cli.opening import read_input
from convcli.cli.options import Condition
from convcli.cli.planned_input import PlannedInput
from convcli.dataclass import dataclass
from convcli.errors import ConditionError, ConvcliError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.batch.parts import PartedRun, PartOfRun
    from convcli.cli.filter_command import FilterCommand
    from convcli.cli.opening import Input
    from convcli.cli.progress import Progress
    from convcli.facts import RunFacts
    from convcli.media.files import OpenedFile
    from convcli.places import Place
    from convcli.planning.plan import Plan
    from convcli.previews.preview import PreviewSize

# Whether a filter makes more rows is tried with this many.
MANY_ROWS = 1 << 20


@dataclass(frozen=True, eq=False, kw_only=True)
class InputRun:
    """The run of a filter command over one input.

    source : the input, None for standard input
    output : where its result goes, None for standard output
    alone : no other input is filtered at the same time
    replaces : an object that another program has made meanwhile may be replaced
    aside : the complete output gets this name, and `output` stays as it was
    progress : where the work done is counted; several inputs that run at once count elsewhere
    preview_size : how much of the signals is collected to be drawn; None for nothing
    """

    command: FilterCommand
    source: Place | None
    output: Place | None
    alone: bool
    replaces: bool
    progress: Progress
    preview_size: PreviewSize | None = None
    aside: Path | None = None

    @property
    def written(self) -> Place | None:
        """Where the complete output is; None for standard output."""
        return self.aside or self.output

    def run(self) -> RunFacts:
        """Filter the input and return the facts of the run."""
        started = time.perf_counter()
        with ExitStack() as held:
            twice = self._is_pipe and self.command.reads_twice()
            given = read_input(self.source, held, twice=twice, example="convcli ...")
            planned = self._planned(given, held)
            if self.command.options.dry_run:
                return planned.facts()
            try:
                facts = self.command.carry_out(planned)
            except InputError as error:
                raise given.explain(error) from None
        warnings = tuple(given.message(text) for text in facts.warnings)
        return replace(facts, warnings=warnings, seconds=time.perf_counter() - started)

    @property
    def _is_pipe(self) -> bool:
        """Whether the input is standard input or a named pipe, which can be read only once."""
        from convcli.media.replacing import is_special
        from convcli.places import local_path

        if self.source is None:
            return True
        local = local_path(self.source)
        return local is not None and is_special(local)

    def cut(self, count: int) -> tuple[PartedRun, list[PartOfRun]] | None:
        """Cut the input into at most `count` parts for others; None if it is filtered as one."""
        from convcli.cli.parted_run import cut_for_others, division_or_note
        from convcli.media.scratch import scratch

        with ExitStack() as held:
            given = read_input(self.source, held, example="convcli ...")
            planned = self._planned(given, held)
            file, place = scratch()
            held.enter_context(file)
            sink = planned.sink(place)
            division = division_or_note(planned, place, sink)
            sink.discard()
            if division is None:
                return None
            return cut_for_others(planned, division, count)

    def run_part(self, run: PartedRun, part: PartOfRun) -> RunFacts:
        """Filter one part of the input into a file of its own and return the facts of the run."""
        from convcli.batch.parts import filter_part
        from convcli.cli.planned_input import WrittenOutput
        from convcli.media.outputs import open_output

        started = time.perf_counter()
        with run.opened() as open_input:
            with open_output(self.output, medium=self.command.files.medium) as place:
                done = filter_part(part, cast("Path", place), open_input, apart=True)
            open_input.division.note(done.noted)
            planned = PlannedInput(
                run=self, opened=open_input.opened, calls=run.calls, plans=[open_input.plan]
            )
            facts = planned.facts(
                WrittenOutput(details=done.facts, warnings=done.warnings, counts=[done.counts])
            )
        return replace(facts, seconds=time.perf_counter() - started)

    def _planned(self, given: Input, held: ExitStack) -> PlannedInput:
        """The input, open until `held` closes, with a plan for each page.

        RequestError or ConditionError if a plan cannot be carried out.
        """
        command = self.command
        opened = held.enter_context(given.opened(command.files, self.output))
        held.enter_context(_with_doubts(opened))
        calls = command.planned_calls(opened)
        plans = []
        for source in opened.sources:
            plan = command.plan_of(calls, source.signal)
            if command.options.fails_on(Condition.LOOKAHEAD):
                _refuse_look_ahead(plan)
            _refuse_new_rows(plan)
            opened.check(plan.result, keeps_shape=plan.keeps_shape)
            opened.check_times(in_time=plan.chain.times.in_time, bins=plan.chain.times.bins)
            if not command.tail:
                check_is_left(plan, plan.signal.shape[0], plan.result.shape[0])
            plans.append(plan)
        return PlannedInput(run=self, opened=opened, calls=calls, plans=plans)


@contextmanager
def _with_doubts(opened: OpenedFile) -> Iterator[None]:
    """Add to errors what was assumed in reading the input, for that may be their cause."""
    try:
        yield
    except ConvcliError as error:
        hints = [*filter(None, [error.hint]), *opened.doubts]
        hint = "; ".join(hints) or None
        raise error.reworded(error.message, hint) from error.__cause__


def check_is_left(plan: Plan, read: int | None, written: int | None) -> None:
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


def _refuse_look_ahead(plan: Plan) -> None:
    from convcli.checking.look_ahead import find_look_ahead

    ahead = find_look_ahead(plan)
    if ahead is not None:
        raise ConditionError(
            f"{ahead.text}, and --fail-on lookahead was asked for", hint=ahead.hint
        )
