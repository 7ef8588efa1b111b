"""Where records begin in a long text whose quotes are not known from the start.

A text is cut after line ends. Whether such a place is within quotes depends on all the text before
it. What a piece of text does to the state of the quotes is a function of two values: where it leads
from outside of quotes, and where from within. Functions combine associatively, so that pieces are
surveyed by themselves, and then followed from the first to the last. Few pieces begin within
quotes; the second value is found out for those alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.tables.cells import outside_quotes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from convcli.array_types import ByteArray, IntArray
    from convcli.media.tables.records import Dialect

# What a line may begin with that is blank, or a comment, which is zero bytes by then.
_MAY_BE_BLANK = np.zeros(256, np.bool_)
_MAY_BE_BLANK[list(b" \t\r\n\0")] = True


@dataclass(frozen=True, kw_only=True)
class LinesFound:
    """What is found in some lines.

    start, stop : offsets of the first byte, and of the one after the last
    ends_inside : whether they end within quotes
    record_start : offset of the first record that begins in them; None if none does
    rows : how many rows end in them; 0 if they were not counted
    """

    start: int
    stop: int
    ends_inside: bool
    record_start: int | None
    rows: int


@dataclass(frozen=True)
class RecordStart:
    """A place where a record begins.

    offset : in bytes · rows : how many rows end before it; None if they were not counted
    """

    offset: int
    rows: int | None


def survey_lines(
    data: bytes, dialect: Dialect, *, start: int, width: int, counted: bool
) -> LinesFound:
    """Survey lines that begin outside of quotes, after a line end.

    start : offset of the first byte · width : cells in a row · counted : whether rows are counted
    """
    parsed = dialect.without_comments(data)
    quotes = dialect.quotes_in(parsed)
    rows = 0
    if counted:
        rows = _count_rows(parsed, quotes, dialect, width=width)
    is_odd = len(quotes) % 2 == 1
    return LinesFound(
        start=start,
        stop=start + len(data),
        ends_inside=is_odd,
        record_start=start,
        rows=rows,
    )


def survey_quoted_lines(
    data: bytes, dialect: Dialect, *, start: int, width: int, counted: bool
) -> LinesFound:
    """Survey lines that begin within quotes. The arguments are those of `survey_lines`."""
    # A quote in front makes the lines begin within quotes.
    found = survey_lines(b'"' + data, dialect, start=start - 1, width=width, counted=counted)
    parsed = dialect.without_comments(b'"' + data)
    octets = np.frombuffer(parsed, np.uint8)
    line_ends = np.flatnonzero(octets == dialect.newline[0])
    ends = outside_quotes(line_ends, dialect.quotes_in(parsed))
    # The prefixed text begins one byte before the lines, and a record begins after a line end.
    record_start = start + int(ends[0]) if len(ends) else None
    return replace(found, start=start, record_start=record_start)


def _count_rows(parsed: bytes, quotes: IntArray, dialect: Dialect, *, width: int) -> int:
    """How many rows end in text that begins with a record, as `find_rows` counts them.

    parsed : the text with zero bytes in place of comments
    """
    octets = np.frombuffer(parsed, np.uint8)
    line_ends = outside_quotes(np.flatnonzero(octets == dialect.newline[0]), quotes)
    starts = np.concatenate(([0], line_ends[:-1] + 1))[: len(line_ends)]
    return len(line_ends) - _count_blank(parsed, octets, starts, line_ends, width)


def _count_blank(
    parsed: bytes, octets: ByteArray, starts: IntArray, line_ends: IntArray, width: int
) -> int:
    """How many lines are not rows. In a table of one column blank lines are rows."""
    suspects = np.flatnonzero(_MAY_BE_BLANK[octets[starts]])
    if width == 1:
        first_octets = octets[starts[suspects]]
        return int(np.count_nonzero(first_octets == 0))
    blank = 0
    for line in suspects.tolist():
        blank += not parsed[starts[line] : line_ends[line]].strip(b" \t\r\0")
    return blank


def record_starts(
    found: Iterable[LinesFound], quoted: Callable[[LinesFound], LinesFound], *, counted: bool
) -> Iterator[RecordStart]:
    """Follow consecutive pieces, and yield the first record of each, if it has one.

    found : what is in them if they begin outside of quotes, as the first one does
    quoted : surveys a piece again that begins within quotes
    """
    inside = False
    rows = 0
    for lines in found:
        piece = quoted(lines) if inside else lines
        if piece.record_start is not None:
            # The record that came from the piece before ends in this one.
            yield RecordStart(piece.record_start, rows + inside if counted else None)
        rows += piece.rows
        inside = piece.ends_inside
