"""The sums of products: y[k] = sum_j w[j] * x[k*step + j], "valid" only, by the cheapest of several paths.

Everything here takes `w` in window order (a convolution's taps reversed) and `x` with its sample axes first and
one channel axis last. The paths differ in speed, never in the answer beyond rounding:

* direct: the sum by its definition. The same additions in the same order for every output, so that blocks of any
  size give bit for bit the same answer.
* product: windows times a banded Toeplitz matrix (BLAS), for strides.
* fft: overlap-save (fourier.py).
* planes: OpenCV's filters, for images; separable kernels as two passes (long ones by `product` or `fft`), others from
  some 50 taps on by its FFT tiles.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.fourier import folds, overlap_save, points_per_output
from convcli.core.polyphase import BAND, phased_lines, phased_product
from convcli.samples import as_samples, is_stored, sample_type

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
    x: Array, w: npt.NDArray[np.float64], step: tuple[int, ...], *, exact: bool, finite: bool = False
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
        return _plane(x, w, step)
    path = cheapest_path(int(np.count_nonzero(w)), w.size, step[0], exact=exact)
    if path == "fft":
        return overlap_save(x, w, step[0])
    if path == "direct":
        x = as_samples(x)
        return direct(x, w, step) if np.count_nonzero(w) <= SPARSE else dot_products(x, w, step[0])
    return phased_product(x, w[None], np.zeros(1, np.int64), step[0], (0, (len(x) - w.size) // step[0] + 1))


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
        return y / np.float32(divisor) if y.dtype == np.int16 else np.divide(y, y.dtype.type(divisor), out=y)
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
        return {"product": 1, "product, each input": step, "product, each tap": k + (BAND - 1) * step}
    return {"fft, each point": points_per_output(k) * (step + (1 if folds(step) else step)) / 2}


def all_finite(x: Array) -> bool:
    """Whether there is neither NaN nor infinity."""
    return is_stored(x) or x.size == 0 or (math.isfinite(x.min()) and math.isfinite(x.max()))


def _around_infinities(x: Array, w: npt.NDArray[np.float64], step: tuple[int, ...], *, exact: bool) -> Array:
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


# ---------------------------------------------------------------------------------------------------- planes

# Taps of a separable kernel up to which OpenCV is the fastest: along both axes at once, where it also computes the rows
# that are cut off; along the rows of floats; along those of bytes. More are a product of matrices, and past
# LONGEST_PRODUCT an FFT.
SHORT_LINE, ROW_OF_FLOATS, ROW_OF_BYTES, LONGEST_PRODUCT = 32, 48, 320, 400

# So wide are the parts of a picture, at least, that long lines are computed in: what lies between two passes is small.
WIDTH = 512

# Up to this side the blocks of a mean are added up row by row.
LARGEST_BLOCK = 16

# What bytes times whole numbers may come to in two bytes.
LARGEST_SUM = 32767


def _plane(x: Array, w: npt.NDArray[np.float64], step: tuple[int, ...]) -> Array:
    if step == w.shape and max(step) <= LARGEST_BLOCK and (w == 1).all():
        return _block_sums(x, w.shape)
    pair = factor(w)
    if step == (1, 1):
        return _filter_plane(x, w) if pair is None else _filter_lines(x, *pair)
    if pair is not None:
        return _strided_lines(_strided_lines(x, pair[0], step[0], 0), pair[1], step[1], 1)
    return np.ascontiguousarray(_filter_plane(x, w)[:: step[0], :: step[1]])


def factor(w: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """The column and row whose outer product `w` is, or None. Whole numbers stay whole where the pivot is a unit.

    >>> [v.tolist() for v in factor(np.outer([1.0, 2, 1], [1, 0, -1]))]
    [[1.0, 2.0, 1.0], [1.0, 0.0, -1.0]]
    """
    i, j = np.unravel_index(int(np.argmax(np.abs(w))), w.shape)
    units = np.argwhere(np.abs(w) == 1)
    if len(units):
        i, j = units[0]
    pivot = w[i, j]
    if pivot == 0:
        return None
    column, row = w[:, j].copy(), w[i] / pivot
    if not np.allclose(np.outer(column, row), w, rtol=1e-13, atol=1e-15 * float(np.abs(w).max())):
        return None
    return column, row


def _strided_lines(x: Array, w: npt.NDArray[np.float64], step: int, axis: int) -> Array:
    """The valid strided correlation along one axis of an image: only what is kept is computed."""
    if w.size == 1:
        y: Array = x[(slice(None),) * axis + (slice(None, None, step),)] * w.astype(sample_type(x))
        return y
    outputs = (x.shape[axis] - w.size) // step + 1
    return phased_lines(x, w[None], np.zeros(1, np.int64), step, (0, outputs), axis=axis)


def _block_sums(x: Array, size: tuple[int, ...]) -> Array:
    """The sums of blocks of `size` that lie side by side."""
    (height, width), channels = size, x.shape[-1]
    rows, columns = x.shape[0] // height, x.shape[1] // width
    total: Any = x[: rows * height : height]
    for j in range(1, height):
        part = x[j : rows * height : height]
        # Two bytes hold the sum of as many bytes as a small block is high.
        total = np.add(total, part, dtype=np.uint16 if x.dtype == np.uint8 else x.dtype, casting="unsafe")
    y = np.empty((rows, columns, channels), sample_type(x))
    for c in range(channels):  # long loops: the channels lie beside each other
        np.copyto(y[..., c], total[:, : columns * width : width, c])
        for i in range(1, width):
            y[..., c] += total[:, i : columns * width : width, c]
    return y


def _filter_lines(x: Array, column: npt.NDArray[np.float64], row: npt.NDArray[np.float64]) -> Array:
    """The rows, then the columns; both at once where they are short."""
    if max(column.size, row.size) <= SHORT_LINE:
        return _separable(x, column, row, whole=_adds_up(x, np.outer(column, row)))
    rows, columns = len(x) - column.size + 1, x.shape[1] - row.size + 1
    y = np.empty((rows, columns, x.shape[2]), sample_type(x))
    width = max(WIDTH, 8 * row.size)
    for left in range(0, columns, width):
        part = x[:, left : left + width + row.size - 1]
        y[:, left : left + width] = _line(_line(part, row, axis=1), column, axis=0)
    return y


def _line(x: Array, w: npt.NDArray[np.float64], *, axis: int) -> Array:
    """The valid correlation along one axis; of bytes as float32."""
    longest = SHORT_LINE if axis == 0 else ROW_OF_BYTES if x.dtype == np.uint8 else ROW_OF_FLOATS
    if w.size <= longest:
        return _separable(x, *((w, np.ones(1)) if axis == 0 else (np.ones(1), w)), whole=False)
    lines = np.moveaxis(x, axis, 0)
    lanes = np.ascontiguousarray(lines, sample_type(x)).reshape(len(lines), -1)
    if w.size <= LONGEST_PRODUCT:
        y = phased_product(lanes, w[None], np.zeros(1, np.int64), 1, (0, len(lines) - w.size + 1))
    else:
        y = overlap_save(lanes, w)
    return np.moveaxis(y.reshape(len(y), *lines.shape[1:]), 0, axis)


def _separable(x: Array, column: npt.NDArray[np.float64], row: npt.NDArray[np.float64], *, whole: bool) -> Array:
    import cv2

    depth = _depth(x, whole=whole)
    y = cv2.sepFilter2D(np.ascontiguousarray(x), depth, row, column, borderType=cv2.BORDER_CONSTANT)
    return _crop(np.asarray(y), x, (column.size, row.size))


def _filter_plane(x: Array, w: npt.NDArray[np.float64]) -> Array:
    import cv2

    depth = _depth(x, whole=_adds_up(x, w))
    x = x.astype(np.float32) if depth == cv2.CV_32F else x
    y = cv2.filter2D(np.ascontiguousarray(x), depth, w, borderType=cv2.BORDER_CONSTANT)
    return _crop(np.asarray(y), x, w.shape)


def _adds_up(x: Array, w: npt.NDArray[np.float64]) -> bool:
    """Whether `x` holds bytes and `w` whole numbers whose sums of products two bytes hold."""
    return x.dtype == np.uint8 and 255 * np.abs(w).sum() <= LARGEST_SUM and bool((w == np.rint(w)).all())


def _depth(x: Array, *, whole: bool) -> int:
    """What OpenCV is to answer in: of bytes whole numbers or float32, of all else what it is."""
    import cv2

    return -1 if x.dtype != np.uint8 else cv2.CV_16S if whole else cv2.CV_32F


def _crop(y: Array, x: Array, shape: tuple[int, ...]) -> Array:
    """The outputs whose window lay inside; OpenCV anchors a window of k at k // 2 and drops a single channel axis."""
    (height, width), (rows, columns) = shape, x.shape[:2]
    y = y.reshape(x.shape)
    top, left = height // 2, width // 2
    return y[top : top + rows - height + 1, left : left + columns - width + 1]
