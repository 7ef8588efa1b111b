"""The inputs that failed, as a list of names with which they are run again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from convcli.errors import OutputError
from convcli.media.replacing import atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from convcli.batch.units import Unit


def write_failed(units: Sequence[Unit], path: Path) -> bool:
    """Write the names of units for `--files-from`; without any, the file is removed.

    Returns whether the names end with NUL bytes, because one of them holds a line end.
    """
    try:
        if not units:
            path.unlink(missing_ok=True)
            return False
        names = [os.fsencode(listed_name(unit)) for unit in units]
        null = any(b"\n" in name for name in names)
        end = b"\0" if null else b"\n"
        with atomic(path) as temporary:
            temporary.write_bytes(b"".join(name + end for name in names))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return null


def listed_name(unit: Unit) -> str:
    """The name of an input from which another run makes the same output.

    `/./` marks where the path begins that subfolders of outputs are named after.
    """
    if not unit.nested:
        return unit.name
    folder = unit.name[: len(unit.name) - len(unit.relative)]
    return f"{folder or './'}./{unit.relative}"
