"""Kernels: the taps of a convolution and what belongs to them."""

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
    divisor : of the sum, so that a mean of whole numbers stays exact
    centre : the tap that meets the sample of the output when aligned "center", by default (k - 1) // 2 on each axis;
        0 for kernels that are causal by nature (an impulse response, an EMA, a difference)
    gaps : the effect of a missing input. By default weights >= 0 are renormalised over the known samples, a kernel of
        sum 0 gives no output, and any other kernel holds the last known value.
    note : a message of the design to the user
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
        """Return the kernel of y[t] = sum_j taps[j] * x[t + j - (k - 1) // 2], whose taps are not flipped."""
        array = np.asarray(taps, dtype=np.float64)
        return cls(taps=np.flip(array), divisor=divisor, centre=tuple(k // 2 for k in array.shape))

    @property
    def weights(self) -> Taps:
        """The taps divided by the divisor."""
        return self.taps / self.divisor

    @property
    def identity(self) -> bool:
        """Whether the kernel changes nothing."""
        at_centre = self.taps[self.centre] if self.taps.ndim == len(self.centre) else 0.0
        return bool(at_centre == self.divisor and np.count_nonzero(self.taps) == 1)

    def offsets(self, align: Align) -> tuple[tuple[int, int], ...]:
        """Return how many earlier and later samples an output reads, (before, after) on each axis."""
        centre = self.centre if align == "center" else (0,) * self.taps.ndim
        return tuple((k - 1 - c, c) for k, c in zip(self.taps.shape, centre, strict=True))


@dataclass(frozen=True)
class PerChannel:
    """One kernel for each channel, all of one length, such as a stereo impulse response."""

    kernels: tuple[Kernel, ...]


@dataclass(frozen=True)
class GradientPair:
    """Kernels whose outputs are the components of a gradient; its length is the strength of an edge."""

    kernels: tuple[Kernel, ...]


def _gaps(taps: Taps) -> Gaps:
    total = float(taps.sum())
    size = float(np.abs(taps).sum())
    if abs(total) <= 1e-12 * size:
        return "empty"
    return "renormalise" if bool((taps >= 0).all()) else "hold"
