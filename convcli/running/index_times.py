"""The times of a pandas index."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.core.in_time.reach import Stamps
    from convcli.signals import Signal

NANOSECONDS = 1e9


@dataclass(frozen=True, eq=False)
class IndexTimes:
    """The times of rows.

    stamps : (n, 2), as in core/in_time/reach.py
    step : nanoseconds from each row to the next, 0 where rows come irregularly
    problem : why the times cannot be used, for a filter that needs them; None if they can
    """

    stamps: Stamps
    step: int = 0
    problem: RequestError | None = None

    def regular_signal(self, signal: Signal) -> Signal:
        """The signal with a rate; a frequency without a unit stays in cycles per row."""
        seconds = self.step / NANOSECONDS
        return replace(signal, rate=1 / seconds, cycle=seconds, timed=True)

    def irregular_signal(self, signal: Signal) -> Signal:
        """The signal of rows that each have their time."""
        return replace(signal, timed=True, uneven="the times of the index are not regular")


def times_of_index(index: Any) -> IndexTimes | None:
    """The times of an index of times; None for any other index and for fewer than two rows.

    A period is the time at which it begins, and a length of time counts from 1970. Times that are
    missing or go back are reported by `IndexTimes.problem`.
    """
    if len(index) < 2:
        return None
    if hasattr(index, "start_time"):
        index = index.to_timestamp()
    if index.dtype.kind == "m":
        index = index + np.datetime64(0, "ns")
    if index.dtype.kind != "M":
        return None
    if index.hasnans:
        problem = RequestError("the index has rows without a time", hint="x[x.index.notna()]")
        return IndexTimes(np.zeros((0, 2), np.int64), problem=problem)
    instants = index.as_unit("ns").asi8
    wall = index.tz_localize(None).as_unit("ns").asi8
    steps = np.diff(instants)
    goes_back = steps < 0
    if goes_back.any():
        row = 1 + int(np.argmax(goes_back))
        message = f"the index goes back in time at row {row}, {index[row]}"
        problem = RequestError(message, hint="sort_index() puts the rows in order")
        return IndexTimes(np.zeros((0, 2), np.int64), problem=problem)
    stamps = np.stack([instants, wall], axis=1).astype(np.int64)
    is_regular = steps[0] > 0 and (steps == steps[0]).all()
    return IndexTimes(stamps, int(steps[0]) if is_regular else 0)
