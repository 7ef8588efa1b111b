"""Colours weighted by their opacity, so that what cannot be seen leaves no fringe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.ops import Held, Op, Span, nothing_held

if TYPE_CHECKING:
    from convcli.core.ops import Convolve
    from convcli.core.reach import Reach
    from convcli.core.rounding import Rounding
    from convcli.signals import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedByAlpha(Op):
    """A linear operation on a picture with transparency: colours count as much as they are opaque.

    With a smoothing or sharpening kernel alpha is filtered too: colour = op(colour * alpha) / op(alpha). With a
    kernel of sum 0 (an edge detector) alpha stays what it is and the colours are those of what can be seen.
    """

    op: Op
    alpha: int
    opaque: float
    keeps_alpha: bool

    @property
    def reach(self) -> tuple[Reach, ...]:
        """That of the operation."""
        return self.op.reach

    @property
    def holds(self) -> bool:
        """As the operation does."""
        return self.op.holds

    @property
    def rounding(self) -> Rounding:
        """As the operation does; what is divided by the opacity is no whole number any more."""
        inside = self.op.rounding
        return "once" if inside == "exact" else inside

    @property
    def convolutions(self) -> tuple[Convolve, ...]:
        """The convolutions of the operation."""
        return self.op.convolutions

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Multiply by alpha, filter, divide."""
        weight = x[..., self.alpha : self.alpha + 1] / self.opaque
        premultiplied = x * weight
        premultiplied[..., self.alpha] = x[..., self.alpha]
        y = self.op(premultiplied, span, held)
        if self.keeps_alpha:
            places = tuple(
                slice(r.before, r.before + (m - 1) * r.step + 1, r.step)
                for r, m in zip(self.reach, y.shape, strict=False)
            )
            y[..., self.alpha] = x[places][..., self.alpha]
            return y
        opacity = y[..., self.alpha : self.alpha + 1] / self.opaque
        colours: Array = np.divide(y, opacity, out=np.zeros_like(y), where=opacity > 1e-6)
        colours[..., self.alpha] = y[..., self.alpha]
        return colours
