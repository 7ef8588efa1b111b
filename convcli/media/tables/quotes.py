"""Quotes in delimited text: found as offsets in a text, and taken from and put around single cells.

A quote opens a cell only at the cell's start, and closes it unless it is doubled; any other quote
is a character like any other (RFC 4180, and what the `csv` module of Python reads).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convcli.array_types import IntArray


QUOTE, RETURN = ord('"'), ord("\r")


def find_quotes(data: bytes, openers: bytes) -> IntArray:
    """Offsets of the quotes that open or close cells; `data` starts at the start of a record.

    openers : the bytes after which a cell starts (delimiters and line ends)
    An odd number of these quotes lies before every byte inside quotes; doubled quotes count as two.
    """
    if b'"' not in data:
        return np.empty(0, np.int64)
    octets = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(octets == QUOTE)
    may_precede, may_follow = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
    may_precede[[*openers, QUOTE]] = True
    may_follow[[*openers, QUOTE, RETURN]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    if opening[0] == 0:
        opening = opening[1:]
    if len(closing) and closing[-1] == len(data) - 1:
        closing = closing[:-1]
    if may_precede[octets[opening - 1]].all() and may_follow[octets[closing + 1]].all():
        return quotes
    return _walk_quotes(data, quotes.tolist(), frozenset(openers))


def _walk_quotes(data: bytes, quotes: list[int], openers: frozenset[int]) -> IntArray:
    """Find the quotes one after the other, because some of them are ordinary characters."""
    found: list[int] = []
    inside, second_of_two = False, -1
    for place in quotes:
        if place == second_of_two:
            continue
        if not inside:
            if place == 0 or data[place - 1] in openers:
                inside = True
                found.append(place)
        elif data[place + 1 : place + 2] == b'"':
            second_of_two = place + 1
        else:
            inside = False
            found.append(place)
    return np.array(found, np.int64)


def outside_quotes(places: IntArray, quotes: IntArray) -> IntArray:
    """The places that are not within quotes."""
    quotes_before = np.searchsorted(quotes, places)
    outside: IntArray = places[quotes_before % 2 == 0]
    return outside


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
