"""Frequency responses from files: gains in decibels over frequencies in Hz.

These formats are recognised:

* columns of numbers, split by commas, semicolons, tabs or spaces, with or without a header; lines
  that begin with `*` (REW) or `#` are comments. AutoEq's files have a column `equalization`.
  Numbers may have a decimal comma where it splits no columns.
* `GraphicEQ: 20 -1.2; 21 -1.1; ...` (AutoEq, Equalizer APO)
* `Filter 1: ON PK Fc 105 Hz Gain -2.4 dB Q 0.70`, with a `Preamp: -6 dB` (AutoEq, Equalizer APO,
  REW, which writes `Filter 2: ON None` for a filter that is not used); `BW Oct 1.5` in place of Q
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.designs.equalisers import bell_section, high_shelf, low_shelf
from convcli.designs.tapfiles import content_of, number_in_cell
from convcli.errors import InputError, named_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import FloatArray
    from convcli.designs.equalisers import Section
    from convcli.places import Place


LARGEST_CURVE_FILE = 2**24
LARGEST_DECIBELS = 1000.0
# Points of the curve of a list of biquads, evenly spaced in log frequency.
PARAMETRIC_POINTS = 4096
LOWEST_PARAMETRIC = 1.0
LARGEST_OCTAVES = 100.0

# The first of these that occurs in a file splits its columns.
_SEPARATORS = (re.compile(r"\s*;\s*"), re.compile(r" *\t *"), re.compile(r"\s*,\s*|\s+"))
_DECIMAL_COMMAS = re.compile(r"[+-]?\d+(,\d+)?(\s+[+-]?\d+(,\d+)?)+")
_GRAPHIC = re.compile(r"\s*GraphicEQ\s*:(.*)", re.IGNORECASE)
_PREAMP = re.compile(r"\s*Preamp\s*:\s*(\S+)\s*dB", re.IGNORECASE)
_FILTER = re.compile(r"\s*Filter\s*\d*\s*:\s*(ON|OFF)\b(.*)", re.IGNORECASE)
_BIQUAD = re.compile(
    r"\s*(?P<shape>\w+)\s+Fc\s+(?P<frequency>\S+)\s*Hz\s+Gain\s+(?P<gain>\S+)\s*dB"
    r"(?:\s+Q\s+(?P<q>\S+)|\s+BW\s+Oct\s+(?P<octaves>\S+))?\s*",
    re.IGNORECASE,
)
_UNUSED = "NONE"
_SHAPES = {
    "PK": bell_section,
    "PEQ": bell_section,
    "LS": low_shelf,
    "LSC": low_shelf,
    "LSQ": low_shelf,
    "HS": high_shelf,
    "HSC": high_shelf,
    "HSQ": high_shelf,
}
_HINT = "lines such as 1000,-2.5: a frequency in Hz and a gain in dB"


@dataclass(frozen=True, eq=False)
class Curve:
    """Gains over frequency, linear in between over the logarithm of the frequency.

    frequencies : (n,) in Hz, above 0 and rising; decibels : (n,)
    column : the name of the column that was read, or ""
    """

    frequencies: FloatArray
    decibels: FloatArray
    column: str = ""

    def at(self, frequencies: FloatArray) -> FloatArray:
        """The gain in dB at frequencies in Hz; outside of the curve that of its nearest end."""
        lowest = self.frequencies[0]
        places = np.log(np.maximum(frequencies, lowest))
        found = np.interp(places, np.log(self.frequencies), self.decibels)
        return np.asarray(found, dtype=np.float64)


def read_curve(path: Place, *, column: str, rate: float) -> Curve:
    """Read a frequency response from a text file.

    column : the name of the column with the gains, where the file has a header; "" takes
        `equalization`, or the second one
    rate : samples per second, at which biquads are computed

    Raises InputError with the number of the line for anything that is not a curve.
    """
    lines = _text_of_curve(path).splitlines()
    for number, line in enumerate(lines, start=1):
        graphic = _GRAPHIC.fullmatch(line)
        if graphic is not None:
            rows = [(number, pair.split()) for pair in graphic[1].split(";") if pair.strip()]
            return _curve(path, rows, 1, "")
        if _FILTER.match(line) or _PREAMP.match(line):
            return _parametric(path, lines, rate)
    return _from_columns(path, lines, column)


def _text_of_curve(path: Place) -> str:
    expected = "a frequency response"
    content = content_of(path, expected=expected, most=LARGEST_CURVE_FILE, hint=_HINT)
    if b"\0" in content:
        message = f"{path}: expected text with frequencies and gains, but it holds zero bytes"
        raise InputError(message, hint=_HINT)
    # Comments may be in any encoding; numbers are ASCII.
    return content.decode("utf-8-sig", errors="replace")


# -------------------------------------------------------------------------------------- columns


def _from_columns(path: Place, lines: list[str], column: str) -> Curve:
    """Read rows of numbers, behind a header or not."""
    rows = list(_numbered_cells(lines))
    if not rows:
        raise InputError(f"{path}: holds no frequencies and gains", hint=_HINT)
    header: list[str] = []
    if not _reads_as_number(rows[0][1][0]):
        header = [cell.strip('"') for cell in rows[0][1]]
        rows = rows[1:]
    place = _place_of_column(path, header, column)
    name = header[place] if place < len(header) else ""
    return _curve(path, rows, place, name)


def _numbered_cells(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not a comment."""
    stripped = [line.strip() for line in lines]
    data_lines = [text if text[:1] not in ("*", "#") else "" for text in stripped]
    rows = [text for text in data_lines if text]
    found = [each for each in _SEPARATORS if any(map(each.search, rows))]
    separator = found[0] if found else _SEPARATORS[-1]
    decimal_commas = separator is not _SEPARATORS[-1]
    numbers = [row for row in rows if row[0].isdigit()]
    if not decimal_commas and numbers and all(map(_DECIMAL_COMMAS.fullmatch, numbers)):
        separator = re.compile(r"\s+")
        decimal_commas = True
    for number, text in enumerate(data_lines, start=1):
        if text:
            cells = separator.split(text)
            yield number, [_with_point(cell) for cell in cells] if decimal_commas else cells


