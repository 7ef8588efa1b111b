"""How far an operation looks: blocks, latency, causality and lengths follow from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.array_types import AnyArray, IntArray

    # One index or length, or many at once: the arithmetic is the same.
    Index = TypeVar("Index", int, IntArray)


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The geometry of an operation along one sample axis.

    Let p(k) = floor(k * step / phases). Output k reads the inputs p(k) - before ... p(k) + after
    and is aligned with the input p(k) + anchor. A resampler by L/M has L phases and step M; every
    other operation has one phase.

    Indices count from the start of the signal, not of a block. The edge rule gives the inputs below
    0 and past the end.

    growth : samples that the operation's own padding adds to the length before striding; negative
        if it removes samples
    limit : the largest number of outputs, where later ones are cut off; None without a limit
    """

    before: int = 0
    after: int = 0
    step: int = 1
    phases: int = 1
    anchor: int = 0
    growth: int = 0
    limit: int | None = None

    def needs(self, start: Index, stop: Index) -> tuple[Index, Index]:
        """Return the inputs [low, high) that the outputs [start, stop) read."""
        first = start * self.step // self.phases
        last = (stop - 1) * self.step // self.phases
        return first - self.before, last + self.after + 1

    def first_read(self, k: int) -> int:
        """Return the first input that output `k` reads; `needs` may hold earlier ones."""
        low, _ = self.needs(k, k + 1)
        return int(low)

    def first_within(self, first: Index) -> Index:
        """Return the first output that reads no input before `first`."""
        return -(-(first + self.before) * self.phases // self.step)

    def ready(self, n: Index) -> Index:
        """Count the outputs that can be computed from the first `n` inputs."""
        samples = n - self.after
        last_output = (samples * self.phases - 1) // self.step
        outputs = last_output + 1
        return outputs if self.limit is None else np.minimum(outputs, self.limit)

    def count(self, n: int) -> int:
        """Count the outputs of `n` inputs: ceil((n + growth) * phases / step)."""
        samples = n + self.growth
        outputs = max(0, -(-samples * self.phases // self.step))
        return outputs if self.limit is None else min(outputs, self.limit)

    def aligned_input(self, k: Index) -> Index:
        """Return the input that output `k` is aligned with."""
        return k * self.step // self.phases + self.anchor


def widest(reaches: Iterable[Reach]) -> Reach:
    """The union of reaches that differ only in how far they look before and after."""
    some = list(reaches)
    before = max(reach.before for reach in some)
    after = max(reach.after for reach in some)
    return replace(some[0], before=before, after=after)


def aligned_samples(x: AnyArray, reaches: tuple[Reach, ...], shape: tuple[int, ...]) -> AnyArray:
    """Select the inputs that the outputs of an operation are aligned with; one phase.

    x : exactly the inputs that the outputs read; shape : of the outputs, which may have channels
        behind the axes
    """
    places = []
    for reach, outputs in zip(reaches, shape, strict=False):
        first = reach.before + reach.anchor
        last = first + (outputs - 1) * reach.step
        places.append(slice(first, last + 1, reach.step))
    return x[tuple(places)]
