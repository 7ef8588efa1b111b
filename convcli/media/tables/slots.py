"""Slots: the spans of old text whose place new numbers take, between text that stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convcli.array_types import AnyArray, BoolArray, FloatArray, IntArray
    from convcli.media.tables.recent_rows import DecodedRows
    from convcli.media.tables.rows import RowSpans
    from convcli.media.tables.sink import OutputColumns
    from convcli.signals import Rows


def is_contiguous(rows: Rows) -> bool:
    """Whether no row is left out between the first and the last one."""
    first = int(rows[0])
    last = first + len(rows) - 1
    return int(rows[-1]) == last


def replaced_spans(decoded: DecodedRows, rows: Rows, output: OutputColumns) -> IntArray:
    """Start and stop of each span of text that is replaced, `(rows, slots, 2)`, in order.

    Replaced cells give one slot per channel, appended ones an empty slot at the end of the row. If
    rows are left out, one more slot per row covers the text before the next row.
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
        edges = [*alternating_columns(starts, stops).T]
        if output.added:
            ends = spans.stops[rows]
            edges += [ends, ends]
    if not is_contiguous(rows):
        after = spans.bounds[rows + 1]
        next_row = np.append(spans.bounds[rows[1:]], after[-1])
        edges += [after, next_row]
    return np.stack(edges, axis=1).reshape(len(rows), -1, 2)


def alternating_columns(first: AnyArray, second: AnyArray) -> AnyArray:
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


def text_edges(spans: RowSpans, rows: Rows, slots: IntArray) -> IntArray:
    """Offsets between which old text (spans 0, 2, 4, ...) and slots (spans 1, 3, ...) alternate."""
    inner = slots.reshape(-1)
    stop = inner[-1]
    if is_contiguous(rows):
        stop = spans.bounds[rows[-1] + 1]
    return np.concatenate(([spans.bounds[rows[0]]], inner, [stop]))


def keeps_old_cells(decoded: DecodedRows, rows: Rows, y: FloatArray) -> BoolArray:
    """Which cells have neither an old nor a new number, `(rows, channels)`."""
    missing: BoolArray = np.isnan(y)
    if decoded.missing is None or not missing.any():
        return np.zeros(y.shape, np.bool_)
    missing &= decoded.missing[rows]
    return missing
