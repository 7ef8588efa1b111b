"""CSV and TSV as signals: numeric columns in and out, every other byte as it was.

A `TableSource` finds the cells of the wanted columns and reads no others. A `TableSink` made for it splices new numbers
into the rows of the source; the two share the text of the rows that are on their way.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convcli.errors import InputError, RequestError, nearest
from convcli.media.tables.delimited import Cells, Layout, lay_out, quote_marks, whole_records
from convcli.media.tables.numerals import (
    BadCellError,
    columnar,
    distinct,
    read_number,
    read_numbers,
)
from convcli.media.tables.splicing import Document, Passage
from convcli.media.tables.text import (
    Encoding,
    Header,
    Text,
    delimiter_of,
    find_encoding,
    read_header,
)
from convcli.signals import TABLE, Block, Groups, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.media.tables.delimited import Piece
    from convcli.media.tables.numerals import Floats
    from convcli.media.tables.splicing import Faded, Offsets
    from convcli.media.tables.times import Clock, PieceTimes, TimeKeeper, Where

# Cells of a column that are looked at together for the first one that is not missing.
PROBE = 50
DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table is read and written.

    columns : the columns to filter; None for every one whose first cell that is not missing is a number
    by : the column that names the group of a row; time : the column that sets the rate
    delimiter : one character, or None to see from the suffix (.tsv) or the first line
    header : whether the first line names the columns; else they are called 1, 2, 3, ...
    append : write new columns at the end of the row instead of replacing the cells
    decimals : fixed decimals of the numbers written; None for the shortest that read back the same
    follow : hand rows on as soon as they are there
    """

    columns: tuple[str, ...] | None = None
    by: str | None = None
    time: str | None = None
    delimiter: str | None = None
    decimal: str = "."
    header: bool = True
    encoding: str = "utf-8"
    append: bool = False
    decimals: int | None = None
    follow: bool = False


@dataclass(frozen=True)
class _Opening:
    """A table that was opened: what stands before its rows, and the pieces to come."""

    encoding: Encoding
    header: Header
    pieces: Iterator[Piece]
    closing: ExitStack


