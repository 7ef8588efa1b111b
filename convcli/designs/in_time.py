"""Designs of steps whose window is a duration in time, or a bin of the calendar.

A function here replaces the design of the step that it names if the length of the window is a
`Duration` or a `CalendarBins`. Weighted means are y(t) = sum(g(t - t[i]) x[i]) / sum(g(t - t[i]))
over the rows i of the window.

A causal window of length W holds the rows in (t - W, t], as `rolling("20D")` of pandas; a centred
window holds the rows in (t - W / 2, t + W / 2].
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from convcli.calendar_bins import CalendarBins
from convcli.core.in_time.means import DecayedMean, IntegralMean, WeightedMean
from convcli.core.in_time.reach import BinReach, TimeReach
from convcli.core.in_time.weights import (
    ExponentialWeights,
    GaussianWeights,
    HannWeights,
    LinearWeights,
    TriangularWeights,
    UniformWeights,
)
from convcli.core.in_time.windows import CalendarPool, TimeWindows
from convcli.core.windows import ragged
from convcli.core.windows.order_statistics import (
    Hampel,
    Median,
    MedianDeviation,
    OrderInTime,
    Quantile,
    Rank,
)
from convcli.core.windows.ragged import ExtremeInTime, MomentInTime
from convcli.designs.registry import in_time
from convcli.designs.smoothing import TRUNCATE
from convcli.designs.windows import check_outlier_limit, check_quantile
from convcli.errors import RequestError
from convcli.units import UnitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.core.in_time.weights import SeparableWeights, WeightFunction
    from convcli.core.windows.ragged import Statistic
    from convcli.signals import Align, Signal
    from convcli.units import Duration

# An exponential decay is cut after this many half-lives: a million rows before the cut weigh less
# than 1e-13 of one row after it.
HALFLIVES = 64


@in_time("box")
def box_in_time(n: Duration, *, signal: Signal, align: Align) -> TimeWindows:
    """Mean of the rows of the last N, each with the same weight."""
    width = n.nanoseconds
    if signal.integrates:
        begin, end = _window_bounds(width, align)
        return _integral_mean(UniformWeights(begin, end), align)
    return TimeWindows(window=_open_window(width, align), statistic=ragged.mean)


@in_time("gaussian")
def gaussian_in_time(sigma: Duration, *, signal: Signal, align: Align) -> TimeWindows:
    """A bell of 8 sigma; a causal one is centred 4 sigma before its row."""
    half = round(TRUNCATE * sigma.nanoseconds)
    begin, end = _window_bounds(2 * half, align)
    weights = GaussianWeights(begin, end, sigma.nanoseconds)
    if signal.integrates:
        return _integral_mean(weights, align)
    window = TimeReach(back=2 * half)
    if align == "center":
        window = TimeReach(back=half, ahead=half, after=1)
    return TimeWindows(window=window, statistic=WeightedMean(weights))


@in_time("ema")
def ema_in_time(
    *,
    halflife: Duration | None = None,
    span: Duration | None = None,
    adjust: bool = True,
    signal: Signal,
) -> TimeWindows:
    """Weights that fall to their half in each half-life, or as exp(-2 t / span).

    They are divided by their sum, as `ewm(halflife=, times=)` of pandas does by default.
    """
    if not adjust:
        raise UnitError(
            "adjust=false counts equal steps of time: give the half-life or span in rows"
        )
    if halflife is not None:
        half = float(halflife.nanoseconds)
    elif span is not None:
        half = span.nanoseconds * math.log(2) / 2
    else:
        raise RequestError("a duration is a halflife= or a span=")
    weights = ExponentialWeights(halflife=half, end=HALFLIVES * half)
    if signal.integrates:
        return _integral_mean(weights, "causal")
    window = TimeReach(back=math.ceil(weights.end))
    return TimeWindows(window=window, statistic=DecayedMean(weights))


def _window_bounds(width: int, align: Align) -> tuple[float, float]:
    """The distances in time, in nanoseconds, at which a window begins and ends."""
    if align == "center":
        return -width / 2, width / 2
    return 0.0, float(width)


def _open_window(width: int, align: Align) -> TimeReach:
    """The window of `width` nanoseconds that is open at its old end."""
    if align == "center":
        later = width // 2
        earlier = width - later
        return TimeReach(back=earlier - 1, ahead=later, after=1)
    return TimeReach(back=width - 1)


def _weighted_mean(
    n: Duration, weights: Callable[[float, float], SeparableWeights], signal: Signal, align: Align
) -> TimeWindows:
    """The mean with weights that lie between the ends of a window."""
    function = weights(*_window_bounds(n.nanoseconds, align))
    if signal.integrates:
        return _integral_mean(function, align)
    return TimeWindows(window=_open_window(n.nanoseconds, align), statistic=WeightedMean(function))


def _integral_mean(weights: WeightFunction, align: Align) -> TimeWindows:
    """The mean by integrals, which also read the next row outside of each end of the window."""
    back = math.ceil(weights.end)
    window = TimeReach(back=back, beyond=1)
    if align == "center":
        ahead = math.ceil(-weights.begin)
        window = TimeReach(back=back, ahead=ahead, after=1, beyond=1)
    return TimeWindows(window=window, statistic=IntegralMean(weights))


in_time("wma")(partial(_weighted_mean, weights=LinearWeights))
in_time("triangle")(partial(_weighted_mean, weights=TriangularWeights))
in_time("hann")(partial(_weighted_mean, weights=HannWeights))


# -------------------------------------------------------------------------- windows of a statistic


@in_time("std")
def std_in_time(n: Duration, *, ddof: int = 1, signal: Signal, align: Align) -> TimeWindows:
    """Standard deviation of the rows of the last N."""
    return _of_rows(n, MomentInTime(centred=True, root=True, ddof=_checked(ddof)), signal, align)


@in_time("var")
def var_in_time(n: Duration, *, ddof: int = 1, signal: Signal, align: Align) -> TimeWindows:
    """Variance of the rows of the last N."""
    statistic = MomentInTime(centred=True, root=False, ddof=_checked(ddof))
    return replace(_of_rows(n, statistic, signal, align), homogeneous=False)


@in_time("quantile")
def quantile_in_time(n: Duration, q: float, *, signal: Signal, align: Align) -> TimeWindows:
    """Quantile Q of the rows of the last N."""
    check_quantile(q)
    return _of_rows(n, OrderInTime(Quantile(q)), signal, align)


@in_time("rank")
def rank_in_time(n: Duration, *, pct: bool = False, signal: Signal, align: Align) -> TimeWindows:
    """Rank of each row among those of the last N."""
    return _of_rows(n, OrderInTime(Rank(own=(), share=pct)), signal, align)


@in_time("hampel")
def hampel_in_time(n: Duration, k: float = 3.0, *, signal: Signal, align: Align) -> TimeWindows:
    """The median of the rows of the last N where a row lies far from it."""
    check_outlier_limit(k)
    return _of_rows(n, OrderInTime(Hampel(own=(), limit=k)), signal, align)


def _of_rows(n: Duration, statistic: Statistic, signal: Signal, align: Align) -> TimeWindows:
    """A statistic of the rows in a window, each of which counts alike."""
    if signal.integrates:
        raise RequestError(
            "--integrate is for means over windows in time", hint="sma:20d or gaussian:2d are means"
        )
    return TimeWindows(window=_open_window(n.nanoseconds, align), statistic=statistic)


_STATISTICS_OF_ROWS: dict[str, Statistic] = {
    "rms": MomentInTime(centred=False, root=True),
    "sum": ragged.sum_of_known,
    "median": OrderInTime(Median()),
    "mad": OrderInTime(MedianDeviation()),
    "max": ExtremeInTime(np.fmax),
    "min": ExtremeInTime(np.fmin),
}
for _name, _statistic in _STATISTICS_OF_ROWS.items():
    in_time(_name)(partial(_of_rows, statistic=_statistic))


def _checked(ddof: int) -> int:
    if ddof < 0:
        raise RequestError(f"expected ddof of at least 0, got {ddof}")
    return ddof


# ------------------------------------------------------------------------------- calendar bins


def _pool(n: CalendarBins, statistic: Statistic, signal: Signal, align: Align) -> CalendarPool:
    """A statistic of the known values of each bin."""
    if signal.integrates:
        raise RequestError(
            "--integrate is for means over windows in time, not for bins",
            hint="sma:1w is the mean over the week before each row",
        )
    window = BinReach(bins=n)
    if align == "center":
        window = BinReach(bins=n, centred=True, after=1)
    return CalendarPool(window=window, statistic=statistic)


_STATISTICS_OF_BINS: dict[str, Statistic] = {
    "avg_pool": ragged.mean,
    "sum_pool": ragged.sum_of_known,
    "max_pool": ExtremeInTime(np.fmax),
    "min_pool": ExtremeInTime(np.fmin),
    "median_pool": OrderInTime(Median()),
    "first_pool": ragged.first_known,
    "last_pool": ragged.last_known_of_each,
}
for _name, _statistic in _STATISTICS_OF_BINS.items():
    in_time(_name)(partial(_pool, statistic=_statistic))
