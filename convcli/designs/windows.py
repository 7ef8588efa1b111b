"""Statistics of sliding windows: deviations, medians, extremes.

None of them is a convolution. Samples that are missing, among them those outside of the signal
under `--edge shrink`, are left out. In a picture with transparency the colours of transparent
pixels are left out, too, and the opacity is kept as it is.
"""

from __future__ import annotations

import math

import numpy as np

from convcli.core.exact_moments import Moment
from convcli.core.order_statistics import Median
from convcli.core.sliding import Extreme, SlidingStatistic, WindowFunction
from convcli.designs.registry import step
from convcli.designs.taps import refuse_huge
from convcli.errors import RequestError
from convcli.signals import Align
from convcli.units import Integer, Size


def _of_each(
    function: WindowFunction, size: tuple[int, ...], stride: Size | None, align: Align
) -> SlidingStatistic:
    """A statistic of the window about every sample, or about every `stride`-th one.

    Windows lie like the taps of a filter: with (N - 1) // 2 samples behind the middle one, or all
    of them before it if causal.
    """
    written = " x ".join(f"{n:,}" for n in size)
    refuse_huge(math.prod(size), f"a window of {written}", "a smaller N")
    later = tuple((n - 1) // 2 for n in size) if align == "center" else (0,) * len(size)
    return SlidingStatistic(
        function=function,
        size=size,
        step=stride or (1,) * len(size),
        before=tuple(n - 1 - after for n, after in zip(size, later, strict=True)),
        anchor=(0,) * len(size),
        opacity="masks",
    )


def _changing(
    function: WindowFunction, size: tuple[int, ...], stride: Size | None, align: Align
) -> SlidingStatistic | None:
    """`_of_each`, or None where a window is one sample and the statistic is the sample itself."""
    if math.prod((*size, *(stride or ()))) == 1:
        return None
    return _of_each(function, size, stride, align)


@step("windows", example="median:5")
def median(n: Size, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """Median of each window of N (or HxW) samples: smooths, removes spikes and keeps edges.

    Of an even number of known samples it is the mean of the two in the middle. `stride=S` gives
    only every Sth output.
    """
    return _changing(Median(), n, stride, align)


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
    return _of_each(Moment(centred=True, root=root, ddof=ddof), n, stride, align)


@step("windows", example="rms:5")
def rms(n: Size, *, stride: Size | None = None, align: Align) -> SlidingStatistic:
    """Root mean square of each window of N (or HxW) samples: the level of a sound.

    `stride=S` gives only every Sth output.
    """
    return _of_each(Moment(centred=False, root=True), n, stride, align)


@step("windows", example="min:5", name="min", aliases=("erode",))
def minimum(n: Size, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """Smallest of each window of N (or HxW) samples; on pictures an erosion.

    `min:3 | max:3` is an opening. `stride=S` gives only every Sth output.
    """
    return _changing(Extreme(of_two=np.fmin), n, stride, align)


@step("windows", example="max:5", name="max", aliases=("dilate",))
def maximum(n: Size, *, stride: Size | None = None, align: Align) -> SlidingStatistic | None:
    """Largest of each window of N (or HxW) samples; on pictures a dilation.

    `max:3 | min:3` is a closing. `stride=S` gives only every Sth output.
    """
    return _changing(Extreme(of_two=np.fmax), n, stride, align)
