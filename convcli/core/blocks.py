"""A chain with layers of a network on a picture, computed in blocks of a fixed grid.

A network makes many channels of a few, and a strip of a wide picture with all of them would not fit
the memory. So the outputs are cut into blocks, each of which is computed from the inputs that it
reads. Blocks begin at multiples of their sides, counted from the first output of the picture: an
output is bit for bit the same, however the picture arrives, and whichever thread computes it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from convcli.core.missing import any_missing
from convcli.core.task import held_if_asked, nothing_earlier
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convcli.core.chain import Chain
    from convcli.core.extend import Bounds
    from convcli.core.op import Span
    from convcli.core.task import HeldLookup
    from convcli.signals import Array

A = TypeVar("A")
B = TypeVar("B")

# The most numbers that an operation reads or makes in a block: 24 MB of float32.
NUMBERS = 6_000_000
# Rows of a block, and the most of them where operations reach far. Neighbouring blocks both compute
# the rows that both read, which costs less the more rows a block has.
ROWS, MOST_ROWS = 128, 256
BLOCK_ROWS_PER_REACH = 6
# The number of columns is a multiple of the first one, up to the second.
COLUMNS, MOST_COLUMNS = 32, 4096


def cuts(start: int, stop: int, side: int) -> Iterator[tuple[int, int]]:
    """Cut [start, stop) at multiples of `side`.

    >>> list(cuts(3, 10, 4))
    [(3, 4), (4, 8), (8, 10)]
    """
    while start < stop:
        next_multiple = (start // side + 1) * side
        end = min(stop, next_multiple)
        yield start, end
        start = end


def rows_of_blocks(chain: Chain) -> int | None:
    """Return how many rows of outputs a block has; None if all is computed at once."""
    layers = any(op.channels.widest for op in chain.ops)
    if chain.axes != 2 or not layers or chain.needs_end:
        return None
    along = chain.reach[0]
    rows = ROWS
    while rows < MOST_ROWS and rows < (along.before + along.after) * BLOCK_ROWS_PER_REACH:
        rows *= 2
    return max(1, rows * along.phases // max(along.step, along.phases))


def columns_of_blocks(chain: Chain, rows: int, n: int | None) -> int:
    """Return how many columns a block of `rows` rows has, in a picture of `n` columns.

    Only columns inside the picture are counted, because layers add their own padding beside it.
    """
    columns = MOST_COLUMNS
    while columns > 1 and _most_numbers(chain, rows, columns, n) > NUMBERS:
        columns //= 2
    step = COLUMNS
    while step <= columns < MOST_COLUMNS and (
        _most_numbers(chain, rows, columns + step, n) <= NUMBERS
    ):
        columns += step
    return columns


def _most_numbers(chain: Chain, rows: int, columns: int, n: int | None) -> int:
    """The most numbers that an operation of the chain reads for a block of outputs."""
    down = chain.needs(0, 0, rows)
    across = chain.needs(1, 0, columns, n)
    counts = [0]
    for op, (top, bottom), (left, right) in zip(chain.ops, down, across, strict=False):
        width = right - left
        if n is not None:
            beside = op.reach[1].before + op.reach[1].after
            width = min(width, n + beside)
            n = op.reach[1].count(n)
        pixels = (bottom - top) * width
        counts.append(pixels * op.channels.widest)
    return max(counts)


class ParallelMap(Protocol):
    """Calls a function with each of several items, in any threads."""

    def __call__(self, function: Callable[[A], B], items: Sequence[A], /) -> list[B]:
        """Return the results in the order of the items."""
        ...


def serial_map(function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Call a function with each item in the calling thread."""
    return [function(item) for item in items]


@dataclass(frozen=True, eq=False, kw_only=True)
class OutputTask:
    """The outputs `span` of a chain, and the arguments of `Chain.compute` for them."""

    chain: Chain
    x: Array
    span: Span
    ends: tuple[int | None, ...]
    earlier: HeldLookup = nothing_earlier
    bounds: Bounds | None = None

    def in_blocks(self, parallel_map: ParallelMap) -> tuple[Array, HeldLookup]:
        """Compute the outputs as `at_once` does, block by block.

        A row of blocks that reads missing samples is computed at once, because the value that fills
        a gap may come from anywhere in its row of pixels.

        parallel_map : computes the blocks
        """
        height = self.chain.block_rows
        if height is None:
            return self.at_once()
        rows = [self._rows(start, stop) for start, stop in cuts(*self.span[0], height)]
        blocks = [row.blocks() for row in rows]
        all_blocks = [block for row in blocks for block in row]
        computed = iter(parallel_map(OutputTask.outputs, all_blocks))
        parts = []
        held = self.earlier
        for row, its_blocks in zip(rows, blocks, strict=True):
            if its_blocks:
                made = list(islice(computed, len(its_blocks)))
                y = _put_together(made, axis=1)
                held = row.held_without_gaps()
            else:
                y, held = replace(row, earlier=held).at_once()
            parts.append(y)
        return _put_together(parts, axis=0), held

    def at_once(self) -> tuple[Array, HeldLookup]:
        """Return the outputs, and what gives the last values that the operations have met."""
        return self.chain.compute(self.x, self.span, self.ends, self.earlier, bounds=self.bounds)

    def outputs(self) -> Array:
        """Return the outputs; any thread may ask for them."""
        # NumPy keeps this setting for each thread.
        with np.errstate(all="ignore"):
            y, _ = self.at_once()
        return y

    def _rows(self, start: int, stop: int) -> OutputTask:
        """The task of the rows [start, stop) of the outputs alone."""
        along, across = self.span
        first = self.chain.reads(*along, self.ends[0])[0].start
        inputs = self.chain.reads(start, stop, self.ends[0])[0]
        x = self.x[inputs.start - first : inputs.high - first]
        return replace(self, x=x, span=((start, stop), across))

    def blocks(self) -> list[OutputTask]:
        """Cut the outputs of a row of blocks; none if they are to be computed at once."""
        down, across = self.span
        nothing = across[0] >= across[1]
        if nothing or self.bounds is not None or any_missing(self.x):
            return []
        left, _ = self.chain.needs(1, *across, self.ends[1])[0]
        blocks = []
        for start, stop in cuts(*across, self.chain.block_columns(self.ends[1])):
            low, high = self.chain.needs(1, start, stop, self.ends[1])[0]
            x = self.x[:, low - left : high - left]
            block = replace(self, x=x, span=(down, (start, stop)), earlier=nothing_earlier)
            blocks.append(block)
        return blocks

    def held_without_gaps(self) -> HeldLookup:
        """Give the last known values after the outputs, whose inputs have no gap.

        No earlier value is needed, and it would keep all earlier rows in memory.
        """
        return held_if_asked(replace(self, earlier=nothing_earlier).held_at_end)

    def held_at_end(self) -> HeldLookup:
        """Give the last known values; the last row has them unless a layer has overflowed."""
        stop = self.span[0][1]
        _, held = self._rows(stop - 1, stop).at_once()
        values = [held(place) for place in self.chain.held_places]
        if any(value is None or any_missing(value) for value in values):
            _, held = self.at_once()
        return held


def _put_together(parts: list[Array], axis: int) -> Array:
    """Put arrays one after the other along an axis."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
