"""Times as stamps, for windows in time and calendar bins.

A stamp is a pair of whole numbers: nanoseconds since 1970 on a clock that never goes back, and
nanoseconds on the clock on the wall, which the calendar follows. They are the same for dates
without a zone. Where a date names its offset from UTC, as 2024-03-31T02:30+02:00, the wall clock is
what is written. Times that are numbers are in UTC, or on the wall clock of `--time-zone`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.tables.time_notation import DateNotation, NumberNotation
from convcli.media.tables.time_units import TIME_UNITS

if TYPE_CHECKING:
    from convcli.media.tables.time_notation import Moments, Notation, TimeColumn

    Integers = npt.NDArray[np.int64]

_SECOND = 1_000_000_000
# The most seconds since 1970 that are counted in nanoseconds.
_MOST_SECONDS = 9.2e9
_OFFSET = re.compile(rb"(?:[Zz]|UTC|GMT|([+-])(\d\d):?(\d\d))\s*$")
_TIME_OF_DAY = re.compile(rb":\d\d")


@dataclass(frozen=True)
class Stamper:
    """Makes stamps of the times of a column.

    zone : the name of the time zone of the calendar, None if it is that of the column
    with_offset : times name their offset from UTC
    """

    notation: Notation
    zone: str | None
    with_offset: bool

    @classmethod
    def of(cls, times: TimeColumn, notation: Notation, zone: str | None) -> Stamper:
        """Return the stamper for the notation of a column. RequestError if `zone` does not fit."""
        text = times.cells.texts()[0] if len(times.cells) else b""
        is_number = isinstance(notation, NumberNotation)
        with_offset = not is_number and names_offset(text)
        if zone is not None:
            _check_zone(zone)
            if not is_number and not with_offset:
                raise RequestError(
                    f"--time-zone is for times that are numbers or name their offset from UTC, "
                    f"and {times.name} has dates on the wall clock",
                    hint="without --time-zone calendar bins follow them as they are",
                )
        return cls(notation, zone, with_offset)

    def stamps(self, times: TimeColumn, moments: Moments) -> Integers:
        """Return (n, 2) nanoseconds on the clock and on the wall."""
        if isinstance(self.notation, NumberNotation):
            instants = _instants_of_numbers(times, moments, self.notation)
        else:
            instants = moments.astype("datetime64[ns]").view(np.int64)
        return np.stack([instants, self._wall(times, instants)], axis=1)

    def _wall(self, times: TimeColumn, instants: Integers) -> Integers:
        if self.zone is not None:
            return _in_zone(instants, self.zone)
        if self.with_offset:
            return instants + _offsets_from_utc(times.cells.texts())
        return instants

    @property
    def unit_of_numbers(self) -> int | None:
        """The unit of times that are numbers, in nanoseconds; None for dates."""
        if isinstance(self.notation, NumberNotation):
            return round(TIME_UNITS[self.notation.unit].seconds * _SECOND)
        return None

    @property
    def form(self) -> str:
        """How dates are written, in the directives of strptime; empty for ISO dates."""
        return self.notation.form if isinstance(self.notation, DateNotation) else ""

    def read_date(self, text: bytes) -> int | None:
        """Return the instant of a date as it is written in the column, None if it is none."""
        if not isinstance(self.notation, DateNotation):
            return None
        stamp = self.notation.read([text])[0]
        return None if np.isnat(stamp) else int(stamp.astype("datetime64[ns]").astype(np.int64))

    def written(self, instant: int) -> str:
        """Return an instant as text, for messages."""
        if isinstance(self.notation, NumberNotation):
            unit = TIME_UNITS[self.notation.unit].seconds
            return f"{instant / (unit * _SECOND):.15g}"
        text = str(np.datetime64(instant, "ns")).replace("T", " ")
        for ending in ("000", "000", ".000", " 00:00:00"):
            text = text.removesuffix(ending)
        return text


def names_offset(text: bytes) -> bool:
    """Whether a time names its offset from UTC."""
    return bool(_OFFSET.search(text)) and bool(_TIME_OF_DAY.search(text))


def _offsets_from_utc(texts: list[bytes]) -> Integers:
    """Return the offset from UTC that each time names, in nanoseconds."""
    known: dict[bytes, int] = {}
    found = np.zeros(len(texts), np.int64)
    for row, text in enumerate(texts):
        ending = text[-6:]
        if ending not in known:
            known[ending] = _offset(ending)
        found[row] = known[ending]
    return found


def _offset(text: bytes) -> int:
    match = _OFFSET.search(text)
    if match is None or match[1] is None:
        return 0
    minutes = 60 * int(match[2]) + int(match[3])
    sign = -1 if match[1] == b"-" else 1
    return sign * minutes * 60 * _SECOND


def _instants_of_numbers(times: TimeColumn, moments: Moments, notation: NumberNotation) -> Integers:
    """Return numbers of a unit in nanoseconds, rounded to the decimals that a float keeps.

    InputError for a number that is more than 292 years from 1970.
    """
    unit = TIME_UNITS[notation.unit].seconds
    far = np.flatnonzero(np.abs(moments + notation.origin) * unit > _MOST_SECONDS)
    if len(far):
        hint = "--time-unit names the unit of the numbers"
        raise times.error(int(far[0]), "a time within 290 years of 1970", hint=hint)
    nanoseconds = round(unit * _SECOND)
    whole = np.floor(moments)
    spacing = np.spacing(np.maximum(np.abs(moments), 1.0))
    decimals = np.clip(np.floor(-np.log10(2 * spacing)), 0, 9)
    scale = 10.0**decimals
    part = np.rint((moments - whole) * scale) / scale
    instants = whole.astype(np.int64) * nanoseconds + np.rint(part * nanoseconds).astype(np.int64)
    return np.asarray(instants + notation.origin * nanoseconds)


def _check_zone(zone: str) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise RequestError(
            f"--time-zone {zone} is no time zone that this computer knows",
            hint="for example Europe/Berlin or America/New_York",
        ) from None


def _in_zone(instants: Integers, zone: str) -> Integers:
    """Return what the clock on the wall shows in a time zone."""
    import pandas as pd

    index = pd.DatetimeIndex(instants.view("datetime64[ns]"), tz="UTC")
    wall = index.tz_convert(zone).tz_localize(None)
    return wall.to_numpy().astype("datetime64[ns]").view(np.int64)
