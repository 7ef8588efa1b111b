"""What can only be known when the whole signal has been seen: a first pass measures, a second one applies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from convcli.core.binding import Stage
from convcli.core.ops import Op, Pointwise

if TYPE_CHECKING:
    from convcli.core.binding import Site
    from convcli.signals import AnyRows, Array, Rows

Statistic = Literal["mean", "max"]


@dataclass(frozen=True, kw_only=True)
class Normalize:
    """Scale so that the largest magnitude becomes `level`: one factor for all channels, or one for each."""

    level: float
    per_channel: bool
    axes: int
    alpha: int | None

    # The signal keeps its length.
    reduces: ClassVar[bool] = False

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage without operations: the loop makes one when it has measured the signal."""
        return (Stage(before=site.signal, after=site.signal, whole=self),)

    def measure(self, y: Array) -> npt.NDArray[np.float64]:
        """The peak of each channel of one block; peaks of blocks combine by np.fmax."""
        axes = tuple(range(self.axes))
        if y.size == 0:
            return np.zeros(y.shape[-1])
        peaks: npt.NDArray[np.float64] = np.fmax.reduce(np.abs(y), axis=axes, initial=0.0).astype(
            np.float64
        )
        if self.alpha is not None:
            peaks[self.alpha] = 0
        return peaks

    def settle(self, peaks: npt.NDArray[np.float64]) -> Op:
        """The gain that the measured peaks call for; silence stays silence."""
        if not self.per_channel:
            peaks = np.full_like(peaks, peaks.max(initial=0.0))
        gain = np.divide(self.level, peaks, out=np.ones_like(peaks), where=peaks > 0)
        return Pointwise(
            function=lambda x: (x * gain).astype(x.dtype),
            axes=self.axes,
            keeps=self.alpha,
            rounding="fractions",
        )


@dataclass(frozen=True, kw_only=True)
class Reduce:
    """An adaptive pool: `bins` outputs per axis, output k from the samples floor(k n / bins) to ceil((k+1) n / bins).

    The bins are those of torch.nn.AdaptiveAvgPool1d. `causal` outputs stand at the last sample of their bin, others
    at its middle.
    """

    statistic: Statistic
    bins: tuple[int, ...]
    causal: bool
    alpha: int | None = None
    opaque: float = 1.0

    # A few numbers stand for the whole signal.
    reduces: ClassVar[bool] = True

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage without operations, that knows the opacity of the picture."""
        before = site.signal
        placed = replace(self, alpha=before.alpha, opaque=before.full_scale)
        return (Stage(before=before, after=replace(before, shape=self.bins), whole=placed),)

    def weighted(self, y: Array) -> Array:
        """Colours times their opacity, for a mean in which they count as much as they are opaque."""
        if self.alpha is None or self.statistic != "mean":
            return y
        x = y * (y[..., self.alpha, None] / self.opaque)
        x[..., self.alpha] = y[..., self.alpha]
        return x

    def unweighted(self, x: Array) -> Array:
        """The colours of a weighted mean."""
        if self.alpha is None or self.statistic != "mean":
            return x
        opacity = x[..., self.alpha, None] / self.opaque
        y: Array = np.divide(x, opacity, out=np.zeros_like(x), where=opacity > 0)
        y[..., self.alpha] = x[..., self.alpha]
        return y


@dataclass
class Reduction:
    """The running result of a Reduce over blocks of a signal whose lengths are known: constant memory."""

    reduce: Reduce
    shape: tuple[int, ...]
    totals: Any = None
    counts: Any = None
    rows: dict[int, int] = field(default_factory=dict)
    seen: int = 0
    dtype: Any = np.float64

    def add(self, y: Array, rows: AnyRows) -> None:
        """Take in the next block and the input rows at which its samples stand."""
        y = self.reduce.weighted(y)
        edges = _bin_edges(self.shape[0], self.reduce.bins[0])
        if self.totals is None:
            columns = self.reduce.bins[1:]
            start = 0.0 if self.reduce.statistic == "mean" else -np.inf
            self.totals = np.full((self.reduce.bins[0], *columns, y.shape[-1]), start)
            self.counts = np.zeros(self.totals.shape)
            self.dtype = np.result_type(
                y.dtype, np.float32
            )  # whole numbers of a picture of bytes have no mean
        start, stop = self.seen, self.seen + len(y)
        first = max(0, start * len(edges) // max(1, self.shape[0]) - 1)
        for k in range(first, len(edges)):
            low, high = edges[k]
            if low >= stop:
                break
            part = y[max(low, start) - start : max(high, start) - start]
            if len(part):
                self._take(k, part)
            stands = high - 1 if self.reduce.causal else (low + high - 1) // 2
            if start <= stands < stop:
                self.rows[k] = int(rows[stands - start])
        self.seen = stop

    def _take(self, k: int, part: Array) -> None:
        if len(self.shape) == 1:
            self._fold((k,), part)
            return
        for column, (low, high) in enumerate(_bin_edges(self.shape[1], self.reduce.bins[1])):
            self._fold((k, column), part[:, low:high].reshape(-1, part.shape[-1]))

    def _fold(self, at: tuple[int, ...], part: Array) -> None:
        known = ~np.isnan(part)
        self.counts[at] += known.sum(axis=0)
        if self.reduce.statistic == "mean":
            # One addition after the other, so that the sum does not depend on where the blocks end.
            terms = np.concatenate([self.totals[at][None], np.where(known, part, 0.0)])
            self.totals[at] = np.cumsum(terms, axis=0, out=terms)[-1]
        else:
            np.fmax(self.totals[at], np.fmax.reduce(part, axis=0), out=self.totals[at])

    def result(self) -> tuple[Array, Rows]:
        """The bins, NaN where nothing was there, and the rows at which they stand."""
        empty = self.counts == 0
        mean = self.reduce.statistic == "mean"
        y = self.totals / np.where(empty, 1, self.counts) if mean else self.totals
        y = self.reduce.unweighted(np.where(empty, np.nan, y)).astype(self.dtype)
        return y, np.array([self.rows.get(k, 0) for k in range(len(y))], np.int64)


def _bin_edges(n: int, bins: int) -> list[tuple[int, int]]:
    return [(k * n // bins, -(-(k + 1) * n // bins)) for k in range(bins)]
