"""Delimited text as bytes: where records and cells lie, without parsing a cell.

Offsets are found by NumPy in whole blocks. A quote opens a cell only at the cell's start and closes it unless it is
doubled; any other quote is a character like any other (RFC 4180, and what the `csv` module of Python reads).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

Offsets = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]

QUOTE, RETURN = 34, 13
BLANKS = (32, 9)
BOM = b"\xef\xbb\xbf"
MAX_RECORD = 64 << 20
DELIMITERS = b",;\t"

# Bytes that are looked at together: what is made of them stays in the cache, and in memory that is there already.
NEAR = 1 << 17


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How cells and records are set apart.

    newline is what ends a record: a line feed (a carriage return before it belongs to the line ending), or a lone
    carriage return in files whose first line ends in one.
    """

    delimiter: bytes
    newline: bytes
    decimal: str = "."

    @property
    def number_needs_quotes(self) -> bool:
        """Whether a number may contain the delimiter."""
        return self.decimal.encode() == self.delimiter

    def is_blank(self, data: bytes) -> bool:
        """Whether `data` holds nothing but blank lines."""
        blanks = b" \t\r\n".replace(self.delimiter, b"")
        return not data[:1024].strip(blanks) and not data.strip(blanks)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Whole records as they stood in the input.

    index : position among the pieces; line : physical line of the first byte, counted from 1
    offset : bytes of UTF-8 before it
    marks : offsets of the quotes that open or close cells; padded : 1 where a missing last line end was added to `data`
    """

    index: int
    line: int
    offset: int
    data: bytes
    marks: Offsets
    padded: int = 0


@dataclass(frozen=True)
class Cells:
    """One column of a piece: cell i is `data[start[i]:stop[i]]`."""

    data: bytes
    start: Offsets
    stop: Offsets

    def __len__(self) -> int:
        return len(self.start)

    def texts(self) -> list[bytes]:
        """The cells one by one."""
        data = self.data
        return [data[a:b] for a, b in zip(self.start.tolist(), self.stop.tolist(), strict=True)]

    def text(self, row: int) -> str:
        """Cell `row` for a message."""
        return self.data[self.start[row] : self.stop[row]].decode("utf-8", "replace")

    @property
    def bare(self) -> bool:
        """Whether no cell begins or ends in a quote, a space or a tab."""
        octets = np.frombuffer(self.data, np.uint8)
        return not (_AROUND[octets[self.start]].any() or _AROUND[octets[self.stop - 1]].any())

    def unquoted(self) -> Cells:
        """The cells without the quotes around them."""
        octets = np.frombuffer(self.data, np.uint8)
        inside = (octets[self.start] == QUOTE) & (self.stop - self.start >= 2)
        inside &= octets[self.stop - 1] == QUOTE
        if not inside.any():
            return self
        return Cells(self.data, self.start + inside, self.stop - inside)

    def stripped(self) -> Cells:
        """The cells without the spaces and tabs around them."""
        octets, start, stop = np.frombuffer(self.data, np.uint8), self.start, self.stop
        while (wide := _blank(octets[start]) & (start < stop)).any():
            start = start + wide
        while (wide := _blank(octets[stop - 1]) & (start < stop)).any():
            stop = stop - wide
        return Cells(self.data, start, stop)

    def numerals(self) -> Cells:
        """The part of each cell that should read as a number."""
        return self if self.bare else self.stripped().unquoted().stripped()


_AROUND = np.zeros(256, np.bool_)
_AROUND[[QUOTE, *BLANKS]] = True


def _blank(octets: Octets) -> npt.NDArray[np.bool_]:
    blank: npt.NDArray[np.bool_] = (octets == BLANKS[0]) | (octets == BLANKS[1])
    return blank


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the rows and the wanted cells of a piece lie.

    bounds : (rows + 1,) row i with its line ending and the blank lines before it is `data[bounds[i]:bounds[i + 1]]`
    begins, ends : (rows,) where the first cell of a row begins and its last one ends
    """

    piece: Piece
    bounds: Offsets
    begins: Offsets
    ends: Offsets
    cells: dict[int, Cells]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.ends)

    def line(self, row: int, newline: bytes) -> int:
        """The physical line on which row `row` begins."""
        return self.piece.line + self.piece.data.count(newline, 0, int(self.begins[row]))

    def line_of_cell(self, row: int, column: int, newline: bytes) -> int:
        """The physical line on which a cell begins: later than the row's where line ends stand in quotes before it."""
        return self.piece.line + self.piece.data.count(
            newline, 0, int(self.cells[column].start[row])
        )


