"""The time column of a table: how often rows come, and whether each one comes when it should.

Times are numbers (seconds), dates or dates with a time of day. They are regular when every step is the same: the same
number of seconds, one business day, or the same number of calendar months on the same (or the last) day. A step may
differ by 1e-6 of itself, and by the rounding with which times are written (one unit of the last place, where that is
below a tenth of the step). Business days count as one row a day, months as 30.436875 days.
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
from convcli.media.tables.numerals import BadCellError, read_number, read_numbers
from convcli.media.tables.time_rules import (
    DAY,
    HINT,
    JITTER,
    Rule,
    date_rules,
    first_failure,
    number_rule,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.media.tables.delimited import Cells
    from convcli.media.tables.time_rules import Failure, Floats, Runs, Stamps
    from convcli.signals import Groups


_ISO = re.compile(rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?")
_COMPACT = re.compile(rb"(?:1[89]|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


@dataclass(frozen=True)
class Where:
    """How messages name a row of a piece."""

    name: str
    column: str
    line: Callable[[int], int]
    cells: Cells

    def error(
        self, row: int, expected: str, *, group: bytes | None = None, hint: str = HINT
    ) -> InputError:
        """The time of `row` is not what was expected."""
        of = "" if group is None else f" of {group_name(group)}"
        found = self.cells.text(row).strip() or "an empty cell"
        return InputError(
            f"{self.name}, line {self.line(row)}, column {self.column}: expected {expected}{of}, got {found}",
            hint=hint,
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
            raise where.error(
                int(bad_rows[0]), "a time in seconds", hint="a row without its time has no place"
            )
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
            raise where.error(
                int(bad_rows[0]), "a date or time written as in the first row", hint="mend the cell"
            )
        return stamps


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What the first rows say about time. All rules fit them; later rows tell which one holds.

    ambiguous : the dates come as regularly with the day first; the month was taken to be first
    """

    notation: Notation
    rules: tuple[Rule, ...]
    rate: float
    cycle: float
    column: str
    ambiguous: bool = False

    def times_of(self, where: Where, groups: Groups | None) -> PieceTimes:
        """Read the times of a piece and see whether they fit each rule within the piece."""
        moments = self.notation.moments(where.cells, where)
        runs = _runs(len(moments), groups)
        return PieceTimes(where, [_ends_of(rule, moments, runs) for rule in self.rules])


@dataclass(frozen=True)
class _Reading:
    """The first times read in one notation: the rules tried, and where each fails."""

    notation: Notation
    moments: npt.NDArray[Any]
    rules: list[Rule]
    failures: list[Failure | None]

    @property
    def fitting(self) -> list[Rule]:
        return [
            rule for rule, failure in zip(self.rules, self.failures, strict=True) if failure is None
        ]


def infer_clock(cells: Cells, groups: Groups | None, *, where: Where, decimal: str) -> Clock | None:
    """Read off the first rows how often rows come; None where no group has two rows. InputError if irregularly.

    A date like 1/2/2024 has the month first, unless only with the day first all dates exist and come regularly.
    """
    runs = _runs(len(cells), groups)
    pairs = [run for run in runs if len(run[1]) > 1]
    notations = _notations(cells, where, decimal)
    if not pairs:
        return None
    readings = [_try_rules(notation, moments, pairs) for notation, moments in notations]
    best = next((reading for reading in readings if reading.fitting), readings[0])
    if not best.fitting:
        i, (row, position, group) = _furthest(dict(enumerate(best.failures)))
        raise where.error(
            row, _expected(best.rules[i], position), group=group, hint=best.rules[i].hint
        )
    first = best.fitting[0]
    both = sum(bool(reading.fitting) for reading in readings) > 1
    cycle = _cycle(first.seconds, best.moments) if best.moments.dtype.kind == "M" else 1.0
    rules = tuple(rule for rule in best.fitting if rule.seconds == first.seconds)
    return Clock(
        notation=best.notation,
        rules=rules,
        rate=1 / first.seconds,
        cycle=cycle,
        column=where.column,
        ambiguous=both,
    )


def _try_rules(notation: Notation, moments: npt.NDArray[Any], runs: Runs) -> _Reading:
    rules = date_rules(moments, runs) if moments.dtype.kind == "M" else [number_rule(moments, runs)]
    return _Reading(
        notation, moments, rules, [first_failure(rule, moments, runs) for rule in rules]
    )


def _furthest(failures: dict[int, Failure | None]) -> tuple[int, Failure]:
    """The rule that failed last, as the one that was probably meant, and its failure."""
    failed = {i: failure for i, failure in failures.items() if failure is not None}
    best = max(failed, key=lambda i: failed[i][0])
    return best, failed[best]


def _expected(rule: Rule, previous: float) -> str:
    return f"the time {rule.moment(previous + rule.step)} after {rule.moment(previous)}"


def _runs(rows: int, groups: Groups | None) -> Runs:
    """Return the rows of each group, in order."""
    return [(None, np.arange(rows))] if groups is None else list(groups.places())


