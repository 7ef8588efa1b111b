"""The ledger of a command over many inputs: a line of JSON for each unit, written as units end.

A line is one write, so that a program that is killed leaves whole lines, but perhaps the last one.
The next run reads them and does what is left.
"""

from __future__ import annotations

import json
import os
from array import array
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from convcli import __version__
from convcli.batch.file_state import FileState, changed_ns
from convcli.dataclass import dataclass
from convcli.errors import InputError, OutputError, RequestError
from convcli.media.replacing import atomic, cannot_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from convcli.batch.run_units import Outcome
    from convcli.batch.units import Unit
    from convcli.facts import RunFacts


@dataclass(frozen=True, eq=False, kw_only=True)
class RunIdentity:
    """What the lines of one run have in common.

    units : number of units in the whole list, of all shards
    listing : the identity of that list, see `Units.identity`
    filter : FILTER as written
    request : a short text that two runs have in common if their FILTER and options give the same
        results
    shards : into how many parts the list is divided
    in_place : each input is replaced by its result
    began : when the ledger was begun, in nanoseconds, by the clock of its file system
    """

    units: int
    listing: str
    filter: str
    request: str
    shards: int = 1
    in_place: bool = False
    began: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Line:
    """A line of the ledger: how a unit ended.

    number, units, listing, shards, filter, request, began : see `Unit` and `RunIdentity`
    input, output : names of the files; None for standard output
    relative : the path of the input below the folder or the fixed part of the pattern that it was
        found by; None for a file that was named itself
    read, wrote : states of the input before it was read, and of the output as it was written
    facts : a few facts of the run
    error : message, hint and exit code; None where all went well
    skipped : the output was there before, and nobody knows who made it
    """

    number: int
    units: int
    listing: str
    input: str
    output: str | None
    relative: str | None
    shards: int
    filter: str
    request: str
    read: FileState | None = None
    wrote: FileState | None = None
    version: str = __version__
    began: int = 0
    tries: int = 1
    seconds: float = 0.0
    facts: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    skipped: bool = False

    @classmethod
    def of(cls, unit: Unit, run: RunIdentity, **ended: Any) -> Line:
        """The line of a unit of this run."""
        name, place = unit.noted
        return cls(
            number=unit.number,
            units=run.units,
            listing=run.listing,
            input=name,
            output=place,
            relative=unit.below,
            shards=run.shards,
            filter=run.filter,
            request=run.request,
            began=run.began,
            **ended,
        )

    @classmethod
    def of_outcome(cls, outcome: Outcome, run: RunIdentity, *, with_facts: bool) -> Line:
        """The line of a unit that has ended."""
        facts = None
        error = None
        if outcome.facts is not None and with_facts:
            facts = small_facts(outcome.facts)
        if outcome.error is not None:
            error = {
                "message": outcome.error.message,
                "hint": outcome.error.hint,
                "exit_code": outcome.error.exit_code,
            }
        return cls.of(
            outcome.unit,
            run,
            read=outcome.read,
            wrote=outcome.wrote,
            tries=outcome.tries,
            seconds=round(outcome.seconds, 6),
            facts=facts,
            error=error,
        )

    @property
    def done(self) -> bool:
        """Whether the unit was carried out without an error."""
        return self.error is None and not self.skipped

    @property
    def exit_code(self) -> int:
        """The exit code of the unit."""
        return 0 if self.error is None else int(self.error["exit_code"])

    def to_json(self) -> bytes:
        """The line with its end. Bytes of names that are no UTF-8 are escaped."""
        plain = {
            "unit": self.number,
            "units": self.units,
            "list": self.listing,
            "shards": self.shards,
            "input": _file(self.input, self.read),
            "relative": self.relative,
            "output": _file(self.output, self.wrote),
            "filter": self.filter,
            "request": self.request,
            "version": self.version,
            "began": self.began,
            "tries": self.tries,
            "seconds": self.seconds,
            "facts": self.facts,
            "error": self.error,
        }
        if self.skipped:
            plain["skipped"] = True
        return json.dumps(plain, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Line:
        """Read a line. ValueError if it is none."""
        try:
            plain = json.loads(data)
            return cls(
                number=int(plain["unit"]),
                units=int(plain["units"]),
                listing=str(plain["list"]),
                input=str(plain["input"]["path"]),
                read=FileState.from_plain(plain["input"]),
                output=_text_or_none(plain["output"]["path"]),
                relative=_text_or_none(plain["relative"]),
                shards=max(1, int(plain["shards"])),
                wrote=FileState.from_plain(plain["output"]),
                filter=str(plain["filter"]),
                request=str(plain["request"]),
                version=str(plain["version"]),
                began=int(plain["began"]),
                tries=int(plain["tries"]),
                seconds=float(plain["seconds"]),
                facts=plain["facts"],
                error=_checked_error(plain["error"]),
                skipped=plain.get("skipped") is True,
            )
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"no line of a ledger: {error}") from error


