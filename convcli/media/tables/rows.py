"""The rows of delimited text and their cells as offsets, found without parsing a cell.

NumPy finds the offsets of many rows at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError, shell_word
from convcli.media.tables.cells import RETURN, Cells, outside_quotes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.array_types import BoolArray, ByteArray, IntArray
    from convcli.media.tables.records import Dialect, Records

# So many bytes of a line are shown in a hint.
_MOST_QUOTED = 20


@dataclass(frozen=True, eq=False, kw_only=True)
class RowSpans:
    """Offsets of the rows and of the wanted cells in some records.

    bounds : (rows + 1,) row i with its line ending and the blank lines before it is
        `data[bounds[i]:bounds[i + 1]]`; the last line ending may be one that was added
    starts, stops : (rows,) start of the first cell and end of the last cell of a row
    cells : the cells of each wanted column, by its number
    """

    records: Records
    newline: bytes
    bounds: IntArray
    starts: IntArray
    stops: IntArray
    cells: dict[int, Cells]

    @property
    def count(self) -> int:
        """The number of rows that were found."""
        return len(self.stops)

    def place_of_cell(self, row: int, column: int) -> str:
        """The line of a cell, for messages: not that of its row after a line end in quotes."""
        place = self.cells[column].start[row]
        line = self.records.line + self.records.data.count(self.newline, 0, place)
        return f"line {line}"

    def advice_on_words(self, row: int) -> str | None:
        """How to leave out a row without a digit, such as one of units; None for another row.

        None for a line of JSON, too: its names are not in a row of their own.
        """
        text = self.records.data[self.starts[row] : self.stops[row]]
        beginning = text[:_MOST_QUOTED].decode("utf-8", "ignore")
        if re.search(rb"\d|^\s*\{", text) or not beginning.strip():
            return None
        option = f"--comment {shell_word(beginning)}"
        return f"{option} leaves out a row of units"


def find_rows(
    records: Records, dialect: Dialect, *, width: int, wanted: Iterable[int], name: str
) -> RowSpans:
    """Find the rows of some records and the cells of the `wanted` columns.

    width : cells in every row. InputError names the first row that has more or fewer.
    Blank lines are not rows and belong to the row after them. In a table of one column, though, an
    empty line is an empty cell.
    """
    data = records.data
    octets = np.frombuffer(data, np.uint8)
    grid, starts = _row_separators(records, dialect, width=width, name=name)
    line_ends = grid[:, -1]
    stops = line_ends
    if dialect.newline == b"\n" and len(stops):
        last = octets[stops - 1]
        stops = stops - ((last == RETURN) & (stops > starts))
    bounds = np.concatenate(([0], line_ends + 1))
    bounds[-1] = len(data)
    columns = sorted(set(wanted))
    cells = _cells_of_columns(data, starts, stops, grid, columns)
    return RowSpans(
        records=records,
        newline=dialect.newline,
        bounds=bounds,
        starts=starts,
        stops=stops,
        cells=cells,
    )


def _cells_of_columns(
    data: bytes, starts: IntArray, stops: IntArray, grid: IntArray, columns: list[int]
) -> dict[int, Cells]:
    """The cells of some columns; `grid` holds the offset after each cell, `(rows, width)`."""
    last = grid.shape[1] - 1
    # Copies, one row for each column: a view would keep the whole grid in memory.
    places = np.array(columns, np.int64)
    cell_starts = grid.T[places - 1] + 1
    cell_stops = grid.T[places]
    cells = {}
    for number, column in enumerate(columns):
        start = starts if column == 0 else cell_starts[number]
        stop = stops if column == last else cell_stops[number]
        cells[column] = Cells(data, start, stop)
    return cells


def _row_separators(
    records: Records, dialect: Dialect, *, width: int, name: str
) -> tuple[IntArray, IntArray]:
    """The offset after each cell, `(rows, width)`, and the starts of the rows."""
    newline = dialect.newline[0]
    octets = np.frombuffer(records.parsed, np.uint8)
    separators, lines = _separators(octets, dialect)
    if len(records.quotes):
        separators = outside_quotes(separators, records.quotes)
        is_line_end = octets[separators] == newline
        lines = int(np.count_nonzero(is_line_end))
    if len(separators) == width * lines and not (width == 1 and records.is_commented):
        last_of_rows = octets[separators[width - 1 :: width]]
        if (last_of_rows == newline).all():
            grid = separators.reshape(-1, width)
            starts = np.concatenate(([0], grid[:-1, -1] + 1))
            return grid, starts[: len(grid)]
    return _without_blank_lines(records, dialect, separators, width=width, name=name)


def _separators(octets: ByteArray, dialect: Dialect) -> tuple[IntArray, int]:
    """Offsets of all delimiters and line ends, and the number of line ends."""
    # Few calls on a whole block, since threads wait for each other at every call: beside a second
    # thread, calls on parts that stay in the cache took four times as long (measured).
    found = octets == dialect.newline[0]
    lines = int(np.count_nonzero(found))
    found |= octets == dialect.delimiter[0]
    return np.flatnonzero(found), lines


def _without_blank_lines(
    records: Records, dialect: Dialect, separators: IntArray, *, width: int, name: str
) -> tuple[IntArray, IntArray]:
    """Find the separators of rows among blank lines, as `_row_separators` does.

    Raises InputError if a line that is not blank has not `width` cells.
    """
    octets = np.frombuffer(records.parsed, np.uint8)
    is_line_end = octets[separators] == dialect.newline[0]
    ends = np.flatnonzero(is_line_end)  # places among the separators
    counts = np.diff(ends, prepend=-1)
    stops = separators[ends]
    starts = np.concatenate(([0], stops[:-1] + 1))
    blank = _are_blank(records, starts, stops, counts == 1, width=width)
    wrong = np.flatnonzero((counts != width) & ~blank)
    if len(wrong):
        first = wrong[0]
        start = int(starts[first])
        line = records.line + records.parsed.count(dialect.newline, 0, start)
        text = records.parsed[start : stops[first]].rstrip(b"\r")
        place = f"{name}, line {line}"
        raise _wrong_cell_count(place, text, dialect, width=width, count=int(counts[first]))
    keep = np.ones(len(separators), np.bool_)
    keep[ends[blank]] = False
    return separators[keep].reshape(-1, width), starts[~blank]


def _are_blank(
    records: Records, starts: IntArray, stops: IntArray, has_one_cell: BoolArray, *, width: int
) -> BoolArray:
    """Which lines are blank or comments; in a table of one column a blank line is an empty cell.

    starts, stops : of the lines, without their line ends
    """
    data = records.parsed
    blank = np.zeros(len(starts), np.bool_)
    if records.is_commented:
        octets = np.frombuffer(data, np.uint8)
        blank = has_one_cell & (octets[starts] == 0)
    if width > 1:
        for line in np.flatnonzero(has_one_cell).tolist():
            text = data[starts[line] : stops[line]]
            blank[line] = not text.strip(b" \t\r\0")
    return blank


def _wrong_cell_count(
    place: str, line: bytes, dialect: Dialect, *, width: int, count: int
) -> InputError:
    """The error for a line of `count` cells in a table of `width` columns."""
    hint = _hint_for(line, dialect, width=width, count=count)
    noun = "cell" if width == 1 else "cells"
    return InputError(
        f"{place}: expected {width} {noun} as in the first line, got {count}", hint=hint
    )


def _hint_for(line: bytes, dialect: Dialect, *, width: int, count: int) -> str:
    """What to try for a line of `count` cells in a table of `width` columns."""
    if line.startswith(b"#"):
        return "--comment '#' leaves out lines that begin with #"
    if width == 1:
        return (
            "--skip-rows N leaves out N lines before the header, --comment '#' those that begin "
            "with #; a cell that holds the delimiter must stand in quotes"
        )
    if count == width + 1 and line.endswith(dialect.delimiter):
        sign = dialect.delimiter.decode()
        return f"the line ends with {sign!r}, and the first line does not: add one there"
    return "a cell that holds the delimiter must stand in quotes; -d sets another delimiter"
