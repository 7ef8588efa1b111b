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
from convcli.signals import row_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from convcli.array_types import BoolArray, IntArray
    from convcli.facts.preview import OutlineFacts
    from convcli.signals import AnyRows, Array, Block, Signal

    Rows = IntArray


NANOSECONDS = 1e-9


@dataclass(frozen=True, eq=False)
class PlacedRows:
    """Where rows lie in the drawings.

    codes : the group of each row, -1 for one that is not drawn
    places : its place in the group
    axis : their places on an axis of times or of rows of the file; None where there is no such axis
    """

    codes: Rows
    places: Rows
    axis: Array | None

    def of(self, chosen: BoolArray | Rows) -> PlacedRows:
        """Return the rows that are chosen, by a mask or by their numbers."""
        axis = None if self.axis is None else self.axis[chosen]
        return PlacedRows(self.codes[chosen], self.places[chosen], axis)


@dataclass(eq=False)
class GroupRows:
    """Which group each row of a table belongs to, and its place there, for rows still to come out.

    most : groups that are drawn; all others are counted
    of_file : groups lie over the rows of the file, counted from 1, and not over times
    """

    most: int
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
        axis = None
        if self.of_file:
            axis = np.arange(self._row + 1.0, self._row + size + 1.0)
        elif block.stamps is not None:
            axis = block.stamps[:, 1] * NANOSECONDS
        placed = PlacedRows(codes, places, axis)
        self._waiting.append((self._row, placed))
        self._row += size
        return placed

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
        axis = None
        known = [placed.axis for placed in waiting if placed.axis is not None]
        if len(known) == len(waiting):
            axis = np.concatenate(known)
        codes = np.concatenate([placed.codes for placed in waiting])
        places = np.concatenate([placed.places for placed in waiting])
        return PlacedRows(codes, places, axis).of(rows - start)


class ColumnOutlines:
    """An outline of all columns for each group that is drawn.

    placed : rows have places on an axis, whose first and last one in each bin are kept
    """

    def __init__(self, channels: tuple[str, ...], bins: int, *, placed: bool = False) -> None:
        self.channels = channels
        self.bins = bins
        self.placed = placed
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
            names = (*self.channels, "axis") if self.placed else self.channels
            self.outlines[code] = OutlineCollector(names, self.bins)
        if self.placed:
            # The axis is one more column: what is kept of it is the first and the last place.
            axis = np.full(len(x), np.nan) if rows.axis is None else rows.axis
            x = np.column_stack([x, axis])
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
                if self.placed:
                    outline = _with_axis(outline)
                found.append(_without_empty_bins(outline))
        return tuple(found)


def _with_axis(outline: OutlineFacts) -> OutlineFacts:
    """The outline of columns of which the last one is the axis; NaN in a bin without a row."""
    axis = np.stack([outline.low[:, -1], outline.high[:, -1]], axis=1)
    known = bool(np.isfinite(axis).any())
    return replace(
        outline,
        channels=outline.channels[:-1],
        low=outline.low[:, :-1],
        high=outline.high[:, :-1],
        gaps=outline.gaps[:, :-1],
        axis=axis if known else None,
        peak=outline.peak[:-1],
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
    )


# --- the preview ---


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
        self._placed = signal.timed or size.over_rows
        self.restart()
        self._after = ColumnOutlines(result.channels, size.bins, placed=self._placed)

    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""
        self._groups = GroupRows(self._size.groups, of_file=self._size.over_rows)
        channels = self._signals[0].channels
        self._before = ColumnOutlines(channels, self._size.bins, placed=self._placed)

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
                dated=signal.dated and not self._size.over_rows,
            )
            sides.append(side)
        return PreviewFacts(before=sides[0], after=sides[1], small=self._size.small)
