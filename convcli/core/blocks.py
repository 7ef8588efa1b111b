"""A chain with layers of a network on a picture, computed in blocks of a fixed grid.

A network makes many channels of a few, and a strip of a wide picture with all of them would not fit
the memory. So the outputs are cut into blocks, each of which is computed from the inputs that it
reads. Blocks begin at multiples of their sides, counted from the first output of the picture: an
output is bit for bit the same, however the picture arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convcli.core.missing import any_missing
from convcli.core.task import HeldPlace, nothing_earlier
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.core.chain import Chain
    from convcli.core.complete import Bounds
    from convcli.core.ops import Span
    from convcli.core.task import HeldAfter, HeldEarlier
    from convcli.signals import Array

# The most numbers that an operation reads or makes in a block: 12 MB of float32.
NUMBERS = 3_000_000
# Rows of a block, and the most of them where operations reach far; what a block reads beyond it is
# computed again by its neighbours.
ROWS, MOST_ROWS = 128, 512
ROWS_PER_REACH = 8
# The number of columns is a multiple of the first one, up to the second.
COLUMNS, MOST_COLUMNS = 32, 4096


class BlockSides(NamedTuple):
    """The sides of the blocks, in outputs of a chain."""

    rows: int
    columns: int


def cuts(start: int, stop: int, side: int) -> Iterator[tuple[int, int]]:
    """Cut [start, stop) at multiples of `side`.

    >>> list(cuts(3, 10, 4))
    [(3, 4), (4, 8), (8, 10)]
    """
    while start < stop:
        end = min(stop, start - start % side + side)
        yield start, end
        start = end


def block_sides(chain: Chain) -> BlockSides | None:
    """The sides of the blocks that a chain is computed in; None if it is computed at once."""
    layers = any(op.widest for op in chain.ops)
    if chain.axes != 2 or not layers or chain.needs_end:
        return None
    reach = chain.reach[0].before + chain.reach[0].after
    rows = ROWS
    while rows < MOST_ROWS and rows < reach * ROWS_PER_REACH:
        rows *= 2
    columns = COLUMNS
    # A chain that makes few outputs of many inputs.
    while columns > 1 and _most_numbers(chain, rows, columns) > NUMBERS:
        columns //= 2
    while rows > 1 and _most_numbers(chain, rows, columns) > NUMBERS:
        rows //= 2
    while (
        COLUMNS <= columns < MOST_COLUMNS
        and _most_numbers(chain, rows, columns + COLUMNS) <= NUMBERS
    ):
        columns += COLUMNS
    return BlockSides(rows, columns)


def _most_numbers(chain: Chain, rows: int, columns: int) -> int:
    """The most numbers that an operation of the chain reads for a block of outputs."""
    down = chain.needs(0, 0, rows)
    across = chain.needs(1, 0, columns)
    counts = [0]
    for op, (top, bottom), (left, right) in zip(chain.ops, down, across, strict=False):
        counts.append((bottom - top) * (right - left) * op.widest)
    return max(counts)


def compute_in_blocks(
    chain: Chain,
    x: Array,
    span: Span,
    ends: tuple[int | None, ...],
    earlier: HeldEarlier = nothing_earlier,
    *,
    bounds: Bounds | None = None,
) -> tuple[Array, HeldAfter]:
    """Compute the outputs `span` as `chain.compute` does, block by block.

    A row of blocks that reads missing samples is computed at once, because a gap is filled from
    anywhere in its line.
    """
    sides = chain.block_sides
    if sides is None:
        return chain.compute(x, span, ends, earlier, bounds=bounds)
    first = chain.reads(*span[0], ends[0])[0].start
    parts = []
    held: HeldAfter = {}
    for start, stop in cuts(*span[0], sides.rows):
        inputs = chain.reads(start, stop, ends[0])[0]
        task = _RowOfBlocks(
            chain=chain,
            x=x[inputs.start - first : inputs.high - first],
            span=((start, stop), span[1]),
            ends=ends,
            earlier=earlier,
            bounds=bounds,
        )
        made, held = task.outputs(sides.columns)
        parts.append(made)
        earlier = held.get
    if len(parts) == 1:
        return parts[0], held
    return np.concatenate(parts), held


@dataclass(frozen=True, eq=False, kw_only=True)
class _RowOfBlocks:
    """The outputs `span` of a chain, all of which lie in one row of blocks."""

    chain: Chain
    x: Array
    span: Span
    ends: tuple[int | None, ...]
    earlier: HeldEarlier
    bounds: Bounds | None

    def outputs(self, columns: int) -> tuple[Array, HeldAfter]:
        """Compute the outputs in blocks of so many columns, and what the next row may ask for."""
        if self.bounds is not None or any_missing(self.x):
            return self._at_once()
        down, across = self.span
        left = self.chain.needs(1, *across, self.ends[1])[0][0]
        parts = []
        for start, stop in cuts(*across, columns):
            low, high = self.chain.needs(1, start, stop, self.ends[1])[0]
            inputs = self.x[:, low - left : high - left]
            made, _ = self.chain.compute(inputs, (down, (start, stop)), self.ends)
            parts.append(made)
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return whole, HeldIfAsked(lambda: self._at_once()[1])

    def _at_once(self) -> tuple[Array, HeldAfter]:
        return self.chain.compute(self.x, self.span, self.ends, self.earlier, bounds=self.bounds)


class HeldIfAsked(dict[HeldPlace, "Array | None"]):
    """The last known values after some outputs, computed when the first of them is asked for.

    Only a gap at the very beginning of the next outputs asks.
    """

    def __init__(self, find: Callable[[], HeldAfter]) -> None:
        super().__init__()
        self._find: Callable[[], HeldAfter] | None = find

    def get(self, place: HeldPlace, default: Any = None) -> Any:
        """Return the value held at a place."""
        if self._find is not None:
            self.update(self._find())
            self._find = None
        return super().get(place, default)
