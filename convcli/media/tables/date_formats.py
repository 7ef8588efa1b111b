"""Formats of dates and times that are read with --date-format alone, for hints that name them."""

from __future__ import annotations

import shlex
from datetime import datetime
from itertools import product

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
_ENDINGS = ("", *(f"{between}{time}" for between in (" ", ", ", "T") for time in _TIMES_OF_DAY))


def formats_of(text: str) -> list[str]:
    """The formats in which `text` is a date, in the directives of strptime; the likeliest first.

    >>> formats_of("1/31/2024 3:04 PM"), formats_of("Feb-24"), formats_of("noon")
    (['%m/%d/%Y %I:%M %p'], ['%b-%y'], [])
    >>> formats_of("09:30:00")
    ['%H:%M:%S']
    """
    # By the moment that is read: May is a month in short and in full.
    found: dict[datetime, str] = {}
    formats = [f"{day}{ending}" for day, ending in product(_DAYS, _ENDINGS)]
    for form in (*formats, *_TIMES_OF_DAY):
        moment = _date_read_with(text, form)
        if moment is not None:
            found.setdefault(moment, form)
    return list(found.values())


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
