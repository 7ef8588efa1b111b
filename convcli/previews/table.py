"""The preview of a table: outlines of its columns, for each of its first groups."""

from __future__ import annotations

from collections import deque
from dataclasses import field, replace
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.facts.preview import PreviewFacts, SignalPreview
from convcli.previews.outline import OutlineCollector
from convcli.previews.preview import Preview, PreviewSize, group_text
from convcli.signals import row_numbers, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from convcli.array_types import BoolArray, IntArray
    from convcli.facts.preview import OutlineFacts
    from convcli.signals import AnyRows, Array, Block, Signal

    Rows = IntArray


@dataclass(frozen=True, eq=False)
class PlacedRows:
    """Where rows lie in the drawings.

    codes : the group of each row, -1 for one that is not drawn
    places : its place in the group
    axes : (n, axes) their places on an axis of times, on one of rows of the file, or on both; None
        where there is no such axis
    """

    codes: Rows
    places: Rows
    axes: Array | None

    def of(self, chosen: BoolArray | Rows) -> PlacedRows:
        """Return the rows that are chosen, by a mask or by their numbers."""
        axes = None if self.axes is None else self.axes[chosen]
        return PlacedRows(self.codes[chosen], self.places[chosen], axes)


@dataclass(eq=False)
class GroupRows:
    """Which group each row of a table belongs to, and its place there, for rows still to come out.

    most : groups that are drawn; all others are counted
    timed : rows lie over their times
    of_file : rows lie over the rows of the file, counted from 1, too
    """

    most: int
    timed: bool = False
    of_file: bool = False
    names: dict[bytes, int] = field(default_factory=dict)
    _seen: set[bytes] = field(default_factory=set)
    _counts: list[int] = field(default_factory=list)
    _waiting: deque[tuple[int, PlacedRows]] = field(default_factory=deque)
    _row: int = 0

    def number(self, block: Block) -> PlacedRows:
        """Where each row of the next block lies."""
        size = len(block.stored)
        codes = np.full(size, -1)
        places = np.zeros(size, np.int64)
        # Only the groups that are drawn are numbered: there may be thousands of others.
        for number, rows in self._drawn_rows(block):
            first = self._counts[number]
            self._counts[number] += len(rows)
            codes[rows] = number
            places[rows] = np.arange(first, first + len(rows))
        placed = PlacedRows(codes, places, self._places_on_axes(block))
        self._waiting.append((self._row, placed))
        self._row += size
        return placed

    @property
    def axes(self) -> int:
        """How many axes rows lie over."""
        return self.timed + self.of_file

    def _places_on_axes(self, block: Block) -> Array | None:
        """The places of the rows of a block on each axis, (n, axes)."""
        size = len(block.stored)
        found = []
        if self.timed:
            times = np.full(size, np.nan)
            if block.stamps is not None:
                times = seconds_of(block.stamps)
            found.append(times)
        if self.of_file:
            found.append(np.arange(self._row + 1.0, self._row + size + 1.0))
        return np.column_stack(found) if found else None

    @property
    def more(self) -> int:
        """How many groups are not drawn."""
        return len(self._seen) - len(self.names)

    def _drawn_rows(self, block: Block) -> Iterator[tuple[int, Rows]]:
        """Yield the number of each group that is drawn, and its rows in a block."""
        groups = block.groups
        if groups is None:
            self._meet([b""])
            yield 0, np.arange(len(block.stored))
            return
        present = np.bincount(groups.codes, minlength=len(groups.names)) > 0
        self._meet(compress(groups.names, present))
        code_of = {name: code for code, name in enumerate(groups.names)}
        for name, number in self.names.items():
            if name in code_of:
                yield number, np.flatnonzero(groups.codes == code_of[name])

    def _meet(self, names: Iterable[bytes]) -> None:
        """Note groups; the first of all are drawn."""
        for name in names:
            if len(self.names) < self.most and name not in self.names:
                self.names[name] = len(self.names)
                self._counts.append(0)
            self._seen.add(name)

    def of_rows(self, rows: Rows) -> PlacedRows:
        """Where increasing rows lie; forgets blocks that end before the first of them."""
        while len(self._waiting) > 1 and self._waiting[1][0] <= rows[0]:
            self._waiting.popleft()
        start = self._waiting[0][0]
        waiting = [placed for _, placed in self._waiting]
        axes = None
        known = [placed.axes for placed in waiting if placed.axes is not None]
        if len(known) == len(waiting):
            axes = np.concatenate(known)
        codes = np.concatenate([placed.codes for placed in waiting])
        places = np.concatenate([placed.places for placed in waiting])
        return PlacedRows(codes, places, axes).of(rows - start)


