"""Steps that depend on the whole signal: a first pass measures, a second one applies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from convcli.core.binding import Stage
from convcli.core.ops import Op, Pointwise
from convcli.core.totals import ExactTotals

if TYPE_CHECKING:
    from convcli.core.binding import Site
    from convcli.signals import AnyRows, Array, Missing, Rows

Indices = npt.NDArray[np.int64]
Statistic = Literal["mean", "max"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Normalize:
    """Scales a signal so that its largest magnitude becomes `level`.

    per_channel : one factor for each channel, not one for all
    alpha : index of the opacity channel, which is left alone, or None
    """

    level: float
    per_channel: bool
    axes: int
    alpha: int | None

    # The signal keeps its length.
    reduces: ClassVar[bool] = False

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage; its operation is made when the signal was measured."""
        return (Stage(before=site.signal, after=site.signal, whole=self),)

    def measure(self, y: Array) -> npt.NDArray[np.float64]:
        """Return the peak of each channel of one block; peaks of blocks combine by np.fmax."""
        if y.size == 0:
            return np.zeros(y.shape[-1])
        sample_axes = tuple(range(self.axes))
        peaks: npt.NDArray[Any] = np.fmax.reduce(np.abs(y), axis=sample_axes, initial=0.0)
        peaks = peaks.astype(np.float64)
        if self.alpha is not None:
            peaks[self.alpha] = 0
        return peaks

    def settle(self, peaks: npt.NDArray[np.float64]) -> Op:
        """Return the gain for the measured peaks; silence stays silence."""
        if not self.per_channel:
            peaks = np.full_like(peaks, peaks.max(initial=0.0))
        gain = np.divide(self.level, peaks, out=np.ones_like(peaks), where=peaks > 0)
        return Pointwise(
            function=lambda x: (x * gain).astype(x.dtype),
            axes=self.axes,
            keeps=self.alpha,
            rounding="fractions",
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Reduce:
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

    # A few bins are all that is left of the signal.
    reduces: ClassVar[bool] = True

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage without operations, that knows the opacity of the picture.

        Nothing is made of a signal without samples.
        """
        before = site.signal
        missing = site.rules.missing
        placed = replace(self, alpha=before.alpha, opaque=before.full_scale, missing=missing)
        shape = self.bins if 0 not in before.shape else (0,) * before.axes
        return (Stage(before=before, after=replace(before, shape=shape), whole=placed),)

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


class Reduction:
    """The bins of a Reduce as blocks come, in constant memory.

    shape : the length of the signal on each sample axis; seen : how many samples have come along
        axis 0
    """

    def __init__(self, reduce: Reduce, shape: tuple[int, ...]) -> None:
        self.reduce = reduce
        self.shape = shape
        self.seen = 0
        self._totals: Any = None
        # Sums of bins of a signal of one axis.
        self._exact: dict[tuple[int, ...], ExactTotals] = {}
        self._counts: Any = None
        self._dtype: Any = np.float64
        self._rows = np.zeros(reduce.bins[0], np.int64)

    def add(self, y: Array, rows: AnyRows) -> None:
        """Take in the next block and the input rows of its samples."""
        y = self.reduce.weighted(y)
        if self._totals is None:
            self._start(y)
        start = self.seen
        stop = start + len(y)
        bins = self.reduce.bins[0]
        # The first bin that may reach into this block.
        first = max(0, start * bins // max(1, self.shape[0]) - 1)
        for k in range(first, bins):
            low, high = _bin(k, self.shape[0], bins)
            if low >= stop:
                break
            part = y[max(low, start) - start : max(high, start) - start]
            if len(part):
                self._add_to_bin(k, part)
            aligned = high - 1 if self.reduce.causal else (low + high - 1) // 2
            if start <= aligned < stop:
                self._rows[k] = rows[aligned - start]
        self.seen = stop

    def _start(self, y: Array) -> None:
        start = 0.0 if self.reduce.statistic == "mean" else -np.inf
        self._totals = np.full((*self.reduce.bins, y.shape[-1]), start)
        self._counts = np.zeros(self._totals.shape)
        # The mean of whole numbers, of a picture of bytes, is a fraction.
        self._dtype = np.result_type(y.dtype, np.float32)

    def _add_to_bin(self, k: int, part: Array) -> None:
        if len(self.shape) == 1:
            self._fold((k,), part)
            return
        for columns, places in self._columns:
            if len(columns) == 1:
                windows = part[:, None, places[0, 0] : places[0, -1] + 1]
            else:
                windows = part[:, places]
            pixels = np.moveaxis(windows, 2, 1).reshape(-1, len(columns), part.shape[-1])
            self._fold((k, columns), pixels)

    @cached_property
    def _columns(self) -> list[tuple[Indices, Indices]]:
        """The bins along axis 1 by their width: numbers (n,) and the columns of each (n, width)."""
        bins = self.reduce.bins[1]
        numbers = np.arange(bins)
        lows = numbers * self.shape[1] // bins
        widths = -(-(numbers + 1) * self.shape[1] // bins) - lows
        found = []
        for width in np.unique(widths):
            some = np.flatnonzero(widths == width)
            found.append((some, lows[some][:, None] + np.arange(width)))
        return found

    def _fold(self, at: Any, part: Array) -> None:
        """Take in samples of some bins along axis 0, of each bin one after the other."""
        known = ~np.isnan(part)
        totals = self._totals[at]
        if self.reduce.missing == "propagate":
            totals = np.where(known.all(axis=0), totals, np.nan)
            self._totals[at] = totals
        self._counts[at] += known.sum(axis=0)
        if self.reduce.statistic == "mean" and len(self.shape) == 1:
            totals = self._exact.setdefault(at, ExactTotals(part.shape[1]))
            totals.add(np.where(known, part, 0.0))
        elif self.reduce.statistic == "mean":
            # One addition after the other, so that the sum does not depend on where the blocks end.
            terms = np.concatenate([totals[None], np.where(known, part, 0.0)])
            self._totals[at] = np.cumsum(terms, axis=0, out=terms)[-1]
        else:
            # The maximum so far is NaN only where a missing sample propagates.
            self._totals[at] = np.maximum(totals, _largest_known(part))

    def result(self) -> tuple[Array, Rows]:
        """Return the bins, NaN for a bin without a known sample, and their input rows."""
        empty = self._counts == 0
        counts = np.where(empty, 1, self._counts)
        y = self._totals
        if self.reduce.statistic == "mean":
            y = y / counts
        for at, totals in self._exact.items():
            # A bin that is missing has a total of NaN, any other one of 0.
            y[at] += totals.mean(counts[at])
        y = self.reduce.unweighted(np.where(empty, np.nan, y))
        return y.astype(self._dtype), self._rows


def _largest_known(part: Array) -> Array:
    """The largest known sample of each channel, -inf where none is known."""
    largest: Array = np.fmax.reduce(part, axis=0)
    return np.where(np.isnan(largest), -np.inf, largest)


def _bin(k: int, n: int, bins: int) -> tuple[int, int]:
    """Return the samples [low, high) of bin `k`."""
    return k * n // bins, -(-(k + 1) * n // bins)
