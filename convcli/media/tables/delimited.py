"""Delimited text as bytes: offsets of records and cells, found without parsing a cell.

NumPy finds the offsets of many rows at once. A quote opens a cell only at the cell's start, and
closes it unless it is doubled; any other quote is a character like any other (RFC 4180, and what
the `csv` module of Python reads).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.tables.numerals import PLAIN
from convcli.signals import Groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.array_types import BoolArray, ByteArray, IntArray
    from convcli.media.tables.numerals import NumberStyle


QUOTE, RETURN = ord('"'), ord("\r")
BOM = b"\xef\xbb\xbf"
MAX_RECORD = 64 << 20
# Bytes of a pipe that are held until each column has shown a cell that is not missing.
MAX_HELD_UNDECIDED = 16 << 20
# Between the keys of a group. No cell holds it: a table with a zero byte is refused.
BETWEEN_KEYS = b"\0"
DELIMITERS = b",;\t"

# Bytes that are searched together, so that temporary arrays stay in the cache.
NEAR = 1 << 17

# Lines of zero bytes, which are comments.
_COMMENTS_ONLY = re.compile(rb"(?:\0+[\r\n])*")

_BLANK = np.zeros(256, np.bool_)
_BLANK[list(b" \t")] = True
_AROUND = _BLANK.copy()
_AROUND[QUOTE] = True


@dataclass(frozen=True, eq=False, kw_only=True)
class Dialect:
    """The characters that separate cells and records.

    newline : ends a record: a line feed (a carriage return before it belongs to the line ending),
        or a lone carriage return in files whose first line ends in one
    numbers : how numbers are written
    comment : what a line begins with that is not a row; empty: every line that is not blank is one
    has_quotes : a cell may be in quotes, and line ends within quotes end no record
    """

    delimiter: bytes
    newline: bytes
    numbers: NumberStyle = PLAIN
    comment: bytes = b""
    has_quotes: bool = True

    @property
    def separators(self) -> bytes:
        """The bytes after which a cell starts."""
        return self.delimiter + self.newline

    @property
    def number_needs_quotes(self) -> bool:
        """Whether a number may contain the delimiter."""
        return self.numbers.decimal.encode() == self.delimiter

    def has_rows(self, records: Records, width: int) -> bool:
        """Whether records are more than blank lines and comments.

        In a table of one column a blank line is a row.
        """
        parsed = records.parsed
        if width == 1:
            return not records.is_commented or not _COMMENTS_ONLY.fullmatch(parsed)
        blanks = b" \t\r\n\0".replace(self.delimiter, b"")
        return bool(parsed[:1024].strip(blanks)) or bool(parsed.strip(blanks))

    def without_comments(self, data: bytes) -> bytes:
        """`data` with a zero byte in the place of every byte of a comment.

        data : begins at the start of a record
        """
        if not self.comment or self.comment not in data:
            return data
        newline = re.escape(self.newline)
        comment = re.escape(self.comment)
        comments = re.compile(b"(?<![^%b])%b[^%b]*" % (newline, comment, newline))
        parts = []
        start = 0
        for found in comments.finditer(data):
            before = data[start : found.start()]
            # Within quotes, a line is a part of a cell.
            if len(find_quotes(before, self.separators)) % 2 == 0:
                parts += [before, bytes(len(found[0]))]
                start = found.end()
        return b"".join((*parts, data[start:])) if parts else data

    def quotes_in(self, data: bytes) -> IntArray:
        """Offsets of the quotes that open or close cells; `data` begins with a record."""
        return find_quotes(data if self.has_quotes else b"", self.separators)

    def records(self, data: bytes, *, line: int, offset: int, padded: int = 0) -> Records:
        """Whole records, with the places of their quotes and comments."""
        parsed = self.without_comments(data)
        return Records(
            line=line,
            offset=offset,
            data=data,
            parsed=parsed,
            quotes=self.quotes_in(parsed),
            padded=padded,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Records:
    """Some whole records of a table, byte for byte.

    line : line number of the first byte, counted from 1 · offset : bytes of UTF-8 text before it
    parsed : `data` with zero bytes in the place of comments, the same object if it has none
    quotes : offsets of the quotes that open or close cells
    padded : 1 if a line end was added to `data` because the last one was missing, else 0
    """

    line: int
    offset: int
    data: bytes
    parsed: bytes
    quotes: IntArray
    padded: int = 0

    @property
    def size(self) -> int:
        """Size of the text of the records, in bytes."""
        return len(self.data)

    @property
    def is_commented(self) -> bool:
        """Whether some line is a comment."""
        return self.parsed is not self.data


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


@dataclass(frozen=True, eq=False, kw_only=True)
class RowSpans:
    """Offsets of the rows and of the wanted cells in some records.

    bounds : (rows + 1,) row i with its line ending and the blank lines before it is
        `data[bounds[i]:bounds[i + 1]]`
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


