"""CSV and TSV as signals: numeric columns in and out, every other byte as it was.

A `TableSource` finds the cells of the wanted columns and parses no others. A `TableSink` made for
it puts new numbers into the rows of the source; the two share the text of the rows in between.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convcli.errors import InputError, RequestError
from convcli.media.tables.columns import ColumnNames, is_numeric, shown_cell
from convcli.media.tables.delimited import (
    RowSpans,
    find_quotes,
    find_rows,
    join_records,
    whole_records,
)
from convcli.media.tables.numerals import BadCellError, distinct, read_numbers
from convcli.media.tables.splicing import DecodedRows, RecentRows
from convcli.media.tables.text import (
    Encoding,
    Header,
    TextInput,
    delimiter_of,
    find_encoding,
    read_header_line,
)
from convcli.signals import TABLE, Block, Groups, Signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from convcli.media.tables.delimited import Cells, Records
    from convcli.media.tables.numerals import Floats
    from convcli.media.tables.splicing import ForgottenRows
    from convcli.media.tables.times import Clock, MeasuredTimes, TimeChecker, TimeColumn

DAY = 86400.0
_TAB_NAMES = ("\\t", "tab")


@dataclass(frozen=True, eq=False, kw_only=True)
class TableOptions:
    """How a table is read and written.

    columns : the columns to filter; None for all whose first cell that is not missing is a number
    by : the column that names the group of a row
    time : the column that sets the rate
    delimiter : one character, or None to infer it from the suffix (.tsv) or the first line
    header : whether the first line names the columns; else they are called 1, 2, 3, ...
    append : write new columns at the end of the row, in place of replacing the old cells
    decimals : fixed decimals of the numbers written; None for the shortest that read back the same
    follow : pass rows on as soon as they are there
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


@dataclass(frozen=True, eq=False)
class _Pass:
    """One pass over a table: its header, and the records to come. `closing` closes the file."""

    encoding: Encoding
    header: Header
    records: Iterator[Records]
    closing: ExitStack


