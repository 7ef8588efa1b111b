"""Decoded rows kept for the sink, in memory and then outside of it.

The source keeps the rows that it has decoded in `RecentRows`; the sink finds them there by row
number and releases them once later rows have been written.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.array_types import BoolArray, IntArray
    from convcli.media.tables.records import Records
    from convcli.media.tables.rows import RowSpans
    from convcli.media.tables.text import TextInput
    from convcli.signals import Rows


# Bytes of text kept for rows that wait to be written; older text is read again.
MAX_HELD = 48 << 20


@dataclass(frozen=True, eq=False)
class DecodedRows:
    """Rows with the places of their numbers.

    starts, stops : (rows, channels) the part of each filtered cell that is read as a number
    missing : (rows, channels) which of them were missing; None if none was
    rounded : by channel, a whole number that float64 rounds
    """

    spans: RowSpans
    starts: IntArray
    stops: IntArray
    missing: BoolArray | None
    rounded: dict[int, str] = field(default_factory=dict)

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
class RowsOnDisk:
    """Rows whose text is in a file and no longer in memory; `place` : where it is read again."""

    place: Any


class OldRows(Protocol):
    """Where rows that wait long are kept outside of memory. Safe to use from several threads."""

    def keep(self, rows: Any) -> RowsOnDisk:
        """Make sure that the text of some rows can be read again; return where."""

    def recall(self, kept: RowsOnDisk) -> Any:
        """Return rows that were kept, with their text."""

    def close(self) -> None:
        """Release all rows that were kept."""


def _without_text(records: Records) -> Records:
    return replace(records, data=b"", parsed=b"", quotes=records.quotes[:0])


class RowsInFile:
    """Old rows in the file of the table itself, where that can be read anywhere.

    decode : decodes some records, given without their text, and their text
    """

    def __init__(self, text: TextInput, decode: Callable[[Records, bytes], DecodedRows]) -> None:
        self._text = text
        self._decode = decode

    def keep(self, rows: DecodedRows) -> RowsOnDisk:
        """Note the place of the text in the file."""
        records = rows.spans.records
        return RowsOnDisk((_without_text(records), len(records.data) - records.padded))

    def recall(self, kept: RowsOnDisk) -> DecodedRows:
        """Read the text in the file again."""
        records, length = kept.place
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

    def keep(self, rows: DecodedRows) -> RowsOnDisk:
        """Write the text of some rows to the temporary file."""
        records = rows.spans.records
        stop = len(records.data) - records.padded
        return RowsOnDisk((_without_text(records), self._scratch.add(records.data[:stop])))

    def recall(self, kept: RowsOnDisk) -> DecodedRows:
        """Read the text that was written."""
        records, place = kept.place
        return self._decode(records, self._scratch.read(place))

    def close(self) -> None:
        """Remove the temporary file and everything in it."""
        self._scratch.close()


class RecentRows:
    """The recent rows of a table by their number. Safe to use from several threads.

    old_rows : keeps the text of rows that wait long, outside of memory
    tail : blank lines after the last row
    """

    def __init__(self, old_rows: OldRows) -> None:
        self._lock = threading.Lock()
        self._old_rows = old_rows
        self.clear()

    def clear(self) -> None:
        """Forget everything, because the table is read again from its start."""
        with self._lock:
            # Part i begins with row `_starts[i]`; the text of the first `_on_disk` is on disk.
            self._starts: list[int] = []
            self._parts: list[Any] = []
            self._on_disk = 0
            self._held_bytes = 0
            self._last_recalled: tuple[RowsOnDisk, Any] | None = None
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
            self._drop_old_text()

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
            for part in self._parts[self._on_disk : done]:
                self._held_bytes -= part.size
            self._on_disk = max(0, self._on_disk - done)
            del self._starts[:done], self._parts[:done]

    def _drop_old_text(self) -> None:
        while self._held_bytes > MAX_HELD and self._on_disk < len(self._parts) - 1:
            part = self._parts[self._on_disk]
            self._parts[self._on_disk] = self._old_rows.keep(part)
            self._held_bytes -= part.size
            self._on_disk += 1

    def _with_text(self, part: Any) -> Any:
        if not isinstance(part, RowsOnDisk):
            return part
        last = self._last_recalled
        if last is None or last[0] is not part:
            last = self._last_recalled = (part, self._old_rows.recall(part))
        return last[1]