def end_of_records(data: bytes, quotes: IntArray, newline: bytes) -> int:
    """The offset after the last line end outside quotes, 0 if there is none."""
    stop = len(data)
    while (place := data.rfind(newline, 0, stop)) >= 0:
        quotes_before = int(np.searchsorted(quotes, place))
        if quotes_before % 2 == 0:
            return place + 1
        stop = int(quotes[quotes_before - 1])
    return 0


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


def group_name(inner: bytes) -> str:
    """The name of a group whose cells hold `inner` between their quotes.

    >>> group_name(b'5 ""wide"" shelf'), group_name(b"MSFT" + BETWEEN_KEYS + b"2024")
    ('5 "wide" shelf', 'MSFT,2024')
    """
    shown = inner.replace(b'""', b'"').replace(BETWEEN_KEYS, b",")
    return shown.decode("utf-8", "surrogateescape")


def joined_groups(first: Groups, second: Groups) -> Groups:
    """The groups of rows that agree in both keys, in order of appearance."""
    pairs = first.codes * len(second.names) + second.codes
    found, first_rows, codes = np.unique(pairs, return_index=True, return_inverse=True)
    order = np.argsort(first_rows)
    names = []
    for pair in found[order].tolist():
        one, other = divmod(pair, len(second.names))
        names.append(first.names[one] + BETWEEN_KEYS + second.names[other])
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return Groups(names, places[codes])


def quoted(text: bytes, delimiter: bytes) -> bytes:
    """`text` as a cell, in quotes where it needs them."""
    if any(special in text for special in (delimiter, b'"', b"\n", b"\r")):
        return b'"' + text.replace(b'"', b'""') + b'"'
    return text


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
    bounds[-1] = len(data) - records.padded
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
    parts, lines = [np.empty(0, np.int64)], 0
    for start in range(0, len(octets), NEAR):
        part = octets[start : start + NEAR]
        found = part == dialect.newline[0]
        lines += int(np.count_nonzero(found))
        found |= part == dialect.delimiter[0]
        parts.append(np.flatnonzero(found) + start)
    return np.concatenate(parts), lines


def _without_blank_lines(
    records: Records, dialect: Dialect, separators: IntArray, *, width: int, name: str
) -> tuple[IntArray, IntArray]:
    """Find the separators of rows among blank lines, as `_row_separators` does.

    InputError if a line that is not blank has not `width` cells.
    """
    data, newline = records.parsed, dialect.newline
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets[separators] == newline[0])  # places among the separators
    counts = np.diff(ends, prepend=-1)
    stops = separators[ends]
    starts = np.concatenate(([0], stops[:-1] + 1))
    has_one_cell = counts == 1
    blank = np.zeros(len(counts), np.bool_)
    if records.is_commented:
        blank = has_one_cell & (octets[starts] == 0)
    if width > 1:
        for line in np.flatnonzero(has_one_cell).tolist():
            text = data[starts[line] : stops[line]]
            blank[line] = not text.strip(b" \t\r\0")
    wrong = np.flatnonzero((counts != width) & ~blank)
    if len(wrong):
        first = wrong[0]
        line = records.line + data.count(newline, 0, starts[first])
        raise _wrong_cell_count(f"{name}, line {line}", width, int(counts[first]))
    keep = np.ones(len(separators), np.bool_)
    keep[ends[blank]] = False
    return separators[keep].reshape(-1, width), starts[~blank]


