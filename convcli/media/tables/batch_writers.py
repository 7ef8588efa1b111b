"""Record batches written as Parquet, Arrow IPC, delimited text or JSON Lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import pyarrow as pa

from convcli.errors import RequestError
from convcli.media.tables.columnar_values import column_numbers, plain_column, plain_field
from convcli.media.tables.compression import KeptOpen
from convcli.media.tables.delimited import quoted
from convcli.media.tables.numerals import write_number

if TYPE_CHECKING:
    from collections.abc import Callable

# A row group is written once it has so many rows or bytes.
GROUP_ROWS, GROUP_BYTES = 1 << 20, 64 << 20
_BETWEEN = b","


class ParquetWriter:
    """Writes a Parquet file; rows are gathered to row groups."""

    def __init__(self, stream: BinaryIO, schema: Any, codec: str | None) -> None:
        import pyarrow.parquet as pq

        self._out = KeptOpen(stream)
        sink = pa.PythonFile(self._out, "w")
        self._writer = pq.ParquetWriter(sink, schema, compression=codec or "snappy")
        self._schema = schema
        self._held: list[Any] = []
        self._rows = 0
        self._bytes = 0

    def write(self, batch: Any) -> None:
        """Append the rows of a pyarrow record batch."""
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._held, self._schema)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._held = []
        self._rows = 0
        self._bytes = 0

    def close(self) -> None:
        """Write the last row group and complete the file."""
        if self._held:
            self._write_group()
        self._writer.close()

    def discard(self) -> None:
        """Close the writer without writing anything more."""
        self._out.forget()
        self._writer.close()


class FeatherWriter:
    """Writes an Arrow IPC file (Feather version 2), compressed by LZ4 or Zstandard."""

    def __init__(self, stream: BinaryIO, schema: Any, codec: str | None) -> None:
        known = codec if codec in ("lz4", "zstd") else "lz4"
        options = pa.ipc.IpcWriteOptions(compression=known)
        self._out = KeptOpen(stream)
        sink = pa.PythonFile(self._out, "w")
        self._writer = pa.ipc.new_file(sink, schema, options=options)

    def write(self, batch: Any) -> None:
        """Append the rows of a pyarrow record batch."""
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Write the footer, which completes the file."""
        self._writer.close()

    def discard(self) -> None:
        """Close the writer without writing anything more."""
        self._out.forget()
        self._writer.close()


class DelimitedWriter:
    """Writes rows of text: numbers as convcli writes them, the rest as pyarrow casts it to text."""

    def __init__(self, stream: BinaryIO, schema: Any) -> None:
        self._stream = stream
        self._texts = [_texts_of(field) for field in schema]
        names = [quoted(name.encode(), _BETWEEN) for name in schema.names]
        self._stream.write(_BETWEEN.join(names) + b"\n")

    def write(self, batch: Any) -> None:
        """Append the rows of a pyarrow record batch."""
        pairs = zip(self._texts, batch.columns, strict=True)
        columns = [texts(column) for texts, column in pairs]
        lines = [_BETWEEN.join(row) + b"\n" for row in zip(*columns, strict=True)]
        self._stream.write(b"".join(lines))

    def close(self) -> None:
        """Do nothing: all rows are written."""

    def discard(self) -> None:
        """Do nothing: text that was written needs no end."""


def _texts_of(field: Any) -> Callable[[Any], list[bytes]]:
    """The function that writes a column as cells. RequestError if its type has no text."""
    kind = plain_field(field).type
    if pa.types.is_floating(kind):
        return _texts_of_floats
    nested = pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if nested:
        raise RequestError(
            f"the column {field.name} cannot be written as text: its type is {kind}",
            hint="-o FILE.jsonl or FILE.parquet keeps it",
        )
    return _texts_of_others


def _texts_of_floats(column: Any) -> list[bytes]:
    return [write_number(value) for value in column_numbers(column).tolist()]


def _texts_of_others(column: Any) -> list[bytes]:
    texts = plain_column(column).cast(pa.string()).to_pylist()
    return [b"" if text is None else quoted(text.encode(), _BETWEEN) for text in texts]


class JsonLinesWriter:
    """Writes an object a row. Dates and times are text; NaN is null, as JSON has no NaN."""

    def __init__(self, stream: BinaryIO, schema: Any) -> None:
        self._stream = stream
        self._schema = schema

    def write(self, batch: Any) -> None:
        """Append the rows of a pyarrow record batch."""
        columns = [_json_values(column) for column in batch.columns]
        names = self._schema.names
        lines = []
        for row in zip(*columns, strict=True):
            values = dict(zip(names, row, strict=True))
            lines.append(json.dumps(values, ensure_ascii=False, default=str) + "\n")
        self._stream.write("".join(lines).encode())

    def close(self) -> None:
        """Do nothing: all rows are written."""

    def discard(self) -> None:
        """Do nothing: text that was written needs no end."""


def _json_values(column: Any) -> list[Any]:
    """The values of a column as JSON types: numbers, strings, booleans and null."""
    kind = column.type
    if pa.types.is_floating(kind):
        return [_json_number(value) for value in column_numbers(column).tolist()]
    column = plain_column(column)
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())
    return cast("list[Any]", column.to_pylist())


def _json_number(value: float) -> float | int | None:
    """A number for JSON; whole numbers are written without a decimal point."""
    if np.isnan(value):
        return None
    is_whole = value.is_integer() and abs(value) < 2**53
    return int(value) if is_whole else value
