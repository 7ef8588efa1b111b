"""The time column of a table: how often rows come, and whether each one comes when it should.

Times are numbers (seconds), dates or dates with a time of day. They are regular when every step is the same: the same
number of seconds, one business day, or the same number of calendar months on the same (or the last) day. A step may
differ by 1e-6 of itself, and by the rounding with which times are written (one unit of the last place, where that is
below a tenth of the step). Business days count as one row a day, months as 30.436875 days.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from convcli.errors import InputError
from convcli.media.numerals import BadCellError, read_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.media.delimited import Cells
    from convcli.signals import Groups

Floats = npt.NDArray[np.float64]
Stamps = npt.NDArray[np.datetime64]

DAY = 86400.0
MONTH = 30.436875 * DAY
JITTER = 1e-6
HINT = "without --time rows are counted as they come (20 rows: sma:20)"

_ISO = re.compile(rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?")
_COMPACT = re.compile(rb"(?:1[89]|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


@dataclass(frozen=True)
class Where:
    """How messages name a row of a piece."""

    name: str
    column: str
    line: Callable[[int], int]
    cells: Cells

    def error(self, row: int, expected: str, *, group: bytes | None = None, hint: str = HINT) -> InputError:
        """The time of `row` is not what was expected."""
        of = "" if group is None else f" of {group.decode('utf-8', 'replace')}"
        found = self.cells.text(row).strip() or "an empty cell"
        return InputError(
            f"{self.name}, line {self.line(row)}, column {self.column}: expected {expected}{of}, got {found}", hint=hint
        )


class Notation(Protocol):
    """How times are written: cells to moments (seconds, or datetime64[ns])."""

    def moments(self, cells: Cells, where: Where) -> npt.NDArray[Any]:
        """The moments of a column; InputError where a cell is no time."""
        ...


@dataclass(frozen=True)
class Numeric:
    """Times as numbers of seconds."""

    decimal: str

    def moments(self, cells: Cells, where: Where) -> Floats:
        """Seconds; every cell must be a finite number."""
        try:
            values = read_numbers(cells, decimal=self.decimal)
        except BadCellError as bad:
            raise where.error(bad.row, "a time in seconds") from None
        bad_rows = np.flatnonzero(~np.isfinite(values))
        if len(bad_rows):
            raise where.error(int(bad_rows[0]), "a time in seconds", hint="a row without its time has no place")
        return values


@dataclass(frozen=True)
class Dates:
    """Times as dates; `read` gives datetime64[ns], NaT for what it cannot read."""

    read: Callable[[list[bytes]], Stamps]

    def moments(self, cells: Cells, where: Where) -> Stamps:
        """Moments to the nanosecond."""
        stamps = self.read(cells.texts())
        bad_rows = np.flatnonzero(np.isnat(stamps))
        if len(bad_rows):
            raise where.error(int(bad_rows[0]), "a date or time written as in the first row", hint="mend the cell")
        return stamps


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One way of being regular.

    place(moments) is the position of each moment on a line where regular rows are `step` apart (NaN: off the line);
    moment(position) writes a position as a moment; seconds is the length of a step.
    """

    place: Callable[[npt.NDArray[Any]], Floats]
    moment: Callable[[float], str]
    step: float
    seconds: float
    tolerance: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What the first rows say about time. All rules fit them; later rows tell which one holds."""

    notation: Notation
    rules: tuple[Rule, ...]
    rate: float
    cycle: float
    column: str


def infer_clock(cells: Cells, groups: Groups | None, *, where: Where, decimal: str) -> Clock | None:
    """Read off the first rows how often rows come; None where no group has two rows. InputError if irregularly."""
    notation, moments = _notation(cells, where, decimal)
    runs = _runs(len(moments), groups)
    pairs = [run for run in runs if len(run[1]) > 1]
    if not pairs:
        return None
    dated = moments.dtype.kind == "M"
    candidates = _date_rules(moments, pairs) if dated else [_number_rule(moments, pairs)]
    failures = [_first_failure(rule, moments, pairs) for rule in candidates]
    fitting = [rule for rule, failure in zip(candidates, failures, strict=True) if failure is None]
    if not fitting:
        best = max(range(len(candidates)), key=lambda i: (failures[i] or (0, 0.0, None))[0])
        row, position, group = failures[best] or (0, 0.0, None)
        raise where.error(row, _expected(candidates[best], position), group=group)
    first = fitting[0]
    cycle = _cycle(first.seconds, moments) if dated else 1.0
    rules = tuple(rule for rule in fitting if rule.seconds == first.seconds)
    return Clock(notation=notation, rules=rules, rate=1 / first.seconds, cycle=cycle, column=where.column)


def _expected(rule: Rule, previous: float) -> str:
    return f"the time {rule.moment(previous + rule.step)} after {rule.moment(previous)}"


def _runs(rows: int, groups: Groups | None) -> list[tuple[bytes | None, npt.NDArray[np.int64]]]:
    """The rows of each group, in order."""
    if groups is None:
        return [(None, np.arange(rows))]
    order = np.argsort(groups.codes, kind="stable")
    cuts = np.searchsorted(groups.codes[order], np.arange(len(groups.names) + 1))
    spans = zip(groups.names, cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
    return [(name, order[a:b]) for name, a, b in spans if a < b]


Failure = tuple[int, float, bytes | None]
Runs = list[tuple[bytes | None, npt.NDArray[np.int64]]]


def _first_failure(rule: Rule, moments: npt.NDArray[Any], runs: Runs) -> Failure | None:
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


def _number_rule(moments: Floats, runs: Runs) -> Rule:
    step, tolerance = _spaced(moments, runs, _last_place(moments))
    # Rounding of the differences themselves, for times far from 0.
    tolerance += 4 * float(np.spacing(np.abs(moments).max()))
    if step <= 0:
        step = 1.0
    return Rule(place=_as_is, moment=lambda p: f"{p:.12g}", step=step, seconds=step, tolerance=tolerance)


def _as_is(moments: npt.NDArray[Any]) -> Floats:
    return moments


def _last_place(values: Floats) -> float:
    """The coarsest power of ten, at most 1, to multiples of which all values are written."""
    for places in range(10):
        scaled = values[:1000] * 10.0**places
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(1, np.abs(scaled))):
            return float(10.0**-places)
    return 0.0


# --- dates ---------------------------------------------------------------------------------------------------------


def _notation(cells: Cells, where: Where, decimal: str) -> tuple[Notation, npt.NDArray[Any]]:
    """How the times are written, and the moments they name."""
    texts = cells.texts()
    first = next((text for text in texts if text), b"")
    if _COMPACT.fullmatch(first):
        compact = Dates(_read_compact)
        stamps = compact.read(texts)
        if not np.isnat(stamps).any():
            return compact, stamps
    numeric = Numeric(decimal)
    try:
        read_numbers(cells.__class__(first, np.array([0]), np.array([len(first)])), decimal=decimal) if first else None
    except BadCellError:
        dates = Dates(_read_iso) if _ISO.fullmatch(first) else _written_dates(texts, first, where)
        return dates, dates.moments(cells, where)
    return numeric, numeric.moments(cells, where)


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
    return _read_iso([b"%b-%b-%b" % (t[:4], t[4:6], t[6:]) if _COMPACT.fullmatch(t) else b"" for t in texts])


def _written_dates(texts: list[bytes], first: bytes, where: Where) -> Dates:
    """Dates as pandas understands them: the month first unless only the day first makes sense."""
    from pandas.tseries.api import guess_datetime_format

    example = first.decode("utf-8", "replace")
    formats = [guess_datetime_format(example, dayfirst=day_first) for day_first in (False, True)]
    known = [Dates(_reader(form)) for form in dict.fromkeys(formats) if form]
    if not known:
        raise where.error(0, "a time: a number of seconds, a date, or a date with a time of day", hint=HINT)
    readings = [(dates, dates.read(texts)) for dates in known]
    whole = [(dates, stamps) for dates, stamps in readings if not np.isnat(stamps).any()]
    if len(whole) > 1:
        return min(whole, key=lambda reading: _unevenness(reading[1]))[0]
    return (whole or readings)[0][0]


def _unevenness(stamps: Stamps) -> float:
    steps = np.diff(stamps).astype(np.int64)
    return float(np.mean(steps != np.median(steps)) + 2 * np.mean(steps < 0)) if len(steps) else 0.0


def _reader(form: str) -> Callable[[list[bytes]], Stamps]:
    def read(texts: list[bytes]) -> Stamps:
        import pandas as pd

        decoded = [text.decode("utf-8", "replace") for text in texts]
        index = pd.to_datetime(decoded, format=form, errors="coerce", utc=True)
        return index.tz_localize(None).to_numpy().astype("datetime64[ns]")

    return read


def _date_rules(moments: Stamps, runs: Runs) -> list[Rule]:
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
    unit = next((10.0**-places for places in range(10) if not np.any(digits % 10 ** (9 - places))), 0.0)
    step, tolerance = _spaced(positions, runs, unit)
    if step <= 0:
        step = DAY
    return Rule(place=place, moment=moment, step=step, seconds=step, tolerance=tolerance)


def _write(stamp: np.datetime64) -> str:
    text = str(stamp.astype("datetime64[ns]")).replace("T", " ")
    return text.removesuffix("000").removesuffix("000").removesuffix(".000").removesuffix(" 00:00:00")


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

    return Rule(place=place, moment=moment, step=1.0, seconds=DAY)


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
        return np.asarray(np.busday_offset((month + 1).astype("datetime64[D]") - 1, 0, roll="backward"))

    return [_month_rule(day, of_day, step) for day in (same_day, first_business_day, last_business_day)]


def _month_rule(day: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], of_day: np.timedelta64, step: float) -> Rule:
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


def _cycle(seconds: float, moments: Stamps) -> float:
    """What a bare frequency counts: cycles a day for dates, else per the largest unit that is no longer than a step."""
    if not np.any(moments != moments.astype("datetime64[D]")):
        return DAY
    return next((unit for unit in (DAY, 3600.0, 60.0) if unit <= seconds * (1 + JITTER)), 1.0)


# --- the stream ----------------------------------------------------------------------------------------------------


@dataclass
class _Seam:
    """The ends of one piece under one rule: for each group its first and last position, or the first failure."""

    failure: Failure | None
    ends: dict[bytes | None, tuple[int, float, float]]


@dataclass
class TimeKeeper:
    """Checks every row of a stream against the clock; pieces may be decoded in any order and by any thread."""

    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: dict[int, tuple[list[_Seam], Where]] = field(default_factory=dict)
    _next: int = 0
    _last: list[dict[bytes | None, float]] = field(default_factory=list)
    _alive: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._alive = list(range(len(self.clock.rules)))
        self._last = [{} for _ in self.clock.rules]

    def check(self, index: int, cells: Cells, groups: Groups | None, where: Where) -> None:
        """Take in piece `index`; InputError as soon as a row is known to come at the wrong time."""
        moments = self.clock.notation.moments(cells, where)
        runs = _runs(len(moments), groups)
        seams = [_seam(rule, moments, runs) for rule in self.clock.rules]
        with self._lock:
            self._waiting[index] = (seams, where)
            while (ready := self._waiting.pop(self._next, None)) is not None:
                self._join(*ready)
                self._next += 1

    def _join(self, seams: list[_Seam], where: Where) -> None:
        failures = {i: self._failure(i, seams[i]) for i in self._alive}
        fitting = [i for i in self._alive if failures[i] is None]
        if not fitting:
            best = max(self._alive, key=lambda i: (failures[i] or (0, 0.0, None))[0])
            row, previous, group = failures[best] or (0, 0.0, None)
            raise where.error(row, _expected(self.clock.rules[best], previous), group=group)
        self._alive = fitting
        for i in fitting:
            self._last[i].update({group: last for group, (_, _, last) in seams[i].ends.items()})

    def _failure(self, i: int, seam: _Seam) -> Failure | None:
        rule, failures = self.clock.rules[i], [seam.failure] if seam.failure else []
        for group, (row, first, _) in seam.ends.items():
            previous = self._last[i].get(group)
            if previous is not None and not abs(first - previous - rule.step) <= rule.tolerance:
                failures.append((row, previous, group))
        return min(failures, key=lambda failure: failure[0]) if failures else None


def _seam(rule: Rule, moments: npt.NDArray[Any], runs: Runs) -> _Seam:
    positions = rule.place(moments)
    ends = {group: (int(rows[0]), float(positions[rows[0]]), float(positions[rows[-1]])) for group, rows in runs}
    return _Seam(_first_failure(rule, moments, runs), ends)
