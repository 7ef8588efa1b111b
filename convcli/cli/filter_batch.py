"""Many inputs of a filter command: listed, filtered side by side, summarised and reported."""

from __future__ import annotations

import gc
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from convcli.batch.failures import (
    is_free_for_failures,
    listed_lines,
    listed_units,
    no_list_of_failures,
    write_failed,
)
from convcli.batch.file_state import FileState
from convcli.batch.ledger import open_ledger, read_lines
from convcli.batch.ledger_file import ledger_file
from convcli.batch.ledger_line import RunIdentity
from convcli.batch.left import UnitsLeft, earlier_runs
from convcli.batch.listing import list_inputs
from convcli.batch.records import own_ledger
from convcli.batch.request_identity import request_identity
from convcli.batch.run_units import OwnThread, ThreadRunner, UnitOrder, outcomes
from convcli.batch.units import Shard, Units
from convcli.cli import say, tell, tell_error
from convcli.cli.opening import name_input
from convcli.cli.results import refuse_place, refuse_shared_places
from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.media.outputs import is_special, output_names, refuse_existing, same_place
from convcli.media.remote import place_of
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.batch.ledger import Ledger
    from convcli.batch.listing import Listing
    from convcli.batch.part_units import InputPart, PartUnits
    from convcli.batch.run_units import Outcome, Runner
    from convcli.batch.units import Unit
    from convcli.cli.filter_command import FilterCommand
    from convcli.errors import ConvcliError
    from convcli.facts import RunFacts
    from convcli.facts.batch import UnitFailure
    from convcli.places import Place

# Most summaries that wait for an earlier one, so that they are printed in the order of the inputs.
_MOST_UNTOLD = 1000
# Most failed inputs that the last line names.
_MOST_NAMED = 5
# With fewer units the start of processes takes longer than they save.
FEWEST_FOR_PROCESSES = 500
# Files are small if the mean size of the first `_SAMPLED` of them is below this many bytes.
_SMALL = 1 << 17
_SAMPLED = 50
# New objects after which Python collects reference cycles. Each input leaves some 30 objects, 3 KB,
# in such cycles.
_MOST_UNCOLLECTED = 10_000
_RESUME_HINT = "--resume goes on with it, --force begins anew"


@dataclass(eq=False)
class FilterWork:
    """What is done with each unit of a filter command. It can be pickled.

    retries : how often a unit is tried again after an error that may pass
    alone : units are filtered one after the other, each with all threads
    """

    command: FilterCommand
    retries: int
    alone: bool

    # Whether the units are carried out in processes even if they are few.
    always_in_processes: ClassVar[bool] = False

    def run(self, unit: Unit) -> RunFacts:
        """Filter the input of a unit, and return the facts of the run."""
        self.refuse(unit)
        made = self.command.input_run(
            unit.source,
            unit.output,
            number=unit.number,
            alone=self.alone,
            replaces=self._replaces(unit),
        )
        return made.run()

    def refuse(self, unit: Unit) -> None:
        """Refuse a unit whose output exists, unless it may be replaced."""
        if unit.output is not None and not self.command.options.dry_run:
            refuse_existing(unit.output, force=self._replaces(unit))

    def _replaces(self, unit: Unit) -> bool:
        """Whether the output of a unit may replace another one."""
        options = self.command.options
        return options.force or options.in_place or unit.replaces


class PartFilterWork(FilterWork):
    """What is done with each part of one large input. It can be pickled."""

    always_in_processes: ClassVar[bool] = True

    def run(self, unit: Unit) -> RunFacts:
        """Filter a part into a file of its own."""
        self.refuse(unit)
        part = cast("InputPart", unit)
        made = self.command.input_run(part.source, part.output, number=part.number)
        return made.run_part(part.run, part.part)


