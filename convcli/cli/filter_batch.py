"""Many inputs of a filter command, or the parts of one, as units of work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from convcli.batch.ledger_line import RunIdentity
from convcli.batch.records import own_ledger, request_identity
from convcli.batch.units import InputUnits
from convcli.cli import print_message
from convcli.cli.batch_run import BatchRequest, BatchRun
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.output_names import OneOutput, output_names
from convcli.media.refusals import refuse_existing
from convcli.media.replacing import is_special
from convcli.places import local_path
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.batch.earlier_runs import EarlierRuns
    from convcli.batch.listing import Listing
    from convcli.batch.part_units import InputPart, PartUnits
    from convcli.batch.units import Unit, Units
    from convcli.cli.filter_command import FilterCommand
    from convcli.facts import RunFacts
    from convcli.places import Place


@dataclass(eq=False)
class FilterWork:
    """What is done with each unit of a filter command. It can be pickled.

    retries : how often a unit is tried again after an error that may pass
    alone : units are filtered one after the other, each with all threads
    """

    _hint_of_existing: ClassVar = "--force replaces it, --skip-existing leaves such inputs out"

    command: FilterCommand
    retries: int
    alone: bool

    @property
    def runs_network(self) -> bool:
        """Whether a step of a filter runs a network."""
        from convcli.planning.plan import runs_model

        return runs_model(self.command.filters())

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
        return replace(made, aside=unit.aside).run()

    def refuse(self, unit: Unit) -> None:
        """Refuse a unit whose output exists, unless it may be replaced."""
        output = unit.output
        if output is not None:
            refuse_existing(output, force=self._replaces(unit), hint=self._hint_of_existing)

    def _replaces(self, unit: Unit) -> bool:
        """Whether the output of a unit may replace another one."""
        options = self.command.options
        return options.force or options.in_place or unit.replaces


class PartFilterWork(FilterWork):
    """What is done with each part of one large input. It can be pickled."""

    _hint_of_existing = "--force replaces it"

    def run(self, unit: Unit) -> RunFacts:
        """Filter a part into a file of its own."""
        self.refuse(unit)
        part = cast("InputPart", unit)
        made = self.command.input_run(part.source, part.output, number=part.number)
        return made.run_part(part.run, part.part)


class FilterBatch(BatchRun):
    """The inputs of a filter command, or the parts of one input."""

    def __init__(self, command: FilterCommand) -> None:
        options = command.options
        request = BatchRequest(
            inputs=command.request.inputs,
            files=command.files,
            batch=options.batch,
            jobs=options.jobs,
            force=options.force,
            dry_run=options.dry_run,
            quiet=options.quiet,
            debug=options.debug,
            shows_progress=command.shows_progress,
            reports=options.report is not None or options.plot is not None,
        )
        super().__init__(request, command.stopping)
        self.command = command
        self.options = options
        self._parts: PartUnits | None = None
        # The facts of all runs with the numbers of their units, where a report is made of them.
        self._reported: list[tuple[int, RunFacts]] = []

    def _check_reports(self, listing: Listing) -> None:
        several = len(listing.inputs) > 1
        self.command.check_reports(listing.sources(), several=several)

    def _places(self) -> dict[str, Place | None]:
        return {"--report": self.options.report, "--plot": self.options.plot}

    def _outputs(self, units: Units) -> Iterable[Place | None]:
        return () if self.options.in_place else (unit.output for unit in units)

    def _units(self, listing: Listing) -> Units:
        """The units, after every refusal that is possible before the work begins."""
        command = self.command
        output = command.request.output
        # The plan of several inputs can be printed before it is known where they are written.
        unplaced = self.options.dry_run and output is None
        if self.options.in_place or unplaced or not command.writes:
            units = InputUnits(listing.inputs, OneOutput(), in_place=self.options.in_place)
        else:
            count = len(listing.inputs)
            names = output_names(output, count, several=True, suffix=command.suffix)
            units = InputUnits(listing.inputs, names)
        units.check()
        if self.batch.cluster is not None:
            self._refuse_streams(units)
        self._parts = self._parted(units)
        return units if self._parts is None else self._parts

    def _refuse_streams(self, units: Units) -> None:
        """Raise RequestError for standard input or output, which workers cannot use."""
        self._refuse_standard_input(units)
        written = self.command.writes and not self.options.dry_run
        if written and any(units[at].output is None for at in range(len(units))):
            raise RequestError(
                "the workers of a cluster do not write to standard output",
                hint="-o out/ writes a file for each input",
            )

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

    def _own_record(self) -> Path | None:
        request = self.command.request
        written = self.options.in_place or request.output not in (None, "-")
        if not written:
            return None
        words = (request.inputs, self.batch.files_from, self.batch.recursive)
        return own_ledger(words, request.output, self.options.in_place, self.shard)

    def _work(self, *, alone: bool) -> FilterWork:
        made = FilterWork if self._parts is None else PartFilterWork
        return made(self.command, self.batch.retries, alone)

    @property
    def _always_in_processes(self) -> bool:
        return self._parts is not None

    @property
    def _skips_existing(self) -> bool:
        # A file that exists is a part of this output only if an earlier run of this command has
        # written it. So `--skip-existing` is about the whole output.
        return self.options.batch.skip_existing and self._parts is None

    def _take(self, number: int, facts: RunFacts) -> int:
        code = self.command.report_run(facts)
        if self.request.reports:
            self._reported.append((number, facts))
        return code

    def _finish(self) -> None:
        if self._parts is not None and not self.failed.units:
            self._join(self._parts)
        if not self.options.dry_run:
            self._reported.sort(key=lambda numbered: numbered[0])
            runs = [facts for _, facts in self._reported]
            self.command.write_reports(self._with_failures(runs))

    def _with_failures(self, runs: list[RunFacts]) -> list[RunFacts]:
        """The facts of the runs, with the inputs that failed among those of the first."""
        if not self.failed.reported:
            return runs
        if not runs:
            from convcli import __version__
            from convcli.facts import RunFacts

            words, text = self.command.words, self.command.request.filter
            runs = [RunFacts(version=__version__, command=words, filter=text)]
        return [replace(runs[0], failures=self.failed.in_order), *runs[1:]]

    # ---------------------------------------------------------------------- one input in parts

    def _parted(self, units: Units) -> PartUnits | None:
        """The parts of the only input, if it is cut for several machines; None if it is not."""
        options = self.options
        if len(units) != 1 or options.parts == 1 or not self.command.writes:
            return None
        whole = units[0]
        source = whole.source
        output = local_path(whole.output)
        if source is None or options.in_place or options.dry_run:
            return None
        if output is None or is_special(output):
            self._note_one_unit(whole)
            return None
        from convcli.batch.part_units import PartUnits
        from convcli.batch.parted_input import parts_for
        from convcli.cli.parted_run import worth_cutting

        several = self.shard.count > 1 or self.batch.cluster is not None
        if options.parts is None and not (several and worth_cutting(source)):
            return None
        # Every machine must find the same number of parts.
        count = options.parts or parts_for(source.stat().st_size, self.shard.count)
        cut = self.command.input_run(source, output, alone=True).cut(count)
        return None if cut is None else PartUnits(whole, *cut)

    def _note_one_unit(self, whole: Unit) -> None:
        """Say why the parts of an input are not shared, where several machines were asked for."""
        several = self.shard.count > 1 or self.batch.cluster is not None
        if self.options.parts is None or not several or self.request.quiet:
            return
        place = "standard output" if whole.output is None else str(whole.output)
        print_message(
            f"{whole.label} is one unit: machines write their parts beside the output, and "
            f"{place} takes none; -o FILE on a disk that they share does",
            kind="note",
        )

    def _is_complete(self, earlier: EarlierRuns | None) -> bool:
        """Whether the output of the parts exists and is kept.

        Raises RequestError if it exists and no earlier run has made it of such parts.
        """
        parted = self._parts
        if parted is None:
            return False
        from convcli.batch.part_units import RelationToWhole, relation_to_whole

        whole = Path(parted.whole.place or "")
        if self.options.force or not whole.exists():
            refuse_existing(whole, force=self.options.force)
            return False
        if self.options.batch.skip_existing:
            self._say("1 input left out: the output exists")
            return True
        relation = RelationToWhole.UNKNOWN
        if earlier is not None:
            relation = relation_to_whole(parted, self.shard, earlier)
        if relation is RelationToWhole.UNKNOWN:
            refuse_existing(whole, force=False)
        if relation is RelationToWhole.UP_TO_DATE:
            self._say(f"{visible(str(whole))} was made by an earlier run")
        return relation is RelationToWhole.UP_TO_DATE

    def _join(self, parted: PartUnits) -> None:
        """Join the parts if this machine has made all of them."""
        from convcli.batch.part_units import join_parts

        whole = Path(parted.whole.place or "")
        text = visible(str(whole))
        if self.shard.count > 1:
            self._say(f"`convcli merge` joins the {len(parted)} parts of {text}, with all ledgers")
            return
        join_parts(parted.places, whole)
        self._say(f"{plural(len(parted), 'part')} -> {text}")
