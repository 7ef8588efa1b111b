"""Facts of the properties of convolution, measured on a signal.

Arrays are nested tuples with as many levels as the signal has sample axes; None is a missing value.
"""

from __future__ import annotations

from typing import Any

from convcli.dataclass import dataclass

# Differences below this share of the largest output are rounding.
LARGEST_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class MoveFacts:
    """The outputs of a signal that was moved, compared with the moved outputs of the signal.

    axis, by : the signal was moved by this many samples along this axis
    outputs : this many outputs the result should move; None if that is not a whole number
    compared : outputs that read nothing from outside of the signal
    difference : largest difference among these; None if none could be compared
    at : index of the output with this difference
    edge_difference : largest difference among the outputs that read from outside; None without any
    result : the outputs of the moved signal
    """

    axis: int
    by: int
    outputs: int | None = None
    compared: int = 0
    difference: float | None = None
    at: tuple[int, ...] | None = None
    edge_difference: float | None = None
    result: Any


@dataclass(frozen=True, kw_only=True)
class ShiftFacts:
    """Whether moving the signal moves the outputs and changes nothing else.

    result : the outputs before the signal was moved
    scale : the largest of them
    period : the smallest number of samples that moves the outputs by a whole number of outputs
    """

    filter: str
    result: Any
    scale: float
    period: int
    moves: tuple[MoveFacts, ...]

    @property
    def holds(self) -> bool | None:
        """Whether moving by a single sample moves the outputs; None if that cannot be seen."""
        by_one = [self.moved(move) for move in self.moves if move.by == 1]
        if False in by_one:
            return False
        return None if None in by_one or not by_one else True

    def moved(self, move: MoveFacts) -> bool | None:
        """Whether the outputs moved with the signal.

        Those at the edges do not count. None if all outputs read from outside of the signal.
        """
        if move.outputs is None:
            return False
        if move.difference is None:
            return None
        return move.difference <= LARGEST_ROUNDING * self.scale


@dataclass(frozen=True, kw_only=True)
class LocalityFacts:
    """Which outputs change with one sample.

    at : index of the sample that was changed, by `change`
    changed : first and last output that changed along each axis; empty if none did
    count : outputs that changed; outputs : how many there are
    promised : first and last output that may read the sample by the declared reach; empty if none
    read : first and last input, from the aligned one, that an output reads along each axis; empty
        for a filter that reads the whole signal
    """

    filter: str
    at: tuple[int, ...]
    change: float
    changed: tuple[tuple[int, int], ...]
    count: int
    outputs: int
    promised: tuple[tuple[int, int], ...]
    read: tuple[tuple[int, int], ...]

    @property
    def holds(self) -> bool:
        """Whether there is a promise, and only the outputs changed that it allows."""
        if not self.read:
            return False
        if not self.changed:
            return True
        if not self.promised:
            return False
        pairs = zip(self.changed, self.promised, strict=True)
        return all(low >= first and high <= last for (low, high), (first, last) in pairs)


@dataclass(frozen=True, kw_only=True)
class LinearityFacts:
    """Whether the outputs of a weighted sum of two signals are the weighted sum of their outputs.

    The second signal is an impulse as high as the signal.

    factors : the weights of the signal and of the impulse
    impulse : the index of the impulse
    impulses : how many places of the impulse were tried, where both sides are equal for all of
        them; else 0
    difference : largest difference between both sides; at : the index of that output
    sum_first, filter_first : the two sides at that output
    scale : the largest output of both sides
    of_zero : the largest output of a signal of zeros: a constant that is added, or 0
    """

    filter: str
    factors: tuple[float, float]
    impulse: tuple[int, ...]
    difference: float
    at: tuple[int, ...] | None
    sum_first: float | None
    filter_first: float | None
    scale: float
    of_zero: float
    impulses: int = 0

    @property
    def holds(self) -> bool:
        """Whether the two sides differ by no more than rounding."""
        return self.difference <= LARGEST_ROUNDING * self.scale


PropertyFacts = ShiftFacts | LocalityFacts | LinearityFacts
