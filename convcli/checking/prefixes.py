"""Prefixes of a table, as sources for the causality check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.signals import Block, Groups, blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from convcli.planning.plan import Plan
    from convcli.signals import Rows, Signal, Source

# Up to this many rows, every prefix is tried.
ALL_UP_TO = 100
# Longer tables are cut at this many evenly spaced rows, besides the rows where something ends.
EVENLY_SPACED = 8
# Rows that are counted or compared together, which bounds the memory.
ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Prefix:
    """The rows before row `end`, and of each group g at most the first `limits[g]` of these."""

    limits: Rows
    end: int


class StoredRows:
    """The rows of a source in a temporary file, so that even a pipe can be read again.

    rows : structured array of the samples `x`, the number of the `group` and the `rank`, which
        is how many rows of the same group come before
    names, counts : name and number of rows of each group
    grouped : whether the source separates groups
    block_ends : number of rows up to the end of each block
    """

    def __init__(self, source: Source[Any], scratch: Callable[[], BinaryIO]) -> None:
        channels = len(source.signal.channels)
        self._dtype = np.dtype([("x", "f8", (channels,)), ("group", "i8"), ("rank", "i8")])
        self._group_numbers: dict[bytes, int] = {}
        self._group_counts: list[int] = []
        self.grouped = False
        self.block_ends: list[int] = []
        self.rows: Any = np.empty(0, self._dtype)
        with scratch() as file:
            for block in blocks_of(source):
                rows = self._numbered(block)
                file.write(rows.tobytes())
                self.block_ends.append(self.count + len(rows))
            file.flush()
            if self.count:
                self.rows = np.memmap(file, self._dtype, "r", shape=(self.count,))
        self.names = list(self._group_numbers)
        self.counts = np.array(self._group_counts, np.int64)

    def _numbered(self, block: Block) -> Any:
        """Return the rows of a block with their group and rank."""
        self.grouped = block.groups is not None
        rows = np.zeros(len(block.x), self._dtype)
        rows["x"] = block.x
        for name, _, places in block.by_group():
            group = self._group_numbers.setdefault(name, len(self._group_numbers))
            if group == len(self._group_counts):
                self._group_counts.append(0)
            earlier = self._group_counts[group]
            rows["group"][places] = group
            rows["rank"][places] = earlier + np.arange(len(places))
            self._group_counts[group] += len(places)
        return rows

    @property
    def count(self) -> int:
        """The number of rows that were stored."""
        return self.block_ends[-1] if self.block_ends else 0

    @property
    def whole(self) -> Prefix:
        """The prefix that holds all rows."""
        return Prefix(self.counts, self.count)

    def first_rows(self, count: int) -> Prefix:
        """Return the first `count` rows of the table."""
        limits = np.zeros(len(self.names), np.int64)
        for start in range(0, count, ROWS_AT_ONCE):
            stop = min(count, start + ROWS_AT_ONCE)
            limits += np.bincount(self.rows["group"][start:stop], minlength=len(limits))
        return Prefix(limits, count)

    def first_of_each_group(self, limits: Any) -> Prefix:
        """Return the first `limits` rows of each group; one limit for all, or one for each."""
        return Prefix(np.clip(limits, 0, self.counts).astype(np.int64), self.count)


@dataclass
class PrefixSource:
    """A prefix as a Source, in the same blocks as the whole table."""

    signal: Signal
    stored: StoredRows
    prefix: Prefix

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Yield the first row of each block and the row after its last."""
        start = 0
        for end in self.stored.block_ends:
            if start < self.prefix.end:
                yield start, min(end, self.prefix.end)
            start = end

    def members(self, start: int, end: int) -> Rows:
        """Return the numbers of the rows in [start, end) that belong to the prefix."""
        rows = self.stored.rows[start:end]
        limits = self.prefix.limits[rows["group"]]
        belongs = rows["rank"] < limits
        return start + np.flatnonzero(belongs)

    def decode(self, raw: tuple[int, int]) -> Block:
        """Return the rows of a block that belong to the prefix."""
        rows = self.stored.rows[self.members(*raw)]
        x = np.array(rows["x"])
        if not self.stored.grouped:
            return Block(x)
        numbers, codes = np.unique(rows["group"], return_inverse=True)
        names = [self.stored.names[number] for number in numbers]
        return Block(x, Groups(names, codes))


def choose_prefixes(stored: StoredRows, plan: Plan) -> Iterator[Prefix]:
    """Yield all prefixes of a short table, and about thirty of a longer one.

    If there are groups, further prefixes hold the same number of rows of each group.
    """
    lengths: Sequence[int] = range(1, stored.count)
    if stored.count > ALL_UP_TO:
        lengths = sorted(_revealing_lengths(stored, plan))
    for length in lengths:
        if 0 < length < stored.count:
            yield stored.first_rows(length)
    if len(stored.names) > 1:
        yield from _group_prefixes(stored, plan)


def _revealing_lengths(stored: StoredRows, plan: Plan) -> set[int]:
    """Choose lengths at which look-ahead shows.

    These are a few rows, a window of the filter, the ends of the first block and of the last but
    one, all rows but a few, and evenly spaced rows.
    """
    n = stored.count
    window = _window(plan)
    after = plan.chain.reach[0].after
    starts = [1, 2, 3, window - 1, window, window + 1]
    ends = [n - back for back in (1, 2, 3, window, after, after + 1)]
    blocks = stored.block_ends[:1] + stored.block_ends[-2:-1]
    block_edges = [end + shift for end in blocks for shift in (-1, 0, 1)]
    even = [n * part // (EVENLY_SPACED + 1) for part in range(1, EVENLY_SPACED + 1)]
    return {*starts, *ends, *block_edges, *even}


def _group_prefixes(stored: StoredRows, plan: Plan) -> Iterator[Prefix]:
    """Yield prefixes with few rows of each group, with all but a few, and with quarters of them."""
    counts = stored.counts
    window = _window(plan)
    for first in (1, 2, 3, window):
        if first < counts.max():
            yield stored.first_of_each_group(first)
    for quarters in (1, 2, 3):
        yield stored.first_of_each_group(counts * quarters // 4)
    for left_out in (1, 2, max(3, plan.chain.reach[0].after)):
        yield stored.first_of_each_group(counts - left_out)


def _window(plan: Plan) -> int:
    """Return how many samples along axis 0 an output reads."""
    reach = plan.chain.reach[0]
    return reach.before + reach.after + 1
