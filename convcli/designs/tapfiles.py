"""Taps from files of numbers: .csv and .txt in rows, .npy as NumPy saves them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.errors import InputError
from convcli.file_stamps import note_read

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from convcli.core.kernel import Taps

LARGEST_FILE = 2**28
SUFFIXES = (".csv", ".txt", ".npy")
_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")


def read_tap_file(path: Path) -> Taps:
    """(k,) or (rows, columns) finite float64 taps from a file.

    Text holds a row of taps per line, split by commas, semicolons, tabs or spaces; blank lines and
    everything after a `#` are skipped. A single line, or one tap per line, reads as (1, k) or
    (k, 1). Raises InputError naming the file, line and column.
    """
    if path.suffix.lower() not in SUFFIXES:
        suffixes = ", ".join(SUFFIXES)
        raise InputError(f"{path}: expected taps in one of {suffixes}", hint="kernel:@taps.csv")
    try:
        taps = _read_file(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if taps.size == 0:
        raise InputError(f"{path}: holds no taps", hint="one row of numbers a line: 1,2,1")
    unusable = np.argwhere(~np.isfinite(taps))
    if len(unusable):
        numbers = [str(index + 1) for index in unusable[0]]
        message = f"{path}: tap {', '.join(numbers)} is not finite"
        raise InputError(message, hint="a tap is a finite number")
    return taps


def _read_file(path: Path) -> Taps:
    note_read(path)
    if not path.is_file():
        problem = "is no file" if path.exists() else "no such file"
        message = f"{path}: {problem}; expected a file of taps"
        raise InputError(message, hint="kernel:1,2,1 gives the taps in place")
    if path.stat().st_size > LARGEST_FILE:
        raise InputError(f"{path}: larger than {LARGEST_FILE >> 20} MB, too large for taps")
    return _read_npy(path) if path.suffix.lower() == ".npy" else _read_text(path)


def _read_npy(path: Path) -> Taps:
    """The array of an .npy file, never unpickled.

    The file is mapped, so that a header cannot ask for more than the file holds.
    """
    try:
        array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except (
        Exception
    ) as error:  # a header is Python text; the errors of a broken one are not documented
        message = f"{path}: not an array of numbers as numpy.save writes it"
        raise InputError(message, hint="numpy.save('taps.npy', taps)") from error
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2):
        came = f"{array.ndim}-dimensional {array.dtype}"
        raise InputError(f"{path}: expected one or two dimensions of real numbers, got {came}")
    return np.array(array, dtype=np.float64)


def _read_text(path: Path) -> Taps:
    """The rows of numbers of a text file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected text, found bytes that are none") from error
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.split("#", maxsplit=1)[0].strip()
        if not content:
            continue
        items = enumerate(_BETWEEN.split(content), start=1)
        row = [_read_number(item, path, number, column) for column, item in items]
        rows.append(row)
        if len(row) != len(rows[0]):
            counts = f"{len(row)} taps, {len(rows[0])} in the lines before"
            hint = "every row of a kernel has the same number of taps"
            raise InputError(f"{path}, line {number}: {counts}", hint=hint)
    return np.array(rows, dtype=np.float64)


def _read_number(item: str, path: Path, line: int, column: int) -> float:
    try:
        return float(item)
    except ValueError:
        message = f"{path}, line {line}, column {column}: expected a number, got {item!r}"
        raise InputError(message, hint="taps are numbers such as 0.25 or -1e-3") from None
