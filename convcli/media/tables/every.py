"""Rows made regular before they are filtered: one for each bin of the calendar.

`--every 1d` turns a table into one with a row for every day: the means of the rows of that day, or
missing numbers. It is a table of the same format again, which its source reads as any other. A row
keeps the other cells of the newest row of its bin. A row for an empty bin has the names of its
group, its time, and nothing else. Its time is where the bin begins, written as the times of the
table are.

What a row is made of depends on the format: see `every_text.py`, `every_json.py` and
`every_columns.py`.
"""

from __future__ import annotations

from dataclasses import field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.tables.table_options import bin_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convcli.array_types import FloatArray, IntArray
    from convcli.calendar_bins import CalendarBins
    from convcli.media.tables.source import TableSource
    from convcli.media.tables.table_options import TableOptions
    from convcli.media.tables.time_stamps import Stamper
    from convcli.signals import Block

    # Returns what a format keeps of rows with these numbers, from a part of a table.
    KeepRows = Callable[[IntArray], Sequence[Any]]

# The most rows with which one gap is filled.
MOST_FILLED = 1 << 22


@dataclass(frozen=True, eq=False, kw_only=True)
class RegularRow:
    """A row that is ready, for a bin of the calendar.

    row : the number of the row of the table in whose place it comes. A row for an empty bin comes
        before the first row after the gap.
    kept : of the newest row of the bin, as its format keeps it; for an empty bin that of the bin
        before, which names the group
    means : of the filtered columns; None for an empty bin
    wall, instant : where the bin begins on the clock on the wall, and since 1970; in nanoseconds
    """

    row: int
    kept: Any
    means: FloatArray | None
    wall: int
    instant: int


class RowForm(Protocol):
    """How the rows of one format are kept, and made again for bins."""

    def keeper(self, records: Any) -> KeepRows:
        """Return the function that keeps rows of a part of the table."""

    def joined(self, rows: list[RegularRow]) -> Any:
        """Return consecutive rows as a part of a table: text, or a record batch."""


def regular_table(source: TableSource, options: TableOptions) -> TableSource:
    """Return the table whose rows are made regular, as `options.times.every` says.

    source : the table as it is, opened without `every` and with rows at any times
    """
    # With --follow the first rows may be regular and later ones not.
    source.expect_equal_steps(equal=False)
    table = source.with_regular_rows(bin_length(options.times.every or ""), options)
    new = [warning for warning in table.warnings if warning not in source.warnings]
    table.warnings[:] = [*source.warnings, *new]
    return table


@dataclass(eq=False)
class _OpenBin:
    """The bin of a group to which more rows may still come.

    x : its rows so far · kept : of the newest row
    first, row : the numbers of its first and of its newest row in the table
    offset, last_offset : of the wall clock from UTC in these rows, in nanoseconds
    """

    number: int
    x: FloatArray
    kept: Any
    first: int
    row: int
    offset: int
    last_offset: int


