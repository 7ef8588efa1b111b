"""Record batches written as Parquet, Arrow IPC files and streams, delimited text or JSON Lines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, TypeVar, cast

import numpy as np
import pyarrow as pa

from convcli.errors import RequestError
from convcli.media.tables.cells import quoted
from convcli.media.tables.columnar_values import column_numbers, plain_column, plain_field
from convcli.media.tables.compression import KeptOpen
from convcli.media.tables.json_values import json_of_value
from convcli.media.tables.numerals import write_number

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# A row group is written once it has this many rows or bytes.
GROUP_ROWS, GROUP_BYTES = 1 << 20, 64 << 20


class BatchWriter(ABC):
    """Writes record batches of one schema to a stream, which stays open."""

    @abstractmethod
    def __init__(self, stream: BinaryIO, schema: Any, codec: str | None) -> None: ...

    @abstractmethod
    def write(self, batch: Any) -> None:
        """Append the rows of a record batch of the schema."""

    def close(self) -> None:  # noqa: B027 -- text that was written needs no end
        """Write what is still held, and the end of the file."""

    def discard(self) -> None:  # noqa: B027 -- likewise
        """Release everything after an error; the file stays incomplete."""


class ParquetWriter(BatchWriter):
    """Writes a Parquet file; rows are gathered to row groups."""

    def __init__(self, stream: BinaryIO, schema: Any, codec: str | None) -> None:
        import pyarrow.parquet as pq

        _refuse_same_names(schema, "Parquet")
        self._out = KeptOpen(stream)
        sink = pa.PythonFile(self._out, "w")
        try:
            self._writer = pq.ParquetWriter(sink, schema, compression=codec or "snappy")
        except (pa.ArrowException, OSError):
            _refuse_types_unknown_to_parquet(schema)
            raise
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


class FeatherWriter(BatchWriter):
    """Writes an Arrow IPC file (Feather version 2), compressed by LZ4 or Zstandard."""

    def __init__(self, stream: BinaryIO, schema: Any, codec: str | None) -> None:
        _refuse_same_names(schema, "Feather")
        self._out = KeptOpen(stream)
        self._writer = self._begin(pa.PythonFile(self._out, "w"), schema, codec)

    def _begin(self, sink: Any, schema: Any, codec: str | None) -> Any:
        """Write what precedes the rows; returns the writer of pyarrow."""
        known = codec if codec in ("lz4", "zstd") else "lz4"
        return pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression=known))

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


class ArrowStreamWriter(FeatherWriter):
    """Writes an Arrow IPC stream, which is not compressed, as by other programs."""

    def _begin(self, sink: Any, schema: Any, codec: str | None) -> Any:  # noqa: ARG002 -- as of a file
        return pa.ipc.new_stream(sink, schema)


class DelimitedWriter(BatchWriter):
    """Writes rows of text: numbers as convcli writes them, the rest as pyarrow casts it to text."""

    _delimiter: ClassVar = b","

    def __init__(self, stream: BinaryIO, schema: Any, codec: str | None) -> None:  # noqa: ARG002 -- as all writers
        self._stream = stream
        delimiter = self._delimiter
        self._texts = [_texts_of(field, delimiter) for field in schema]
        names = [quoted(name.encode(), delimiter) for name in schema.names]
        self._stream.write(delimiter.join(names) + b"\n")

    def write(self, batch: Any) -> None:
        """Append the rows of a pyarrow record batch."""
        names = batch.schema.names
        columns = list(map(_converted, names, batch.columns, self._texts))
        lines = [self._delimiter.join(row) + b"\n" for row in zip(*columns, strict=True)]
        self._stream.write(b"".join(lines))


class TabbedWriter(DelimitedWriter):
    """Writes rows of text with tabs between the cells."""

    _delimiter = b"\t"


def _refuse_same_names(schema: Any, title: str) -> None:
    """Raise RequestError for two columns of one name, which readers of the format refuse."""
    seen: set[str] = set()
    for name in schema.names:
        if name in seen:
            raise RequestError(
                f"two columns are called {name}, and a {title} file has one of each name",
                hint="an output of text, such as -o FILE.csv, keeps them",
            )
        seen.add(name)


def _refuse_types_unknown_to_parquet(schema: Any) -> None:
    """Raise RequestError for a column that cannot be written even into a file of its own."""
    import pyarrow.parquet as pq

    for field in schema:
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except (pa.ArrowException, OSError) as error:
            raise RequestError(
                f"the column {field.name} cannot be written to Parquet: its type is {field.type}",
                hint="-o FILE.feather keeps it",
            ) from error


def _texts_of(field: Any, delimiter: bytes) -> Callable[[Any], list[bytes]]:
    """The function that writes a column as cells. RequestError if its type has no text."""
    kind = plain_field(field).type
    if pa.types.is_floating(kind):
        return _texts_of_floats
    if _is_nested(kind):
        raise _no_text(field.name, kind, "-o FILE.jsonl or FILE.parquet keeps it")
    _refuse_without_text(field.name, kind)
    return partial(_texts_of_others, delimiter=delimiter)


def _is_nested(kind: Any) -> bool:
    """Whether values of a type are lists or structures; of an extension type, those stored."""
    stored = kind
    if _is_extension(kind):
        stored = kind.storage_type
    return bool(pa.types.is_nested(stored))


def _is_extension(kind: Any) -> bool:
    return isinstance(kind, pa.BaseExtensionType)


def _refuse_without_text(name: str, kind: Any) -> None:
    """Raise RequestError for a column of bytes, or of another type that text has no form for."""
    of_bytes = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
        pa.types.is_binary_view,
    )
    if any(is_of_kind(kind) for is_of_kind in of_bytes):
        raise _no_text(name, kind, "-o FILE.parquet or FILE.feather keeps it")
    if not _is_nested(kind):
        try:
            _as_texts(pa.nulls(1, kind))
        except pa.ArrowException as error:
            raise _no_text(name, kind, "-o FILE.feather keeps it") from error
    for number in range(kind.num_fields):
        _refuse_without_text(name, kind.field(number).type)


def _no_text(name: str, kind: Any, hint: str) -> RequestError:
    return RequestError(
        f"the column {name} cannot be written as text: its type is {kind}", hint=hint
    )


def _converted(name: str, column: Any, convert: Callable[[Any], list[T]]) -> list[T]:
    """The values of a column as text or JSON. RequestError for a value without such a form."""
    try:
        return convert(column)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise RequestError(
            f"the column {name} cannot be written as text: {error}",
            hint="-o FILE.feather keeps it",
        ) from error


def _texts_of_floats(column: Any) -> list[bytes]:
    return [write_number(value) for value in column_numbers(column).tolist()]


def _texts_of_others(column: Any, *, delimiter: bytes) -> list[bytes]:
    texts = _as_texts(plain_column(column))
    return [b"" if text is None else quoted(text.encode(), delimiter) for text in texts]


def _as_texts(column: Any) -> list[str | None]:
    """A column as text, durations as pandas writes them: 1 days 00:00:01.5.

    ArrowException for a type that has no text, ValueError for a time thousands of years from now.
    """
    if _is_extension(column.type) and column.type.extension_name == "arrow.uuid":
        return [None if value is None else str(value) for value in column.to_pylist()]
    if not pa.types.is_duration(column.type):
        texts: list[str | None] = column.cast(pa.string()).to_pylist()
        if pa.types.is_temporal(column.type):
            _refuse_far_times(texts)
        return texts
    of_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    counts = column.cast(pa.int64()).to_pylist()
    return [None if count is None else _duration_text(count, of_second) for count in counts]


def _refuse_far_times(texts: list[str | None]) -> None:
    """Raise ValueError for a time that pyarrow has no date for: it says so in its place."""
    for text in texts:
        if text is not None and text.startswith("<"):
            raise ValueError(text.strip("<>"))


def _duration_text(count: int, of_second: int) -> str:
    """A duration of `count` units, of which a second has `of_second`."""
    seconds, units = divmod(count, of_second)
    days, seconds = divmod(seconds, 86400)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{days} days {hours:02d}:{minutes:02d}:{seconds:02d}"
    if days < 0:
        text = text.replace("days ", "days +")
    if not units:
        return text
    places = len(str(of_second)) - 1
    return f"{text}.{units:0{places}d}".rstrip("0")


class JsonLinesWriter(BatchWriter):
    """Writes an object a row. Dates and times are text; NaN is null, and infinity is 1e999."""

    def __init__(self, stream: BinaryIO, schema: Any, codec: str | None) -> None:  # noqa: ARG002 -- as all writers
        self._stream = stream
        self._schema = schema
        _refuse_same_names(schema, "JSON Lines")
        for field in schema:
            _refuse_without_text(field.name, plain_field(field).type)

    def write(self, batch: Any) -> None:
        """Append the rows of a pyarrow record batch."""
        names = self._schema.names
        columns = list(map(partial(_converted, convert=_json_values), names, batch.columns))
        lines = []
        for row in zip(*columns, strict=True):
            values = dict(zip(names, row, strict=True))
            lines.append(json_of_value(values) + "\n")
        self._stream.write("".join(lines).encode())


def _json_values(column: Any) -> list[Any]:
    """The values of a column as JSON types: numbers, strings, booleans and null."""
    kind = column.type
    if pa.types.is_floating(kind):
        return [_json_number(value) for value in column_numbers(column).tolist()]
    column = plain_column(column)
    if pa.types.is_temporal(column.type):
        return _as_texts(column)
    if pa.types.is_decimal(column.type):
        return [None if value is None else _json_decimal(value) for value in column.to_pylist()]
    return cast("list[Any]", column.to_pylist())


def _json_decimal(value: Decimal) -> float | int | str:
    """A number of JSON; a text if it has more digits than readers keep of a fraction."""
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else str(value)


def _json_number(value: float) -> float | int | None:
    """A number for JSON; whole numbers are written without a decimal point."""
    if np.isnan(value):
        return None
    is_whole = value.is_integer() and abs(value) < 2**53
    return int(value) if is_whole else value
