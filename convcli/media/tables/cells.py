"""The cells of a column as offsets into the text of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.tables.quotes import QUOTE

if TYPE_CHECKING:
    from convcli.array_types import BoolArray, IntArray


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
