"""Finding out in which notation the times of a column are written."""

from __future__ import annotations

import re
import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from convcli.errors import RequestError
from convcli.media.tables.date_formats import format_hint
from convcli.media.tables.date_notation import FIRST_YEAR, LAST_YEAR, DateNotation, read_alike
from convcli.media.tables.number_notation import number_notations
from convcli.media.tables.numerals import NumberStyle, reads_as_number
from convcli.time_rules import NO_TIME_HINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import BoolArray
    from convcli.media.tables.time_stamps import Moments, Notation, TimeColumn
    from convcli.time_rules import DateTimes

ISO = re.compile(rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?")
# The same with an offset from UTC.
ISO_WITH_OFFSET = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d(?::?\d\d)?)"
)
# Years and months, also as a float: 2024, 2024.0, 202401.
YEAR = re.compile(rb"(1[6-9]\d\d|2[0-3]\d\d|2400)(?:\.0+)?")
YEAR_AND_MONTH = re.compile(rb"((?:1[89]|20|21)\d\d)(0[1-9]|1[0-2])(?:\.0+)?")
# Dates of eight digits, 20240131, and with the time of day: 20240131093000.
COMPACT = re.compile(
    rb"((?:1[89]|20|21)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    rb"(?:([01]\d|2[0-3])([0-5]\d)([0-5]\d))?"
)

_EIGHT_OR_FOURTEEN_DIGITS = re.compile(rb"\d{8}(?:\d{6})?")


def read_iso(texts: list[bytes]) -> DateTimes:
    """Read dates in ISO form, such as 2024-01-31 or 2024-01-31 12:30."""
    good = [text if _is_iso(text) else b"NaT" for text in texts]
    try:
        return np.array(good, "S").astype("U").astype("datetime64[ns]")
    except ValueError:  # a 30th of February somewhere
        return np.array([_iso_or_nat(text.decode()) for text in good], "datetime64[ns]")


def _is_iso(text: bytes) -> bool:
    """Whether a text is a date in ISO form whose moments nanoseconds can count."""
    return bool(ISO.fullmatch(text)) and FIRST_YEAR <= int(text[:4]) <= LAST_YEAR


def _iso_or_nat(text: str) -> np.datetime64:
    try:
        return np.datetime64(text, "ns")
    except ValueError:
        return np.datetime64("NaT")


def read_compact(texts: list[bytes]) -> DateTimes:
    """Read dates of eight digits, such as 20240131, and of fourteen with the time of day."""
    dates = []
    for text in texts:
        found = COMPACT.fullmatch(text)
        date = b""
        if found is not None:
            date = b"-".join(found.groups()[:3])
            if found[4]:
                date += b" " + b":".join(found.groups()[3:])
        dates.append(date)
    return read_iso(dates)


def read_iso_with_offset(texts: list[bytes]) -> DateTimes:
    """Read times in ISO form, some with and some without fractions of a second, as UTC."""
    good = [text if ISO_WITH_OFFSET.fullmatch(text) else b"" for text in texts]
    return read_dates("ISO8601", good)


def read_dates(form: str, texts: list[bytes]) -> DateTimes:
    """Read dates written as `form` says, in the directives of strptime, in UTC."""
    import pandas as pd

    decoded = [text.decode("utf-8", "replace") for text in texts]
    index = pd.to_datetime(decoded, format=form, errors="coerce", utc=True)
    dates = index.tz_localize(None).to_numpy()
    countable = np.asarray((index.year >= FIRST_YEAR) & (index.year <= LAST_YEAR))
    dates = np.where(countable, dates, np.datetime64("NaT"))
    return dates.astype("datetime64[ns]")


def read_years(pattern: re.Pattern[bytes], texts: list[bytes]) -> DateTimes:
    """Read years, or years with a month, as the moment at which each begins.

    pattern : `YEAR` or `YEAR_AND_MONTH`
    """
    dates = []
    for text in texts:
        found = pattern.fullmatch(text)
        parts = found.groups() if found else (b"",)
        date = b"-".join((*parts, b"01", b"01")[:3])
        dates.append(date)
    return read_iso(dates)


_YEAR_FIRST = re.compile(rb"\d{4}\D")
# 9:00 am, 9:00 a.m.; also behind the minutes of a format, %M.
_HALF_DAY = re.compile(r"(?<=[\dMS ])[ap](?:m|\.\s?m\.)(?!\w)", re.IGNORECASE)
# 1.2.2024, as dates are written where the day is first; 1/2/2024 is written for both orders.
_DAY_FIRST = re.compile(rb"\d{1,2}\.\d{1,2}\.\d")


