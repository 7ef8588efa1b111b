"""Many inputs of a filter command: listed, filtered side by side, summarised and reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convcli.batch.listing import InputWords, list_inputs
from convcli.batch.run_units import OwnThread, ThreadRunner, UnitOrder, outcomes
from convcli.batch.units import Shard, Units
from convcli.cli import say, tell, tell_error
from convcli.cli.opening import name_input
from convcli.media.outputs import output_names, refuse_existing
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.batch.listing import Listing
    from convcli.batch.run_units import Outcome, Runner
    from convcli.batch.units import Unit
    from convcli.cli.filter_command import FilterCommand
    from convcli.errors import ConvcliError
    from convcli.facts import RunFacts

# So many summaries wait for an earlier one, so that they are told in the order of the inputs.
_MOST_UNTOLD = 1000
# So many failures are named at the end.
_MOST_NAMED = 5


@dataclass(eq=False)
class FilterWork:
    """What is done with each unit of a filter command. It can be pickled.

    retries : how often a unit is tried again after an error that may pass
    alone : units are filtered one after the other, each with all threads
    """

    command: FilterCommand
    retries: int
    alone: bool

    def run(self, unit: Unit) -> RunFacts:
        """Filter the input of a unit."""
        command = self.command
        options = command.options
        output = unit.output
        if output is not None and not (options.in_place or options.dry_run):
            refuse_existing(output, force=options.force)
        made = command.input_run(unit.source, output, number=unit.number, alone=self.alone)
        return made.run()


class FilterBatch:
    """The units of a filter command, from the list of inputs to the exit code."""

    def __init__(self, command: FilterCommand) -> None:
        self.command = command
        self.options = command.options
        self.batch = command.options.batch
        self.shard = Shard() if self.batch.shard is None else Shard.parse(self.batch.shard)
        self.failures: list[tuple[int, str]] = []
        self.worst = 0

    def run(self) -> int:
        """Filter all units of the shard and return the worst exit code."""
        listing = self._listing()
        units = self._units(listing)
        self.command.check_reports([listed.source for listed in listing.inputs])
        if not self.options.quiet:
            for warning in listing.warnings:
                tell(warning, kind="warning")
        total = len(self.shard.positions(len(units)))
        reported = self._carry_out(units.of_shard(self.shard), total)
        self._tell_failures(total)
        if not self.options.dry_run:
            self.command.write_reports(reported)
        return self.worst

    def _listing(self) -> Listing:
        batch = self.batch
        words = self.command.request.inputs
        if not words:
            words = [] if batch.files_from is not None else ["-"]
        asked = InputWords(
            words=words,
            files_from=batch.files_from,
            null=batch.null,
            recursive=batch.recursive,
        )
        return list_inputs(asked, self.command.files)

    def _units(self, listing: Listing) -> Units:
        """The units, after every refusal that is possible before the work begins."""
        command = self.command
        output = command.request.output
        # The plan of several inputs can be printed before it is known where they are written.
        unplaced = self.options.dry_run and output is None
        if self.options.in_place or unplaced or not command.writes:
            units = Units(listing.inputs, None, in_place=self.options.in_place)
        else:
            count = len(listing.inputs)
            names = output_names(output, count, several=True, suffix=command.suffix)
            units = Units(listing.inputs, names)
        units.check()
        return units

    def _carry_out(self, units: Iterable[Unit], total: int) -> list[RunFacts]:
        """The facts of all runs in their order, where a report or a drawing needs them."""
        command = self.command
        progress = command.progress(total)
        order = UnitOrder(_MOST_UNTOLD)
        ended = outcomes(self._runner(total), order.noted(units))
        needed = self.options.report is not None or self.options.plot is not None
        reported: list[tuple[int, RunFacts]] = []
        try:
            for outcome in order.sorted(self._counted(ended)):
                self._tell(outcome)
                if needed and outcome.facts is not None:
                    reported.append((outcome.unit.number, outcome.facts))
                progress.advance(1)
        finally:
            progress.close()
        reported.sort(key=lambda numbered: numbered[0])
        return [facts for _, facts in reported]

    def _runner(self, total: int) -> Runner:
        from convcli.running.workers import cores

        jobs = min(self.options.jobs or cores(), max(total, 1))
        alone = jobs == 1
        work = FilterWork(self.command, self.batch.retries, alone)
        if alone:
            return OwnThread(work, self.command.stopping)
        return ThreadRunner(work, jobs, self.command.stopping)

    def _counted(self, ended: Iterable[Outcome]) -> Iterator[Outcome]:
        """The outcomes as they come, after they were taken note of."""
        for outcome in ended:
            if outcome.error is not None:
                name_input(outcome.error, outcome.unit.label)
                self.failures.append((outcome.unit.number, outcome.unit.label))
            yield outcome

    def _tell(self, outcome: Outcome) -> None:
        """Print the summary or the error of a unit."""
        if outcome.error is not None:
            self._tell_error(outcome.error)
            self.worst = max(self.worst, outcome.error.exit_code)
        elif outcome.facts is not None:
            self.worst = max(self.worst, self.command.tell_run(outcome.facts))

    def _tell_error(self, error: ConvcliError) -> None:
        tell_error(error)
        if self.options.debug and error.__cause__ is not None:
            import traceback

            say("".join(traceback.format_exception(error.__cause__)))

    def _tell_failures(self, total: int) -> None:
        """Name the first inputs that failed."""
        if not self.failures or total == 1 or self.options.quiet:
            return
        self.failures.sort()
        named = [name for _, name in self.failures[:_MOST_NAMED]]
        more = len(self.failures) - len(named)
        if more:
            named.append(f"and {more:,} more")
        inputs = plural(total, "input")
        say(f"{len(self.failures):,} of {inputs} failed: {', '.join(named)}")
