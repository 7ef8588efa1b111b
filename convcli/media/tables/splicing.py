"""New numbers put into old rows: every byte that is not replaced stays as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.media.tables.cells import QUOTE, Cells
from convcli.media.tables.numerals import uses_pyarrow, write_numbers
from convcli.media.tables.slots import is_contiguous, keeps_old_cells, replaced_spans, text_edges

if TYPE_CHECKING:
    from convcli.array_types import BoolArray, FloatArray, IntArray
    from convcli.media.tables.recent_rows import DecodedRows
    from convcli.media.tables.rows import RowSpans
    from convcli.media.tables.sink import OutputColumns
    from convcli.signals import Rows


def splice(
    decoded: DecodedRows, rows: Rows, y: FloatArray | None, output: OutputColumns
) -> bytes | memoryview:
    """The text of `rows` with the numbers `y`, `(rows, channels)`; None keeps every cell.

    Where the old cell and the new value are both missing, the old cell stays (`NA` stays `NA`).
    """
    nothing_new = y is None or y.shape[1] == 0
    if nothing_new and not output.append:
        return _unchanged(decoded.spans, rows)
    slots = replaced_spans(decoded, rows, output)
    is_large = uses_pyarrow(len(decoded.spans.records.data))
    if y is not None and is_large and not output.dialect.number_needs_quotes:
        from convcli.media.tables.arrow_splicing import splice_columnar

        return splice_columnar(decoded, rows, y, slots, output)
    return _splice_small(decoded, rows, y, slots, output)


def _unchanged(spans: RowSpans, rows: Rows) -> bytes:
    data, bounds = spans.records.data, spans.bounds
    if is_contiguous(rows):
        start, stop = bounds[rows[0]], bounds[rows[-1] + 1]
        return data[start:stop]
    whole_rows = Cells(data, bounds[rows], bounds[rows + 1])
    return b"".join(whole_rows.texts())


def _splice_small(
    decoded: DecodedRows, rows: Rows, y: FloatArray | None, slots: IntArray, output: OutputColumns
) -> bytes:
    """Put new texts into the slots of rows by Python, which is faster for small blocks."""
    data = decoded.spans.records.data
    edges = text_edges(decoded.spans, rows, slots).tolist()
    parts = [b""] * (len(edges) - 1)
    parts[0::2] = [data[a:b] for a, b in zip(edges[0::2], edges[1::2], strict=True)]
    slots_of_row = slots.shape[1]
    for place, texts in enumerate(_texts_of_slots(decoded, rows, y, slots, output)):
        parts[1 + 2 * place :: 2 * slots_of_row] = texts
    return b"".join(parts)


def _texts_of_slots(
    decoded: DecodedRows, rows: Rows, y: FloatArray | None, slots: IntArray, output: OutputColumns
) -> list[list[bytes]]:
    """The text of each slot of the rows, a list for each slot of a row."""
    if y is None or output.append:
        return [_appended(decoded, rows, y, output)]
    count = len(output.columns)
    if output.made is not None:
        joined = _joined_cells(_texts_of_channels(y, output), output)
        empty = [b""] * len(rows)
        return [joined, *[empty] * (count - 1)]
    data = decoded.spans.records.data
    keeps = keeps_old_cells(decoded, rows, y[:, :count])
    texts = []
    for place, channel in enumerate(output.channels_in_row_order):
        kept = keeps[:, channel]
        texts.append(_replaced(data, slots[:, place], y[:, channel], kept, output))
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
    data: bytes, slot: IntArray, values: FloatArray, keeps: BoolArray, output: OutputColumns
) -> list[bytes]:
    """The new text of one cell of each row, the old one where `keeps` is set."""
    start, stop = slot[:, 0], slot[:, 1]
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
