"""Colours weighted by their opacity, so that transparent pixels leave no fringe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.ops import Held, Op, Span, nothing_held
from convcli.core.reach import aligned_samples

if TYPE_CHECKING:
    from convcli.core.ops import Convolve
    from convcli.core.reach import Reach
    from convcli.core.rounding import Rounding
    from convcli.signals import Array

# An opacity below this is none: colours are not divided by it.
TRANSPARENT = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedByAlpha(Op):
    """A linear operation on a picture with transparency: colours count as much as they are opaque.

    A smoothing or sharpening kernel filters the opacity, too: colour = op(colour * alpha) /
    op(alpha). A kernel of sum 0 (an edge detector) keeps the opacity, and its colours are those of
    the opaque parts.

    alpha : index of the opacity channel; opaque : its largest value
    """

    op: Op
    alpha: int
    opaque: float
    keeps_alpha: bool

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The reach of the weighted operation."""
        return self.op.reach

    @property
    def holds(self) -> bool:
        """Whether the operation fills gaps with the last known value."""
        return self.op.holds

    @property
    def rounding(self) -> Rounding:
        """The rounding class of the operation; a quotient by the opacity is no whole number."""
        inside = self.op.rounding
        return "once" if inside == "exact" else inside

    @property
    def convolutions(self) -> tuple[Convolve, ...]:
        """The convolutions of the operation."""
        return self.op.convolutions

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Multiply by the opacity, filter, divide."""
        opacity = slice(self.alpha, self.alpha + 1)
        premultiplied = x * (x[..., opacity] / self.opaque)
        premultiplied[..., self.alpha] = x[..., self.alpha]
        y = self.op(premultiplied, span, held)
        if self.keeps_alpha:
            y[..., self.alpha] = aligned_samples(x, self.reach, y.shape[:-1])[..., self.alpha]
            return y
        filtered = y[..., opacity] / self.opaque
        colours = np.zeros_like(y)
        np.divide(y, filtered, out=colours, where=filtered > TRANSPARENT)
        colours[..., self.alpha] = y[..., self.alpha]
        return colours
