"""Sums of products, y[k] = sum_j w[j] * x[k*step + j], by the path that costs least.

Only "valid" outputs are computed. `w` is in window order (the taps of a convolution, reversed); `x`
has its sample axes first and one channel axis last. The paths differ in speed, and in the answer
only by rounding:

* direct (convolve_direct.py): the sum by its definition, with an answer that does not depend on
  where a block ends;
* product (polyphase.py): windows times a banded Toeplitz matrix, for strides;
* FFT (fft.py): overlap-save;
* pictures have paths of their own (convolve_2d.py).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from convcli.core.convolve_2d import plane_valid
from convcli.core.convolve_direct import UNROLLED, direct, dot_products
from convcli.core.fft import divides_frames, overlap_save, points_per_output
from convcli.core.polyphase import BAND, PhaseTaps, polyphase
from convcli.samples import as_samples, is_stored, summed

if TYPE_CHECKING:
    from convcli.signals import Array

    Taps = npt.NDArray[np.float64]

Path = Literal["direct", "product", "fft"]

# Nanoseconds for one output of one channel in float64, measured by benchmarks/crossover.py. With a
# stride, the direct path still computes every output; the FFT path transforms every input forward
# and only the kept outputs back.
COST = {
    "few taps": 0.55,
    "each of few taps": 0.12,
    "many taps": 6.5,
    "each of many taps": 0.055,
    "product": 1.3,
    "product, each input": 0.24,
    "product, each tap": 0.036,
    "fft, each point": 0.215,
}

# `exact` filters stay on the direct path up to this many taps: tables are compared as text, and
# must not depend on where blocks end.
EXACT_TAPS = 4096

# Up to this many taps other than 0 are added one after the other, however far apart they are.
SPARSE = 2

# 2**27 + 1 splits a float64 into two halves of 26 bits (Dekker, 1971).
_SPLITTER = 134217729.0


def correlate_valid(
    x: Array, w: Taps, step: tuple[int, ...], *, exact: bool, finite: bool = False
) -> Array:
    """The valid correlation of `x` with `w` along its leading axes, every `step`-th output.

    x : (n, channels) or (rows, columns, channels) floating without NaN, or stored numbers; w : (k,)
        or 2-D
    exact : keep to the direct path up to EXACT_TAPS, for answers that do not depend on where a
        block ends
    finite : x is known to hold no infinity
    Returns ((n - k) // step + 1, ...) of the dtype of x, or of the samples that its numbers
    represent; for bytes, int16 if that holds every sum. Raises ValueError if `x` is shorter than
    `w`.
    """
    if any(n < k for n, k in zip(x.shape, w.shape, strict=False)):
        raise ValueError(f"{x.shape} holds no window of {w.shape}")
    if not finite and not all_finite(x):
        return _around_infinities(x, w, step, exact=exact)
    if w.ndim == 2:
        return plane_valid(x, w, step)
    nonzero = int(np.count_nonzero(w))
    path = cheapest_path(nonzero, w.size, step[0], exact=exact)
    if path == "fft":
        return overlap_save(x, w, step[0])
    if path == "product":
        outputs = (len(x) - w.size) // step[0] + 1
        return polyphase(x, PhaseTaps.one_phase(w, step[0]), (0, outputs))
    if nonzero <= SPARSE:
        return direct(as_samples(x), w, step)
    return dot_products(as_samples(x), w, step[0])


# -------------------------------------------------------------------------------- cost of the paths


def cheapest_path(nonzero: int, k: int, step: int, *, exact: bool) -> Path:
    """The path that costs least for `k` taps, `nonzero` of them not 0, at a stride of `step`."""
    if nonzero <= SPARSE or (exact and k <= EXACT_TAPS):
        return "direct"
    paths: tuple[Path, ...] = ("direct", "fft")
    if step > 1:
        paths = (*paths, "product")
    return min(paths, key=lambda path: price(path, k, step))


def price(path: Path, k: int, step: int) -> float:
    """Nanoseconds for one output of one channel."""
    return sum(COST[name] * count for name, count in priced(path, k, step).items())


def priced(path: Path, k: int, step: int) -> dict[str, float]:
    """How many of each item of COST one output takes."""
    if path == "direct":
        kind = "few taps" if k <= UNROLLED else "many taps"
        return {kind: step, f"each of {kind}": k * step}
    if path == "product":
        multiplied = k + (BAND - 1) * step
        return {"product": 1, "product, each input": step, "product, each tap": multiplied}
    transformed_back = 1 if divides_frames(step) else step
    return {"fft, each point": points_per_output(k) * (step + transformed_back) / 2}


# --------------------------------------------------------------------------------------- infinities


def all_finite(x: Array) -> bool:
    """Whether `x` holds neither NaN nor infinity."""
    return is_stored(x) or x.size == 0 or (math.isfinite(x.min()) and math.isfinite(x.max()))


def _around_infinities(x: Array, w: Taps, step: tuple[int, ...], *, exact: bool) -> Array:
    """The correlation where an infinity spreads no further than the windows that hold it."""
    finite = np.isfinite(x)
    y = correlate_valid(np.where(finite, x, 0.0).astype(x.dtype), w, step, exact=exact)
    infinite = np.where(finite, 0.0, 1.0)
    is_tap = (w != 0).astype(np.float64)
    affected = correlate_valid(infinite, is_tap, step, exact=exact) > 0.5
    for first, last in runs(affected):
        inputs = x[first * step[0] : (last - 1) * step[0] + len(w)]
        with np.errstate(invalid="ignore"):
            part = direct(inputs, w, step)
        np.copyto(y[first:last], part, where=affected[first:last])
    return y


def runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The runs [first, last) along axis 0 in which `flags` is true anywhere on the other axes."""
    flags = np.asarray(flags.reshape(len(flags), -1).any(axis=1))
    changes = np.diff(flags.astype(np.int8), prepend=0, append=0)
    edges = np.flatnonzero(changes).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


# --------------------------------------------------------------------------- division, rounded once


def mean_valid(
    x: Array,
    w: Taps,
    divisor: float,
    step: tuple[int, ...],
    *,
    exact: bool,
    finite: bool = False,
) -> Array:
    """`correlate_valid` over a divisor.

    It is rounded only once if `exact`, the taps are whole numbers and x is float64: the mean of
    three times 0.1 is then 0.1, and that of 10.1 and 10.2 is 10.15.
    """
    if divisor == 1:
        return correlate_valid(x, w, step, exact=exact, finite=finite)
    if exact and w.ndim == 1 and w.size <= EXACT_TAPS and x.dtype == np.float64:
        high, low = (
            correlate_valid(half, w, step, exact=True, finite=finite) for half in halves(x)
        )
        return quotient(high, low, np.float64(divisor))
    y = summed(correlate_valid(x, w, step, exact=exact, finite=finite))
    return np.divide(y, y.dtype.type(divisor), out=y)


def halves(x: Array) -> tuple[Array, Array]:
    """Two numbers of 26 bits that add up to x (Dekker, 1971).

    Their products with small whole numbers are exact.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = x * _SPLITTER
        high = scaled - (scaled - x)
        high = np.where(np.isfinite(high), high, x)
        low = np.where(np.isfinite(x), x - high, 0.0)
    return high, low


def quotient(high: Array, low: Array, divisor: Any) -> Array:
    """(high + low) / divisor, corrected by the remainder of the division."""
    first = (high + low) / divisor
    first_high, first_low = halves(first)
    remainder = ((high - first_high * divisor) - first_low * divisor) + low
    correction = remainder / divisor
    rounded: Array = first + np.where(np.isfinite(correction), correction, 0.0)
    return rounded
