"""What makes times regular: the rules that a column of times may keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = npt.NDArray[np.float64]
Stamps = npt.NDArray[np.datetime64]
# For each group its name and its rows, in order.
Runs = list[tuple[bytes | None, npt.NDArray[np.int64]]]
# A row that comes at the wrong time, the position of the one before it, and its group.
Failure = tuple[int, float, bytes | None]

DAY = 86400.0
MONTH = 30.436875 * DAY
JITTER = 1e-6
HINT = "without --time rows are counted as they come (20 rows: sma:20)"
TRADING = (
    "trading days leave out holidays: without --time every row is one (20 trading days: sma:20)"
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One way of being regular.

    place(moments) is the position of each moment on a line where regular rows are `step` apart (NaN: off the line);
    moment(position) writes a position as a moment; seconds is the length of a step; hint is what to try otherwise.
    """

    place: Callable[[npt.NDArray[Any]], Floats]
    moment: Callable[[float], str]
    step: float
    seconds: float
    tolerance: float = 0.0
    hint: str = HINT


def first_failure(rule: Rule, moments: npt.NDArray[Any], runs: Runs) -> Failure | None:
    """The first row that comes at the wrong time, the position of the one before it, and its group."""
    positions = rule.place(moments)
    failures: list[Failure] = []
    for group, rows in runs:
        line = positions[rows]
        bad = np.flatnonzero(~(np.abs(np.diff(line) - rule.step) <= rule.tolerance))
        if len(bad):
            at = int(bad[0])
            failures.append((int(rows[at + 1]), float(line[at]), group))
    return min(failures, key=lambda failure: failure[0]) if failures else None


def _typical(positions: Floats, runs: Runs) -> float:
    steps = np.concatenate([np.diff(positions[rows]) for _, rows in runs])
    return float(np.median(steps)) if len(steps) else 0.0


def _mean_step(positions: Floats, runs: Runs) -> float:
    """The step over the longest run, which averages the rounding of single times away."""
    rows = max((rows for _, rows in runs), key=len)
    return float(positions[rows[-1]] - positions[rows[0]]) / (len(rows) - 1)


def _spaced(positions: Floats, runs: Runs, unit: float) -> tuple[float, float]:
    """(step, tolerance) of times written to multiples of `unit`."""
    typical = abs(_typical(positions, runs))
    tolerance = JITTER * typical + (1.01 * unit if unit <= typical / 10 else 0.0)
    mean = _mean_step(positions, runs)
    return (mean if abs(mean - typical) <= tolerance else typical), tolerance


def number_rule(moments: Floats, runs: Runs) -> Rule:
    """Times as numbers: a constant number of seconds."""
    step, tolerance = _spaced(moments, runs, _last_place(moments))
    # Rounding of the differences themselves, for times far from 0.
    tolerance += 4 * float(np.spacing(np.abs(moments).max()))
    if step <= 0:
        step = 1.0
    return Rule(
        place=_as_is, moment=lambda p: f"{p:.12g}", step=step, seconds=step, tolerance=tolerance
    )


def _as_is(moments: npt.NDArray[Any]) -> Floats:
    return moments


def _last_place(values: Floats) -> float:
    """The coarsest power of ten, at most 1, to multiples of which all values are written."""
    for places in range(10):
        scaled = values[:1000] * 10.0**places
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(1, np.abs(scaled))):
            return float(10.0**-places)
    return 0.0


def date_rules(moments: Stamps, runs: Runs) -> list[Rule]:
    """The rules worth trying, the surest first."""
    fixed = _fixed_rule(moments, runs)
    of_day = (moments - moments.astype("datetime64[D]")).astype("timedelta64[ns]")
    if np.any(of_day != of_day[0]):
        return [fixed]
    months = [rule for rule in _month_rules(moments, runs, of_day[0]) if rule is not None]
    return [*months, fixed, _business_rule(of_day[0])]


def _fixed_rule(moments: Stamps, runs: Runs) -> Rule:
    origin = moments[0]

    def place(stamps: Stamps) -> Floats:
        return np.asarray((stamps - origin).astype(np.int64) / 1e9)

    def moment(position: float) -> str:
        return _write(origin + np.timedelta64(round(position * 1e9), "ns"))

    positions = place(moments)
    digits = moments.astype(np.int64) % 1_000_000_000
    unit = next(
        (10.0**-places for places in range(10) if not np.any(digits % 10 ** (9 - places))), 0.0
    )
    step, tolerance = _spaced(positions, runs, unit)
    if step <= 0:
        step = DAY
    return Rule(place=place, moment=moment, step=step, seconds=step, tolerance=tolerance)


def _write(stamp: np.datetime64) -> str:
    text = str(stamp.astype("datetime64[ns]")).replace("T", " ")
    return (
        text.removesuffix("000").removesuffix("000").removesuffix(".000").removesuffix(" 00:00:00")
    )


def _business_rule(of_day: np.timedelta64) -> Rule:
    epoch = np.datetime64("1969-12-29")  # a Monday

    def place(stamps: Stamps) -> Floats:
        days = stamps.astype("datetime64[D]")
        at = np.busday_count(epoch, days).astype(np.float64)
        at[~np.is_busday(days) | (stamps - days != of_day)] = np.nan
        return at

    def moment(position: float) -> str:
        if np.isnan(position):
            return "a day that is no business day"
        return _write(np.busday_offset(epoch, round(position)) + of_day)

    return Rule(place=place, moment=moment, step=1.0, seconds=DAY, hint=TRADING)


def _month_rules(moments: Stamps, runs: Runs, of_day: np.timedelta64) -> list[Rule | None]:
    days = moments.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    step = _typical(months.astype(np.float64), runs)
    if step < 1 or step != int(step):
        return []
    anchor = int((days - months).astype(np.int64).max())

    def same_day(month: npt.NDArray[Any]) -> npt.NDArray[Any]:
        last = (month + 1).astype("datetime64[D]") - 1
        return np.asarray(np.minimum(month.astype("datetime64[D]") + anchor, last))

    def first_business_day(month: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(np.busday_offset(month.astype("datetime64[D]"), 0, roll="forward"))

    def last_business_day(month: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(
            np.busday_offset((month + 1).astype("datetime64[D]") - 1, 0, roll="backward")
        )

    return [
        _month_rule(day, of_day, step) for day in (same_day, first_business_day, last_business_day)
    ]


def _month_rule(
    day: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], of_day: np.timedelta64, step: float
) -> Rule:
    """Every `step` months, on the day of the month that `day` gives."""

    def place(stamps: Stamps) -> Floats:
        months = stamps.astype("datetime64[M]")
        at = months.astype(np.float64)
        at[stamps != day(months) + of_day] = np.nan
        return at

    def moment(position: float) -> str:
        if np.isnan(position):
            return "a day off the calendar"
        month = np.array([round(position)]).astype("datetime64[M]")
        return _write(day(month)[0] + of_day)

    return Rule(place=place, moment=moment, step=step, seconds=step * MONTH)
