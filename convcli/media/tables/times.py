"""The time column of a table: how often rows come, and whether each row follows that rule.

Times are numbers (of seconds, or of the unit that `time_units` finds), dates, or dates with a time
of day. They are regular when every step is the same: the same number of seconds, one business day,
or the same number of calendar months on the same (or the last) day. A step may differ by 1e-6 of
itself, and by the rounding with which times are written (one unit of the last place, where that is
below a tenth of the step). Business days count as one row a day, months as 30.436875 days. Times
that follow no such rule must not go back.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.tables.find_notation import notation_of_stream, notations_of
from convcli.media.tables.time_stamps import Stamper
from convcli.time_rules import (
    DAY,
    JITTER,
    LONGEST_STEP,
    SHORTEST_STEP,
    TRADING,
    UNSORTED,
    UNSORTED_REMARK,
    Failure,
    Rule,
    first_failure,
    latest_failure,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import IntArray
    from convcli.calendar_bins import CalendarBins
    from convcli.errors import InputError
    from convcli.media.tables.time_stamps import Moments, Notation, TimeColumn
    from convcli.signals import Groups, LatestTimes
    from convcli.time_rules import DateTimes, Runs


# Why a stream has no rate, for messages.
_ANY_TIMES = "the next rows may come at any time"


@dataclass(frozen=True, eq=False)
class CheckedTimes:
    """The times of some rows.

    stamps : (rows, 2) as in `time_stamps.py`
    check : checks that the rows follow those before them; called once for each block, in order.
        Raises InputError if they do not
    latest : what the times of later rows are compared with
    """

    stamps: IntArray
    check: Callable[[], None]
    latest: Callable[[], LatestTimes]


class StampChecker(Protocol):
    """Reads the times of a table part after part, and checks every row."""

    def read(self, times: TimeColumn, groups: Groups | None) -> CheckedTimes:
        """Read the times of some rows. Pure: it may run in any thread and in any order."""

    def start_after(self, latest: LatestTimes) -> None:
        """Expect rows that follow those whose latest times are given."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What the first rows say about time. Several rules may fit them; later rows decide.

    rules : none if rows need only come in order
    rate : rows per second, None if rows come irregularly
    cycle : seconds of the unit in which a bare frequency is counted
    week : seconds of a week, in which business days follow each other without a gap
    doubt : what was taken for granted in reading the times, for a warning; None if nothing was
    uneven : where the rows leave the rule that fits them best, for messages
    """

    notation: Notation
    stamper: Stamper
    rules: tuple[Rule, ...]
    rate: float | None
    cycle: float
    week: float
    doubt: str | None = None
    uneven: str = ""

    def irregular(self, error: InputError) -> Clock:
        """Return the clock of the same times where rows come irregularly, as `error` says."""
        week = _week_of(error)
        return replace(self, rules=(), rate=None, week=week, uneven=error.message)

    def at_any_times(self) -> Clock:
        """Return the clock of the same times where the rows to come may come irregularly."""
        return replace(self, rules=(), rate=None, uneven=_ANY_TIMES)

    def of_step(self, bins: CalendarBins) -> Clock:
        """Return the clock of the same times where each row stands for a bin of the calendar."""
        seconds = bins.seconds
        cycle = self.cycle
        if self.stamper.notation.unit_of_numbers is None:
            cycle = next((unit for unit in (DAY, 3600.0, 60.0) if unit <= seconds), 1.0)
        return replace(
            self, rules=(), rate=1 / seconds, cycle=cycle, week=7 * DAY, doubt=None, uneven=""
        )

    def with_rules(self, rules: tuple[Rule, ...]) -> Clock:
        """Return the clock with the rules that hold for all rows."""
        return replace(self, rules=rules, week=rules[0].week)


@dataclass(frozen=True, kw_only=True)
class TimeNotation:
    """How the user says that times are written; what is None is inferred.

    unit : that of times written as numbers
    date_format : how dates are written, in the directives of strptime
    zone : the time zone of the calendar
    """

    unit: str | None = None
    date_format: str | None = None
    zone: str | None = None

    @property
    def given(self) -> bool:
        """Whether the user says how times are written."""
        return self.unit is not None or self.date_format is not None


@dataclass(frozen=True)
class _Reading:
    """The first times read in one notation: the rules that were tried, and the failure of each."""

    notation: Notation
    moments: Moments
    rules: list[Rule]
    failures: list[Failure | None]

    @property
    def sorted(self) -> bool:
        """Whether no time lies before the one before it."""
        known = [failure for failure in self.failures if failure is not None]
        return not any(failure.is_back for failure in known)

    @property
    def fitting(self) -> list[Rule]:
        """The rules that all rows keep."""
        pairs = zip(self.rules, self.failures, strict=True)
        return [rule for rule, failure in pairs if failure is None]


def infer_clock(
    times: TimeColumn,
    groups: Groups | None,
    asked: TimeNotation,
    *,
    irregular: bool,
    ended: bool,
) -> Clock | None:
    """Infer from the first rows how often rows come; None if no group has two rows.

    A date like 1/2/2024 has the month first, unless only with the day first all dates exist and
    come regularly; 1.2.2024 has the day first.

    irregular : rows may come irregularly, as long as they come in order; else that is an InputError
    ended : there are no more rows; a row a day is assumed where no group has two
    """
    runs = runs_of_groups(len(times.cells), groups)
    long_runs = [(group, rows) for group, rows in runs if len(rows) > 1]
    notations = notations_of(times, asked.unit, asked.date_format)
    if not long_runs:
        if not ended or not len(times.cells):
            return None
        return _daily_clock(times, notations[0][0], asked)
    readings = [_try_rules(notation, moments, long_runs) for notation, moments in notations]
    regular = [reading for reading in readings if reading.fitting]
    if regular:
        _, rows = long_runs[0]
        second_row = int(rows[1])
        return _regular_clock(times, regular, asked, second_row)
    in_order = [reading for reading in readings if reading.sorted]
    best = (in_order or readings)[0]
    error = _irregular(times, best.rules, best.failures)
    if not irregular:
        raise error
    if not in_order:
        raise _unsorted(times, best)
    return _irregular_clock(times, in_order, asked, error)


def clock_of_stream(times: TimeColumn, asked: TimeNotation) -> Clock | None:
    """The clock of rows that may come at any times, from the first row of a stream.

    None if one row does not show how times are written.
    """
    first = replace(times, cells=times.cells[:1])
    found = notation_of_stream(first, asked.unit, asked.date_format)
    if found is None:
        return None
    notation, moments = found
    return Clock(
        notation=notation,
        stamper=Stamper.of(first, notation, asked.zone),
        rules=(),
        rate=None,
        cycle=1.0,
        week=7 * DAY,
        doubt=None if asked.given else notation.doubt(times.name, moments, None),
        uneven=_ANY_TIMES,
    )


def _daily_clock(times: TimeColumn, notation: Notation, asked: TimeNotation) -> Clock:
    """The clock of a table in which no group has two rows: a row a day is assumed."""
    return Clock(
        notation=notation,
        stamper=Stamper.of(times, notation, asked.zone),
        rules=(),
        rate=1 / DAY,
        cycle=DAY,
        week=7 * DAY,
        doubt=f"too few rows to know how often they come in {times.name}; one a day is assumed",
    )


def _regular_clock(
    times: TimeColumn, regular: list[_Reading], asked: TimeNotation, second_row: int
) -> Clock:
    """The clock of rows that come regularly.

    regular : the readings that some rule fits, the likeliest first
    second_row : the second row of a group, which an error about the step names
    """
    best = regular[0]
    first = best.fitting[0]
    if not SHORTEST_STEP <= first.seconds <= LONGEST_STEP:
        expected = f"a step of {SHORTEST_STEP:g} to {LONGEST_STEP:g} seconds"
        raise times.error(second_row, expected)
    cycle = 1.0
    if best.moments.dtype.kind == "M":
        cycle = _cycle(first.seconds, best.moments)
    return Clock(
        notation=best.notation,
        stamper=Stamper.of(times, best.notation, asked.zone),
        rules=tuple(rule for rule in best.fitting if rule.seconds == first.seconds),
        rate=1 / first.seconds,
        cycle=cycle,
        week=first.week,
        doubt=None if asked.given else _assumption_behind(times, regular),
    )


def _irregular_clock(
    times: TimeColumn, in_order: list[_Reading], asked: TimeNotation, error: InputError
) -> Clock:
    """The clock of rows that come irregularly but in order; `error` says where a rule ends."""
    notation = in_order[0].notation
    return Clock(
        notation=notation,
        stamper=Stamper.of(times, notation, asked.zone),
        rules=(),
        rate=None,
        cycle=1.0,
        week=_week_of(error),
        doubt=None if asked.given else _assumption_behind(times, in_order),
        uneven=error.message,
    )


def _assumption_behind(times: TimeColumn, readings: list[_Reading]) -> str | None:
    """The assumption behind the first of several possible readings; None if there is none."""
    best = readings[0]
    other = readings[1].notation if len(readings) > 1 else None
    return best.notation.doubt(times.name, best.moments, other)


def _try_rules(notation: Notation, moments: Moments, runs: Runs) -> _Reading:
    rules = notation.rules(moments, runs)
    failures = [first_failure(rule, moments, runs) for rule in rules]
    return _Reading(notation, moments, rules, failures)


def _irregular(times: TimeColumn, rules: list[Rule], failures: list[Failure | None]) -> InputError:
    """The error that no rule holds, in the words of the rule that failed last."""
    failure, rule = latest_failure(rules, failures)
    wanted = rule.moment(failure.previous + rule.step)
    expected = f"the time {wanted} after {rule.moment(failure.previous)}"
    hint = UNSORTED if failure.position <= failure.previous else rule.hint
    remark = UNSORTED_REMARK if failure.is_back else ""
    return times.error(failure.row, expected, group=failure.group, hint=hint, remark=remark)


def _week_of(error: InputError) -> float:
    """Seconds of a week that rows come in: five days if they are business days but for holidays."""
    return 5 * DAY if error.hint == TRADING else 7 * DAY


def _unsorted(times: TimeColumn, reading: _Reading) -> InputError:
    """The error that a time lies before the one before it."""
    pairs = zip(reading.failures, reading.rules, strict=True)
    failed = [(failure, rule) for failure, rule in pairs if failure is not None]
    failure, rule = next(pair for pair in failed if pair[0].is_back)
    expected = f"a time from {rule.moment(failure.previous)} on"
    return times.error(
        failure.row, expected, group=failure.group, hint=UNSORTED, remark=UNSORTED_REMARK
    )


def runs_of_groups(rows: int, groups: Groups | None) -> Runs:
    """The rows of each group, in order."""
    if groups is None:
        return [(None, np.arange(rows))]
    return list(groups.places())


def _cycle(seconds: float, moments: DateTimes) -> float:
    """Seconds of the unit of bare frequencies: a day for dates, else the largest within a step."""
    if not np.any(moments != moments.astype("datetime64[D]")):
        return DAY
    longest = seconds * (1 + JITTER)
    return next((unit for unit in (DAY, 3600.0, 60.0) if unit <= longest), 1.0)


# --- checking all rows ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fit:
    """How some rows fit a rule: their first failure, and the ends of each group.

    ends : for each group its first row, and the positions of its first and last row
    """

    failure: Failure | None
    ends: dict[bytes | None, tuple[int, float, float]]


@dataclass(frozen=True)
class MeasuredTimes:
    """The times of some rows held against each rule of a clock."""

    times: TimeColumn
    fits: list[_Fit]

    def latest(self) -> LatestTimes:
        """The position of the last row of each group by each rule."""
        groups = self.fits[0].ends if self.fits else ()
        latest = {}
        for group in groups:
            ends = [fit.ends[group] for fit in self.fits]
            latest[group] = tuple(last for _, _, last in ends)
        return latest


class TimeChecker(StampChecker):
    """Checks every row of a table against a clock, part after part."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Position of the last row of each group, for every rule that still holds.
        self._last: dict[int, dict[bytes | None, float]] = {i: {} for i in range(len(clock.rules))}

    def read(self, times: TimeColumn, groups: Groups | None) -> CheckedTimes:
        """Read the times of some rows and hold them against each rule."""
        moments = self._clock.notation.moments(times)
        measured = self._measured(times, moments, groups)
        stamps = self._clock.stamper.stamps(times, moments)
        return CheckedTimes(stamps, partial(self._check, measured), measured.latest)

    def start_after(self, latest: LatestTimes) -> None:
        """Expect rows that follow those whose positions by each rule are given."""
        for group, positions in latest.items():
            for rule, last in self._last.items():
                last[group] = positions[rule]

    def measure(self, times: TimeColumn, groups: Groups | None) -> MeasuredTimes:
        """Hold some rows against each rule. Pure: it may run in any thread and in any order."""
        return self._measured(times, self._clock.notation.moments(times), groups)

    def _measured(
        self, times: TimeColumn, moments: Moments, groups: Groups | None
    ) -> MeasuredTimes:
        runs = runs_of_groups(len(moments), groups)
        fits = [_hold_against(rule, moments, runs) for rule in self._clock.rules]
        return MeasuredTimes(times, fits)

    @property
    def holding(self) -> tuple[Rule, ...]:
        """The rules that have held so far."""
        return tuple(self._clock.rules[i] for i in self._last)

    def _check(self, measured: MeasuredTimes) -> None:
        error = self.broken_by(measured)
        if error is not None:
            raise error

    def broken_by(self, measured: MeasuredTimes) -> InputError | None:
        """Take in the next rows of the table; return the error if no rule holds any longer."""
        failures = {i: self._failure(i, measured.fits[i]) for i in self._last}
        if all(failure is not None for failure in failures.values()):
            rules = [self._clock.rules[i] for i in failures]
            return _irregular(measured.times, rules, list(failures.values()))
        for i, failure in failures.items():
            if failure is not None:
                del self._last[i]
                continue
            for group, (_, _, last) in measured.fits[i].ends.items():
                self._last[i][group] = last
        return None

    def _failure(self, i: int, fit: _Fit) -> Failure | None:
        """The first row that breaks rule `i`, the step from the rows before included."""
        rule = self._clock.rules[i]
        failures = [] if fit.failure is None else [fit.failure]
        for group, (row, first, _) in fit.ends.items():
            previous = self._last[i].get(group)
            if previous is not None and not rule.is_step(first - previous):
                failures.append(Failure(row, previous, group, first))
        return min(failures, key=lambda failure: failure.row, default=None)


def _hold_against(rule: Rule, moments: Moments, runs: Runs) -> _Fit:
    positions = rule.place(moments)
    ends = {}
    for group, rows in runs:
        first, last = int(rows[0]), int(rows[-1])
        ends[group] = (first, float(positions[first]), float(positions[last]))
    return _Fit(first_failure(rule, moments, runs), ends)


# -------------------------------------------------------- rows at any times, which must not go back


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
