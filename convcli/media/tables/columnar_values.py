"""Columns of pyarrow as numbers and back, without pandas, which `to_numpy` imports."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from convcli.media.tables.cells import Cells
from convcli.media.tables.numerals import as_int32

if TYPE_CHECKING:
    from collections.abc import Container

    from convcli.array_types import BoolArray, FloatArray, IntArray
    from convcli.signals import Rows

# The key of what pandas says of the columns of a table.
_PANDAS = b"pandas"


def column_numbers(column: Any) -> FloatArray:
    """A column as float64, NaN where it is null."""
    floats = column.cast(pa.float64(), safe=False)
    valid, data = floats.buffers()
    count = len(floats)
    if not count:
        return np.empty(0)
    values = np.frombuffer(data, np.float64, count, 8 * floats.offset)
    if not floats.null_count:
        return values
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
    is_known = bits[floats.offset : floats.offset + count].astype(np.bool_)
    return np.where(is_known, values, np.nan)


def numbers_column(values: FloatArray) -> Any:
    """Numbers as a column of float64, null where they are NaN."""
    values = np.ascontiguousarray(values, np.float64)
    is_known = ~np.isnan(values)
    valid = None
    if not is_known.all():
        valid = pa.py_buffer(np.packbits(is_known, bitorder="little"))
    return pa.Array.from_buffers(pa.float64(), len(values), [valid, pa.py_buffer(values)])


def plain_field(field: Any) -> Any:
    """The field with the type of its values, if they are stored as indices into a dictionary."""
    is_dictionary = pa.types.is_dictionary(field.type)
    return field.with_type(field.type.value_type) if is_dictionary else field


def plain_column(column: Any) -> Any:
    """The values of a column, which may be stored as indices into a dictionary."""
    if not pa.types.is_dictionary(column.type):
        return column
    values = column.dictionary
    if pa.types.is_string_view(values.type):
        # polars writes these, and pyarrow cannot take them by indices of every type.
        plain = pa.DictionaryArray.from_arrays(column.indices, values.cast(pa.large_string()))
        return plain.dictionary_decode().cast(values.type)
    return column.dictionary_decode()


def pandas_index_columns(schema: Any) -> tuple[str, ...]:
    """The names of the columns that pandas has written as the index of a DataFrame."""
    described = schema.pandas_metadata or {}
    names = described.get("index_columns", [])
    return tuple(name for name in names if isinstance(name, str))


def with_float_columns(metadata: dict[bytes, bytes] | None, names: Container[str]) -> Any:
    """The metadata of a schema in which pandas is told that some columns are float64.

    Else pandas casts them to what they were, such as Int64, or refuses to read the file.
    """
    if not metadata or _PANDAS not in metadata:
        return metadata
    described = json.loads(metadata[_PANDAS])
    for column in described.get("columns", []):
        if column.get("field_name", column.get("name")) in names:
            column.update(pandas_type="float64", numpy_type="float64", metadata=None)
    return {**metadata, _PANDAS: json.dumps(described).encode()}


def column_cells(column: Any) -> Cells:
    """A column as text; a null is an empty cell. ArrowException if its type has no text.

    Durations are numbers of seconds, as times that are numbers are read.
    """
    if pa.types.is_duration(column.type):
        column = _seconds_of(column)
    texts = column.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    first = texts.offset
    last = first + len(texts)
    edges = np.frombuffer(offsets, np.int64)[first : last + 1]
    # A cell is looked at where it begins, even if it is empty.
    text = bytes(data or b"") + b"\n"
    return Cells(text, edges[:-1], edges[1:])


def _seconds_of(durations: Any) -> Any:
    """Durations as decimal numbers of seconds, with all their digits."""
    import pyarrow.compute as pc

    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[durations.type.unit]
    counts = durations.cast(pa.int64()).cast(pa.decimal128(19, 0))
    return pc.multiply(counts, Decimal(1).scaleb(-digits))


def local_times(column: Any) -> Any:
    """Times with a zone as local times of that zone."""
    import pyarrow.compute as pc

    return pc.local_timestamp(column)


def times_from_instants(instants: IntArray, kind: Any, *, in_local_time: bool) -> Any:
    """Nanoseconds since 1970 as a column of times or days, or since 0 as one of durations.

    ArrowInvalid if it cannot hold them.

    in_local_time : they count on the wall clock in the time zone of `kind`
    """
    import pyarrow.compute as pc

    counted = pa.Array.from_buffers(pa.int64(), len(instants), [None, pa.py_buffer(instants)])
    if pa.types.is_duration(kind):
        return counted.cast(pa.duration("ns")).cast(kind)
    times = counted.cast(pa.timestamp("ns"))
    if not pa.types.is_timestamp(kind):
        days = times.cast(pa.date32(), safe=False)
        if not days.cast(times.type).equals(times):
            raise pa.ArrowInvalid("a time within a day")
        return days.cast(kind)
    if kind.tz is not None:
        if in_local_time:
            times = pc.assume_timezone(times, kind.tz, ambiguous="earliest", nonexistent="latest")
        else:
            times = times.cast(pa.timestamp("ns", kind.tz))
    return times.cast(kind)


def rows_or_nulls(column: Any, rows: IntArray, is_null: BoolArray) -> Any:
    """Some rows of a column in any order; null in the places where that is asked for."""
    places = rows.astype(np.int32)
    valid = pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    indices = pa.Array.from_buffers(pa.int32(), len(places), [valid, pa.py_buffer(places)])
    return column.take(indices)


def are_dates(column: Any) -> bool:
    """Whether all times without a zone are midnight."""
    import pyarrow.compute as pc

    days = column.cast(pa.date32(), safe=False).cast(column.type)
    is_midnight = pc.equal(days, column)
    return bool(pc.all(is_midnight).as_py())


def rows_of_batch(batch: Any, rows: Rows) -> Any:
    """Some rows of a record batch, in increasing order."""
    first = int(rows[0])
    count = len(rows)
    if int(rows[-1]) - first + 1 == count:
        return batch.slice(first, count)
    places = as_int32(rows.astype(np.int32))
    columns = [column.take(places) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
