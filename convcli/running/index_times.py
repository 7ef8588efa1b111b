"""The times of a pandas index."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.core.time_reach import Stamps
    from convcli.signals import Signal

NANOSECONDS = 1e9


@dataclass(frozen=True, eq=False)
class IndexTimes:
    """The times of rows.

    stamps : (n, 2), as in core/time_reach.py
    step : nanoseconds from each row to the next, 0 where rows come irregularly
    problem : why the times cannot be used, for a filter that needs them; None if they can
    """

    stamps: Stamps
    step: int = 0
    problem: RequestError | None = None

    def regular_signal(self, signal: Signal) -> Signal:
        """The signal with a rate; a frequency without a unit is in cycles per row, as without."""
        seconds = self.step / NANOSECONDS
        return replace(signal, rate=1 / seconds, cycle=seconds, timed=True)

    def irregular_signal(self, signal: Signal) -> Signal:
        """The signal of rows that each have their time."""
        return replace(signal, timed=True, uneven="the times of the index are not regular")


def times_of_index(index: Any) -> IndexTimes | None:
    """The times of a DatetimeIndex; None of any other index, and of one with fewer than two rows.

    Times that are missing or go back are a problem.
    """
    if getattr(index.dtype, "kind", "") != "M" or len(index) < 2:
        return None
    if index.hasnans:
        problem = RequestError("the index has rows without a time", hint="x[x.index.notna()]")
        return IndexTimes(np.zeros((0, 2), np.int64), problem=problem)
    instants = index.as_unit("ns").asi8
    wall = index.tz_localize(None).as_unit("ns").asi8
    steps = np.diff(instants)
    if (steps < 0).any():
        row = int(np.argmax(steps < 0)) + 1
        message = f"the index goes back in time at row {row}, {index[row]}"
        problem = RequestError(message, hint="sort_index() puts the rows in order")
        return IndexTimes(np.zeros((0, 2), np.int64), problem=problem)
    step = int(steps[0]) if steps[0] > 0 and (steps == steps[0]).all() else 0
    return IndexTimes(np.stack([instants, wall], axis=1).astype(np.int64), step)
