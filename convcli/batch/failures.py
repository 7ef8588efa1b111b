"""The inputs that failed, as a list of names with which they are run again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from convcli.errors import OutputError
from convcli.media.outputs import remove_place
from convcli.media.replacing import atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convcli.batch.ledger_line import Line
    from convcli.batch.units import Unit
    from convcli.places import Place


def write_failed(units: Iterable[Unit], path: Place) -> bool:
    """Write the names of units that failed; see `write_names`."""
    return write_names([listed_name(unit.name, unit.below) for unit in units], path)


def write_failed_lines(lines: Iterable[Line], path: Place) -> bool:
    """Write the names of units that failed according to a ledger; see `write_names`."""
    failed = [line for line in lines if line.error is not None]
    return write_names([listed_name(line.input, line.relative) for line in failed], path)


def write_names(listed: Sequence[str], path: Place) -> bool:
    """Write names for `--files-from`; without any, the file is removed.

    Returns whether the names end with NUL bytes, because one of them holds a line end.
    """
    try:
        if not listed:
            remove_place(path)
            return False
        names = [os.fsencode(name) for name in listed]
        null = any(b"\n" in name for name in names)
        end = b"\0" if null else b"\n"
        with atomic(path) as temporary:
            temporary.write_bytes(b"".join(name + end for name in names))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return null


def listed_name(name: str, relative: str | None) -> str:
    """The name of an input from which another run makes the same output.

    relative : its path below the folder or the fixed part of the pattern that it was found by;
        `/./` marks in the name where it begins. None for a file that was named itself
    """
    if relative is None:
        return name
    folder = name.removesuffix(relative)
    return f"{folder or './'}./{relative}"
