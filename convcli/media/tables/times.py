"""The time column of a table: how often rows come, and whether each one comes when it should.

Times are numbers (seconds), dates or dates with a time of day. They are regular when every step is
the same: the same number of seconds, one business day, or the same number of calendar months on the
same (or the last) day. A step may differ by 1e-6 of itself, and by the rounding with which times
are written (one unit of the last place, where that is below a tenth of the step). Business days
count as one row a day, months as 30.436875 days.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from convcli.errors import InputError
from convcli.media.tables.delimited import group_name
from convcli.media.tables.numerals import BadCellError, read_numbers, reads_as_number
from convcli.media.tables.time_rules import (
    DAY,
    HINT,
    JITTER,
    Failure,
    Rule,
    date_rules,
    first_failure,
    number_rule,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.media.tables.delimited import Cells, RowSpans
    from convcli.media.tables.time_rules import Floats, Runs, Stamps
    from convcli.signals import Groups

    Moments = npt.NDArray[Any]

_ISO = re.compile(rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?")
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
        line = self.rows.line_of_cell(row, self.column)
        return InputError(
            f"{self.table}, line {line}, column {self.name}: "
            f"expected {expected}{owner}, got {found}",
            hint=hint,
        )


class Notation(Protocol):
    """A way in which times are written."""

    def moments(self, times: TimeColumn) -> Moments:
        """Seconds, or datetime64[ns]. InputError if a cell is not a time."""
        ...


@dataclass(frozen=True)
class NumberNotation:
    """Times written as numbers of seconds."""

    def moments(self, times: TimeColumn) -> Floats:
        """Seconds. InputError if a cell is not a finite number."""
        try:
            values = read_numbers(times.cells, decimal=times.decimal)
        except BadCellError as bad:
            raise times.error(bad.row, "a time in seconds") from None
        bad_rows = np.flatnonzero(~np.isfinite(values))
        if len(bad_rows):
            hint = "a row without its time has no place"
            raise times.error(int(bad_rows[0]), "a time in seconds", hint=hint)
        return values


@dataclass(frozen=True)
class DateNotation:
    """Times written as dates; `read` gives datetime64[ns], NaT for a text that it cannot read."""

    read: Callable[[list[bytes]], Stamps]

    def moments(self, times: TimeColumn) -> Stamps:
        """Moments as datetime64[ns]. InputError if a cell is not a date."""
        stamps = self.read(times.cells.texts())
        bad_rows = np.flatnonzero(np.isnat(stamps))
        if len(bad_rows):
            expected = "a date or time written as in the first row"
            raise times.error(int(bad_rows[0]), expected, hint="mend the cell")
        return stamps


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What the first rows tell about time. All rules fit them; later rows tell which one holds.

    rate : rows per second · cycle : seconds of the unit in which a bare frequency is counted
    ambiguous : with the day first the dates would be as regular; the month was taken to be first
    """

    notation: Notation
    rules: tuple[Rule, ...]
    rate: float
    cycle: float
    column: str
    ambiguous: bool = False


@dataclass(frozen=True)
class _Reading:
    """The first times read in one notation: the rules that were tried, and the failure of each."""

    notation: Notation
    moments: Moments
    rules: list[Rule]
    failures: list[Failure | None]

    @property
    def fitting(self) -> list[Rule]:
        pairs = zip(self.rules, self.failures, strict=True)
        return [rule for rule, failure in pairs if failure is None]


def infer_clock(times: TimeColumn, groups: Groups | None) -> Clock | None:
    """Infer from the first rows how often rows come; None if no group has two rows.

    A date like 1/2/2024 has the month first, unless only with the day first all dates exist and
    come regularly. InputError if rows come irregularly.
    """
    runs = _runs(len(times.cells), groups)
    long_runs = [(group, rows) for group, rows in runs if len(rows) > 1]
    notations = _notations(times)
    if not long_runs:
        return None
    readings = [_try_rules(notation, moments, long_runs) for notation, moments in notations]
    regular = [reading for reading in readings if reading.fitting]
    if not regular:
        raise _irregular(times, readings[0].rules, readings[0].failures)
    best = regular[0]
    first = best.fitting[0]
    cycle = 1.0
    if best.moments.dtype.kind == "M":
        cycle = _cycle(first.seconds, best.moments)
    rules = tuple(rule for rule in best.fitting if rule.seconds == first.seconds)
    return Clock(
        notation=best.notation,
        rules=rules,
        rate=1 / first.seconds,
        cycle=cycle,
        column=times.name,
        ambiguous=len(regular) > 1,
    )


