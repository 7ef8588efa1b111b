"""The inputs of a run that failed: what is said of them, and the list that is written."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from convcli.batch.failures import (
    is_free_for_failures,
    listed_lines,
    listed_units,
    no_list_of_failures,
    write_failed,
)
from convcli.batch.ledger import read_lines
from convcli.cli import say
from convcli.errors import InputError
from convcli.places import place_of
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.batch.units import Shard, Unit, Units
    from convcli.cli.batch_run import BatchRequest
    from convcli.errors import ConvcliError
    from convcli.facts.batch import UnitFailure
    from convcli.places import Place

# Most failed inputs that the last line names.
_MOST_NAMED = 5


class FailedInputs:
    """The units of a run that failed.

    units : those that have failed so far
    reported : what a report says of them, where one is made
    place : where their list is written; None if it is not, or before `find_place`
    """

    def __init__(self, request: BatchRequest, shard: Shard) -> None:
        self._request = request
        self._shard = shard
        self.units: list[Unit] = []
        self.reported: list[UnitFailure] = []
        self.place: Place | None = None

    def add(self, unit: Unit, error: ConvcliError) -> None:
        """Note that a unit has failed."""
        self.units.append(unit)
        if self._request.reports:
            self.reported.append(_failure(unit, error))

    @property
    def in_order(self) -> tuple[UnitFailure, ...]:
        """The failures for a report, in the order of the inputs."""
        return tuple(sorted(self.reported, key=lambda each: each.unit))

    def name_first(self, units: Units, done: int) -> None:
        """Name the first inputs that failed, of `done` that were carried out."""
        self.units.sort(key=lambda unit: unit.number)
        if not self.units or done == 1 or self._request.quiet:
            return
        named = [visible(unit.label) for unit in self.units[:_MOST_NAMED]]
        more = len(self.units) - len(named)
        if more:
            named.append(f"and {more:,} more")
        say(f"{len(self.units):,} of {plural(done, units.noun)} failed: {', '.join(named)}")

    def write_list(self, units: Units) -> None:
        """Write the list of the inputs that failed; remove an old one if none did."""
        null = False if self.place is None else write_failed(listed_units(self.units), self.place)
        if not self.units or self._request.quiet:
            return
        if not units.listed_again:
            say(f"the same command with --resume runs the {units.noun}s that failed again")
        elif self.place is not None:
            again = f"--files-from {self.place}" + (" -0" if null else "")
            say(f"{again} runs what failed once more")

    def find_place(self, units: Units, ledger: Path | None) -> None:
        """Decide where the list goes; RequestError if a file that is no such list is there.

        ledger : the file that --ledger names
        """
        asked = self._request.batch.failed
        if asked is None:
            self.place = self._usual_place(units, ledger)
            return
        if not self._request.force and not _is_free(asked, units, ledger):
            raise no_list_of_failures(asked, hint="name another file, or --force replaces it")
        self.place = asked

    def _usual_place(self, units: Units, ledger: Path | None) -> Place | None:
        """A place beside the ledger; None without one, and for units that cannot be listed."""
        named = self._request.batch.ledger
        if named is None or not units.listed_again:
            return None
        shard = ""
        if self._shard.count > 1:  # machines may share the folder
            shard = f".{self._shard.index}-of-{self._shard.count}"
        beside = place_of(named)
        usual = beside.with_name(f"failed{shard}.txt")
        if _is_free(usual, units, ledger):
            return usual
        of_ledger = beside.with_name(f"{beside.stem}.failed{shard}.txt")
        if _is_free(of_ledger, units, ledger):
            return of_ledger
        raise no_list_of_failures(of_ledger, hint="--failed FILE names another file")


def _is_free(place: Place, units: Units, ledger: Path | None) -> bool:
    """Whether a place is free for failures of these units, or holds those of the ledger."""
    return is_free_for_failures(place, _known_inputs(units, ledger))


def _known_inputs(units: Units, ledger: Path | None) -> Iterator[str]:
    """The inputs of this run, then those of the ledger, which may be gone."""
    yield from listed_units(units)
    if ledger is not None and ledger.exists():
        with suppress(InputError):  # no ledger, which is reported when it is opened
            yield from listed_lines(read_lines(ledger))


def _failure(unit: Unit, error: ConvcliError) -> UnitFailure:
    from convcli.facts.batch import UnitFailure

    path, code = unit.label, error.exit_code
    return UnitFailure(unit=unit.number, path=path, message=error.message, exit_code=code)
