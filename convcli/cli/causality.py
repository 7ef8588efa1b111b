"""`convcli csv --causal-check`: filter prefixes of the table, and write only the verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from convcli.cli import INTERRUPTED, Stopped, print_message, say
from convcli.cli.filter_command import conditions, exit_code_of
from convcli.cli.results import write_result
from convcli.cli.table_command import TableCommand
from convcli.dataclass import dataclass
from convcli.report.as_csv import verdicts_csv
from convcli.report.terminal import causality_summary
from convcli.report.words import change_text

if TYPE_CHECKING:
    from convcli.cli.planned_input import PlannedInput
    from convcli.facts import RunFacts


@dataclass(eq=False, kw_only=True)
class CausalCheck(TableCommand):
    """A request whose inputs are checked: a line for each column and group on standard output.

    headed : whether the names of the cells have been written
    """

    instead_of_data: ClassVar[str | None] = "--causal-check"

    headed: bool = False

    def carry_out(self, planned: PlannedInput) -> RunFacts:
        """Check an open input instead of filtering it."""
        from convcli.checking.causality import check_causality
        from convcli.checking.look_ahead import hidden_look_ahead
        from convcli.media.scratch import scratch
        from convcli.media.tables.group_names import group_name

        progress = planned.run.progress

        def show_progress(done: int, total: int) -> None:
            if self.stopping.is_set():
                raise Stopped(INTERRUPTED)
            if not done:
                progress.expect(total)
            progress.advance(done - progress.done)

        (plan,), (source,) = planned.plans, planned.opened.sources
        causality, counts = check_causality(
            plan,
            source,
            lambda: scratch()[0],
            group_name=group_name,
            threads=planned.threads,
            progress=show_progress,
        )
        progress.close()
        facts = planned.facts()
        warning = hidden_look_ahead(plan, causality)
        return replace(
            facts,
            inputs=(replace(facts.inputs[0], shape=(counts.read,)),),
            outputs=(),
            losses=counts.losses,
            causality=causality,
            warnings=(*facts.warnings, *([warning] if warning else [])),
        )

    @property
    def shows_progress(self) -> bool:
        """Whether progress is shown: the data are a few lines at the end."""
        return not self.options.quiet and not self.options.dry_run

    def report_run(self, facts: RunFacts) -> int:
        """Write the verdicts of an input, and return its exit code."""
        if facts.causality is None:  # --dry-run
            return super().report_run(facts)
        path = facts.inputs[0].path
        write_result(verdicts_csv(path, facts.causality, head=not self.headed))
        self.headed = True
        if not self.options.quiet:
            for warning in facts.warnings:
                print_message(warning, kind="warning")
            say(causality_summary(facts, facts.causality))
            self._show_details(facts)
        held = conditions(facts, self.options)
        changed = facts.causality.changed
        if changed:
            first = min(changed, key=lambda verdict: verdict.row or 0)
            held.append(f"{path}: the filter looks into the future: {change_text(first)}")
        return exit_code_of(held)