# --- dates ---------------------------------------------------------------------------------------------------------


def _notations(cells: Cells, where: Where, decimal: str) -> list[tuple[Notation, npt.NDArray[Any]]]:
    """The ways in which the times may be written, and the moments they then name."""
    texts = cells.texts()
    first = next((text for text in texts if text), b"")
    if _COMPACT.fullmatch(first):
        stamps = _read_compact(texts)
        if not np.isnat(stamps).any():
            return [(Dates(_read_compact), stamps)]
    if _is_number(first, decimal):
        numeric = Numeric(decimal)
        return [(numeric, numeric.moments(cells, where))]
    if _ISO.fullmatch(first):
        dates = Dates(_read_iso)
        return [(dates, dates.moments(cells, where))]
    return _spelled(cells, texts, first, where)


def _is_number(text: bytes, decimal: str) -> bool:
    try:
        read_number(text, decimal)
    except ValueError:
        return False
    return True


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
    return _read_iso(
        [b"%b-%b-%b" % (t[:4], t[4:6], t[6:]) if _COMPACT.fullmatch(t) else b"" for t in texts]
    )


def _spelled(
    cells: Cells, texts: list[bytes], first: bytes, where: Where
) -> list[tuple[Notation, npt.NDArray[Any]]]:
    """Dates as pandas understands them, the month first and the day first."""
    from pandas.tseries.api import guess_datetime_format

    example = first.decode("utf-8", "replace")
    with warnings.catch_warnings():
        # pandas warns of the order that it was not asked for; both are tried here
        warnings.simplefilter("ignore")
        formats = [
            guess_datetime_format(example, dayfirst=day_first) for day_first in (False, True)
        ]
    known = [Dates(_reader(form)) for form in dict.fromkeys(formats) if form]
    if not known:
        raise where.error(0, "a time: a number of seconds, a date, or a date with a time of day")
    readings: list[tuple[Notation, npt.NDArray[Any]]] = [
        (dates, dates.read(texts)) for dates in known
    ]
    whole = [reading for reading in readings if not np.isnat(reading[1]).any()]
    return whole or [(known[0], known[0].moments(cells, where))]


def _reader(form: str) -> Callable[[list[bytes]], Stamps]:
    def read(texts: list[bytes]) -> Stamps:
        import pandas as pd

        decoded = [text.decode("utf-8", "replace") for text in texts]
        index = pd.to_datetime(decoded, format=form, errors="coerce", utc=True)
        return index.tz_localize(None).to_numpy().astype("datetime64[ns]")

    return read


def _cycle(seconds: float, moments: Stamps) -> float:
    """What a bare frequency counts: cycles a day for dates, else per the largest unit that is no longer than a step."""
    if not np.any(moments != moments.astype("datetime64[D]")):
        return DAY
    return next((unit for unit in (DAY, 3600.0, 60.0) if unit <= seconds * (1 + JITTER)), 1.0)


# --- the stream ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _PieceEnds:
    """A piece under one rule: the first and last position of each group in it, and the first failure, if any."""

    failure: Failure | None
    ends: dict[bytes | None, tuple[int, float, float]]


@dataclass(frozen=True)
class PieceTimes:
    """The times of a piece: for each rule of the clock what following pieces have to fit on to."""

    where: Where
    by_rule: list[_PieceEnds]


class TimeKeeper:
    """Checks every row of a stream against the clock, piece after piece in their order."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._fitting = list(range(len(clock.rules)))
        self._last: list[dict[bytes | None, float]] = [{} for _ in clock.rules]

    def check(self, times: PieceTimes) -> None:
        """Take in the next piece; InputError as soon as a row is known to come at the wrong time."""
        failures = {i: self._failure(i, times.by_rule[i]) for i in self._fitting}
        fitting = [i for i in self._fitting if failures[i] is None]
        if not fitting:
            i, (row, previous, group) = _furthest(failures)
            rule = self.clock.rules[i]
            raise times.where.error(row, _expected(rule, previous), group=group, hint=rule.hint)
        self._fitting = fitting
        for i in fitting:
            ends = times.by_rule[i].ends
            self._last[i].update({group: last for group, (_, _, last) in ends.items()})

    def _failure(self, i: int, piece: _PieceEnds) -> Failure | None:
        """Return the first row that does not fit rule `i`, in the piece or where it follows the one before."""
        rule = self.clock.rules[i]
        failures = [piece.failure] if piece.failure else []
        for group, (row, first, _) in piece.ends.items():
            previous = self._last[i].get(group)
            if previous is not None and not abs(first - previous - rule.step) <= rule.tolerance:
                failures.append((row, previous, group))
        return min(failures, key=lambda failure: failure[0]) if failures else None


def _ends_of(rule: Rule, moments: npt.NDArray[Any], runs: Runs) -> _PieceEnds:
    positions = rule.place(moments)
    ends = {}
    for group, rows in runs:
        ends[group] = (int(rows[0]), float(positions[rows[0]]), float(positions[rows[-1]]))
    return _PieceEnds(first_failure(rule, moments, runs), ends)
