"""`convcli csv --causal-check`: the filter on prefixes and on the whole, and nothing written but the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from convcli.cli import INTERRUPTED, Stopped, say, tell
from convcli.cli.batch import Batch, conditions
from convcli.cli.hits import as_cells, put
from convcli.cli.progress import Progress
from convcli.cli.single import Single
from convcli.errors import ConditionError, RequestError
from convcli.facts.causality import CausalityFacts, PrefixFacts
from convcli.report.words import causality, change, visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from convcli.checking.causality import Checked, Verdict
    from convcli.cli.single import Opened
    from convcli.facts import RunFacts
    from convcli.planning.grammar import Call
    from convcli.planning.plan import Plan

COLUMNS = (
    "file",
    "group",
    "column",
    "verdict",
    "row",
    "whole",
    "prefix",
    "known",
    "difference",
    "largest",
)


@dataclass(frozen=True, kw_only=True)
class SingleCheck(Single):
    """One input, checked instead of filtered."""

    def _carry_out(self, opened: Opened, plans: list[Plan]) -> RunFacts:
        from convcli.checking.causality import check
        from convcli.media.outputs import scratch

        (plan,), (source,) = plans, opened.sources
        progress = self.progress
        checked = check(
            plan,
            source,
            lambda: scratch()[0],
            threads=self._threads(),
            advance=self._advance,
            expect=lambda total: progress.expect(total) if progress is not None else None,
        )
        if progress is not None:
            progress.close()
        facts = self._facts(opened, plans, None)
        (given,) = facts.inputs
        warning = _not_shown(plan, checked)
        return replace(
            facts,
            inputs=(replace(given, shape=(checked.counts.read,)),),
            outputs=(),
            losses=checked.counts.losses,
            causality=CausalityFacts(
                prefixes=checked.prefixes,
                exact=checked.exact,
                columns=tuple(_facts_of(each) for each in checked.verdicts),
            ),
            warnings=(*facts.warnings, *([warning] if warning else [])),
        )

    def _advance(self, count: int) -> None:
        if self.stopping.is_set():
            raise Stopped(INTERRUPTED)
        if self.progress is not None:
            self.progress.advance(count)


def _facts_of(verdict: Verdict) -> PrefixFacts:
    from convcli.media.tables.delimited import group_name

    group = group_name(verdict.group)
    if verdict.row is None:
        return PrefixFacts(column=verdict.channel, group=group)
    return PrefixFacts(
        column=verdict.channel,
        group=group,
        row=verdict.row + 1,
        whole=verdict.whole,
        prefix=verdict.prefix,
        known=verdict.known,
        difference=verdict.difference,
        largest=verdict.largest,
    )


def _not_shown(plan: Plan, checked: Checked) -> str:
    """What the data do not show and the filter says of itself."""
    from convcli.cli.single import looks_ahead

    ahead = looks_ahead(plan)
    if not ahead or any(verdict.row is not None for verdict in checked.verdicts):
        return ""
    return f"no row of these data changed, but {ahead[0]}"


@dataclass
class CausalCheck(Batch):
    """A request whose inputs are checked: the verdicts to standard output, a line for each column and group."""

    headed: bool = field(default=False)

    def _places(self) -> Sequence[Path | None]:
        request = self.request
        if request.output is not None or request.in_place:
            raise RequestError("--causal-check writes no data", hint="leave out -o and --in-place")
        return [None] * len(request.inputs)

    def _single(
        self,
        calls: tuple[Call, ...],
        place: tuple[Path | None, Path | None],
        progress: Progress | None,
    ) -> Single:
        made = super()._single(calls, place, progress)
        return SingleCheck(**vars(made))

    def _progress(self, total: int | None) -> Progress:
        return Progress(total, shown=not self.request.quiet and not self.request.dry_run)

    def _tell(self, facts: RunFacts) -> int:
        found = facts.causality
        if found is None:  # --dry-run
            return super()._tell(facts)
        path = facts.inputs[0].path
        lines = [] if self.headed else [COLUMNS]
        self.headed = True
        put(as_cells([*lines, *(_line(path, each) for each in found.columns)]))
        request = self.request
        if not request.quiet:
            for warning in facts.warnings:
                tell(warning, kind="warning")
            rows, seconds = facts.inputs[0].shape[0] or 0, facts.seconds or 0.0
            say(
                f"{visible(path)}: {visible(facts.filter)}: {causality(found)} of {rows:,} rows, in {seconds:.2g} s"
            )
            self._show_details(facts)
        held = conditions(facts, request.fail_on)
        if found.changed:
            first = min(found.changed, key=lambda each: each.row or 0)
            held.append(f"{path}: the filter looks into the future: {change(first)}")
        for condition in held:
            tell(condition)
        return ConditionError.exit_code if held else 0


def _line(path: str, facts: PrefixFacts) -> tuple[object, ...]:
    if facts.row is None:
        return (path, facts.group, facts.column, "ok", *[""] * 6)
    numbers = (facts.row, facts.whole, facts.prefix, facts.known, facts.difference, facts.largest)
    return (path, facts.group, facts.column, "changed", *("" if n is None else n for n in numbers))
