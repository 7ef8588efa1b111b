"""Statistics of sliding windows: deviations, medians, extremes.

None of them is a convolution. Samples that are missing, among them those outside of the signal
under `--edge shrink`, are left out. In a picture with transparency the colours of transparent
pixels are left out, too, and the opacity is kept as it is.
"""

from __future__ import annotations

import math

import numpy as np

from convcli.core.kernel import MOST_TAPS
from convcli.core.windows.exact_moments import Moment
from convcli.core.windows.order_statistics import Hampel, Median, MedianDeviation, Quantile, Rank
from convcli.core.windows.sliding import Extreme, SlidingStatistic, Total, WindowFunction
from convcli.designs.registry import step
from convcli.errors import RequestError
from convcli.signals import Align
from convcli.units import Integer, Number, Size

# Longer windows take too much memory to be ordered.
MOST_ORDERED = 1 << 20


def _sliding(
    function: WindowFunction, size: tuple[int, ...], stride: Size | None, align: Align
) -> SlidingStatistic:
    """A statistic of the window about every sample, or about every `stride`-th one."""
    _refuse_more(MOST_TAPS, size)
    axes = len(size)
    return SlidingStatistic(
        function=function,
        size=size,
        step=stride or (1,) * axes,
        before=_own_place(size, align),
        anchor=(0,) * axes,
        opacity="masks",
    )


