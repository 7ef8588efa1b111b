"""Outlines of the columns of a table, for each of its first groups."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.previews.outline import OutlineSums

if TYPE_CHECKING:
    from convcli.facts.preview import OutlineFacts
    from convcli.signals import Array, Block

    Rows = npt.NDArray[np.int64]


@dataclass(eq=False)
class GroupRows:
    """Which group each row of a table belongs to, and its place there, for rows still to come out.

    most : groups that are drawn; all others are counted
    """

    most: int
    names: dict[bytes, int] = field(default_factory=dict)
    counts: dict[bytes, int] = field(default_factory=dict)
    _waiting: deque[tuple[int, Rows, Rows]] = field(default_factory=deque)
    _row: int = 0

    def number(self, block: Block) -> tuple[Rows, Rows]:
        """The group of each row of the next block, -1 for one not drawn, and its place there."""
        size = len(block.stored)
        codes = np.zeros(size, np.int64)
        places = np.zeros(size, np.int64)
        if block.groups is None:
            self._number(b"", np.arange(size), codes, places)
        else:
            for name, rows in block.groups.places():
                self._number(name, rows, codes, places)
        self._waiting.append((self._row, codes, places))
        self._row += size
        return codes, places

    def _number(self, name: bytes, rows: Rows, codes: Rows, places: Rows) -> None:
        if name not in self.counts and len(self.names) < self.most:
            self.names[name] = len(self.names)
        seen = self.counts.get(name, 0)
        self.counts[name] = seen + len(rows)
        codes[rows] = self.names.get(name, -1)
        places[rows] = np.arange(seen, seen + len(rows))

    def of_rows(self, rows: Rows) -> tuple[Rows, Rows]:
        """Group codes and places of increasing rows; forgets blocks that end before the first."""
        while len(self._waiting) > 1 and self._waiting[1][0] <= rows[0]:
            self._waiting.popleft()
        start = self._waiting[0][0]
        codes = np.concatenate([block[1] for block in self._waiting])
        places = np.concatenate([block[2] for block in self._waiting])
        return codes[rows - start], places[rows - start]


class ColumnOutlines:
    """An outline of all columns for each group that is drawn."""

    def __init__(self, channels: tuple[str, ...], bins: int) -> None:
        self.channels = channels
        self.bins = bins
        self.sums: dict[int, OutlineSums] = {}

    def add(self, x: Array, codes: Rows, places: Rows) -> None:
        """Add rows, (n, channels), with the group of each and its place there."""
        for code in np.unique(codes[codes >= 0]).tolist():
            if code not in self.sums:
                self.sums[code] = OutlineSums(self.channels, self.bins)
            of_group = codes == code
            if of_group.all():
                self.sums[code].add_at(places, x)
            else:
                self.sums[code].add_at(places[of_group], x[of_group])

    def facts(self, names: dict[bytes, int]) -> tuple[OutlineFacts, ...]:
        """The outlines in the order in which the groups came."""
        found = []
        for name, code in names.items():
            if code in self.sums:
                group = name.decode("utf-8", "replace")
                # Rows are counted from 1, as everywhere that they are told.
                found.append(self.sums[code].facts(group=group, start=1.0))
        return tuple(found)
