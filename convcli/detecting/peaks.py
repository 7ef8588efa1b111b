"""Local maxima of a score, and non-maximum suppression of hits that overlap."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import field
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.signals import Array, Rows

    # First sample and length along each axis.
    Box = tuple[list[int], list[int]]

# Scores are rounded to this many digits before they are compared, so that equal ones stay equal.
SCORE_DIGITS = 9
# Boxes are converted to Python lists this many at a time: the caller may stop after a few.
BATCH = 4096


def local_maxima(score: Array, threshold: float) -> tuple[Rows, Array]:
    """Find the positions of `score` that reach `threshold` and that no neighbour exceeds.

    score : (n,) or (rows, columns); along two axes a position has eight neighbours
    Returns the positions, (m, axes), in their order, and their rounded scores, (m,). Every position
    of a plateau is a maximum.
    """
    lowest = threshold - 0.5 * 10.0**-SCORE_DIGITS
    reaching = np.flatnonzero(score >= lowest)
    at = np.stack(np.unravel_index(reaching, score.shape), axis=1)
    values = score[tuple(at.T)].round(SCORE_DIGITS)
    is_maximum = np.ones(len(at), bool)
    last = np.array(score.shape) - 1
    for offset in product((-1, 0, 1), repeat=score.ndim):
        # At the border, clipping gives the position itself or another of its neighbours.
        neighbour = np.clip(at + np.array(offset), 0, last)
        beside = score[tuple(neighbour.T)].round(SCORE_DIGITS)
        is_maximum &= values >= beside
    return at[is_maximum], values[is_maximum]


def suppress_overlaps(at: Rows, size: Rows, signal: Rows, *, overlap: float) -> Iterator[int]:
    """Non-maximum suppression: yield the indices of boxes that overlap no better box too much.

    at, size : (m, axes) first sample and length of each box along each axis, best box first
    signal : (m,) number of the signal that a box lies in; boxes of different signals never overlap
    overlap : the largest part of the smaller of two boxes that the other one may cover, 0 to 1
    """
    if not len(at):
        return
    grid = _Grid(size.max(axis=0).tolist())
    for first in range(0, len(at), BATCH):
        batch = slice(first, first + BATCH)
        starts, lengths = at[batch].tolist(), size[batch].tolist()
        signals = signal[batch].tolist()
        for number, box in enumerate(zip(starts, lengths, strict=True)):
            near = grid.near(signals[number], box)
            if all(_shared(box, other) <= overlap + 1e-9 for other in near):
                grid.add(signals[number], box)
                yield first + number


@dataclass(frozen=True)
class _Grid:
    """Boxes filed by signal and by the grid cell of their first sample.

    sides : of a cell, at least as long as those of any box, so that a box overlaps only boxes of
        its own cell and of adjacent ones
    """

    sides: list[int]
    boxes: dict[tuple[int, ...], list[Box]] = field(default_factory=lambda: defaultdict(list))

    def add(self, signal: int, box: Box) -> None:
        """Add a box to the cells of the grid that it touches."""
        self.boxes[signal, *self._cell(box)].append(box)

    def near(self, signal: int, box: Box) -> Iterator[Box]:
        """Yield the filed boxes that `box` may overlap."""
        cell = self._cell(box)
        for offset in product((-1, 0, 1), repeat=len(cell)):
            neighbour = [place + step for place, step in zip(cell, offset, strict=True)]
            yield from self.boxes.get((signal, *neighbour), ())

    def _cell(self, box: Box) -> list[int]:
        starts, _ = box
        return [start // side for start, side in zip(starts, self.sides, strict=True)]


def _shared(one: Box, other: Box) -> float:
    """Return the part of the smaller of two boxes that lies in the other one."""
    share = 1.0
    for start, length, other_start, other_length in zip(*one, *other, strict=True):
        first = max(start, other_start)
        last = min(start + length, other_start + other_length)
        share *= max(0, last - first) / min(length, other_length)
    return share
