"""Where records begin in a long text whose quotes are not known from the start.

A text is cut after line ends. Whether such a place is within quotes depends on all the text before
it. So every piece is surveyed for both cases, by itself and in any order, and the surveys are then
followed from the first piece to the last: what a piece does to the state of the quotes is a
function of two values, and functions combine associatively.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.tables.delimited import NEAR, outside_quotes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.media.tables.delimited import Dialect, Octets, Offsets

# What a line may begin with that is blank, or a comment, which is zero bytes by then.
_MAY_BE_BLANK = np.zeros(256, np.bool_)
_MAY_BE_BLANK[list(b" \t\r\n\0")] = True


@dataclass(frozen=True, kw_only=True)
class LinesFound:
    """What is found in some lines.

    ends_inside : whether they end within quotes
    record_start : offset of the first record that begins in them; None if none does
    rows : how many rows end in them
    """

    ends_inside: bool
    record_start: int | None
    rows: int


@dataclass(frozen=True, kw_only=True)
class TextSurvey:
    """Some lines, as they are if they begin outside of quotes, and if they begin within."""

    outside: LinesFound
    inside: LinesFound

    def after(self, *, inside: bool) -> LinesFound:
        """What is found, by whether the lines begin within quotes."""
        return self.inside if inside else self.outside


@dataclass(frozen=True)
class RecordStart:
    """A place where a record begins.

    offset : in bytes · rows : how many rows end before it; None if they were not counted
    """

    offset: int
    rows: int | None


def survey_lines(
    data: bytes, dialect: Dialect, *, offset: int, width: int, counted: bool
) -> TextSurvey:
    """Survey lines that begin after a line end.

    offset : of the first byte · width : cells in a row · counted : whether rows are counted
    """
    if b'"' in data:
        outside = _find(data, dialect, width=width, counted=counted)
        # A quote in front makes the lines begin within quotes.
        inside = _find(b'"' + data, dialect, width=width, counted=counted)
        after_line = None if inside.record_start is None else offset + inside.record_start - 1
        return TextSurvey(
            outside=LinesFound(
                ends_inside=outside.ends_inside, record_start=offset, rows=outside.rows
            ),
            inside=LinesFound(
                ends_inside=inside.ends_inside, record_start=after_line, rows=inside.rows
            ),
        )
    rows = 0
    if counted:
        parsed = dialect.without_comments(data)
        nothing = np.empty(0, np.int64)
        rows = _count_rows(parsed, nothing, dialect, width=width)
    return TextSurvey(
        outside=LinesFound(ends_inside=False, record_start=offset, rows=rows),
        inside=LinesFound(ends_inside=True, record_start=None, rows=0),
    )


def _find(data: bytes, dialect: Dialect, *, width: int, counted: bool) -> LinesFound:
    """What is found in text that begins with a record; `record_start` is that of the second one."""
    parsed = dialect.without_comments(data)
    quotes = dialect.quotes_in(parsed)
    octets = np.frombuffer(parsed, np.uint8)
    line_ends = outside_quotes(np.flatnonzero(octets == dialect.newline[0]), quotes)
    return LinesFound(
        ends_inside=len(quotes) % 2 == 1,
        record_start=int(line_ends[0]) + 1 if len(line_ends) else None,
        rows=_count_rows(parsed, quotes, dialect, width=width) if counted else 0,
    )


def _count_rows(parsed: bytes, quotes: Offsets, dialect: Dialect, *, width: int) -> int:
    """How many rows end in text that begins with a record, as `find_rows` counts them.

    parsed : the text with zero bytes in the place of comments
    """
    octets = np.frombuffer(parsed, np.uint8)
    parts = [np.empty(0, np.int64)]
    for start in range(0, len(octets), NEAR):
        near = octets[start : start + NEAR]
        parts.append(np.flatnonzero(near == dialect.newline[0]) + start)
    line_ends = outside_quotes(np.concatenate(parts), quotes)
    starts = np.concatenate(([0], line_ends[:-1] + 1))[: len(line_ends)]
    return len(line_ends) - _count_blank(parsed, octets, starts, line_ends, width)


def _count_blank(
    parsed: bytes, octets: Octets, starts: Offsets, line_ends: Offsets, width: int
) -> int:
    """How many lines are no rows. In a table of one column blank lines are rows."""
    suspects = np.flatnonzero(_MAY_BE_BLANK[octets[starts]])
    if width == 1:
        return int(np.count_nonzero(octets[starts[suspects]] == 0))
    blank = 0
    for line in suspects.tolist():
        blank += not parsed[starts[line] : line_ends[line]].strip(b" \t\r\0")
    return blank


def record_starts(surveys: Iterable[TextSurvey], *, counted: bool) -> Iterator[RecordStart]:
    """Follow the surveys of consecutive pieces, and yield the first record of each, if it has one.

    The first piece begins with a record.
    """
    inside = False
    rows = 0
    for survey in surveys:
        found = survey.after(inside=inside)
        if found.record_start is not None:
            # The record that came from the piece before ends in this one.
            yield RecordStart(found.record_start, rows + inside if counted else None)
        rows += found.rows
        inside = found.ends_inside
