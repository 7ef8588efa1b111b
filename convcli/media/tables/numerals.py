"""Numbers as tables write them: cells to float64 and back.

There are two routes with the same result. Small blocks go through Python's own `float` and `repr`,
large ones through pyarrow, whose import takes longer than a small table altogether. Both read and
print correctly rounded shortest decimals; what pyarrow spells differently takes the small route.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import BoolArray, FloatArray, IntArray
    from convcli.media.tables.cells import Cells

Integers = npt.NDArray[np.int32]

# The names of a missing value, in any case of letters; an empty cell is missing too.
MISSING = frozenset(
    b"na|nan|n/a|#n/a|#na|<na>|null|none|-nan|+nan|1.#qnan|-1.#qnan|1.#ind|-1.#ind|-nan(ind)".split(
        b"|"
    )
) | {b""}
_NUMBER = re.compile(rb"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|infinity)", re.IGNORECASE)
# The last four are U+00A0 (no break), U+202F (narrow), U+2009 (thin) and U+2019 (apostrophe).
_SEPARATOR = rb"(?:[.,' _]|\xc2\xa0|\xe2\x80\xaf|\xe2\x80\x89|\xe2\x80\x99)"
_THOUSANDS = re.compile(rb"[+-]?\d{1,3}(?:%b\d{3})+(?:[.,]\d+)?" % _SEPARATOR)
_DIGIT = re.compile(rb"\d")
_POINTS_AND_COMMA = re.compile(rb"[+-]?\d{1,3}(?:\.\d{3})+,\d+")
# Digits in groups of three, or of two before the last group, as they are written in India.
_GROUPED = rb"([+-]?\d{1,3}(?:%b\d{2,3})*%b\d{3})(?!\d)(?!%b)"
SWAP_POINT_AND_COMMA = bytes.maketrans(b",.", b".,")
_NUMERIC_START = np.zeros(256, np.bool_)
_NUMERIC_START[list(b"0123456789+-.,")] = True

# Bytes from which pyarrow is faster: with its import still to come (a full block of a larger file),
# and once it is imported.
COLUMNAR, COLUMNAR_LOADED = 900_000, 1 << 16


class BadCellError(ValueError):
    """Cell `row` is neither a number nor missing."""

    def __init__(self, row: int, hint: str) -> None:
        super().__init__(row)
        self.row = row
        self.hint = hint


def uses_pyarrow(size: int) -> bool:
    """Whether a block of `size` bytes goes through pyarrow."""
    return size >= (COLUMNAR_LOADED if "pyarrow" in sys.modules else COLUMNAR)


@dataclass(frozen=True)
class NumberStyle:
    """How numbers are written.

    decimal : the decimal point or comma
    thousands : what may stand between groups of digits; empty: nothing
    missing : further texts of a missing value besides the usual ones: words, letter for letter, and
        numbers, however they are written
    """

    decimal: str = "."
    thousands: bytes = b""
    missing: frozenset[bytes] = frozenset()

    @property
    def other_decimal(self) -> NumberStyle:
        """The style with the other decimal mark."""
        return replace(self, decimal="." if self.decimal == "," else ",", thousands=b"")

    def is_missing(self, cell: bytes) -> bool:
        """Whether a cell without blanks around it is a missing value."""
        return cell.lower() in MISSING or cell in self.missing

    @cached_property
    def _missing_numbers(self) -> list[float]:
        """The numbers that stand for a missing value, such as -999."""
        plain = replace(self, missing=frozenset())
        numbers = []
        for word in self.missing:
            with suppress(ValueError):
                numbers.append(read_number(word, plain))
        return numbers

    def without_missing_numbers(self, values: FloatArray) -> FloatArray:
        """Numbers, NaN in place of those that stand for a missing value."""
        if not self._missing_numbers:
            return values
        is_missing = np.isin(values, self._missing_numbers)
        return np.where(is_missing, np.nan, values)

    @cached_property
    def _grouped(self) -> re.Pattern[bytes]:
        return re.compile(_GROUPED.replace(b"%b", re.escape(self.thousands)))

    def without_thousands(self, cell: bytes) -> bytes:
        """The number without the separators between its groups of digits."""
        if not self.thousands or self.thousands not in cell:
            return cell
        grouped = self._grouped.match(cell)
        if grouped is None:
            raise ValueError(cell)
        digits = grouped[1].replace(self.thousands, b"")
        return digits + cell[grouped.end() :]


PLAIN = NumberStyle()


def read_number(cell: bytes, style: NumberStyle = PLAIN) -> float:
    """Read one cell, NaN if it is missing. ValueError if it is neither missing nor a number.

    >>> read_number(b"+.5e1"), read_number(b"1,5", NumberStyle(",")), read_number(b"N/A")
    (5.0, 1.5, nan)
    >>> read_number(b"1'234'567.5", NumberStyle(thousands=b"'"))
    1234567.5
    """
    cell = cell.strip()
    if style.is_missing(cell):
        return float("nan")
    cell = style.without_thousands(cell)
    if style.decimal == ",":
        cell = cell.translate(SWAP_POINT_AND_COMMA)
    if _NUMBER.fullmatch(cell) is None:
        raise ValueError(cell)
    return float(cell)


def reads_as_number(cell: bytes, style: NumberStyle = PLAIN) -> bool:
    """Whether a cell can be read, as a number or a missing value."""
    try:
        read_number(cell, style)
    except ValueError:
        return False
    return True


def read_numbers(cells: Cells, style: NumberStyle = PLAIN) -> FloatArray:
    """Read a column of cells (from `Cells.numerals`), NaN where missing. Raises BadCellError."""
    special = _special_cells(cells, style)
    if special is not None:
        values = _read_with_special(cells, special, style)
    elif uses_pyarrow(len(cells.data)):
        values = _read_columnar(cells, style)
    else:
        values = _read_small(cells.texts(), style)
    return style.without_missing_numbers(values)


# Floats from here on leave out whole numbers.
LARGEST_EXACT = 2**53
_WHOLE = re.compile(r"[+-]?\d{16,400}")
# How many large numbers of a block are looked at: those of a column are mostly alike.
_LOOKED_AT = 100


def first_rounded_number(values: FloatArray, text_of: Callable[[int], str]) -> str | None:
    """The first whole number that float64 rounds, among the first large ones; None without one.

    text_of : gives the text of the number at a place
    """
    is_large = np.abs(values) >= LARGEST_EXACT
    large = np.flatnonzero(is_large & np.isfinite(values))
    for place in large[:_LOOKED_AT].tolist():
        text, value = text_of(place), int(values[place])
        if _WHOLE.fullmatch(text) and int(text) != value:
            return text
    return None


def _special_cells(cells: Cells, style: NumberStyle) -> BoolArray | None:
    """Which cells are one of the style's own missing values or have groups of digits; None if none.

    They are few, or else the table is small: each is read by itself.
    """
    special = np.zeros(len(cells), np.bool_)
    for word in style.missing:
        special |= _equals(cells, word)
    if style.thousands and style.thousands in cells.data:
        octets = np.frombuffer(cells.data, np.uint8)
        places = np.flatnonzero(octets == style.thousands[0])
        special |= np.searchsorted(places, cells.start) < np.searchsorted(places, cells.stop)
    return special if special.any() else None


def _equals(cells: Cells, word: bytes) -> BoolArray:
    """(rows,) True where a cell is exactly `word`."""
    equal: BoolArray = cells.stop - cells.start == len(word)
    octets = np.frombuffer(cells.data, np.uint8)
    for place, octet in enumerate(word):
        rows = np.flatnonzero(equal)
        equal[rows] = octets[cells.start[rows] + place] == octet
    return equal


def _read_with_special(cells: Cells, special: BoolArray, style: NumberStyle) -> FloatArray:
    """Read the special cells one by one, and the others together."""
    values = np.empty(len(cells))
    rows = np.flatnonzero(special).tolist()
    for row, text in zip(rows, cells[special].texts(), strict=True):
        values[row] = _read_at(row, text, style)
    others = np.flatnonzero(~special)
    try:
        values[others] = read_numbers(cells[others], replace(style, missing=frozenset()))
    except BadCellError as bad:
        raise BadCellError(int(others[bad.row]), bad.hint) from None
    return values


def _read_small(texts: list[bytes], style: NumberStyle) -> FloatArray:
    # float() also takes 1_000, which no table means.
    if style.decimal == "." and not any(b"_" in text for text in texts):
        with suppress(ValueError):
            return np.array([float(text) for text in texts], np.float64)
    # Some cell is missing or bad: look at each of them.
    return np.array([_read_at(row, text, style) for row, text in enumerate(texts)], np.float64)


def _read_at(row: int, text: bytes, style: NumberStyle) -> float:
    try:
        return read_number(text, style)
    except ValueError:
        raise BadCellError(row, advice_on_notation(text, style) or _ADVICE) from None


_ADVICE = (
    "name a missing value with --na WORD, or correct the cell "
    "(an empty cell or NaN is a missing value)"
)


def advice_on_notation(text: bytes, style: NumberStyle) -> str | None:
    """The options that read a number of another style; None if the text is no such number."""
    if reads_as_number(text, style.other_decimal):
        if style.decimal == ".":
            return "--decimal , reads decimal commas"
        return "for decimal points leave out --decimal ,"
    if style.decimal == "." and _POINTS_AND_COMMA.fullmatch(text):
        return "--decimal , --thousands . reads such numbers"
    if _THOUSANDS.fullmatch(text):
        return "--thousands CHAR names what stands between groups of digits"
    return _advice_on_signs(text, style)


def _advice_on_signs(text: bytes, style: NumberStyle) -> str | None:
    """How to write a number that has signs of currencies or percentages, or is in parentheses."""
    plain = _without_signs(text)
    if plain == text or _DIGIT.search(plain) is None:
        return None
    advice = f"write it as {plain.decode()}"
    if reads_as_number(plain, style):
        return advice
    further = advice_on_notation(plain, style)
    return f"{advice}; {further}" if further else None


def _without_signs(text: bytes) -> bytes:
    """A cell without signs of currencies and percentages, negative if it is in parentheses."""
    from unicodedata import category

    number = text.decode("utf-8", "replace").replace("\N{MINUS SIGN}", "-")
    if number.startswith("(") and number.endswith(")"):
        number = f"-{number[1:-1]}"
    kept = [sign for sign in number if sign not in "%‰" and category(sign) != "Sc"]
    number = "".join(kept).strip()
    if number.startswith("-"):
        number = f"-{number[1:].lstrip()}"
    return number.encode()


def _read_columnar(cells: Cells, style: NumberStyle) -> FloatArray:
    import pyarrow as pa

    octets = np.frombuffer(cells.data, np.uint8)
    filled = cells.stop > cells.start
    # Cells that do not begin like a number (names of missing values, inf) are rare.
    plain = _NUMERIC_START[octets[cells.start]] & filled
    texts = _gather(cells if plain.all() else cells[plain])
    if style.decimal == ",":
        texts = translated_bytes(texts, SWAP_POINT_AND_COMMA)
    try:
        parsed = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return _read_small(cells.texts(), style)
    values = np.full(len(cells), np.nan)
    values[plain] = np.frombuffer(parsed.buffers()[1], np.float64, len(parsed))
    # pyarrow may also have taken an odd spelling of NaN that is not a name of a missing value.
    for row in np.flatnonzero(np.isnan(values) & filled).tolist():
        text = cells.data[cells.start[row] : cells.stop[row]]
        values[row] = _read_at(row, text, style)
    return values


def distinct_texts(cells: Cells) -> tuple[list[bytes], IntArray]:
    """The different texts of a column in order of appearance, and the place of each cell's text."""
    if uses_pyarrow(len(cells.data)):
        import pyarrow as pa

        found = _gather(cells).cast(pa.binary()).dictionary_encode()
        codes = np.frombuffer(found.indices.buffers()[1], np.int32, len(cells))
        return found.dictionary.to_pylist(), codes.astype(np.int64)
    places: dict[bytes, int] = {}
    small = [places.setdefault(text, len(places)) for text in cells.texts()]
    return list(places), np.array(small, np.int64)


