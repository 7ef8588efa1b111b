"""Parquet and Arrow tables: typed columns in record batches.

A `ColumnarSource` reads what `TableSource` reads, from columns instead of text: numbers are
cast to float64, and the columns of groups and times become the text of cells. Every other column is
passed on as it is. Batches are read one at a time. `ColumnarSink` writes them with new columns of
numbers in them.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.media.tables.columnar_values import (
    are_dates,
    column_cells,
    column_numbers,
    local_times,
    numbers_column,
    pandas_index_columns,
    plain_column,
    plain_field,
    rows_of_batch,
    with_float_columns,
)
from convcli.media.tables.header import Header
from convcli.media.tables.numerals import NumberStyle, first_rounded_number, values_as_written
from convcli.media.tables.recent_rows import RecentRows, RowsOnDisk, Scratch
from convcli.media.tables.records import Dialect
from convcli.media.tables.sink import BatchSink
from convcli.media.tables.source import Pass, TableSource
from convcli.media.tables.table_options import refuse_options
from convcli.media.tables.text import Encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.array_types import BoolArray, FloatArray
    from convcli.calendar_bins import CalendarBins
    from convcli.media.tables.batch_readers import ColumnarFile
    from convcli.media.tables.cells import Cells
    from convcli.media.tables.columns import ColumnNames
    from convcli.media.tables.sink import TableSink
    from convcli.media.tables.table_formats import ColumnReader, TableFormat
    from convcli.media.tables.table_options import TableOptions
    from convcli.media.tables.time_stamps import TimeColumn
    from convcli.signals import Rows


@dataclass(frozen=True, eq=False)
class Batch:
    """A record batch of a file; `first` is the number of its first row."""

    data: Any
    first: int

    @cached_property
    def size(self) -> int:
        """Size of all columns in memory, in bytes."""
        return int(self.data.nbytes)


@dataclass(frozen=True, eq=False)
class BatchRows:
    """Rows of a batch, with the text of some cells: what `RowSpans` is of text.

    cells : the text of the cells of each wanted column, by its number
    missing : (rows, channels) which numbers were missing; None if all were there
    rounded : by channel, a whole number that float64 rounds
    """

    batch: Batch
    cells: dict[int, Cells]
    missing: BoolArray | None = None
    rounded: dict[int, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of rows of the batch."""
        return int(self.batch.data.num_rows)

    @property
    def size(self) -> int:
        """Size of the columns of the batch in memory, in bytes."""
        return self.batch.size

    @property
    def spans(self) -> BatchRows:
        """The rows themselves, which hold the text of their cells."""
        return self

    def place_of_cell(self, row: int, column: int) -> str:
        """Where a cell is, for messages; rows are counted from 1."""
        return f"row {self.batch.first + row + 1}"

    def advice_on_words(self, _: int) -> str | None:
        """Return None: a table with types has no row of units."""
        return None

    def of_channels(self, channels: tuple[int, ...]) -> BatchRows:
        """The rows unchanged: they do not depend on the channels that are written."""
        return self


def _text_of_value(values: Any, row: int) -> str:
    """The text of a value of a column, as plain digits where it is a whole number."""
    return str(values[row])


class BatchesInScratch:
    """Old batches in a temporary file."""

    def __init__(self) -> None:
        self._scratch = Scratch()

    def keep(self, rows: BatchRows) -> RowsOnDisk:
        """Write the batch of some rows to the temporary file; return its place."""
        data = rows.batch.data
        sink = pa.BufferOutputStream()
        # Each batch is a stream of its own, which also holds the dictionaries of the columns.
        with pa.ipc.new_stream(sink, data.schema) as stream:
            stream.write_batch(data)
        place = self._scratch.add(sink.getvalue())
        return RowsOnDisk((place, rows.batch.first, rows.cells))

    def recall(self, kept: RowsOnDisk) -> BatchRows:
        """Read a batch that was written."""
        place, first, cells = kept.place
        with pa.ipc.open_stream(self._scratch.read(place)) as stream:
            data = stream.read_next_batch()
        return BatchRows(Batch(data, first), cells)

    def close(self) -> None:
        """Remove the temporary file with all old batches."""
        self._scratch.close()


