"""Bins of the calendar: days, weeks, months, quarters, years, and parts of a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import IntArray


# Nanoseconds.
HOUR = 3_600_000_000_000
DAY = 24 * HOUR
WEEK = 7 * DAY
# 1970-01-01 was a Thursday; weeks begin on Monday.
MONDAY = 3 * DAY
# Seconds.
AVERAGE_MONTH = 30.436875 * 86400


@dataclass(frozen=True)
class CalendarBins:
    """Bins of `count` months each, or of `length` nanoseconds each.

    Months, quarters and years are counted from January 1970, weeks from the Monday before, and
    shorter bins from midnight of 1970-01-01, on the wall clock of the table.
    """

    length: int = 0
    months: int = 0

    def numbers(self, stamps: IntArray) -> IntArray:
        """Return the number of the bin of each stamp (instant, wall clock)."""
        if self.months:
            months: Any = stamps[:, 1].view("datetime64[ns]").astype("datetime64[M]")
            numbers: IntArray = months.astype("int64") // self.months
            return numbers
        if self.length % WEEK == 0:
            return (stamps[:, 1] + MONDAY) // self.length
        if self.on_wall_clock:
            return stamps[:, 1] // self.length
        # An hour that comes twice, because the clock is put back, is two bins. So parts of an hour
        # are counted on the clock that never goes back; an offset of no whole bins moves them.
        late = (stamps[:, 0] - stamps[:, 1]) % self.length
        return (stamps[:, 0] - late) // self.length

    def starts(self, numbers: IntArray, offset: IntArray | int) -> IntArray:
        """Return the wall clock at the beginning of bins.

        offset : nanoseconds of the wall clock from the other one, which counts parts of an hour
        """
        if self.months:
            months: Any = (numbers * self.months).astype("datetime64[M]")
            starts: IntArray = months.astype("datetime64[ns]").view("int64")
            return starts
        if self.length % WEEK == 0:
            return numbers * self.length - MONDAY
        if self.on_wall_clock:
            return numbers * self.length
        late = -offset % self.length
        return numbers * self.length + late + offset

    @property
    def on_wall_clock(self) -> bool:
        """Whether bins are counted on the wall clock; parts of an hour are on the other one."""
        return self.months > 0 or HOUR % self.length > 0

    @property
    def seconds(self) -> float:
        """The length of a bin, on average."""
        return self.length / 1e9 if self.length else self.months * AVERAGE_MONTH
