"""Steps that depend on the whole signal: normalisation and adaptive pools.

Normalisation measures the signal in a first pass and scales it in a second one. An adaptive pool
collects its bins while the signal passes. In a branch, where there is an output for each sample, a
global pool is a constant that is measured in a first pass.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from convcli.core.binding import Stage
from convcli.core.exact.totals import ExactTotals
from convcli.core.one_sample import OneSample, Pointwise
from convcli.core.op import (
    ChannelUse,
    LastKnown,
    Measure,
    Op,
    Span,
    ToMeasure,
    none_known,
    op_itself,
)
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import AnyArray, BoolArray, FloatArray, IntArray
    from convcli.core.binding import Site
    from convcli.signals import Array, Missing

Statistic = Literal["mean", "max"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Unmeasured(OneSample):
    """An operation on single samples that is not known before the whole signal was measured."""

    measure: Measure

    channels = ChannelUse(uniform=True)

    @property
    def to_measure(self) -> ToMeasure:
        """What is measured; the operation that follows from it takes the place of this one."""
        return ToMeasure(measures=(self.measure,), before=(), with_measured=op_itself)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Raise ValueError: the signal has not been measured."""
        raise ValueError("the signal has not been measured")


@dataclass(frozen=True, eq=False, kw_only=True)
class Normalize(Measure):
    """Peak normalisation: scales a signal so that its largest magnitude becomes `level`.

    per_channel : one factor for each channel, not one for all
    alpha : index of the opacity channel, which is left alone, or None
    """

    level: float
    per_channel: bool
    axes: int
    alpha: int | None

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage; its operation is made when the signal was measured."""
        return (site.stage(Unmeasured(measure=self, axes=self.axes)),)

    def of_block(self, y: Array) -> FloatArray:
        """Return the peak of each channel of one block."""
        if y.size == 0:
            return np.zeros(y.shape[-1])
        sample_axes = tuple(range(self.axes))
        peaks: AnyArray = np.fmax.reduce(np.abs(y), axis=sample_axes, initial=0.0)
        peaks = peaks.astype(np.float64)
        if self.alpha is not None:
            peaks[self.alpha] = 0
        return peaks

    def joined(self, one: FloatArray, other: FloatArray) -> FloatArray:
        """Return the peaks of two blocks."""
        peaks: FloatArray = np.fmax(one, other)
        return peaks

    def measured_op(self, found: FloatArray | None) -> Op:
        """Return the gain for the measured peaks; silence stays silence."""
        peaks = np.zeros(1) if found is None else found
        if not self.per_channel:
            peaks = np.full_like(peaks, peaks.max(initial=0.0))
        # The gain of peaks below 1e-308 is not a float64: the result is infinite there.
        with np.errstate(over="ignore"):
            gain = np.divide(self.level, peaks, out=np.ones_like(peaks), where=peaks > 0)

        def scale(x: Array) -> Array:
            return (x * gain).astype(x.dtype)

        return Pointwise(function=scale, axes=self.axes, keeps=self.alpha)


@dataclass(frozen=True, eq=False, kw_only=True)
class AdaptivePool:
    """An adaptive pool to `bins` outputs on each axis, with the bins of torch.nn.AdaptiveAvgPool1d.

    Output k of an axis of n samples is the mean or maximum of the samples floor(k n / bins) to
    ceil((k+1) n / bins).

    causal : an output is aligned with the last sample of its bin, else with the middle one
    alpha, opaque : index of the opacity channel, which weights a mean of colours, and its largest
        value
    missing : under "propagate" one missing sample makes its bin missing; else bins are those of the
        known samples
    """

    statistic: Statistic
    bins: tuple[int, ...]
    causal: bool
    alpha: int | None = None
    opaque: float = 1.0
    missing: Missing = "keep"

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage without operations, that knows the opacity of the picture.

        Nothing is made of a signal without samples. In a branch, a pool of the whole signal is the
        same at every sample.
        """
        before = site.signal
        missing = site.rules.missing
        placed = replace(self, alpha=before.alpha, opaque=before.full_scale, missing=missing)
        if site.in_branch and math.prod(self.bins) == 1:
            return (site.stage(Unmeasured(measure=Global(pool=placed), axes=before.axes)),)
        shape = self.bins if 0 not in before.shape else (0,) * before.axes
        return (Stage(before=before, after=replace(before, shape=shape), pool=placed),)

    def weighted(self, y: Array) -> Array:
        """Multiply colours by their opacity before a mean."""
        if self.alpha is None or self.statistic != "mean":
            return y
        x = y * (y[..., self.alpha, None] / self.opaque)
        x[..., self.alpha] = y[..., self.alpha]
        return x

    def unweighted(self, x: Array) -> Array:
        """Divide the mean of weighted colours by the mean opacity."""
        if self.alpha is None or self.statistic != "mean":
            return x
        opacity = x[..., self.alpha, None] / self.opaque
        y: Array = np.divide(x, opacity, out=np.zeros_like(x), where=opacity > 0)
        y[..., self.alpha] = x[..., self.alpha]
        return y


