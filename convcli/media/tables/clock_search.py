"""Finding out how often the rows of a table come: from the first rows, then from all of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.errors import RequestError
from convcli.media.tables.columns import MAX_HELD_UNDECIDED
from convcli.media.tables.records import at_most_one
from convcli.media.tables.times import TimeChecker, TimeNotation, clock_of_stream, infer_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.errors import InputError
    from convcli.media.tables.records import Records
    from convcli.media.tables.source import TableSource
    from convcli.media.tables.table_options import TimeOptions
    from convcli.media.tables.time_stamps import TimeColumn
    from convcli.media.tables.times import Clock
    from convcli.signals import Groups

# How often the rule of times is inferred again, from more rows, after a row has broken it.
MOST_CLOCKS = 3


class ClockSearch:
    """The search for the clock of a table that is being opened.

    seen : the first records; those that the search takes are appended
    coming : the records that follow
    """

    def __init__(self, source: TableSource, seen: list[Records], coming: Iterator[Records]) -> None:
        self._source = source
        self._seen = seen
        self._coming = coming

    def first_clock(self) -> Clock | None:
        """Infer the clock from as few of the first rows as suffice; None if there are too few."""
        ended = False
        while True:
            if self._seen:
                clock = self._clock_of(self._seen, ended=ended)
                if clock is not None:
                    return clock
            if ended:
                return None
            following = at_most_one(self._coming)
            ended = not following
            self._seen += following

    def clock_of_first_row(self) -> Clock | None:
        """The clock of a stream, whose rows may come at any times; None without a row.

        None also if one row does not show how times are written.
        """
        while True:
            if self._seen:
                found = self._times_of(self._seen)
                if found is not None:
                    times, _ = found
                    return clock_of_stream(times, self._asked(times))
            following = at_most_one(self._coming)
            if not following:
                return None
            self._seen += following

    def confirmed(self, clock: Clock) -> Clock | None:
        """Look through all times of a file, or the first ones of a pipe, for the rule that holds.

        Whether rows come regularly decides what a window in time is, so it must not depend on how
        many rows came at first.
        """
        following = at_most_one(self._coming)
        if not following:  # the first rows were all
            return clock
        self._seen += following
        found: Clock | None = clock
        for tried in range(MOST_CLOCKS):
            if found is None or not found.rules:
                return found
            checker = TimeChecker(found)
            start: list[Records] = []
            error = self._break_of(checker, start)
            if error is None:
                return found.with_rules(checker.holding)
            # A few rows may have suggested another rule than all rows up to here.
            found = found.irregular(error)
            if start and tried + 1 < MOST_CLOCKS:
                found = self._clock_of(start, ended=False)
        return found

    def _clock_of(self, parts: list[Any], *, ended: bool) -> Clock | None:
        """Infer the clock from the first rows.

        ended : there are no more
        """
        found = self._times_of(parts)
        if found is None:
            return None
        times, groups = found
        irregular = self._source.options.times.irregular
        return infer_clock(times, groups, self._asked(times), irregular=irregular, ended=ended)

    def _times_of(self, parts: list[Any]) -> tuple[TimeColumn, Groups | None] | None:
        """The times and groups of some rows; None if there are no rows."""
        return self._source.times_of(self._source.joined(parts))

    def _asked(self, times: TimeColumn) -> TimeNotation:
        """How the user, or the type of the column, says that times are written."""
        options = self._source.options.times
        if times.unit is not None:
            _refuse_notation(options, times)
        return TimeNotation(
            unit=times.unit or options.unit, date_format=options.date_format, zone=options.zone
        )

    def _break_of(self, checker: TimeChecker, start: list[Records]) -> InputError | None:
        """Hold all times against a clock; return the error of the row that breaks it.

        start : receives the records up to that row, unless they are long
        """
        held = 0
        for some in self._records():
            held += some.size
            start.append(some)
            if held > MAX_HELD_UNDECIDED:
                start.clear()
            found = self._source.times_of(some)
            if found is None:
                continue
            error = checker.broken_by(checker.measure(*found))
            if error is not None:
                return error
        return None

    def _records(self) -> Iterator[Records]:
        """Yield the records whose times decide how often rows come."""
        source = self._source
        if source.repeatable:
            yield from source.all_records()
            return
        yield from filter(source.has_rows, list(self._seen))
        held = sum(records.size for records in self._seen)
        while held <= MAX_HELD_UNDECIDED:
            following = at_most_one(self._coming)
            if not following:
                return
            self._seen += following
            held += following[0].size
            yield from filter(source.has_rows, following)


def _refuse_notation(options: TimeOptions, times: TimeColumn) -> None:
    """Raise RequestError if it is said how durations of a typed column are written."""
    given = {
        "--time-unit": options.unit,
        "--date-format": options.date_format,
        "--time-zone": options.zone,
    }
    for option, value in given.items():
        if value is not None:
            raise RequestError(
                f"{option} is for times that are written, and {times.name} holds durations",
                hint=f"leave {option} out",
            )
