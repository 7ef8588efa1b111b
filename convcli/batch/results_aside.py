"""Results that replace their inputs, kept aside until the ledger has their lines.

A unit that replaces its input must not be carried out twice. If the run or the process that works
on the unit ends before the ledger has the line, the input is still as it was, and the unit can be
done again. If the run ends after that, the state in the line tells whether it was replaced.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from convcli.media.replacing import aside_of, is_special, replace_by
from convcli.places import local_path
from convcli.stopping import undone_at_stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from convcli.batch.run_units import Outcome
    from convcli.batch.units import Unit


class ResultsAside:
    """The results of units under way that replace their inputs. Objects are replaced at once."""

    def __init__(self) -> None:
        self._aside: dict[int, Path] = {}

    def named(self, units: Iterable[Unit]) -> Iterator[Unit]:
        """Yield the units, each with a name for its result if that replaces the input."""
        for unit in units:
            place = local_path(unit.source) if unit.replaces_input else None
            if place is None or is_special(place):
                yield unit
                continue
            aside = aside_of(place)
            self._aside[unit.number] = aside
            yield replace(unit, aside=aside)

    def replace_input(self, outcome: Outcome) -> None:
        """Replace the input of a unit that was carried out. OutputError if that fails."""
        aside = self._aside.get(outcome.unit.number)
        place = local_path(outcome.unit.output)
        if aside is None or place is None:
            return
        if outcome.error is None:
            replace_by(place, aside)
        else:
            aside.unlink(missing_ok=True)
        del self._aside[outcome.unit.number]

    def remove(self) -> None:
        """Remove the results that have replaced nothing."""
        for aside in list(self._aside.values()):
            aside.unlink(missing_ok=True)


@contextmanager
def results_aside() -> Iterator[ResultsAside]:
    """Keep results aside; those that are left at the end, also that of the process, are removed."""
    results = ResultsAside()
    with undone_at_stop(results.remove):
        try:
            yield results
        finally:
            results.remove()