@dataclass(frozen=True, eq=False, kw_only=True)
class Global(Measure):
    """The mean or maximum of each channel of a whole signal, as its value at every sample.

    pool : the pool of the whole signal
    """

    pool: AdaptivePool

    def of_block(self, y: Array) -> GlobalStatistic:
        """Return the statistic of one block."""
        weighted = self.pool.weighted(y)
        x = weighted.reshape(-1, weighted.shape[-1])
        known = ~np.isnan(x)
        totals = ExactTotals(x.shape[1])
        largest = np.full(x.shape[1], -np.inf)
        if self.pool.statistic == "mean":
            totals.add(np.where(known, x, 0))
        elif len(x):
            largest = largest_known(x)
        return GlobalStatistic(
            counts=known.sum(axis=0),
            totals=totals,
            largest=largest,
            has_gap=np.asarray((~known).any(axis=0)),
        )

    def joined(self, one: GlobalStatistic, other: GlobalStatistic) -> GlobalStatistic:
        """Return the statistic of two blocks."""
        return GlobalStatistic(
            counts=one.counts + other.counts,
            totals=one.totals.joined(other.totals),
            largest=np.maximum(one.largest, other.largest),
            has_gap=one.has_gap | other.has_gap,
        )

    def measured_op(self, found: GlobalStatistic | None) -> Op:
        """Return the operation that gives the statistic at every sample."""
        values = np.full(1, np.nan)
        if found is not None:
            values = self._values(found)

        def constant(x: Array) -> Array:
            y = np.empty(x.shape, np.result_type(x.dtype, np.float32))
            y[...] = values
            return y

        return Pointwise(function=constant, axes=len(self.pool.bins))

    def _values(self, found: GlobalStatistic) -> FloatArray:
        """The statistic of each channel, NaN where no sample is known."""
        values = found.largest.astype(np.float64)
        if self.pool.statistic == "mean":
            values = found.totals.mean(np.maximum(found.counts, 1))
        is_missing = found.counts == 0
        if self.pool.missing == "propagate":
            is_missing |= found.has_gap
        unweighted = self.pool.unweighted(np.where(is_missing, np.nan, values))
        return np.asarray(unweighted, np.float64)


@dataclass(frozen=True, eq=False, kw_only=True)
class GlobalStatistic:
    """Statistics of the samples that have come, for each channel.

    counts : how many samples are known
    totals, largest : the sum and the maximum of the known samples
    has_gap : whether a sample is missing
    """

    counts: IntArray
    totals: ExactTotals
    largest: Array
    has_gap: BoolArray


def largest_known(part: Array) -> Array:
    """The largest known sample of each channel, -inf where none is known."""
    largest: Array = np.fmax.reduce(part, axis=0)
    return np.where(np.isnan(largest), -np.inf, largest)