def quote_marks(data: bytes, openers: bytes) -> Offsets:
    """Offsets of the quotes that open or close cells, `data` starting at the start of a record.

    openers : the bytes after which a cell starts (delimiters and line ends).
    Between an opening and its closing mark the parity of the marks is odd; doubled quotes count as two.
    """
    if b'"' not in data:
        return np.empty(0, np.int64)
    octets = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(octets == QUOTE)
    starts, ends = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
    starts[[*openers, QUOTE]] = True
    ends[[*openers, QUOTE, RETURN]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    before = opening[1:] if opening[0] == 0 else opening
    after = closing[:-1] if len(closing) and closing[-1] == len(data) - 1 else closing
    if starts[octets[before - 1]].all() and ends[octets[after + 1]].all():
        return quotes
    return _walk_quotes(data, quotes.tolist(), frozenset(openers))


def _walk_quotes(data: bytes, quotes: list[int], openers: frozenset[int]) -> Offsets:
    """The marks where some quotes are plain characters, by walking from quote to quote."""
    marks: list[int] = []
    inside, doubled = False, -1
    for at in quotes:
        if at == doubled:
            continue
        if not inside:
            if at == 0 or data[at - 1] in openers:
                inside = True
                marks.append(at)
        elif data[at + 1 : at + 2] == b'"':
            doubled = at + 1
        else:
            inside = False
            marks.append(at)
    return np.array(marks, np.int64)


def end_of_records(data: bytes, marks: Offsets, newline: bytes) -> int:
    """One past the last line end that stands outside quotes; 0 if there is none."""
    stop = len(data)
    while (at := data.rfind(newline, 0, stop)) >= 0:
        before = int(np.searchsorted(marks, at))
        if before % 2 == 0:
            return at + 1
        stop = int(marks[before - 1])
    return 0


def split_record(record: bytes, delimiter: bytes, marks: Offsets) -> list[bytes]:
    """The cells of one record without its line ending, as they stand."""
    octets = np.frombuffer(record, np.uint8)
    cuts = np.flatnonzero(octets == delimiter[0])
    cuts = cuts[np.searchsorted(marks, cuts) % 2 == 0].tolist()
    return [
        record[a:b] for a, b in zip([0, *(c + 1 for c in cuts)], [*cuts, len(record)], strict=True)
    ]


def cell_text(cell: bytes) -> bytes:
    """What a cell says: without the quotes around it, doubled quotes single.

    >>> cell_text(b'"5 ""wide"" shelf"')
    b'5 "wide" shelf'
    """
    if len(cell) >= 2 and cell.startswith(b'"') and cell.endswith(b'"'):
        return cell[1:-1].replace(b'""', b'"')
    return cell


def group_name(inner: bytes) -> str:
    """What a group is called whose cells hold `inner` between their quotes.

    >>> group_name(b'5 ""wide"" shelf')
    '5 "wide" shelf'
    """
    return inner.replace(b'""', b'"').decode("utf-8", "surrogateescape")


def quoted(text: bytes, delimiter: bytes) -> bytes:
    """`text` as a cell, in quotes where it needs them."""
    if any(special in text for special in (delimiter, b'"', b"\n", b"\r")):
        return b'"' + text.replace(b'"', b'""') + b'"'
    return text


def lay_out(
    piece: Piece, dialect: Dialect, *, width: int, wanted: tuple[int, ...], name: str
) -> Layout:
    """Find the rows of a piece and the cells of the `wanted` columns.

    width : cells in every row. InputError names the first row that has more or fewer. Blank lines are no rows and go
    with the row after them, except in a table of one column, where an empty line is an empty cell.
    """
    octets = np.frombuffer(piece.data, np.uint8)
    cuts, lines = _cuts(octets, dialect)
    if len(piece.marks):
        cuts = cuts[np.searchsorted(piece.marks, cuts) % 2 == 0]
        lines = int(np.count_nonzero(octets[cuts] == dialect.newline[0]))
    if (
        len(cuts) == width * lines
        and (octets[cuts[width - 1 :: width]] == dialect.newline[0]).all()
    ):
        grid = cuts.reshape(-1, width)
        begins = np.concatenate(([0], grid[:-1, -1] + 1)) if len(grid) else np.empty(0, np.int64)
    else:
        is_end = octets[cuts] == dialect.newline[0]
        grid, begins = _uneven(piece, dialect, cuts, is_end, width=width, name=name)
    ends = grid[:, -1]
    if dialect.newline == b"\n" and len(ends):
        ends = ends - ((octets[ends - 1] == RETURN) & (ends > begins))
    bounds = np.concatenate(([0], grid[:, -1] + 1))
    bounds[-1] = len(piece.data) - piece.padded
    cells = {
        column: Cells(
            piece.data,
            begins if column == 0 else grid[:, column - 1] + 1,
            ends
            if column == width - 1
            else grid[:, column].copy(),  # a view would hold all of the grid
        )
        for column in wanted
    }
    return Layout(piece=piece, bounds=bounds, begins=begins, ends=ends, cells=cells)


def _cuts(octets: Octets, dialect: Dialect) -> tuple[Offsets, int]:
    """Where all delimiters and line ends stand, and how many line ends they are."""
    parts, lines = [np.empty(0, np.int64)], 0
    for first in range(0, len(octets), NEAR):
        part = octets[first : first + NEAR]
        found = part == dialect.newline[0]
        lines += int(np.count_nonzero(found))
        found |= part == dialect.delimiter[0]
        parts.append(np.flatnonzero(found) + first)
    return np.concatenate(parts), lines


def _uneven(
    piece: Piece,
    dialect: Dialect,
    cuts: Offsets,
    is_end: npt.NDArray[np.bool_],
    *,
    width: int,
    name: str,
) -> tuple[Offsets, Offsets]:
    """The cuts of a piece that has blank lines, `(rows, width)`, and where the rows begin; or the error it holds."""
    line_ends = np.flatnonzero(is_end)
    counts = np.diff(line_ends, prepend=-1)
    begins = np.concatenate(([0], cuts[line_ends][:-1] + 1))
    blank = np.zeros(len(counts), np.bool_)
    if width > 1:
        for i in np.flatnonzero(counts == 1).tolist():
            blank[i] = not piece.data[begins[i] : cuts[line_ends[i]]].strip()
    bad = np.flatnonzero((counts != width) & ~blank)
    if len(bad):
        line = piece.line + piece.data.count(dialect.newline, 0, int(begins[bad[0]]))
        raise InputError(
            f"{name}, line {line}: expected {width} {'cell' if width == 1 else 'cells'} as in the first line, "
            f"got {counts[bad[0]]}",
            hint="a cell that holds the delimiter must stand in quotes; -d sets another delimiter",
        )
    keep = np.ones(len(cuts), np.bool_)
    keep[line_ends[blank]] = False
    return cuts[keep].reshape(-1, width), begins[~blank]


def whole_records(
    reads: Iterator[bytes], dialect: Dialect, *, line: int, offset: int, width: int, name: str
) -> Iterator[Piece]:
    """Regroup what was read into pieces of whole records, wherever the reads were cut.

    line, offset : those of the first byte. The last piece may hold nothing but blank lines; every other has a row.
    """
    index, openers = 0, dialect.delimiter + dialect.newline
    parts: list[bytes] = []
    for fresh in reads:
        parts.append(fresh)
        if dialect.newline not in fresh:
            _refuse_endless(sum(map(len, parts)), line, name)
            continue
        data, marks, rest = _divided(parts, openers, dialect.newline)
        _refuse_endless(len(rest), line, name)
        parts = [data, rest]
        if data and (width == 1 or not dialect.is_blank(data)):
            piece = Piece(index=index, line=line, offset=offset, data=data, marks=marks)
            parts = [rest]
            offset += len(data)
            line += _count(data, dialect.newline)
            index += 1
            yield piece
    rest = b"".join(parts)
    if rest:
        yield _last_piece(rest, dialect, index=index, line=line, offset=offset, name=name)


def _divided(parts: list[bytes], openers: bytes, newline: bytes) -> tuple[bytes, Offsets, bytes]:
    """The whole records in what was read, their quotes and the rest; a line end stands in the last of the parts."""
    if not any(b'"' in part for part in parts):
        cut = parts[-1].rfind(newline) + 1
        return (
            b"".join((*parts[:-1], memoryview(parts[-1])[:cut])),
            np.empty(0, np.int64),
            parts[-1][cut:],
        )
    held = b"".join(parts)
    marks = quote_marks(held, openers)
    cut = end_of_records(held, marks, newline)
    return held[:cut], marks[: np.searchsorted(marks, cut)], held[cut:]


def _last_piece(
    rest: bytes, dialect: Dialect, *, index: int, line: int, offset: int, name: str
) -> Piece:
    marks = quote_marks(rest, dialect.delimiter + dialect.newline)
    if len(marks) % 2:
        line += rest.count(dialect.newline, 0, int(marks[-1]))
        raise InputError(
            f"{name}, line {line}: the quoted cell that opens here is never closed",
            hint="close it, or write a quote inside a quoted cell twice",
        )
    padded = 0 if rest.endswith(dialect.newline) else 1
    data = rest + dialect.newline * padded
    return Piece(index=index, line=line, offset=offset, data=data, marks=marks, padded=padded)


def _refuse_endless(length: int, line: int, name: str) -> None:
    if length > MAX_RECORD:
        raise InputError(
            f"{name}: the row that begins at or after line {line} is longer than {MAX_RECORD >> 20} MB",
            hint="is a quote left open, or is this no table?",
        )


def _count(data: bytes, newline: bytes) -> int:
    octets = np.frombuffer(data, np.uint8)
    return sum(
        int(np.count_nonzero(octets[first : first + NEAR] == newline[0]))
        for first in range(0, len(octets), NEAR)
    )
