"""The ledger of a command over many inputs: a line of JSON for each unit, written as units end.

Each line is one write, so that a program that is killed leaves whole lines, except perhaps the last
one. The next run reads the lines and carries out the units that are left.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from convcli.batch.file_state import FileState
from convcli.batch.ledger_line import Line
from convcli.errors import ConvcliError, InputError, OutputError, RequestError
from convcli.media.refusals import place_exists
from convcli.media.replacing import atomic, cannot_write
from convcli.places import local_path, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.batch.ledger_line import RunIdentity
    from convcli.batch.run_units import Outcome
    from convcli.batch.units import Unit
    from convcli.places import Place


# How each line begins, and a length in bytes that every line is below.
_START = b'{"unit":'
_LONGEST_LINE = 1 << 24
_WHAT_A_LINE_IS = (
    "a line is a JSON object for one input, as --ledger writes it, with all keys: unit, units, "
    "list, shards, input, relative, output, filter, request, version and more"
)

# ------------------------------------------------------------------------------------------ reading


def read_lines(path: Path) -> Iterator[Line]:
    """The whole lines of a ledger, in their order; a last line that was cut off is left out.

    Raises InputError if the file cannot be read, or if another line does not belong to a ledger.
    """
    for _, line in lines_with_places(path):
        yield line


def lines_with_places(path: Path) -> Iterator[tuple[int, Line]]:
    """The whole lines of a ledger, each with the position of its first byte."""
    try:
        with path.open("rb") as file:
            place = 0
            number = 0
            while data := file.readline(_LONGEST_LINE):
                number += 1
                try:
                    line = Line.from_json(data)
                except ValueError as error:
                    if _is_cut_off(data, first=number == 1):
                        return
                    raise _no_line(path, number) from error
                yield place, line
                place += len(data)
    except OSError as error:
        raise cannot_read_ledger(path, error) from error


def cannot_read_ledger(path: Path, error: OSError) -> InputError:
    """The error for a ledger that the system does not give."""
    return InputError(f"cannot read the ledger {path}: {error.strerror or error}")


def _is_cut_off(data: bytes, *, first: bool) -> bool:
    """Whether data may be the beginning of a line, at the end of a ledger.

    first : it is the first line of the file
    """
    if data.endswith(b"\n") or len(data) == _LONGEST_LINE:
        return False
    return not first or data.startswith(_START) or _START.startswith(data)


def _no_line(path: Path, number: int) -> InputError:
    what = f"line {number} of {path} is not a line of a ledger"
    if number == 1:
        what = f"{path} is not a ledger: its first line is not a line of a ledger"
    return InputError(what, hint=_WHAT_A_LINE_IS)


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
        """Append the line of a unit whose output was there before.

        --resume needs no such line, which would hide that an earlier run has carried the unit out.
        """
        if not self._complete:
            return
        read, wrote = FileState.of(unit.source), FileState.of(unit.output)
        self.append(Line.of(unit, self.run, read=read, wrote=wrote, skipped=True))

    def append(self, line: Line) -> None:
        """Append a line in one write. OutputError if it cannot be written.

        A full disk may take only the beginning of a line; the next write then raises the error.
        """
        data = line.to_json()
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise cannot_write(self.path, error) from error


@contextmanager
def open_ledger(
    path: Path, run: RunIdentity, *, began: int = 0, complete: bool = True, anew: bool = False
) -> Iterator[Ledger]:
    """Open a ledger to append lines; it is made if it is missing.

    began : when it was begun; 0: now
    complete : see `Ledger`
    anew : what the file holds is removed

    Raises RequestError if another run writes to it, InputError if the file is not a ledger,
    OutputError if it cannot be written.
    """
    file = _locked(path)
    try:
        try:
            if anew:
                os.ftruncate(file, 0)
            _end_last_line(file, path)
            began = began or os.fstat(file).st_mtime_ns
        except OSError as error:
            raise cannot_write(path, error) from error
        yield Ledger(file, path, replace(run, began=began), complete=complete)
    finally:
        os.close(file)


def _locked(path: Path) -> int:
    """Open a ledger, and lock it for this run."""
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            _lock(file, path)
        except BaseException:
            os.close(file)
            raise
        if _is_at(file, path):
            return file
        # Another run has replaced the ledger meanwhile, so this file has been removed.
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is the one that a path names."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


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


def _end_last_line(file: int, path: Path) -> None:
    """Cut off a last line that is not whole; add the line end that a whole one lacks.

    Raises InputError for a file that is not a ledger, which stays as it is.
    """
    size = os.fstat(file).st_size
    if size == 0:
        return
    next(lines_with_places(path), None)  # reads the first line
    if os.pread(file, 1, size - 1) == b"\n":
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
        line,
        number=unit.number,
        units=run.units,
        listing=run.listing,
        shards=run.shards,
        began=run.began,
    )


def rewrite(path: Place, lines: Iterator[Line]) -> None:
    """Replace a ledger by one of these lines, complete or not at all."""
    try:
        with atomic(path) as temporary, temporary.open("wb") as file:
            for line in lines:
                file.write(line.to_json())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


# Seconds between two times that a ledger is sent to its store, which cannot append lines.
_SENT_EVERY = 30.0


@contextmanager
def ledger_file(name: str | None) -> Iterator[Path | None]:
    """The file to which the lines of a ledger are appended; None without a name.

    name : a path, or the URL of an object. The object is copied to this machine, and replaced by
        the copy every half minute and at the end, so that a run that is killed loses at most the
        lines of half a minute.

    InputError or OutputError if the store cannot be asked.
    """
    if name is None:
        yield None
        return
    place = place_of(name)
    path = local_path(place)
    if path is not None:
        yield path
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="convcli-") as folder:
        copy = _CopiedLedger(place, Path(folder, "ledger.jsonl"))
        with copy.sent_meanwhile():
            yield copy.path


class _CopiedLedger:
    """A ledger of a store and its copy on this machine."""

    def __init__(self, place: Place, path: Path) -> None:
        self.path = path
        self._place = place
        if place_exists(place):
            with place.open("rb") as stored, path.open("wb") as file:
                shutil.copyfileobj(stored, file)
        self._sent = FileState.of(path)

    @contextmanager
    def sent_meanwhile(self) -> Iterator[None]:
        """Send the copy from time to time, and at the end."""
        ended = Event()
        sender = Thread(target=self._send_until, args=(ended,), daemon=True)
        sender.start()
        try:
            yield
        finally:
            ended.set()
            sender.join()
            self._send()

    def _send_until(self, ended: Event) -> None:
        while not ended.wait(_SENT_EVERY):
            with suppress(ConvcliError, OSError):  # it is sent again later
                self._send()

    def _send(self) -> None:
        state = FileState.of(self.path)
        if state is None or state == self._sent:
            return
        with atomic(self._place) as temporary:
            shutil.copyfile(self.path, temporary)
        self._sent = state