@dataclass(eq=False)
class RegularRows:
    """The rows of a table as they come, and regular rows as they are complete."""

    source: TableSource
    bins: CalendarBins
    form: RowForm
    _open: dict[bytes, _OpenBin] = field(default_factory=dict)
    _ready: list[RegularRow] = field(default_factory=list)
    _seen: int = 0

    def parts(self) -> Iterator[Any]:
        """Yield the regular rows of the whole table in parts, as soon as they are complete."""
        for records in self.source.pieces():
            block = self.source.decode(records)
            block.on_arrival()
            if block.stamps is None:
                continue
            self._add(self.form.keeper(records), block, block.stamps)
            complete = self._complete()
            if complete:
                yield self.form.joined(complete)
        rest = self._rest()
        if rest:
            yield self.form.joined(rest)

    def _add(self, keep: KeepRows, block: Block, stamps: IntArray) -> None:
        """Add the next rows of the table to the bins of their groups."""
        x = np.asarray(block.x, np.float64)
        numbers = self.bins.numbers(stamps)
        offsets = stamps[:, 1] - stamps[:, 0]
        places = [(b"", np.arange(len(x)))]
        if block.groups is not None:
            places = list(block.groups.places())
        for name, rows in places:
            some = _Rows(keep=keep, x=x, numbers=numbers, offsets=offsets, rows=rows)
            self._add_group(name, some)
        self._seen += len(x)

    def _add_group(self, name: bytes, rows: _Rows) -> None:
        """Take in the next rows of a group."""
        before = self._open.get(name)
        found = list(rows.bins(self._seen, before))
        *complete, self._open[name] = found
        self._write(complete, self._open[name])

    def _complete(self) -> list[RegularRow]:
        """Return the rows that no later row can precede, in their order."""
        oldest = min((each.row for each in self._open.values()), default=self._seen)
        # A row for an empty bin is known as soon as the first row after it has come.
        ready = [line for line in self._ready if line.row <= oldest]
        self._ready = [line for line in self._ready if line.row > oldest]
        return sorted(ready, key=attrgetter("row"))

    def _rest(self) -> list[RegularRow]:
        """Return all other rows, at the end of the table."""
        for open_bin in self._open.values():
            self._write([open_bin], None)
        ready, self._ready, self._open = self._ready, [], {}
        return sorted(ready, key=attrgetter("row"))

    def _write(self, bins: list[_OpenBin], following: _OpenBin | None) -> None:
        """Make the rows of complete bins, and of the empty ones up to the one that follows them."""
        for number, one in enumerate(bins):
            later = bins[number + 1] if number + 1 < len(bins) else following
            self._put(one)
            if later is not None:
                self._write_empty(one, later)

    def _write_empty(self, one: _OpenBin, later: _OpenBin) -> None:
        """Make the rows of the empty bins between two bins."""
        count = later.number - one.number - 1
        if count > MOST_FILLED:
            raise InputError(
                f"{self.source.name}: --every would fill a gap with {count:,} rows; "
                f"at most {MOST_FILLED:,} are made",
                hint="a longer --every, or a time column without such a gap",
            )
        if count <= 0:
            return
        numbers = np.arange(one.number + 1, later.number + 1)
        wall, instants = self._starts(numbers, one.last_offset)
        # A day that the zone left out begins when the next one does, and has no row.
        lasting = np.flatnonzero(np.diff(instants) > 0)
        for each in lasting.tolist():
            row = RegularRow(
                row=later.first,
                kept=one.kept,
                means=None,
                wall=int(wall[each]),
                instant=int(instants[each]),
            )
            self._ready.append(row)

    def _starts(self, numbers: IntArray, offset: int) -> tuple[IntArray, IntArray]:
        """Return where bins without rows begin, on the wall clock and since 1970.

        offset : of the wall clock from UTC in the last row before them
        """
        wall = self.bins.starts(numbers, offset)
        instants = self._instants(wall, offset)
        if self.bins.on_wall_clock:
            return wall, instants
        offsets = self._stamper.wall_at(instants, offset) - instants
        wall = self.bins.starts(numbers, offsets)
        return wall, wall - offsets

    def _instants(self, wall: IntArray, offset: int) -> IntArray:
        """Return when bins begin, in nanoseconds since 1970.

        wall : when they begin on the wall clock, whose `offset` is that of rows near them
        """
        if self.bins.on_wall_clock:
            return self._stamper.instants_on_wall(wall, offset)
        return wall - offset

    def _put(self, one: _OpenBin) -> None:
        """Add the row of a bin that has rows."""
        wall = self.bins.starts(np.array([one.number]), one.offset)
        instants = self._instants(wall, one.offset)
        row = RegularRow(
            row=one.row,
            kept=one.kept,
            means=_column_means(one.x),
            wall=int(wall[0]),
            instant=int(instants[0]),
        )
        self._ready.append(row)

    @property
    def _stamper(self) -> Stamper:
        if self.source.stamper is None:
            raise AssertionError("a row came before its time was read")
        return self.source.stamper


@dataclass(frozen=True, eq=False, kw_only=True)
class _Rows:
    """The rows of one group in a block; `rows` are their places."""

    keep: KeepRows
    x: FloatArray
    numbers: IntArray
    offsets: IntArray
    rows: IntArray

    def bins(self, seen: int, before: _OpenBin | None) -> Iterator[_OpenBin]:
        """Yield the bins of the rows; the first may continue the open one from before.

        seen : how many rows of the table came before the block
        """
        numbers = self.numbers[self.rows]
        if before is not None:
            # When the wall clock is put back, the current bin continues.
            numbers = np.maximum(numbers, before.number)
        numbers = np.maximum.accumulate(numbers)
        cuts = np.flatnonzero(np.diff(numbers)) + 1
        bounds = [0, *cuts.tolist(), len(numbers)]
        last_places = np.array(bounds[1:]) - 1
        all_kept = self.keep(self.rows[last_places])
        if before is not None and before.number != numbers[0]:
            yield before
            before = None
        for start, stop, kept in zip(bounds[:-1], bounds[1:], all_kept, strict=True):
            one = self._bin(int(numbers[start]), self.rows[start:stop], kept, seen)
            if before is not None:
                one = _continued(before, one)
                before = None
            yield one

    def _bin(self, number: int, rows: IntArray, kept: Any, seen: int) -> _OpenBin:
        first, last = int(rows[0]), int(rows[-1])
        return _OpenBin(
            number=number,
            x=self.x[rows],
            kept=kept,
            first=seen + first,
            row=seen + last,
            offset=int(self.offsets[first]),
            last_offset=int(self.offsets[last]),
        )


def _continued(before: _OpenBin, one: _OpenBin) -> _OpenBin:
    """A bin with the rows that came to it in an earlier block."""
    x = np.concatenate([before.x, one.x])
    return replace(one, x=x, first=before.first, offset=before.offset)


def _column_means(x: FloatArray) -> FloatArray:
    """The mean of the known numbers of each column, NaN where there are none."""
    known = ~np.isnan(x)
    counts = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        sums = np.where(known, x, 0.0).sum(axis=0)
        means: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means
