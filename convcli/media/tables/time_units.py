"""Times that are written as numbers: their unit, by magnitude, and numbers that are not seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple


class TimeUnit(NamedTuple):
    """A unit of time: its length in seconds, its name, and the least number that is a date in it.

    A number since 1970 is a thousand times larger in the next smaller unit, so that it is a date
    between 1973 and 5138 in one of them alone.
    """

    seconds: float
    name: str
    least: float


TIME_UNITS = {
    "s": TimeUnit(1.0, "seconds", 1e8),
    "ms": TimeUnit(1e-3, "milliseconds", 1e11),
    "us": TimeUnit(1e-6, "microseconds", 1e14),
    "ns": TimeUnit(1e-9, "nanoseconds", 1e17),
}
_SMALLEST_FIRST = ("ns", "us", "ms", "s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _SerialDays(NamedTuple):
    """A count of days: who counts so, the number of 1970-01-01, and that of 2100-01-01."""

    name: str
    first: float
    stop: float


_SERIAL_DAYS = (
    _SerialDays("a serial day of Excel", 25569, 73051),
    _SerialDays("a serial day of MATLAB", 719529, 767011),
    _SerialDays("a Julian day", 2440587.5, 2488069.5),
)


def unit_of_dates(number: float) -> str | None:
    """The unit in which `number` counts from 1970 to a date; None if it is too small for a date."""
    for unit in _SMALLEST_FIRST:
        if number >= TIME_UNITS[unit].least:
            return unit
    return None


def date_text(number: float, unit: str) -> str:
    """The date that is `number` units after 1970, as text."""
    return _moment(number * TIME_UNITS[unit].seconds)


def serial_day(number: float) -> str | None:
    """What a number is if it counts days, with its date; None if it is no such number."""
    for days in _SERIAL_DAYS:
        if days.first <= number < days.stop:
            date = _moment((number - days.first) * 86400)
            return f"{days.name} ({date})"
    return None


def _moment(seconds: float) -> str:
    """Seconds after 1970 as a date, with the time of day if there is one."""
    try:
        moment = _EPOCH + timedelta(seconds=round(seconds))
    except OverflowError:
        return "a date after the year 9999"
    text = moment.strftime("%Y-%m-%d %H:%M:%S")
    return text.removesuffix(" 00:00:00")
