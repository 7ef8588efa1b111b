"""Round dates and times of day for an axis whose values are seconds since 1970-01-01 UTC.

Dates are in local time, as in the table; an axis has no time zone.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MINUTE, HOUR, DAY = 60, 3600, 86400
# The distances of ticks in seconds, and from a month on in months.
_SECONDS = (
    *(1, 2, 5, 10, 15, 30),
    *(MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR),
    *(DAY, 2 * DAY, 7 * DAY, 14 * DAY),
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200)
_MONTH = 30.44 * DAY
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Weeks begin on Mondays, and 1970-01-05 was one.
_FIRST_MONDAY = 4 * DAY


def time_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round dates or times within a range.

    >>> time_texts(time_ticks(0.0, 3 * 365 * 86400.0, 3))
    ['1970', '1971', '1972']
    """
    rough = (high - low) / count
    for step in _SECONDS:
        if step >= rough * 0.7:
            return list(_multiples(low, high, step))
    for months in _MONTHS:
        if months * _MONTH >= rough * 0.7:
            return list(_months(low, high, months))
    return list(_months(low, high, _MONTHS[-1]))


def _multiples(low: float, high: float, step: int) -> Iterator[float]:
    origin = _FIRST_MONDAY if step % (7 * DAY) == 0 else 0
    first = math.ceil((low - origin) / step)
    last = math.floor((high - origin) / step)
    for number in range(first, last + 1):
        yield float(origin + number * step)


def _months(low: float, high: float, step: int) -> Iterator[float]:
    start = _datetime_at(low)
    month = (start.year * 12 + start.month - 1) // step * step
    while month < 9999 * 12:
        year, rest = divmod(month, 12)
        since_epoch = datetime(max(1, year), rest + 1, 1, tzinfo=UTC) - _EPOCH
        moment = since_epoch.total_seconds()
        if moment > high:
            return
        if moment >= low:
            yield moment
        month += step


def _datetime_at(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def time_texts(ticks: Sequence[float]) -> list[str]:
    """Ticks as years, months, days, or times of day with the day where a new one begins."""
    moments = [_datetime_at(value) for value in ticks]
    if not all(value % DAY == 0 for value in ticks):
        return [_time_of_day(moment) for moment in moments]
    if not all(moment.day == 1 for moment in moments):
        return [f"{moment:%Y-%m-%d}" for moment in moments]
    if not all(moment.month == 1 for moment in moments):
        return [f"{moment:%Y-%m}" for moment in moments]
    return [str(moment.year) for moment in moments]


def _time_of_day(moment: datetime) -> str:
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return f"{moment:%m-%d}"
    if moment.second:
        return f"{moment:%H:%M:%S}"
    return f"{moment:%H:%M}"