def _with_point(cell: str) -> str:
    """A number that has a decimal comma, with a point."""
    is_decimal = cell.count(",") == 1 and "." not in cell
    return cell.replace(",", ".") if is_decimal else cell


def _place_of_column(path: Place, header: list[str], column: str) -> int:
    lowered = [name.casefold() for name in header]
    if not column:
        return lowered.index("equalization") if "equalization" in lowered else 1
    if column.casefold() in lowered:
        return lowered.index(column.casefold())
    known = f"its columns are {named_first(header)}" if header else "it has no header"
    raise InputError(f"{path}: no column {column!r}; {known}")


def _reads_as_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _curve(path: Place, rows: list[tuple[int, list[str]]], place: int, name: str) -> Curve:
    """The curve of rows of cells, each with the number of its line."""
    if len(rows) < 2:
        message = f"{path}: a frequency response has at least 2 frequencies, this one {len(rows)}"
        raise InputError(message, hint=_HINT)
    frequencies = np.empty(len(rows))
    decibels = np.empty(len(rows))
    earlier = 0.0
    for n, (line, cells) in enumerate(rows):
        if len(cells) <= place:
            message = f"{path}, line {line}: expected a frequency and a gain, got {cells!r}"
            raise InputError(message, hint=_HINT)
        frequencies[n] = _finite_number(path, line, cells[0])
        decibels[n] = _finite_number(path, line, cells[place])
        problem = _problem_of(frequencies[n], decibels[n], earlier)
        if problem:
            raise InputError(f"{path}, line {line}: {problem}", hint=_HINT)
        earlier = frequencies[n]
    return Curve(frequencies, decibels, name)


def _problem_of(frequency: float, decibels: float, earlier: float) -> str:
    """Say what is wrong with a point of a curve; "" if nothing is."""
    if frequency <= earlier:
        came = f"{frequency:g} Hz after {earlier:g}"
        return f"frequencies must be above 0 and rise, got {came}"
    if abs(decibels) > LARGEST_DECIBELS:
        return f"a gain of {decibels:g} dB is out of range"
    return ""


def _finite_number(path: Place, line: int, cell: str) -> float:
    where = f"{path}, line {line}"
    value = number_in_cell(cell, where, hint=_HINT)
    if not math.isfinite(value):
        raise InputError(f"{where}: expected a number, got {cell!r}", hint=_HINT)
    return value


# -------------------------------------------------------------------------------------- biquads


def _parametric(path: Place, lines: list[str], rate: float) -> Curve:
    """The curve of a list of biquads and a gain before them."""
    highest = rate / 2
    lowest = min(LOWEST_PARAMETRIC, highest / 2)
    frequencies = np.geomspace(lowest, highest, PARAMETRIC_POINTS)
    decibels = np.zeros(PARAMETRIC_POINTS)
    for number, line in enumerate(lines, start=1):
        preamp = _PREAMP.match(line)
        if preamp is not None:
            decibels += _finite_number(path, number, preamp[1])
        written = _FILTER.match(line)
        if written is None or written[1].upper() == "OFF":
            continue
        section = _section(path, number, written[2], rate)
        if section is not None:
            gains = np.abs(section.response(frequencies / rate))
            decibels += 20 * np.log10(gains)
    return Curve(frequencies, decibels)


def _section(path: Place, line: int, text: str, rate: float) -> Section | None:
    """The biquad of `PK Fc 105 Hz Gain -2.4 dB Q 0.70`.

    None if it lies above half the rate, or is not used.
    """
    if text.strip().upper() == _UNUSED:
        return None
    found = _BIQUAD.fullmatch(text)
    if found is None or found["shape"].upper() not in _SHAPES:
        known = ", ".join(_SHAPES)
        message = f"{path}, line {line}: expected a filter, one of {known}; got {text.strip()!r}"
        hint = "Filter 1: ON PK Fc 105 Hz Gain -2.4 dB Q 0.70"
        raise InputError(message, hint=hint)
    frequency = _finite_number(path, line, found["frequency"])
    if frequency >= rate / 2:
        return None
    gain = _finite_number(path, line, found["gain"])
    q = _finite_number(path, line, found["q"] or "0.7071067811865476")
    if found["octaves"] is not None:
        width = _finite_number(path, line, found["octaves"])
        q = _q_of_octaves(width, frequency / rate)
    if frequency <= 0 or q <= 0 or abs(gain) > LARGEST_DECIBELS:
        message = f"{path}, line {line}: a filter has Fc and Q above 0; got {text.strip()!r}"
        raise InputError(message)
    shape = _SHAPES[found["shape"].upper()]
    return shape(frequency / rate, gain, q)


def _q_of_octaves(width: float, frequency: float) -> float:
    """The Q of a bell whose points of half its gain in dB are `width` octaves apart; 0 for none.

    frequency : in cycles per sample; 1 / Q = 2 sinh(ln(2) / 2 * width * w / sin(w)), w being
        2 pi times the frequency (RBJ cookbook)
    """
    if not (0 < width < LARGEST_OCTAVES and 0 < frequency < 0.5):
        return 0.0
    w = 2 * math.pi * frequency
    warped = width * w / math.sin(w)
    exponent = math.log(2) / 2 * warped
    # The hyperbolic sine of more overflows.
    return 0.5 / math.sinh(min(exponent, 700.0))
