"""The check of tables whose rows come irregularly: times must not go back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.tables.times import CheckedTimes, StampChecker, runs_of_groups
from convcli.time_rules import UNSORTED, UNSORTED_REMARK

if TYPE_CHECKING:
    from convcli.array_types import IntArray
    from convcli.media.tables.time_stamps import TimeColumn
    from convcli.media.tables.times import Clock
    from convcli.signals import Groups, LatestTimes


@dataclass(frozen=True, eq=False)
class _OrderOfRows:
    """How the times of some rows follow each other.

    ends : for each group its first row, and the instants of its first and last row
    back : the first row that goes back, the instant before it, and its group; None if none does
    """

    times: TimeColumn
    ends: dict[bytes | None, tuple[int, int, int]]
    back: tuple[int, int, bytes | None] | None

    def latest(self) -> LatestTimes:
        """The instant of the last row of each group."""
        return {group: (last,) for group, (_, _, last) in self.ends.items()}


class OrderChecker(StampChecker):
    """Checks, part after part of a table, that times do not go back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[bytes | None, int] = {}

    def read(self, times: TimeColumn, groups: Groups | None) -> CheckedTimes:
        """Read the times of some rows."""
        moments = self._clock.notation.moments(times)
        stamps = self._clock.stamper.stamps(times, moments)
        order = _order_of_rows(times, stamps[:, 0], groups)
        return CheckedTimes(stamps, partial(self._check, order), order.latest)

    def start_after(self, latest: LatestTimes) -> None:
        """Expect rows that come no earlier than the instants that are given."""
        for group, (instant,) in latest.items():
            self._last[group] = int(instant)

    def _check(self, measured: _OrderOfRows) -> None:
        found = [] if measured.back is None else [measured.back]
        for group, (row, first, last) in measured.ends.items():
            before = self._last.get(group)
            if before is not None and first < before:
                found.append((row, before, group))
            self._last[group] = last
        if found:
            row, before, group = min(found, key=_row_of)
            expected = f"a time from {self._clock.stamper.notation.written(before)} on"
            raise measured.times.error(
                row, expected, group=group, hint=UNSORTED, remark=UNSORTED_REMARK
            )


def _order_of_rows(times: TimeColumn, instants: IntArray, groups: Groups | None) -> _OrderOfRows:
    """Return where times go back, and where each group begins and ends."""
    ends = {}
    found: list[tuple[int, int, bytes | None]] = []
    for group, rows in runs_of_groups(len(instants), groups):
        own = instants[rows]
        ends[group] = (int(rows[0]), int(own[0]), int(own[-1]))
        back = np.flatnonzero(np.diff(own) < 0)
        if len(back):
            first = int(back[0])
            found.append((int(rows[first + 1]), int(own[first]), group))
    return _OrderOfRows(times, ends, min(found, default=None, key=_row_of))


def _row_of(found: tuple[int, int, bytes | None]) -> int:
    return found[0]
