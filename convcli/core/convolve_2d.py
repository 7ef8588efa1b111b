"""The sums of products of pictures, by the cheapest of several paths.

Small kernels are OpenCV's filters, dense ones from some 50 taps on its FFT tiles; separable kernels are two passes, and
where they are long products of matrices (polyphase.py) or FFTs (fourier.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.core.fft import overlap_save
from convcli.core.polyphase import Turns, phased_lines, phased_product
from convcli.samples import sample_type

if TYPE_CHECKING:
    from convcli.signals import Array

# Taps of a separable kernel up to which OpenCV is the fastest: along both axes at once, where it also computes the rows
# that are cut off; along the rows of floats; along those of bytes. More are a product of matrices, and past
# LONGEST_PRODUCT, in rows of float64 past LONGEST_PRODUCT_OF_DOUBLES, an FFT.
SHORT_LINE, ROW_OF_FLOATS, ROW_OF_BYTES = 32, 48, 320
LONGEST_PRODUCT, LONGEST_PRODUCT_OF_DOUBLES = 400, 100

# So wide are the parts of a picture, at least, that long lines are computed in: what lies between two passes is small.
WIDTH = 512

# Up to this side the blocks of a mean are added up row by row.
LARGEST_BLOCK = 16

# What bytes times whole numbers may come to in two bytes.
LARGEST_SUM = 32767


def plane_valid(x: Array, w: npt.NDArray[np.float64], step: tuple[int, ...]) -> Array:
    """The valid correlation along both axes, every `step`-th output, of `correlate_valid`'s type.

    x : (rows, columns, channels) finite, or bytes; w : (height, width), no larger
    """
    if step == w.shape and max(step) <= LARGEST_BLOCK and (w == 1).all():
        return _block_sums(x, w.shape)
    pair = factor(w)
    if step == (1, 1):
        return _filter_plane(x, w) if pair is None else _filter_lines(x, *pair)
    if pair is not None:
        return _strided_lines(_strided_lines(x, pair[0], step[0], 0), pair[1], step[1], 1)
    return np.ascontiguousarray(_filter_plane(x, w)[:: step[0], :: step[1]])


def factor(
    w: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
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
    return phased_lines(x, Turns.of(w, step), (0, outputs), axis=axis)


def _block_sums(x: Array, size: tuple[int, ...]) -> Array:
    """The sums of blocks of `size` that lie side by side."""
    (height, width), channels = size, x.shape[-1]
    rows, columns = x.shape[0] // height, x.shape[1] // width
    total: Any = x[: rows * height : height]
    for j in range(1, height):
        part = x[j : rows * height : height]
        # Two bytes hold the sum of as many bytes as a small block is high.
        total = np.add(
            total, part, dtype=np.uint16 if x.dtype == np.uint8 else x.dtype, casting="unsafe"
        )
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
    doubles = axis == 1 and lanes.dtype == np.float64
    if w.size <= (LONGEST_PRODUCT_OF_DOUBLES if doubles else LONGEST_PRODUCT):
        y = phased_product(lanes, Turns.of(w, 1), (0, len(lines) - w.size + 1))
    else:
        y = overlap_save(lanes, w)
    return np.moveaxis(y.reshape(len(y), *lines.shape[1:]), 0, axis)


def _separable(
    x: Array, column: npt.NDArray[np.float64], row: npt.NDArray[np.float64], *, whole: bool
) -> Array:
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
    return (
        x.dtype == np.uint8
        and 255 * np.abs(w).sum() <= LARGEST_SUM
        and bool((w == np.rint(w)).all())
    )


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
