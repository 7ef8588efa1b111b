"""The text of a single cell: with quotes around it, and without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.media.tables.quotes import outside_quotes

if TYPE_CHECKING:
    from convcli.array_types import IntArray


def split_record(record: bytes, delimiter: bytes, quotes: IntArray) -> list[bytes]:
    """The cells of one record without its line ending, with their quotes."""
    octets = np.frombuffer(record, np.uint8)
    delimiters = np.flatnonzero(octets == delimiter[0])
    cells, start = [], 0
    for place in outside_quotes(delimiters, quotes).tolist():
        cells.append(record[start:place])
        start = place + 1
    return [*cells, record[start:]]


def cell_text(cell: bytes) -> bytes:
    """The text of a cell: without the quotes around it, doubled quotes single.

    >>> cell_text(b'"5 ""wide"" shelf"')
    b'5 "wide" shelf'
    """
    if len(cell) >= 2 and cell.startswith(b'"') and cell.endswith(b'"'):
        return cell[1:-1].replace(b'""', b'"')
    return cell


def quoted(text: bytes, delimiter: bytes) -> bytes:
    """`text` as a cell, in quotes where it needs them."""
    if any(special in text for special in (delimiter, b'"', b"\n", b"\r")):
        return b'"' + text.replace(b'"', b'""') + b'"'
    return text
