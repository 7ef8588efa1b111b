"""Columnar tables written: the record batches of a source with new columns of numbers in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from convcli.media.tables.columnar_values import (
    numbers_column,
    plain_column,
    plain_field,
    rows_of_batch,
    with_float_columns,
)
from convcli.media.tables.numerals import values_as_written
from convcli.media.tables.sink import BatchSink

if TYPE_CHECKING:
    from convcli.array_types import FloatArray
    from convcli.media.tables.columnar import BatchRows, ColumnarSource
    from convcli.signals import Rows


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
        if output.append or output.made is not None or output.added:
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
