"""What a ledger records of earlier runs of a command: which units need not be carried out again."""

from __future__ import annotations

from array import array
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING

from convcli import __version__
from convcli.batch.file_state import FileState, changed_ns
from convcli.batch.ledger import lines_with_places
from convcli.batch.ledger_line import Line
from convcli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from convcli.batch.ledger_line import RunIdentity
    from convcli.batch.units import Unit


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
