"""How far an operation looks: the one triple from which blocks, delay, causality and lengths are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The geometry of an operation along one sample axis.

    Output k stands at the input k*step/phases (a resampler by L/M has phases L and step M; everything else has one
    phase), rounded down: p(k). It reads the inputs p(k) - before ... p(k) + after, and is said to stand at
    p(k) + anchor. Indices are absolute: input and output 0 lie at the same instant, and inputs below 0 or past the end
    are what the edge rule says. A layer that pads its own input stands on `growth` samples more (or fewer) than there
    are.
    """

    before: int = 0
    after: int = 0
    step: int = 1
    phases: int = 1
    anchor: int = 0
    growth: int = 0

    def needs(self, start: int, stop: int) -> tuple[int, int]:
        """The inputs `[a, b)` that the outputs `[start, stop)` read."""
        first, last = start * self.step // self.phases, (stop - 1) * self.step // self.phases
        return first - self.before, last + self.after + 1

    def ready(self, n: int) -> int:
        """One past the last output that reads no input at or past `n`."""
        return ((n - self.after) * self.phases - 1) // self.step + 1

    def count(self, n: int) -> int:
        """How many outputs stand on `n` inputs: ceil((n + growth) * phases / step)."""
        return max(0, -(-(n + self.growth) * self.phases // self.step))

    @overload
    def stands_at(self, k: int) -> int: ...
    @overload
    def stands_at(self, k: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]: ...
    def stands_at(self, k: int | npt.NDArray[np.int64]) -> int | npt.NDArray[np.int64]:
        """The input at which output `k` stands."""
        return k * self.step // self.phases + self.anchor