class TableSource:
    """The wanted columns of a table. Made by `open_table`.

    signal : one channel per filtered column, named as it is; `rate` and `cycle` from the time column
    header : the names of all columns; columns : the places of the filtered ones
    warnings : what the user should know
    """

    signal: Signal

    def __init__(self, text: Text, options: TableOptions) -> None:
        self.name = text.name
        self.options = options
        self.warnings: list[str] = []
        self._text = text
        self._document: Document | None = None
        opening = self._open()
        self.encoding, self.layout_header, self.dialect = (
            opening.encoding,
            opening.header,
            opening.header.dialect,
        )
        self.header = self._names(opening.header)
        self._by = self._optional(options.by)
        self._time = self._optional(options.time)
        # Where rows are followed and nothing has to be learnt from them, the header does not wait for the first.
        waits = options.columns is None or self._time is not None or not options.follow
        seen = list(self._first_pieces(opening.pieces)) if waits else []
        self._clock: Clock | None = None
        self.columns = self._find_columns(seen)
        if self._time is not None:
            seen += self._find_clock(self._time, seen, opening.pieces)
        rate, cycle = self._rate()
        channels = tuple(self.header[column] for column in self.columns)
        self.signal = Signal(medium=TABLE, shape=(None,), channels=channels, rate=rate, cycle=cycle)
        self._resume: _Opening | None = None
        if text.repeatable:
            opening.closing.close()
        else:
            pieces = chain(seen, opening.pieces)
            self._resume = _Opening(opening.encoding, opening.header, pieces, opening.closing)
        self._start_over()

    # --- the Source protocol ---

    def chunks(self) -> Iterator[Piece]:
        """Whole records, as they stand. A second call starts over; InputError where the input was a pipe."""
        opening, self._resume = self._resume, None
        if opening is None:
            if not self._text.repeatable:
                raise InputError(
                    f"{self.name}: a pipe can be read only once", hint="write it to a file first"
                )
            opening = self._open()
        self._start_over()
        with opening.closing:
            for piece in opening.pieces:
                if len(self.header) > 1 and self.dialect.is_blank(piece.data):
                    self._keep_tail(piece)
                else:
                    yield piece

    def decode(self, raw: Piece) -> Block:
        """The filtered columns of a piece as float64, NaN where missing; InputError for a cell that is no number."""
        passage, x = self._passage(raw)
        layout = passage.layout
        groups = None if self._by is None else _groups(layout.cells[self._by])
        times = None
        if self._clock is not None and self._time is not None:
            times = self._clock.times_of(self._where(layout, self._time), groups)
        missing = np.isnan(x).sum(axis=0)
        return Block(x, groups, partial(self._arrived, passage, missing, times))

    def _arrived(self, passage: Passage, missing: Offsets, times: PieceTimes | None) -> None:
        """Check the times of rows that follow those before, count them and keep their text."""
        if self._keeper is not None and times is not None:
            self._keeper.check(times)
        self._rows += passage.layout.rows
        self._missing += missing
        if self._document is not None:
            self._document.add(passage)

    # --- for the sink and the report ---

    def keep_text(self) -> Document:
        """From now on keep the text of decoded rows, in the document returned; without one no text is kept."""
        again = self._text.repeatable and self.encoding.stored is None
        self._document = Document(self._recall if again else None)
        return self._document

    def facts(self) -> dict[str, Any]:
        """What was read so far."""
        missing = dict(zip(self.signal.channels, self._missing.tolist(), strict=True))
        return {
            "name": self.name,
            "rows": self._rows,
            "columns": list(self.header),
            "missing": missing,
        }

    # --- opening ---

    def _open(self) -> _Opening:
        options, text, closing = self.options, self._text, ExitStack()
        stream = text.open()
        if text.path is not None:
            closing.enter_context(stream)
        stored = text.reads(stream)
        first = b""
        while len(first) < 4 and (more := next(stored, b"")):
            first += more
        encoding = find_encoding(options.encoding, first)
        reads = text.decoded(chain([first] if first else [], stored), encoding)
        header, rest = self._read_header(reads)
        pieces = whole_records(
            chain([rest] if rest else [], reads),
            header.dialect,
            line=1 + header.text.count(header.dialect.newline),
            offset=len(header.text),
            width=len(header.cells),
            name=self.name,
        )
        return _Opening(encoding, header, pieces, closing)

    def _read_header(self, reads: Iterator[bytes]) -> tuple[Header, bytes]:
        """The header and what was read beyond it."""
        options, start, header = self.options, b"", None
        delimiter = (
            delimiter_of(self._text.path)
            if options.delimiter is None
            else options.delimiter.encode()
        )
        while header is None:
            fresh = next(reads, b"")
            start += fresh
            header = read_header(
                start,
                delimiter=delimiter,
                decimal=options.decimal,
                headed=options.header,
                complete=not fresh,
            )
        if not start.strip():
            raise InputError(
                f"{self.name}: expected a table, got an empty file",
                hint="a table has at least a header line",
            )
        return header, start[len(header.text) :]

    def _names(self, header: Header) -> tuple[str, ...]:
        if not self.options.header:
            return tuple(str(1 + i) for i in range(len(header.cells)))
        return tuple(self.encoding.name(cell) for cell in header.cells)

    def _first_pieces(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        piece = next(pieces, None)
        if piece is not None:
            yield piece

    # --- columns ---

    def _optional(self, name: str | None) -> int | None:
        return None if name is None else self._find(name)

    def _keys(self) -> set[int]:
        return {column for column in (self._by, self._time) if column is not None}

    def _find(self, name: str) -> int:
        """The place of the column called `name`."""
        count = self.header.count(name)
        if count == 1:
            return self.header.index(name)
        listed = _listed(self.header)
        if count > 1:
            places = " and ".join(
                str(1 + i) for i, other in enumerate(self.header) if other == name
            )
            raise RequestError(
                f"{self.name}: column {name!r} is ambiguous: columns {places} are called so",
                hint="rename one of them, or leave the header out and use --no-header with numbers",
            )
        near = nearest(name, list(self.header))
        hint = (
            f"did you mean {near}? The columns are {listed}"
            if near
            else f"the columns are {listed}"
        )
        raise RequestError(
            f"{self.name}: unknown column {name!r}", hint=_parted(self.header) or hint
        )

    def _find_columns(self, seen: list[Piece]) -> tuple[int, ...]:
        if self.options.columns is not None:
            found = tuple(self._find(name) for name in self.options.columns)
            twice = next(
                (name for name in self.options.columns if self.options.columns.count(name) > 1),
                None,
            )
            if twice is not None:
                raise RequestError(f"column {twice!r} is asked for twice")
            return found
        if not seen or (len(self.header) > 1 and self.dialect.is_blank(seen[0].data)):
            return ()
        others = [column for column in range(len(self.header)) if column not in self._keys()]
        layout = self._lay_out(seen[0], set(others))
        numeric = tuple(
            column for column in others if self._is_numeric(layout.cells[column].numerals())
        )
        if not numeric:
            raise InputError(
                f"{self.name}: expected a column of numbers, found none among {_listed(self.header)}",
                hint=_parted(self.header)
                or "-c names the columns to filter, --decimal , reads decimal commas",
            )
        return numeric

    def _is_numeric(self, cells: Cells) -> bool:
        """Whether the first cell that is not missing is a number: no later row changes what the first ones become."""
        for start in range(0, len(cells), PROBE):
            for text in Cells(
                cells.data, cells.start[start : start + PROBE], cells.stop[start : start + PROBE]
            ).texts():
                try:
                    if not np.isnan(read_number(text, self.dialect.decimal)):
                        return True
                except ValueError:
                    return False
        return False

    # --- decoding ---

    def _lay_out(self, piece: Piece, wanted: set[int]) -> Layout:
        return lay_out(
            piece,
            self.dialect,
            width=len(self.header),
            wanted=tuple(sorted(wanted)),
            name=self.name,
        )

    def _passage(self, piece: Piece) -> tuple[Passage, Floats]:
        """The rows of a piece and their numbers, `(rows, columns)`."""
        layout = self._lay_out(piece, {*self.columns, *self._keys()})
        numerals = tuple(layout.cells[column].numerals() for column in self.columns)
        x = np.empty((layout.rows, len(self.columns)))
        for channel, column in enumerate(self.columns):
            x[:, channel] = self._read(layout, numerals[channel], column)
        missing = np.isnan(x)
        return Passage(layout, numerals, missing if missing.any() else None), x

    def _recall(self, faded: Faded) -> Passage:
        """Read a passage again."""
        with self._text.open() as stream:
            stream.seek(faded.piece.offset)
            data = stream.read(faded.length - faded.piece.padded)
        data += self.dialect.newline * faded.piece.padded
        marks = quote_marks(data, self.dialect.delimiter + self.dialect.newline)
        return self._passage(replace(faded.piece, data=data, marks=marks))[0]

    def _read(self, layout: Layout, cells: Cells, column: int) -> Any:
        try:
            return read_numbers(cells, decimal=self.dialect.decimal)
        except BadCellError as bad:
            line = layout.line_of_cell(bad.row, column, self.dialect.newline)
            raise InputError(
                f"{self.name}, line {line}, column {self.header[column]}: "
                f"expected a number, got {_shown(layout.cells[column].text(bad.row))}",
                hint=bad.hint
                if self.options.columns is not None
                else f"{bad.hint}; -c names the columns to filter",
            ) from None

    def _keep_tail(self, piece: Piece) -> None:
        if self._document is not None:
            self._document.tail = piece.data[: len(piece.data) - piece.padded]

    def _start_over(self) -> None:
        self._rows = 0
        self._missing = np.zeros(len(self.columns), np.int64)
        self._keeper = self._new_keeper()
        if self._document is not None:
            self._document.restart()

    # --- time ---

    def _find_clock(self, column: int, seen: list[Piece], pieces: Iterator[Piece]) -> list[Piece]:
        """Infer the clock from the first rows; the further pieces that had to be read for it."""
        from convcli.media.tables.times import infer_clock

        more: list[Piece] = []
        while True:
            ready = [self._lay_out(piece, self._keys()) for piece in (*seen, *more)]
            ready = [layout for layout in ready if layout.rows]
            if ready:
                where, groups = self._joined(ready, column)
                self._clock = infer_clock(
                    where.cells, groups, where=where, decimal=self.dialect.decimal
                )
            piece = None if self._clock is not None else next(pieces, None)
            if piece is None:
                return more
            more.append(piece)

    def _joined(self, layouts: list[Layout], column: int) -> tuple[Where, Groups | None]:
        """The time cells and the groups of several pieces as one."""
        if len(layouts) == 1:
            groups = None if self._by is None else _groups(layouts[0].cells[self._by])
            return self._where(layouts[0], column), groups
        from convcli.media.tables.times import Where

        data = b"".join(layout.piece.data for layout in layouts)
        shifts = np.cumsum([0, *(len(layout.piece.data) for layout in layouts[:-1])])

        def join(place: int) -> Cells:
            parts = [layout.cells[place] for layout in layouts]
            start = np.concatenate(
                [cells.start + shift for cells, shift in zip(parts, shifts, strict=True)]
            )
            stop = np.concatenate(
                [cells.stop + shift for cells, shift in zip(parts, shifts, strict=True)]
            )
            return Cells(data, start, stop)

        cells, first = join(column).numerals(), layouts[0].piece.line
        newline = self.dialect.newline
        where = Where(
            self.name,
            self.header[column],
            lambda row: first + data.count(newline, 0, int(cells.start[row])),
            cells,
        )
        return where, None if self._by is None else _groups(join(self._by))

    def _where(self, layout: Layout, column: int) -> Where:
        from convcli.media.tables.times import Where

        newline, cells = self.dialect.newline, layout.cells[column].numerals()
        return Where(
            self.name,
            self.header[column],
            lambda row: layout.line_of_cell(row, column, newline),
            cells,
        )

    def _rate(self) -> tuple[float | None, float]:
        if self._time is None:
            return None, 1.0
        if self._clock is not None:
            if self._clock.ambiguous:
                self.warnings.append(
                    f"{self.name}: the dates in {self._clock.column} are read with the month first, "
                    "but would be as regular with the day first; dates like 2024-02-01 leave no doubt"
                )
            return self._clock.rate, self._clock.cycle
        self.warnings.append(
            f"{self.name}: too few rows to know how often they come; one a day is assumed"
        )
        return 1 / DAY, DAY

    def _new_keeper(self) -> TimeKeeper | None:
        if self._clock is None:
            return None
        from convcli.media.tables.times import TimeKeeper

        return TimeKeeper(self._clock)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def _parted(header: tuple[str, ...]) -> str | None:
    """What to try where the only column has a name that looks like several, parted by another delimiter."""
    sign = (
        next((sign for sign in ";|\t " if sign in header[0].strip()), None)
        if len(header) == 1
        else None
    )
    return None if sign is None else f"-d {sign!r} where that parts the cells of {header[0]!r}"


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:57] + "...")


