"""Smoothing: moving averages and bells. Each keeps a constant exactly: the taps sum to 1.

All return one-dimensional taps g of y[t] = sum_j g[j] x[t - j + c], with c = (N - 1) // 2 when
centred.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.kernel import Kernel
from convcli.core.op_formula import OnMissing
from convcli.designs.registry import step
from convcli.designs.taps import on_grid, refuse_huge, weights_of_mean, with_exact_sum
from convcli.errors import RequestError
from convcli.units import Count, Integer, Length, Number, WindowCount, WindowLength

if TYPE_CHECKING:
    from convcli.array_types import Taps

# A Gaussian ends at this many sigmas, as in scipy.ndimage.
TRUNCATE = 4.0

# Binomial weights below 2**-BINOMIAL_BITS are 0. The smallest of 1,000 weights, 2**-999, is not.
BINOMIAL_BITS = 1000
# Of this many binomial weights, all are computed from Pascal's triangle.
_FEW_BINOMIAL = 1000
# Bits behind the smallest binomial weight, so that a million roundings leave it right.
_GUARD_BITS = 128


@step("smoothing", example="box:5", aliases=("sma",))
def box(n: Count) -> Kernel:
    """Mean of N samples, each with the same weight (moving average).

    n : samples. g[j] = 1 / N.

    >>> box(4).weights
    array([0.25, 0.25, 0.25, 0.25])
    """
    refuse_huge(n, f"a mean of {n:,} samples", "downsample first, then smooth fewer samples")
    return Kernel(taps=np.ones(n), divisor=n)


@step("smoothing", example="wma:5")
def wma(n: Count) -> Kernel:
    """Mean of N samples with weights N ... 2, 1, the newest the heaviest (weighted moving average).

    n : samples. g[j] = 2 (N - j) / (N (N + 1)), j = 0 the newest.

    >>> wma(3).taps, wma(3).divisor
    (array([3., 2., 1.]), 6.0)
    """
    refuse_huge(n, f"a mean of {n:,} samples", "downsample first, then smooth fewer samples")
    return Kernel(taps=np.arange(n, 0.0, -1.0), divisor=n * (n + 1) / 2)


@step("smoothing", example="ema:span=5")
def ema(
    *,
    span: WindowLength | None = None,
    alpha: Number | None = None,
    halflife: WindowLength | None = None,
    adjust: bool = False,
) -> Kernel:
    """Exponential moving average; give one of span, alpha and halflife.

    alpha : weight of the newest sample, 0 < alpha <= 1
    span : alpha = 2 / (span + 1), span >= 1 samples
    halflife : alpha = 1 - 2**(-1 / halflife), samples in which a weight falls to its half

    g[j] = alpha (1 - alpha)**j, cut where the rest of the sum is below the rounding of float64; the
    last tap carries the rest, and later than that nothing is left of a sample. This is
    y[t] = alpha x[t] + (1 - alpha) y[t - 1] with y[0] = x[0] (adjust=false); adjust=true divides
    the first outputs by the sum of their weights so far, as pandas does by default. Over a gap
    adjust=false holds the last known sample, and adjust=true renormalises the weights, as pandas
    does. So ema:alpha=1 with --missing fill is a forward fill. It begins with the first sample, so
    that --edge missing leaves out none.
    Raises RequestError unless exactly one of the three is given.

    >>> ema(alpha=0.5).taps[:3]
    array([0.5  , 0.25 , 0.125])
    """
    on_missing: OnMissing = "renormalise" if adjust else "hold"
    weight = _ema_weight(span, alpha, halflife)
    if weight == 1:
        return Kernel(taps=np.ones(1), on_missing=on_missing)
    log_factor = math.log1p(-weight)
    count = math.ceil(-53 * math.log(2) / log_factor)
    refuse_huge(count, "this average", "a shorter span, or downsample first")
    decay = np.exp(np.arange(count) * log_factor)
    taps = weight * decay
    taps[-1] = decay[-1]
    # Where a gap holds the last value, every window is complete. Taps on a grid have fewer digits,
    # so that long ones take less time.
    weights = weights_of_mean(taps) if adjust else on_grid(taps, 1.0, at=0)
    return Kernel(taps=weights, centre=(0,), on_missing=on_missing, recursive=True)


def _ema_weight(span: float | None, alpha: float | None, halflife: float | None) -> float:
    """The weight of the newest sample; RequestError unless exactly one of the three is given."""
    options = {"span": span, "alpha": alpha, "halflife": halflife}
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        came = " and ".join(given) or "none"
        message = f"takes exactly one of span=, alpha= and halflife=, got {came}"
        raise RequestError(message, hint="ema:span=20")
    if span is not None:
        if span < 1:
            raise RequestError(f"span must be at least 1 sample, got {span:g}", hint="ema:span=20")
        return 2 / (span + 1)
    if halflife is not None:
        return -math.expm1(-math.log(2) / halflife)
    weight = float(alpha or 0)
    if not 0 < weight <= 1:
        message = f"alpha must be above 0 and at most 1, got {weight:g}"
        raise RequestError(message, hint="ema:alpha=0.1")
    return weight


def gaussian_taps(sigma: float) -> Taps:
    """(2 r + 1,) samples of exp(-n**2 / (2 sigma**2)) up to r = 4 sigma, scaled to sum to 1."""
    hint = "downsample first, then smooth less"
    refuse_huge(2 * TRUNCATE * sigma, f"a gaussian of sigma {sigma:g}", hint)
    radius = int(TRUNCATE * sigma + 0.5)
    sigmas = np.arange(-radius, radius + 1) / sigma
    taps = np.exp(-0.5 * sigmas**2)
    return weights_of_mean(taps)


@step("smoothing", example="gaussian:1.5")
def gaussian(sigma: Length) -> Kernel:
    """Gaussian bell of standard deviation SIGMA, cut at 4 sigma.

    sigma : samples, may be fractional

    g[j] ~ exp(-n**2 / (2 sigma**2)), n = j - r, r = int(4 sigma + 0.5), the taps of
    scipy.ndimage.gaussian_filter1d. Its -3 dB point lies at 0.1325 / sigma cycles/sample.

    >>> gaussian(0.5).taps.round(4)
    array([3.000e-04, 1.065e-01, 7.866e-01, 1.065e-01, 3.000e-04])
    """
    return Kernel(taps=gaussian_taps(sigma))


@step("smoothing", example="triangle:5")
def triangle(n: WindowCount) -> Kernel:
    """Mean of N samples with weights that rise evenly to the middle and fall again.

    n : samples

    N odd: 1, 2, ... (N + 1) / 2 ... 2, 1; N even: 1, 3, ... N - 1, N - 1, ... 3, 1; divided by
    their sum. The shape of scipy.signal.windows.triang.

    >>> triangle(5).taps, triangle(5).divisor
    (array([1., 2., 3., 2., 1.]), 9.0)
    """
    refuse_huge(n, f"a mean of {n:,} samples", "downsample first, then smooth fewer samples")
    rise = np.arange(1.0, n + 1) if n % 2 else np.arange(1.0, 2 * n, 2)
    taps = np.minimum(rise, rise[::-1])
    return Kernel(taps=taps, divisor=float(taps.sum()))


@step("smoothing", example="binomial:5")
def binomial(n: Count) -> Kernel:
    """Mean of N samples with the weights of Pascal's triangle: 1, 4, 6, 4, 1 for N = 5.

    n : samples. g[j] = C(N - 1, j) / 2**(N - 1), a bell of sigma sqrt(N - 1) / 2. Weights below
        2**-1000, which is 37 sigma from the middle, are 0.

    >>> binomial(5).taps, binomial(5).divisor
    (array([1., 4., 6., 4., 1.]), 16.0)
    """
    refuse_huge(n, f"a mean of {n:,} samples", "downsample first, then smooth fewer samples")
    if n > _FEW_BINOMIAL:
        return Kernel(taps=weights_of_mean(_many_binomial_weights(n)))
    weights = [float(math.comb(n - 1, j)) for j in range(n)]
    if n <= 54:  # up to here whole numbers and their sum are exact in float64
        return Kernel(taps=np.array(weights), divisor=2.0 ** (n - 1))
    return Kernel(taps=weights_of_mean(np.ldexp(weights, 1 - n)))


def _many_binomial_weights(n: int) -> Taps:
    """(n,) the weights C(n - 1, j) / 2**(n - 1), from the middle outwards, each correctly rounded.

    The recurrence C(n - 1, j - 1) = C(n - 1, j) j / (n - j) runs in whole numbers, whose scale
    leaves at least `_GUARD_BITS` bits of the smallest weight that is kept.
    """
    upper = n // 2
    unit = 1 << (BINOMIAL_BITS + _GUARD_BITS)
    smallest = 1 << _GUARD_BITS
    falling = []
    weight = unit
    place = upper
    while weight >= smallest:
        falling.append(weight)
        weight = weight * (n - 1 - place) // (place + 1)
        place += 1
    total = 2 * sum(falling)
    if n % 2:
        # The one in the middle is no pair.
        total -= unit
    taps = np.zeros(n)
    for distance, kept in enumerate(falling):
        rounded = kept / total
        taps[upper + distance] = rounded
        taps[n - 1 - upper - distance] = rounded
    return taps


@step("smoothing", example="hann:5")
def hann(n: WindowCount) -> Kernel:
    """Raised cosine over N samples, none of them zero.

    n : samples. g[j] ~ sin(pi (j + 1) / (N + 1))**2.

    >>> hann(3).taps
    array([0.25, 0.5 , 0.25])
    """
    refuse_huge(n, f"a mean of {n:,} samples", "downsample first, then smooth fewer samples")
    numbers = np.arange(1, n + 1)
    # The sine of an angle near pi has fewer right digits than that of its distance from pi.
    from_nearest_end = np.minimum(numbers, numbers[::-1])
    angles = np.pi * from_nearest_end / (n + 1)
    return Kernel(taps=weights_of_mean(np.sin(angles) ** 2))


@step("smoothing", example="savgol:7,2", regular=True)
def savgol(n: Count, order: Integer, *, deriv: Integer = 0) -> Kernel:
    """Savitzky-Golay: the middle of the polynomial of degree ORDER fitted to N samples.

    n : samples
    order : 0 ... N - 1
    deriv : 0 is the fitted value, D its D-th derivative, per sample, on a picture along x (axis=y:
        downwards)

    The taps are the row e_D of the least squares solution (V^T V)^-1 V^T, with V in Legendre
    polynomials on -1 ... 1 and solved by QR, so that long windows and high degrees stay accurate
    (Savitzky and Golay, Analytical Chemistry 36, 1964). A polynomial of degree ORDER passes
    unchanged. Raises RequestError when the degree does not fit the window.

    >>> (savgol(5, 2).taps * 35).round(9)
    array([-3., 12., 17., 12., -3.])
    """
    refuse_huge(
        n * (order + 1),
        f"a fit of order {order:,} to {n:,} samples",
        "fewer samples or a lower order",
    )
    if not 0 <= order < n:
        message = f"the order for a window of {n} must be in 0 ... {n - 1}, got {order}"
        raise RequestError(message, hint="savgol:7,2 fits parabolas to 7 samples")
    if not 0 <= deriv <= order:
        message = f"a polynomial of order {order} has derivatives 0 ... {order}, not {deriv}"
        least = max(deriv, 0)
        hint = f"savgol:{n},{least},deriv={least}" if deriv < n else None
        raise RequestError(message, hint=hint)
    taps = _polynomial_taps(n, order, deriv)
    if deriv > 0:
        slope = with_exact_sum(taps - taps.mean(), 0.0)
        along_x = Kernel(taps=slope[None, :])
        return Kernel(taps=slope, plane=lambda: along_x)
    return Kernel(taps=with_exact_sum(taps / taps.sum(), 1.0))


def _polynomial_taps(n: int, order: int, deriv: int) -> Taps:
    """(n,) taps for the `deriv`-th derivative, at the middle, of a polynomial fitted to a window.

    In the Legendre basis B = Q R, on which the fit is well conditioned, the weights are Q R'^-1 d,
    with d the derivatives of the basis at the middle.
    """
    legendre = np.polynomial.legendre
    middle = (n - 1) / 2
    half = max(middle, 0.5)
    places = (np.arange(n) - middle) / half
    basis = legendre.legvander(places, order)
    derivatives = legendre.legder(np.eye(order + 1), m=deriv, axis=0)
    at_middle = legendre.legval(0.0, derivatives) / half**deriv
    q, r = np.linalg.qr(basis)
    weights = q @ np.linalg.solve(r.T, at_middle)
    # The exact weights are even or odd about the middle; this makes the rounded ones even or odd.
    mirrored = weights[::-1] * (-1) ** deriv
    symmetric = (weights + mirrored) / 2
    return np.asarray(symmetric[::-1], dtype=np.float64)
