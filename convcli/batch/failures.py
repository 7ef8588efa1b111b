"""The inputs that failed, as a list of names with which they are run again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from convcli.errors import OutputError, RequestError
from convcli.media.refusals import place_exists
from convcli.media.replacing import atomic, is_special

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.batch.ledger_line import Line
    from convcli.batch.units import Unit
    from convcli.places import Place


# A longer file is not a list of failures.
_LONGEST_LIST = 1 << 30


def is_free_for_failures(place: Place, inputs: Iterable[str]) -> bool:
    """Whether a list of failures may be written to a place, or removed from it.

    It may if there is no file, or a device or pipe, or a list in which every name is an input.

    inputs : `listed_name` of each
    """
    if not place_exists(place) or is_special(place):
        return True
    names = _names_in(place)
    if names is None:
        return False
    for name in inputs:
        if not names:
            break
        names.discard(os.path.normpath(os.fsencode(name)))
    return not names


def _names_in(place: Place) -> set[bytes] | None:
    """The names in a file without `/./`; None if it cannot be read, or is too long for a list."""
    try:
        with place.open("rb") as file:
            data = file.read(_LONGEST_LIST)
    except OSError:
        return None
    if len(data) == _LONGEST_LIST:
        return None
    separator = b"\0" if b"\0" in data else b"\n"
    return {os.path.normpath(name) for name in data.split(separator) if name}


def no_list_of_failures(place: Place, *, hint: str) -> RequestError:
    """The error that a file with other lines is where a list of failures would be written."""
    return RequestError(
        f"{place} exists already, and holds other lines than inputs of this command", hint=hint
    )


def write_failed(inputs: Iterable[str], path: Place) -> bool:
    """Write the names of inputs that failed for `--files-from`; without any, remove the file.

    inputs : `listed_name` of each

    Returns whether the names end with NUL bytes, because one of them holds a line end.
    """
    # The parts of one input have its name.
    listed = dict.fromkeys(inputs)
    try:
        if not listed:
            if not is_special(path):
                path.unlink(missing_ok=True)
            return False
        names = [os.fsencode(name) for name in listed]
        null = any(b"\n" in name for name in names)
        end = b"\0" if null else b"\n"
        with atomic(path) as temporary:
            temporary.write_bytes(b"".join(name + end for name in names))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return null


def listed_units(units: Iterable[Unit]) -> Iterator[str]:
    """The `listed_name` of each unit."""
    for unit in units:
        yield listed_name(unit.name, unit.below)


def listed_lines(lines: Iterable[Line]) -> Iterator[str]:
    """The `listed_name` of the unit of each line."""
    for line in lines:
        yield listed_name(line.input, line.relative)


def listed_name(name: str, relative: str | None) -> str:
    """The name of an input from which another run makes the same output.

    relative : its path below the folder or the fixed part of the pattern that it was found by;
        `/./` marks in the name where it begins. None for a file that was named itself
    """
    if relative is None:
        return name
    folder = name.removesuffix(relative)
    if folder.endswith("/./"):  # it was found by such a name
        return name
    return f"{folder or './'}./{relative}"
