"""Tables as signals: what all formats share.

A `TableSource` decides which columns are read and how often rows come, and gives the numbers of
records as blocks. What a record is, and how a table is opened, is in the source of its format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from functools import partial, reduce
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.losses import Loss
from convcli.media.tables.columns import ColumnNames, shortened_cell
from convcli.media.tables.records import at_most_one
from convcli.media.tables.table_options import TableOptions, bin_length, check_options
from convcli.signals import TABLE, Block, Groups, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import ExitStack

    from convcli.array_types import FloatArray, IntArray
    from convcli.calendar_bins import CalendarBins
    from convcli.media.tables.batch_readers import ColumnarFile
    from convcli.media.tables.compression import Compression
    from convcli.media.tables.header import Header
    from convcli.media.tables.recent_rows import RecentRows
    from convcli.media.tables.records import Records
    from convcli.media.tables.rows import RowSpans
    from convcli.media.tables.sink import TableSink, WrittenColumns
    from convcli.media.tables.table_formats import TableFormat
    from convcli.media.tables.text import Encoding, TextInput
    from convcli.media.tables.time_stamps import Stamper, TimeColumn
    from convcli.media.tables.times import CheckedTimes, Clock, StampChecker

DAY = 86400.0
NOTHING_ROUNDED: Mapping[int, str] = {}


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass over a table: its header, and the records to come. `closing` closes the file."""

    encoding: Encoding
    header: Header
    records: Iterator[Any]
    closing: ExitStack
    compression: Compression | None


class RowCounts:
    """How many rows have passed, and how many numbers of each column are missing in them.

    rounded : by channel, the first whole number that was rounded
    """

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self.missing = np.zeros(columns, np.int64)
        self.rounded: dict[int, str] = {}

    def add(
        self, rows: int, missing: IntArray | int, rounded: Mapping[int, str] = NOTHING_ROUNDED
    ) -> None:
        """Count further rows and the numbers that are missing in them."""
        self.rows += rows
        self.missing += missing
        self.rounded = {**rounded, **self.rounded}

    def missing_by_name(self, names: tuple[str, ...]) -> dict[str, int]:
        """How many numbers are missing, by the names of the columns."""
        return dict(zip(names, self.missing.tolist(), strict=True))


