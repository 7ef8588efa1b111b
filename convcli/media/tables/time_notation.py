"""How the times of a table are written: numbers of a unit, or dates in one of several notations."""

from __future__ import annotations

import re
import warnings
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.media.tables.delimited import group_name
from convcli.media.tables.iso_dates import FIRST_YEAR, LAST_YEAR, read_alike
from convcli.media.tables.numerals import BadCellError, NumberStyle, read_numbers, reads_as_number
from convcli.media.tables.time_units import (
    TIME_UNITS,
    date_text,
    serial_day,
    unit_of_dates,
)
from convcli.time_rules import HINT, date_rules, number_rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import AnyArray, FloatArray, IntArray
    from convcli.media.tables.delimited import Cells, RowSpans
    from convcli.time_rules import DateTimes, Rule, Runs

    Moments = AnyArray

# Nanoseconds of a second.
SECOND = 1_000_000_000
# The most seconds since 1970 that are counted in nanoseconds.
_MOST_SECONDS = 9.2e9
# The offset from UTC at the end of a time.
OFFSET = re.compile(rb"(?:[Zz]|UTC|GMT|([+-])(\d\d):?(\d\d))\s*$")
_TIME_OF_DAY = re.compile(rb":\d\d")
_ISO = re.compile(rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?")
# The same with an offset from UTC.
_ISO_WITH_OFFSET = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)"
)
_YEAR_FIRST = re.compile(rb"\d{4}\D")
# 1.2.2024, as dates are written where the day is first; 1/2/2024 is written so and so.
_DAY_FIRST = re.compile(rb"\d{1,2}\.\d{1,2}\.\d")
# Numbers from which floats leave out whole numbers, and those that are read without them.
_LARGEST_EXACT = 2**53
_LARGE_NUMBER = re.compile(rb"[+-]?\d{1,300}")
# Years and months, also as a float: 2024, 2024.0, 202401.
_YEAR = re.compile(rb"(1[6-9]\d\d|2[0-3]\d\d|2400)(?:\.0+)?")
_YEAR_AND_MONTH = re.compile(rb"((?:1[89]|20|21)\d\d)(0[1-9]|1[0-2])(?:\.0+)?")
_COMPACT = re.compile(rb"(?:1[89]|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


@dataclass(frozen=True, kw_only=True)
class TimeColumn:
    """The time column of some rows.

    table, name : names of the table and of the column, for messages · column : its number
    decimal : the decimal point or comma
    zone : the time zone of a column whose cells are written in UTC, without a word of that
    """

    table: str
    name: str
    column: int
    decimal: str
    rows: RowSpans
    cells: Cells
    zone: str | None = None

    def error(
        self,
        row: int,
        expected: str,
        *,
        group: bytes | None = None,
        hint: str = HINT,
        remark: str = "",
    ) -> InputError:
        """The error that the time in `row` is not the one expected; `remark` ends the message."""
        owner = "" if group is None else f" of {group_name(group)}"
        found = self.cells.text(row).strip() or "an empty cell"
        place = self.rows.place_of_cell(row, self.column)
        return InputError(
            f"{self.table}, {place}, column {self.name}: expected {expected}{owner}, got {found}"
            f"{remark}",
            hint=hint,
        )


class Notation(Protocol):
    """A way in which times are written."""

    @property
    def unit_of_numbers(self) -> int | None:
        """The unit of times that are numbers, in nanoseconds; None for dates."""
        ...

    @property
    def form(self) -> str:
        """How dates are written, in the directives of strptime; empty if that is not known."""
        ...

    def moments(self, times: TimeColumn) -> Moments:
        """Seconds, or datetime64[ns]. InputError if a cell is not a time."""
        ...

    def rules(self, moments: Moments, runs: Runs) -> list[Rule]:
        """The rules by which the times of regular rows may follow each other."""
        ...

    def instants(self, times: TimeColumn, moments: Moments) -> IntArray:
        """Nanoseconds since 1970. InputError for a time that they cannot count."""
        ...

    def names_offset(self, text: bytes) -> bool:
        """Whether a time names its offset from UTC."""
        ...

    def is_in_utc(self, text: bytes) -> bool:
        """Whether times are known in UTC, not only on a local clock."""
        ...

    def read_date(self, text: bytes) -> int | None:
        """Return the instant of a date as it is written in the column; None for another text."""
        ...

    def written(self, instant: int) -> str:
        """Return an instant as text, for messages."""
        ...

    def doubt(self, column: str, moments: Moments, other: Notation | None) -> str | None:
        """What is taken for granted in reading a column in this notation; None if nothing is.

        moments : of the first rows · other : a notation in which they can be read as well
        """
        ...


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
        bad_rows = np.flatnonzero(~np.isfinite(values))
        if len(bad_rows):
            hint = "a row without its time has no place"
            raise times.error(int(bad_rows[0]), self.expected, hint=hint)
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

        InputError for a number that is more than 292 years from 1970.
        """
        unit = TIME_UNITS[self.unit].seconds
        far = np.flatnonzero(np.abs(moments + self.origin) * unit > _MOST_SECONDS)
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

    def read_date(self, _: bytes) -> None:
        """Return None: a number is not a date."""

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
        return (
            f"the times in {column} are read as {TIME_UNITS[self.unit].name} since 1970: "
            f"the first is {date_text(first, self.unit)}; --time-unit decides"
        )


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
        if not self.form:
            return "a date or time written as in the first row", "mend the cell"
        hint = "mend the cell, or say with --date-format how dates are written"
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
        return bool(OFFSET.search(text)) and bool(_TIME_OF_DAY.search(text))

    def is_in_utc(self, text: bytes) -> bool:
        """Whether a date names its offset; others are on the clock on the wall."""
        return self.names_offset(text)

    def read_date(self, text: bytes) -> int | None:
        """Return the instant of a date as it is written in the column; None for another text."""
        stamp = self.read([text])[0]
        return None if np.isnat(stamp) else int(stamp.astype("datetime64[ns]").astype(np.int64))

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


# --- which notation a column has -----------------------------------------------------------------


def notations_of(
    times: TimeColumn, unit: str | None, date_format: str | None
) -> list[tuple[Notation, Moments]]:
    """The notations in which the times may be written, and the moments that they give."""
    if unit is not None:
        return _number_notations(times, unit)
    if date_format is not None:
        return _asked_dates(times, date_format)
    return _inferred_notations(times)


def _inferred_notations(times: TimeColumn) -> list[tuple[Notation, Moments]]:
    texts = times.cells.texts()
    first = next((text for text in texts if text), b"")
    if _COMPACT.fullmatch(first):
        stamps = _read_compact(texts)
        if not np.isnat(stamps).any():
            return [(DateNotation(_read_compact), stamps)]
    counted = _years_or_months(times, texts)
    if counted is not None:
        return [(counted, counted.moments(times))]
    if reads_as_number(first, NumberStyle(times.decimal)):
        return _number_notations(times, None)
    if _ISO.fullmatch(first):
        dates = DateNotation(_read_iso, read_alike=read_alike)
        return [(dates, dates.moments(times))]
    if _ISO_WITH_OFFSET.fullmatch(first):
        in_utc = DateNotation(_read_iso_with_offset, _formats_of(first)[0])
        return [(in_utc, in_utc.moments(times))]
    return _pandas_notations(times, texts, first)


def _years_or_months(times: TimeColumn, texts: list[bytes]) -> DateNotation | None:
    """The notation of numbers that are all years, or all years with a month; None for others."""
    for name, form, pattern in (("years", "%Y", _YEAR), ("months", "%Y%m", _YEAR_AND_MONTH)):
        if texts and all(pattern.fullmatch(text) for text in texts):
            guess = (
                f"the numbers in {times.name} are read as {name} (--date-format {form}); "
                "--time-unit s reads them as seconds"
            )
            return DateNotation(_reader_of_numbers(pattern), form, guess=guess)
    return None


def _reader_of_numbers(pattern: re.Pattern[bytes]) -> Callable[[list[bytes]], DateTimes]:
    """What reads years, or years with a month, as the moment at which each begins."""
    return partial(_read_years, pattern)


def _read_years(pattern: re.Pattern[bytes], texts: list[bytes]) -> DateTimes:
    dates = []
    for text in texts:
        found = pattern.fullmatch(text)
        parts = found.groups() if found else (b"",)
        date = b"-".join((*parts, b"01", b"01")[:3])
        dates.append(date)
    return _read_iso(dates)


def _number_notations(times: TimeColumn, unit: str | None) -> list[tuple[Notation, Moments]]:
    """Times as numbers of a unit, which is inferred where it is None."""
    numbers = NumberNotation(unit or "s")
    values = numbers.moments(times)
    if not len(values):
        return [(numbers, values)]
    if unit is None:
        _refuse_serial_day(times, float(values[0]))
        numbers = NumberNotation(unit_of_dates(values[0]) or "s")
    text = times.cells.text(0)
    if abs(values[0]) > _LARGEST_EXACT and _LARGE_NUMBER.fullmatch(text.encode()):
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


def _asked_dates(times: TimeColumn, form: str) -> list[tuple[Notation, Moments]]:
    """Dates as the user says that they are written. RequestError if `form` cannot be one."""
    notation = DateNotation(_reader(form), form)
    trouble = None if "%" in form else "it has no directive such as %d"
    try:
        notation.read([b"2020"])
    except (ValueError, KeyError, re.error) as error:
        trouble = str(error)
    if trouble is not None:
        raise RequestError(
            f"--date-format cannot be {form!r}: {trouble}",
            hint="for example %d.%m.%Y, %m/%d/%Y or '%Y-%m-%d %H:%M:%S'",
        )
    return [(notation, notation.moments(times))]


def _read_iso(texts: list[bytes]) -> DateTimes:
    good = [text if _is_iso(text) else b"NaT" for text in texts]
    try:
        return np.array(good, "S").astype("U").astype("datetime64[ns]")
    except ValueError:  # a 30th of February somewhere
        return np.array([_iso_or_nat(text.decode()) for text in good], "datetime64[ns]")


def _is_iso(text: bytes) -> bool:
    """Whether a text is a date in ISO form whose moments nanoseconds can count."""
    return bool(_ISO.fullmatch(text)) and FIRST_YEAR <= int(text[:4]) <= LAST_YEAR


def _iso_or_nat(text: str) -> np.datetime64:
    try:
        return np.datetime64(text, "ns")
    except ValueError:
        return np.datetime64("NaT")


def _read_compact(texts: list[bytes]) -> DateTimes:
    dates = []
    for text in texts:
        date = b""
        if _COMPACT.fullmatch(text):
            date = b"-".join((text[:4], text[4:6], text[6:]))
        dates.append(date)
    return _read_iso(dates)


def _pandas_notations(
    times: TimeColumn, texts: list[bytes], first: bytes
) -> list[tuple[Notation, Moments]]:
    """Dates as pandas understands them, with the month first and with the day first."""
    notations = [DateNotation(_reader(form), form) for form in _formats_of(first)]
    if not notations:
        raise times.error(
            0,
            "a time: a number of seconds, a date, or a date with a time of day",
            hint="--date-format says how dates are written, such as %d.%m.%y; " + HINT,
        )
    readings: list[tuple[Notation, Moments]] = []
    for notation in notations:
        stamps = notation.read(texts)
        if not np.isnat(stamps).any():
            readings.append((notation, stamps))
    if _DAY_FIRST.match(first):
        del readings[1:]
    return readings or [(notations[0], notations[0].moments(times))]


def _formats_of(first: bytes) -> list[str]:
    """The formats that a date may have, the likeliest first."""
    from pandas.tseries.api import guess_datetime_format

    example = first.decode("utf-8", "replace")
    day_first = [False, True]
    if _YEAR_FIRST.match(first):
        day_first = [False]
    elif _DAY_FIRST.match(first):
        day_first = [True, False]
    with warnings.catch_warnings():
        # pandas warns of the order that it was not asked for; both are tried here.
        warnings.simplefilter("ignore")
        formats = [guess_datetime_format(example, dayfirst=order) for order in day_first]
    return [form for form in dict.fromkeys(formats) if form]


def _reader(form: str) -> Callable[[list[bytes]], DateTimes]:
    return partial(_read_dates, form)


def _read_iso_with_offset(texts: list[bytes]) -> DateTimes:
    """Read times in ISO form, some with and some without fractions of a second, as UTC."""
    good = [text if _ISO_WITH_OFFSET.fullmatch(text) else b"" for text in texts]
    return _read_dates("ISO8601", good)


def _read_dates(form: str, texts: list[bytes]) -> DateTimes:
    import pandas as pd

    decoded = [text.decode("utf-8", "replace") for text in texts]
    index = pd.to_datetime(decoded, format=form, errors="coerce", utc=True)
    dates = index.tz_localize(None).to_numpy()
    countable = np.asarray((index.year >= FIRST_YEAR) & (index.year <= LAST_YEAR))
    dates = np.where(countable, dates, np.datetime64("NaT"))
    return dates.astype("datetime64[ns]")
