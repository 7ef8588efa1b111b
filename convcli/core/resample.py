"""Resampling at any ratio L/M: a convolution with one set of taps for each of L phases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from convcli.core import kaiser
from convcli.core import missing as gaps
from convcli.core.ops import Held, Op, Span, nothing_held
from convcli.core.polyphase import PhaseTaps, polyphase_along
from convcli.core.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.signals import Array

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Interpolation = Literal["nearest", "linear", "cubic", "lanczos3"]

# The attenuation of the stop band of a resampler for sound, in dB.
STOP_BAND = 100.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Resample(Op):
    """y[k] = sum_i table[k mod L, i] * x[(k // L) * step + starts[k mod L] + i] along one axis.

    table : (L, width), the taps of each phase sum to 1; starts : (L,) the first input of each phase
    """

    table: Numbers
    starts: Indices
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
        """The resampler of pictures to `phases` pixels for every `step`.

        The outer edges of the first and last pixel stay in place, so output k lies at (k + 1/2) *
        step / phases - 1/2. A picture that shrinks is smoothed by a kernel as many times wider,
        except by `nearest`.
        """
        ratio = step / phases
        kernel, half = _KERNELS[interpolation]
        scale = 1.0 if interpolation == "nearest" else max(1.0, ratio)
        positions = np.arange(phases, dtype=np.float64) * ratio + (0.5 * ratio - 0.5)
        starts, table = _tabulated(lambda d: kernel(d / scale), half * scale, positions)
        return cls(table=table, starts=starts, step=step, axis=axis, axes=axes)

    @classmethod
    def between(
        cls, phases: int, step: int, *, passes: float, stops: float, causal: bool = False
    ) -> Resample:
        """The resampler of sound to `phases` samples for every `step`; sample 0 stays in place.

        A sinc under a Kaiser window (Kaiser, 1974): flat up to `passes` and STOP_BAND down from
        `stops` on, in cycles per input sample. A causal one is delayed until it reads no later
        sample.
        """
        half = kaiser.length(STOP_BAND, stops - passes) / 2
        kernel = partial(_kaiser_sinc, half=half, cutoff=passes + stops)
        positions = np.arange(phases, dtype=np.float64) * (step / phases)
        starts, table = _tabulated(kernel, half, positions)
        if causal:
            last_inputs = starts + table.shape[1] - 1
            look_ahead = int((last_inputs - _aligned_inputs(phases, step)).max())
            starts -= max(0, look_ahead)
        return cls(table=table, starts=starts, step=step)

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The reach over all phases along `axis`; a sample alone along the other axis."""
        phases, width = self.table.shape
        first = self.starts - _aligned_inputs(phases, self.step)
        before = max(0, -int(first.min()))
        after = max(0, int(first.max()) + width - 1)
        reaches = [Reach()] * self.axes
        reaches[self.axis] = Reach(before=before, after=after, step=self.step, phases=phases)
        return tuple(reaches)

    @property
    def delay(self) -> float | None:
        """The delay in input samples; None for pictures.

        It is how far before input 0 the taps of output 0 are centred.
        """
        if self.axes != 1:
            return None
        places = self.starts[0] + np.arange(self.table.shape[1])
        centre = float(places @ self.table[0])
        return round(-centre, 6) + 0.0  # adding 0 turns -0 into 0

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """The outputs of `span`; a missing input takes the last value before it."""
        if gaps.any_missing(x):
            x = gaps.hold(x, held)
        return polyphase_along(x, self._taps, span[self.axis], axis=self.axis)

    @cached_property
    def _taps(self) -> PhaseTaps:
        """The taps with their starts counted from the first input of a block."""
        return PhaseTaps(self.table, self.starts + self.reach[self.axis].before, self.step)


def _aligned_inputs(phases: int, step: int) -> Indices:
    """The input that each output of a group of `phases` is aligned with."""
    aligned: Indices = np.arange(phases) * step // phases
    return aligned


def _tabulated(
    kernel: Callable[[Numbers], Numbers], half: float, positions: Numbers
) -> tuple[Indices, Numbers]:
    """The first input and the weights, of sum 1, of outputs at `positions` between the inputs.

    kernel : the weight by the distance in input samples, 0 from `half` on
    """
    starts = np.ceil(positions - half).astype(np.int64)
    offsets = np.arange(int(np.floor(2 * half)) + 1)
    distances = starts[:, None] + offsets - positions[:, None]
    table = kernel(distances)
    return starts, table / table.sum(axis=1, keepdims=True)


# ------------------------------------------------------------------------------------------ kernels


def _nearest(d: Numbers) -> Numbers:
    near: Numbers = ((d >= -0.5) & (d < 0.5)).astype(np.float64)
    return near


def _linear(d: Numbers) -> Numbers:
    weight: Numbers = np.maximum(0.0, 1 - np.abs(d))
    return weight


def _catmull_rom(d: Numbers) -> Numbers:
    """Cubic convolution with a = -1/2 (Keys, 1981, IEEE Trans. ASSP 29)."""
    d = np.abs(d)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _lanczos3(d: Numbers) -> Numbers:
    return np.where(np.abs(d) < 3, np.sinc(d) * np.sinc(d / 3), 0.0)


def _kaiser_sinc(d: Numbers, *, half: float, cutoff: float) -> Numbers:
    """A sinc under a Kaiser window of half-width `half`.

    cutoff : its -6 dB point, in parts of the Nyquist frequency
    """
    beta = kaiser.beta(STOP_BAND)
    # The Bessel function is slow, so it is read off a table, which is right to 1e-9 of the window's
    # peak.
    grid = np.linspace(0, 1, 1 << 15)
    curve = np.i0(beta * np.sqrt(1 - grid**2))
    window = np.interp(np.abs(d) / half, grid, curve, right=0.0)
    return window * np.sinc(cutoff * d)


# The kernel of each interpolation, by the distance in samples, and its half-width.
_KERNELS: dict[Interpolation, tuple[Callable[[Numbers], Numbers], float]] = {
    "nearest": (_nearest, 0.5),
    "linear": (_linear, 1.0),
    "cubic": (_catmull_rom, 2.0),
    "lanczos3": (_lanczos3, 3.0),
}
