"""New numbers put into old rows by pyarrow, for large blocks.

Numbers get the texts that `numerals.write_number` writes. orjson writes the shortest decimals in a
third of the time of pyarrow, but whole numbers and very small and large ones in another way. Those
are left to pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.media.tables.numerals import (
    SWAP_POINT_AND_COMMA,
    as_int32,
    from_offsets,
    translated_bytes,
    with_fixed_decimals,
)
from convcli.media.tables.slots import (
    alternating_columns,
    is_contiguous,
    keeps_old_cells,
    text_edges,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import AnyArray, BoolArray, FloatArray, IntArray
    from convcli.media.tables.numerals import Integers
    from convcli.media.tables.recent_rows import DecodedRows
    from convcli.media.tables.sink import OutputColumns
    from convcli.signals import Rows

    Texts = tuple[Any, Integers]


_EMPTY_TEXT = 0


class _TextPool:
    """Texts of several pyarrow arrays, to be joined in any order."""

    def __init__(self) -> None:
        self._arrays: list[Any] = []
        self._count = 0
        self.add_spans(np.zeros(2, np.int32), b"")  # the empty text

    def add(self, texts: Any) -> int:
        """Add an array and return the number of its first text."""
        first = self._count
        self._arrays.append(texts)
        self._count += len(texts)
        return first

    def add_spans(self, edges: Integers, data: bytes) -> int:
        """Add the spans of `data` between `edges`."""
        import pyarrow as pa

        return self.add(from_offsets(edges, pa.py_buffer(data), pa.binary()))

    def add_prefixes(self, prefixes: Sequence[bytes]) -> npt.NDArray[np.int32]:
        """Add texts that stand before numbers and return the number of each."""
        edges = np.zeros(len(prefixes) + 1, np.int32)
        np.cumsum([len(prefix) for prefix in prefixes], out=edges[1:])
        first = self.add_spans(edges, b"".join(prefixes))
        return np.arange(first, first + len(prefixes), dtype=np.int32)

    def add_numbers(self, values: FloatArray, output: OutputColumns) -> AnyArray:
        """Add the texts of numbers `(rows, channels)`; return the text number of each.

        The text of NaN is that of a missing number.
        """
        missing = np.int32(_EMPTY_TEXT)
        if output.missing:
            missing = self.add_prefixes([output.missing])[0]
        decimal = output.dialect.numbers.decimal
        flat = np.ravel(values)
        texts, places = write_columnar(flat, decimals=output.decimals, decimal=decimal)
        first = np.int32(self.add(texts))
        return np.where(np.isnan(values), missing, places.reshape(values.shape) + first)

    def joined(self, order: Integers) -> memoryview:
        """The texts of the given numbers, one after the other."""
        import pyarrow as pa

        taken = pa.concat_arrays(self._arrays).take(as_int32(order))
        _, offset_buffer, data = taken.buffers()
        offsets = np.frombuffer(offset_buffer, np.int32)
        start = int(offsets[taken.offset])
        stop = int(offsets[taken.offset + len(taken)])
        return memoryview(data or b"")[start:stop]


def splice_columnar(
    decoded: DecodedRows, rows: Rows, y: FloatArray, slots: IntArray, output: OutputColumns
) -> memoryview:
    """The text of rows with new numbers, as `splice` gives it: faster for large blocks."""
    pool = _TextPool()
    edges = text_edges(decoded.spans, rows, slots).astype(np.int32)
    first_span = pool.add_spans(edges, decoded.spans.records.data)
    last_span = first_span + len(edges) - 2
    # Numbers of the text before each slot, and of the old text in it.
    spans = np.arange(first_span, last_span, dtype=np.int32).reshape(slots.shape)
    if output.append or output.made is not None:
        parts = _row_with_new_columns(pool, spans, y, output)
    else:
        keeps = keeps_old_cells(decoded, rows, y[:, : len(output.columns)])
        parts = _row_with_replaced_cells(pool, spans, keeps, y, output)
    if not is_contiguous(rows):
        parts.append(spans[:, -1:, 0])
    order = np.concatenate(parts, axis=1).reshape(-1).astype(np.int32)
    return pool.joined(np.append(order, np.int32(last_span)))


def _row_with_new_columns(
    pool: _TextPool, spans: Integers, y: FloatArray, output: OutputColumns
) -> list[Integers]:
    """The numbers of the texts of each row, (rows, texts): old text and new columns in turn.

    spans : (rows, slots, 2) the old text before each slot, and that in it
    """
    before = spans[:, :, 0]
    new = pool.add_numbers(y[:, output.channels_in_row_order], output)
    cells = _with_prefixes(pool, new, output)
    if output.append:
        return [before[:, :1], cells]
    # No delimiter stands before the first cell.
    return [before[:, :1], cells[:, 1:], before[:, 1 : len(output.columns)]]


def _row_with_replaced_cells(
    pool: _TextPool, spans: Integers, keeps: BoolArray, y: FloatArray, output: OutputColumns
) -> list[Integers]:
    """The numbers of the texts of each row, (rows, texts): new numbers in place of old cells.

    spans : (rows, slots, 2) the old text before each slot, and that in it
    keeps : (rows, channels) which cells keep their old text
    """
    before, replaced = spans[:, :, 0], spans[:, :, 1]
    channels = output.channels_in_row_order
    filled = len(channels)
    new = pool.add_numbers(y[:, channels], output)
    cells = np.where(keeps[:, channels], replaced[:, :filled], new)
    parts = [alternating_columns(before[:, :filled], cells)]
    if output.added:
        added = pool.add_numbers(y[:, filled:], output)
        parts += [before[:, filled : filled + 1], _with_prefixes(pool, added, output)]
    return parts


def _with_prefixes(pool: _TextPool, numbers: Integers, output: OutputColumns) -> Integers:
    """Numbers of texts (rows, columns), each after that of the text that stands before its cell."""
    prefixes = pool.add_prefixes(output.prefixes_of(numbers.shape[1]))
    return alternating_columns(np.broadcast_to(prefixes, numbers.shape), numbers)


# ------------------------------------------------------------------------ the texts of many numbers


# The numbers that are not whole and have no exponent, in orjson either.
_LEAST_POSITIONAL, _POSITIONAL = 1e-5, 1e16


def write_columnar(values: FloatArray, *, decimals: int | None, decimal: str) -> Texts:
    """Write each value as `write_number` does, into a pyarrow binary array.

    Returns the array and places in it: text i is `array[places[i]]`. The text of NaN is undefined.
    """
    if decimals is not None:
        text = with_fixed_decimals(values, decimals, decimal)
        return _between(text, ord("\n"), first=0)
    texts, places = _shortest_texts(values + 0.0)
    if decimal == ",":
        texts = translated_bytes(texts, SWAP_POINT_AND_COMMA)
    return texts, places


def _shortest_texts(values: FloatArray) -> Texts:
    import pyarrow as pa

    magnitudes = np.abs(values)
    is_whole = (values == np.rint(values)) & (magnitudes < _POSITIONAL)
    is_positional = (magnitudes >= _LEAST_POSITIONAL) & (magnitudes < _POSITIONAL)
    is_fraction = is_positional & ~is_whole
    if len(values) > 0 and is_fraction.all():
        return _fractions(values)
    is_other = ~is_whole & ~is_fraction & ~np.isnan(values)
    arrays = [from_offsets(np.zeros(2, np.int32), pa.py_buffer(b""), pa.binary())]
    places = np.zeros(len(values), np.int32)
    count = 1
    for chosen, write in ((is_whole, _whole), (is_fraction, _fractions), (is_other, _others)):
        rows = np.flatnonzero(chosen)
        if len(rows) > 0:
            texts, own_places = write(values[rows])
            places[rows] = own_places + count
            arrays.append(texts)
            count += len(texts)
    return pa.concat_arrays(arrays), places


def _fractions(values: FloatArray) -> Texts:
    """The texts of numbers that are not whole, without exponents."""
    import orjson

    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    # In `[0.5,1.5]` the last bracket follows a number as a comma does.
    return _between(text[:-1] + b",", ord(","), first=1)


def _whole(values: FloatArray) -> Texts:
    """The texts of whole numbers that an int64 holds."""
    import pyarrow as pa

    whole = values.astype(np.int64)
    integers = pa.Array.from_buffers(pa.int64(), len(whole), [None, pa.py_buffer(whole)])
    texts = integers.cast(pa.string()).cast(pa.binary())
    return texts, np.arange(len(values), dtype=np.int32)


def _others(values: FloatArray) -> Texts:
    """The texts of very small and large numbers, and of infinities."""
    import pyarrow as pa

    floats = pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(values)])
    texts = floats.cast(pa.string()).cast(pa.binary())
    return texts, np.arange(len(values), dtype=np.int32)


def _between(text: bytes, separator: int, *, first: int) -> Texts:
    """The texts from the place `first` on, each of which a separator follows."""
    import pyarrow as pa

    octets = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(octets == separator)
    # Every second span is a number, the others are the separators.
    count = 2 * len(ends)
    offsets = np.empty(count + 1, np.int32)
    offsets[0] = first
    offsets[1::2] = ends
    offsets[2::2] = ends + 1
    places = np.arange(0, count, 2, dtype=np.int32)
    return from_offsets(offsets, pa.py_buffer(text), pa.binary()), places