class ColumnarSource(TableSource):
    """The wanted columns of a Parquet or Arrow table. Made by `open_any_table`.

    schema : the names and types of all columns
    in_local_time : whether times with a zone are read as those of its wall clock; None until the
        first of them were read
    """

    def __init__(self, file: ColumnarFile, options: TableOptions) -> None:
        refuse_options(options, f"{file.name} is a {file.format.title} file", allowed=("--na",))
        words = (word.encode() for word in options.text.na)
        self._numbers = NumberStyle(missing=frozenset(words))
        self._file = file
        # Daily times follow the days of their zone, some of which have 23 or 25 hours; all others
        # are regular in UTC. The first batch shows which of the two they are.
        self.in_local_time: bool | None = None
        self.format = file.format
        super().__init__(file, options)

    def _open(self) -> Pass:
        opened = self._file.open()
        self.schema = opened.schema
        self.codec = opened.codec
        if not len(self.schema):
            opened.close()
            raise InputError(f"{self.name}: expected a table with columns, got none")
        closing = ExitStack()
        closing.callback(opened.close)
        names = tuple(name.encode("utf-8", "surrogateescape") for name in self.schema.names)
        dialect = Dialect(delimiter=b",", newline=b"\n")
        header = Header(text=b"", cells=names, stop=0, dialect=dialect)
        encoding = Encoding("utf-8", None)
        return Pass(encoding, header, self._batches(opened), closing, None)

    def _batches(self, opened: ColumnReader) -> Iterator[Batch]:
        first = 0
        for data in self._file.batches(opened):
            if data.num_rows:
                yield Batch(data, first)
                first += data.num_rows

    def _column_names(self) -> tuple[str, ...]:
        return tuple(self.schema.names)

    def _find_columns(
        self, names: ColumnNames, seen: list[Any], coming: Iterator[Any]
    ) -> tuple[int, ...]:
        """The columns to filter: those asked for, else all of numbers besides group and time."""
        self._refuse_other_types(names.find_all(self.options.columns.also, but=self._keys()))
        if self.options.columns.names is None:
            index = pandas_index_columns(self.schema)
            found = tuple(
                number
                for number in self.value_columns
                if self._has_numbers(number) and self.schema.field(number).name not in index
            )
            if not found:
                listed = ", ".join(f"{field.name} ({field.type})" for field in self.schema)
                raise InputError(
                    f"{self.name}: expected a column of numbers, found none among {listed}",
                    hint="-c names the columns to filter",
                )
            return found
        found = names.find_all(self.options.columns.names, but=self._keys())
        self._refuse_other_types(found)
        return found

    def _refuse_other_types(self, columns: tuple[int, ...]) -> None:
        """Raise InputError for a column that holds no numbers."""
        for number in columns:
            if not self._has_numbers(number):
                field = self.schema.field(number)
                raise InputError(
                    f"{self.name}, column {field.name}: expected numbers, got {field.type}"
                )

    def _has_numbers(self, column: int) -> bool:
        kind = self.schema.field(column).type
        tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
        return any(test(kind) for test in tests)

    # --- decoding ---

    def has_rows(self, records: Batch) -> bool:
        """Whether there are rows: always, because empty batches are left out."""
        return True

    def rows_of(self, records: Batch, columns: Iterable[int] = ()) -> BatchRows:
        """The rows of a batch with the text of some columns."""
        return BatchRows(records, {column: self._cells(records, column) for column in columns})

    def _time_column(self, spans: Any) -> TimeColumn:
        """The times of some rows; those with a time zone are in UTC, and durations in seconds."""
        times = super()._time_column(spans)
        kind = plain_field(self.schema.field(times.column)).type
        if pa.types.is_duration(kind):
            return replace(times, unit="s")
        has_zone = pa.types.is_timestamp(kind) and kind.tz is not None
        return replace(times, zone=kind.tz) if has_zone and not self.in_local_time else times

    def _cells(self, batch: Batch, column: int) -> Cells:
        """A column of groups or times as text; a null is an empty cell."""
        values = plain_column(batch.data.column(column))
        try:
            if pa.types.is_timestamp(values.type) and values.type.tz is not None:
                values = self._without_zone(values)
            return column_cells(values)
        except pa.ArrowException as error:
            raise RequestError(
                f"{self.name}: the column {self.schema.field(column).name} cannot name groups or "
                f"times: its type is {values.type}"
            ) from error

    def _without_zone(self, times: Any) -> Any:
        """Times with a zone as local times of that zone, if the first are dates; else in UTC."""
        local = local_times(times)
        if self.in_local_time is None:
            self.in_local_time = are_dates(local)
        return local if self.in_local_time else times.cast(local.type)

    def joined(self, parts: list[Batch]) -> Batch:
        """Join consecutive batches to one."""
        if len(parts) == 1:
            return parts[0]
        table = pa.Table.from_batches([part.data for part in parts]).combine_chunks()
        return Batch(table.to_batches()[0], parts[0].first)

    def _decode(self, records: Batch) -> Any:
        """The rows of a batch and their numbers, `(rows, channels)`."""
        x = np.empty((records.data.num_rows, len(self.columns)))
        for channel, column in enumerate(self.columns):
            numbers = column_numbers(records.data.column(column))
            x[:, channel] = self._numbers.without_missing_numbers(numbers)
        cells = {column: self._cells(records, column) for column in self._keys()}
        missing = np.isnan(x)
        rounded = self._rounded_numbers(records, x)
        return BatchRows(records, cells, missing if missing.any() else None, rounded), x

    def _rounded_numbers(self, records: Batch, x: FloatArray) -> dict[int, str]:
        """For each channel a whole number that is rounded, if there is one."""
        rounded: dict[int, str] = {}
        for channel, column in enumerate(self.columns):
            values = records.data.column(column)
            number = first_rounded_number(x[:, channel], partial(_text_of_value, values))
            if number is not None:
                rounded[channel] = number
        return rounded

    # --- for rows that are made regular ---

    def with_regular_rows(self, bins: CalendarBins, options: TableOptions) -> TableSource:
        """Return the table that has a row for each bin of the calendar."""
        from convcli.media.tables.every_columns import RegularFile

        file = self._file
        regular = RegularFile(
            path=file.path, name=file.name, format=file.format, source=self, bins=bins
        )
        return ColumnarSource(regular, options)

    # --- for the sink ---

    def sink_of(self, format: TableFormat) -> type[TableSink]:
        """The sink that writes these columns in a format."""
        return ColumnarSink

    def keep_text(self) -> RecentRows:
        """Keep the batches from now on, in the object that is returned."""
        self._recent = RecentRows(BatchesInScratch())
        return self._recent


