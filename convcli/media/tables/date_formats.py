"""Formats of dates and times that are read with --date-format alone, for hints that name them."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where the first two both fit, the month or the day may be first.
_DAYS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%m-%d-%Y", "%d-%m-%Y"),
    *("%m-%d-%y", "%d-%m-%y", "%d.%m.%Y", "%d.%m.%y", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
    *("%b-%y", "%b %Y", "%b-%Y", "%B %Y", "%m/%Y", "%m.%Y"),
)
_TIMES_OF_DAY = (
    *("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p"),
    *("%I %p", "%I%p", "%H:%M:%S.%f", "%H:%M:%S,%f"),
)
_BETWEEN = re.compile(r"(, | |T)\s*")
_LONGEST_DATE = 60


def formats_of(text: str) -> list[str]:
    """The formats in which `text` is a date, in the directives of strptime; the likeliest first.

    >>> formats_of("1/31/2024 3:04 PM"), formats_of("Feb-24"), formats_of("noon")
    (['%m/%d/%Y %I:%M %p'], ['%b-%y'], [])
    >>> formats_of("09:30:00")
    ['%H:%M:%S']
    """
    if len(text) > _LONGEST_DATE:
        return []
    # By the moment that is read: May is a month in short and in full.
    found: dict[datetime, str] = {}
    for form in _candidate_formats(text):
        moment = _date_read_with(text, form)
        if moment is not None:
            found.setdefault(moment, form)
    return list(found.values())


def _candidate_formats(text: str) -> Iterator[str]:
    """Yield formats of days, alone and with a time of day that fits the end, and of times alone.

    To try all days with all times of day takes 35 times as long.
    """
    yield from _DAYS
    for between in _BETWEEN.finditer(text):
        ending = text[between.end() :]
        times = [form for form in _TIMES_OF_DAY if _date_read_with(ending, form) is not None]
        for day, time in product(_DAYS, times):
            yield f"{day}{between[1]}{time}"
    yield from _TIMES_OF_DAY


def _date_read_with(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007 -- compared with each other alone
    except ValueError:
        return None


def format_hint(text: str) -> str:
    """What --date-format reads `text`, for a hint; an example of a format where none is known."""
    formats = [shlex.quote(form) for form in formats_of(text)]
    if not formats:
        return "--date-format says how dates are written, such as %d.%m.%y"
    if len(formats) == 1:
        return f"--date-format {formats[0]} reads it"
    return f"--date-format {formats[0]} reads it with the month first, {formats[1]} with the day"
