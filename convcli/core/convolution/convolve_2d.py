"""Sums of products of pictures, by the path that costs least.

Small kernels are OpenCV's filters, which work on FFT tiles from about 50 taps on. Separable kernels
are two passes; long ones are matrix products (polyphase.py) or FFTs (fft.py).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolution.fft import overlap_save, overlap_save_along_rows
from convcli.core.convolution.polyphase import PhaseTaps, polyphase, polyphase_along
from convcli.samples import sample_type

if TYPE_CHECKING:
    from convcli.array_types import Taps
    from convcli.signals import Array


# The most taps of a separable kernel at which OpenCV is the fastest; longer ones are matrix
# products. Along both axes at once (where OpenCV also computes rows that are cut off), along pixel
# rows of floats, and along pixel rows of bytes:
SHORT_LINE = 32
SHORT_ROW_OF_FLOATS = 48
SHORT_ROW_OF_BYTES = 320
# The most taps at which a matrix product is the fastest; longer ones are FFTs, as are all longer
# ones along pixel rows of float64.
LONGEST_PRODUCT = 400

# Two passes with long kernels are computed in columns at least this wide, so that little is stored
# between them.
WIDTH = 512

# The means of blocks up to this side are added up row by row.
LARGEST_BLOCK = 16

# The factors of kernels of up to this many taps are kept: each block asks for those of its kernel
# three times, which took 22 of the 660 ms of a Gaussian on 24 megapixels.
LARGEST_KEPT = 1 << 14

# The largest sum of bytes times whole numbers that int16 holds.
LARGEST_SUM = 32767

# Up to this float64 holds every whole number.
LARGEST_WHOLE = 2.0**53


def plane_valid(x: Array, w: Taps, step: tuple[int, ...]) -> Array:
    """The valid correlation along both axes, every `step`-th output.

    x : (rows, columns, channels) finite floating, or bytes; w : (height, width), no larger
    Returns the type that `correlate_valid` returns.
    """
    if step == w.shape and max(step) <= LARGEST_BLOCK and (w == 1).all():
        return _block_sums(x, step)
    lines = factor(w)
    if step == (1, 1):
        if lines is None:
            return _filter_plane(x, w)
        return _filter_lines(x, *lines)
    if lines is None:
        return np.ascontiguousarray(_filter_plane(x, w)[:: step[0], :: step[1]])
    column, row = lines
    rows_kept = _strided_line(x, column, step[0], axis=0)
    return _strided_line(rows_kept, row, step[1], axis=1)


def factor(w: Taps) -> tuple[Taps, Taps] | None:
    """The column and the row whose outer product is `w`, or None if there are none.

    Whole numbers stay whole, so that the sums of whole samples are exact.

    >>> [v.tolist() for v in factor(np.outer([1.0, 2, 1], [1, 0, -1]))]
    [[1.0, 2.0, 1.0], [1.0, 0.0, -1.0]]
    >>> [v.tolist() for v in factor(np.outer([3.0, 10, 3], [-1, 0, 1]))]
    [[3.0, 10.0, 3.0], [-1.0, 0.0, 1.0]]
    """
    if w.size > LARGEST_KEPT:
        return _factored(w)
    return _kept_factors(w.tobytes(), w.shape, w.dtype)


@lru_cache(maxsize=32)
def _kept_factors(
    content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[Taps, Taps] | None:
    """The factors of the taps with this content; nobody may change them."""
    factors = _factored(np.frombuffer(content, dtype).reshape(shape))
    for line in factors or ():
        line.flags.writeable = False
    return factors


def _factored(w: Taps) -> tuple[Taps, Taps] | None:
    size = np.abs(w)
    i, j = np.unravel_index(int(np.argmax(size)), w.shape)
    ones = np.argwhere(size == 1)
    if len(ones):
        i, j = ones[0]
    pivot = w[i, j]
    if pivot == 0:
        return None
    row = w[i] / _divisor_of_row(w[i], pivot)
    column = w[:, j] / row[j]
    rounding = 1e-15 * float(size.max()) + 1e-13 * size
    # This takes half of the time of `np.allclose`, which counts where small pictures are many.
    if (np.abs(np.outer(column, row) - w) > rounding).any():
        return None
    return column, row


def _divisor_of_row(row: Taps, pivot: float) -> float:
    """What a row of taps is divided by: the pivot, or the common divisor of whole numbers.

    The rows of a separable kernel are whole multiples of a whole row without a common divisor.
    """
    if abs(pivot) == 1 or not np.array_equal(row, np.rint(row)) or abs(pivot) > LARGEST_WHOLE:
        return pivot
    return float(np.gcd.reduce(row.astype(np.int64)))


# ------------------------------------------------------------------------------------------ strides


def products_of(taps: Taps) -> int:
    """How many products an output takes; separable taps are applied along one axis at a time."""
    if taps.ndim == 2 and min(taps.shape) > 1 and factor(taps) is not None:
        return sum(taps.shape)
    return taps.size


def _strided_line(x: Array, w: Taps, step: int, *, axis: int) -> Array:
    """The valid correlation along one axis; only the outputs that are kept are computed."""
    if w.size == 1:
        kept = (slice(None),) * axis + (slice(None, None, step),)
        y: Array = x[kept] * w.astype(sample_type(x))
        return y
    taps = PhaseTaps.one_phase(w, step)
    outputs = (x.shape[axis] - w.size) // step + 1
    return polyphase_along(x, taps, (0, outputs), axis=axis)


def _block_sums(x: Array, size: tuple[int, ...]) -> Array:
    """The sums of adjacent blocks of `size`."""
    height, width = size
    rows = x.shape[0] // height
    columns = x.shape[1] // width
    # 16 bits hold the sum of as many bytes as a small block is high.
    sum_type = np.uint16 if x.dtype == np.uint8 else x.dtype
    total: Any = x[: rows * height : height]
    for j in range(1, height):
        part = x[j : rows * height : height]
        total = np.add(total, part, dtype=sum_type, casting="unsafe")
    y = np.empty((rows, columns, x.shape[-1]), sample_type(x))
    # Channel by channel: one long inner loop each, where interleaved channels make short ones.
    for channel in range(x.shape[-1]):
        y[..., channel] = total[:, : columns * width : width, channel]
        for i in range(1, width):
            y[..., channel] += total[:, i : columns * width : width, channel]
    return y


# ------------------------------------------------------------------------------------- every output


def _filter_lines(x: Array, column: Taps, row: Taps) -> Array:
    """The correlation with the outer product of `column` and `row`: rows first, then columns."""
    if max(column.size, row.size) <= SHORT_LINE:
        return _by_sep_filter(x, column, row, whole=_fits_int16(x, np.outer(column, row)))
    rows = len(x) - column.size + 1
    columns = x.shape[1] - row.size + 1
    y = np.empty((rows, columns, x.shape[2]), sample_type(x))
    width = max(WIDTH, 16 * row.size)
    for left in range(0, columns, width):
        right = left + width + row.size - 1
        along_rows = _filter_line(x[:, left:right], row, axis=1)
        y[:, left : left + width] = _filter_line(along_rows, column, axis=0)
    return y


def _filter_line(x: Array, w: Taps, *, axis: int) -> Array:
    """The valid correlation along one axis, float32 for bytes."""
    longest_by_opencv = SHORT_LINE
    if axis == 1:
        longest_by_opencv = SHORT_ROW_OF_BYTES if x.dtype == np.uint8 else SHORT_ROW_OF_FLOATS
    if w.size <= longest_by_opencv:
        one = np.ones(1)
        column, row = (w, one) if axis == 0 else (one, w)
        return _by_sep_filter(x, column, row, whole=False)
    if axis == 1 and sample_type(x) == np.float64:
        return overlap_save_along_rows(x, w)
    lines = np.moveaxis(x, axis, 0)
    channels = np.ascontiguousarray(lines, sample_type(x)).reshape(len(lines), -1)
    if w.size <= LONGEST_PRODUCT:
        outputs = len(lines) - w.size + 1
        y = polyphase(channels, PhaseTaps.one_phase(w, 1), (0, outputs))
    else:
        y = overlap_save(channels, w)
    return np.moveaxis(y.reshape(len(y), *lines.shape[1:]), 0, axis)


def _filter_plane(x: Array, w: Taps) -> Array:
    """The valid correlation by OpenCV's filter for kernels that are not separable."""
    import cv2

    depth = _depth(x, whole=_fits_int16(x, w))
    if depth == cv2.CV_32F:
        x = x.astype(np.float32)
    y = cv2.filter2D(np.ascontiguousarray(x), depth, w, borderType=cv2.BORDER_CONSTANT)
    return _crop(np.asarray(y), x, w.shape)


