"""New numbers spliced into old rows: every byte that is not replaced stays what it was.

The source leaves the texts of the rows it has decoded in a `Document`; the sink finds them there by row number and
lets go of them once later rows have been written.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convcli.media.tables.delimited import QUOTE, Cells, Dialect, Layout, Piece
from convcli.media.tables.numerals import (
    as_int32,
    columnar,
    from_offsets,
    write_columnar,
    write_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.signals import Rows

Floats = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# Bytes of text kept for rows that wait to be written, where older text can be read again.
MAX_HELD = 48 << 20


@dataclass(frozen=True)
class Passage:
    """Rows that were decoded.

    numerals : the part of each filtered cell that is read as a number, a column per channel
    missing : (rows, channels) which of them were missing; None if none was
    """

    layout: Layout
    numerals: tuple[Cells, ...]
    missing: Flags | None

    def of_channels(self, channels: tuple[int, ...]) -> Passage:
        """The same rows with some of their filtered cells."""
        missing = None if self.missing is None else self.missing[:, list(channels)]
        return Passage(self.layout, tuple(self.numerals[channel] for channel in channels), missing)


@dataclass(frozen=True)
class Faded:
    """A passage whose text was let go because it can be read again: its piece without the text, `length` bytes."""

    piece: Piece
    length: int


class Document:
    """The recent rows of a table by their number. Safe to use from several threads.

    recall : reads a faded passage again; None where the input cannot be, and then all texts are held until released.
    """

    def __init__(self, recall: Callable[[Faded], Passage] | None = None) -> None:
        self._lock = threading.Lock()
        self._recall = recall
        self.restart()

    def restart(self) -> None:
        """Forget everything: the table is read again from its start."""
        with self._lock:
            self._starts: list[int] = []
            self._passages: list[Passage | Faded] = []
            self._faded = 0
            self._held_bytes = 0
            self._recalled: tuple[int, Passage] | None = None
            self.rows = 0
            self.tail = b""

    def add(self, passage: Passage) -> None:
        """Take in the rows of the next piece."""
        with self._lock:
            self._starts.append(self.rows)
            self._passages.append(passage)
            self._held_bytes += len(passage.layout.piece.data)
            self.rows += passage.layout.rows
            if self._recall is not None:
                self._fade()

    def find(self, rows: Rows) -> Iterator[tuple[Passage, Rows, slice]]:
        """The passages that hold `rows` (increasing), the rows as counted within each, and their part of `rows`."""
        if len(rows) == 0:
            return
        with self._lock:
            first = bisect_right(self._starts, int(rows[0])) - 1
            last = bisect_right(self._starts, int(rows[-1]))
            if first < 0 or int(rows[-1]) >= self.rows:
                raise IndexError(f"rows {rows[0]} to {rows[-1]} are not held")
            starts, passages = self._starts[first:last], self._passages[first:last]
        cuts = [0, *np.searchsorted(rows, starts[1:]).tolist(), len(rows)]
        for passage, start, a, b in zip(passages, starts, cuts[:-1], cuts[1:], strict=True):
            if a < b:
                yield self._present(passage), rows[a:b] - start, slice(a, b)

    def release(self, row: int) -> None:
        """Let go of every passage that ends before `row`."""
        with self._lock:
            done = max(0, bisect_right(self._starts, row) - 1)
            self._held_bytes -= sum(
                len(p.layout.piece.data) for p in self._passages[:done] if isinstance(p, Passage)
            )
            self._faded = max(0, self._faded - done)
            del self._starts[:done], self._passages[:done]

    def _fade(self) -> None:
        """Let go of the oldest texts while they are too many."""
        while self._held_bytes > MAX_HELD and self._faded < len(self._passages) - 1:
            passage = self._passages[self._faded]
            if isinstance(passage, Passage):
                piece = passage.layout.piece
                self._passages[self._faded] = Faded(
                    replace(piece, data=b"", marks=piece.marks[:0]), len(piece.data)
                )
                self._held_bytes -= len(piece.data)
            self._faded += 1

    def _present(self, passage: Passage | Faded) -> Passage:
        if isinstance(passage, Passage) or self._recall is None:
            return cast("Passage", passage)
        recalled = self._recalled
        if recalled is None or recalled[0] != passage.piece.index:
            recalled = self._recalled = (passage.piece.index, self._recall(passage))
        return recalled[1]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where new numbers go.

    columns : the filtered columns, by their place in the file, in the order of the channels
    append : put the numbers in new cells at the end of the row, not in place of the old ones
    """

    dialect: Dialect
    columns: tuple[int, ...]
    append: bool
    decimals: int | None


