"""CSV and TSV as signals: numeric columns in and out, every other byte as it was.

A `TableSource` finds the cells of the wanted columns and parses no others. A `TableSink` made for
it puts new numbers into the rows of the source; the two share the text of the rows in between.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial, reduce
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.tables.columns import (
    ColumnNames,
    NumericColumns,
    first_identifier,
    shown_cell,
)
from convcli.media.tables.delimited import (
    BOM,
    MAX_HELD_UNDECIDED,
    MAX_RECORD,
    RowSpans,
    at_most_one,
    cells_by_row,
    find_rows,
    join_records,
    joined_groups,
    whole_records,
)
from convcli.media.tables.numerals import (
    BadCellError,
    NumberStyle,
    distinct,
    read_numbers,
    reads_as_number,
)
from convcli.media.tables.splicing import DecodedRows, RecentRows, RowsInFile, RowsInScratch
from convcli.media.tables.table_formats import DELIMITED
from convcli.media.tables.table_options import TableOptions, bin_length, check_options
from convcli.media.tables.text import (
    Encoding,
    Header,
    HeaderRules,
    delimiter_of,
    find_encoding,
    preceded,
    read_header_line,
)
from convcli.signals import TABLE, Block, Groups, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from convcli.array_types import FloatArray
    from convcli.calendar_bins import CalendarBins
    from convcli.media.tables.compression import Compression
    from convcli.media.tables.delimited import Cells, Records
    from convcli.media.tables.sink import TableSink
    from convcli.media.tables.table_formats import TableFormat
    from convcli.media.tables.time_notation import TimeColumn
    from convcli.media.tables.time_stamps import Stamper
    from convcli.media.tables.times import CheckedTimes, Clock, StampChecker

DAY = 86400.0


@dataclass(frozen=True, eq=False, kw_only=True)
class WrittenColumns:
    """The columns that the channels of a result become.

    replaced : the channels of the source whose columns the first ones take
    added : the names of new columns for the others
    """

    replaced: tuple[int, ...]
    added: tuple[str, ...]


class TableInput(Protocol):
    """Where a table comes from: `TextInput`, or a file of columns."""

    @property
    def path(self) -> Path | None:
        """The file; None for standard input."""
        ...

    @property
    def name(self) -> str:
        """The name of the table in messages."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether it can be read again from the start."""
        ...

    @property
    def known_columns(self) -> tuple[int, ...] | None:
        """The numbers of the columns that FILTER reads; None if names or rows decide that."""
        ...


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass over a table: its header, and the records to come. `closing` closes the file."""

    encoding: Encoding
    header: Header
    records: Iterator[Any]
    closing: ExitStack
    compression: Compression | None


class TableSource:
    """The wanted columns of a table. Made by `open_table`.

    signal : one channel per filtered column, with its name; `rate` and `cycle` from the time column
    header : the names of all columns · columns : the numbers of the filtered ones
    warnings : what the user should know
    doubts : what was taken for granted in reading the times, and may be the cause of an error
    format : of the file · path : of a file
    base : how many of the columns are filtered by default; the others were asked for besides
    also : the channels that each name of `TableOptions.also` stands for
    """

    format = DELIMITED
    # Which columns the outputs become, where their names do not say it.
    written: WrittenColumns | None = None

    def __init__(self, text: TableInput, options: TableOptions) -> None:
        check_options(options)
        self.name = text.name
        self.path = text.path
        self.options = options
        self.warnings: list[str] = []
        self.doubts: list[str] = []
        # A TextInput, unless a subclass opens something else.
        self._text: Any = text
        self._recent: RecentRows | None = None
        first_pass = self._open()
        try:
            self._describe_table(first_pass)
        except BaseException:
            first_pass.closing.close()
            raise

    def _describe_table(self, first_pass: Pass) -> None:
        """Decide by the header and the first rows which columns are filtered and how rows come."""
        text, options = self._text, self.options
        self.encoding = first_pass.encoding
        self.compression = first_pass.compression
        self.header_line = first_pass.header
        self.dialect = first_pass.header.dialect
        names = ColumnNames(
            self.name, self._column_names(), first_pass.header.cells, options.text.decimal
        )
        self.header = names.names
        self._by = names.find_all(options.columns.by)
        self._time = names.find_optional(options.times.column)
        seen: list[Records] = []
        # If nothing depends on the rows, the header does not wait for the first of them.
        if options.columns.names is None or self._time is not None or not options.follow:
            seen += at_most_one(first_pass.records)
        self._choose_columns(names, seen, first_pass)
        self._clock: Clock | None = None
        self._first_clock: Clock | None = None
        if self._time is not None:
            self._clock = self._infer_clock(seen, first_pass)
            if self._clock is not None and options.times.every is not None:
                self._clock = self._clock.of_step(bin_length(options.times.every))
        self.signal = self._describe()
        self._first_pass: Pass | None = None
        if text.repeatable:
            first_pass.closing.close()
        else:
            self._first_pass = replace(first_pass, records=chain(seen, first_pass.records))
        self._start_over()

    def _choose_columns(self, names: ColumnNames, seen: list[Records], first_pass: Pass) -> None:
        """Decide which columns are read: those that FILTER reads, then further ones of --set."""
        filtered = self._text.known_columns
        if filtered is None:
            filtered = self._find_columns(names, seen, first_pass.records)
        self.base = len(filtered)
        also = names.find_all(self.options.columns.also, but=self._keys())
        further = [number for number in also if number not in filtered]
        self.columns = (*filtered, *further)
        self.also = {name: self._channels_of(name, names) for name in self.options.columns.also}
        self._warn_of_number_in_header()

    def _infer_clock(self, seen: list[Records], first_pass: Pass) -> Clock | None:
        """Find out from the times how often rows come; records that it takes go to `seen`."""
        from convcli.media.tables.clock_search import ClockSearch

        options = self.options
        search = ClockSearch(self, seen, first_pass.records)
        clock = search.first_clock()
        times = options.times
        if clock is None or times.every is not None or options.follow or not times.irregular:
            return clock
        return search.settled(clock)

    def _channels_of(self, name: str, names: ColumnNames) -> tuple[int, ...]:
        """The channels that a name or a pattern of columns stands for."""
        numbers = names.find_all((name,), but=self._keys())
        return tuple(self.columns.index(number) for number in numbers)

    # --- the Source protocol ---

    def pieces(self) -> Iterator[Records]:
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
                if self.has_rows(records):
                    yield records
                elif self._recent is not None:
                    self._recent.tail = records.data[: len(records.data) - records.padded]

    def decode(self, raw: Records) -> Block:
        """The filtered columns as float64, NaN where missing. Pure.

        InputError if a cell is not a number.
        """
        return self._block_of(raw, self._note)

    def _block_of(self, raw: Records, note: Callable[..., None]) -> Block:
        """The samples of some records.

        note : called with the decoded rows and their times when they arrive
        """
        decoded, x = self._decode(raw)
        groups = self._groups(decoded.spans)
        if self._checker is None:
            return Block(x, groups, partial(note, decoded, None))
        times = self._checker.read(self._time_column(decoded.spans), groups)
        return Block(
            x,
            groups,
            partial(note, decoded, times),
            stamps=times.stamps,
            latest_times=times.latest,
        )

    def _note(self, decoded: DecodedRows, times: CheckedTimes | None) -> None:
        """Count the rows that arrive, check their times, and keep them for the sink."""
        if times is not None:
            times.check()
        self._rows += decoded.count
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

    # --- for rows that are made regular ---

    @property
    def found_columns(self) -> tuple[int, ...] | None:
        """The numbers of the columns that FILTER reads; None if they were asked for by name."""
        return self.columns[: self.base] if self.options.columns.names is None else None

    @property
    def repeatable(self) -> bool:
        """Whether the table can be read again from its start."""
        return bool(self._text.repeatable)

    @property
    def time_column(self) -> int:
        """The number of the column of times."""
        return self._time or 0

    @property
    def by_columns(self) -> tuple[int, ...]:
        """The numbers of the columns that name the groups."""
        return tuple(self._by)

    @property
    def stamper(self) -> Stamper | None:
        """Makes stamps from the times; None for a table without rows."""
        return None if self._clock is None else self._clock.stamper

    @property
    def expects_equal_steps(self) -> bool:
        """Whether every row has to come one step of time after the one before it."""
        return self._clock is not None and bool(self._clock.rules)

    def expect_equal_steps(self, *, equal: bool) -> None:
        """Let rows come at any times from now on, or only at the steps of the first rows again."""
        if equal:
            self._clock = self._first_clock
        elif self._clock is not None:
            self._first_clock = self._clock
            self._clock = self._clock.at_any_times()
        self.signal = self._describe()

    def with_regular_rows(self, bins: CalendarBins, options: TableOptions) -> TableSource:
        """Return the table that has a row for each bin of the calendar, in the same format."""
        from convcli.media.tables.every_text import DelimitedForm, RegularText

        text = RegularText.of(self, bins, DelimitedForm(self), self.found_columns)
        delimiter = self.dialect.delimiter.decode()
        known = replace(options, text=replace(options.text, delimiter=delimiter))
        return TableSource(text, known)

    def rows_of(self, records: Any, columns: Iterable[int] = ()) -> Any:
        """The rows of some records with the cells of some columns."""
        return self._find_rows(records, columns)

    # --- for parts ---

    def __getstate__(self) -> dict[str, Any]:
        """What was decided when the table was opened, without the rows that were read since."""
        return {**vars(self), "_recent": None, "_first_pass": None}

    @property
    def text(self) -> Any:
        """The text of the table, which can be read from any place on if nothing is `undivided`."""
        return self._text

    @property
    def undivided(self) -> str | None:
        """Why the table is read in one piece; None if parts of it can be read by themselves."""
        if self.options.times.every is not None:
            return "the rows of --every are made from the first row on"
        reason = self._undivided_text
        if reason is None and not self._has_one_rule:
            reason = "which rule its times follow is known when all of them were read"
        return reason

    @property
    def _undivided_text(self) -> str | None:
        """Why the text of the table is read in one piece; None if it can be read from any place."""
        if self.format is not DELIMITED:
            return f"{self.format.title} is read from its beginning to its end"
        if self.compression is not None:
            return "a compressed table is read from its beginning to its end"
        if self.encoding.stored is not None:
            return f"text in {self.encoding.stored} is read from its beginning to its end"
        if self.options.follow or not self._text.seekable:
            return "a pipe is read from its beginning to its end"
        return None

    @property
    def _has_one_rule(self) -> bool:
        """Whether it is known by which rule all rows come. A file was read to its end for that."""
        return self._clock is None or self._text.repeatable or len(self._clock.rules) < 2

    def end_of_first_row(self, records: Records) -> int | None:
        """Offset in some records after the first row and its line end; None without a line end."""
        spans: RowSpans = self._find_rows(records, ())
        line_end = records.data.find(self.dialect.newline, int(spans.stops[0]))
        length = len(records.data) - records.padded
        if line_end < 0 or line_end >= length:
            return None
        return line_end + 1

    def note_part(self, noted: tuple[int, Any]) -> None:
        """Count the rows and the missing cells of a part that was read by itself."""
        rows, missing = noted
        self._rows += rows
        self._missing += missing

    def note_bins_of_numbers(self) -> None:
        """Warn that months are counted from 1970 if the times are numbers that may be no dates."""
        if self.options.times.unit is not None or self._clock is None or self._clock.doubt:
            return
        if self._clock.stamper.notation.unit_of_numbers is None:
            return
        column = self.header[self._time or 0]
        self.warnings.append(
            f"{self.name}: months and years are counted from 1970 by the seconds in {column}; "
            "if these are not seconds, write dates; --time-unit s says that they are"
        )

    # --- for the sink and the report ---

    def sink_of(self, format: TableFormat) -> Callable[..., TableSink]:
        """The function that makes a sink which writes this table in its own or another format."""
        if format is self.format:
            from convcli.media.tables.sink import TableSink

            return TableSink
        from convcli.media.tables.converting_sink import ConvertingSink

        return partial(ConvertingSink, format=format)

    def keep_text(self) -> RecentRows:
        """From now on keep the text of decoded rows, in the object returned."""
        is_text = self.compression is None and self.encoding.stored is None
        if self._text.seekable and self._text.repeatable and is_text:
            self._recent = RecentRows(RowsInFile(self._text, self._redecode))
        else:
            self._recent = RecentRows(RowsInScratch(self._redecode))
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

    def _open(self) -> Pass:
        with ExitStack() as opening:
            stream = self._text.open()
            if self._text.path is not None:
                opening.enter_context(stream)
            encoding, header, records, compression = self._opened(stream)
            closing = opening.pop_all()
        return Pass(encoding, header, records, closing, compression)

    def _opened(
        self, stream: BinaryIO
    ) -> tuple[Encoding, Header, Iterator[Records], Compression | None]:
        """The encoding, the header, the records behind it, and how the file is compressed."""
        text = self._text
        compression, stored = text.reads(stream)
        # A byte order mark has up to four bytes.
        first = b""
        while len(first) < 4 and (more := next(stored, b"")):
            first += more
        encoding = find_encoding(self.options.text.encoding, first)
        reads = text.decoded(preceded(first, stored), encoding)
        header, rest = self._read_header(reads, encoding)
        records = whole_records(
            preceded(rest, reads),
            header.dialect,
            line=1 + header.text.count(header.dialect.newline),
            offset=len(header.text),
            width=len(header.cells),
            name=self.name,
        )
        return encoding, header, records, compression

    def _read_header(self, reads: Iterator[bytes], encoding: Encoding) -> tuple[Header, bytes]:
        """The header and the text that was read beyond it."""
        rules = self._header_rules(encoding)
        start, header = b"", None
        while header is None:
            fresh = next(reads, b"")
            start += fresh
            _refuse_endless_header(start, self.name)
            header = read_header_line(start, rules, complete=not fresh)
        if not start.removeprefix(BOM).strip():
            raise InputError(
                f"{self.name}: expected a table, got an empty file",
                hint="a table has at least a header line",
            )
        leaves_out = bool(rules.skipped or rules.comment)
        if leaves_out and not b"".join(header.cells).strip():
            left_out = "the lines left out by --skip-rows and --comment"
            raise InputError(f"{self.name}: expected a table after {left_out}, got none")
        return header, start[len(header.text) :]

    def _header_rules(self, encoding: Encoding) -> HeaderRules:
        options = self.options
        delimiter = delimiter_of(self._text.path)
        if options.text.delimiter is not None:
            delimiter = options.text.delimiter.encode()
        words = (encoding.cell(word) for word in options.text.na)
        numbers = NumberStyle(
            decimal=options.text.decimal,
            thousands=encoding.cell(options.text.thousands),
            missing=frozenset(words),
        )
        return HeaderRules(
            delimiter=delimiter,
            numbers=numbers,
            headed=options.text.header,
            skipped=options.text.skip_rows,
            comment=encoding.cell(options.text.comment),
        )

    def _column_names(self) -> tuple[str, ...]:
        cells = self.header_line.cells
        if not self.options.text.header:
            return tuple(str(1 + i) for i in range(len(cells)))
        return tuple(self.encoding.name(cell) for cell in cells)

    def _find_columns(
        self, names: ColumnNames, seen: list[Records], coming: Iterator[Records]
    ) -> tuple[int, ...]:
        """The columns to filter: those asked for, else all numeric ones besides group and time.

        Records of a pipe that this takes are added to `seen`.
        """
        if self.options.columns.names is not None:
            return names.find_all(self.options.columns.names, but=self._keys())
        if not seen or not self.has_rows(seen[0]):
            return tuple(self._others()) if self.options.columns.takes_empty else ()
        found = NumericColumns(self._others(), self.dialect.numbers)
        numeric = found.numbers
        if self._text.repeatable:
            self._look_at_file(found)
        elif self.options.follow:
            # Which rows come together is chance: the first one alone decides.
            self._look_at(found, seen[0], 1)
            numeric = found.numbers | found.undecided
        else:
            ended = self._look_at_pipe(found, seen, coming)
            numeric = found.numbers if ended else found.numbers | found.undecided
        if not numeric and found.undecided and self.options.columns.takes_empty:
            return tuple(sorted(found.undecided))
        if not numeric:
            raise names.no_numbers(found)
        self._note_columns(found, numeric)
        return tuple(sorted(numeric))

    def _others(self) -> list[int]:
        """The columns besides group and time."""
        keys = self._keys()
        return [column for column in range(len(self.header)) if column not in keys]

    def _look_at(self, found: NumericColumns, records: Any, rows: int | None) -> None:
        """Decide columns by the next rows, or by so many of them."""
        found.look_at(self._find_rows(records, found.undecided), rows=rows)

    def _look_at_file(self, found: NumericColumns) -> None:
        """Read a file up to the first given cell of each column, or to its end."""
        current = self._open()
        with current.closing:
            for records in current.records:
                if self.has_rows(records):
                    self._look_at(found, records, None)
                if not found.undecided:
                    return

    def _look_at_pipe(
        self, found: NumericColumns, seen: list[Records], coming: Iterator[Records]
    ) -> bool:
        """Do the same with a pipe, whose text is held meanwhile. Return False if it is too long."""
        records: Records | None = seen[0]
        held = 0
        while records is not None:
            if self.has_rows(records):
                self._look_at(found, records, None)
            held += records.size
            if not found.undecided:
                return True
            if held > MAX_HELD_UNDECIDED:
                return False
            records = next(coming, None)
            if records is not None:
                seen.append(records)
        return True

    def _note_columns(self, found: NumericColumns, numeric: set[int]) -> None:
        """Warn of columns that are left out as identifiers, or filtered before a number came."""
        for column, cell in found.identifiers.items():
            self.warnings.append(
                f"{self.name}: column {self.header[column]} is left as it is, for {cell} with its "
                "leading zeros is an identifier; -c names the columns to filter"
            )
        unsure = sorted(numeric - found.numbers)
        if unsure:
            listed = ", ".join(self.header[column] for column in unsure)
            self.warnings.append(
                f"{self.name}: no number was seen in {listed} when its first rows had to be "
                "written, and numbers are expected; -c names the columns to filter"
            )

    def _warn_of_number_in_header(self) -> None:
        """Warn if the name of a filtered column is a number, unless the user has called it so."""
        if not self.options.text.header or self.options.columns.names is not None:
            return
        for column in self.columns or self._others():
            cell = self.header_line.cells[column].strip().strip(b'"')
            if cell and reads_as_number(cell, self.dialect.numbers):
                self.warnings.append(
                    f"{self.name}: the first line is taken for names, and "
                    f"{shown_cell(self.header[column])} is a number; "
                    "--no-header if it is a row already"
                )
                return

    # --- decoding ---

    def has_rows(self, records: Any) -> bool:
        """Whether records are more than blank lines and comments."""
        return self.dialect.has_rows(records, len(self.header))

    def _keys(self) -> set[int]:
        """The columns of groups and times."""
        keys = set(self._by)
        if self._time is not None:
            keys.add(self._time)
        return keys

    def _find_rows(self, records: Any, wanted: Iterable[int]) -> Any:
        width = len(self.header)
        return find_rows(records, self.dialect, width=width, wanted=wanted, name=self.name)

    def joined(self, parts: list[Any]) -> Any:
        """Join consecutive records to one block of text."""
        return join_records(parts)

    def _decode(self, records: Any) -> tuple[Any, FloatArray]:
        """The rows of some records and their numbers, `(rows, channels)`."""
        spans = self._find_rows(records, {*self.columns, *self._keys()})
        shape = (spans.count, len(self.columns))
        if 0 in shape:
            nowhere = np.zeros(shape, np.int64)
            return DecodedRows(spans, nowhere, nowhere, None), np.zeros(shape)
        # All numbers are read together, in the order of the file: calls of a library for each
        # column would take most of the time where columns are many and rows are few.
        columns = sorted(self.columns)
        cells = cells_by_row([spans.cells[column] for column in columns]).numerals()
        values = self._read_numbers(spans, cells, columns)
        starts, stops = cells.start.reshape(shape), cells.stop.reshape(shape)
        x = values.reshape(shape)
        if columns != list(self.columns):
            order = np.searchsorted(columns, self.columns)
            starts, stops, x = starts[:, order], stops[:, order], x[:, order]
        missing = np.isnan(x)
        return DecodedRows(spans, starts, stops, missing if missing.any() else None), x

    def _read_numbers(self, spans: RowSpans, cells: Cells, columns: list[int]) -> FloatArray:
        """The numbers of the cells of `columns`, row by row. Raises InputError."""
        automatic = self.options.columns.names is None
        try:
            values = read_numbers(cells, self.dialect.numbers)
        except BadCellError as bad:
            hint = f"{bad.hint}; -c names the columns to filter"
            row, place = divmod(bad.row, len(columns))
            raise self._bad_cell(spans, row, columns[place], "a number", hint) from None
        identifier = first_identifier(cells) if automatic else None
        if identifier is not None:
            expected = "a number without leading zeros, as in the first row"
            hint = "-c names the columns to filter, and reads what is in them as numbers"
            row, place = divmod(identifier, len(columns))
            raise self._bad_cell(spans, row, columns[place], expected, hint)
        return values

    def _bad_cell(
        self, spans: RowSpans, row: int, column: int, expected: str, hint: str
    ) -> InputError:
        place = spans.place_of_cell(row, column)
        cell = shown_cell(spans.cells[column].text(row))
        where = f"{self.name}, {place}, column {self.header[column]}"
        return InputError(f"{where}: expected {expected}, got {cell}", hint=hint)

    def _redecode(self, records: Records, text: bytes) -> DecodedRows:
        """Decode records again, whose text was released."""
        data = text + self.dialect.newline * records.padded
        again = self.dialect.records(
            data, line=records.line, offset=records.offset, padded=records.padded
        )
        decoded: DecodedRows = self._decode(again)[0]
        return decoded

    def _groups(self, spans: RowSpans) -> Groups | None:
        """The group of each row; groups are named by their cells without quotes."""
        keys = [_named_groups(spans.cells[column]) for column in self._by]
        return reduce(joined_groups, keys) if keys else None

    # --- time ---

    def times_of(self, records: Any) -> tuple[TimeColumn, Groups | None] | None:
        """The times of some records and the group of each row; None if there are no rows."""
        spans = self._find_rows(records, self._keys())
        if not spans.count:
            return None
        return self._time_column(spans), self._groups(spans)

    def all_records(self) -> Iterator[Any]:
        """Open the table once more and yield the records that have rows."""
        current = self._open()
        with current.closing:
            yield from filter(self.has_rows, current.records)

    def _time_column(self, spans: Any) -> TimeColumn:
        from convcli.media.tables.time_notation import TimeColumn

        column = self._time or 0
        return TimeColumn(
            table=self.name,
            name=self.header[column],
            column=column,
            decimal=self.dialect.numbers.decimal,
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
        signal = replace(signal, timed=True, integrates=self.options.times.integrate)
        if clock is None:
            self.warnings.append(
                f"{self.name}: too few rows to know how often they come; one a day is assumed"
            )
            return replace(signal, rate=1 / DAY, cycle=DAY)
        if clock.doubt is not None and clock.doubt not in self.doubts:
            self.doubts.append(clock.doubt)
            self.warnings.append(f"{self.name}: {clock.doubt}")
        signal = replace(
            signal,
            cycle=clock.cycle,
            week=clock.week,
            dated=clock.stamper.notation.unit_of_numbers is None,
            uneven=clock.uneven,
        )
        if self.options.times.integrate:
            return replace(signal, rate=None)
        return replace(signal, rate=clock.rate)

    def _new_checker(self) -> StampChecker | None:
        if self._clock is None:
            return None
        from convcli.media.tables.time_order import OrderChecker
        from convcli.media.tables.times import TimeChecker

        if self._clock.rules:
            return TimeChecker(self._clock)
        return OrderChecker(self._clock)


def _refuse_endless_header(start: bytes, name: str) -> None:
    if len(start) > MAX_RECORD:
        raise InputError(
            f"{name}: the header is longer than {MAX_RECORD >> 20} MB",
            hint="is a quote left open, or is this no table?",
        )


def _named_groups(cells: Cells) -> Groups:
    names, codes = distinct(cells if cells.bare else cells.unquoted())
    return Groups(names, codes)
