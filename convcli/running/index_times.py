"""The times of a pandas index."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.calendar_bins import DAY
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.signals import CALENDAR_WEEK
from convcli.time_rules import date_rules, first_failure, fixed_rule, latest_failure

if TYPE_CHECKING:
    from convcli.array_types import IntArray
    from convcli.core.in_time.reach import Stamps
    from convcli.signals import Signal
    from convcli.time_rules import Failure, Runs

NANOSECONDS = 1e9


@dataclass(frozen=True, eq=False)
class IndexTimes:
    """The times of rows.

    stamps : (n, 2), as in core/in_time/reach.py
    step : seconds from each row to the next, 0 where rows come irregularly
    week : seconds of a week of rows, which are five days where rows are business days
    problem : why the times cannot be used, for a filter that needs them; None if they can
    """

    stamps: Stamps
    step: float = 0.0
    week: float = CALENDAR_WEEK
    problem: RequestError | None = None

    def regular_signal(self, signal: Signal) -> Signal:
        """The signal with a rate; a frequency without a unit stays in cycles per row."""
        return replace(signal, rate=1 / self.step, cycle=self.step, timed=True, week=self.week)

    def irregular_signal(self, signal: Signal) -> Signal:
        """The signal of rows that each have their time."""
        uneven = "the times of the index are not regular"
        return replace(signal, timed=True, week=self.week, uneven=uneven)


def times_of_index(index: Any) -> IndexTimes | None:
    """The times of an index of times; None for any other index.

    A period is the time at which it begins, and a length of time counts from 1970. Rows are regular
    by the rules of the command line: equal steps, business days, or days of months; of fewer than
    two rows, one a day. Times that are missing or go back are reported by `IndexTimes.problem`.
    """
    # The index is one of pandas, which is therefore imported already.
    from pandas import PeriodIndex

    if isinstance(index, PeriodIndex):
        index = index.to_timestamp()
    is_length = index.dtype.kind == "m"
    if is_length:
        index = index + np.datetime64(0, "ns")
    if index.dtype.kind != "M":
        return None
    if index.hasnans:
        problem = RequestError("the index has rows without a time", hint="x[x.index.notna()]")
        return IndexTimes(np.zeros((0, 2), np.int64), problem=problem)
    instants = index.as_unit("ns").asi8
    wall = index.tz_localize(None).as_unit("ns").asi8
    goes_back = np.diff(instants) < 0
    if goes_back.any():
        row = 1 + int(np.argmax(goes_back))
        message = f"the index goes back in time at row {row}, {index[row]}"
        problem = RequestError(message, hint="sort_index() puts the rows in order")
        return IndexTimes(np.zeros((0, 2), np.int64), problem=problem)
    stamps = np.stack([instants, wall], axis=1).astype(np.int64)
    if len(stamps) < 2:
        return IndexTimes(stamps, DAY / NANOSECONDS)
    step, week = _step_and_week(stamps, is_length=is_length)
    return IndexTimes(stamps, step, week)


def _are_equal(steps: IntArray) -> bool:
    """Whether all steps are the same, above 0."""
    first = steps[0]
    if first <= 0:
        return False
    are_equal = steps == first
    return bool(are_equal.all())


def _step_and_week(stamps: Stamps, *, is_length: bool) -> tuple[float, float]:
    """The step of regular rows in seconds, else 0, and the length of a week of rows.

    is_length : the times are lengths of time, which are no dates
    """
    moments = np.ascontiguousarray(stamps[:, 0]).view("datetime64[ns]")
    if not (stamps[:, 1] % DAY).any():
        # Days follow their zone, in which some have 23 or 25 hours.
        moments = np.ascontiguousarray(stamps[:, 1]).view("datetime64[ns]")
    elif _are_equal(steps := np.diff(stamps[:, 0])):
        # The rules take ten times as long to say the same.
        return float(steps[0]) / NANOSECONDS, CALENDAR_WEEK
    runs: Runs = [(None, np.arange(len(moments)))]
    rules = [fixed_rule(moments, runs)] if is_length else date_rules(moments, runs)
    failures: list[Failure | None] = []
    for rule in rules:
        failure = first_failure(rule, moments, runs)
        if failure is None:
            return rule.seconds, rule.week
        failures.append(failure)
    latest, rule = latest_failure(rules, failures)
    if latest.position <= latest.previous:
        return 0.0, CALENDAR_WEEK
    return 0.0, rule.week
