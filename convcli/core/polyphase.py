"""Several taps by turns: `phases` outputs for every `step` inputs, as products of matrices.

A resampler by L/M has L phases and step M; a decimating filter is the case L = 1. Rows of neighbouring windows
times a banded matrix of taps run at the speed of BLAS (Crochiere & Rabiner, Multirate Digital Signal Processing, 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.samples import as_samples, sample_type, unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.signals import Array

    Taps = npt.NDArray[np.float64]
    # By the phase of the first output, the number of outputs, that of channels or the unit, and the bytes of a sample.
    Matrices = dict[tuple[int, int, float, int], npt.NDArray[Any]]

# Channels that are filtered where they stand beside each other; more are taken apart.
_MOST_BESIDE = 4
# Up to this step it costs less to compute what is thrown away than to gather what is kept.
_SMALL_STEP = 3
# Outputs of one product along the rows of a picture, and how many of its matrices are kept.
_BESIDE = 16
_MOST_MADE = 500

# Outputs to a product of rows: more of them share more samples, but multiply with more zeros.
BAND = 16


def phased_product(
    x: Array,
    table: Taps,
    starts: npt.NDArray[np.int64],
    step: int,
    span: tuple[int, int],
    *,
    made: Matrices | None = None,
) -> Array:
    """The outputs [start, stop): output k sums table[k mod L] over the inputs from (k // L) * step + starts[k mod L].

    x : (n, lanes), beginning at the input start * step // L; stored numbers too
    table : (L, width); starts : (L,), with starts[j] >= j * step // L
    Many groups of a sound are rows of one product; the pixels beside each other, or a few long groups, its columns.
    """
    phases, lanes = len(table), x.shape[1]
    groups = -(-span[1] // phases) - span[0] // phases
    if lanes >= 16 or (groups < 4 and phases > 1):
        return _by_columns(x, table, starts, step, span)
    return _by_rows(x, table, starts, step, span, made={} if made is None else made)


def phased_lines(
    x: Array,
    table: Taps,
    starts: npt.NDArray[np.int64],
    step: int,
    span: tuple[int, int],
    *,
    axis: int,
    made: Matrices | None = None,
) -> Array:
    """`phased_product` along an axis of `x`, which is (n, channels) or (rows, columns, channels).

    made : what was worked out for one stretch of a picture serves the next, of the same table and step
    """
    x = as_samples(x) if axis == 1 else x
    if axis == 1 and x.shape[-1] <= _MOST_BESIDE:
        if len(table) == 1 and step <= _SMALL_STEP:
            return _every_then_some(x[:, int(starts[0]) :], table[0], step, span)
        return _across(x, table, starts, step, span, made={} if made is None else made)
    lines = np.moveaxis(x, axis, 0)
    lanes = np.ascontiguousarray(lines).reshape(len(lines), -1)
    y = phased_product(lanes, table, starts, step, span, made=made)
    return np.moveaxis(y.reshape(len(y), *lines.shape[1:]), 0, axis)


def _every_then_some(x: Array, taps: Taps, step: int, span: tuple[int, int]) -> Array:
    """Outputs along the rows of a picture: computed at every place, and every `step`-th kept."""
    import cv2

    every = cv2.sepFilter2D(x, -1, taps, np.ones(1), borderType=cv2.BORDER_CONSTANT).reshape(x.shape)
    y = np.empty((len(x), span[1] - span[0], x.shape[2]), x.dtype)
    first = taps.size // 2  # where OpenCV puts the output of the first window that lies inside
    for channel in range(x.shape[2]):  # one long loop each, since the channels beside each other make a short one
        y[..., channel] = every[:, first::step, channel][:, : y.shape[1]]
    return y


def _across(
    x: Array, table: Taps, starts: npt.NDArray[np.int64], step: int, span: tuple[int, int], *, made: Matrices
) -> Array:
    """Outputs along the rows of a picture, its channels left where they are: (rows, window) @ (window, outputs)."""
    start, stop = span
    rows, _, channels = x.shape
    y = np.empty((rows, stop - start, channels), x.dtype)
    lanes, results = np.ascontiguousarray(x).reshape(rows, -1), y.reshape(rows, -1)
    for first in range(start, stop, _BESIDE):
        k = np.arange(first, min(first + _BESIDE, stop))
        offsets = k // len(table) * step + starts[k % len(table)] - start * step // len(table)
        key = (first % len(table), len(k), channels, x.dtype.itemsize)
        matrix = made.get(key)
        if matrix is None:
            band = _banded(table, k % len(table), offsets - offsets[0], x.dtype)
            matrix = np.kron(band, np.eye(channels, dtype=x.dtype))
            if len(made) < _MOST_MADE:
                made[key] = matrix
        window = lanes[:, int(offsets[0]) * channels :][:, : len(matrix)]
        place = (first - start) * channels
        np.matmul(window, matrix[: window.shape[1]], out=results[:, place : place + matrix.shape[1]])
    return y


def _by_columns(x: Array, table: Taps, starts: npt.NDArray[np.int64], step: int, span: tuple[int, int]) -> Array:
    """Bands of neighbouring outputs: (outputs, window) @ (window, lanes), as many lanes at once as the cache holds."""
    start, stop = span
    y = np.empty((stop - start, x.shape[1]), sample_type(x))
    bands = list(_bands(table, starts, step, span, y.dtype))
    lanes = max(64, (1 << 16) // max(matrix.shape[1] for _, _, matrix in bands))
    for lane in range(0, x.shape[1], lanes):
        part = as_samples(x[:, lane : lane + lanes])
        for first, lowest, matrix in bands:
            window = part[lowest : lowest + matrix.shape[1]]
            target = y[first - start : first - start + len(matrix), lane : lane + lanes]
            target[...] = matrix[:, : len(window)] @ window
    return y


def _bands(
    table: Taps, starts: npt.NDArray[np.int64], step: int, span: tuple[int, int], dtype: npt.DTypeLike
) -> Iterator[tuple[int, int, npt.NDArray[Any]]]:
    """The first output, the first input and the (outputs, window) matrix of each band; equal bands share theirs."""
    start, stop = span
    phases, width = table.shape
    # So many outputs to a band that its window is about twice as long as one output's.
    size = max(8, min(128, width * phases // step))
    made: dict[tuple[int, int], npt.NDArray[Any]] = {}
    for first in range(start, stop, size):
        k = np.arange(first, min(first + size, stop))
        offsets = k // phases * step + starts[k % phases] - start * step // phases
        key = (first % phases, len(k))
        if key not in made:
            made[key] = np.ascontiguousarray(_banded(table, k % phases, offsets - offsets[0], dtype).T)
        yield first, int(offsets[0]), made[key]


def _by_rows(
    x: Array, table: Taps, starts: npt.NDArray[np.int64], step: int, span: tuple[int, int], *, made: Matrices
) -> Array:
    """Groups, some of them to a row, under each other: (lanes, rows, window) @ (window, outputs of a band)."""
    phases, width = table.shape
    base = span[0] // phases
    groups = -(-span[1] // phases) - base
    lead = span[0] * step // phases - base * step
    # Rows of at least 64 outputs, as far apart as the longest window, since BLAS knows no rows that overlap.
    longest = width + (BAND - 1) * step // phases + 1
    together = min(max(-(-64 // phases), -(-longest // step)), groups)
    rows, stride = -(-groups // together), together * step
    offsets = (np.arange(together)[:, None] * step + starts).ravel()
    bands = _bands_of_a_row(table, offsets, sample_type(x), unit(x), made)
    window = max(lowest + len(matrix) for lowest, matrix in bands)
    lanes = np.empty((x.shape[1], max((rows - 1) * stride + window, lead + len(x))), sample_type(x))
    lanes[:, :lead] = lanes[:, lead + len(x) :] = 0
    lanes[:, lead : lead + len(x)] = x.T
    y = np.empty((x.shape[1], rows, together * phases), lanes.dtype)
    across, along = lanes.strides
    windows = np.lib.stride_tricks.as_strided(lanes, (len(lanes), rows, window), (across, stride * along, along))
    for number, (lowest, matrix) in enumerate(bands):
        target = y[..., number * BAND : (number + 1) * BAND]
        np.matmul(windows[..., lowest : lowest + len(matrix)], matrix, out=target)
    first = span[0] - base * phases
    return np.ascontiguousarray(y.reshape(len(lanes), -1)[:, first : first + span[1] - span[0]].T)


def _bands_of_a_row(
    table: Taps, offsets: npt.NDArray[np.int64], dtype: np.dtype[Any], unit: float, made: Matrices
) -> list[tuple[int, npt.NDArray[Any]]]:
    """The first input and the (window, outputs) matrix of each band of a row whose windows begin at `offsets`."""
    bands = []
    for first in range(0, len(offsets), BAND):
        some = offsets[first : first + BAND]
        lowest = int(some.min())
        key = (first % len(table), len(some), -unit, dtype.itemsize)
        matrix = made.get(key)
        if matrix is None:
            phase = np.arange(first, first + len(some)) % len(table)
            matrix = made[key] = _banded(table * unit, phase, some - lowest, dtype)
        bands.append((lowest, matrix))
    return bands


def _banded(
    table: Taps, phase: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """The matrix whose column c holds the taps of phase[c], from row offsets[c] on."""
    width = table.shape[1]
    matrix = np.zeros((int(offsets.max()) + width, len(offsets)), dtype)
    matrix[offsets[:, None] + np.arange(width), np.arange(len(offsets))[:, None]] = table[phase]
    return matrix