def _file(name: str | None, state: FileState | None) -> dict[str, Any]:
    return {"path": name} | ({} if state is None else state.to_plain())


def _text_or_none(plain: Any) -> str | None:
    return None if plain is None else str(plain)


def _checked_error(plain: Any) -> Mapping[str, Any] | None:
    if plain is None:
        return None
    return {
        "message": str(plain["message"]),
        "hint": plain["hint"],
        "exit_code": int(plain["exit_code"]),
    }


def small_facts(run: RunFacts) -> dict[str, Any]:
    """The facts of a run whose size does not depend on the signal or on the filter."""
    from convcli.facts import to_plain

    source = run.inputs[0]
    facts: dict[str, Any] = {
        "medium": source.medium,
        "shape": source.shape,
        "channels": len(source.channels),
        "rate": source.rate,
    }
    if run.outputs:
        facts |= {"output_shape": run.outputs[0].shape, "output_rate": run.outputs[0].rate}
    losses = run.losses
    facts |= {
        "clipped": sum(losses.clipped.values()),
        "missing": sum(losses.missing.values()),
        "became_missing": sum(losses.became_missing.values()),
        "warnings": run.warnings[:_MOST_WARNINGS],
    }
    plain: dict[str, Any] = to_plain(facts)
    return plain


_MOST_WARNINGS = 5


# ------------------------------------------------------------------------------------------ reading


def read_lines(path: Path) -> Iterator[Line]:
    """The whole lines of a ledger, in their order; a last line that was cut off is left out.

    Raises InputError if the file cannot be read, or another line is none of a ledger.
    """
    for _, line in lines_with_places(path):
        yield line


def lines_with_places(path: Path) -> Iterator[tuple[int, Line]]:
    """The whole lines of a ledger, each with the position of its first byte."""
    try:
        with path.open("rb") as file:
            place = 0
            for number, data in enumerate(file, start=1):
                try:
                    line = Line.from_json(data)
                except ValueError as error:
                    if not data.endswith(b"\n"):
                        return
                    raise InputError(
                        f"line {number} of {path} is no line of a ledger", hint=str(error)
                    ) from error
                yield place, line
                place += len(data)
    except OSError as error:
        raise InputError(f"cannot read the ledger {path}: {error.strerror}") from error


def _fingerprint(*parts: object) -> int:
    """A number that tells the parts from all others."""
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(text, digest_size=8).digest())