def _gather(cells: Cells) -> Any:
    """The cells as a pyarrow string array."""
    import pyarrow as pa

    # Every second span is a cell, the others are the text between cells.
    count = 2 * len(cells)
    offsets = np.zeros(count + 1, np.int32)
    offsets[0:-1:2] = cells.start
    offsets[1::2] = cells.stop
    offsets[-1] = offsets[-2] if count else 0
    spans = from_offsets(offsets, pa.py_buffer(cells.data), pa.string())
    places = np.arange(0, count, 2, dtype=np.int32)
    return spans.take(as_int32(places))


def translated_bytes(texts: Any, table: bytes) -> Any:
    """Replace single bytes in all texts of a pyarrow array."""
    import pyarrow as pa

    _, offsets, data = texts.buffers()
    translated = bytes(data or b"").translate(table)
    buffers = [None, offsets, pa.py_buffer(translated)]
    return pa.Array.from_buffers(texts.type, len(texts), buffers, offset=texts.offset)


def from_offsets(offsets: Integers, data: Any, kind: Any) -> Any:
    """A pyarrow array of the spans between `offsets` in the buffer `data`.

    Made from buffers because `pyarrow.array` imports pandas.
    """
    import pyarrow as pa

    return pa.Array.from_buffers(kind, len(offsets) - 1, [None, pa.py_buffer(offsets), data])