def _wrong_cell_count(place: str, width: int, count: int) -> InputError:
    """The error for a line of `count` cells in a table of `width` columns."""
    noun = "cell" if width == 1 else "cells"
    return InputError(
        f"{place}: expected {width} {noun} as in the first line, got {count}",
        hint="a cell that holds the delimiter must stand in quotes; -d sets another delimiter",
    )


def whole_records(
    reads: Iterator[bytes], dialect: Dialect, *, line: int, offset: int, width: int, name: str
) -> Iterator[Records]:
    """Regroup text into whole records, wherever the reads were cut.

    line, offset : line number and offset of the first byte
    The last records may be only blank lines and comments; all others have a row.
    """
    unread: list[bytes] = []
    for fresh in reads:
        unread.append(fresh)
        if dialect.newline not in fresh:
            _refuse_endless(sum(map(len, unread)), line, name)
            continue
        records, rest = _split_off_records(unread, dialect, line=line, offset=offset)
        _refuse_endless(len(rest), line, name)
        unread = [records.data, rest]
        if records.data and dialect.has_rows(records, width):
            unread = [rest]
            yield records
            offset += len(records.data)
            line += _count_lines(records.data, dialect.newline)
    rest = b"".join(unread)
    if rest:
        yield _last_records(rest, dialect, line=line, offset=offset, name=name)


def _split_off_records(
    parts: list[bytes], dialect: Dialect, *, line: int, offset: int
) -> tuple[Records, bytes]:
    """The whole records in `parts`, and the rest; the last part holds a line end."""
    if not dialect.has_quotes or not any(b'"' in part for part in parts):
        last = parts[-1]
        cut = last.rfind(dialect.newline) + 1
        data = b"".join((*parts[:-1], memoryview(last)[:cut]))
        return dialect.records(data, line=line, offset=offset), last[cut:]
    held = b"".join(parts)
    parsed = dialect.without_comments(held)
    quotes = find_quotes(parsed, dialect.separators)
    cut = end_of_records(parsed, quotes, dialect.newline)
    data = held[:cut]
    records = Records(
        line=line,
        offset=offset,
        data=data,
        parsed=data if parsed is held else parsed[:cut],
        quotes=quotes[: np.searchsorted(quotes, cut)],
    )
    return records, held[cut:]


def _last_records(rest: bytes, dialect: Dialect, *, line: int, offset: int, name: str) -> Records:
    padded = 0 if rest.endswith(dialect.newline) else 1
    data = rest + dialect.newline * padded
    records = dialect.records(data, line=line, offset=offset, padded=padded)
    quotes = records.quotes
    if len(quotes) % 2:
        line += rest.count(dialect.newline, 0, int(quotes[-1]))
        raise InputError(
            f"{name}, line {line}: the quoted cell that opens here is never closed",
            hint="close it, or write a quote inside a quoted cell twice",
        )
    return records


def join_records(parts: list[Records]) -> Records:
    """Put consecutive records together."""
    quotes, length = [], 0
    for records in parts:
        quotes.append(records.quotes + length)
        length += len(records.data)
    data = b"".join(records.data for records in parts)
    parsed = data
    if any(records.is_commented for records in parts):
        parsed = b"".join(records.parsed for records in parts)
    return Records(
        line=parts[0].line,
        offset=parts[0].offset,
        data=data,
        parsed=parsed,
        quotes=np.concatenate(quotes),
        padded=parts[-1].padded,
    )


def _refuse_endless(length: int, line: int, name: str) -> None:
    if length > MAX_RECORD:
        raise InputError(
            f"{name}: the row that begins at or after line {line} "
            f"is longer than {MAX_RECORD >> 20} MB",
            hint="is a quote left open, or is this no table?",
        )


def _count_lines(data: bytes, newline: bytes) -> int:
    """Number of line ends, counted seven times as fast as by `bytes.count`."""
    octets = np.frombuffer(data, np.uint8)
    total = 0
    for start in range(0, len(octets), NEAR):
        part = octets[start : start + NEAR]
        total += int(np.count_nonzero(part == newline[0]))
    return total


def at_most_one(records: Iterator[Records]) -> list[Records]:
    """The next records, or nothing at the end."""
    following = next(records, None)
    return [] if following is None else [following]