def _by_sep_filter(x: Array, column: Taps, row: Taps, *, whole: bool) -> Array:
    """The valid correlation by OpenCV's filter for separable kernels.

    whole : the sums are whole numbers that int16 holds
    """
    import cv2

    depth = _depth(x, whole=whole)
    y = cv2.sepFilter2D(x, depth, row, column, borderType=cv2.BORDER_CONSTANT)
    return _crop(np.asarray(y), x, (column.size, row.size))


def _fits_int16(x: Array, w: Taps) -> bool:
    """Whether `x` holds bytes, `w` whole numbers, and int16 every sum of their products."""
    if x.dtype != np.uint8 or 255 * np.abs(w).sum() > LARGEST_SUM:
        return False
    return np.array_equal(w, np.rint(w))


def _depth(x: Array, *, whole: bool) -> int:
    """OpenCV's code for the result type: int16 or float32 for bytes, else the type of `x`."""
    import cv2

    if x.dtype != np.uint8:
        return -1
    return cv2.CV_16S if whole else cv2.CV_32F


def _crop(y: Array, x: Array, shape: tuple[int, ...]) -> Array:
    """The outputs whose window lies inside the picture.

    OpenCV anchors a window of k at k // 2 and drops a channel axis of length 1.
    """
    height, width = shape
    top = height // 2
    left = width // 2
    rows = x.shape[0] - height + 1
    columns = x.shape[1] - width + 1
    return y.reshape(x.shape)[top : top + rows, left : left + columns]