class TableSource:
    """The wanted columns of a table. Made by `open_table`.

    signal : one channel per filtered column, with its name; `rate` and `cycle` from the time column
    header : the names of all columns · columns : the numbers of the filtered ones
    warnings : what the user should know
    """

    def __init__(self, text: TextInput, options: TableOptions) -> None:
        self.name = text.name
        self.options = options
        self.warnings: list[str] = []
        self._text = text
        self._recent: RecentRows | None = None
        first_pass = self._open()
        self.encoding = first_pass.encoding
        self.header_line = first_pass.header
        self.dialect = first_pass.header.dialect
        names = ColumnNames(self.name, self._column_names())
        self.header = names.names
        self._by = names.find_optional(options.by)
        self._time = names.find_optional(options.time)
        seen: list[Records] = []
        # If nothing is to be learnt from the rows, the header does not wait for the first of them.
        if options.columns is None or self._time is not None or not options.follow:
            seen += _at_most_one(first_pass.records)
        self.columns = self._find_columns(names, seen)
        self._clock: Clock | None = None
        if self._time is not None:
            seen += self._find_clock(seen, first_pass.records)
        self.signal = self._describe()
        self._first_pass: _Pass | None = None
        if text.repeatable:
            first_pass.closing.close()
        else:
            self._first_pass = replace(first_pass, records=chain(seen, first_pass.records))
        self._start_over()

    # --- the Source protocol ---

    def chunks(self) -> Iterator[Records]:
        """Whole records. A second call starts over; InputError if the input is a pipe."""
        current, self._first_pass = self._first_pass, None
        if current is None:
            if not self._text.repeatable:
                raise InputError(
                    f"{self.name}: a pipe can be read only once", hint="write it to a file first"
                )
            current = self._open()
        self._start_over()
        with current.closing:
            for records in current.records:
                if self._has_rows(records):
                    yield records
                elif self._recent is not None:
                    self._recent.tail = records.data[: len(records.data) - records.padded]

    def decode(self, raw: Records) -> Block:
        """The filtered columns as float64, NaN where missing. Pure.

        InputError if a cell is not a number.
        """
        decoded, x = self._decode(raw)
        groups = self._groups(decoded.spans)
        measured = None
        if self._checker is not None:
            measured = self._checker.measure(self._time_column(decoded.spans), groups)
        return Block(x, groups, partial(self._note, decoded, measured))

    def _note(self, decoded: DecodedRows, measured: MeasuredTimes | None) -> None:
        """Count the rows that arrive, check their times, and keep them for the sink."""
        if self._checker is not None and measured is not None:
            self._checker.check(measured)
        self._rows += decoded.spans.count
        if decoded.missing is not None:
            self._missing += decoded.missing.sum(axis=0)
        if self._recent is not None:
            self._recent.add(decoded)

    def _start_over(self) -> None:
        self._rows = 0
        self._missing = np.zeros(len(self.columns), np.int64)
        self._checker = self._new_checker()
        if self._recent is not None:
            self._recent.clear()

    # --- for the sink and the report ---

    def keep_text(self) -> RecentRows:
        """From now on keep the text of decoded rows, in the object returned."""
        can_reread = self._text.repeatable and self.encoding.stored is None
        self._recent = RecentRows(self._reread if can_reread else None)
        return self._recent

    def facts(self) -> dict[str, Any]:
        """The number of rows and of missing cells that were read."""
        missing = dict(zip(self.signal.channels, self._missing.tolist(), strict=True))
        return {
            "name": self.name,
            "rows": self._rows,
            "columns": list(self.header),
            "missing": missing,
        }

    # --- opening ---

    def _open(self) -> _Pass:
        text, closing = self._text, ExitStack()
        stream = text.open()
        if text.path is not None:
            closing.enter_context(stream)
        stored = text.reads(stream)
        # A byte order mark has up to four bytes.
        first = b""
        while len(first) < 4 and (more := next(stored, b"")):
            first += more
        encoding = find_encoding(self.options.encoding, first)
        reads = text.decoded(_preceded(first, stored), encoding)
        header, rest = self._read_header(reads)
        records = whole_records(
            _preceded(rest, reads),
            header.dialect,
            line=1 + header.text.count(header.dialect.newline),
            offset=len(header.text),
            width=len(header.cells),
            name=self.name,
        )
        return _Pass(encoding, header, records, closing)

    def _read_header(self, reads: Iterator[bytes]) -> tuple[Header, bytes]:
        """The header and the text that was read beyond it."""
        options, start, header = self.options, b"", None
        delimiter = delimiter_of(self._text.path)
        if options.delimiter is not None:
            delimiter = options.delimiter.encode()
        while header is None:
            fresh = next(reads, b"")
            start += fresh
            header = read_header_line(
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

    def _column_names(self) -> tuple[str, ...]:
        cells = self.header_line.cells
        if not self.options.header:
            return tuple(str(1 + i) for i in range(len(cells)))
        return tuple(self.encoding.name(cell) for cell in cells)

    def _find_columns(self, names: ColumnNames, seen: list[Records]) -> tuple[int, ...]:
        """The columns to filter: those asked for, else all numeric ones besides group and time."""
        if self.options.columns is not None:
            return names.find_all(self.options.columns)
        if not seen or not self._has_rows(seen[0]):
            return ()
        keys = self._keys()
        others = [column for column in range(len(self.header)) if column not in keys]
        spans = self._find_rows(seen[0], others)
        numeric = []
        for column in others:
            cells = spans.cells[column].numerals()
            if is_numeric(cells, self.dialect.decimal):
                numeric.append(column)
        if not numeric:
            raise names.no_numbers()
        return tuple(numeric)

    # --- decoding ---

    def _has_rows(self, records: Records) -> bool:
        """Whether records are more than blank lines, which are rows in a table of one column."""
        return len(self.header) == 1 or not self.dialect.is_blank(records.data)

    def _keys(self) -> set[int]:
        """The columns of groups and times."""
        return {column for column in (self._by, self._time) if column is not None}

    def _find_rows(self, records: Records, wanted: Iterable[int]) -> RowSpans:
        width = len(self.header)
        return find_rows(records, self.dialect, width=width, wanted=wanted, name=self.name)

    def _decode(self, records: Records) -> tuple[DecodedRows, Floats]:
        """The rows of some records and their numbers, `(rows, channels)`."""
        spans = self._find_rows(records, {*self.columns, *self._keys()})
        numerals = []
        x = np.empty((spans.count, len(self.columns)))
        for channel, column in enumerate(self.columns):
            cells = spans.cells[column].numerals()
            numerals.append(cells)
            x[:, channel] = self._read_numbers(spans, cells, column)
        missing = np.isnan(x)
        return DecodedRows(spans, tuple(numerals), missing if missing.any() else None), x

    def _read_numbers(self, spans: RowSpans, cells: Cells, column: int) -> Floats:
        try:
            return read_numbers(cells, decimal=self.dialect.decimal)
        except BadCellError as bad:
            line = spans.line_of_cell(bad.row, column)
            cell = shown_cell(spans.cells[column].text(bad.row))
            hint = bad.hint
            if self.options.columns is None:
                hint += "; -c names the columns to filter"
            raise InputError(
                f"{self.name}, line {line}, column {self.header[column]}: "
                f"expected a number, got {cell}",
                hint=hint,
            ) from None

    def _reread(self, rows: ForgottenRows) -> DecodedRows:
        """Read the text of forgotten rows again."""
        records, newline = rows.records, self.dialect.newline
        with self._text.open() as stream:
            stream.seek(records.offset)
            data = stream.read(rows.length - records.padded)
        data += newline * records.padded
        quotes = find_quotes(data, self.dialect.separators)
        decoded, _ = self._decode(replace(records, data=data, quotes=quotes))
        return decoded

    def _groups(self, spans: RowSpans) -> Groups | None:
        """The group of each row; groups are named by their cells without quotes."""
        if self._by is None:
            return None
        cells = spans.cells[self._by]
        names, codes = distinct(cells if cells.bare else cells.unquoted())
        return Groups(names, codes)

    # --- time ---

    def _find_clock(self, seen: list[Records], coming: Iterator[Records]) -> list[Records]:
        """Infer the clock from the first rows; return the further records that this took."""
        from convcli.media.tables.times import infer_clock

        more: list[Records] = []
        while True:
            first = [*seen, *more]
            if first:
                spans = self._find_rows(join_records(first), self._keys())
                if spans.count:
                    self._clock = infer_clock(self._time_column(spans), self._groups(spans))
            if self._clock is not None:
                return more
            following = _at_most_one(coming)
            if not following:
                return more
            more += following

    def _time_column(self, spans: RowSpans) -> TimeColumn:
        from convcli.media.tables.times import TimeColumn

        column = self._time or 0
        return TimeColumn(
            table=self.name,
            name=self.header[column],
            column=column,
            decimal=self.dialect.decimal,
            rows=spans,
            cells=spans.cells[column].numerals(),
        )

    def _describe(self) -> Signal:
        """The signal of the filtered columns, with warnings if its rate is uncertain."""
        channels = tuple(self.header[column] for column in self.columns)
        signal = Signal(medium=TABLE, shape=(None,), channels=channels)
        if self._time is None:
            return signal
        clock = self._clock
        if clock is None:
            self.warnings.append(
                f"{self.name}: too few rows to know how often they come; one a day is assumed"
            )
            return replace(signal, rate=1 / DAY, cycle=DAY)
        if clock.ambiguous:
            self.warnings.append(
                f"{self.name}: the dates in {clock.column} are read with the month first, "
                "but would be as regular with the day first; dates like 2024-02-01 leave no doubt"
            )
        return replace(signal, rate=clock.rate, cycle=clock.cycle)

    def _new_checker(self) -> TimeChecker | None:
        if self._clock is None:
            return None
        from convcli.media.tables.times import TimeChecker

        return TimeChecker(self._clock)


def _at_most_one(records: Iterator[Records]) -> list[Records]:
    following = next(records, None)
    return [] if following is None else [following]


def _preceded(first: bytes, reads: Iterator[bytes]) -> Iterator[bytes]:
    """`reads` after the bytes that were read before, if any."""
    return chain([first], reads) if first else reads


def open_table(
    path: Path | None, *, options: TableOptions, stdin: BinaryIO | None = None
) -> TableSource:
    """Open a table and read as much of it as is needed to know its columns and its rate.

    path : a file, or None for `stdin` (default: the standard input)
    InputError says that it is not a table, RequestError that a column or an option does not fit.
    """
    if options.delimiter in _TAB_NAMES:
        options = replace(options, delimiter="\t")
    _check_options(options)
    text = TextInput(path=path, stdin=stdin, asked=options.encoding, follow=options.follow)
    return TableSource(text, options)


def _check_options(options: TableOptions) -> None:
    sign = options.delimiter
    if sign is not None and (len(sign.encode()) != 1 or sign in '"\r\n'):
        raise RequestError(
            f"expected a delimiter of one character, got {sign!r}", hint="for example , ; or \\t"
        )
    if options.decimal not in (".", ","):
        raise RequestError(f"expected a decimal point or comma, got {options.decimal!r}")
    if options.decimals is not None and not 0 <= options.decimals <= 300:
        raise RequestError(f"expected 0 to 300 decimals, got {options.decimals}")
