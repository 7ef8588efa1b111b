"""Resampling by any ratio L/M: a convolution with L sets of taps that take turns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from convcli.core import kaiser
from convcli.core import missing as gaps
from convcli.core.ops import Held, Op, Span, nothing_held
from convcli.core.polyphase import Turns, phased_lines
from convcli.core.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.signals import Array

    Shape = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

Interpolation = Literal["nearest", "linear", "cubic", "lanczos3"]

# What a resampler for sound takes away, in dB.
STOP_BAND = 100.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Resample(Op):
    """y[k] = sum_i table[k mod L, i] * x[(k // L) * step + starts[k mod L] + i] along one axis.

    table : (L, width), each phase of sum 1; starts : (L,) first input of each phase, relative to its group's first
    """

    table: npt.NDArray[np.float64]
    starts: npt.NDArray[np.int64]
    step: int
    axis: int = 0
    axes: int = 1
    holds = True
    takes_stored = True
    opacity = "filtered"

    @classmethod
    def by(
        cls, phases: int, step: int, interpolation: Interpolation, *, axis: int = 0, axes: int = 1
    ) -> Resample:
        """The resampler of pictures to `phases` samples for every `step`.

        The corners of the first and last pixel stay where they are, so that output k lies at
        (k + 1/2) * step / phases - 1/2.
        """
        scale = 1.0 if interpolation == "nearest" else max(1.0, step / phases)
        shape, support = _SHAPES[interpolation]
        at = np.arange(phases) * (step / phases) + (0.5 * step / phases - 0.5)
        starts, table = _tabulated(lambda d: shape(d / scale), support * scale, at)
        return cls(table=table, starts=starts, step=step, axis=axis, axes=axes)

    @classmethod
    def between(
        cls, phases: int, step: int, *, passes: float, stops: float, causal: bool = False
    ) -> Resample:
        """The resampler of sound to `phases` samples for every `step`; sample 0 stays where it is.

        Flat up to `passes` and STOP_BAND down from `stops` on, in cycles per sample of the input, by a sinc under a
        Kaiser window (Kaiser, 1974). A causal one lags so far behind that it reads nothing later.
        """
        half = kaiser.length(STOP_BAND, stops - passes) / 2
        at = np.arange(phases) * (step / phases)
        starts, table = _tabulated(
            partial(_kaiser_sinc, half=half, cutoff=passes + stops), half, at
        )
        if causal:
            starts -= max(
                0, int((starts - np.arange(phases) * step // phases).max()) + table.shape[1] - 1
            )
        return cls(table=table, starts=starts, step=step)

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The rational reach along `axis`, nothing along another."""
        ahead = self.starts - np.arange(len(self.starts)) * self.step // len(self.starts)
        before = max(0, -int(ahead.min()))
        after = max(0, int(ahead.max()) + self.table.shape[1] - 1)
        one = Reach(before=before, after=after, step=self.step, phases=len(self.starts))
        return tuple(one if axis == self.axis else Reach() for axis in range(self.axes))

    @property
    def delay(self) -> float | None:
        """How many samples the first output of each period lags behind its input; None for pictures."""
        if self.axes != 1:
            return None
        middle = self.starts[0] + np.arange(self.table.shape[1]) @ self.table[0]
        return round(-float(middle), 6) + 0.0

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Interpolate; what is missing is held."""
        if gaps.any_missing(x):
            x = gaps.hold(x, held)
        return phased_lines(x, self._turns, span[self.axis], axis=self.axis)

    @cached_property
    def _turns(self) -> Turns:
        return Turns(self.table, self.starts + self.reach[self.axis].before, self.step)


def _tabulated(
    shape: Shape, half: float, at: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The first input and the weights, of sum 1, of outputs that lie `at` these places between the inputs.

    shape : the weight as a function of the distance in inputs, 0 from `half` on
    """
    starts = np.ceil(at - half).astype(np.int64)
    table = shape(starts[:, None] + np.arange(int(np.floor(2 * half)) + 1) - at[:, None])
    return starts, table / table.sum(axis=1, keepdims=True)


def _catmull_rom(d: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cubic convolution with a = -1/2 (Keys, 1981, IEEE Trans. ASSP 29)."""
    d = np.abs(d)
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _kaiser_sinc(
    d: npt.NDArray[np.float64], *, half: float, cutoff: float
) -> npt.NDArray[np.float64]:
    """A sinc under a Kaiser window of half-width `half`; cutoff : its middle, as a share of the Nyquist frequency."""
    beta = kaiser.beta(STOP_BAND)
    # The Bessel function is dear: read off a table, which is right to 1e-9 of the window's peak.
    grid = np.linspace(0, 1, 1 << 15)
    window = np.interp(np.abs(d) / half, grid, np.i0(beta * np.sqrt(1 - grid**2)), right=0.0)
    return window * np.sinc(cutoff * d)


# Each interpolation's kernel as a function of the distance in samples, and its half-width.
_SHAPES: dict[Interpolation, tuple[Shape, float]] = {
    "nearest": (lambda d: ((d >= -0.5) & (d < 0.5)).astype(np.float64), 0.5),
    "linear": (lambda d: np.maximum(0.0, 1 - np.abs(d)), 1.0),
    "cubic": (_catmull_rom, 2.0),
    "lanczos3": (lambda d: np.where(np.abs(d) < 3, np.sinc(d) * np.sinc(d / 3), 0.0), 3.0),
}