def splice(passage: Passage, rows: Rows, y: Floats | None, places: Places) -> bytes | memoryview:
    """The text of `rows` with the numbers `y`, `(rows, columns)`; None leaves every byte as it was.

    Where the old cell and the new value are both missing, the old cell stays (`NA` stays `NA`).
    """
    layout = passage.layout
    if y is None and not places.append and _contiguous(rows):
        return layout.piece.data[layout.bounds[rows[0]] : layout.bounds[rows[-1] + 1]]
    if y is None:
        return _splice_old(layout, rows, places)
    slots = _slots(passage, rows, places)
    if columnar(len(layout.piece.data)) and not places.dialect.number_needs_quotes:
        return _splice_columnar(passage, rows, y, slots, places)
    return _splice_small(passage, rows, y, slots, places)


def _contiguous(rows: Rows) -> bool:
    return bool(rows[-1] - rows[0] == len(rows) - 1)


def _slots(passage: Passage, rows: Rows, places: Places) -> Offsets:
    """The spans that are replaced, `(rows, slots, 2)`, in the order of the text.

    Replacing: one per column. Appending: one of no width at the end of the row, for all columns.
    Where rows between are left out, one more slot per row swallows what stands before the next.
    """
    layout = passage.layout
    if places.append:
        ends = layout.ends[rows]
        spans = [(ends, ends)]
    else:
        columns = [passage.numerals[channel] for channel in _channel_order(places)]
        spans = [(cells.start[rows], cells.stop[rows]) for cells in columns]
    if not _contiguous(rows):
        after = layout.bounds[rows + 1]
        spans.append((after, np.append(layout.bounds[rows[1:]], after[-1])))
    return np.stack([np.stack(span, axis=1) for span in spans], axis=1)


def _channel_order(places: Places) -> list[int]:
    """The channels in the order in which their numbers stand in a row."""
    if places.append:
        return list(range(len(places.columns)))
    return sorted(range(len(places.columns)), key=lambda channel: places.columns[channel])


def _boundaries(layout: Layout, rows: Rows, slots: Offsets) -> Offsets:
    """Offsets between which untouched text (even spans) and slots (odd spans) alternate."""
    inner = slots.reshape(-1)
    stop = inner[-1] if not _contiguous(rows) else layout.bounds[rows[-1] + 1]
    return np.concatenate(([layout.bounds[rows[0]]], inner, [stop]))


def _splice_small(passage: Passage, rows: Rows, y: Floats, slots: Offsets, places: Places) -> bytes:
    data = passage.layout.piece.data
    edges = _boundaries(passage.layout, rows, slots).tolist()
    fills = [[b""] * len(rows) for _ in range(slots.shape[1])]
    for slot, channel in enumerate(_channel_order(places)):
        texts = write_numbers(
            y[:, channel], decimals=places.decimals, decimal=places.dialect.decimal
        )
        if places.append:
            new = _dressed(texts, places, ())
            fills[0] = [
                before + places.dialect.delimiter + text
                for before, text in zip(fills[0], new, strict=True)
            ]
        else:
            start, stop = slots[:, slot, 0], slots[:, slot, 1]
            bare = np.frombuffer(data, np.uint8)[start - 1] != QUOTE
            bare |= start == 0
            fills[slot] = _dressed(texts, places, np.flatnonzero(~bare).tolist())
            for row in np.flatnonzero(_both_missing(passage, rows, y, channel)).tolist():
                fills[slot][row] = data[start[row] : stop[row]]
    parts = [b""] * (len(edges) - 1)
    parts[0::2] = [data[a:b] for a, b in zip(edges[0::2], edges[1::2], strict=True)]
    for slot, texts in enumerate(fills):
        parts[1 + 2 * slot :: 2 * len(fills)] = texts
    return b"".join(parts)