def notations_of(
    times: TimeColumn, unit: str | None, date_format: str | None
) -> list[tuple[Notation, Moments]]:
    """The notations in which the times may be written, and the moments that they give."""
    if unit is not None:
        return number_notations(times, unit)
    if date_format is not None:
        return _asked_dates(times, date_format)
    return _inferred_notations(times)


def notation_of_stream(
    times: TimeColumn, unit: str | None, date_format: str | None
) -> tuple[Notation, Moments] | None:
    """The notation that the first time shows, and its moments; None if later times may decide."""
    found = notations_of(times, unit, date_format)
    if unit is not None or date_format is not None:
        return found[0]
    (notation, _) = found[0]
    first = times.cells.texts()[0]
    is_number = reads_as_number(first, NumberStyle(times.decimal))
    # The number 2024 may be a year, and 20240131 a date, if all others are alike.
    may_be_number = is_number and notation.unit_of_numbers is None
    is_open = may_be_number or len(found) > 1
    return None if is_open else found[0]


def _inferred_notations(times: TimeColumn) -> list[tuple[Notation, Moments]]:
    texts = times.cells.texts()
    first = next((text for text in texts if text), b"")
    if _EIGHT_OR_FOURTEEN_DIGITS.fullmatch(first):
        is_date = ~np.isnat(read_compact(texts))
        if _mostly(is_date):
            dates = DateNotation(read_compact)
            return [(dates, dates.moments(times))]
    counted = _years_or_months(times, texts)
    if counted is not None:
        return [(counted, counted.moments(times))]
    if reads_as_number(first, NumberStyle(times.decimal)):
        return number_notations(times, None)
    if ISO.fullmatch(first):
        dates = DateNotation(read_iso, read_alike=read_alike)
        return [(dates, dates.moments(times))]
    if ISO_WITH_OFFSET.fullmatch(first):
        has_hours_only = first[-3:-2] in {b"+", b"-"}
        # pandas finds no format for 18:00-05, and finds that of 18:00-0500.
        formats = _formats_of(first + b"00" if has_hours_only else first)
        form = formats[0] if formats else ""
        in_utc = DateNotation(read_iso_with_offset, form)
        return [(in_utc, in_utc.moments(times))]
    return _pandas_notations(times, texts, first)


def _mostly(is_date: Sequence[bool] | BoolArray) -> bool:
    """Whether most numbers are dates, so that another one is a mistake and no count of seconds."""
    return int(np.count_nonzero(is_date)) > len(is_date) / 2


def _years_or_months(times: TimeColumn, texts: list[bytes]) -> DateNotation | None:
    """The notation of numbers that are all years, or mostly years with a month; None for others.

    Seconds may well be counted from 1700 to 2700, and seldom have the digits of months.
    """
    kinds = (("years", "%Y", YEAR, all), ("months", "%Y%m", YEAR_AND_MONTH, _mostly))
    for name, form, pattern, enough in kinds:
        fits = [pattern.fullmatch(text) is not None for text in texts]
        if fits and enough(fits):
            guess = (
                f"the numbers in {times.name} are read as {name} (--date-format {form}); "
                "--time-unit s reads them as seconds"
            )
            return DateNotation(partial(read_years, pattern), form, guess=guess)
    return None


def _asked_dates(times: TimeColumn, form: str) -> list[tuple[Notation, Moments]]:
    """Dates as the user says that they are written. RequestError if `form` cannot be one."""
    notation = DateNotation(partial(read_dates, form), form)
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


def _pandas_notations(
    times: TimeColumn, texts: list[bytes], first: bytes
) -> list[tuple[Notation, Moments]]:
    """Dates as pandas understands them, with the month first and with the day first."""
    notations = [DateNotation(partial(read_dates, form), form) for form in _formats_of(first)]
    if not notations:
        advice = times.rows.advice_on_words(0) or format_hint(first.decode("utf-8", "replace"))
        raise times.error(
            0,
            "a time: a number of seconds, a date, or a date with a time of day",
            hint=f"{advice}; {NO_TIME_HINT}",
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
    # pandas takes am for letters that stand in every date.
    example = _HALF_DAY.sub(lambda found: found[0].upper(), example)
    day_first = [False, True]
    if _YEAR_FIRST.match(first):
        day_first = [False]
    elif _DAY_FIRST.match(first):
        day_first = [True, False]
    with warnings.catch_warnings():
        # pandas warns of the order that it was not asked for; both are tried here.
        warnings.simplefilter("ignore")
        formats = [guess_datetime_format(example, dayfirst=order) for order in day_first]
    return [form for form in dict.fromkeys(formats) if form and not _HALF_DAY.search(form)]
