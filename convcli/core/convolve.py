"""The sums of products: y[k] = sum_j w[j] * x[k*step + j], "valid" only, by the cheapest of several paths.

Everything here takes `w` in window order (a convolution's taps reversed) and `x` with its sample axes first and
one channel axis last. The paths differ in speed, never in the answer beyond rounding:

* direct: the sum by its definition. The same additions in the same order for every output, so that blocks of any
  size give bit for bit the same answer.
* product: windows times a banded Toeplitz matrix (BLAS), for strides.
* fft: overlap-save (fourier.py).
* pictures have paths of their own (pictures.py).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.convolve_2d import plane_valid
from convcli.core.fft import divides_frames, overlap_save, points_per_output
from convcli.core.polyphase import BAND, Turns, phased_product
from convcli.samples import as_samples, is_stored, summed

if TYPE_CHECKING:
    from convcli.signals import Array

Path = Literal["direct", "product", "fft"]

# Nanoseconds for one output of one channel in float64, measured by benchmarks/crossover.py. Where every step-th output
# is kept, the direct path computes them all; an FFT is one forward for each input and one back for each output.
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

# Tables are compared as text, row by row and prefix by prefix: they stay on the direct path up to here.
EXACT_TAPS = 4096

# So few taps that are not 0 are added one after the other, however far they lie apart.
SPARSE = 2

CHUNK = 8192

# So few lanes are filtered one by one. So few taps np.correlate adds up by a loop of its own; more by the dot product
# that np.vecdot takes too, of many lanes at once.
FEW, UNROLLED = 4, 11


def correlate_valid(
    x: Array,
    w: npt.NDArray[np.float64],
    step: tuple[int, ...],
    *,
    exact: bool,
    finite: bool = False,
) -> Array:
    """The valid correlation of `x` with `w` along its `w.ndim` leading axes, every `step`-th output.

    x : (n, channels) or (rows, columns, channels) floating without NaN, or stored numbers; w : (k,) or 2-D
    exact : keep to the direct path up to EXACT_TAPS, for answers that do not depend on where a block ends
    finite : x is known to hold no infinity
    Returns ((n - k) // step + 1, ...) of the dtype of x, or of the samples that its numbers stand for; of bytes int16
    where that holds every sum. Raises ValueError if `x` is shorter.
    """
    if any(n < k for n, k in zip(x.shape, w.shape, strict=False)):
        raise ValueError(f"{x.shape} holds no window of {w.shape}")
    if not finite and not all_finite(x):
        return _around_infinities(x, w, step, exact=exact)
    if w.ndim == 2:
        return plane_valid(x, w, step)
    path = cheapest_path(int(np.count_nonzero(w)), w.size, step[0], exact=exact)
    if path == "fft":
        return overlap_save(x, w, step[0])
    if path == "direct":
        x = as_samples(x)
        return direct(x, w, step) if np.count_nonzero(w) <= SPARSE else dot_products(x, w, step[0])
    return phased_product(x, Turns.of(w, step[0]), (0, (len(x) - w.size) // step[0] + 1))


def mean_valid(
    x: Array,
    w: npt.NDArray[np.float64],
    divisor: float,
    step: tuple[int, ...],
    *,
    exact: bool,
    finite: bool = False,
) -> Array:
    """`correlate_valid` over a divisor; rounded but once where `exact`, the taps are whole numbers and x is float64.

    A mean of three times 0.1 is 0.1 then, and that of 10.1 and 10.2 is 10.15.
    """
    if divisor == 1:
        return correlate_valid(x, w, step, exact=exact, finite=finite)
    if not exact or w.ndim > 1 or w.size > EXACT_TAPS or x.dtype != np.float64:
        y = correlate_valid(x, w, step, exact=exact, finite=finite)
        y = summed(y)
        return np.divide(y, y.dtype.type(divisor), out=y)
    high, low = (correlate_valid(half, w, step, exact=True, finite=finite) for half in halves(x))
    return quotient(high, low, np.float64(divisor))


def halves(x: Array) -> tuple[Array, Array]:
    """x as the sum of two numbers of 26 bits, whose products with small whole numbers are exact (Dekker, 1971)."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = x * 134217729.0
        high = scaled - (scaled - x)
        high = np.where(np.isfinite(high), high, x)
        return high, np.where(np.isfinite(high), x - high, 0.0)


def quotient(high: Array, low: Array, divisor: Any) -> Array:
    """(high + low) / divisor with the remainder of the division worked in."""
    first = (high + low) / divisor
    first_high, first_low = halves(first)
    rest = (((high - first_high * divisor) - first_low * divisor) + low) / divisor
    rounded: Array = first + np.where(np.isfinite(rest), rest, 0.0)
    return rounded


def cheapest_path(nonzero: int, k: int, step: int, *, exact: bool) -> Path:
    """The cost rule: which path costs least for `k` taps of which `nonzero` are not 0, at a stride of `step`."""
    if nonzero <= SPARSE or (exact and k <= EXACT_TAPS):
        return "direct"
    paths: tuple[Path, ...] = ("direct", "fft", "product") if step > 1 else ("direct", "fft")
    return min(paths, key=lambda path: price(path, k, step))


def price(path: Path, k: int, step: int) -> float:
    """Nanoseconds for one output of one channel."""
    return sum(COST[name] * count for name, count in priced(path, k, step).items())


def priced(path: Path, k: int, step: int) -> dict[str, float]:
    """What an output costs by the names of COST, and how many of each."""
    if path == "direct":
        kind = "few taps" if k <= UNROLLED else "many taps"
        return {kind: step, f"each of {kind}": k * step}
    if path == "product":
        return {
            "product": 1,
            "product, each input": step,
            "product, each tap": k + (BAND - 1) * step,
        }
    return {
        "fft, each point": points_per_output(k) * (step + (1 if divides_frames(step) else step)) / 2
    }


def all_finite(x: Array) -> bool:
    """Whether there is neither NaN nor infinity."""
    return is_stored(x) or x.size == 0 or (math.isfinite(x.min()) and math.isfinite(x.max()))


def _around_infinities(
    x: Array, w: npt.NDArray[np.float64], step: tuple[int, ...], *, exact: bool
) -> Array:
    """Windows that hold no infinity as if there were none, the others directly, so that it spreads no further."""
    there = np.isfinite(x)
    y = correlate_valid(np.where(there, x, 0.0).astype(x.dtype), w, step, exact=exact)
    reads = (w != 0).astype(np.float64)
    met = correlate_valid(np.where(there, 0.0, 1.0), reads, step, exact=exact) > 0.5
    for first, last in runs(met):
        with np.errstate(invalid="ignore"):
            part = direct(x[first * step[0] : (last - 1) * step[0] + w.shape[0]], w, step)
        np.copyto(y[first:last], part, where=met[first:last])
    return y


def runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The stretches [first, last) of axis 0 in which `flags` is true anywhere."""
    flags = np.asarray(flags.reshape(len(flags), -1).any(axis=1))
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


# ---------------------------------------------------------------------------------------------------- direct


def direct(x: Array, w: npt.NDArray[np.float64], step: tuple[int, ...]) -> Array:
    """The valid correlation by definition, tap after tap, over chunks that stay in the cache."""
    outputs = tuple((n - k) // s + 1 for n, k, s in zip(x.shape, w.shape, step, strict=False))
    y = np.zeros((*outputs, x.shape[-1]), x.dtype)
    taps = [(j, w[j]) for j in zip(*np.nonzero(w), strict=True)]
    rows = max(1, CHUNK // max(1, math.prod(y.shape[1:])))
    scratch = np.empty((min(rows, outputs[0]), *y.shape[1:]), x.dtype)
    for first in range(0, outputs[0], rows):
        part = y[first : first + rows]
        for count, (j, weight) in enumerate(taps):
            window = x[_window((first, *(0,) * (w.ndim - 1)), part.shape, j, step)]
            if count == 0:
                np.multiply(window, weight, out=part)
            else:
                product = scratch[: len(part)]
                np.multiply(window, weight, out=product)
                np.add(part, product, out=part)
    return y


def dot_products(x: Array, w: npt.NDArray[np.float64], step: int) -> Array:
    """The valid correlation along axis 0 with one dot product for each output, the same whatever stands around it."""
    lanes, w = np.ascontiguousarray(x.T), w.astype(x.dtype)
    if len(lanes) <= FEW or lanes.size > len(lanes) * CHUNK:
        y = np.empty(((lanes.shape[1] - w.size) // step + 1, len(lanes)), x.dtype)
        for number, lane in enumerate(lanes):
            y[:, number] = np.correlate(lane, w, "valid")[::step]
        return y
    if w.size <= UNROLLED:
        joined = np.zeros(lanes.shape, x.dtype)
        joined.reshape(-1)[: lanes.size - w.size + 1] = np.correlate(lanes.reshape(-1), w, "valid")
        return joined[:, : lanes.shape[1] - w.size + 1 : step].T
    found: Array = np.vecdot(sliding_window_view(lanes, w.size, axis=1)[:, ::step], w)
    return found.T


def _window(
    first: tuple[int, ...], shape: tuple[int, ...], j: tuple[Any, ...], step: tuple[int, ...]
) -> tuple[slice, ...]:
    """Where the inputs lie that tap `j` meets for the outputs `first ... first + shape`."""
    return tuple(
        slice(o * s + int(i), (o + m - 1) * s + int(i) + 1, s)
        for o, m, i, s in zip(first, shape, j, step, strict=False)
    )
