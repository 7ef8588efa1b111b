"""The op that keeps a rectangle of a picture, for the step `resize` with `fit=cover`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.core.op import Held, NumberUse, Op, Span, nothing_held
from convcli.core.reach import Reach
from convcli.dataclass import dataclass
from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.core.binding import Site, Stage
    from convcli.signals import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Crop(Op):
    """Keeps `size` samples from number `first` on along each axis: y[k] = x[k + first]."""

    first: tuple[int, ...]
    size: tuple[int, ...]

    numbers = NumberUse(rounding="exact")

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Output k reads only the sample k + first."""
        sides = zip(self.first, self.size, strict=True)
        return tuple(Reach(before=-f, after=f, anchor=f, limit=n) for f, n in sides)

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Return the samples, which are exactly those that the outputs read."""
        return x


@dataclass(frozen=True, eq=False)
class ResizedAndCropped:
    """Resamplers to a size that covers the one asked for, then a crop to the middle."""

    ops: tuple[Op, ...]

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage. RequestError under `valid`, which leaves out pixels by itself."""
        if site.rules.edge == "valid":
            message = "fit=cover cuts off the sides, and so does --edge valid"
            raise RequestError(message, hint="any other --edge")
        return (site.stage(*self.ops),)
