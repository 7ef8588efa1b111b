"""The header line of a table: its cells, and the dialect that it shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.tables.cells import find_quotes, outside_quotes, split_record
from convcli.media.tables.compression import without_compression
from convcli.media.tables.numerals import PLAIN
from convcli.media.tables.records import Dialect
from convcli.media.tables.text import BOM

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.array_types import IntArray
    from convcli.media.tables.numerals import NumberStyle


DELIMITERS = b",;\t"
_DELIMITER_OF_SUFFIX = {".tsv": b"\t", ".tab": b"\t"}

_LINE_END = re.compile(rb"\r\n?|\n")


@dataclass(frozen=True, eq=False, kw_only=True)
class Header:
    """The text before the rows.

    text : byte order mark, blank lines and the header line, in UTF-8
    cells : the cells of the header line, with their quotes
    stop : offset in `text` where the last cell ends
    """

    text: bytes
    cells: tuple[bytes, ...]
    stop: int
    dialect: Dialect


@dataclass(frozen=True, eq=False, kw_only=True)
class HeaderRules:
    """What is known of a table before its header is read.

    delimiter : None to take the commonest of `,` `;` and tab in the first line
    numbers : how numbers are written
    headed : False if the first line is a row already
    skipped : lines before the header or the first row
    comment : what lines begin with that are left out too, or nothing
    """

    delimiter: bytes | None = None
    numbers: NumberStyle = PLAIN
    headed: bool = True
    skipped: int = 0
    comment: bytes = b""


def read_header_line(start: bytes, rules: HeaderRules, *, complete: bool) -> Header | None:
    """The header at the start of a table; None if its line has not ended yet and more is to come.

    If the first line is a row already, `text` holds only what is before it.

    complete : whether `start` is the whole input
    """
    line_start = _start_of_first_line(start, rules, complete=complete)
    if line_start is None:
        return None
    body = start[line_start:]
    # Any of the delimiters may open a quoted cell, as long as it is not known which is used.
    delimiter = rules.delimiter
    quotes = find_quotes(body, (delimiter or DELIMITERS) + b"\r\n")
    line_end = _first_line_end(body, quotes)
    # A carriage return at the very end may be the first half of a line ending.
    if not complete and (line_end is None or body[line_end:] == b"\r"):
        return None
    if line_end is None:
        line_end = len(body)
    record = body[:line_end]
    ending = _line_ending(body, line_end)
    if delimiter is None:
        quotes_of_line = quotes[: np.searchsorted(quotes, line_end)]
        delimiter = _commonest_delimiter(
            record, quotes_of_line, decimal=rules.numbers.decimal, headed=rules.headed
        )
    dialect = _dialect(delimiter, ending, rules)
    cells = tuple(split_record(record, delimiter, find_quotes(record, delimiter)))
    if rules.headed:
        stop = line_start + line_end
        text = start[: stop + len(ending)]
        return Header(text=text, cells=cells, stop=stop, dialect=dialect)
    # Blank lines and comments before the first row belong to that row.
    stop = _skipped_text(start, rules.skipped)
    return Header(text=start[:stop], cells=cells, stop=stop, dialect=dialect)


def _dialect(delimiter: bytes, ending: bytes, rules: HeaderRules) -> Dialect:
    newline = b"\r" if ending == b"\r" else b"\n"
    return Dialect(
        delimiter=delimiter,
        newline=newline,
        line_end=ending or newline,
        numbers=rules.numbers,
        comment=rules.comment,
    )


def _line_ending(text: bytes, place: int) -> bytes:
    """The line ending at a place: a line feed, a carriage return, both, or none."""
    ending = text[place : place + 2]
    return ending if ending == b"\r\n" else ending[:1]


def _start_of_first_line(start: bytes, rules: HeaderRules, *, complete: bool) -> int | None:
    """Offset of the first line that is not left out; None if it has not been read yet."""
    place = _skipped_text(start, rules.skipped)
    if place < 0:
        return len(start) if complete else None
    while True:
        body = start[place:].lstrip(b"\r\n")
        place = len(start) - len(body)
        could_be_comment = not complete and rules.comment.startswith(body)
        if rules.comment and could_be_comment:
            return None
        if not rules.comment or not body.startswith(rules.comment):
            return place
        end = _LINE_END.search(body)
        if end is None:
            return len(start) if complete else None
        place += end.end()


def _skipped_text(start: bytes, lines: int) -> int:
    """Offset after the byte order mark and `lines` lines; -1 if there are fewer."""
    place = len(BOM) if start.startswith(BOM) else 0
    for _ in range(lines):
        end = _LINE_END.search(start, place)
        if end is None:
            return -1
        place = end.end()
    return place


def _first_line_end(body: bytes, quotes: IntArray) -> int | None:
    """Offset of the first line end outside quotes."""
    octets = np.frombuffer(body, np.uint8)
    is_line_end = (octets == ord("\n")) | (octets == ord("\r"))
    line_ends = outside_quotes(np.flatnonzero(is_line_end), quotes)
    return int(line_ends[0]) if len(line_ends) else None


def delimiter_of(path: Path | None) -> bytes | None:
    """The delimiter that belongs to the suffix of a file."""
    if path is None:
        return None
    return _DELIMITER_OF_SUFFIX.get(without_compression(path).suffix.lower())


def _commonest_delimiter(record: bytes, quotes: IntArray, *, decimal: str, headed: bool) -> bytes:
    """The commonest delimiter of the first line; of equally common ones the one rarer in names.

    With decimal commas, a comma in a row of numbers is not a delimiter.
    """
    # In the order of preference.
    counts = {}
    for sign in (b"\t", b";", b","):
        counts[sign] = len(split_record(record, sign, quotes)) - 1
    commas = counts[b","]
    if decimal == ",":
        del counts[b","]
    if any(counts.values()):
        return max(counts, key=lambda sign: counts[sign])
    if decimal == "," and not (headed and commas):
        return b";"
    return b","
