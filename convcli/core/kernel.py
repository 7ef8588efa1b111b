"""Kernels: the taps of a convolution and what belongs to them."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from convcli.core.one_sample import Mix
from convcli.core.ops import Convolve, EachChannel, Magnitude, default_on_missing
from convcli.dataclass import dataclass
from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import AnyArray, Taps
    from convcli.core.binding import Site, Stage
    from convcli.core.op_formula import OnMissing
    from convcli.signals import Align

# Longer kernels are refused; at 48 kHz this many last a minute and a half.
MOST_TAPS = 2**22
# The most taps along both axes of a picture: 5,792 along each.
MOST_PLANE_TAPS = 2**25


@dataclass(frozen=True, kw_only=True, eq=False)
class Kernel:
    """Taps of the convolution y[t] = sum_j taps[j] * x[t - j + centre] / divisor.

    taps : (k,) or (height, width) float64
    divisor : what the sum is divided by, kept apart from the taps so that a mean of whole numbers
        stays exact; the sign of a negative one is moved to the taps
    centre : index of the tap that is applied to the sample at the output's own place when aligned
        "center", by default (k - 1) // 2 on each axis; 0 for kernels that are causal by nature (an
        impulse response, an EMA, a difference)
    on_missing : the effect of a missing input. By default weights >= 0 are renormalised over the
        known samples, the output of a kernel of sum 0 is missing, and any other kernel holds the
        last known value.
    recursive : the taps are the impulse response of a recursion, such as an EMA, which begins with
        the first sample
    note : a message of the design to the user
    plane : a function that makes the kernel for a picture where no axis is chosen; by default the
        taps run along both axes, one after the other
    """

    taps: Taps
    divisor: float = 1.0
    centre: tuple[int, ...] = field(default=())
    on_missing: OnMissing | None = None
    recursive: bool = False
    note: str = ""
    plane: Callable[[], Kernel] | None = None

    def __post_init__(self) -> None:
        # A copy, because the array may belong to a caller who goes on to change it.
        taps: AnyArray = np.array(self.taps, dtype=np.float64, order="C")
        if self.divisor < 0:
            # Taps -1,-2 over -3 are the same weights as 1,2 over 3.
            taps = 0.0 - taps
            object.__setattr__(self, "divisor", -self.divisor)
        taps.flags.writeable = False
        object.__setattr__(self, "taps", taps)
        if not self.centre:
            middle = tuple((k - 1) // 2 for k in taps.shape)
            object.__setattr__(self, "centre", middle)
        if self.on_missing is None:
            object.__setattr__(self, "on_missing", default_on_missing(taps))

    @classmethod
    def correlating(cls, taps: npt.ArrayLike, *, divisor: float = 1.0) -> Self:
        """Return the kernel of y[t] = sum_j taps[j] * x[t + j - k // 2] / divisor.

        The taps are not flipped. Of an even number of taps the later one of the two in the middle
        meets the sample of the output, as in numpy.correlate and scipy.signal.correlate with
        mode="same".
        """
        return cls(taps=np.flip(np.asarray(taps, dtype=np.float64)), divisor=divisor)

    @property
    def weights(self) -> Taps:
        """The taps divided by the divisor."""
        return self.taps / self.divisor

    @property
    def identity(self) -> bool:
        """Whether the kernel changes nothing."""
        if self.taps.ndim != len(self.centre) or np.count_nonzero(self.taps) != 1:
            return False
        return bool(self.taps[self.centre] == self.divisor)

    def offsets(self, align: Align) -> tuple[tuple[int, int], ...]:
        """Return how many earlier and later samples an output reads on each axis."""
        centre = self.centre if align == "center" else (0,) * self.taps.ndim
        offsets = []
        for count, later in zip(self.taps.shape, centre, strict=True):
            earlier = count - 1 - later
            offsets.append((earlier, later))
        return tuple(offsets)

    def convolution(self, site: Site) -> Convolve:
        """Return the operation at a place, with as many axes as the signal.

        Raises RequestError if the taps have more axes.
        """
        return Convolve.by(self._laid_out(site), site.rules.align)

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage; it has no operation where the kernel changes nothing."""
        op = self.convolution(site)
        same = op.taps[op.after] == op.divisor and np.count_nonzero(op.taps) == 1
        if op.holds and site.rules.missing == "fill":
            same = False
        if same and (op.taps.size == 1 or site.rules.edge != "valid"):
            return (site.stage(kernels=(self,)),)
        return (site.stage(op, kernels=(self,)),)

    def _laid_out(self, site: Site) -> Kernel:
        """Return the taps for a picture: taps of one axis run along one axis or along both."""
        axes = site.signal.axes
        if self.taps.ndim == axes:
            return self
        if self.taps.ndim > axes:
            name = site.signal.medium.name
            message = f"taps of {len(self.taps)} rows need an image; {name} has one sample axis"
            raise RequestError(message, hint="write the taps as one row: 1,2,1")
        (centre,) = self.centre
        if site.axis == "x":
            return replace(self, taps=self.taps[None, :], centre=(0, centre))
        if site.axis == "y":
            return replace(self, taps=self.taps[:, None], centre=(centre, 0))
        if self.plane is not None:
            return self.plane()
        if self.taps.size**2 > MOST_PLANE_TAPS:
            sides = f"{self.taps.size:,} x {self.taps.size:,} taps"
            message = f"along both axes these are {sides}; at most {MOST_PLANE_TAPS:,} are computed"
            raise RequestError(message, hint="axis=x filters along one axis")
        taps = np.outer(self.taps, self.taps)
        return replace(self, taps=taps, divisor=self.divisor**2, centre=(centre, centre))


@dataclass(frozen=True, eq=False)
class PerChannel:
    """One kernel for each channel, all of one length, such as a stereo impulse response."""

    kernels: tuple[Kernel, ...]

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage with one operation."""
        parts = tuple(kernel.convolution(site) for kernel in self.kernels)
        return (site.stage(EachChannel(parts=parts), kernels=self.kernels),)


@dataclass(frozen=True, eq=False)
class KernelMatrix:
    """Kernels from every channel to every channel, such as a room heard from two loudspeakers.

    kernels : all of one length, by input and then by output: left to left, left to right, right to
        left, right to right
    channels : how many there are, of the input and of the output
    """

    kernels: tuple[Kernel, ...]
    channels: int

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage: channels are repeated, filtered, and added up for each output."""
        one_each = np.eye(self.channels)
        repeated = Mix(weights=np.repeat(one_each, self.channels, axis=0), axes=site.signal.axes)
        added = Mix(weights=np.tile(one_each, self.channels), axes=site.signal.axes)
        parts = tuple(kernel.convolution(site) for kernel in self.kernels)
        return (site.stage(repeated, EachChannel(parts=parts), added, kernels=self.kernels),)


@dataclass(frozen=True, eq=False)
class GradientPair:
    """Kernels that give the components of a gradient, whose length is the output."""

    kernels: tuple[Kernel, ...]

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage with one operation."""
        op = Magnitude(parts=tuple(kernel.convolution(site) for kernel in self.kernels))
        return (site.stage(op, kernels=self.kernels),)