class FilterBatch:
    """The units of a filter command, from the list of inputs to the exit code."""

    def __init__(self, command: FilterCommand) -> None:
        self.command = command
        self.options = command.options
        self.batch = command.options.batch
        self.shard = Shard() if self.batch.shard is None else Shard.parse(self.batch.shard)
        self.failures: list[Unit] = []
        self._errors: list[UnitFailure] = []
        self._work_type: type[FilterWork] = FilterWork
        self._ledger_file: Path | None = None
        self._failed_place: Place | None = None
        self.worst = 0

    def run(self) -> int:
        """Filter all units of the shard and return the worst exit code."""
        with ledger_file(self.batch.ledger) as file:
            self._ledger_file = file
            return self._run()

    def _run(self) -> int:
        listing = self._listing()
        units = self._units(listing)
        parted = self._parted(units)
        if parted is not None:
            units = parted
            if self._is_joined(parted):
                return self.worst
        self._check_own_files(listing)
        if not self.options.dry_run:
            self._failed_place = self._find_failed_place(units)
        self._refuse_shared_places(units)
        self._tell_warnings(listing)
        run = self._identity(units)
        self._work_type = FilterWork if parted is None else PartFilterWork
        with ExitStack() as held:
            left, ledger = self._left(units, run, held)
            self._tell_left(left)
            reported = self._carry_out(left, ledger)
        if ledger is not None and self.batch.resume:
            earlier_runs(ledger.path, units, run)  # one line for each unit
        self._tell_failures(len(left))
        if parted is not None and not self.failures:
            self._join(parted)
        if not self.options.dry_run:
            self._write_failed()
            self.command.write_reports(self._with_failures(reported))
        return self.worst

    def _listing(self) -> Listing:
        words = self.batch.words(self.command.request.inputs)
        return list_inputs(words, self.command.files)

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
        if self.batch.cluster is not None:
            self._refuse_streams(units)
        return units

    def _refuse_streams(self, units: Units) -> None:
        """Raise RequestError for standard input or output, which no worker has."""
        if any(units[at].source is None for at in range(len(units))):
            raise RequestError("standard input cannot be sent to a cluster", hint="name a file")
        written = self.command.writes and not self.options.dry_run
        if written and any(units[at].output is None for at in range(len(units))):
            raise RequestError(
                "the workers of a cluster do not write to standard output",
                hint="-o out/ writes a file for each input",
            )

    # ---------------------------------------------------------------------- one input in parts

    def _parted(self, units: Units) -> PartUnits | None:
        """The parts of the only input, if it is cut for several machines; None if it is not."""
        options = self.options
        if len(units) != 1 or options.parts == 1 or not self.command.writes:
            return None
        whole = units[0]
        to_file = isinstance(whole.output, Path) and not is_special(whole.output)
        source = whole.source
        if not to_file or not isinstance(source, Path) or options.in_place or options.dry_run:
            return None
        from convcli.batch.part_units import PartUnits
        from convcli.batch.parted_input import parts_for
        from convcli.cli.parted_run import worth_cutting

        several = self.shard.count > 1 or self.batch.cluster is not None
        if options.parts is None and not (several and worth_cutting(source)):
            return None
        # Every machine has to come to the same number.
        count = options.parts or parts_for(source.stat().st_size, self.shard.count)
        cut = self.command.input_run(source, whole.output, alone=True).cut(count)
        return None if cut is None else PartUnits(whole, *cut)

    def _is_joined(self, parted: PartUnits) -> bool:
        """Whether an earlier run has joined all parts. RequestError if the output is in the way."""
        whole = Path(parted.whole.place or "")
        kept = self.batch.resume or self.batch.skip_existing
        if kept and not self.options.force and whole.exists():
            if not self.options.quiet:
                say(f"{visible(str(whole))} was made by an earlier run")
            return True
        refuse_existing(whole, force=self.options.force)
        return False

    def _join(self, parted: PartUnits) -> None:
        """Put the parts together if this machine has made all of them."""
        from convcli.batch.part_units import join_parts

        whole = Path(parted.whole.place or "")
        told = visible(str(whole))
        if self.shard.count > 1:
            if not self.options.quiet:
                say(f"`convcli merge` joins the {len(parted)} parts of {told}, with all ledgers")
            return
        join_parts(parted.places, whole)
        if not self.options.quiet:
            say(f"{plural(len(parted), 'part')} -> {told}")

    def _check_own_files(self, listing: Listing) -> None:
        """Refuse reports, a ledger and a list of failures that cannot be written."""
        several = len(listing.inputs) > 1
        self.command.check_reports(listing.sources(), several=several)
        batch = self.batch
        if batch.failed is not None:
            refuse_place(batch.failed, "list", listing.sources(), force=True)
        if batch.ledger is not None:
            kept = batch.resume or self.options.force or self.options.dry_run
            state = FileState.of(self._ledger_file)
            force = kept or state is None or state.size == 0
            place = place_of(batch.ledger)
            refuse_place(place, "ledger", listing.sources(), force=force, hint=_RESUME_HINT)

    def _refuse_shared_places(self, units: Units) -> None:
        """Refuse a file of this command that is another one, or the output of a unit."""
        batch = self.batch
        listed = None if batch.files_from is None else place_of(batch.files_from)
        failed = self._failed_place or batch.failed
        if listed is not None and failed is not None and same_place(failed, listed):
            failed = None  # a list that is run again may be replaced by what still fails
        failed_option = "the list of failures" if batch.failed is None else "--failed"
        places = {
            "--report": self.options.report,
            "--plot": self.options.plot,
            "--files-from": listed,
            "--ledger": None if batch.ledger is None else place_of(batch.ledger),
            failed_option: failed,
        }
        outputs = () if self.options.in_place else (unit.output for unit in units)
        refuse_shared_places(places, outputs)

    def _tell_warnings(self, listing: Listing) -> None:
        if not self.options.quiet:
            for warning in listing.warnings:
                tell(warning, kind="warning")

    # ---------------------------------------------------------------------------- what was done

    def _identity(self, units: Units) -> RunIdentity:
        command = self.command
        return RunIdentity(
            units=len(units),
            listing=units.identity,
            filter=command.request.filter,
            request=request_identity(command.filters(), *command.options_of_results()),
            shards=self.shard.count,
            in_place=self.options.in_place,
        )

    def _left(
        self, units: Units, run: RunIdentity, held: ExitStack
    ) -> tuple[UnitsLeft, Ledger | None]:
        """What has to be done, and the ledger, which is open until `held` closes."""
        place = self._ledger_place()
        earlier = None
        if place is not None and self.batch.resume:
            named = self.batch.ledger is not None
            earlier = earlier_runs(place, units, run, named=named)
        left = UnitsLeft(units, self.shard, earlier, skip_existing=self.batch.skip_existing)
        if place is None or self.options.dry_run:
            return left, None
        if self.options.force and not self.batch.resume:
            place.unlink(missing_ok=True)
        began = 0 if earlier is None else earlier.began
        complete = self.batch.ledger is not None
        ledger = held.enter_context(open_ledger(place, run, began=began, complete=complete))
        for unit in left.skipped():
            ledger.note_skipped(unit)
        return left, ledger

    def _ledger_place(self) -> Path | None:
        """The ledger that was asked for, or the record that --resume finds again.

        RequestError if --resume is asked for and there is neither.
        """
        if self._ledger_file is not None:
            return self._ledger_file
        request = self.command.request
        place = None
        written = self.options.in_place or request.output not in (None, "-")
        if written and not self.options.dry_run:
            words = (request.inputs, self.batch.files_from, self.batch.recursive)
            place = own_ledger(words, request.output, self.options.in_place, self.shard)
        if place is None and self.batch.resume and not self.options.dry_run:
            raise RequestError(
                "--resume needs a record of the earlier run, and there is none",
                hint="--ledger run.jsonl keeps one",
            )
        return place

    def _tell_left(self, left: UnitsLeft) -> None:
        if self.options.quiet:
            return
        if left.done:
            say(f"{plural(left.done, 'input')} done by an earlier run")
        if left.existing:
            say(f"{plural(left.existing, 'input')} left out: the output exists")

    # --------------------------------------------------------------------------------- the work

    def _carry_out(self, left: UnitsLeft, ledger: Ledger | None) -> list[RunFacts]:
        """The facts of all runs in their order, where a report or a drawing needs them."""
        gc.set_threshold(_MOST_UNCOLLECTED)
        total = len(left)
        pace = _Pace(total)
        progress = self.command.progress(total)
        order = UnitOrder(_MOST_UNTOLD)
        needed = self.options.report is not None or self.options.plot is not None
        runner = self._runner(left, needs_facts=needed)
        ended = outcomes(runner, order.noted(left.to_do()))
        reported: list[tuple[int, RunFacts]] = []
        try:
            for outcome in order.sorted(self._noted(ended, ledger)):
                self._tell(outcome)
                if needed and outcome.facts is not None:
                    reported.append((outcome.unit.number, outcome.facts))
                progress.advance(1, pace.after_one_more())
        finally:
            progress.close()
        reported.sort(key=lambda numbered: numbered[0])
        return [facts for _, facts in reported]

    def _runner(self, left: UnitsLeft, *, needs_facts: bool) -> Runner:
        """The runner that carries the units out.

        needs_facts : the facts of all runs are kept; threads are preferred, because facts of one
            process share equal values
        """
        from convcli.running.workers import cores

        jobs = min(self.options.jobs or cores(), max(len(left), 1))
        if self.batch.cluster is not None and len(left) and not self.options.dry_run:
            return self._cluster_runner(self.batch.cluster, jobs)
        alone = jobs == 1
        work = self._work_type(self.command, self.batch.retries, alone)
        if alone:
            return OwnThread(work, self.command.stopping)
        prefers_processes = not needs_facts and _prefers_processes(left)
        if work.always_in_processes or prefers_processes:
            return self._process_runner(work, jobs)
        return ThreadRunner(work, jobs, self.command.stopping)

    def _process_runner(self, work: FilterWork, jobs: int) -> Runner:
        from convcli.batch.processes import ProcessRunner
        from convcli.running.workers import keep_freed_memory

        return ProcessRunner(work, jobs, self.command.stopping, keep_freed_memory)

    def _cluster_runner(self, address: str, processes: int) -> Runner:
        from convcli.batch.cluster import ClusterRunner

        work = self._work_type(self.command, self.batch.retries, alone=False)
        stopping = self.command.stopping
        return ClusterRunner(work, address, processes=processes, stopping=stopping)

    def _noted(self, ended: Iterable[Outcome], ledger: Ledger | None) -> Iterator[Outcome]:
        """Yield the outcomes as they come, after their failures and ledger lines are noted."""
        for outcome in ended:
            if outcome.error is not None:
                name_input(outcome.error, outcome.unit.label)
                self.failures.append(outcome.unit)
                self._note_error(outcome.unit, outcome.error)
            if ledger is not None:
                ledger.note_outcome(outcome)
            yield outcome

    def _note_error(self, unit: Unit, error: ConvcliError) -> None:
        """Keep what a report says of a failure."""
        if self.options.report is None:
            return
        from convcli.facts.batch import UnitFailure

        failure = UnitFailure(
            unit=unit.number,
            path=unit.label,
            message=error.message,
            exit_code=error.exit_code,
        )
        self._errors.append(failure)

    def _with_failures(self, reported: list[RunFacts]) -> list[RunFacts]:
        """The facts of the runs, with the inputs that failed among those of the first."""
        if not self._errors:
            return reported
        from convcli import __version__
        from convcli.facts import RunFacts

        failures = tuple(sorted(self._errors, key=lambda each: each.unit))
        if reported:
            return [replace(reported[0], failures=failures), *reported[1:]]
        request = self.command.request
        words = self.command.words
        run = RunFacts(
            version=__version__, command=words, filter=request.filter, failures=failures
        )
        return [run]

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

    # ------------------------------------------------------------------------------ what failed

    def _tell_failures(self, total: int) -> None:
        """Name the first inputs that failed."""
        self.failures.sort(key=lambda unit: unit.number)
        if not self.failures or total == 1 or self.options.quiet:
            return
        named = [visible(unit.label) for unit in self.failures[:_MOST_NAMED]]
        more = len(self.failures) - len(named)
        if more:
            named.append(f"and {more:,} more")
        inputs = plural(total, "input")
        say(f"{len(self.failures):,} of {inputs} failed: {', '.join(named)}")

    def _write_failed(self) -> None:
        """Write the list of the inputs that failed; remove an old one if none did."""
        place = self._failed_place
        if place is None:
            return
        null = write_failed(self.failures, place)
        if self.failures and not self.options.quiet:
            again = f"--files-from {place}" + (" -0" if null else "")
            say(f"{again} runs what failed once more")

    def _find_failed_place(self, units: Units) -> Place | None:
        """Where the list of failures goes; None if it was not asked for.

        RequestError if a file of somebody else is there.
        """
        batch = self.batch
        if batch.failed is not None:
            if not self.options.force and not self._is_free(batch.failed, units):
                raise no_list_of_failures(
                    batch.failed, hint="name another file, or --force replaces it"
                )
            return batch.failed
        if batch.ledger is None:
            return None
        shard = ""
        if self.shard.count > 1:  # machines may share the folder
            shard = f".{self.shard.index}-of-{self.shard.count}"
        ledger = place_of(batch.ledger)
        usual = ledger.with_name(f"failed{shard}.txt")
        if self._is_free(usual, units):
            return usual
        of_ledger = ledger.with_name(f"{ledger.stem}.failed{shard}.txt")
        if self._is_free(of_ledger, units):
            return of_ledger
        raise no_list_of_failures(of_ledger, hint="--failed FILE names another file")

    def _is_free(self, place: Place, units: Units) -> bool:
        """Whether a place is free for failures of these units, or holds those of the ledger."""
        return is_free_for_failures(place, self._known_inputs(units))

    def _known_inputs(self, units: Units) -> Iterator[str]:
        """The inputs of this run, then those of the ledger, which may be gone."""
        yield from listed_units(units)
        ledger = self._ledger_file
        if ledger is not None and ledger.exists():
            with suppress(InputError):  # no ledger, which is told when it is opened
                yield from listed_lines(read_lines(ledger))


class _Pace:
    """How many of the inputs are done, and how many a second."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = time.monotonic()

    def after_one_more(self) -> str:
        """The pace after another input, in words."""
        self._done += 1
        seconds = max(time.monotonic() - self._started, 1e-3)
        return f"{self._done:,} of {self._total:,}, {self._done / seconds:.3g} a second"


def _prefers_processes(units: UnitsLeft) -> bool:
    """Whether processes carry units out faster than threads: there are many small files.

    Threads wait for each other's Python code, which is most of the work of a small file. The first
    units stand for all. Standard input and pipes are read in this process alone.
    """
    if len(units) < FEWEST_FOR_PROCESSES:
        return False
    states = [FileState.of(unit.source) for unit in islice(units.to_do(), _SAMPLED)]
    sizes = [state.size for state in states if state is not None]
    return len(sizes) == len(states) and sum(sizes) < _SMALL * len(sizes)
