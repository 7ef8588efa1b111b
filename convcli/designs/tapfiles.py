"""Taps from files of numbers: .csv and .txt in rows, .npy as NumPy saves them."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING

import numpy as np

from convcli.errors import InputError
from convcli.named_files import opened_named

if TYPE_CHECKING:
    from convcli.array_types import AnyArray, Taps
    from convcli.places import Place


LARGEST_FILE = 2**28
SUFFIXES = (".csv", ".txt", ".npy")
# Readers of the header, by the version of the format.
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")


def read_tap_file(path: Place) -> Taps:
    """(k,) or (rows, columns) finite float64 taps from a file.

    Text holds a row of taps per line, split by commas, semicolons, tabs or spaces; blank lines and
    everything after a `#` are skipped. A single line, or one tap per line, reads as (1, k) or
    (k, 1). Raises InputError naming the file, line and column.
    """
    if path.suffix.lower() not in SUFFIXES:
        suffixes = ", ".join(SUFFIXES)
        raise InputError(f"{path}: expected taps in one of {suffixes}", hint="kernel:@taps.csv")
    taps = _read_file(path)
    if taps.size == 0:
        raise InputError(f"{path}: holds no taps", hint="one row of numbers a line: 1,2,1")
    unusable = np.argwhere(~np.isfinite(taps))
    if len(unusable):
        numbers = [str(index + 1) for index in unusable[0]]
        message = f"{path}: tap {', '.join(numbers)} is not finite"
        raise InputError(message, hint="a tap is a finite number")
    return taps


def _read_file(path: Place) -> Taps:
    hint = "kernel:1,2,1 gives the taps in place"
    content = content_of(path, expected="a file of taps", most=LARGEST_FILE, hint=hint)
    if path.suffix.lower() == ".npy":
        return _read_npy(path, content)
    return _read_text(path, content)


def _read_npy(path: Place, content: bytes) -> Taps:
    """The array of an .npy file, never unpickled."""
    try:
        array = _array_of(content)
    except (
        Exception
    ) as error:  # a header is Python text; the errors of a broken one are not documented
        message = f"{path}: not an array of numbers as numpy.save writes it"
        raise InputError(message, hint="numpy.save('taps.npy', taps)") from error
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2):
        came = f"{array.ndim}-dimensional {array.dtype}"
        raise InputError(f"{path}: expected one or two dimensions of real numbers, got {came}")
    return np.array(array, dtype=np.float64)


def _array_of(content: bytes) -> AnyArray:
    """A view of the numbers, so that a header cannot ask for more than the file holds.

    Any error but that of the system for content that is not an array.
    """
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    shape, in_columns, dtype = _HEADERS[version](file)
    count = math.prod(shape)
    numbers: AnyArray = np.frombuffer(content, dtype, count, offset=file.tell())
    return numbers.reshape(shape, order="F" if in_columns else "C")


def _read_text(path: Place, content: bytes) -> Taps:
    """The rows of numbers of a text file."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected text in UTF-8, found other bytes") from error
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        numbers = line.split("#", maxsplit=1)[0].strip()
        if not numbers:
            continue
        row = []
        for column, item in enumerate(_BETWEEN.split(numbers), start=1):
            where = f"{path}, line {number}, column {column}"
            hint = "taps are numbers such as 0.25 or -1e-3"
            row.append(number_in_cell(item, where, hint=hint))
        rows.append(row)
        if len(row) != len(rows[0]):
            counts = f"{len(row)} taps, {len(rows[0])} in the lines before"
            hint = "every row of a kernel has the same number of taps"
            raise InputError(f"{path}, line {number}: {counts}", hint=hint)
    return np.array(rows, dtype=np.float64)


def content_of(path: Place, *, expected: str, most: int, hint: str) -> bytes:
    """All bytes of a file. Raises the InputError of `opened_named` where it cannot be read."""
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