class TableSource(ABC):
    """The wanted columns of a table. Made by `open_any_table`.

    signal : one channel per filtered column, with its name; `rate` and `cycle` from the time column
    header : the names of all columns · columns : the numbers of the filtered ones
    warnings : what the user should know
    doubts : what was taken for granted in reading the times, and may be the cause of an error
    format : of the file · path : of a file
    base : how many of the columns are filtered by default; the others were asked for besides
    also : the channels that each name of `TableOptions.also` stands for
    """

    format: TableFormat
    # Which columns the outputs become, where their names do not say it.
    written: WrittenColumns | None = None

    def __init__(self, table: TextInput | ColumnarFile, options: TableOptions) -> None:
        check_options(options)
        self.name = table.name
        self.path = table.path
        self.options = options
        self.warnings: list[str] = []
        self.doubts: list[str] = []
        self._input: Any = table
        self._recent: RecentRows | None = None
        first_pass = self._open()
        try:
            self._describe_table(first_pass)
        except BaseException:
            first_pass.closing.close()
            raise

    def _describe_table(self, first_pass: Pass) -> None:
        """Decide by the header and the first rows which columns are filtered and how rows come."""
        self.encoding = first_pass.encoding
        self.compression = first_pass.compression
        self.header_line = first_pass.header
        self.dialect = first_pass.header.dialect
        names = self._read_names()
        seen: list[Any] = []
        # If nothing depends on the rows, the header does not wait for the first of them.
        asks_for_columns = self.options.columns.names is not None
        if not asks_for_columns or self._time is not None or not self.options.follow:
            seen += at_most_one(first_pass.records)
        self._choose_columns(names, seen, first_pass)
        self._knows_first_row_alone = False
        self._clock = self._choose_clock(seen, first_pass)
        self._first_clock: Clock | None = None
        self.signal = self._describe()
        self._first_pass: Pass | None = None
        if self.repeatable:
            first_pass.closing.close()
        else:
            self._first_pass = replace(first_pass, records=chain(seen, first_pass.records))
        self._start_over()

    def _read_names(self) -> ColumnNames:
        """Read the names of all columns, and find those of groups and times among them."""
        options = self.options
        names = ColumnNames(
            self.name, self._column_names(), self.header_line.cells, options.text.decimal
        )
        self.header = names.names
        self._by = names.find_all(options.columns.by)
        self._time = names.find_optional(options.times.column)
        return names

    def _choose_columns(self, names: ColumnNames, seen: list[Records], first_pass: Pass) -> None:
        """Decide which columns are read: those that FILTER reads, then further ones of --set."""
        filtered = self._input.known_columns
        if filtered is None:
            filtered = self._find_columns(names, seen, first_pass.records)
        self.base = len(filtered)
        also = names.find_all(self.options.columns.also, but=self._keys())
        further = [number for number in also if number not in filtered]
        self.columns = (*filtered, *further)
        self._refuse_filtered_keys()
        self.also = {name: self._channels_of(name, names) for name in self.options.columns.also}

    def _refuse_filtered_keys(self) -> None:
        """Raise RequestError if a column is filtered that is the same in all rows of a group."""
        for number in self.columns:
            if number in self._by:
                name = self.header[number]
                raise RequestError(
                    f"{self.name}: --by {name} makes a group of each value of {name}, "
                    "which is then the same in all rows of a signal",
                    hint="filter another column, or group the rows by another one",
                )

    def _channels_of(self, name: str, names: ColumnNames) -> tuple[int, ...]:
        """The channels that a name or a pattern of columns stands for."""
        numbers = names.find_all((name,), but=self._keys())
        return tuple(self.columns.index(number) for number in numbers)

    def _choose_clock(self, seen: list[Any], first_pass: Pass) -> Clock | None:
        """Decide how often rows come; None without a time column, or with too few rows."""
        if self._time is None:
            return None
        clock = self._infer_clock(seen, first_pass)
        every = self.options.times.every
        if clock is None or every is None:
            return clock
        return clock.of_step(bin_length(every))

    def _infer_clock(self, seen: list[Any], first_pass: Pass) -> Clock | None:
        """Find out from the times how often rows come; records that it takes go to `seen`."""
        from convcli.media.tables.clock_search import ClockSearch

        options = self.options
        times = options.times
        search = ClockSearch(self, seen, first_pass.records)
        if options.follow and times.irregular:
            early = search.clock_of_first_row()
            if early is not None:
                self._knows_first_row_alone = True
                return early
        clock = search.first_clock()
        if clock is None or times.every is not None or options.follow or not times.irregular:
            return clock
        return search.confirmed(clock)

    def _describe(self) -> Signal:
        """The signal of the filtered columns, with warnings if its rate is uncertain."""
        channels = tuple(self.header[column] for column in self.columns)
        signal = Signal(medium=TABLE, shape=(None,), channels=channels)
        if self._time is None:
            return signal
        clock = self._clock
        signal = replace(signal, timed=True, integrates=self.options.times.integrate)
        if clock is None:
            warning = f"{self.name}: too few rows to know how often they come; one a day is assumed"
            if warning not in self.warnings:
                self.warnings.append(warning)
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

    @property
    def value_columns(self) -> list[int]:
        """The numbers of the columns besides group and time."""
        keys = self._keys()
        return [column for column in range(len(self.header)) if column not in keys]

    def _keys(self) -> set[int]:
        """The columns of groups and times."""
        keys = set(self._by)
        if self._time is not None:
            keys.add(self._time)
        return keys

    # --- what each format does in its own way ---

    @abstractmethod
    def _open(self) -> Pass:
        """Open the table at its start and read its header."""

    @abstractmethod
    def _column_names(self) -> tuple[str, ...]:
        """The names of all columns, in the order of the file."""

    @abstractmethod
    def _find_columns(
        self, names: ColumnNames, seen: list[Any], coming: Iterator[Any]
    ) -> tuple[int, ...]:
        """The columns to filter: those asked for, else all numeric ones besides group and time.

        Records of a pipe that this takes are added to `seen`.
        """

    @abstractmethod
    def has_rows(self, records: Any) -> bool:
        """Whether records have at least one row."""

    @abstractmethod
    def rows_of(self, records: Any, columns: Iterable[int] = ()) -> Any:
        """The rows of some records with the cells of some columns: `RowSpans` or `BatchRows`."""

    @abstractmethod
    def joined(self, parts: list[Any]) -> Any:
        """Join records of consecutive pieces of the table."""

    @abstractmethod
    def _decode(self, records: Any) -> tuple[Any, FloatArray]:
        """The rows of some records and their numbers, `(rows, channels)`."""

    @abstractmethod
    def with_regular_rows(self, bins: CalendarBins, options: TableOptions) -> TableSource:
        """Return the table that has a row for each bin of the calendar, in the same format."""

    @abstractmethod
    def sink_of(self, format: TableFormat) -> type[TableSink]:
        """The sink that writes this table in its own or another format."""

    @abstractmethod
    def keep_text(self) -> RecentRows:
        """From now on keep decoded rows for the sink, in the object returned."""

    # --- the Source protocol ---

    def pieces(self) -> Iterator[Any]:
        """Whole records. A second call starts over; InputError if the input is a pipe."""
        current, self._first_pass = self._first_pass, None
        if current is None:
            if not self.repeatable:
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

    def decode(self, raw: Any) -> Block:
        """The filtered columns as float64, NaN where missing. Pure.

        Raises InputError if a cell is not a number.
        """
        return self._block_of(raw, self._note)

    def _block_of(self, raw: Any, note: Callable[..., None]) -> Block:
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

    def _note(self, decoded: Any, times: CheckedTimes | None) -> None:
        """Count the rows that arrive, check their times, and keep them for the sink."""
        if times is not None:
            times.check()
        missing = 0 if decoded.missing is None else decoded.missing.sum(axis=0)
        self._counts.add(decoded.count, missing, decoded.rounded)
        if self._recent is not None:
            self._recent.add(decoded)

    def _start_over(self) -> None:
        self._counts = RowCounts(len(self.columns))
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
        return bool(self._input.repeatable)

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
    def may_expect_equal_steps(self) -> bool:
        """Whether steps of time are those of the rows as they come, and not of --every."""
        return self._clock is not None and self.options.times.every is None

    def expect_equal_steps(self, *, equal: bool) -> None:
        """Let rows come at any times from now on, or only at the steps of the first rows again.

        Equal steps need two rows of a group, which are read if only the first row was.
        """
        if equal and self._knows_first_row_alone:
            self._clock = self._clock_of_equal_steps()
        elif equal:
            self._clock = self._first_clock
        elif self._clock is not None:
            self._first_clock = self._clock
            self._clock = self._clock.at_any_times()
        self.signal = self._describe()

    def _clock_of_equal_steps(self) -> Clock | None:
        """Find out from as few rows as possible how often rows come."""
        from convcli.media.tables.clock_search import ClockSearch

        current = self._first_pass or self._open()
        seen: list[Any] = []
        clock = ClockSearch(self, seen, current.records).first_clock()
        if self.repeatable:
            current.closing.close()
        else:
            self._first_pass = replace(current, records=chain(seen, current.records))
        return clock

    # --- for parts ---

    def __getstate__(self) -> dict[str, Any]:
        """What was decided when the table was opened, without the rows that were read since."""
        return {**vars(self), "_recent": None, "_first_pass": None}

    @property
    def undivided(self) -> str | None:
        """Why the table is read in one piece; None if parts of it can be read by themselves."""
        if self.options.times.every is not None:
            return "the rows of --every are made from the first row on"
        return f"{self.format.title} is read from its beginning to its end"

    def note_part(self, noted: RowCounts) -> None:
        """Count the rows and the missing cells of a part that was read by itself."""
        self._counts.add(noted.rows, noted.missing, noted.rounded)

    # --- for the report ---

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

    @property
    def roundings(self) -> list[str]:
        """A warning for each column with whole numbers that were rounded."""
        warnings: list[str] = []
        for channel, number in sorted(self._counts.rounded.items()):
            column = self.signal.channels[channel]
            example = shortened_cell(number)
            text = (
                f"{self.name}: whole numbers beyond 2^53 in {column}, such as {example}, are "
                "rounded to 16 digits; -c names the columns to read"
            )
            warnings.append(Loss(text))
        return warnings

    def facts(self) -> dict[str, Any]:
        """The number of rows and of missing cells that were read."""
        return {
            "name": self.name,
            "rows": self._counts.rows,
            "columns": list(self.header),
            "missing": self._counts.missing_by_name(self.signal.channels),
        }

    # --- groups and times ---

    def _groups(self, spans: RowSpans) -> Groups | None:
        """The group of each row; groups are named by their cells without quotes."""
        if not self._by:
            return None
        from convcli.media.tables.group_names import joined_groups, named_groups

        keys = [named_groups(spans.cells[column]) for column in self._by]
        return reduce(joined_groups, keys)

    def times_of(self, records: Any) -> tuple[TimeColumn, Groups | None] | None:
        """The times of some records and the group of each row; None if there are no rows."""
        spans = self.rows_of(records, self._keys())
        if not spans.count:
            return None
        return self._time_column(spans), self._groups(spans)

    def all_records(self) -> Iterator[Any]:
        """Open the table once more and yield the records that have rows."""
        current = self._open()
        with current.closing:
            yield from filter(self.has_rows, current.records)

    def _time_column(self, spans: Any) -> TimeColumn:
        from convcli.media.tables.time_stamps import TimeColumn

        column = self._time or 0
        return TimeColumn(
            table=self.name,
            name=self.header[column],
            column=column,
            decimal=self.dialect.numbers.decimal,
            rows=spans,
            cells=spans.cells[column].numerals(),
        )

    def _new_checker(self) -> StampChecker | None:
        if self._clock is None:
            return None
        from convcli.media.tables.times import OrderChecker, TimeChecker

        if self._clock.rules:
            return TimeChecker(self._clock)
        return OrderChecker(self._clock)
