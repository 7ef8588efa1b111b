"""Texts of dates read as datetime64[ns]; a text that is not a date becomes NaT."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from convcli.media.tables.iso_dates import FIRST_YEAR, LAST_YEAR

if TYPE_CHECKING:
    from convcli.time_rules import DateTimes


ISO = re.compile(rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?")
# The same with an offset from UTC.
ISO_WITH_OFFSET = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)"
)
# Years and months, also as a float: 2024, 2024.0, 202401.
YEAR = re.compile(rb"(1[6-9]\d\d|2[0-3]\d\d|2400)(?:\.0+)?")
YEAR_AND_MONTH = re.compile(rb"((?:1[89]|20|21)\d\d)(0[1-9]|1[0-2])(?:\.0+)?")
# Dates of eight digits: 20240131.
COMPACT = re.compile(rb"(?:1[89]|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


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
    """Read dates of eight digits, such as 20240131."""
    dates = []
    for text in texts:
        date = b""
        if COMPACT.fullmatch(text):
            date = b"-".join((text[:4], text[4:6], text[6:]))
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
