"""Differences to earlier samples, derivatives, and earlier samples themselves (`lag`).

All steps but `lag` turn a constant into exactly 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from convcli.core.kernel import MOST_TAPS, Kernel
from convcli.core.ops import Convolve, RelativeChange
from convcli.designs.registry import step
from convcli.designs.smoothing import TRUNCATE, gaussian_taps
from convcli.designs.taps import refuse_huge, with_exact_sum
from convcli.errors import RequestError
from convcli.signals import Align, Signal
from convcli.units import Lag, Length

if TYPE_CHECKING:
    from convcli.array_types import Taps

Axis = Literal["x", "y"]

# The smallest sigma, in samples, at which the samples still resemble the derivative.
SHARPEST = 0.5


@step("differences", example="diff:1")
def diff(n: Lag = 1, *, axis: Axis | None = None, signal: Signal) -> Kernel:
    """Difference to the sample N before: x[t] - x[t-N].

    n : samples; axis : on an image x (to the pixel N to the left, the default) or y (N above).
    The difference is aligned with the later sample, also with --align center.
    """
    refuse_huge(n + 1, f"a difference over {n:,} samples", "downsample first")
    taps = np.zeros(n + 1)
    taps[0], taps[-1] = 1, -1
    return _along(axis, taps, signal, centre=0)


@step("differences", example="lag:1")
def lag(n: Lag = 1, *, axis: Axis | None = None, signal: Signal, align: Align) -> Convolve:
    """The sample N before: x[t-N].

    n : samples, at least 1; axis : on an image x (the pixel N to the left, the default) or y (N
        above).
    What is missing is missing N samples later and nowhere else, as after shift(N) in pandas. It is
    the same with --align center.
    """
    refuse_huge(n + 1, f"a lag of {n:,} samples", "downsample first")
    taps = np.zeros(n + 1)
    taps[-1] = 1
    kernel = _along(axis, taps, signal, centre=0)
    # The output is another sample, whether or not the one in its own place is missing.
    return replace(Convolve.by(kernel, align), summarises=True)


@step("differences", example="pct_change:1")
def pct_change(n: Lag = 1, *, axis: Axis | None = None, signal: Signal) -> RelativeChange:
    """Relative change since the sample N before: x[t] / x[t-N] - 1.

    n : samples, at least 1; axis : as in diff

    0.05 is a rise by 5 per cent. It is missing where the earlier sample is 0 or either one is
    missing.
    """
    refuse_huge(n + 1, f"a change over {n:,} samples", "downsample first")
    window = _along(axis, np.zeros(n + 1), signal, centre=0).taps.shape
    lags = tuple(side - 1 for side in window)
    return RelativeChange(lags=lags, keeps=signal.alpha)


@step("differences", example="gradient")
def gradient(*, axis: Axis | None = None, signal: Signal) -> Kernel:
    """Central difference: (x[t+1] - x[t-1]) / 2.

    axis : on an image x (rises to the right, the default) or y (downwards). Causal: (x[t] - x[t-2])
        / 2.
    """
    return _along(axis, np.array([1.0, 0.0, -1.0]), signal, centre=1, divisor=2)


def _along(
    axis: Axis | None, taps: Taps, signal: Signal, *, centre: int, divisor: float = 1.0
) -> Kernel:
    if signal.axes == 1:
        if axis is not None:
            message = "axis= is for images; this signal has one axis"
            raise RequestError(message, hint="leave axis= out")
        return Kernel(taps=taps, divisor=divisor, centre=(centre,))
    if axis == "y":
        return Kernel(taps=taps[:, None], divisor=divisor, centre=(centre, 0))
    return Kernel(taps=taps[None, :], divisor=divisor, centre=(0, centre))


@step("differences", example="laplacian")
def laplacian(*, signal: Signal) -> Kernel:
    """Second difference: 1,-2,1; on an image 0,1,0; 1,-4,1; 0,1,0."""
    if signal.axes == 1:
        return Kernel(taps=np.array([1.0, -2.0, 1.0]))
    return Kernel(taps=np.array([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]))


@step("differences", example="laplacian_of_gaussian:1")
def laplacian_of_gaussian(sigma: Length, *, signal: Signal) -> Kernel:
    """Second derivative of the signal smoothed by a Gaussian of SIGMA (edges, blobs of that size).

    sigma : samples, at least 0.5

    The taps are g(n) (n**2 / sigma**4 - 1 / sigma**2) with g the taps of gaussian:SIGMA, less the
    multiple of g that makes the sum 0; on an image the sum of both axes (Marr and Hildreth, 1980).
    Raises RequestError below 0.5, where the curve is too narrow to be sampled.
    """
    if sigma < SHARPEST:
        message = f"sigma must be at least {SHARPEST} samples, got {sigma:g}"
        raise RequestError(message, hint="laplacian is the sharpest of these filters")
    _refuse_huge_square(sigma, signal)
    bell = gaussian_taps(sigma)
    n = np.arange(bell.size) - bell.size // 2
    parabola = n**2 / sigma**4 - 1 / sigma**2
    curve = bell * parabola
    curve -= curve.sum() * bell
    if signal.axes == 1:
        return Kernel(taps=with_exact_sum(curve, 0.0))
    both_axes = np.outer(curve, bell) + np.outer(bell, curve)
    return Kernel(taps=with_exact_sum(both_axes, 0.0))


@step("differences", example="dog:1,1.6")
def dog(sigma1: Length, sigma2: Length, *, signal: Signal) -> Kernel:
    """Difference of Gaussians: gaussian:S1 minus gaussian:S2 (a band of detail).

    sigma1, sigma2 : samples, not equal. Raises RequestError where both give the same taps.
    """
    wider = max(sigma1, sigma2)
    _refuse_huge_square(wider, signal)
    radius = int(TRUNCATE * wider + 0.5)
    first = gaussian_within(sigma1, radius)
    second = gaussian_within(sigma2, radius)
    if np.array_equal(first, second):
        both = f"the Gaussians of {sigma1:g} and {sigma2:g} samples"
        message = f"{both} are the same, and their difference is 0"
        raise RequestError(message, hint="dog:1,1.6")
    if signal.axes == 2:
        first = np.outer(first, first)
        second = np.outer(second, second)
    return Kernel(taps=with_exact_sum(first - second, 0.0))


def gaussian_within(sigma: float, radius: int) -> Taps:
    """(2 radius + 1,) the taps of gaussian:SIGMA between zeros."""
    bell = gaussian_taps(sigma)
    return np.pad(bell, radius - bell.size // 2)


def _refuse_huge_square(sigma: float, signal: Signal) -> None:
    count = 2 * TRUNCATE * sigma + 1
    if signal.axes == 2:
        count = min(count, MOST_TAPS) ** 2
    refuse_huge(count, f"sigma {sigma:g}", "a smaller sigma, or downsample first")
