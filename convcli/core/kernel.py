"""The coefficients of a convolution, however they were made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from convcli.signals import Align

Taps = npt.NDArray[np.float64]
Gaps = Literal["renormalise", "hold", "empty"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Kernel:
    """Taps of y[t] = sum_j taps[j] * x[t - j + centre] / divisor (convolution: the taps run backwards over x).

    taps : (k,) or (height, width) float64
    divisor : what the sum is divided by, so that a mean of whole numbers stays exact
    centre : the tap that sits on the output sample when aligned "center"; default (k - 1) // 2 on each axis.
        0 for what is causal by nature (an impulse response, an EMA, a difference).
    gaps : what a missing input does; by default read off the taps (CONTRACT: weights >= 0 are renormalised, a sum
        of 0 gives nothing, any other kernel holds the nearest earlier value)
    note : what the design has to say to the user
    """

    taps: Taps
    divisor: float = 1.0
    centre: tuple[int, ...] = field(default=())
    gaps: Gaps | None = None
    note: str = ""

    def __post_init__(self) -> None:
        taps: npt.NDArray[Any] = np.ascontiguousarray(self.taps, dtype=np.float64)
        taps.flags.writeable = False
        object.__setattr__(self, "taps", taps)
        if not self.centre:
            object.__setattr__(self, "centre", tuple((k - 1) // 2 for k in taps.shape))
        if self.gaps is None:
            object.__setattr__(self, "gaps", _gaps(taps))

    @classmethod
    def correlating(cls, taps: npt.ArrayLike, *, divisor: float = 1.0) -> Self:
        """The kernel that computes y[t] = sum_j taps[j] * x[t + j - (k - 1) // 2]: the same taps, not flipped."""
        array = np.asarray(taps, dtype=np.float64)
        return cls(taps=np.flip(array), divisor=divisor, centre=tuple(k // 2 for k in array.shape))

    @property
    def weights(self) -> Taps:
        """The taps with the divisor worked in, as a response is computed from them."""
        return self.taps / self.divisor

    @property
    def identity(self) -> bool:
        """Whether the kernel changes nothing."""
        at_centre = self.taps[self.centre] if self.taps.ndim == len(self.centre) else 0.0
        return bool(at_centre == self.divisor and np.count_nonzero(self.taps) == 1)

    def offsets(self, align: Align) -> tuple[tuple[int, int], ...]:
        """(before, after) on each axis: how many earlier and later samples an output reads."""
        centre = self.centre if align == "center" else (0,) * self.taps.ndim
        return tuple((k - 1 - c, c) for k, c in zip(self.taps.shape, centre, strict=True))


@dataclass(frozen=True)
class PerChannel:
    """One kernel for each channel, all of one length: a stereo impulse response."""

    kernels: tuple[Kernel, ...]


@dataclass(frozen=True)
class GradientPair:
    """Kernels whose answers are taken together as the length of a vector: the strength of an edge."""

    kernels: tuple[Kernel, ...]


def _gaps(taps: Taps) -> Gaps:
    total, size = float(taps.sum()), float(np.abs(taps).sum())
    if abs(total) <= 1e-12 * size:
        return "empty"
    return "renormalise" if bool((taps >= 0).all()) else "hold"
