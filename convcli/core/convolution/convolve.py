"""Sums of products, y[k] = sum_j w[j] * x[k*step + j], by the path that costs least.

Only "valid" outputs are computed. `w` is in window order (the taps of a convolution, reversed); `x`
has its sample axes first and one channel axis last. The paths differ in speed, and in the answer
only by rounding:

* direct (direct.py): the sum by its definition, with an answer that does not depend on
  where a block ends;
* product (polyphase.py): windows times a banded Toeplitz matrix, for strides;
* FFT (fft.py): overlap-save; for sound in frames of a fixed grid (frames.py), with an answer that
  does not depend on where a block ends;
* exact (core/exact/sums.py): FFTs of digits, whose sums are rounded only once, for long windows of
  tables;
* pictures have paths of their own (convolve_2d.py).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from convcli.core.convolution.convolve_2d import plane_valid
from convcli.core.convolution.direct import UNROLLED, direct, dot_products, window_counts
from convcli.core.convolution.fft import divides_frames, overlap_save, points_per_output
from convcli.core.convolution.frames import FrameGrid, correlate_in_frames
from convcli.core.convolution.polyphase import BAND_OUTPUTS, PhaseTaps, polyphase
from convcli.core.exact.sums import exact_sums
from convcli.core.windows.constants import WHOLE_TAPS, keep_constants
from convcli.samples import as_samples, is_stored, sample_type, sums_as_floats

if TYPE_CHECKING:
    from convcli.array_types import BoolArray, Taps
    from convcli.signals import Array


Path = Literal["direct", "product", "fft", "exact"]

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

# Up to this many taps, `exact` filters are computed directly, longer ones by the digits of samples
# and taps: tables are compared as text, and must not depend on where blocks end.
EXACT_TAPS = 4096

# From this many taps on, a box is added up by running sums of digits. On 65,536 samples, an output
# of 200 taps takes 110 ns (by dot products of two halves 160), of 4,000 taps 100 (4,700).
RUNNING_TAPS = 128

# Whole numbers up to this one are added in float64 without rounding.
LARGEST_WHOLE = 2.0**53

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
    exact : for taps of one axis, an output depends on its window alone, not on where a block ends
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
    if exact and nonzero > SPARSE and added_exactly(w):
        path = "exact"
    if path == "fft":
        return overlap_save(x, w, step[0])
    if path == "exact":
        numbers = as_samples(x).astype(np.float64, copy=False)
        return exact_sums(numbers, w, step[0])[0].astype(sample_type(x), copy=False)
    if path == "product":
        outputs = (len(x) - w.size) // step[0] + 1
        return polyphase(x, PhaseTaps.one_phase(w, step[0]), (0, outputs))
    return _by_definition(as_samples(x), w, step, exact=exact)


def _by_definition(x: Array, w: Taps, step: tuple[int, ...], *, exact: bool) -> Array:
    if int(np.count_nonzero(w)) <= SPARSE:
        return direct(x, w, step)
    y = dot_products(x, w, step[0])
    if exact:
        _correct_whole_windows((y,), x, w, step[0])
    return y


def added_exactly(w: Taps) -> bool:
    """Whether exact sums of windows with these taps are sums of digits, (k,) or 2-D taps."""
    if w.ndim > 1:
        return False
    if w.size > EXACT_TAPS:
        return True
    if w.size < RUNNING_TAPS:
        return False
    is_sum = w == 1
    return bool(is_sum.all())


def whole_windows(x: Array, w: Taps, step: int) -> BoolArray | None:
    """The windows of whole numbers whose sums of products float64 may round, (outputs, channels).

    None if there are none. Whether a window is one of them depends on its own samples alone.
    x : (n, channels) finite; w : (k,)
    """
    if x.dtype != np.float64 or x.size == 0 or (w != np.rint(w)).any():
        return None
    most = LARGEST_WHOLE / float(np.abs(w).sum())
    if max(float(x.max()), -float(x.min())) <= most:
        return None
    is_large = np.abs(x) > most
    is_fraction = x != np.rint(x)
    found: BoolArray = any_in_window(is_large, w.size, step)
    found &= ~any_in_window(is_fraction, w.size, step)
    return found if found.any() else None


def any_in_window(flags: BoolArray, k: int, step: int) -> BoolArray:
    """Whether a flag is set in each window of `k` samples, along axis 0."""
    before = np.zeros((len(flags) + 1, flags.shape[1]), np.int64)
    np.cumsum(flags, axis=0, out=before[1:])
    counts = before[k::step] - before[:-k:step]
    found: BoolArray = counts > 0
    return found


def _correct_whole_windows(sums: tuple[Array, ...], x: Array, w: Taps, step: int) -> None:
    """Replace the sums of `whole_windows` by exact ones, in place.

    sums : the sums alone, or their parts high and low
    """
    wanted = whole_windows(x, w, step)
    if wanted is None:
        return
    numbers = x.astype(np.float64, copy=False)
    for first, last in true_runs(wanted):
        inputs = numbers[first * step : (last - 1) * step + w.size]
        for mine, right in zip(sums, exact_sums(inputs, w, step), strict=False):
            np.copyto(mine[first:last], right, where=wanted[first:last])


# -------------------------------------------------------------------------------- cost of the paths


def cheapest_path(nonzero: int, k: int, step: int, *, exact: bool) -> Path:
    """The path that costs least for `k` taps, `nonzero` of them not 0, at a stride of `step`."""
    if nonzero <= SPARSE:
        return "direct"
    if exact:
        return "direct" if k <= EXACT_TAPS else "exact"
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
        multiplied = k + (BAND_OUTPUTS - 1) * step
        return {"product": 1, "product, each input": step, "product, each tap": multiplied}
    transformed_back = 1 if divides_frames(step) else step
    return {"fft, each point": points_per_output(k) * (step + transformed_back) / 2}


# --------------------------------------------------------------------------------------- infinities


def all_finite(x: Array) -> bool:
    """Whether `x` holds neither NaN nor infinity."""
    if is_stored(x) or x.size == 0:
        return True
    if x.flags.c_contiguous:
        # One pass in place of two, a quarter of the time for a short array.
        flat = x.reshape(-1)
        if math.isfinite(np.dot(flat, flat)):
            return True
    return math.isfinite(x.min()) and math.isfinite(x.max())


def _around_infinities(x: Array, w: Taps, step: tuple[int, ...], *, exact: bool) -> Array:
    """The correlation where an infinity spreads no further than the windows that hold it."""
    known = np.where(np.isfinite(x), x, 0.0).astype(x.dtype)
    y = correlate_valid(known, w, step, exact=exact, finite=True)
    return _with_infinities(y, x, w, step)


def _with_infinities(y: Array, x: Array, w: Taps, step: tuple[int, ...]) -> Array:
    """Add the infinities of `x`, times their taps, to the correlation of its finite samples."""
    rises = _meets(x == np.inf, w > 0, step) | _meets(x == -np.inf, w < 0, step)
    falls = _meets(x == np.inf, w < 0, step) | _meets(x == -np.inf, w > 0, step)
    y[rises] = np.inf
    y[falls] = -np.inf
    y[rises & falls] = np.nan
    return y


def _meets(samples: BoolArray, taps: BoolArray, step: tuple[int, ...]) -> BoolArray:
    """Whether one of these samples meets one of these taps, for each output."""
    if not samples.any() or not taps.any():
        outputs = window_counts(samples.shape, taps.shape, step)
        return np.zeros((*outputs, samples.shape[-1]), np.bool_)
    counts = correlate_valid(
        samples.astype(np.float64), taps.astype(np.float64), step, exact=False, finite=True
    )
    return counts > 0.5


def true_runs(flags: BoolArray) -> list[tuple[int, int]]:
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
    three times 0.1 is then 0.1, and that of 10.1 and 10.2 is 10.15. If `exact`, the mean of equal
    samples is their value.
    """
    if not exact or w.ndim > 1:
        y = correlate_valid(x, w, step, exact=exact, finite=finite)
        return y if divisor == 1 else _divided(sums_as_floats(y), divisor)
    if divisor == 1:
        y = correlate_valid(x, w, step, exact=True, finite=finite)
    elif x.dtype == np.float64:
        high, low = double_sums(x, w, step, finite=finite)
        y = corrected_quotient(high, low, np.float64(divisor))
    else:
        sums = correlate_valid(x, w, step, exact=True, finite=finite)
        y = _divided(sums_as_floats(sums), divisor)
    keep_constants(y, as_samples(x), w, divisor, step[0])
    return y