def _try_rules(notation: Notation, moments: Moments, runs: Runs) -> _Reading:
    has_dates = moments.dtype.kind == "M"
    rules = date_rules(moments, runs) if has_dates else [number_rule(moments, runs)]
    failures = [first_failure(rule, moments, runs) for rule in rules]
    return _Reading(notation, moments, rules, failures)


def _irregular(times: TimeColumn, rules: list[Rule], failures: list[Failure | None]) -> InputError:
    """The error that no rule holds, told by the rule that failed last, as it was probably meant."""
    pairs = zip(failures, rules, strict=True)
    failed = [(failure, rule) for failure, rule in pairs if failure is not None]
    failure, rule = max(failed, key=lambda pair: pair[0].row)
    wanted = rule.moment(failure.previous + rule.step)
    expected = f"the time {wanted} after {rule.moment(failure.previous)}"
    return times.error(failure.row, expected, group=failure.group, hint=rule.hint)


def _runs(rows: int, groups: Groups | None) -> Runs:
    """The rows of each group, in order."""
    if groups is None:
        return [(None, np.arange(rows))]
    return list(groups.places())


# --- dates ----------------------------------------------------------------------------------------


def _notations(times: TimeColumn) -> list[tuple[Notation, Moments]]:
    """The notations in which the times may be written, and the moments that they give."""
    texts = times.cells.texts()
    first = next((text for text in texts if text), b"")
    if _COMPACT.fullmatch(first):
        stamps = _read_compact(texts)
        if not np.isnat(stamps).any():
            return [(DateNotation(_read_compact), stamps)]
    if reads_as_number(first, times.decimal):
        numbers = NumberNotation()
        return [(numbers, numbers.moments(times))]
    if _ISO.fullmatch(first):
        dates = DateNotation(_read_iso)
        return [(dates, dates.moments(times))]
    return _pandas_notations(times, texts, first)


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
    from pandas.tseries.api import guess_datetime_format

    example = first.decode("utf-8", "replace")
    with warnings.catch_warnings():
        # pandas warns of the order that it was not asked for; both are tried here.
        warnings.simplefilter("ignore")
        formats = [guess_datetime_format(example, dayfirst=order) for order in (False, True)]
    notations = [DateNotation(_reader(form)) for form in dict.fromkeys(formats) if form]
    if not notations:
        raise times.error(0, "a time: a number of seconds, a date, or a date with a time of day")
    readings: list[tuple[Notation, Moments]] = []
    for notation in notations:
        stamps = notation.read(texts)
        if not np.isnat(stamps).any():
            readings.append((notation, stamps))
    return readings or [(notations[0], notations[0].moments(times))]


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


class TimeChecker:
    """Checks every row of a table against a clock, part after part."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Position of the last row of each group, for every rule that still holds.
        self._last: dict[int, dict[bytes | None, float]] = {i: {} for i in range(len(clock.rules))}

    def measure(self, times: TimeColumn, groups: Groups | None) -> MeasuredTimes:
        """Hold some rows against each rule. Pure: it may run in any thread and in any order."""
        moments = self._clock.notation.moments(times)
        runs = _runs(len(moments), groups)
        return MeasuredTimes(
            times, [_hold_against(rule, moments, runs) for rule in self._clock.rules]
        )

    def check(self, measured: MeasuredTimes) -> None:
        """Check the next rows of the table. InputError if no rule holds any longer."""
        failures = {i: self._failure(i, measured.fits[i]) for i in self._last}
        if all(failure is not None for failure in failures.values()):
            rules = [self._clock.rules[i] for i in failures]
            raise _irregular(measured.times, rules, list(failures.values()))
        for i, failure in failures.items():
            if failure is not None:
                del self._last[i]
                continue
            for group, (_, _, last) in measured.fits[i].ends.items():
                self._last[i][group] = last

    def _failure(self, i: int, fit: _Fit) -> Failure | None:
        """The first row that breaks rule `i`, the step from the rows before included."""
        rule = self._clock.rules[i]
        failures = [] if fit.failure is None else [fit.failure]
        for group, (row, first, _) in fit.ends.items():
            previous = self._last[i].get(group)
            if previous is not None and not rule.is_step(first - previous):
                failures.append(Failure(row, previous, group))
        return min(failures, key=lambda failure: failure.row, default=None)


def _hold_against(rule: Rule, moments: Moments, runs: Runs) -> _Fit:
    positions = rule.place(moments)
    ends = {}
    for group, rows in runs:
        first, last = int(rows[0]), int(rows[-1])
        ends[group] = (first, float(positions[first]), float(positions[last]))
    return _Fit(first_failure(rule, moments, runs), ends)
