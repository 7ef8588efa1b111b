"""`convcli csv --causal-check`: filter prefixes of the table, and write only the verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from convcli.cli import INTERRUPTED, Stopped, say, tell
from convcli.cli.filter_command import conditions, exit_code_of
from convcli.cli.input_run import InputRun
from convcli.cli.results import write_result
from convcli.cli.table_command import TableCommand
from convcli.dataclass import dataclass
from convcli.report.as_csv import verdicts_csv
from convcli.report.terminal import causality_summary
from convcli.report.words import change_text

if TYPE_CHECKING:
    from convcli.facts import RunFacts
    from convcli.media.files import OpenedFile
    from convcli.places import Place
    from convcli.planning.plan import Plan


@dataclass(frozen=True, kw_only=True)
class InputCheck(InputRun):
    """One input that is checked instead of filtered."""

    def _carry_out(self, opened: OpenedFile, plans: list[Plan]) -> RunFacts:
        from convcli.checking.causality import check_causality
        from convcli.checking.look_ahead import hidden_look_ahead
        from convcli.media.scratch import scratch
        from convcli.media.tables.delimited import group_name

        (plan,), (source,) = plans, opened.sources
        causality, counts = check_causality(
            plan,
            source,
            lambda: scratch()[0],
            group_name=group_name,
            threads=self._threads(),
            progress=self._show_progress,
        )
        if self.progress is not None:
            self.progress.close()
        facts = self._facts(opened, plans, None)
        warning = hidden_look_ahead(plan, causality)
        return replace(
            facts,
            inputs=(replace(facts.inputs[0], shape=(counts.read,)),),
            outputs=(),
            losses=counts.losses,
            causality=causality,
            warnings=(*facts.warnings, *([warning] if warning else [])),
        )

    def _show_progress(self, done: int, total: int) -> None:
        if self.command.stopping.is_set():
            raise Stopped(INTERRUPTED)
        if self.progress is not None:
            if not done:
                self.progress.expect(total)
            self.progress.advance(done - self.progress.done)


@dataclass(eq=False, kw_only=True)
class CausalCheck(TableCommand):
    """A request whose inputs are checked: a line for each column and group on standard output.

    headed : whether the names of the cells have been written
    """

    instead_of_data: ClassVar[str | None] = "--causal-check"

    headed: bool = False

    def input_run(self, *places: Place | None, **options: Any) -> InputRun:
        """Return the check of an input, in place of its run."""
        made = super().input_run(*places, **options)
        return InputCheck(**vars(made))

    @property
    def shows_progress(self) -> bool:
        """Whether progress is shown: the data are a few lines at the end."""
        return not self.options.quiet and not self.options.dry_run

    def tell_run(self, facts: RunFacts) -> int:
        """Write the verdicts of an input, and return its exit code."""
        if facts.causality is None:  # --dry-run
            return super().tell_run(facts)
        path = facts.inputs[0].path
        write_result(verdicts_csv(path, facts.causality, head=not self.headed))
        self.headed = True
        if not self.options.quiet:
            for warning in facts.warnings:
                tell(warning, kind="warning")
            say(causality_summary(facts, facts.causality))
            self._show_details(facts)
        held = conditions(facts, self.options)
        changed = facts.causality.changed
        if changed:
            first = min(changed, key=lambda verdict: verdict.row or 0)
            held.append(f"{path}: the filter looks into the future: {change_text(first)}")
        return exit_code_of(held)
