"""Times written as numbers of a unit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.tables.date_notation import NO_DATE
from convcli.media.tables.numerals import LARGEST_EXACT, BadCellError, NumberStyle, read_numbers
from convcli.media.tables.time_stamps import SECOND, Notation
from convcli.time_rules import number_rule

if TYPE_CHECKING:
    from convcli.array_types import FloatArray, IntArray
    from convcli.media.tables.time_stamps import Moments, TimeColumn
    from convcli.time_rules import Rule, Runs


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
# Digits of a date with the time of day, and how they are written in the directives of strptime.
_DIGITS_OF_DATES = re.compile(
    r"(?:1[89]|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])"
    r"([0-5]\d)?([0-5]\d)?"
)
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


def _format_of_digits(number: str) -> str | None:
    """How a date with the time of day is written that a number may be: 202401310930."""
    found = _DIGITS_OF_DATES.fullmatch(number)
    if found is None:
        return None
    return "%Y%m%d%H" + ("%M" if found[1] else "") + ("%S" if found[2] else "")


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


# The most seconds since 1970 that are counted in nanoseconds.
_MOST_SECONDS = 9.2e9

# Times from here on have no differences in float64, and are none of any clock.
_FARTHEST = 1e305

# Whole numbers, which are large if floats leave them out.
_LARGE_NUMBER = re.compile(rb"[+-]?\d{1,300}")


@dataclass(frozen=True)
class NumberNotation:
    """Times written as numbers of a unit.

    origin : whole numbers too large for a float are counted from this one; 0 if none is
    """

    unit: str
    origin: int = 0

    form = ""

    @property
    def unit_of_numbers(self) -> int:
        """The unit of plain numbers, in nanoseconds."""
        return round(TIME_UNITS[self.unit].seconds * SECOND)

    @property
    def expected(self) -> str:
        """What each cell should be, for messages."""
        whole = "whole " if self.origin else ""
        return f"a time in {whole}{TIME_UNITS[self.unit].name}"

    def moments(self, times: TimeColumn) -> FloatArray:
        """Units since the origin. InputError if a cell is not a finite number."""
        if self.origin:
            rows = range(len(times.cells))
            return np.array([self._since_origin(times, row) for row in rows])
        try:
            values = read_numbers(times.cells, NumberStyle(times.decimal))
        except BadCellError as bad:
            raise times.error(bad.row, self.expected) from None
        bad_rows = np.flatnonzero(~(np.abs(values) < _FARTHEST))
        if len(bad_rows):
            row = int(bad_rows[0])
            hint = "a row without its time has no place"
            if not np.isnan(values[row]):
                hint = f"times are smaller than {_FARTHEST:g}; correct the cell"
            raise times.error(row, self.expected, hint=hint)
        return values

    def _since_origin(self, times: TimeColumn, row: int) -> float:
        text = times.cells.data[times.cells.start[row] : times.cells.stop[row]]
        if not _LARGE_NUMBER.fullmatch(text):
            raise times.error(row, self.expected)
        return float(int(text) - self.origin)

    def rules(self, moments: Moments, runs: Runs) -> list[Rule]:
        """Return the one rule of numbers: they grow by a step."""
        unit = TIME_UNITS[self.unit].seconds
        return [number_rule(moments, runs, unit=unit, origin=self.origin)]

    def instants(self, times: TimeColumn, moments: Moments) -> IntArray:
        """Return numbers in nanoseconds, rounded to the decimals that a float keeps.

        Raises InputError for a number that is more than 290 years from 1970.
        """
        unit = TIME_UNITS[self.unit].seconds
        distance = np.abs(moments + self.origin) * unit
        far = np.flatnonzero(distance > _MOST_SECONDS)
        if len(far):
            hint = "--time-unit names the unit of the numbers"
            raise times.error(int(far[0]), "a time within 290 years of 1970", hint=hint)
        nanoseconds = round(unit * SECOND)
        whole = np.floor(moments)
        spacing = np.spacing(np.maximum(np.abs(moments), 1.0))
        decimals = np.clip(np.floor(-np.log10(2 * spacing)), 0, 9)
        scale = 10.0**decimals
        fraction = (moments - whole) * scale
        part = np.rint(fraction) / scale
        instants = whole.astype(np.int64) * nanoseconds
        instants += np.rint(part * nanoseconds).astype(np.int64)
        return np.asarray(instants + self.origin * nanoseconds)

    def names_offset(self, _: bytes) -> bool:
        """Return False: a number has no offset."""
        return False

    def is_in_utc(self, _: bytes) -> bool:
        """Return True: numbers count from 1970 in UTC."""
        return True

    def read_back(self, texts: list[bytes]) -> IntArray:
        """Return `NO_DATE` for each text: a number is not a date."""
        return np.full(len(texts), NO_DATE, np.int64)

    def written(self, instant: int) -> str:
        """Return an instant as a number of the unit."""
        unit = TIME_UNITS[self.unit].seconds
        return f"{instant / (unit * SECOND):.15g}"

    def doubt(self, column: str, moments: Moments, _: Notation | None) -> str | None:
        """Tell the unit of numbers that count from 1970, and of such that look like years.

        Other numbers may have any origin.
        """
        year = _fraction_of_year(moments)
        if year is not None:
            return (
                f"the times in {column} are read as {TIME_UNITS[self.unit].name}, and {year:g} "
                "looks like a year: write dates such as 2024-07-01, or give --time-unit s"
            )
        first = self.origin or float(moments[0])
        if unit_of_dates(first) is None:
            return None
        form = _format_of_digits(f"{first:.0f}")
        option = "--time-unit" if form is None else f"--time-unit or --date-format {form}"
        return (
            f"the times in {column} are read as {TIME_UNITS[self.unit].name} since 1970: "
            f"the first is {date_text(first, self.unit)}; {option} decides"
        )


def number_notations(times: TimeColumn, unit: str | None) -> list[tuple[Notation, Moments]]:
    """Times as numbers of a unit, which is inferred where it is None."""
    numbers = NumberNotation(unit or "s")
    values = numbers.moments(times)
    if not len(values):
        return [(numbers, values)]
    if unit is None:
        _refuse_serial_day(times, float(values[0]))
        numbers = NumberNotation(unit_of_dates(values[0]) or "s")
    text = times.cells.text(0)
    if abs(values[0]) > LARGEST_EXACT and _LARGE_NUMBER.fullmatch(text.encode()):
        numbers = NumberNotation(numbers.unit, origin=int(text))
        values = numbers.moments(times)
    return [(numbers, values)]


def _fraction_of_year(values: FloatArray) -> float | None:
    """The first number with a fraction where all look like years; None where they do not."""
    if not len(values) or values.min() < 1600 or values.max() > 2400:
        return None
    fractions = values[values != np.rint(values)]
    return float(fractions[0]) if len(fractions) else None


def _refuse_serial_day(times: TimeColumn, first: float) -> None:
    """Raise InputError if the first time is a number of days. How many rows follow is chance."""
    meaning = serial_day(first)
    if meaning is not None:
        raise times.error(
            0,
            "a time in seconds, ms, us or ns, or a date",
            hint="write dates such as 2020-01-31; --time-unit s if these are seconds",
            remark=f", which looks like {meaning}",
        )
