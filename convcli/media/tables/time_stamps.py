"""Times as stamps, for windows in time and calendar bins.

A stamp is a pair of whole numbers: nanoseconds since 1970 on a clock that never goes back, and
nanoseconds on the clock on the wall, which the calendar follows. They are the same for dates
without a zone. Where a date names its offset from UTC, as 2024-03-31T02:30+02:00, the wall clock is
what is written. Times that are numbers are in UTC, or on the wall clock of `--time-zone`. A
`Notation` reads what the cells say.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.media.tables.date_notation import OFFSET
from convcli.media.tables.date_spelling import DateSpelling
from convcli.media.tables.group_names import group_name
from convcli.time_rules import NO_TIME_HINT

if TYPE_CHECKING:
    from convcli.array_types import AnyArray, IntArray
    from convcli.media.tables.cells import Cells
    from convcli.media.tables.rows import RowSpans
    from convcli.time_rules import Rule, Runs

    Moments = AnyArray


# Nanoseconds of a second.
SECOND = 1_000_000_000
# No wall clock is further from UTC, in seconds.
_LARGEST_OFFSET = 26 * 3600


class Notation(Protocol):
    """A way in which times are written."""

    @property
    def unit_of_numbers(self) -> int | None:
        """The unit of times that are numbers, in nanoseconds; None for dates."""

    @property
    def form(self) -> str:
        """How dates are written, in the directives of strptime; empty if that is not known."""

    def moments(self, times: TimeColumn) -> Moments:
        """Seconds, or datetime64[ns]. InputError if a cell is not a time."""

    def rules(self, moments: Moments, runs: Runs) -> list[Rule]:
        """The rules by which the times of regular rows may follow each other."""

    def instants(self, times: TimeColumn, moments: Moments) -> IntArray:
        """Nanoseconds since 1970. InputError for a time that they cannot count."""

    def names_offset(self, text: bytes) -> bool:
        """Whether a time names its offset from UTC."""

    def is_in_utc(self, text: bytes) -> bool:
        """Whether times are known in UTC, not only on a local clock."""

    def read_back(self, texts: list[bytes]) -> IntArray:
        """Return the instants of dates written as in the column; `NO_DATE` for other texts."""

    def written(self, instant: int) -> str:
        """Return an instant as text, for messages."""

    def doubt(self, column: str, moments: Moments, other: Notation | None) -> str | None:
        """What is taken for granted in reading a column in this notation; None if nothing is.

        moments : of the first rows · other : a notation in which they can be read as well
        """


# --------------------------------------------------------------------------- the stamps of a column


@dataclass(frozen=True, kw_only=True)
class TimeColumn:
    """The time column of some rows.

    table, name : names of the table and of the column, for messages · column : its number
    decimal : the decimal point or comma
    zone : the time zone of a column whose cells are written in UTC, without a word of that
    unit : the unit of the numbers of a column whose type says it
    """

    table: str
    name: str
    column: int
    decimal: str
    rows: RowSpans
    cells: Cells
    zone: str | None = None
    unit: str | None = None

    def error(
        self,
        row: int,
        expected: str,
        *,
        group: bytes | None = None,
        hint: str = NO_TIME_HINT,
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


@dataclass(frozen=True)
class Stamper:
    """Makes stamps of the times of a column.

    zone : the name of the time zone of the calendar, None if it is that of the column
    with_offset : times name their offset from UTC
    spelling : of the dates in the first rows
    """

    notation: Notation
    zone: str | None
    with_offset: bool
    spelling: DateSpelling

    @classmethod
    def of(cls, times: TimeColumn, notation: Notation, zone: str | None) -> Stamper:
        """Return the stamper for the notation of a column. RequestError if `zone` does not fit."""
        texts = times.cells.texts()
        text = texts[0] if texts else b""
        if zone is not None:
            _check_zone(zone)
            if times.zone is None and not notation.is_in_utc(text):
                raise RequestError(
                    f"--time-zone is for times that are numbers or name their offset from UTC, "
                    f"and {times.name} has dates on the wall clock",
                    hint="without --time-zone calendar bins follow them as they are",
                )
        spelling = DateSpelling.of(notation.form, texts)
        return cls(notation, zone or times.zone, notation.names_offset(text), spelling)

    def stamps(self, times: TimeColumn, moments: Moments) -> IntArray:
        """Return (n, 2) nanoseconds on the clock and on the wall."""
        instants = self.notation.instants(times, moments)
        return np.stack([instants, self._wall(times, instants)], axis=1)

    def instants_on_wall(self, wall: IntArray, offset: int) -> IntArray:
        """Return the instants at which the clock on the wall shows some times.

        offset : of the wall clock from UTC in nanoseconds, where no time zone is known
        """
        if self.zone is None:
            return wall - offset
        return _instants_in_zone(wall, self.zone)

    def wall_at(self, instants: IntArray, offset: int) -> IntArray:
        """Return what the clock on the wall shows at some instants.

        offset : of the wall clock from UTC in nanoseconds, where no time zone is known
        """
        if self.zone is None:
            return instants + offset
        return _in_zone(instants, self.zone)

    def _wall(self, times: TimeColumn, instants: IntArray) -> IntArray:
        if self.zone is not None:
            return _in_zone(instants, self.zone)
        if self.with_offset:
            return instants + _offsets_from_utc(times.cells.texts())
        return instants


def _offsets_from_utc(texts: list[bytes]) -> IntArray:
    """Return the offset from UTC that each time names, in nanoseconds."""
    known: dict[bytes, int] = {}
    found = np.zeros(len(texts), np.int64)
    length = 0  # of the ending that decides; 0: all of a text
    if texts and _ends_with_offset(texts[0]):
        length = len(b"+00:00")
    for row, text in enumerate(texts):
        key = text[-length:]
        if key not in known:
            known[key] = _offset(text)
        found[row] = known[key]
    return found


def _ends_with_offset(text: bytes) -> bool:
    match = OFFSET.search(text)
    return match is not None and match.end() == len(text)


def _offset(text: bytes) -> int:
    match = OFFSET.search(text)
    if match is None or match["utc"]:
        return 0
    minutes = 60 * int(match["hours"]) + int(match["minutes"] or 0)
    sign = -1 if match["sign"] == b"-" else 1
    return sign * minutes * 60 * SECOND


def _check_zone(zone: str) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise RequestError(
            f"--time-zone {zone} is not a time zone that this computer knows",
            hint="for example Europe/Berlin or America/New_York",
        ) from None


def _in_zone(instants: IntArray, zone: str) -> IntArray:
    """Return the local time in a time zone."""
    import pandas as pd

    index = pd.DatetimeIndex(instants.view("datetime64[ns]"), tz="UTC")
    wall = index.tz_convert(zone).tz_localize(None)
    return wall.to_numpy().astype("datetime64[ns]").view(np.int64)


def _instants_in_zone(wall: IntArray, zone: str) -> IntArray:
    """Return the instants of local times; of one that comes twice, the first.

    A time that is left out because the clock is put forward is the moment at which that happens.
    """
    import pandas as pd

    index = pd.DatetimeIndex(wall.view("datetime64[ns]"))
    is_first = np.ones(len(wall), np.bool_)
    known = index.tz_localize(zone, ambiguous=is_first, nonexistent="NaT")
    utc = known.tz_convert("UTC").tz_localize(None).to_numpy()
    instants: IntArray = utc.astype("datetime64[ns]").view(np.int64).copy()
    for place in np.flatnonzero(known.isna()).tolist():
        instants[place] = _change_over(int(wall[place]), zone)
    return instants


def _change_over(wall: int, zone: str) -> int:
    """Return the instant at which the clock is put forward over a local time, in nanoseconds.

    pandas' `nonexistent="shift_forward"` is hours off where a zone leaves out a day.
    """
    second = wall // SECOND
    span = range(second - _LARGEST_OFFSET, second + _LARGEST_OFFSET)

    def wall_at(instant: int) -> int:
        stamp = np.array([instant * SECOND])
        return int(_in_zone(stamp, zone)[0])

    return span[bisect_right(span, wall, key=wall_at)] * SECOND