def _dressed(texts: list[bytes], places: Places, in_quotes: list[int] | tuple[()]) -> list[bytes]:
    """Numbers that hold the delimiter put in quotes, save where quotes stand around the cell already."""
    if not places.dialect.number_needs_quotes:
        return texts
    delimiter, kept = places.dialect.delimiter, frozenset(in_quotes)
    return [
        b'"' + text + b'"' if delimiter in text and row not in kept else text
        for row, text in enumerate(texts)
    ]


def _both_missing(passage: Passage, rows: Rows, y: Floats, channel: int) -> Flags:
    gaps: Flags = np.isnan(y[:, channel])
    if passage.missing is None or not gaps.any():
        return np.zeros(len(rows), np.bool_)
    gaps &= passage.missing[rows, channel]
    return gaps


def _splice_columnar(
    passage: Passage, rows: Rows, y: Floats, slots: Offsets, places: Places
) -> memoryview:
    """The same by pyarrow: an array of all spans and all new texts, taken in the order of the result."""
    import pyarrow as pa

    edges = _boundaries(passage.layout, rows, slots).astype(np.int32)
    spans = from_offsets(edges, pa.py_buffer(passage.layout.piece.data), pa.binary())
    extra = from_offsets(
        np.array([0, 0, 1], np.int32), pa.py_buffer(places.dialect.delimiter), pa.binary()
    )
    arrays, held = [spans, extra], len(spans) + 2
    empty, delimiter = len(spans), len(spans) + 1
    old = np.arange(len(spans) - 1, dtype=np.int32).reshape(len(rows), slots.shape[1], 2)
    # What a row is made of, one place in the arrays after the other.
    made = [old[:, 0, 0]] if places.append else []
    for slot, channel in enumerate(_channel_order(places)):
        texts, at = write_columnar(
            y[:, channel], decimals=places.decimals, decimal=places.dialect.decimal
        )
        new = np.where(np.isnan(y[:, channel]), empty, at + np.int32(held))
        if places.append:
            made += [np.full(len(rows), delimiter), new]
        else:
            made += [
                old[:, slot, 0],
                np.where(_both_missing(passage, rows, y, channel), old[:, slot, 1], new),
            ]
        arrays.append(texts)
        held += len(texts)
    if not _contiguous(rows):
        made.append(old[:, -1, 0])
    order = np.append(np.stack(made, axis=1).reshape(-1).astype(np.int32), np.int32(len(spans) - 1))
    return _text_of(pa.concat_arrays(arrays).take(as_int32(order)))


def _text_of(joined: Any) -> memoryview:
    """All the texts of a pyarrow array, one after the other."""
    _, offsets, data = joined.buffers()
    limits = np.frombuffer(offsets, np.int32)[joined.offset : joined.offset + len(joined) + 1]
    return memoryview(data or b"")[int(limits[0]) : int(limits[-1])]


def _splice_old(layout: Layout, rows: Rows, places: Places) -> bytes:
    """The rows as they were; appended columns repeat the old texts of the cells."""
    data, delimiter = layout.piece.data, places.dialect.delimiter
    bounds, ends = layout.bounds, layout.ends
    columns = [layout.cells[column] for column in places.columns] if places.append else []
    parts: list[bytes] = []
    for row in rows.tolist():
        parts.append(data[bounds[row] : ends[row]])
        for cells in columns:
            parts += [delimiter, data[cells.start[row] : cells.stop[row]]]
        parts.append(data[ends[row] : bounds[row + 1]])
    return b"".join(parts)
