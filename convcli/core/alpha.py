"""Colours weighted or masked by their opacity, so that transparent pixels leave no fringe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.convolution.rounding import rounding_around
from convcli.core.one_sample import OneSample
from convcli.core.op import ChannelUse, LastKnown, NumberUse, Span, WrappedOp, none_known
from convcli.core.reach import aligned_samples
from convcli.dataclass import dataclass
from convcli.samples import as_samples

if TYPE_CHECKING:
    from convcli.core.convolution.rounding import Rounding
    from convcli.signals import Array

# A pixel of less opacity is transparent: its colours are not divided by its opacity.
TRANSPARENT = 1e-6
_LARGEST_OPACITY = 1 << 16


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedByAlpha(WrappedOp):
    """A linear operation on a picture with transparency, in which opacity weights the colours.

    A smoothing or sharpening kernel filters the opacity, too: colour = op(colour * alpha) /
    op(alpha). A kernel of sum 0 (an edge detector) keeps the opacity and filters the weighted
    colours.

    alpha : index of the opacity channel; opaque : its largest value
    """

    alpha: int
    opaque: float
    keeps_alpha: bool

    # The opacity is treated here.
    channels = ChannelUse()

    @property
    def numbers(self) -> NumberUse:
        """Samples, and the rounding class of the quotient."""
        return NumberUse(rounding=self._rounding())

    def _rounding(self) -> Rounding:
        """The rounding class: "once" for whole taps, "rounded" for others.

        Sums of products of whole taps with the opacity are exact, and their quotient is rounded
        once. If the sum of the opacities is below 2**16, float32 does not round a quotient that
        only comes near a half onto that half.
        """
        inside = self.op.numbers.rounding
        if inside not in ("exact", "once"):
            return rounding_around(inside)
        for convolution in self.formula.convolutions:
            weight = np.abs(convolution.taps).sum()
            is_whole = (convolution.taps == np.rint(convolution.taps)).all()
            if not is_whole or self.opaque * weight >= _LARGEST_OPACITY:
                return "rounded"
        return "once"

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Multiply by the opacity, filter, divide."""
        premultiplied = _premultiplied(x, self.alpha)
        if self.keeps_alpha:
            y = self.op(premultiplied, span, held)
            y /= self.opaque
            y[..., self.alpha] = aligned_samples(x, self.reach, y.shape[:-1])[..., self.alpha]
            return y
        op, divisor = self.op.undivided()
        y = op(premultiplied, span, held)
        return _unpremultiplied(y, self.alpha, self.opaque, divisor)


def seen_samples(x: Array, alpha: int | None, opaque: float) -> Array:
    """Colours as they are seen over black: times their opacity, a share of `opaque`.

    The opacity stays, and so do opaque colours. The colours of a transparent pixel are 0, whatever
    is stored there. These colours and the opacity determine how the picture looks over any
    background.
    """
    if alpha is None or (x[..., alpha] == opaque).all():
        return x
    samples = as_samples(x)
    share = samples[..., alpha, None] / opaque
    seen = np.zeros_like(samples)
    np.multiply(samples, share, out=seen, where=share != 0)
    seen[..., alpha] = samples[..., alpha]
    return seen


def straight_samples(seen: Array, alpha: int | None, opaque: float) -> Array:
    """Colours divided by their opacity, where they are seen: the opposite of `seen_samples`."""
    if alpha is None:
        return seen
    premultiplied = seen * opaque
    premultiplied[..., alpha] = seen[..., alpha]
    return _unpremultiplied(premultiplied, alpha, opaque, divisor=1.0)


def _premultiplied(x: Array, alpha: int) -> Array:
    """Multiply the colours by the opacity."""
    y: Array = x * x[..., alpha, None]
    y[..., alpha] = x[..., alpha]
    return y


def _unpremultiplied(y: Array, alpha: int, opaque: float, divisor: float) -> Array:
    """Divide filtered colours by the filtered opacity; where that is 0 the colours are 0.

    divisor : what the filtered opacity is divided by, so that it stays in its range
    """
    filtered = y[..., alpha, None]
    colours = np.zeros_like(y)
    is_seen = filtered > TRANSPARENT * opaque * divisor
    np.divide(y, filtered, out=colours, where=is_seen)
    colours[..., alpha] = y[..., alpha] / divisor
    return colours


@dataclass(frozen=True, eq=False, kw_only=True)
class Premultiply(OneSample):
    """Colours times their opacity, divided by `divisor`, before a group of branches.

    alpha : index of the opacity channel, which stays as it is
    """

    alpha: int
    divisor: float

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Multiply the colours by the opacity."""
        y = _premultiplied(x, self.alpha)
        y /= self.divisor
        y[..., self.alpha] = x[..., self.alpha]
        return y


@dataclass(frozen=True, eq=False, kw_only=True)
class Unpremultiply(OneSample):
    """Filtered colours divided by the filtered opacity, behind a group of branches.

    alpha : index of the opacity channel; opaque : its largest value
    gain : the gain of the group; the opacity is divided by it to stay in its range
    """

    alpha: int
    opaque: float
    gain: float

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Divide the colours by the opacity."""
        if self.gain < 0:
            x = -x
        size = abs(self.gain)
        y = _unpremultiplied(x, self.alpha, self.opaque, size)
        opacity = y[..., self.alpha].copy()
        y *= self.gain
        y[..., self.alpha] = opacity
        return y


@dataclass(frozen=True, eq=False, kw_only=True)
class MaskedByAlpha(WrappedOp):
    """A statistic of the colours that can be seen, on a picture with transparency.

    The colours of transparent pixels are left out of every window. They stay as they are, and so
    does the opacity. The statistic is 0 where too few pixels can be seen.

    alpha : index of the opacity channel
    """

    alpha: int

    # The opacity is treated here.
    channels = ChannelUse()

    @property
    def numbers(self) -> NumberUse:
        """The rounding class of the statistic; stored numbers are taken."""
        return NumberUse(takes_stored=True, rounding=rounding_around(self.op.numbers.rounding))

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Compute the statistic of the visible colours."""
        opacity = x[..., self.alpha, None]
        is_hidden = opacity <= 0
        if not is_hidden.any():
            y = self.op(x, span, held)
            own = aligned_samples(x, self.reach, y.shape[:-1])
            y[..., self.alpha] = own[..., self.alpha]
            return y
        x = as_samples(x)
        visible = np.where(is_hidden, np.nan, x).astype(x.dtype)
        y = self.op(visible, span, held)
        own = aligned_samples(x, self.reach, y.shape[:-1])
        y[np.isnan(y)] = 0
        is_transparent = own[..., self.alpha, None] <= 0
        stays = np.broadcast_to(is_transparent, y.shape).copy()
        stays[..., self.alpha] = True
        np.copyto(y, own, where=stays)
        return y
