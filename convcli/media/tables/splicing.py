"""New numbers put into old rows: every byte that is not replaced stays as it was.

The source keeps the rows that it has decoded in `RecentRows`; the sink finds them there by row
number and releases them once later rows have been written.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import numpy as np
import numpy.typing as npt

from convcli.dataclass import dataclass
from convcli.media.scratch import scratch
from convcli.media.tables.delimited import QUOTE, Cells, Dialect, RowSpans
from convcli.media.tables.numerals import (
    as_int32,
    columnar,
    from_offsets,
    write_columnar,
    write_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convcli.array_types import AnyArray, BoolArray, FloatArray, IntArray
    from convcli.media.tables.delimited import Records
    from convcli.media.tables.numerals import Integers
    from convcli.media.tables.text import TextInput
    from convcli.signals import Rows

# Bytes of text kept for rows that wait to be written; older text is read again.
MAX_HELD = 48 << 20


@dataclass(frozen=True, eq=False)
class DecodedRows:
    """Rows with the places of their numbers.

    starts, stops : (rows, channels) the part of each filtered cell that is read as a number
    missing : (rows, channels) which of them were missing; None if none was
    """

    spans: RowSpans
    starts: IntArray
    stops: IntArray
    missing: BoolArray | None

    @property
    def count(self) -> int:
        """Number of rows in the block."""
        return self.spans.count

    @property
    def size(self) -> int:
        """Size of the text of the rows, in bytes."""
        return len(self.spans.records.data)

    def of_channels(self, channels: tuple[int, ...]) -> DecodedRows:
        """The rows with only some of the channels."""
        kept = list(channels)
        missing = None if self.missing is None else self.missing[:, kept]
        return DecodedRows(self.spans, self.starts[:, kept], self.stops[:, kept], missing)


@dataclass(frozen=True, eq=False)
class ReleasedRows:
    """Rows whose text was released; `place` is where it is found again."""

    place: Any


class OldRows(Protocol):
    """Where rows that wait long are kept outside of memory. Safe to use from several threads."""

    def keep(self, rows: Any) -> ReleasedRows:
        """Prepare to give up some rows."""
        ...

    def recall(self, forgotten: ReleasedRows) -> Any:
        """Return rows that were kept, with their text."""
        ...

    def close(self) -> None:
        """Release all rows that were kept."""
        ...


def _without_text(records: Records) -> Records:
    return replace(records, data=b"", parsed=b"", quotes=records.quotes[:0])


class RowsInFile:
    """Old rows in the file of the table itself, where that can be read anywhere.

    decode : decodes some records, given without their text, and their text
    """

    def __init__(self, text: TextInput, decode: Callable[[Records, bytes], DecodedRows]) -> None:
        self._text = text
        self._decode = decode

    def keep(self, rows: DecodedRows) -> ReleasedRows:
        """Note the place of the text in the file."""
        records = rows.spans.records
        return ReleasedRows((_without_text(records), len(records.data) - records.padded))

    def recall(self, forgotten: ReleasedRows) -> DecodedRows:
        """Read the text in the file again."""
        records, length = forgotten.place
        with self._text.open() as stream:
            stream.seek(records.offset)
            text = stream.read(length)
        return self._decode(records, text)

    def close(self) -> None:
        """Do nothing: no file stays open."""


class Scratch:
    """Bytes in a temporary file. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._size = 0

    def add(self, data: Any) -> tuple[int, int]:
        """Append bytes; return their place."""
        with self._lock:
            if self._file is None:
                self._file, _ = scratch()
            start = self._size
            self._file.seek(start)
            self._size += self._file.write(data)
            return start, self._size - start

    def read(self, place: tuple[int, int]) -> bytes:
        """Return the bytes at a place (start, length)."""
        start, length = place
        with self._lock:
            file = cast("BinaryIO", self._file)  # there is one, as there is a place in it
            file.seek(start)
            return file.read(length)

    def close(self) -> None:
        """Remove the temporary file and everything in it."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None
            self._size = 0


class RowsInScratch:
    """Old rows of a pipe, or of a compressed or recoded file, in a temporary file.

    decode : decodes some records, given without their text, and their text
    """

    def __init__(self, decode: Callable[[Records, bytes], DecodedRows]) -> None:
        self._scratch = Scratch()
        self._decode = decode

    def keep(self, rows: DecodedRows) -> ReleasedRows:
        """Write the text of some rows to the temporary file."""
        records = rows.spans.records
        stop = len(records.data) - records.padded
        return ReleasedRows((_without_text(records), self._scratch.add(records.data[:stop])))

    def recall(self, forgotten: ReleasedRows) -> DecodedRows:
        """Read the text that was written."""
        records, place = forgotten.place
        return self._decode(records, self._scratch.read(place))

    def close(self) -> None:
        """Remove the temporary file and everything in it."""
        self._scratch.close()


class RecentRows:
    """The recent rows of a table by their number. Safe to use from several threads.

    old_rows : where rows go that wait long
    tail : blank lines after the last row
    """

    def __init__(self, old_rows: OldRows) -> None:
        self._lock = threading.Lock()
        self._old_rows = old_rows
        self.clear()

    def clear(self) -> None:
        """Forget everything, because the table is read again from its start."""
        with self._lock:
            # Part i begins with row `_starts[i]`; the first `_forgotten` parts are without text.
            self._starts: list[int] = []
            self._parts: list[Any] = []
            self._forgotten = 0
            self._held_bytes = 0
            self._last_recalled: tuple[ReleasedRows, Any] | None = None
            self._rows = 0
            self.tail = b""
            self._old_rows.close()

    def add(self, rows: Any) -> None:
        """Append the next rows of the table."""
        with self._lock:
            self._starts.append(self._rows)
            self._parts.append(rows)
            self._held_bytes += rows.size
            self._rows += rows.count
            self._forget_old_rows()

    def find(self, rows: Rows) -> Iterator[tuple[Any, Rows, slice]]:
        """Yield the parts that hold `rows` (increasing).

        With each part come the row numbers counted within it, and where in `rows` they are.
        """
        if len(rows) == 0:
            return
        first_row, last_row = int(rows[0]), int(rows[-1])
        with self._lock:
            first = bisect_right(self._starts, first_row) - 1
            stop = bisect_right(self._starts, last_row)
            if first < 0 or last_row >= self._rows:
                raise IndexError(f"rows {first_row} to {last_row} are not held")
            starts, parts = self._starts[first:stop], self._parts[first:stop]
        cuts = np.searchsorted(rows, starts).tolist()
        ends = [*cuts[1:], len(rows)]
        for start, part, a, b in zip(starts, parts, cuts, ends, strict=True):
            if a < b:
                yield self._with_text(part), rows[a:b] - start, slice(a, b)

    def texts_of(self, column: int, rows: Rows) -> list[str]:
        """The text of a column in `rows` (increasing), without quotes."""
        texts: list[str] = []
        for part, local, _ in self.find(rows):
            cells = part.spans.cells[column].unquoted()
            texts += [cells.text(row) for row in local.tolist()]
        return texts

    def text_at(self, column: int, row: int) -> str:
        """The text of a column in one row, without quotes."""
        (text,) = self.texts_of(column, np.array([row]))
        return text

    def release(self, row: int) -> None:
        """Forget every part that ends before `row`."""
        with self._lock:
            done = max(0, bisect_right(self._starts, row) - 1)
            for part in self._parts[self._forgotten : done]:
                self._held_bytes -= part.size
            self._forgotten = max(0, self._forgotten - done)
            del self._starts[:done], self._parts[:done]

    def _forget_old_rows(self) -> None:
        while self._held_bytes > MAX_HELD and self._forgotten < len(self._parts) - 1:
            part = self._parts[self._forgotten]
            self._parts[self._forgotten] = self._old_rows.keep(part)
            self._held_bytes -= part.size
            self._forgotten += 1

    def _with_text(self, part: Any) -> Any:
        if not isinstance(part, ReleasedRows):
            return part
        last = self._last_recalled
        if last is None or last[0] is not part:
            last = self._last_recalled = (part, self._old_rows.recall(part))
        return last[1]


@dataclass(frozen=True, eq=False, kw_only=True)
class OutputColumns:
    """Where and how new numbers are written.

    columns : the numbers of the filtered columns in the file, in the order of the channels
    append : write new cells at the end of the row, in place of replacing the old ones
    made : how many columns are written for all of the filtered ones together; None: one for each,
        in its place
    added : the names of further channels, which are written at the end of the row
    prefixes : what stands before each number at the end of the row; none: the delimiter
    missing : the text of a missing number
    """

    dialect: Dialect
    columns: tuple[int, ...]
    append: bool
    decimals: int | None
    made: int | None = None
    added: tuple[str, ...] = ()
    prefixes: tuple[bytes, ...] = ()
    missing: bytes = b""

    def prefixes_of(self, count: int) -> tuple[bytes, ...]:
        """The text before each of `count` numbers at the end of a row."""
        return self.prefixes or (self.dialect.delimiter,) * count

    @property
    def channels_in_row_order(self) -> list[int]:
        """The channels in the order in which their numbers are in a row."""
        if self.made is not None:
            return list(range(self.made))
        channels = list(range(len(self.columns)))
        if not self.append:
            channels.sort(key=lambda channel: self.columns[channel])
        return channels

    def arranged(self, old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
        """What belongs to the columns of the table, with that of new columns.

        New columns are behind all others, or in the place of those that were read. Of a header
        without rows it is not known which columns would be read.
        """
        if self.append or self.made is None or not self.columns:
            return [*old, *new]
        arranged: list[Any] = []
        for number, each in enumerate(old):
            if number == min(self.columns):
                arranged += new
            elif number not in self.columns:
                arranged.append(each)
        return arranged


def splice(
    decoded: DecodedRows, rows: Rows, y: FloatArray | None, output: OutputColumns
) -> bytes | memoryview:
    """The text of `rows` with the numbers `y`, `(rows, channels)`; None keeps every cell.

    Where the old cell and the new value are both missing, the old cell stays (`NA` stays `NA`).
    """
    nothing_new = y is None or y.shape[1] == 0
    if nothing_new and not output.append:
        return _unchanged(decoded.spans, rows)
    gaps = _replaced_spans(decoded, rows, output)
    is_large = columnar(len(decoded.spans.records.data))
    if y is not None and is_large and not output.dialect.number_needs_quotes:
        return _splice_columnar(decoded, rows, y, gaps, output)
    return _splice_small(decoded, rows, y, gaps, output)


def _unchanged(spans: RowSpans, rows: Rows) -> bytes:
    data, bounds = spans.records.data, spans.bounds
    if _is_contiguous(rows):
        start, stop = bounds[rows[0]], bounds[rows[-1] + 1]
        return data[start:stop]
    whole_rows = Cells(data, bounds[rows], bounds[rows + 1])
    return b"".join(whole_rows.texts())


def _is_contiguous(rows: Rows) -> bool:
    first = int(rows[0])
    last = first + len(rows) - 1
    return int(rows[-1]) == last


def _replaced_spans(decoded: DecodedRows, rows: Rows, output: OutputColumns) -> IntArray:
    """Start and stop of each span of text that is replaced, `(rows, gaps, 2)`, in order.

    Replaced cells give one gap per channel, appended ones an empty gap at the end of the row. If
    rows are left out, one more gap per row covers the text before the next row.
    """
    spans = decoded.spans
    if output.append:
        stops = spans.stops[rows]
        edges = [stops, stops]
    elif output.made is not None:
        edges = _edges_of_all_columns(spans, rows, output)
    else:
        channels = output.channels_in_row_order
        starts, stops = decoded.starts[rows][:, channels], decoded.stops[rows][:, channels]
        edges = [*_alternating(starts, stops).T]
        if output.added:
            ends = spans.stops[rows]
            edges += [ends, ends]
    if not _is_contiguous(rows):
        after = spans.bounds[rows + 1]
        next_row = np.append(spans.bounds[rows[1:]], after[-1])
        edges += [after, next_row]
    return np.stack(edges, axis=1).reshape(len(rows), -1, 2)


def _alternating(first: AnyArray, second: AnyArray) -> AnyArray:
    """The columns of two arrays `(rows, columns)` in turn."""
    return np.stack([first, second], axis=2).reshape(len(first), -1)


def _edges_of_all_columns(spans: RowSpans, rows: Rows, output: OutputColumns) -> list[IntArray]:
    """Start and stop of the first filtered cell, then of each other one with its delimiter."""
    first, *others = sorted(output.columns)
    cells = spans.cells[first]
    edges = [cells.start[rows], cells.stop[rows]]
    for column in others:
        cells = spans.cells[column]
        edges += [cells.start[rows] - 1, cells.stop[rows]]
    return edges


def _text_edges(spans: RowSpans, rows: Rows, gaps: IntArray) -> IntArray:
    """Offsets between which old text (spans 0, 2, 4, ...) and gaps (spans 1, 3, ...) alternate."""
    inner = gaps.reshape(-1)
    stop = inner[-1]
    if _is_contiguous(rows):
        stop = spans.bounds[rows[-1] + 1]
    return np.concatenate(([spans.bounds[rows[0]]], inner, [stop]))


def _keeps_old_cells(decoded: DecodedRows, rows: Rows, y: FloatArray) -> BoolArray:
    """Which cells have neither an old nor a new number, `(rows, channels)`."""
    missing: BoolArray = np.isnan(y)
    if decoded.missing is None or not missing.any():
        return np.zeros(y.shape, np.bool_)
    missing &= decoded.missing[rows]
    return missing


def _splice_small(
    decoded: DecodedRows, rows: Rows, y: FloatArray | None, gaps: IntArray, output: OutputColumns
) -> bytes:
    """Put new texts into the gaps of rows by Python, which is faster for small blocks."""
    data = decoded.spans.records.data
    edges = _text_edges(decoded.spans, rows, gaps).tolist()
    parts = [b""] * (len(edges) - 1)
    parts[0::2] = [data[a:b] for a, b in zip(edges[0::2], edges[1::2], strict=True)]
    gaps_of_row = gaps.shape[1]
    for place, texts in enumerate(_texts_of_gaps(decoded, rows, y, gaps, output)):
        parts[1 + 2 * place :: 2 * gaps_of_row] = texts
    return b"".join(parts)


def _texts_of_gaps(
    decoded: DecodedRows, rows: Rows, y: FloatArray | None, gaps: IntArray, output: OutputColumns
) -> list[list[bytes]]:
    """The text of each gap of the rows, a list for each gap of a row."""
    if y is None or output.append:
        return [_appended(decoded, rows, y, output)]
    count = len(output.columns)
    if output.made is not None:
        joined = _joined_cells(_texts_of_channels(y, output), output)
        empty = [b""] * len(rows)
        return [joined, *[empty] * (count - 1)]
    data = decoded.spans.records.data
    keeps = _keeps_old_cells(decoded, rows, y[:, :count])
    texts = []
    for place, channel in enumerate(output.channels_in_row_order):
        kept = keeps[:, channel]
        texts.append(_replaced(data, gaps[:, place], y[:, channel], kept, output))
    if output.added:
        texts.append(_appended(decoded, rows, y[:, count:], output))
    return texts


def _appended(
    decoded: DecodedRows, rows: Rows, y: FloatArray | None, output: OutputColumns
) -> list[bytes]:
    """The new cells of each row, each after a delimiter; copies of the old ones if y is None."""
    if y is None:
        columns = [decoded.spans.cells[column][rows].texts() for column in output.columns]
    else:
        columns = _texts_of_channels(y, output)
    prefixes = output.prefixes_of(len(columns))
    texts = []
    for prefix, cells in zip(prefixes, columns, strict=True):
        texts.append([prefix + cell for cell in cells])
    return [b"".join(row) for row in zip(*texts, strict=True)]


def _texts_of_channels(y: FloatArray, output: OutputColumns) -> list[list[bytes]]:
    """The text of every new number, a list for each channel."""
    channels = range(y.shape[1])
    texts = [_number_texts(y[:, channel], output) for channel in channels]
    return [_in_quotes(of_channel, output) for of_channel in texts]


def _joined_cells(columns: list[list[bytes]], output: OutputColumns) -> list[bytes]:
    """The cells of each row, with delimiters between them."""
    return [output.dialect.delimiter.join(cells) for cells in zip(*columns, strict=True)]


def _replaced(
    data: bytes, gap: IntArray, values: FloatArray, keeps: BoolArray, output: OutputColumns
) -> list[bytes]:
    """The new text of one cell of each row, the old one where `keeps` is set."""
    start, stop = gap[:, 0], gap[:, 1]
    texts = _number_texts(values, output)
    if output.dialect.number_needs_quotes:
        before = np.frombuffer(data, np.uint8)[start - 1]
        has_quotes = (before == QUOTE) & (start > 0)
        new = _in_quotes(texts, output)
        texts = [texts[row] if has_quotes[row] else new[row] for row in range(len(texts))]
    for row in np.flatnonzero(keeps).tolist():
        texts[row] = data[start[row] : stop[row]]
    return texts


def _number_texts(values: FloatArray, output: OutputColumns) -> list[bytes]:
    decimal = output.dialect.numbers.decimal
    texts = write_numbers(values, decimals=output.decimals, decimal=decimal)
    if output.missing:
        return [text or output.missing for text in texts]
    return texts


def _in_quotes(texts: list[bytes], output: OutputColumns) -> list[bytes]:
    """Numbers in quotes where they contain the delimiter."""
    if not output.dialect.number_needs_quotes:
        return texts
    delimiter = output.dialect.delimiter
    return [b'"' + text + b'"' if delimiter in text else text for text in texts]


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


def _splice_columnar(
    decoded: DecodedRows, rows: Rows, y: FloatArray, gaps: IntArray, output: OutputColumns
) -> memoryview:
    """`_splice_small` by pyarrow, which is faster for large blocks."""
    pool = _TextPool()
    edges = _text_edges(decoded.spans, rows, gaps).astype(np.int32)
    first_span = pool.add_spans(edges, decoded.spans.records.data)
    last_span = first_span + len(edges) - 2
    # Numbers of the text before each gap, and of the old text in it.
    spans = np.arange(first_span, last_span, dtype=np.int32).reshape(gaps.shape)
    if output.append or output.made is not None:
        parts = _row_with_new_columns(pool, spans, y, output)
    else:
        keeps = _keeps_old_cells(decoded, rows, y[:, : len(output.columns)])
        parts = _row_with_replaced_cells(pool, spans, keeps, y, output)
    if not _is_contiguous(rows):
        parts.append(spans[:, -1:, 0])
    order = np.concatenate(parts, axis=1).reshape(-1).astype(np.int32)
    return pool.joined(np.append(order, np.int32(last_span)))


def _row_with_new_columns(
    pool: _TextPool, spans: Integers, y: FloatArray, output: OutputColumns
) -> list[Integers]:
    """The numbers of the texts of each row, (rows, texts): old text and new columns in turn.

    spans : (rows, gaps, 2) the old text before each gap, and that in it
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
    """The numbers of the texts of each row, (rows, texts): new numbers in the place of old cells.

    spans : (rows, gaps, 2) the old text before each gap, and that in it
    keeps : (rows, channels) which cells keep their old text
    """
    before, replaced = spans[:, :, 0], spans[:, :, 1]
    channels = output.channels_in_row_order
    filled = len(channels)
    new = pool.add_numbers(y[:, channels], output)
    cells = np.where(keeps[:, channels], replaced[:, :filled], new)
    parts = [_alternating(before[:, :filled], cells)]
    if output.added:
        added = pool.add_numbers(y[:, filled:], output)
        parts += [before[:, filled : filled + 1], _with_prefixes(pool, added, output)]
    return parts


def _with_prefixes(pool: _TextPool, numbers: Integers, output: OutputColumns) -> Integers:
    """Numbers of texts (rows, columns), each after that of the text that stands before its cell."""
    prefixes = pool.add_prefixes(output.prefixes_of(numbers.shape[1]))
    return _alternating(np.broadcast_to(prefixes, numbers.shape), numbers)