def _groups(cells: Cells) -> Groups:
    """The group of each row: names without their quotes, numbered as they come."""
    cells = cells if cells.bare else cells.unquoted()
    if columnar(len(cells.data)):
        return Groups(*distinct(cells))
    texts = cells.texts()
    names: dict[bytes, int] = {}
    codes = np.fromiter(
        (names.setdefault(text, len(names)) for text in texts), np.int64, len(texts)
    )
    return Groups(list(names), codes)


def open_table(
    path: Path | None, *, options: TableOptions, stdin: BinaryIO | None = None
) -> TableSource:
    """Open a table and read as much of it as is needed to know its columns and its rate.

    path : a file, or None for `stdin` (default: the standard input). Raises InputError for what is no table,
    RequestError for a column or an option that does not fit.
    """
    _check(options)
    text = Text(path=path, stdin=stdin, asked=options.encoding, follow=options.follow)
    return TableSource(text, _normal(options))


def _normal(options: TableOptions) -> TableOptions:
    return replace(options, delimiter="\t") if options.delimiter in ("\\t", "tab") else options


def _check(options: TableOptions) -> None:
    sign = options.delimiter
    if (
        sign is not None
        and sign not in ("\\t", "tab")
        and (len(sign.encode()) != 1 or sign in '"\r\n')
    ):
        raise RequestError(
            f"expected a delimiter of one character, got {sign!r}", hint="for example , ; or \\t"
        )
    if options.decimal not in (".", ","):
        raise RequestError(f"expected a decimal point or comma, got {options.decimal!r}")
    if options.decimals is not None and not 0 <= options.decimals <= 300:
        raise RequestError(f"expected 0 to 300 decimals, got {options.decimals}")
