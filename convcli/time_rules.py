"""The rules by which times may be regular: equal steps, business days, days of months."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import AnyArray, FloatArray, IntArray

    DateTimes = npt.NDArray[np.datetime64]
    # The name of each group and its rows, in order.
    Runs = list[tuple[bytes | None, IntArray]]
    # Gives the regular day of each month.
    DayOfMonth = Callable[[AnyArray], AnyArray]

_FIRST_MONDAY = np.datetime64("1969-12-29")
DAY = 86400.0
MONTH = 30.436875 * DAY
JITTER = 1e-6
NO_TIME_HINT = "without --time rows are counted as they come (20 rows: sma:20)"
UNSORTED_REMARK = ": the times are unsorted"
UNSORTED = "sort the rows by time, or name the series they belong to with --by COLUMN"
# Seconds; a step outside of this is a mistake, and its rate would not be a number.
SHORTEST_STEP, LONGEST_STEP = 1e-15, 1e15
TRADING = (
    "trading days leave out holidays: without --time every row is one (20 trading days: sma:20)"
)


class Failure(NamedTuple):
    """A row that comes at the wrong time, the position of the one before it, and its group.

    position : that of the row itself
    """

    row: int
    previous: float
    group: bytes | None
    position: float

    @property
    def is_back(self) -> bool:
        """Whether the row has an earlier time than the one before it."""
        return self.position < self.previous


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One way of being regular. It can be pickled.

    place : gives the position of each moment on a line where regular rows are `step` apart, NaN for
        a moment that is not on the line
    moment : writes a position as a moment
    seconds : the length of a step · hint : advice where the rule fails
    week : the length of a week in seconds, counted by steps: five business days are a week
    """

    place: Callable[[AnyArray], FloatArray]
    moment: Callable[[float], str]
    step: float
    seconds: float
    tolerance: float = 0.0
    hint: str = NO_TIME_HINT
    week: float = 7 * DAY

    def is_step(self, difference: Any) -> Any:
        """Whether each difference of positions is one step; that of NaN is not."""
        return abs(difference - self.step) <= self.tolerance


def first_failure(rule: Rule, moments: AnyArray, runs: Runs) -> Failure | None:
    """The first row that comes at the wrong time: the first that goes back, if any does."""
    positions = rule.place(moments)
    failures: list[Failure] = []
    for group, rows in runs:
        line = positions[rows]
        steps = np.diff(line)
        wrong = np.flatnonzero(~rule.is_step(steps))
        if len(wrong):
            back = np.flatnonzero(steps < 0)
            before = back[0] if len(back) else wrong[0]
            row = int(rows[before + 1])
            previous, position = line[before : before + 2].tolist()
            failures.append(Failure(row, previous, group, position))
    return min(failures, key=lambda failure: (not failure.is_back, failure.row), default=None)


def latest_failure(rules: list[Rule], failures: list[Failure | None]) -> tuple[Failure, Rule]:
    """The failure of the rule that held for the most rows, as times were probably meant, and it.

    Times that go back come before anything else. `failures` has one for some rule at least.
    """
    pairs = zip(failures, rules, strict=True)
    failed = [(failure, rule) for failure, rule in pairs if failure is not None]
    return max(failed, key=lambda pair: (pair[0].is_back, pair[0].row))


def _typical_step(positions: FloatArray, runs: Runs) -> float:
    steps_of_runs = [np.diff(positions[rows]) for _, rows in runs]
    steps = np.concatenate(steps_of_runs)
    return float(np.median(steps)) if len(steps) else 0.0


def _mean_step(positions: FloatArray, runs: Runs) -> float:
    """The mean step of the longest run, in which the rounding of single times averages out."""
    rows = max((rows for _, rows in runs), key=len)
    first, last = positions[rows[0]], positions[rows[-1]]
    return float(last - first) / (len(rows) - 1)


def _step_and_tolerance(positions: FloatArray, runs: Runs, unit: float) -> tuple[float, float]:
    """The step of times that are written to multiples of `unit`, and its tolerance."""
    typical = abs(_typical_step(positions, runs))
    tolerance = JITTER * typical
    if unit <= typical / 10:
        tolerance += 1.01 * unit
    mean = _mean_step(positions, runs)
    is_near = abs(mean - typical) <= tolerance
    step = mean if is_near else typical
    return step, tolerance


def number_rule(moments: FloatArray, runs: Runs, *, unit: float, origin: int) -> Rule:
    """The rule of a constant step, for times written as numbers.

    unit : seconds of one · origin : the number that 0 stands for
    """
    step, tolerance = _step_and_tolerance(moments, runs, _last_place(moments))
    # Differences of times far from 0 are rounded themselves.
    largest = np.abs(moments).max()
    tolerance += 4 * float(np.spacing(largest))
    if step <= 0:
        step = 1.0
    return Rule(
        place=_as_is,
        moment=partial(_number_text, origin),
        step=step,
        seconds=step * unit,
        tolerance=tolerance,
    )


def _number_text(origin: int, position: float) -> str:
    if position == round(position):
        return str(origin + round(position))
    return f"{position:.15g}"


def _as_is(moments: AnyArray) -> FloatArray:
    return moments