def as_int32(values: Integers) -> Any:
    """A NumPy array of int32 as a pyarrow array, without a copy."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(values)])


def write_number(value: float, *, decimals: int | None = None, decimal: str = ".") -> bytes:
    """Write the shortest decimal that reads back as `value`, or fixed `decimals`; NaN is empty.

    Exponents are written below 1e-6 and from 1e16 on.

    >>> [write_number(v) for v in (4.0, -0.0, 0.1, 0.000012, 1e-7, 1e22, float("inf"))]
    [b'4', b'0', b'0.1', b'0.000012', b'1e-7', b'1e+22', b'inf']
    """
    if value != value:  # noqa: PLR0124  NaN
        return b""
    if decimals is None:
        text = _shortest(value)
    else:
        text = f"{value:.{decimals}f}"
        if float(text) == 0:
            text = f"{0.0:.{decimals}f}"  # without a sign
    return text.replace(".", decimal).encode()


def _shortest(value: float) -> str:
    text = repr(value + 0.0)  # -0.0 + 0.0 is 0.0
    if text.endswith(".0"):
        return text[:-2]
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    if exponent in ("-05", "-06"):
        sign = "-" if mantissa.startswith("-") else ""
        digits = mantissa.removeprefix("-").replace(".", "")
        zeros = "0" * (int(exponent[1:]) - 1)
        return f"{sign}0.{zeros}{digits}"
    return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"


def write_numbers(values: FloatArray, *, decimals: int | None, decimal: str) -> list[bytes]:
    """Write each value as `write_number` does."""
    if decimals is None:
        return [write_number(value, decimal=decimal) for value in values.tolist()]
    texts = with_fixed_decimals(values, decimals, decimal).split(b"\n")[:-1]
    for i in np.flatnonzero(np.isnan(values)).tolist():
        texts[i] = b""
    return texts


def with_fixed_decimals(values: FloatArray, decimals: int, decimal: str) -> bytes:
    """All values with fixed decimals, each followed by a line feed."""
    values = values + 0.0
    # Negative values that are rounded to 0 would keep their sign.
    for i in np.flatnonzero((values < 0) & (values > -(10.0**-decimals))).tolist():
        values[i] = float(f"{values[i]:.{decimals}f}") + 0.0
    text = (f"%.{decimals}f\n" * len(values)) % tuple(values.tolist())
    return text.replace(".", decimal).encode()


def values_as_written(values: FloatArray, decimals: int) -> FloatArray:
    """The numbers that are read back from what `write_numbers` writes."""
    texts = write_numbers(np.ravel(values), decimals=decimals, decimal=".")
    numbers = [float(text or b"nan") for text in texts]
    return np.array(numbers).reshape(values.shape)