class EarlierRuns:
    """What the ledger tells of earlier runs of a command.

    Three numbers are kept for each unit, so that 100,000 units take a few megabytes.

    count : number of lines
    listings : identities of the lists of units that the lines belong to
    began : when the ledger was begun, see `RunIdentity`
    """

    def __init__(self, path: Path, run: RunIdentity) -> None:
        self._path = path
        self._run = run
        # The last line of each unit: its position in the file, and the state of the files if the
        # unit need not be carried out again, else 0.
        self._order: dict[int, int] = {}
        self._places = array("q")
        self._states = array("Q")
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
        self._places[order] = place
        self._states[order] = self._state_of_line(line)

    def _state_of_line(self, line: Line) -> int:
        if not line.done or line.read is None or line.wrote is None:
            return 0
        # What was replaced in place is found as it was written.
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
        read = FileState.of(unit.source)
        wrote = FileState.of(unit.output)
        if read is None or wrote is None:
            return False
        now = _fingerprint(read, wrote.size, self._run.request, __version__)
        return now == self._states[order]

    def made(self, unit: Unit) -> bool:
        """Whether the output of a unit that is not done may be of an earlier run.

        It is if it is younger than the ledger: of a run that was killed, the last lines are
        missing.
        """
        changed = changed_ns(unit.output)
        return changed is not None and changed >= self.began

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], Line]]:
        """Open the ledger to read the lines at some positions."""
        with self._path.open("rb") as file:

            def line_at(place: int) -> Line:
                file.seek(place)
                return Line.from_json(file.readline())

            yield line_at


# ------------------------------------------------------------------------------------------ writing


class Ledger:
    """A ledger that is open for further lines.

    run : what its lines have in common
    complete : it has lines of failed units, and lines have facts; else it has what --resume needs
    """

    def __init__(self, file: int, path: Path, run: RunIdentity, *, complete: bool) -> None:
        self._file = file
        self.path = path
        self._complete = complete
        self.run = run

    def note_outcome(self, outcome: Outcome) -> None:
        """Append the line of a unit that has ended. OutputError if it cannot be written."""
        if outcome.error is None or self._complete:
            self.append(Line.of_outcome(outcome, self.run, with_facts=self._complete))

    def note_skipped(self, unit: Unit) -> None:
        """Append the line of a unit whose output was there before."""
        read, wrote = FileState.of(unit.source), FileState.of(unit.output)
        self.append(Line.of(unit, self.run, read=read, wrote=wrote, skipped=True))

    def append(self, line: Line) -> None:
        """Append a line in one write."""
        try:
            os.write(self._file, line.to_json())
        except OSError as error:
            raise cannot_write(self.path, error) from error


@contextmanager
def open_ledger(
    path: Path, run: RunIdentity, *, began: int = 0, complete: bool = True
) -> Iterator[Ledger]:
    """Open a ledger to append lines; it is made if it is missing.

    began : when it was begun; 0: now
    complete : see `Ledger`

    Raises RequestError if another run writes to it, OutputError if it cannot be written.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        _lock(file, path)
        try:
            _end_last_line(file)
            began = began or os.fstat(file).st_mtime_ns
        except OSError as error:
            raise cannot_write(path, error) from error
        yield Ledger(file, path, replace(run, began=began), complete=complete)
    finally:
        os.close(file)


def _lock(file: int, path: Path) -> None:
    """Refuse a ledger that another run writes to."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RequestError(
            f"another run writes to the ledger {path}",
            hint="wait for it, or name another ledger",
        ) from None
    except OSError:  # a file system without locks
        return


def _end_last_line(file: int) -> None:
    """Cut off a last line that is not whole; add the line end that a whole one lacks."""
    size = os.fstat(file).st_size
    if size == 0 or os.pread(file, 1, size - 1) == b"\n":
        return
    start = _start_of_last_line(file, size)
    try:
        Line.from_json(os.pread(file, size - start, start))
    except ValueError:
        os.ftruncate(file, start)
    else:
        os.write(file, b"\n")


def _start_of_last_line(file: int, size: int) -> int:
    end = size
    while end > 0:
        begin = max(0, end - 65536)
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def renumbered(line: Line, unit: Unit, run: RunIdentity) -> Line:
    """The line of a unit that is done, as one of this run's list."""
    return replace(
        line, number=unit.number, units=run.units, listing=run.listing, shards=run.shards
    )


def rewrite(path: Path, lines: Iterator[Line]) -> None:
    """Replace a ledger by one of these lines, complete or not at all."""
    try:
        with atomic(path) as temporary, temporary.open("wb") as file:
            for line in lines:
                file.write(line.to_json())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
