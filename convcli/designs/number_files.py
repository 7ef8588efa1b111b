"""Files of numbers that FILTER names: their content, and a number in one of their cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.errors import InputError
from convcli.named_files import opened_named

if TYPE_CHECKING:
    from convcli.places import Place


def content_of(path: Place, *, expected: str, most: int, hint: str) -> bytes:
    """All bytes of a file. InputError where it cannot be read, as of `opened_named`."""
    with opened_named(path, expected=expected, most=most, hint=hint) as (file, _):
        return file.read()


def number_in_cell(cell: str, where: str, hint: str) -> float:
    """The number in a cell, which may be infinite or NaN. InputError if there is none.

    where : the file, the line and so on, for the message
    """
    try:
        return float(cell)
    except ValueError:
        raise InputError(f"{where}: expected a number, got {cell!r}", hint=hint) from None
