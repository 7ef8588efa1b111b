"""A notation of times: what is known of numbers and of dates alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from convcli.array_types import AnyArray, IntArray
    from convcli.media.tables.time_stamps import TimeColumn
    from convcli.time_rules import Rule, Runs

    Moments = AnyArray

# Nanoseconds of a second.
SECOND = 1_000_000_000


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

    def read_date(self, text: bytes) -> int | None:
        """Return the instant of a date as it is written in the column; None for another text."""

    def written(self, instant: int) -> str:
        """Return an instant as text, for messages."""

    def doubt(self, column: str, moments: Moments, other: Notation | None) -> str | None:
        """What is taken for granted in reading a column in this notation; None if nothing is.

        moments : of the first rows · other : a notation in which they can be read as well
        """


# --- which notation a column has -----------------------------------------------------------------
