"""Rows of a Parquet or Arrow table made regular, and their times in the type of the column."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.tables.batch_readers import ColumnarFile
from convcli.media.tables.columnar_values import (
    column_cells,
    numbers_column,
    plain_field,
    rows_or_nulls,
    times_from_instants,
    with_float_columns,
)
from convcli.media.tables.every import RegularRows
from convcli.media.tables.every_text import TimesAsText

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import IntArray
    from convcli.calendar_bins import CalendarBins
    from convcli.media.tables.columnar import Batch, ColumnarSource
    from convcli.media.tables.every import KeepRows, RegularRow
    from convcli.media.tables.table_formats import ColumnReader


class KeptRow(NamedTuple):
    """A row of a table as it is kept: its place in a batch of kept rows."""

    batch: Any
    place: int


@dataclass(frozen=True, eq=False)
class ColumnarForm:
    """Rows of a record batch. What is kept of them is a copy, so that old batches are released."""

    source: ColumnarSource

    @cached_property
    def schema(self) -> Any:
        """The columns of the table: means are float64, and every value may be missing."""
        source = self.source
        fields = []
        for number, column in enumerate(source.schema):
            kept = column.with_nullable(nullable=True)
            if number in source.columns:
                kept = kept.with_type(pa.float64())
            elif number == source.time_column:
                kept = plain_field(kept)
            fields.append(kept)
        means = [source.header[column] for column in source.columns]
        return pa.schema(fields, with_float_columns(source.schema.metadata, means))

    def keeper(self, records: Batch) -> KeepRows:
        """Return the function that copies rows of a batch."""

        def copies_of(rows: IntArray) -> Sequence[KeptRow]:
            none = np.zeros(len(rows), np.bool_)
            columns = [rows_or_nulls(column, rows, none) for column in records.data.columns]
            copied = pa.RecordBatch.from_arrays(columns, schema=records.data.schema)
            return [KeptRow(copied, place) for place in range(len(rows))]

        return copies_of

    def joined(self, rows: list[RegularRow]) -> Any:
        """Return rows as a record batch."""
        source = self.source
        kept, places = _kept_together([row.kept for row in rows])
        is_empty = np.array([row.means is None for row in rows])
        never = np.zeros(len(rows), np.bool_)
        made = self._means(rows)
        columns = []
        for number, column in enumerate(kept.columns):
            if number in made:
                values = made[number]
            elif number == source.time_column:
                values = self._times(rows)
            else:
                names_group = number in source.by_columns
                values = rows_or_nulls(column, places, never if names_group else is_empty)
            columns.append(values)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _means(self, rows: list[RegularRow]) -> dict[int, Any]:
        """The columns of means, by their numbers."""
        nothing = np.full(len(self.source.columns), np.nan)
        means = np.array([nothing if row.means is None else row.means for row in rows])
        pairs = zip(self.source.columns, means.T, strict=True)
        return {column: numbers_column(values) for column, values in pairs}

    def _times(self, rows: list[RegularRow]) -> Any:
        """The column of times. RequestError if its type has no such times."""
        source = self.source
        field = self.schema.field(source.time_column)
        try:
            if _counts_time(field.type):
                instants = np.array([row.instant for row in rows], np.int64)
                return times_from_instants(
                    instants, field.type, in_local_time=bool(source.in_local_time)
                )
            first = rows[0].kept
            column = first.batch.column(source.time_column)
            example = column_cells(column.slice(first.place, 1)).texts()[0]
            texts = TimesAsText(source, example.strip()).texts(rows)
            return pa.array([text.decode() for text in texts]).cast(field.type)
        except pa.ArrowException:
            raise RequestError(
                f"{source.name}: --every cannot write the beginning of a bin in the column "
                f"{field.name} of type {field.type}",
                hint="a longer --every: whole days for dates, whole units for whole numbers",
            ) from None


@dataclass(frozen=True, eq=False, kw_only=True)
class RegularFile(ColumnarFile):
    """A file of columns whose rows are made regular.

    source : the table before that
    """

    source: ColumnarSource
    bins: CalendarBins

    @property
    def known_columns(self) -> tuple[int, ...] | None:
        """The numbers of the columns that FILTER reads, unless they are asked for by name."""
        return self.source.found_columns

    def open(self) -> ColumnReader:
        """Return what reads the regular rows."""
        return _RegularBatches(self.source, self.bins)


class _RegularBatches:
    """The regular rows of a table, as if a file was read."""

    def __init__(self, source: ColumnarSource, bins: CalendarBins) -> None:
        form = ColumnarForm(source)
        self._rows = RegularRows(source, bins, form)
        self.schema: Any = form.schema
        self.codec = source.codec

    def batches(self, rows: int) -> Iterator[Any]:
        """Yield record batches of at most `rows` rows."""
        for batch in self._rows.parts():
            for first in range(0, batch.num_rows, rows):
                yield batch.slice(first, rows)

    def close(self) -> None:
        """Do nothing: the table is closed when it was read."""


def _counts_time(kind: Any) -> bool:
    """Whether a column of this type is written from instants, and not from text."""
    tests = (pa.types.is_timestamp, pa.types.is_date, pa.types.is_duration)
    return any(is_of_kind(kind) for is_of_kind in tests)


def _kept_together(kept: list[KeptRow]) -> tuple[Any, IntArray]:
    """One batch of all kept rows, and the place of each in it."""
    batches = {id(row.batch): row.batch for row in kept}
    starts = {}
    count = 0
    for key, batch in batches.items():
        starts[key] = count
        count += batch.num_rows
    table = pa.Table.from_batches(batches.values()).combine_chunks()
    places = [starts[id(row.batch)] + row.place for row in kept]
    return table.to_batches()[0], np.array(places, np.int64)
