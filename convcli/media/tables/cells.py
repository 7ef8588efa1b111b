"""The cells of a column as offsets into the text of a table, and the quotes around some of them.

A quote opens a cell only at the cell's start, and closes it unless it is doubled; any other quote
is a character like any other (RFC 4180, and what the `csv` module of Python reads).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import BoolArray, IntArray


QUOTE, RETURN = ord('"'), ord("\r")


def find_quotes(data: bytes, openers: bytes) -> IntArray:
    """Offsets of the quotes that open or close cells; `data` starts at the start of a record.

    openers : the bytes after which a cell starts (delimiters and line ends)
    An odd number of these quotes lies before every byte inside quotes; doubled quotes count as two.
    """
    if b'"' not in data:
        return np.empty(0, np.int64)
    octets = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(octets == QUOTE)
    may_precede, may_follow = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
    may_precede[[*openers, QUOTE]] = True
    may_follow[[*openers, QUOTE, RETURN]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    if opening[0] == 0:
        opening = opening[1:]
    if len(closing) and closing[-1] == len(data) - 1:
        closing = closing[:-1]
    if may_precede[octets[opening - 1]].all() and may_follow[octets[closing + 1]].all():
        return quotes
    return _walk_quotes(data, quotes.tolist(), frozenset(openers))


def _walk_quotes(data: bytes, quotes: list[int], openers: frozenset[int]) -> IntArray:
    """Find the quotes one after the other, because some of them are ordinary characters."""
    found: list[int] = []
    inside, second_of_two = False, -1
    for place in quotes:
        if place == second_of_two:
            continue
        if not inside:
            if place == 0 or data[place - 1] in openers:
                inside = True
                found.append(place)
        elif data[place + 1 : place + 2] == b'"':
            second_of_two = place + 1
        else:
            inside = False
            found.append(place)
    return np.array(found, np.int64)


def outside_quotes(places: IntArray, quotes: IntArray) -> IntArray:
    """The places that are not within quotes."""
    quotes_before = np.searchsorted(quotes, places)
    outside: IntArray = places[quotes_before % 2 == 0]
    return outside


def split_record(record: bytes, delimiter: bytes, quotes: IntArray) -> list[bytes]:
    """The cells of one record without its line ending, with their quotes."""
    octets = np.frombuffer(record, np.uint8)
    delimiters = np.flatnonzero(octets == delimiter[0])
    cells, start = [], 0
    for place in outside_quotes(delimiters, quotes).tolist():
        cells.append(record[start:place])
        start = place + 1
    return [*cells, record[start:]]


def cell_text(cell: bytes) -> bytes:
    """The text of a cell: without the quotes around it, doubled quotes single.

    >>> cell_text(b'"5 ""wide"" shelf"')
    b'5 "wide" shelf'
    """
    if len(cell) >= 2 and cell.startswith(b'"') and cell.endswith(b'"'):
        return cell[1:-1].replace(b'""', b'"')
    return cell


def quoted(text: bytes, delimiter: bytes) -> bytes:
    """`text` as a cell, in quotes where it needs them."""
    if any(special in text for special in (delimiter, b'"', b"\n", b"\r")):
        return b'"' + text.replace(b'"', b'""') + b'"'
    return text


_BLANK = np.zeros(256, np.bool_)
_BLANK[list(b" \t")] = True
_AROUND = _BLANK.copy()
_AROUND[QUOTE] = True


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of one column: cell i is `data[start[i]:stop[i]]`."""

    data: bytes
    start: IntArray
    stop: IntArray

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, part: slice | BoolArray | IntArray) -> Cells:
        return Cells(self.data, self.start[part], self.stop[part])

    def texts(self) -> list[bytes]:
        """The bytes of every cell, as a list."""
        data = self.data
        return [data[a:b] for a, b in zip(self.start.tolist(), self.stop.tolist(), strict=True)]

    def text(self, row: int) -> str:
        """The cell in row `row`, for a message."""
        return self.data[self.start[row] : self.stop[row]].decode("utf-8", "replace")

    @property
    def bare(self) -> bool:
        """Whether no cell begins or ends in a quote, a space or a tab."""
        octets = np.frombuffer(self.data, np.uint8)
        first, last = octets[self.start], octets[self.stop - 1]
        return not (_AROUND[first].any() or _AROUND[last].any())

    def unquoted(self) -> Cells:
        """The cells without the quotes around them."""
        octets = np.frombuffer(self.data, np.uint8)
        is_quoted = (octets[self.start] == QUOTE) & (self.stop - self.start >= 2)
        is_quoted &= octets[self.stop - 1] == QUOTE
        if not is_quoted.any():
            return self
        return Cells(self.data, self.start + is_quoted, self.stop - is_quoted)

    def stripped(self) -> Cells:
        """The cells without the spaces and tabs around them."""
        octets = np.frombuffer(self.data, np.uint8)
        start, stop = self.start, self.stop
        while (blank := _BLANK[octets[start]] & (start < stop)).any():
            start = start + blank
        while (blank := _BLANK[octets[stop - 1]] & (start < stop)).any():
            stop = stop - blank
        return Cells(self.data, start, stop)

    def numerals(self) -> Cells:
        """The part of each cell that should read as a number."""
        if self.bare:
            return self
        within_quotes = self.stripped().unquoted()
        return within_quotes.stripped()


def cells_by_row(columns: list[Cells]) -> Cells:
    """The cells of several columns of one table, row by row."""
    if len(columns) == 1:
        return columns[0]
    start = np.stack([cells.start for cells in columns], axis=1)
    stop = np.stack([cells.stop for cells in columns], axis=1)
    return Cells(columns[0].data, start.reshape(-1), stop.reshape(-1))
