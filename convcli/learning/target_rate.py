"""Targets with more or fewer samples than their inputs, for networks that change the number.

They are learned from as targets with one sample for each sample of the input: samples that belong
to one input become its channels, and a sample that belongs to several inputs is repeated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.layers.phases import split_phases
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction

    from convcli.array_types import Sizes
    from convcli.signals import Array, Source

    # Samples on each axis, None where their number is not known.
    Lengths = tuple[int | None, ...]


@dataclass(frozen=True)
class TargetRate:
    """How many samples a target has.

    more : target samples of each input sample, on each axis
    fewer : input samples of each target sample
    """

    more: Sizes
    fewer: Sizes

    @property
    def phases(self) -> int:
        """The target samples of one input sample."""
        return math.prod(self.more)

    def fits(self, lengths: Lengths, wanted: Lengths) -> bool:
        """Whether a target has the lengths `wanted`, as far as they and its input's are known."""
        sides = zip(lengths, wanted, self.more, self.fewer, strict=True)
        for n, made, more, fewer in sides:
            if n is None or made is None:
                continue
            if n % fewer or n * more // fewer != made:
                return False
        return True

    def at_inputs(self, ys: Iterator[Array]) -> Iterator[Array]:
        """Yield the blocks of a target with one sample for each sample of the input."""
        rows = self.more[0]
        rest: Array | None = None
        for y in ys:
            some = y if rest is None else np.concatenate([rest, y])
            whole = len(some) // rows * rows
            rest = some[whole:]
            yield self._at_inputs(some[:whole])
        if rest is not None and len(rest):
            # The target is longer than the input, as whoever compares them has to see.
            yield self._at_inputs(np.resize(rest, (rows, *rest.shape[1:])))

    def _at_inputs(self, y: Array) -> Array:
        for axis, count in enumerate(self.fewer):
            y = np.repeat(y, count, axis)
        return split_phases(y, self.more)


def target_rate(
    made: Sequence[Fraction], source: Source[Any], target: Source[Any]
) -> TargetRate | None:
    """The rate of a target that has as many samples as layers make.

    made : samples that the layers make of each one, on each axis
    None where the target has a sample for each sample of the input, or no whole number of them.
    """
    rate = TargetRate(
        more=tuple(each.numerator for each in made),
        fewer=tuple(each.denominator for each in made),
    )
    changes_by_whole_factors = all(1 in sides for sides in zip(rate.more, rate.fewer, strict=True))
    if not changes_by_whole_factors:
        return None
    lengths, wanted = _counted_lengths(source), _counted_lengths(target)
    if lengths == wanted or (rate.phases == 1 and not rate.fits(lengths, wanted)):
        return None
    return rate


def _counted_lengths(source: Source[Any]) -> Sizes:
    """The samples of a signal on each axis; a table or a pipe is read to count them."""
    known = tuple(n for n in source.signal.shape if n is not None)
    if len(known) == source.signal.axes:
        return known
    return (sum(len(block.stored) for block in blocks_of(source)),)