def mean_in_frames(
    w: Taps, divisor: float, grid: FrameGrid, first: int, x: Array, *, finite: bool = False
) -> Array:
    """`mean_valid` through frames of a grid.

    first : the number of the first output, as the grid counts outputs
    """
    if finite or all_finite(x):
        y = correlate_in_frames(x, w, grid, first)
    else:
        known = np.where(np.isfinite(x), x, 0.0).astype(x.dtype)
        y = correlate_in_frames(known, w, grid, first)
        y = _with_infinities(y, x, w, (1,))
    return y if divisor == 1 else _divided(y, divisor)


def _divided(y: Array, divisor: float) -> Array:
    """Divide sums by a number, in place."""
    return np.divide(y, y.dtype.type(divisor), out=y)


def double_sums(
    x: Array, w: Taps, step: tuple[int, ...], *, finite: bool = False
) -> tuple[Array, Array]:
    """The valid correlation of float64 (n, channels) with (k,), as high + low."""
    if finite or all_finite(x):
        return _finite_double_sums(x, w, step)
    known = np.where(np.isfinite(x), x, 0.0)
    high, low = _finite_double_sums(known, w, step)
    return _with_infinities(high, x, w, step), low


def _finite_double_sums(x: Array, w: Taps, step: tuple[int, ...]) -> tuple[Array, Array]:
    if added_exactly(w) or not _halves_are_exact(w):
        return exact_sums(x.astype(np.float64, copy=False), w, step[0])
    high_half, low_half = dekker_halves(x)
    high = correlate_valid(high_half, w, step, exact=True, finite=True)
    low = correlate_valid(low_half, w, step, exact=True, finite=True)
    _correct_whole_windows((high, low), x, w, step[0])
    return high, low


def _halves_are_exact(w: Taps) -> bool:
    """Whether products of whole taps with numbers of 26 bits are float64 without rounding.

    Taps that are not whole are rounded in any case.
    """
    size = np.abs(w).sum()
    if float(size) <= WHOLE_TAPS:
        return True
    is_fraction = w != np.rint(w)
    return bool(is_fraction.any())


def dekker_halves(x: Array) -> tuple[Array, Array]:
    """Two numbers of 26 bits that add up to x (Dekker, 1971).

    Their products with small whole numbers are exact.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = x * _SPLITTER
        high = scaled - (scaled - x)
        high = np.where(np.isfinite(high), high, x)
        low = np.where(np.isfinite(x), x - high, 0.0)
    return high, low


def corrected_quotient(high: Array, low: Array, divisor: Any) -> Array:
    """(high + low) / divisor, corrected by the remainder of the division."""
    first = (high + low) / divisor
    first_high, first_low = dekker_halves(first)
    remainder = ((high - first_high * divisor) - first_low * divisor) + low
    correction = remainder / divisor
    rounded: Array = first + np.where(np.isfinite(correction), correction, 0.0)
    return rounded
