"""What a ledger records of earlier runs of a command, and which units are left to do."""

from __future__ import annotations

from array import array
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from convcli import __version__
from convcli.batch.file_state import FileState, changed_ns
from convcli.batch.ledger import lines_with_places, open_ledger, renumbered, rewrite
from convcli.batch.ledger_line import Line
from convcli.digests import blake2b
from convcli.errors import InputError, RequestError
from convcli.media.refusals import place_exists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from convcli.batch.ledger_line import RunIdentity
    from convcli.batch.units import Shard, Unit, Units


def _fingerprint(*parts: object) -> int:
    """A number that in practice no other parts have."""
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest())


class EarlierRuns:
    """What the ledger records of earlier runs of a command.

    Three numbers are kept for each unit, so that 100,000 units take a few megabytes.

    count : number of lines
    listings : identities of the lists of units that the lines belong to
    began : when the ledger was begun for its list, see `RunIdentity`
    """

    def __init__(self, path: Path, run: RunIdentity) -> None:
        self._path = path
        self._run = run
        # The last line of each unit: its position in the file, and the state of the files if the
        # unit need not be carried out again, else 0.
        self._order: dict[int, int] = {}
        self._places = array("q")
        self._states = array("Q")
        # 1 for each unit whose output, if there is one, was written by an earlier run.
        self._ours = bytearray()
        self.count = 0
        self.listings: set[str] = set()
        self.began = path.stat().st_mtime_ns
        for place, line in lines_with_places(path):
            if self.count == 0:
                self.began = line.began
            self.count += 1
            self.listings.add(line.listing)
            self._take(place, line)

    def _take(self, place: int, line: Line) -> None:
        key = _fingerprint(line.input, line.output)
        order = self._order.setdefault(key, len(self._places))
        if order == len(self._places):
            self._places.append(0)
            self._states.append(0)
            self._ours.append(0)
        self._places[order] = place
        self._states[order] = self._state_of_line(line)
        # The input was read, so the output did not exist: a unit with an output of another program
        # is refused earlier, with another exit code.
        if line.done or line.exit_code == InputError.exit_code:
            self._ours[order] = 1

    def _state_of_line(self, line: Line) -> int:
        if not line.done or line.read is None:
            return 0
        if self._run.holds_results:
            if line.result is None:
                return 0
            return _fingerprint(line.read, line.request, line.version)
        if line.wrote is None:
            return 0
        # An input that was replaced is now what was written.
        read = line.wrote if self._run.in_place else line.read
        return _fingerprint(read, line.wrote.size, line.request, line.version)

    def place_of(self, unit: Unit) -> int | None:
        """Where the last line of a unit is; None if there is none."""
        order = self._order.get(_fingerprint(*unit.noted))
        return None if order is None else self._places[order]

    def is_last(self, place: int, line: Line) -> bool:
        """Whether the line at a position is the last one of its unit."""
        order = self._order.get(_fingerprint(line.input, line.output))
        return order is not None and self._places[order] == place

    def is_done(self, unit: Unit) -> bool:
        """Whether a unit was carried out by the same request, and its files are what they were."""
        order = self._order.get(_fingerprint(*unit.noted))
        if order is None or self._states[order] == 0:
            return False
        return self._state_now(unit) == self._states[order]

    def _state_now(self, unit: Unit) -> int | None:
        """The state of a unit's files as `_state_of_line` makes it; None if a file is missing."""
        read = FileState.of(unit.source)
        if read is None:
            return None
        if self._run.holds_results:
            return _fingerprint(read, self._run.request, __version__)
        wrote = FileState.of(unit.output)
        if wrote is None:
            return None
        return _fingerprint(read, wrote.size, self._run.request, __version__)

    def is_of_this_request(self, line: Line) -> bool:
        """Whether FILTER, options and version of a line are those of this run."""
        return (line.request, line.version) == (self._run.request, __version__)

    def lines_of(self, units: Iterable[Unit]) -> list[Line | None]:
        """The last line of each unit; None for a unit without one."""
        found: list[Line | None] = []
        with self.opened() as line_at:
            for unit in units:
                place = self.place_of(unit)
                found.append(None if place is None else line_at(place))
        return found

    def made(self, unit: Unit) -> bool:
        """Whether an earlier run may have written the output of a unit that is not done.

        True if a line says so. Also true if the output is newer than the ledger: a run that was
        killed lacks its last lines. Also true if there is no output: a process of such a run may
        still write it.
        """
        order = self._order.get(_fingerprint(*unit.noted))
        if order is not None and self._ours[order]:
            return True
        changed = changed_ns(unit.output)
        return changed is None or changed >= self.began

    def begin_list(self) -> None:
        """Set `began` to now, for a list to which no line of the ledger belongs.

        Older outputs were not written for this list, unless a line names them.
        """
        self._path.touch()  # by the clock of its file system
        self.began = self._path.stat().st_mtime_ns

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], Line]]:
        """Open the ledger to read the lines at some positions."""
        with self._path.open("rb") as file:

            def line_at(place: int) -> Line:
                file.seek(place)
                return Line.from_json(file.readline())

            yield line_at


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
                if state == _TO_REPLACE:
                    unit = replace(unit, replaces=True)
                yield unit

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
    path: Path,
    units: Units,
    run: RunIdentity,
    *,
    named: bool = True,
    unreadable: tuple[str, ...] = (),
) -> EarlierRuns | None:
    """What a ledger records of earlier runs; None if there is no ledger.

    The ledger is rewritten to hold one line for each unit of the list that has one, under its
    number in this list, so that a ledger does not grow with the number of runs.

    named : the user has named the ledger, so that it may be one of another command
    unreadable : folders whose files could not be listed this time. The lines of inputs in them stay
        as they are, for a run that can read them again

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
            own = _kept_lines(earlier, units, replace(run, began=earlier.began))
            rewrite(path, chain(own, _lines_below(unreadable, path, earlier)))
    return earlier


def _kept_lines(earlier: EarlierRuns, units: Units, run: RunIdentity) -> Iterator[Line]:
    with earlier.opened() as line_at:
        for unit in units:
            place = earlier.place_of(unit)
            if place is not None:
                yield renumbered(line_at(place), unit, run)


def _lines_below(folders: tuple[str, ...], path: Path, earlier: EarlierRuns) -> Iterator[Line]:
    """The last line of each input in some folders."""
    if not folders:
        return
    for place, line in lines_with_places(path):
        if line.input.startswith(folders) and earlier.is_last(place, line):
            yield line
