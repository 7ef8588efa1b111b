"""Nodes of an ONNX graph that put the numbers of a value in another order: Reshape, Transpose.

Exporters write a shuffle of channels, or the layers pixel_unshuffle and pixel_shuffle, as a Reshape
to more dimensions, a Transpose and a Reshape back. What such nodes do together is found by asking
where some numbers of the result come from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.op import Complete
from convcli.dataclass import dataclass
from convcli.layers.selection import ChannelSelection
from convcli.layers.shuffle import InterleavePhases, SplitPhases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.array_types import IntArray
    from convcli.core.op import Op

    Shape = tuple[int, ...]
    Places = IntArray

# Positions on each axis that are asked for, besides those at the ends.
ASKED = 24
# A shape of more numbers is not indexed.
MOST_NUMBERS = 1 << 60
REARRANGEMENTS = frozenset({"Reshape", "Transpose", "Unsqueeze", "Squeeze"})


@dataclass(frozen=True)
class Phases:
    """Channels that become samples, or samples that become channels, or channels in another order.

    splits : how many samples become one on each axis, and channels beside each other
    joins : how many samples are made of channels on each axis
    order : which channel comes at each place, after the split or before the joining
    """

    splits: Shape
    joins: Shape
    order: Shape

    @property
    def ops(self) -> tuple[Op, ...]:
        """The operations that do this."""
        ops: list[Op] = []
        if max(self.splits) > 1:
            ops.append(Complete(SplitPhases(factors=self.splits)))
        if self.order != tuple(range(len(self.order))):
            ops.append(ChannelSelection(selected=self.order, axes=len(self.splits)))
        if max(self.joins) > 1:
            ops.append(InterleavePhases(factors=self.joins))
        return tuple(ops)


@dataclass(frozen=True)
class Rearrangement:
    """Numbers in another order than in the value that they come from.

    source : the name of that value
    shapes : its shape, and that after each node; orders : of the axes of each shape but the last,
        as the next node takes them
    """

    source: str
    shapes: tuple[Shape, ...]
    orders: tuple[Shape, ...] = ()

    def then(self, kind: str, attributes: Mapping[str, Any], sizes: Any) -> Rearrangement | None:
        """What one more node makes; None where it is not known.

        sizes : its second input; None if it has none
        """
        shape = self.shapes[-1]
        order = tuple(range(len(shape)))
        if kind == "Transpose":
            order = tuple(attributes.get("perm", order[::-1]))
            if sorted(order) != list(range(len(shape))):
                return None
            made: Shape | None = tuple(shape[axis] for axis in order)
        else:
            numbers = attributes.get("axes") if sizes is None else [int(n) for n in np.ravel(sizes)]
            made = _reshaped(kind, shape, numbers, keeps_zero=attributes.get("allowzero", 0))
        if made is None or math.prod(made) != math.prod(shape) or math.prod(shape) > MOST_NUMBERS:
            return None
        return Rearrangement(self.source, (*self.shapes, made), (*self.orders, order))

    def sources_of(self, places: Places) -> Places:
        """Where numbers of the result come from.

        places : (dimensions of the result, count); returns (dimensions of the source, count)
        """
        found = places
        for shape, made, order in zip(
            reversed(self.shapes[:-1]),
            reversed(self.shapes[1:]),
            reversed(self.orders),
            strict=True,
        ):
            turned = tuple(shape[axis] for axis in order)
            numbers = np.ravel_multi_index(tuple(found), made)
            of_turned = np.unravel_index(numbers, turned)
            found = np.empty((len(shape), places.shape[1]), np.int64)
            found[list(order)] = of_turned
        return found

    @property
    def phases(self) -> Phases | None:
        """What the result is made of; None if it is no channels and samples, or has no phases."""
        given, made = self.shapes[0], self.shapes[-1]
        if len(made) != len(given) or made[0] != 1:
            return None
        pairs = list(zip(given[2:], made[2:], strict=True))
        ones = (1,) * len(pairs)
        splits = joins = ones
        if all(n % m == 0 for n, m in pairs):
            splits = tuple(n // m for n, m in pairs)
        elif all(m % n == 0 for n, m in pairs):
            joins = tuple(m // n for n, m in pairs)
        else:
            return None
        order = self._order(splits, joins)
        return None if order is None else Phases(splits, joins, order)

    def _order(self, splits: Shape, joins: Shape) -> Shape | None:
        """Which channel or phase each channel of the result is, or each of its phases.

        splits : how many samples of the source become one on each axis; joins : how many samples of
            the result are made of one
        None where that is not the same everywhere.
        """
        channels = self.shapes[-1][1]
        phases = np.indices((channels, *joins)).reshape(1 + len(joins), -1)
        positions = self._positions(joins)
        first: Places | None = None
        for place in positions:
            samples = [
                at * join + phase for at, join, phase in zip(place, joins, phases[1:], strict=True)
            ]
            found = self.sources_of(np.array([np.zeros_like(phases[0]), phases[0], *samples]))
            numbers = found[1]
            for axis, split in enumerate(splits):
                beyond = found[2 + axis] - place[axis] * split
                if ((beyond < 0) | (beyond >= split)).any():
                    return None
                numbers = numbers * split + beyond
            if first is None:
                first = numbers
            elif not np.array_equal(first, numbers):
                return None
        return None if first is None else tuple(first.tolist())

    def _positions(self, joins: Shape) -> Places:
        """Positions of the result that are asked for, counted in whole cells of `joins`."""
        counts = [n // join for n, join in zip(self.shapes[-1][2:], joins, strict=True)]
        random = np.random.default_rng(0)
        inside = random.integers(0, counts, (ASKED, len(counts)))
        ends = np.array([np.zeros_like(counts), np.array(counts) - 1])
        return np.concatenate([ends, inside])


def _reshaped(
    kind: str, shape: Shape, numbers: Sequence[int] | None, *, keeps_zero: bool
) -> Shape | None:
    """The shape after a node that keeps the order of the numbers; None where it is not known."""
    if numbers is None:
        return None
    if kind == "Reshape":
        return _with_open_side(shape, numbers, keeps_zero=keeps_zero)
    if kind == "Unsqueeze":
        rank = len(shape) + len(numbers)
        added = {axis % rank for axis in numbers}
        others = iter(shape)
        return tuple(1 if axis in added else next(others) for axis in range(rank))
    dropped = {axis % len(shape) for axis in numbers}
    return tuple(side for axis, side in enumerate(shape) if axis not in dropped)


def _with_open_side(shape: Shape, numbers: Sequence[int], *, keeps_zero: bool) -> Shape | None:
    """The shape that a Reshape asks for: 0 keeps a side, and -1 is what is left over."""
    sides = list(numbers)
    for axis, side in enumerate(sides):
        if side == 0 and not keeps_zero and axis < len(shape):
            sides[axis] = shape[axis]
    if min(sides, default=0) < -1 or 0 in sides or sides.count(-1) > 1:
        return None
    if -1 in sides:
        known = -math.prod(sides)
        sides[sides.index(-1)] = math.prod(shape) // known
    return tuple(sides)
