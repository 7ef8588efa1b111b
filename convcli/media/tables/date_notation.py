"""How times are written as dates: the order of day, month and year, and the time of day.

ISO dates that are all written alike are read by array operations instead of one by one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.time_rules import date_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import IntArray
    from convcli.media.tables.cells import Cells
    from convcli.media.tables.time_stamps import Moments, Notation, TimeColumn
    from convcli.time_rules import DateTimes, Rule, Runs


# 2024-01-31, 2024-01-31 10:20 and 2024-01-31 10:20:30.
_LENGTHS = (10, 16, 19)
_ZERO = ord("0")
# Years of which every moment has a number of nanoseconds since 1970 in 64 bits.
FIRST_YEAR, LAST_YEAR = 1678, 2261
# The instant of a text that is no date: NaT of NumPy as a whole number.
NO_DATE = int(np.iinfo(np.int64).min)


def read_alike(cells: Cells) -> DateTimes | None:
    """Return datetime64[ns] of dates of one length; None if one of them is anything else.

    It takes a fortieth of the time of reading them one by one.
    """
    lengths = cells.stop - cells.start
    if not len(lengths) or lengths[0] not in _LENGTHS or (lengths != lengths[0]).any():
        return None
    length = int(lengths[0])
    octets = np.frombuffer(cells.data, np.uint8)
    text = octets[cells.start[:, None] + np.arange(length)]
    if not _has_separators(text, length):
        return None
    days = _days(text)
    seconds = _seconds(text, length)
    if days is None or seconds is None:
        return None
    stamps: DateTimes = days + (seconds * 1_000_000_000).astype("timedelta64[ns]")
    return stamps


def _days(text: Any) -> Any:
    """Return the days as datetime64[ns]; None if one of them does not exist."""
    year = _decimal_number(text, 0, 4)
    month = _decimal_number(text, 5, 7)
    day = _decimal_number(text, 8, 10)
    if year is None or month is None or day is None:
        return None
    if _outside(year, FIRST_YEAR, LAST_YEAR) or _outside(month, 1, 12):
        return None
    months_since_1970 = (year - 1970) * 12 + month - 1
    months = months_since_1970.astype("datetime64[M]")
    first_day = months.astype("datetime64[D]")
    days_of_month = ((months + 1).astype("datetime64[D]") - first_day).astype(np.int64)
    if (day < 1).any() or (day > days_of_month).any():
        return None
    return (first_day + (day - 1)).astype("datetime64[ns]")


def _seconds(text: Any, length: int) -> Any:
    """Return the seconds since midnight; None if one of the times does not exist."""
    seconds = np.zeros(len(text), np.int64)
    for start, limit, unit in ((11, 23, 3600), (14, 59, 60), (17, 59, 1)):
        if start < length:
            part = _decimal_number(text, start, start + 2)
            if part is None or _outside(part, 0, limit):
                return None
            seconds += part * unit
    return seconds


def _has_separators(text: Any, length: int) -> bool:
    expected = {4: b"-", 7: b"-", 10: b"T ", 13: b":", 16: b":"}
    for place, signs in expected.items():
        if place < length and not np.isin(text[:, place], list(signs)).all():
            return False
    return True


def _decimal_number(text: Any, start: int, stop: int) -> Any:
    """Return the number in some places of each text; None if one of them is not a number."""
    digits = text[:, start:stop].astype(np.int64) - _ZERO
    if _outside(digits, 0, 9):
        return None
    number = digits[:, 0]
    for place in range(1, stop - start):
        number = number * 10 + digits[:, place]
    return number


def _outside(numbers: Any, lowest: int, highest: int) -> bool:
    if numbers.min() < lowest:
        return True
    return bool(numbers.max() > highest)


# The offset from UTC behind a time of day: a word for UTC itself, or a sign and hours, and minutes
# if they are written.
OFFSET = re.compile(
    rb"(?::\d\d|T\d{4}|T\d{6})(?:[.,]\d+)?\s*(?:[AaPp][Mm]\s*)?"
    rb"(?:(?P<utc>[Zz]|UTC|GMT)|(?P<sign>[+-])(?P<hours>\d\d)(?:(?P<colon>:)?(?P<minutes>\d\d))?)"
    rb"(?!\d)"
)
# A date in ISO form to the second, which may still be none: 2024-02-30, 2024-01-31 24:00.
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]\d\d:\d\d(?::\d\d)?)?")


def _advice_if_none(text: str) -> str | None:
    """What to try for a date in ISO form, or a time of its day, that does not exist, else None."""
    date = _ISO.match(text)
    if date is None or _exists(date[0]):
        return None
    if not _exists(date[1]):
        return "the calendar has no such day; correct the cell"
    return "24:00 is 00:00 of the next day, and a minute has no second 60; correct the cell"


def _exists(iso: str) -> bool:
    """Whether a date in ISO form is one of the calendar, at a time of the day."""
    try:
        np.datetime64(iso)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class DateNotation:
    """Times written as dates. It can be pickled.

    read : gives datetime64[ns], NaT for a text that it cannot read
    form : how they are written, in the directives of strptime, where that is known
    read_alike : reads cells that are all written alike; gives None for others
    guess : what was taken for granted, if anything was
    """

    read: Callable[[list[bytes]], DateTimes]
    form: str = ""
    read_alike: Callable[[Cells], DateTimes | None] | None = None
    guess: str = ""

    unit_of_numbers = None

    def moments(self, times: TimeColumn) -> DateTimes:
        """Moments as datetime64[ns]. InputError if a cell is not a date."""
        quick = None if self.read_alike is None else self.read_alike(times.cells)
        if quick is not None:
            return quick
        stamps = self.read(times.cells.texts())
        bad_rows = np.flatnonzero(np.isnat(stamps))
        if len(bad_rows):
            row = int(bad_rows[0])
            expected, hint = self._expected(times.cells.text(row))
            raise times.error(row, expected, hint=hint)
        return stamps

    def _expected(self, found: str) -> tuple[str, str]:
        """What a cell should be in place of `found`, and what to try."""
        year = re.search(r"(?<!\d)\d{4}", found)
        if year is not None and not FIRST_YEAR <= int(year[0]) <= LAST_YEAR:
            hint = "times are counted in nanoseconds; without --time rows are counted as they come"
            return f"a date from {FIRST_YEAR} to {LAST_YEAR}", hint
        advice = _advice_if_none(found)
        if advice is not None:
            return "a date and a time of day that exist", advice
        if not self.form:
            hint = "correct the cell"
            if found.isdecimal():
                hint += ", or --time-unit s if the times are seconds"
            return "a date or time written as in the first row", hint
        hint = "correct the cell, or say with --date-format how dates are written"
        if self.guess:
            hint += ", or --time-unit s if the times are seconds"
        return f"a date or time written as {self.form}", hint

    def rules(self, moments: Moments, runs: Runs) -> list[Rule]:
        """Return the rules of dates: days, business days, months, seconds."""
        return date_rules(moments, runs)

    def instants(self, _: TimeColumn, moments: Moments) -> IntArray:
        """Return dates in nanoseconds."""
        return moments.astype("datetime64[ns]").view(np.int64)

    def names_offset(self, text: bytes) -> bool:
        """Whether a date names its offset from UTC."""
        return OFFSET.search(text) is not None

    def is_in_utc(self, text: bytes) -> bool:
        """Whether a date names its offset; others are in local time."""
        return self.names_offset(text)

    def read_back(self, texts: list[bytes]) -> IntArray:
        """Return the instants of dates written as in the column; `NO_DATE` for other texts."""
        return self.read(texts).astype("datetime64[ns]").view(np.int64)

    def written(self, instant: int) -> str:
        """Return an instant as a date, without the parts that are 0."""
        text = str(np.datetime64(instant, "ns")).replace("T", " ")
        for ending in ("000", "000", ".000", " 00:00:00"):
            text = text.removesuffix(ending)
        return text

    def doubt(self, column: str, _: Moments, other: Notation | None) -> str | None:
        """Tell what was guessed, or that the month is read first where the day may be, too."""
        if self.guess:
            return self.guess
        if other is None:
            return None
        return (
            f"the dates in {column} are read with the month first, but could as well be read "
            "with the day first; dates like 2024-02-01 leave no doubt, and "
            f"--date-format {other.form} decides"
        )