def _last_place(values: FloatArray) -> float:
    """The coarsest power of ten, at most 1, to multiples of which all values are written."""
    for places in range(10):
        scaled = values[:1000] * 10.0**places
        rounding = np.abs(scaled - np.rint(scaled))
        if np.all(rounding <= 1e-9 * np.maximum(1, np.abs(scaled))):
            return float(10.0**-places)
    return 0.0


def date_rules(moments: DateTimes, runs: Runs) -> list[Rule]:
    """The rules worth trying, the most specific first."""
    fixed = fixed_rule(moments, runs)
    of_day = (moments - moments.astype("datetime64[D]")).astype("timedelta64[ns]")
    if np.any(of_day != of_day[0]):
        return [fixed]
    return [*_month_rules(moments, runs, of_day[0]), fixed, _business_rule(of_day[0])]


def fixed_rule(moments: DateTimes, runs: Runs) -> Rule:
    """A constant number of seconds."""
    place = partial(_seconds_since, moments[0])
    unit = _last_place_of_second(moments)
    step, tolerance = _step_and_tolerance(place(moments), runs, unit)
    if step <= 0:
        step = DAY
    return Rule(
        place=place,
        moment=partial(_moment_after, moments[0]),
        step=step,
        seconds=step,
        tolerance=tolerance,
    )


def _seconds_since(origin: np.datetime64, stamps: DateTimes) -> FloatArray:
    nanoseconds = (stamps - origin).astype(np.int64)
    return np.asarray(nanoseconds / 1e9)


def _moment_after(origin: np.datetime64, position: float) -> str:
    nanoseconds = round(position * 1e9)
    return _write(origin + np.timedelta64(nanoseconds, "ns"))


def _last_place_of_second(moments: DateTimes) -> float:
    """The coarsest power of ten of a second, at most 1, to multiples of which all are written."""
    nanoseconds = moments.astype(np.int64) % 1_000_000_000
    for places in range(10):
        if not np.any(nanoseconds % 10 ** (9 - places)):
            return float(10.0**-places)
    return 0.0


def _write(stamp: np.datetime64) -> str:
    text = str(stamp.astype("datetime64[ns]")).replace("T", " ")
    for ending in ("000", "000", ".000", " 00:00:00"):
        text = text.removesuffix(ending)
    return text


def _business_rule(of_day: np.timedelta64) -> Rule:
    """Every business day, at the time of day `of_day`."""
    return Rule(
        place=partial(_business_day_numbers, of_day),
        moment=partial(_business_day, of_day),
        step=1.0,
        seconds=DAY,
        hint=TRADING,
        week=5 * DAY,
    )


def _business_day_numbers(of_day: np.timedelta64, stamps: DateTimes) -> FloatArray:
    days = stamps.astype("datetime64[D]")
    positions = np.busday_count(_FIRST_MONDAY, days).astype(np.float64)
    is_regular = np.is_busday(days) & (stamps - days == of_day)
    positions[~is_regular] = np.nan
    return positions


def _business_day(of_day: np.timedelta64, position: float) -> str:
    if np.isnan(position):
        return "a day that is not a business day"
    day = np.busday_offset(_FIRST_MONDAY, round(position))
    return _write(day + of_day)


def _month_rules(moments: DateTimes, runs: Runs, of_day: np.timedelta64) -> list[Rule]:
    """Every N months: on one day of the month, or on its first or last business day."""
    days = moments.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    step = _typical_step(months.astype(np.float64), runs)
    if step < 1 or step != int(step):
        return []
    days_of_month = (days - months).astype(np.int64)
    same_day = partial(_day_of_month, int(days_of_month.max()))
    choices = (same_day, _first_business_day, _last_business_day)
    return [_month_rule(day, of_day, step) for day in choices]


def _day_of_month(latest: int, month: AnyArray) -> AnyArray:
    return np.asarray(np.minimum(_first_day(month) + latest, _last_day(month)))


def _first_business_day(month: AnyArray) -> AnyArray:
    return np.asarray(np.busday_offset(_first_day(month), 0, roll="forward"))


def _last_business_day(month: AnyArray) -> AnyArray:
    return np.asarray(np.busday_offset(_last_day(month), 0, roll="backward"))


def _first_day(month: AnyArray) -> AnyArray:
    return month.astype("datetime64[D]")


def _last_day(month: AnyArray) -> AnyArray:
    return _first_day(month + 1) - 1


def _month_rule(day: DayOfMonth, of_day: np.timedelta64, step: float) -> Rule:
    """Every `step` months, on the day of the month that `day` gives."""
    return Rule(
        place=partial(_month_numbers, day, of_day),
        moment=partial(_moment_of_month, day, of_day),
        step=step,
        seconds=step * MONTH,
    )


def _month_numbers(day: DayOfMonth, of_day: np.timedelta64, stamps: DateTimes) -> FloatArray:
    months = stamps.astype("datetime64[M]")
    positions = months.astype(np.float64)
    regular = day(months) + of_day
    positions[stamps != regular] = np.nan
    return positions


def _moment_of_month(day: DayOfMonth, of_day: np.timedelta64, position: float) -> str:
    if np.isnan(position):
        return "a day off the calendar"
    month = np.array([round(position)]).astype("datetime64[M]")
    regular = day(month) + of_day
    return _write(regular[0])
