"""Resampling at any ratio L/M: a convolution with one set of taps for each of L phases."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from convcli.core.convolution import kaiser
from convcli.core.convolution.convolve import correlate_valid
from convcli.core.convolution.polyphase import AxisTaps, PhaseTaps, polyphase_along
from convcli.core.missing import any_missing, hold, seen_so_far
from convcli.core.op import ChannelUse, LastKnown, NumberUse, Op, Span, none_known
from convcli.core.op_formula import OpFormula
from convcli.core.reach import Reach
from convcli.dataclass import dataclass
from convcli.samples import as_samples, sample_type

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from convcli.array_types import BoolArray, FloatArray, IntArray
    from convcli.signals import Array, Missing

Interpolation = Literal["nearest", "linear", "cubic", "lanczos3"]

# The attenuation of the stop band of a resampler for sound, in dB.
STOP_BAND = 100.0
# Points of the table of a window; shorter windows are computed point by point.
TABULATED = 1 << 15
# Known samples with less than this share of the weights give no output.
LEAST_SHARE = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class Resample(Op):
    """y[k] = sum_i table[k mod L, i] * x[(k // L) * step + starts[k mod L] + i] along one axis.

    table : (L, width), the taps of each phase sum to 1; starts : (L,) the first input of each phase
    own : (L, 2) the inputs [first, stop) that an output of each phase represents, counted from its
        first input; the output is missing where all of them are
    missing : the rule for missing samples
    exact : add up in one order, so that the last bit does not depend on the length of a block
    """

    table: FloatArray
    starts: IntArray
    own: IntArray
    step: int
    axis: int = 0
    axes: int = 1
    missing: Missing = "keep"
    exact: bool = False

    numbers = NumberUse(takes_stored=True, homogeneous=True)
    channels = ChannelUse(uniform=True, opacity="filtered")

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
        own = _pixels_inside(phases, step) - starts[:, None]
        return cls(table=table, starts=starts, own=own, step=step, axis=axis, axes=axes)

    @classmethod
    def between(
        cls,
        phases: int,
        step: int,
        *,
        passes: float,
        stops: float,
        attenuation: float = STOP_BAND,
        causal: bool = False,
    ) -> Resample:
        """The resampler of sound to `phases` samples for every `step`; sample 0 stays in place.

        A sinc under a Kaiser window (Kaiser, 1974). By Kaiser's estimate it is flat up to `passes`
        and `attenuation` dB down from `stops` on, both in cycles per input sample. A causal
        resampler is delayed until it reads no later sample.
        """
        half = kaiser.length(attenuation, stops - passes) / 2
        beta = kaiser.beta(attenuation)
        kernel = partial(_kaiser_sinc, half=half, cutoff=passes + stops, beta=beta)
        positions = np.arange(phases, dtype=np.float64) * (step / phases)
        starts, table = _tabulated(kernel, half, positions)
        return cls._in_place(table, starts, step, causal=causal)

    @classmethod
    def interpolating(
        cls, taps: FloatArray, phases: int, *, causal: bool = False, axis: int = 0, axes: int = 1
    ) -> Resample:
        """The resampler to `phases` samples for each one; sample 0 stays in place.

        taps : (k,) an odd number of taps of a low-pass at the new rate
        """
        centre = taps.size // 2
        numbers = np.arange(phases)
        starts = -((centre - numbers) // phases)
        last_input = (centre + phases - 1) // phases
        width = last_input - int(starts.min()) + 1
        inputs = starts[:, None] + np.arange(width)
        places = numbers[:, None] + centre - inputs * phases
        inside = (places >= 0) & (places < taps.size)
        nearest_tap = np.clip(places, 0, taps.size - 1)
        table = np.where(inside, taps[nearest_tap], 0.0)
        # A constant stays that constant in every phase.
        table /= table.sum(axis=1, keepdims=True)
        return cls._in_place(table, starts, 1, causal=causal, axis=axis, axes=axes)

    @classmethod
    def _in_place(
        cls,
        table: FloatArray,
        starts: IntArray,
        step: int,
        *,
        causal: bool,
        axis: int = 0,
        axes: int = 1,
    ) -> Resample:
        """The resampler whose outputs represent the input at or before them.

        A causal resampler is delayed until it reads no later sample.
        """
        aligned = _aligned_inputs(len(table), step)
        starts, table = _without_unread_inputs(starts, table, aligned)
        width = table.shape[1]
        last_inputs = starts + width - 1
        if causal:
            look_ahead = int((last_inputs - aligned).max())
            starts = starts - max(0, look_ahead)
            last_inputs = starts + width - 1
        nearest = np.minimum(aligned, last_inputs)
        own = np.stack([nearest, nearest + 1], axis=1) - starts[:, None]
        return cls(table=table, starts=starts, own=own, step=step, axis=axis, axes=axes)

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The reach over all phases along `axis`; a sample alone along the other axis."""
        phases, width = self.table.shape
        first = self.starts - _aligned_inputs(phases, self.step)
        last = first + width - 1
        before = max(0, -int(first.min()))
        after = max(0, int(last.max()))
        reaches = [Reach()] * self.axes
        reaches[self.axis] = Reach(before=before, after=after, step=self.step, phases=phases)
        return tuple(reaches)

    @property
    def formula(self) -> OpFormula:
        """What is known of a resampler is its delay."""
        return OpFormula(delay=self._delay())

    def _delay(self) -> float | None:
        """The delay in input samples: how far before input 0 the taps of output 0 are centred.

        None for pictures.
        """
        if self.axes != 1:
            return None
        places = self.starts[0] + np.arange(self.table.shape[1])
        centre = float(places @ self.table[0])
        return round(-centre, 6) + 0.0  # adding 0 turns -0 into 0

    @cached_property
    def holds(self) -> bool:
        """Whether a gap is filled by the last known value.

        Weights >= 0 are scaled up instead, unless every gap is to be filled.
        """
        if self.missing == "fill":
            return True
        return bool((self.table < 0).any())

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the resampler under the rules of a run."""
        return replace(self, missing=missing, exact=exact)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """The outputs of `span` from samples or stored numbers."""
        if not any_missing(x):
            return self._resampled(x, self.table, span)
        missing = np.isnan(x)
        y = self._over_held(x, span, held) if self.holds else self._renormalised(x, span)
        if self.missing == "propagate":
            reads = (self.table != 0).astype(np.float64)
            y[self._resampled(missing.astype(np.float64), reads, span) > 0.5] = np.nan
        elif self.missing != "fill":
            known = np.where(missing, 0.0, 1.0)
            y[self._resampled(known, self._own_table, span) < 0.5] = np.nan
        return y

    def _resampled(self, x: Array, table: FloatArray, span: Span) -> Array:
        """The sums over the windows, with the taps or with a table like theirs."""
        taps = self._taps
        if table is not self.table:
            taps = PhaseTaps(table, taps.starts, taps.step)
        if self.exact:
            return _phase_by_phase(x, taps, span[0])
        return polyphase_along(x, taps, span[self.axis], axis=self.axis)

    def _renormalised(self, x: Array, span: Span) -> Array:
        """The weights spread over the known samples of each window; NaN where there are none."""
        missing = np.isnan(x)
        sums = self._resampled(np.where(missing, 0.0, x).astype(x.dtype), self.table, span)
        share = self._resampled(np.where(missing, 0.0, 1.0), self.table, span)
        known = share > LEAST_SHARE
        mean: Array = np.divide(sums, share, out=np.full_like(sums, np.nan), where=known)
        return mean

    def _over_held(self, x: Array, span: Span, held: LastKnown) -> Array:
        """The sums with each gap filled by the last known value; NaN where no value is known."""
        filled = hold(x, held)
        unknown = np.isnan(filled)
        y = self._resampled(np.where(unknown, 0.0, filled).astype(x.dtype), self.table, span)
        if unknown.any():
            reads = (self.table != 0).astype(np.float64)
            unknown_in_window = self._resampled(unknown.astype(np.float64), reads, span)
            y[unknown_in_window > 0.5] = np.nan
        if x.ndim == 2:
            y[~self._known_so_far(x, span, held)] = np.nan
        return y

    def _known_so_far(self, x: Array, span: Span, held: LastKnown) -> BoolArray:
        """Mark the outputs, (outputs, channels), that have a value in their window or before it."""
        begins_with_gap = np.isnan(x[0]).any()
        earlier = held() if begins_with_gap else None
        taps = self._taps
        groups, phases = np.divmod(np.arange(*span[0]), taps.phases)
        ends = groups * taps.step + taps.starts[phases] + taps.width
        first_input = taps.origin(span[0][0])
        last = np.minimum(ends - first_input, len(x)) - 1
        known: BoolArray = seen_so_far(x, earlier)[last]
        return known

    @cached_property
    def _own_table(self) -> FloatArray:
        """Ones for the inputs that an output represents, zeros elsewhere; shaped as the table."""
        places = np.arange(self.table.shape[1])
        first = self.own[:, :1]
        stop = self.own[:, 1:]
        return ((places >= first) & (places < stop)).astype(np.float64)

    @property
    def axis_taps(self) -> AxisTaps:
        """The taps and their axis; the operation is nothing else where no sample is missing."""
        return AxisTaps(self.axis, self._taps)

    @cached_property
    def _taps(self) -> PhaseTaps:
        """The taps with their starts counted from the first input of a block."""
        return PhaseTaps(self.table, self.starts + self.reach[self.axis].before, self.step)


def _phase_by_phase(x: Array, taps: PhaseTaps, span: tuple[int, int]) -> Array:
    """The outputs [start, stop) along axis 0, each added up in one order.

    x : (n, channels) from the input `taps.origin(start)` on
    """
    start, stop = span
    y = np.empty((stop - start, x.shape[1]), sample_type(x))
    for phase in range(taps.phases):
        # The first output of this phase from `start` on.
        first = start + (phase - start) % taps.phases
        count = len(range(first, stop, taps.phases))
        if count == 0:
            continue
        low = taps.first_input(first) - taps.origin(start)
        last_window = low + (count - 1) * taps.step
        high = last_window + taps.width
        weights = taps.table[phase]
        found = correlate_valid(as_samples(x[low:high]), weights, (taps.step,), exact=True)
        y[first - start :: taps.phases] = found
    return y


def _aligned_inputs(phases: int, step: int) -> IntArray:
    """The input that each output of a group of `phases` is aligned with."""
    aligned: IntArray = np.arange(phases) * step // phases
    return aligned


def _without_unread_inputs(
    starts: IntArray, table: FloatArray, aligned: IntArray
) -> tuple[IntArray, FloatArray]:
    """Let the windows of the weights reach no later than the last input with a weight.

    A phase with fewer taps than others ends with zeros, and its window may reach further than that
    of any other phase. Such a window begins earlier instead.

    aligned : the input that each phase is aligned with
    """
    width = table.shape[1]
    zeros_at_the_end = (table != 0)[:, ::-1].argmax(axis=1)
    counts = width - zeros_at_the_end
    new_width = int(counts.max())
    after = starts + counts - aligned
    latest = int(after.max()) - new_width
    new_starts = np.minimum(starts, aligned + latest)
    moved = starts - new_starts
    places = np.arange(new_width) - moved[:, None]
    taps = np.take_along_axis(table, np.maximum(places, 0), axis=1)
    return new_starts, np.where(places >= 0, taps, 0.0)


def _pixels_inside(phases: int, step: int) -> IntArray:
    """(phases, 2) the pixels [first, stop) whose middle lies in each new pixel.

    A new pixel that holds no middle of an old one represents the old one that its own middle lies
    in, on a border for the earlier one.
    """
    # Places are counted in units of 1 / (2 phases) of an old pixel, in which borders and middles
    # are whole numbers.
    unit = 2 * phases
    borders = 2 * step * np.arange(phases + 1)
    middles = borders[:-1] + step
    first_middle_after = -((phases - borders) // unit)
    first = first_middle_after[:-1]
    stop = first_middle_after[1:]
    around = -(-middles // unit) - 1
    empty = stop <= first
    first = np.where(empty, around, first)
    stop = np.where(empty, around + 1, stop)
    return np.stack([first, stop], axis=1)


def _tabulated(
    kernel: Callable[[FloatArray], FloatArray], half: float, positions: FloatArray
) -> tuple[IntArray, FloatArray]:
    """The first input and the weights, of sum 1, of outputs at `positions` between the inputs.

    kernel : the weight by the distance in input samples, 0 from `half` on
    """
    starts = np.ceil(positions - half).astype(np.int64)
    last_offset = math.floor(2 * half)
    offsets = np.arange(last_offset + 1)
    distances = starts[:, None] + offsets - positions[:, None]
    table = kernel(distances)
    return starts, table / table.sum(axis=1, keepdims=True)


# ------------------------------------------------------------------------------------------ kernels


def _nearest(d: FloatArray) -> FloatArray:
    near: FloatArray = ((d >= -0.5) & (d < 0.5)).astype(np.float64)
    return near


def _linear(d: FloatArray) -> FloatArray:
    weight: FloatArray = np.maximum(0.0, 1 - np.abs(d))
    return weight


def _catmull_rom(d: FloatArray) -> FloatArray:
    """Cubic convolution with a = -1/2 (Keys, 1981, IEEE Trans. ASSP 29)."""
    d = np.abs(d)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    cubic = -0.5 * d**3 + 2.5 * d**2
    far = cubic - 4 * d + 2
    outer = np.where(d < 2, far, 0.0)
    return np.where(d <= 1, near, outer)


def _lanczos3(d: FloatArray) -> FloatArray:
    windowed_sinc = np.sinc(d) * np.sinc(d / 3)
    return np.where(np.abs(d) < 3, windowed_sinc, 0.0)


def _kaiser_sinc(d: FloatArray, *, half: float, cutoff: float, beta: float) -> FloatArray:
    """A sinc under a Kaiser window of half-width `half` and shape `beta`.

    cutoff : its -6 dB point, in parts of the Nyquist frequency
    """
    distance = np.abs(d) / half
    if d.size < TABULATED:
        inside = np.sqrt(np.maximum(1 - distance**2, 0))
        window = np.where(distance <= 1, np.i0(beta * inside), 0.0)
    else:
        # The Bessel function is slow, so it is read off a table, which is right to 1e-9 of the
        # window's peak.
        grid = np.linspace(0, 1, TABULATED)
        ellipse = np.sqrt(1 - grid**2)
        curve = np.i0(beta * ellipse)
        window = np.interp(distance, grid, curve, right=0.0)
    return window * np.sinc(cutoff * d)


# The kernel of each interpolation, by the distance in samples, and its half-width.
_KERNELS: dict[Interpolation, tuple[Callable[[FloatArray], FloatArray], float]] = {
    "nearest": (_nearest, 0.5),
    "linear": (_linear, 1.0),
    "cubic": (_catmull_rom, 2.0),
    "lanczos3": (_lanczos3, 3.0),
}