class ColumnOutlines:
    """An outline of all columns for each group that is drawn.

    axes : how many axes rows have places on, whose first and last one in each bin are kept
    """

    def __init__(self, channels: tuple[str, ...], bins: int, *, axes: int = 0) -> None:
        self.channels = channels
        self.bins = bins
        self.axes = axes
        self.outlines: dict[int, OutlineCollector] = {}

    def add(self, x: Array, rows: PlacedRows) -> None:
        """Add rows, (n, channels), to the outline of each group."""
        # Group -1 is not drawn.
        counts = np.bincount(rows.codes + 1)
        for code in np.flatnonzero(counts[1:]).tolist():
            if counts[code + 1] == len(x):
                self._add_group(code, x, rows)
            else:
                chosen = np.flatnonzero(rows.codes == code)
                self._add_group(code, x[chosen], rows.of(chosen))

    def _add_group(self, code: int, x: Array, rows: PlacedRows) -> None:
        if code not in self.outlines:
            names = self.channels + ("axis",) * self.axes
            self.outlines[code] = OutlineCollector(names, self.bins)
        if rows.axes is not None:
            # An axis is one more column: what is kept of it is the first and the last place.
            x = np.column_stack([x, rows.axes])
        self.outlines[code].add_at(rows.places, x)

    def facts(self, names: dict[str, int]) -> tuple[OutlineFacts, ...]:
        """The outlines in the order in which the groups came.

        names : the number of each group by its name
        """
        found = []
        for name, code in names.items():
            if code in self.outlines:
                # Rows are counted from 1, as in all messages.
                outline = self.outlines[code].facts(group=name, start=1.0)
                if self.axes:
                    outline = _with_axes(outline, self.axes)
                found.append(_without_empty_bins(outline))
        return tuple(found)


def _with_axes(outline: OutlineFacts, count: int) -> OutlineFacts:
    """The outline of columns of which the last ones are axes; NaN in a bin without a row.

    The first axis that is known is that of the drawing.
    """
    firsts, lasts = outline.low[:, -count:].T, outline.high[:, -count:].T
    ends = [np.stack(pair, axis=1) for pair in zip(firsts, lasts, strict=True)]
    known = [axis for axis in ends if np.isfinite(axis).any()]
    return replace(
        outline,
        channels=outline.channels[:-count],
        low=outline.low[:, :-count],
        high=outline.high[:, :-count],
        gaps=outline.gaps[:, :-count],
        axis=known[0] if known else None,
        rows=known[1] if len(known) > 1 else None,
        peak=outline.peak[:-count],
    )


def _without_empty_bins(outline: OutlineFacts) -> OutlineFacts:
    """The outline without the bins in which there is no row, as between the results of a pool."""
    filled = ~np.isnan(outline.low).all(axis=1) | outline.gaps.any(axis=1)
    if filled.all():
        return outline
    axis = outline.axis
    if axis is None:
        firsts = outline.start + np.arange(len(outline.low)) * float(outline.per_bin)
        axis = np.stack([firsts, firsts + (outline.per_bin - 1)], axis=1)
    return replace(
        outline,
        low=outline.low[filled],
        high=outline.high[filled],
        gaps=outline.gaps[filled],
        axis=axis[filled],
        rows=None if outline.rows is None else outline.rows[filled],
    )


# -------------------------------------------------------------------------------------- the preview


class TablePreview(Preview):
    """What is drawn of the columns of a table before and after."""

    def __init__(
        self,
        signal: Signal,
        result: Signal,
        size: PreviewSize,
        group_name: Callable[[bytes], str] = group_text,
    ) -> None:
        self._signals = (signal, result)
        self._size = size
        self._group_name = group_name
        self.restart()
        self._after = ColumnOutlines(result.channels, size.bins, axes=self._groups.axes)

    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""
        signal, size = self._signals[0], self._size
        self._groups = GroupRows(size.groups, timed=signal.timed, of_file=size.notes_rows)
        self._before = ColumnOutlines(signal.channels, size.bins, axes=self._groups.axes)

    @property
    def needs_input(self) -> bool:
        """Rows of the result have the groups and the places of rows of the input."""
        return True

    def add_input(self, prepared: Block) -> None:
        """Note the next block of the input."""
        rows = self._groups.number(prepared)
        self._before.add(prepared.x, rows)

    def add_output(self, prepared: tuple[Array, AnyRows]) -> None:
        """Note the next rows of the result."""
        y, rows = prepared
        if not len(y):
            return
        self._after.add(y, self._groups.of_rows(row_numbers(rows)))

    def facts(self) -> PreviewFacts:
        """What is drawn of the input and of the output so far."""
        names = {self._group_name(name): code for name, code in self._groups.names.items()}
        signal = self._signals[0]
        sides = []
        for outlines in (self._before.facts(names), self._after.facts(names)):
            side = SignalPreview(
                rate=signal.rate,
                outlines=outlines,
                more_groups=self._groups.more,
                timed=signal.timed,
                dated=signal.dated,
            )
            sides.append(side)
        return PreviewFacts(before=sides[0], after=sides[1], small=self._size.small)
