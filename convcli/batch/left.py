"""What is left to do of a list of units, after earlier runs of the same command."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convcli.batch.earlier_runs import EarlierRuns
from convcli.batch.ledger import open_ledger, renumbered, rewrite
from convcli.errors import RequestError
from convcli.media.refusals import place_exists

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.batch.ledger_line import Line, RunIdentity
    from convcli.batch.units import Shard, Unit, Units

_TO_DO, _TO_REPLACE, _DONE, _EXISTS = range(4)


class UnitsLeft:
    """The units of a shard that have to be carried out.

    units, shard : the list, and the part of it that this machine works on
    earlier : what earlier runs did; None to carry out all units
    skip_existing : a unit whose output exists need not be carried out
    """

    def __init__(
        self, units: Units, shard: Shard, earlier: EarlierRuns | None, *, skip_existing: bool
    ) -> None:
        self._units = units
        self._positions = shard.positions(len(units))
        self._states = bytearray(len(self._positions))
        if earlier is not None or skip_existing:
            for order, unit in enumerate(units.of_shard(shard)):
                self._states[order] = _state_of(unit, earlier, skip_existing=skip_existing)

    def __len__(self) -> int:
        return self._states.count(_TO_DO) + self._states.count(_TO_REPLACE)

    @property
    def done(self) -> int:
        """Number of units that an earlier run finished."""
        return self._states.count(_DONE)

    @property
    def existing(self) -> int:
        """Number of units that are skipped because their output exists."""
        return self._states.count(_EXISTS)

    def to_do(self) -> Iterator[Unit]:
        """The units that are left. An output that an earlier run wrote may be replaced."""
        for order, state in enumerate(self._states):
            if state in (_TO_DO, _TO_REPLACE):
                unit = self._units[self._positions[order]]
                yield replace(unit, replaces=state == _TO_REPLACE)

    def skipped(self) -> Iterator[Unit]:
        """The units whose output existed before, and is not known to be of an earlier run."""
        return self._in_state(_EXISTS)

    def done_units(self) -> Iterator[Unit]:
        """The units that an earlier run finished."""
        return self._in_state(_DONE)

    def _in_state(self, wanted: int) -> Iterator[Unit]:
        for order, state in enumerate(self._states):
            if state == wanted:
                yield self._units[self._positions[order]]


def _state_of(unit: Unit, earlier: EarlierRuns | None, *, skip_existing: bool) -> int:
    if earlier is not None:
        if earlier.is_done(unit):
            return _DONE
        if earlier.made(unit):
            return _TO_REPLACE
    if skip_existing and unit.output is not None and place_exists(unit.output):
        return _EXISTS
    return _TO_DO


def earlier_runs(
    path: Path, units: Units, run: RunIdentity, *, named: bool = True
) -> EarlierRuns | None:
    """What a ledger records of earlier runs; None if there is no ledger.

    The ledger is rewritten to hold one line for each unit of the list that has one, under its
    number in this list, so that a ledger does not grow with the number of runs.

    named : the user has named the ledger, so that it may be one of another command

    Raises RequestError for a ledger of other units, which stays as it is.
    """
    if not path.exists():
        return None
    # The ledger is locked, and a last line that is not whole is cut off. No other run may write to
    # it before it is rewritten.
    with open_ledger(path, run):
        earlier = EarlierRuns(path, run)
        kept = sum(earlier.place_of(unit) is not None for unit in units)
        if earlier.count and run.listing not in earlier.listings:
            if named and not kept:
                raise RequestError(
                    f"the ledger {path} is of other inputs or outputs than this command",
                    hint="name another ledger; --force without --resume begins this one anew",
                )
            earlier.begin_list()
        if kept < earlier.count or earlier.listings - {run.listing}:
            rewrite(path, _kept_lines(earlier, units, replace(run, began=earlier.began)))
    return earlier


def _kept_lines(earlier: EarlierRuns, units: Units, run: RunIdentity) -> Iterator[Line]:
    with earlier.opened() as line_at:
        for unit in units:
            place = earlier.place_of(unit)
            if place is not None:
                yield renumbered(line_at(place), unit, run)