def _own_place(size: tuple[int, ...], align: Align) -> tuple[int, ...]:
    """The index, in its window, of the sample that an output is aligned with.

    Windows are placed like the taps of a filter: (N - 1) // 2 samples are later, or none if causal.
    """
    if align == "causal":
        return tuple(n - 1 for n in size)
    return tuple(n // 2 for n in size)


def _sliding_unless_identity(
    function: WindowFunction, size: tuple[int, ...], stride: Size | None, align: Align
) -> SlidingStatistic | None:
    """`_sliding`, or None where a window is one sample and the statistic is the sample itself."""
    if math.prod((*size, *(stride or ()))) == 1:
        return None
    return _sliding(function, size, stride, align)


def _refuse_more(most: int, size: tuple[int, ...]) -> None:
    """Raise RequestError for a window of more samples than the step takes."""
    count = math.prod(size)
    if count > most:
        message = f"expected a window of at most {most:,} samples, got {count:,}"
        raise RequestError(message, hint="downsample first, or a smaller N")


@step("windows", example="median:5")
def median(n: Size, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """Median of each window of N (or HxW) samples: smooths, removes spikes and keeps edges.

    Of an even number of known samples it is the mean of the two in the middle. `stride=S` gives
    only every Sth output.
    """
    return _sliding_unless_identity(Median(), n, stride, align)


@step("windows", example="quantile:5,0.9")
def quantile(
    n: Size, q: Number, *, stride: Size | None = None, align: Align
) -> SlidingStatistic | None:
    """Quantile Q (0.9, 90%) of each window of N (or HxW) samples.

    Q : from 0, the smallest, to 1, the largest. Between two samples it is interpolated linearly, as
        in pandas and NumPy

    `stride=S` gives only every Sth output.
    """
    _refuse_more(MOST_ORDERED, n)
    check_quantile(q)
    return _sliding_unless_identity(Quantile(q), n, stride, align)


@step("windows", example="rank:5")
def rank(
    n: Size, *, pct: bool = False, stride: Size | None = None, align: Align
) -> SlidingStatistic:
    """Rank of each sample among those of its window of N (or HxW): 1 is the smallest.

    Equal samples share the mean of their ranks, as in pandas. A missing sample has none.

    pct : the rank over the number of known samples in the window, up to 1

    `stride=S` gives only every Sth output.
    """
    _refuse_more(MOST_ORDERED, n)
    return _sliding(Rank(own=_own_place(n, align), share=pct), n, stride, align)


@step("windows", example="mad:5")
def mad(n: Size, *, stride: Size | None = None, align: Align) -> SlidingStatistic:
    """Median absolute deviation from the median, of each window of N (or HxW) samples.

    Half of the samples lie within it. It is not scaled: 1.4826 times it estimates the standard
    deviation of normal noise. `stride=S` gives only every Sth output.
    """
    _refuse_more(MOST_ORDERED, n)
    return _sliding(MedianDeviation(), n, stride, align)


@step("windows", example="hampel:5")
def hampel(
    n: Size, k: Number = 3.0, *, stride: Size | None = None, align: Align
) -> SlidingStatistic | None:
    """Remove outliers: the median of the window of N (or HxW) where a sample lies far from it.

    A sample x is replaced by the median m where abs(x - m) > K * 1.4826 * MAD, the median absolute
    deviation; all others stay exactly as they are. Where most of a window is one value, its MAD is
    0 and any other value is replaced. `stride=S` gives only every Sth output.
    """
    _refuse_more(MOST_ORDERED, n)
    check_outlier_limit(k)
    return _sliding_unless_identity(Hampel(own=_own_place(n, align), limit=k), n, stride, align)


@step("windows", example="std:5")
def std(
    n: Size, *, ddof: Integer = 1, stride: Size | None = None, align: Align
) -> SlidingStatistic:
    """Standard deviation of each window of N (or HxW) samples (rolling volatility, local contrast).

    ddof : the sum of squared deviations is divided by the number of known samples minus ddof: 1 as
        in pandas, 0 as in NumPy; missing where none would be left

    It is computed without rounding until the end: exact at every length and offset, 0 for equal
    samples. `stride=S` gives only every Sth output.
    """
    return _deviation(n, ddof, stride, align, root=True)


@step("windows", example="var:5")
def var(
    n: Size, *, ddof: Integer = 1, stride: Size | None = None, align: Align
) -> SlidingStatistic:
    """Variance of each window of N (or HxW) samples: the square of `std`.

    ddof : as for `std`
    """
    return _deviation(n, ddof, stride, align, root=False)


def _deviation(
    n: tuple[int, ...], ddof: int, stride: Size | None, align: Align, *, root: bool
) -> SlidingStatistic:
    count = math.prod(n)
    if not 0 <= ddof < count:
        message = f"expected ddof from 0 to {count - 1} for a window of {count:,}, got {ddof}"
        if count == 1 and ddof == 1:
            message = "one sample has no deviation: expected a window of at least 2 samples"
        raise RequestError(message, hint="ddof=0 divides by the number of samples")
    return _sliding(Moment(centred=True, root=root, ddof=ddof), n, stride, align)


@step("windows", example="rms:5")
def rms(n: Size, *, stride: Size | None = None, align: Align) -> SlidingStatistic:
    """Root mean square of each window of N (or HxW) samples: the level of a sound.

    `stride=S` gives only every Sth output.
    """
    return _sliding(Moment(centred=False, root=True), n, stride, align)


@step("windows", example="sum:5", name="sum")
def total(n: Size, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """Sum of the known samples of each window of N (or HxW).

    At an edge and over a gap it is the sum of those that are there, where `sum_pool` gives N times
    their mean. `stride=S` gives only every Sth output.
    """
    return _sliding_unless_identity(Total(), n, stride, align)


@step("windows", example="min:5", name="min", aliases=("erode",))
def minimum(n: Size, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """Smallest of each window of N (or HxW) samples; on pictures an erosion.

    `min:3 | max:3` is an opening. `stride=S` gives only every Sth output.
    """
    return _sliding_unless_identity(Extreme(of_two=np.fmin), n, stride, align)


@step("windows", example="max:5", name="max", aliases=("dilate",))
def maximum(n: Size, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """Largest of each window of N (or HxW) samples; on pictures a dilation.

    `max:3 | min:3` is a closing. `stride=S` gives only every Sth output.
    """
    return _sliding_unless_identity(Extreme(of_two=np.fmax), n, stride, align)


def check_quantile(q: float) -> None:
    """Raise RequestError for a quantile outside of 0 ... 1."""
    if not 0 <= q <= 1:
        raise RequestError(f"expected a quantile from 0 to 1, got {q:g}", hint="0.9, or 90%")


def check_outlier_limit(k: float) -> None:
    """Raise RequestError for a negative distance from which on a sample is an outlier."""
    if not k >= 0:
        raise RequestError(f"expected K of at least 0, got {k:g}", hint="hampel:7,3")
