"""Many inputs of a command: listed, carried out side by side, noted in a ledger, and reported."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.batch.earlier_runs import UnitsLeft, earlier_runs
from convcli.batch.file_state import FileState
from convcli.batch.ledger import ledger_file, open_ledger
from convcli.batch.listing import list_inputs
from convcli.batch.results_aside import results_aside
from convcli.batch.run_units import OwnThread, ThreadRunner, UnitOrder, outcomes
from convcli.batch.units import Shard, Units
from convcli.cli import closed_pipe, print_error, print_message, say
from convcli.cli.failed_inputs import FailedInputs
from convcli.cli.opening import name_input
from convcli.cli.progress import Progress, RetryNotes
from convcli.cli.results import refuse_place, refuse_shared_places
from convcli.dataclass import dataclass
from convcli.errors import OutputError, RequestError
from convcli.media.refusals import same_place
from convcli.places import place_of
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from threading import Event

    from convcli.batch.earlier_runs import EarlierRuns
    from convcli.batch.ledger import Ledger
    from convcli.batch.ledger_line import RunIdentity
    from convcli.batch.listing import Listing
    from convcli.batch.results_aside import ResultsAside
    from convcli.batch.run_units import Outcome, Runner, Work
    from convcli.batch.units import Unit
    from convcli.cli.batch_options import WorkOptions
    from convcli.errors import ConvcliError
    from convcli.facts import RunFacts
    from convcli.media.files import Files
    from convcli.places import Place

# Most summaries that wait for an earlier one, so that they are printed in the order of the inputs.
_MOST_UNTOLD = 1000
# With fewer units the start of processes takes longer than they save.
FEWEST_FOR_PROCESSES = 500
# Files are small if the mean size of the first `_SAMPLED` of them is below this many bytes.
_SMALL = 1 << 17
_SAMPLED = 50
# New objects after which Python collects reference cycles. Each input leaves some 30 objects, 3 KB,
# in such cycles.
_MOST_UNCOLLECTED = 10_000
# Bytes for each unit beyond which a record is rewritten: some five lines.
_LONG_RECORD = 2048
_RESUME_HINT = "--resume goes on with it, --force begins anew"


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchRequest:
    """What a user asks of every command over many inputs.

    inputs : words that stand for inputs; None if there are none
    files : how the inputs are opened
    batch : where further inputs come from, and where the work is done and noted
    jobs : how many inputs are worked on at once; None for as many as there are cores
    force : files of an earlier run are replaced
    dry_run : nothing is written
    shows_progress : a bar is shown on a terminal
    reports : a report or a drawing is made of all inputs
    """

    inputs: list[str] | None
    files: Files
    batch: WorkOptions
    jobs: int | None
    force: bool
    dry_run: bool = False
    quiet: bool = False
    debug: bool = False
    shows_progress: bool = True
    reports: bool = False


class BatchRun(ABC):
    """The units of a command, from the list of inputs to the exit code.

    stopping : set to end the units that are under way
    """

    def __init__(self, request: BatchRequest, stopping: Event) -> None:
        self.request = request
        self.batch = request.batch
        self.stopping = stopping
        self._retry_notes = RetryNotes(quiet=request.quiet)
        self.shard = Shard() if self.batch.shard is None else Shard.parse(self.batch.shard)
        self.failed = FailedInputs(request, self.shard)
        self._ledger_file: Path | None = None
        self.worst = 0
        # Folders that were left out because they cannot be read.
        self._unreadable: tuple[str, ...] = ()

    # ------------------------------------------------------------------ what each command defines

    @property
    def _always_in_processes(self) -> bool:
        """Whether units are carried out in processes even if there are few."""
        return False

    @property
    def _skips_existing(self) -> bool:
        """Whether units whose output exists are left out."""
        return False

    @abstractmethod
    def _units(self, listing: Listing) -> Units:
        """The units, after every refusal that is possible before the work begins."""

    @abstractmethod
    def _identity(self, units: Units) -> RunIdentity:
        """What the lines of the ledger have in common."""

    @abstractmethod
    def _work(self, *, alone: bool) -> Work:
        """What is done with each unit; alone : one after the other, each with all threads."""

    @abstractmethod
    def _check_reports(self, listing: Listing) -> None:
        """Refuse reports and other results that cannot be written."""

    @abstractmethod
    def _places(self) -> dict[str, Place | None]:
        """The files that the command writes besides the outputs of units, by their options."""

    @abstractmethod
    def _outputs(self, units: Units) -> Iterable[Place | None]:
        """The places that -o stands for."""

    @abstractmethod
    def _take(self, number: int, facts: RunFacts) -> int:
        """Report and keep what a unit has returned, and return its exit code."""

    @abstractmethod
    def _finish(self) -> None:
        """Write what is made of all units."""

    def _own_record(self) -> Path | None:
        """The ledger of a command that names none; None if it keeps none."""
        return None

    def _is_complete(self, earlier: EarlierRuns | None) -> bool:
        """Whether nothing is left to do, which was reported."""
        return False

    def _take_earlier(  # noqa: B027 -- most commands keep nothing
        self, done: Iterable[Unit], earlier: EarlierRuns
    ) -> None:
        """Keep the results of units that an earlier run has carried out."""

    # ------------------------------------------------------------------------------------ the run

    def run(self) -> int:
        """Carry out all units of the shard and return the worst exit code."""
        with ledger_file(self.batch.ledger) as file:
            self._ledger_file = file
            return self._run()

    def _run(self) -> int:
        units = self._checked_units()
        run = self._identity(units)
        earlier = self._earlier(units, run)
        if self._is_complete(earlier):
            return self.worst
        self._shorten_record(units, run)
        with ExitStack() as held:
            skip = self._skips_existing
            left = UnitsLeft(units, self.shard, earlier, skip_existing=skip)
            if earlier is not None:
                self._take_earlier(left.done_units(), earlier)
            ledger = self._open_ledger(left, earlier, run, held)
            self._report_left(left, units)
            self._carry_out(left, ledger)
        if ledger is not None and self.batch.resume:
            # One line for each unit.
            earlier_runs(ledger.path, units, run, unreadable=self._unreadable)
        if self._unreadable:
            self._say(f"{plural(len(self._unreadable), 'folder')} could not be read, see above")
        self.failed.name_first(units, len(left))
        if not self.request.dry_run:
            self.failed.write_list(units)
        self._finish()
        return self.worst

    def _checked_units(self) -> Units:
        """The units, after all refusals that need no work."""
        words = self.batch.words(self.request.inputs)
        listing = list_inputs(words, self.request.files)
        units = self._units(listing)
        self._check_own_files(listing)
        if not self.request.dry_run:
            self.failed.find_place(units, self._ledger_file)
        self._refuse_shared_places(units)
        self._print_warnings(listing)
        self._note_unreadable(listing)
        return units

    def _refuse_standard_input(self, units: Units) -> None:
        """Raise RequestError for standard input where a cluster works, which no worker has."""
        if self.batch.cluster is None:
            return
        if any(units[at].source is None for at in range(len(units))):
            raise RequestError("standard input cannot be sent to a cluster", hint="name a file")

    def _check_own_files(self, listing: Listing) -> None:
        """Refuse reports, a ledger and a list of failures that cannot be written."""
        self._check_reports(listing)
        batch = self.batch
        if batch.failed is not None:
            refuse_place(batch.failed, "list", listing.sources(), force=True)
        if batch.ledger is not None:
            kept = batch.resume or self.request.force or self.request.dry_run
            state = FileState.of(self._ledger_file)
            force = kept or state is None or state.size == 0
            place = place_of(batch.ledger)
            refuse_place(place, "ledger", listing.sources(), force=force, hint=_RESUME_HINT)

    def _refuse_shared_places(self, units: Units) -> None:
        """Refuse a file of this command that is another one, or the output of a unit."""
        batch = self.batch
        listed = None if batch.files_from is None else place_of(batch.files_from)
        failed = self.failed.place or batch.failed
        if listed is not None and failed is not None and same_place(failed, listed):
            failed = None  # a list that is run again may be replaced by what still fails
        failed_option = "the list of failures" if batch.failed is None else "--failed"
        places = self._places() | {
            "--files-from": listed,
            "--ledger": None if batch.ledger is None else place_of(batch.ledger),
            failed_option: failed,
        }
        refuse_shared_places(places, self._outputs(units))

    def _print_warnings(self, listing: Listing) -> None:
        if not self.request.quiet:
            for warning in listing.warnings:
                print_message(warning, kind="warning")

    def _note_unreadable(self, listing: Listing) -> None:
        """Print the errors of folders that were left out because they cannot be read."""
        self._unreadable = tuple(listing.unreadable)
        for error in listing.unreadable.values():
            self._print_error(error)
            self.worst = max(self.worst, error.exit_code)

    def _say(self, text: str) -> None:
        if not self.request.quiet:
            say(text)

    # ---------------------------------------------------------------------------- what was done

    def _earlier(self, units: Units, run: RunIdentity) -> EarlierRuns | None:
        """What earlier runs did, where --resume is asked for."""
        place = self._ledger_place
        if place is None or not self.batch.resume:
            return None
        named = self.batch.ledger is not None
        return earlier_runs(place, units, run, named=named, unreadable=self._unreadable)

    def _open_ledger(
        self, left: UnitsLeft, earlier: EarlierRuns | None, run: RunIdentity, held: ExitStack
    ) -> Ledger | None:
        """The ledger, which is open until `held` closes; None if there is none."""
        place = self._ledger_place
        if place is None or self.request.dry_run:
            return None
        began = 0 if earlier is None else earlier.began
        complete = self.batch.ledger is not None
        anew = self.request.force and not self.batch.resume
        opened = open_ledger(place, run, began=began, complete=complete, anew=anew)
        try:
            ledger = held.enter_context(opened)
        except OutputError as error:
            self._refuse_unless_record(run, error)
            return None
        for unit in left.skipped():
            ledger.note_skipped(unit)
        return ledger

    def _shorten_record(self, units: Units, run: RunIdentity) -> None:
        """Leave one line for each unit in a record that has several.

        The record of a command that runs every night gets further lines each time.
        """
        place = self._ledger_place
        if place is None or self.batch.ledger is not None or self.batch.resume:
            return
        state = FileState.of(place)
        own = len(self.shard.positions(len(units)))
        if state is None or state.size <= _LONG_RECORD * own:
            return
        try:
            earlier_runs(place, units, run, named=False, unreadable=self._unreadable)
        except OutputError as error:
            self._refuse_unless_record(run, error)

    @cached_property
    def _ledger_place(self) -> Path | None:
        """The ledger that was asked for, or the record that --resume finds again.

        Raises RequestError if --resume is asked for and there is neither.
        """
        if self._ledger_file is not None:
            return self._ledger_file
        place = None if self.request.dry_run else self._own_record()
        if place is None and self.batch.resume and not self.request.dry_run:
            raise RequestError(
                "--resume needs a record of the earlier run, and there is none",
                hint="--ledger run.jsonl keeps one",
            )
        return place

    def _report_left(self, left: UnitsLeft, units: Units) -> None:
        """Say which units are left out, and why."""
        noun, total = units.noun, len(units)
        if left.done:
            self._say(f"{plural(left.done, noun)} done by an earlier run")
        if left.existing:
            self._say(f"{plural(left.existing, noun)} left out: the output exists")
        if self.shard.count > total and not self.shard.positions(total):
            self._say(f"--shard {self.batch.shard} has none of {plural(total, noun)}")

    # --------------------------------------------------------------------------------- the work

    def _carry_out(self, left: UnitsLeft, ledger: Ledger | None) -> None:
        """Carry the units out, and take what they return, in their order where memory allows it."""
        gc.set_threshold(_MOST_UNCOLLECTED)
        progress = Progress(len(left), shown=self.request.shows_progress)
        order = UnitOrder(_MOST_UNTOLD)
        try:
            with results_aside() as results:
                units = order.noted(self._begun(left, results))
                # What is under way ends before the results that are left are removed.
                with closing(outcomes(self._runner(left), units)) as ended:
                    for outcome in order.sorted(self._noted(ended, ledger, results)):
                        self._print(outcome)
                        progress.advance_unit()
        finally:
            progress.close()
            self._retry_notes.close()

    def _begun(self, left: UnitsLeft, results: ResultsAside) -> Iterator[Unit]:
        """The units that are left, as they are begun."""
        return left.to_do() if self.request.dry_run else results.named(left.to_do())

    def _runner(self, left: UnitsLeft) -> Runner:
        """The runner that carries the units out."""
        from convcli.running.workers import cores

        jobs = min(self.request.jobs or cores(), max(len(left), 1))
        if self.batch.cluster is not None and len(left) and not self.request.dry_run:
            return self._cluster_runner(self.batch.cluster, jobs)
        alone = jobs == 1
        work = self._work(alone=alone)
        if alone:
            return OwnThread(work, self.stopping, self._retry_notes)
        if self._always_in_processes or _prefers_processes(left):
            return self._process_runner(work, jobs)
        return ThreadRunner(work, jobs, self.stopping, self._retry_notes)

    def _process_runner(self, work: Work, jobs: int) -> Runner:
        from convcli.batch.processes import ProcessRunner

        return ProcessRunner(work, jobs, self.stopping, self._retry_notes)

    def _cluster_runner(self, address: str, processes: int) -> Runner:
        from convcli.batch.cluster import ClusterRunner

        work = self._work(alone=False)
        return ClusterRunner(
            work,
            address,
            processes=processes,
            stopping=self.stopping,
            on_retry=self._retry_notes,
        )

    def _noted(
        self, ended: Iterable[Outcome], ledger: Ledger | None, results: ResultsAside
    ) -> Iterator[Outcome]:
        """Yield the outcomes as they come, after their failures and ledger lines are noted."""
        for each in ended:
            outcome = self._with_failure(each)
            ledger = self._note(ledger, outcome)
            try:
                results.replace_input(outcome)
            except OutputError as error:
                outcome = self._with_failure(replace(outcome, facts=None, error=error))
                ledger = self._note(ledger, outcome)
            yield outcome

    def _with_failure(self, outcome: Outcome) -> Outcome:
        """The outcome with an error that names the input, if it failed; this is noted."""
        if outcome.error is None:
            return outcome
        unit = outcome.unit
        error = name_input(outcome.error, unit.input_label, unit.part_label)
        self.failed.add(unit, error)
        return replace(outcome, error=error)

    def _note(self, ledger: Ledger | None, outcome: Outcome) -> Ledger | None:
        """Write the line of a unit. Returns the ledger if further lines can be written.

        A record that nobody needs must not end the run, for example on a full disk.
        """
        if ledger is None:
            return None
        try:
            ledger.note_outcome(outcome)
        except OutputError as error:
            self._refuse_unless_record(ledger.run, error)
            return None
        return ledger

    def _refuse_unless_record(self, run: RunIdentity, error: OutputError) -> None:
        """Raise the error of a ledger that cannot be written, or warn if the run can do without.

        Without its lines, `--in-place --resume` would filter its results once more.
        """
        if self.batch.ledger is not None:
            raise error
        if self.batch.resume and run.in_place:
            hint = "--ledger run.jsonl keeps the record of this run elsewhere"
            raise error.reworded(error.message, hint)
        if not self.request.quiet:
            print_message(
                f"{error.message}; --resume will not know what this run does", kind="warning"
            )

    def _print(self, outcome: Outcome) -> None:
        """Print the summary or the error of a unit."""
        if outcome.error is not None:
            self._print_error(outcome.error)
            self.worst = max(self.worst, outcome.error.exit_code)
        elif outcome.facts is not None:
            code = self._taken(outcome.unit.number, outcome.facts)
            self.worst = max(self.worst, code)

    def _taken(self, number: int, facts: RunFacts) -> int:
        """Report and keep what a unit has returned, and return its exit code."""
        try:
            return self._take(number, facts)
        except BrokenPipeError:
            # Nobody reads standard output any more. A report is still to be written, and complete.
            if not self.request.reports:
                raise
            closed_pipe()
            return self._take(number, facts)

    def _print_error(self, error: ConvcliError) -> None:
        print_error(error)
        if self.request.debug and error.__cause__ is not None:
            import traceback

            say("".join(traceback.format_exception(error.__cause__)))


def _prefers_processes(units: UnitsLeft) -> bool:
    """Whether processes carry units out faster than threads: there are many small files.

    Threads wait for each other's Python code, which is most of the work of a small file. The first
    units are taken as typical. Standard input and pipes are read in this process alone.
    """
    if len(units) < FEWEST_FOR_PROCESSES:
        return False
    states = [FileState.of(unit.source) for unit in islice(units.to_do(), _SAMPLED)]
    sizes = [state.size for state in states if state is not None]
    return len(sizes) == len(states) and sum(sizes) < _SMALL * len(sizes)