# ------------------------------------------------------------------------------------------ writing


class ColumnarSink(BatchSink):
    """Writes rows of a columnar source with new numbers, in their order.

    Filtered columns become columns of float64, in which null is a missing number. All others keep
    their types.
    """

    _source: ColumnarSource

    def start(self) -> None:
        """Begin the file if it was not begun; `write` and `close` do so themselves."""
        self._begun(self._schema, self._source.codec)

    def _make_header(self, suffix: str) -> None:
        """The schema, with the fields of new columns."""
        source = self._source
        self._decodes = self._format.one_dictionary and not source.format.one_dictionary
        schema = source.schema
        output = self._output
        self._new_fields: list[Any] = []
        if output.has_new:
            self._new_fields = [pa.field(name, pa.float64()) for name in self._new_names(suffix)]
        fields = list(schema)
        replaced: list[str] = []
        if not self._new_fields or output.added:
            for column in output.columns:
                fields[column] = fields[column].with_type(pa.float64()).with_nullable(nullable=True)
                replaced.append(fields[column].name)
        arranged = output.arranged(fields, self._new_fields)
        if self._decodes:
            arranged = [plain_field(field) for field in arranged]
        self._schema = pa.schema(arranged, with_float_columns(schema.metadata, replaced))

    def _splice(self, decoded: BatchRows, rows: Rows, values: FloatArray | None) -> Any:
        """Some rows of a batch with new numbers."""
        batch = rows_of_batch(decoded.batch.data, rows)
        columns = list(batch.columns)
        new: list[Any] = []
        if self._new_fields and not self._output.added:
            new = self._new_columns(columns, values)
        else:
            made = self._new_columns(columns, values)
            new = made[len(self._output.columns) :]
            for column, numbers in zip(self._output.columns, made, strict=False):
                columns[column] = numbers
        arranged = self._output.arranged(columns, new)
        if self._decodes:
            arranged = [plain_column(column) for column in arranged]
        return pa.RecordBatch.from_arrays(arranged, schema=self._schema)

    def _new_columns(self, columns: list[Any], values: FloatArray | None) -> list[Any]:
        """A column for each channel; copies of the old ones if there are no values."""
        if values is None:
            replaced = [columns[column] for column in self._output.columns]
            # Whole numbers beyond 2**53 are rounded, as those are that a filter reads.
            return [column.cast(pa.float64(), safe=False) for column in replaced]
        decimals = self._output.decimals
        if decimals is not None:
            values = values_as_written(values, decimals)
        return [numbers_column(values[:, channel]) for channel in range(values.shape[1])]

    def _put_part(self, part: Any) -> None:
        self._begun(self._schema, self._source.codec).write(part)

    def _complete(self) -> None:
        """Complete the file; its schema is written even if there are no rows."""
        self._begun(self._schema, self._source.codec).close()
