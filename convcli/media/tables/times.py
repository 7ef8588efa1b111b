"""The time column of a table: how often rows come, and whether each one comes when it should.

Times are numbers (of seconds, or as `time_units` tells), dates or dates with a time of day. They
are regular when every step is the same: the same number of seconds, one business day, or the same
number of calendar months on the same (or the last) day. A step may differ by 1e-6 of itself, and by
the rounding with which times are written (one unit of the last place, where that is below a tenth
of the step). Business days count as one row a day, months as 30.436875 days.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from convcli.errors import InputError, RequestError
from convcli.media.tables.delimited import group_name
from convcli.media.tables.iso_dates import read_alike
from convcli.media.tables.numerals import BadCellError, NumberStyle, read_numbers, reads_as_number
from convcli.media.tables.time_rules import (
    DAY,
    HINT,
    JITTER,
    LONGEST_STEP,
    SHORTEST_STEP,
    TRADING,
    UNSORTED,
    Failure,
    Rule,
    date_rules,
    first_failure,
    number_rule,
)
from convcli.media.tables.time_units import TIME_UNITS, date_text, serial_day, unit_of_dates

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.calendar_bins import CalendarBins
    from convcli.media.tables.delimited import Cells, RowSpans
    from convcli.media.tables.time_order import Stamper
    from convcli.media.tables.time_rules import Floats, Runs, Stamps
    from convcli.signals import Groups

    Moments = npt.NDArray[Any]

_ISO = re.compile(rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?")
_YEAR_FIRST = re.compile(rb"\d{4}\D")
# 1.2.2024, as dates are written where the day is first; 1/2/2024 is written so and so.
_DAY_FIRST = re.compile(rb"\d{1,2}\.\d{1,2}\.\d")
# Numbers from which floats leave out whole numbers, and those that are read without them.
_LARGEST_EXACT = 2**53
_LARGE_NUMBER = re.compile(rb"[+-]?\d{1,300}")
_COMPACT = re.compile(rb"(?:1[89]|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


@dataclass(frozen=True, kw_only=True)
class TimeColumn:
    """The time column of some rows.

    table, name : names of the table and of the column, for messages · column : its number
    decimal : the decimal point or comma
    """

    table: str
    name: str
    column: int
    decimal: str
    rows: RowSpans
    cells: Cells

    def error(
        self, row: int, expected: str, *, group: bytes | None = None, hint: str = HINT
    ) -> InputError:
        """The error that the time in `row` is not the one expected."""
        owner = "" if group is None else f" of {group_name(group)}"
        found = self.cells.text(row).strip() or "an empty cell"
        place = self.rows.place_of_cell(row, self.column)
        return InputError(
            f"{self.table}, {place}, column {self.name}: expected {expected}{owner}, got {found}",
            hint=hint,
        )


@dataclass(frozen=True, eq=False)
class CheckedTimes:
    """The times of some rows.

    stamps : (rows, 2) as in `time_order.py`
    check : checks that the rows follow those before them; called once for each block, in order.
        InputError if they do not
    """

    stamps: npt.NDArray[np.int64]
    check: Callable[[], None]


class StampChecker(Protocol):
    """Reads the times of a table part after part, and checks every row."""

    def read(self, times: TimeColumn, groups: Groups | None) -> CheckedTimes:
        """Read the times of some rows. Pure: it may run in any thread and in any order."""
        ...


class Notation(Protocol):
    """A way in which times are written."""

    def moments(self, times: TimeColumn) -> Moments:
        """Seconds, or datetime64[ns]. InputError if a cell is not a time."""
        ...


@dataclass(frozen=True)
class NumberNotation:
    """Times written as numbers of a unit.

    origin : whole numbers too large for a float are counted from this one; 0 if none is
    """

    unit: str
    origin: int = 0

    @property
    def expected(self) -> str:
        """What each cell should be, for messages."""
        whole = "whole " if self.origin else ""
        return f"a time in {whole}{TIME_UNITS[self.unit].name}"

    def moments(self, times: TimeColumn) -> Floats:
        """Units since the origin. InputError if a cell is not a finite number."""
        if self.origin:
            return np.array([self._since_origin(times, row) for row in range(len(times.cells))])
        try:
            values = read_numbers(times.cells, NumberStyle(times.decimal))
        except BadCellError as bad:
            raise times.error(bad.row, self.expected) from None
        bad_rows = np.flatnonzero(~np.isfinite(values))
        if len(bad_rows):
            hint = "a row without its time has no place"
            raise times.error(int(bad_rows[0]), self.expected, hint=hint)
        return values

    def _since_origin(self, times: TimeColumn, row: int) -> float:
        text = times.cells.data[times.cells.start[row] : times.cells.stop[row]]
        if not _LARGE_NUMBER.fullmatch(text):
            raise times.error(row, self.expected)
        return float(int(text) - self.origin)


@dataclass(frozen=True)
class DateNotation:
    """Times written as dates; `read` gives datetime64[ns], NaT for a text that it cannot read.

    form : how they are written, in the directives of strptime, where that is known
    read_alike : reads cells that are all written alike; gives None for others
    """

    read: Callable[[list[bytes]], Stamps]
    form: str = ""
    read_alike: Callable[[Cells], Stamps | None] | None = None

    def moments(self, times: TimeColumn) -> Stamps:
        """Moments as datetime64[ns]. InputError if a cell is not a date."""
        quick = None if self.read_alike is None else self.read_alike(times.cells)
        if quick is not None:
            return quick
        stamps = self.read(times.cells.texts())
        bad_rows = np.flatnonzero(np.isnat(stamps))
        if len(bad_rows):
            expected = "a date or time written as in the first row"
            hint = "mend the cell"
            if self.form:
                expected = f"a date or time written as {self.form}"
                hint += ", or say with --date-format how dates are written"
            raise times.error(int(bad_rows[0]), expected, hint=hint)
        return stamps


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What the first rows tell about time. All rules fit them; later rows tell which one holds.

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

    def of_step(self, bins: CalendarBins) -> Clock:
        """Return the clock of the same times where each row stands for a bin of the calendar."""
        seconds = bins.seconds
        cycle = self.cycle
        if self.stamper.unit_of_numbers is None:
            cycle = next((unit for unit in (DAY, 3600.0, 60.0) if unit <= seconds), 1.0)
        return replace(
            self, rules=(), rate=1 / seconds, cycle=cycle, week=7 * DAY, doubt=None, uneven=""
        )

    def settled(self, rules: tuple[Rule, ...]) -> Clock:
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
        """Whether the user says anything."""
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
        return not any(failure is not None and failure.is_back for failure in self.failures)

    @property
    def fitting(self) -> list[Rule]:
        pairs = zip(self.rules, self.failures, strict=True)
        return [rule for rule, failure in pairs if failure is None]


def infer_clock(
    times: TimeColumn,
    groups: Groups | None,
    asked: TimeNotation,
    *,
    irregular: bool = False,
    ended: bool = False,
) -> Clock | None:
    """Infer from the first rows how often rows come; None if no group has two rows.

    A date like 1/2/2024 has the month first, unless only with the day first all dates exist and
    come regularly; 1.2.2024 has the day first.

    irregular : rows may come irregularly, as long as they come in order; else that is an InputError
    ended : there are no more rows; a row a day is assumed where no group has two
    """
    from convcli.media.tables.time_order import Stamper

    runs = runs_of_groups(len(times.cells), groups)
    long_runs = [(group, rows) for group, rows in runs if len(rows) > 1]
    notations = _notations(times, asked.unit, asked.date_format)
    if not long_runs:
        if not ended or not len(times.cells):
            return None
        stamper = Stamper.of(times, notations[0][0], asked.zone)
        return Clock(
            notation=notations[0][0],
            stamper=stamper,
            rules=(),
            rate=1 / DAY,
            cycle=DAY,
            week=7 * DAY,
            doubt=f"too few rows to know how often they come in {times.name}; one a day is assumed",
        )
    readings = [_try_rules(notation, moments, long_runs) for notation, moments in notations]
    regular = [reading for reading in readings if reading.fitting]
    if not regular:
        in_order = [reading for reading in readings if reading.sorted]
        best = (in_order or readings)[0]
        error = _irregular(times, best.rules, best.failures)
        if not irregular:
            raise error
        if not in_order:
            raise _unsorted(times, best)
        return Clock(
            notation=best.notation,
            stamper=Stamper.of(times, best.notation, asked.zone),
            rules=(),
            rate=None,
            cycle=1.0,
            week=_week_of(error),
            doubt=None if asked.given else _doubt(times, in_order),
            uneven=error.message,
        )
    best = regular[0]
    first = best.fitting[0]
    if not SHORTEST_STEP <= first.seconds <= LONGEST_STEP:
        second_row = int(long_runs[0][1][1])
        expected = f"a step of {SHORTEST_STEP:g} to {LONGEST_STEP:g} seconds"
        raise times.error(second_row, expected)
    cycle = 1.0
    if best.moments.dtype.kind == "M":
        cycle = _cycle(first.seconds, best.moments)
    rules = tuple(rule for rule in best.fitting if rule.seconds == first.seconds)
    return Clock(
        notation=best.notation,
        stamper=Stamper.of(times, best.notation, asked.zone),
        rules=rules,
        rate=1 / first.seconds,
        cycle=cycle,
        week=first.week,
        doubt=None if asked.given else _doubt(times, regular),
    )


def _doubt(times: TimeColumn, regular: list[_Reading]) -> str | None:
    """What was taken for granted: that the month is first, or the unit of large numbers."""
    notation = regular[0].notation
    if len(regular) > 1 and isinstance(regular[1].notation, DateNotation):
        return (
            f"the dates in {times.name} are read with the month first, but could as well be read "
            "with the day first; dates like 2024-02-01 leave no doubt, and "
            f"--date-format {regular[1].notation.form} decides"
        )
    if isinstance(notation, NumberNotation):
        first = notation.origin or float(regular[0].moments[0])
        if unit_of_dates(first) is not None:
            return (
                f"the times in {times.name} are read as {TIME_UNITS[notation.unit].name} "
                f"since 1970: the first is {date_text(first, notation.unit)}; "
                "--time-unit decides"
            )
    return None


def _try_rules(notation: Notation, moments: Moments, runs: Runs) -> _Reading:
    if isinstance(notation, NumberNotation):
        unit = TIME_UNITS[notation.unit].seconds
        rules = [number_rule(moments, runs, unit=unit, origin=notation.origin)]
    else:
        rules = date_rules(moments, runs)
    failures = [first_failure(rule, moments, runs) for rule in rules]
    return _Reading(notation, moments, rules, failures)


def _irregular(times: TimeColumn, rules: list[Rule], failures: list[Failure | None]) -> InputError:
    """The error that no rule holds, told by the rule that failed last, as it was probably meant.

    Times that go back are told before anything else.
    """
    pairs = zip(failures, rules, strict=True)
    failed = [(failure, rule) for failure, rule in pairs if failure is not None]
    failure, rule = max(failed, key=lambda pair: (pair[0].is_back, pair[0].row))
    wanted = rule.moment(failure.previous + rule.step)
    expected = f"the time {wanted} after {rule.moment(failure.previous)}"
    error = times.error(failure.row, expected, group=failure.group, hint=rule.hint)
    if failure.position <= failure.previous:
        error.hint = UNSORTED
    if failure.is_back:
        error.message += ": the times are unsorted"
    return error


def _week_of(error: InputError) -> float:
    """Seconds of a week that rows come in: five days if they are business days but for holidays."""
    return 5 * DAY if error.hint == TRADING else 7 * DAY


def _unsorted(times: TimeColumn, reading: _Reading) -> InputError:
    """The error that a time lies before the one before it."""
    pairs = zip(reading.failures, reading.rules, strict=True)
    failed = [(failure, rule) for failure, rule in pairs if failure is not None]
    failure, rule = next(pair for pair in failed if pair[0].is_back)
    expected = f"a time from {rule.moment(failure.previous)} on"
    error = times.error(failure.row, expected, group=failure.group, hint=UNSORTED)
    error.message += ": the times are unsorted"
    return error


def runs_of_groups(rows: int, groups: Groups | None) -> Runs:
    """The rows of each group, in order."""
    if groups is None:
        return [(None, np.arange(rows))]
    return list(groups.places())


# --- dates ----------------------------------------------------------------------------------------


def _notations(
    times: TimeColumn, unit: str | None, date_format: str | None
) -> list[tuple[Notation, Moments]]:
    """The notations in which the times may be written, and the moments that they give."""
    if unit is not None:
        return _number_notations(times, unit)
    if date_format is not None:
        return _asked_dates(times, date_format)
    return _inferred_notations(times)


def _inferred_notations(times: TimeColumn) -> list[tuple[Notation, Moments]]:
    texts = times.cells.texts()
    first = next((text for text in texts if text), b"")
    if _COMPACT.fullmatch(first):
        stamps = _read_compact(texts)
        if not np.isnat(stamps).any():
            return [(DateNotation(_read_compact), stamps)]
    if reads_as_number(first, NumberStyle(times.decimal)):
        return _number_notations(times, None)
    if _ISO.fullmatch(first):
        dates = DateNotation(_read_iso, read_alike=read_alike)
        return [(dates, dates.moments(times))]
    return _pandas_notations(times, texts, first)


def _number_notations(times: TimeColumn, unit: str | None) -> list[tuple[Notation, Moments]]:
    """Times as numbers of a unit, which is inferred where it is None."""
    numbers = NumberNotation(unit or "s")
    values = numbers.moments(times)
    if not len(values):
        return [(numbers, values)]
    if unit is None:
        _refuse_serial_day(times, float(values[0]))
        numbers = NumberNotation(unit_of_dates(values[0]) or "s")
    text = times.cells.text(0)
    if abs(values[0]) > _LARGEST_EXACT and _LARGE_NUMBER.fullmatch(text.encode()):
        numbers = NumberNotation(numbers.unit, origin=int(text))
        values = numbers.moments(times)
    return [(numbers, values)]


def _refuse_serial_day(times: TimeColumn, first: float) -> None:
    """Raise InputError if the first time is a number of days. How many rows follow is chance."""
    meaning = serial_day(first)
    if meaning is not None:
        error = times.error(0, "a time in seconds, ms, us or ns, or a date")
        error.message += f", which looks like {meaning}"
        error.hint = "write dates such as 2020-01-31; --time-unit s if these are seconds"
        raise error


def _asked_dates(times: TimeColumn, form: str) -> list[tuple[Notation, Moments]]:
    """Dates as the user says that they are written. RequestError if `form` cannot be one."""
    notation = DateNotation(_reader(form), form)
    trouble = None if "%" in form else "it has no directive such as %d"
    try:
        notation.read([b"2020"])
    except (ValueError, KeyError, re.error) as error:
        trouble = str(error)
    if trouble is not None:
        raise RequestError(
            f"--date-format cannot be {form!r}: {trouble}",
            hint="for example %d.%m.%Y, %m/%d/%Y or '%Y-%m-%d %H:%M:%S'",
        )
    return [(notation, notation.moments(times))]


def _read_iso(texts: list[bytes]) -> Stamps:
    good = [text if _ISO.fullmatch(text) else b"NaT" for text in texts]
    try:
        return np.array(good, "S").astype("U").astype("datetime64[ns]")
    except ValueError:  # a 30th of February somewhere
        return np.array([_iso_or_nat(text.decode()) for text in good], "datetime64[ns]")


def _iso_or_nat(text: str) -> np.datetime64:
    try:
        return np.datetime64(text, "ns")
    except ValueError:
        return np.datetime64("NaT")


def _read_compact(texts: list[bytes]) -> Stamps:
    dates = []
    for text in texts:
        date = b""
        if _COMPACT.fullmatch(text):
            date = b"-".join((text[:4], text[4:6], text[6:]))
        dates.append(date)
    return _read_iso(dates)


def _pandas_notations(
    times: TimeColumn, texts: list[bytes], first: bytes
) -> list[tuple[Notation, Moments]]:
    """Dates as pandas understands them, with the month first and with the day first."""
    notations = [DateNotation(_reader(form), form) for form in _formats_of(first)]
    if not notations:
        raise times.error(
            0,
            "a time: a number of seconds, a date, or a date with a time of day",
            hint="--date-format says how dates are written, such as %d.%m.%y; " + HINT,
        )
    readings: list[tuple[Notation, Moments]] = []
    for notation in notations:
        stamps = notation.read(texts)
        if not np.isnat(stamps).any():
            readings.append((notation, stamps))
    if _DAY_FIRST.match(first):
        del readings[1:]
    return readings or [(notations[0], notations[0].moments(times))]


def _formats_of(first: bytes) -> list[str]:
    """The formats that a date may have, the likeliest first."""
    from pandas.tseries.api import guess_datetime_format

    example = first.decode("utf-8", "replace")
    day_first = [False, True]
    if _YEAR_FIRST.match(first):
        day_first = [False]
    elif _DAY_FIRST.match(first):
        day_first = [True, False]
    with warnings.catch_warnings():
        # pandas warns of the order that it was not asked for; both are tried here.
        warnings.simplefilter("ignore")
        formats = [guess_datetime_format(example, dayfirst=order) for order in day_first]
    return [form for form in dict.fromkeys(formats) if form]


def _reader(form: str) -> Callable[[list[bytes]], Stamps]:
    def read(texts: list[bytes]) -> Stamps:
        import pandas as pd

        decoded = [text.decode("utf-8", "replace") for text in texts]
        index = pd.to_datetime(decoded, format=form, errors="coerce", utc=True)
        return index.tz_localize(None).to_numpy().astype("datetime64[ns]")

    return read


def _cycle(seconds: float, moments: Stamps) -> float:
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
        return CheckedTimes(stamps, partial(self._check, measured))

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
