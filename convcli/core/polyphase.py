"""Several taps by turns: `phases` outputs for every `step` inputs, as products of matrices.

A resampler by L/M has L phases and step M; a decimating filter is the case L = 1. Rows of neighbouring windows
times a banded matrix of taps run at the speed of BLAS (Crochiere & Rabiner, Multirate Digital Signal Processing, 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.samples import as_samples, sample_type, unit

if TYPE_CHECKING:
    from convcli.signals import Array

    Taps = npt.NDArray[np.float64]

# Channels that are filtered where they stand beside each other; more are taken apart.
_MOST_BESIDE = 4
# Up to this step it costs less to compute what is thrown away than to gather what is kept.
_SMALL_STEP = 3
# How many matrices are kept for the next stretch of a signal.
_MOST_KEPT = 500

# Outputs to a product of rows: more of them share more samples, but multiply with more zeros.
BAND = 16


@dataclass(frozen=True, eq=False)
class Turns:
    """Sets of taps that take turns: output k sums table[k mod L] over inputs from (k // L) * step + starts[k mod L] on.

    table : (L, width); starts : (L,) rising, with starts[j] >= j * step // L
    """

    table: Taps
    starts: npt.NDArray[np.int64]
    step: int
    _kept: dict[tuple[int, int, str, float, int], npt.NDArray[Any]] = field(
        default_factory=dict, repr=False
    )

    @classmethod
    def of(cls, taps: Taps, step: int) -> Turns:
        """One set, for every `step`-th output of a convolution."""
        return cls(taps[None], np.zeros(1, np.int64), step)

    def first_input(self, k: int) -> int:
        """The first input that output k reads."""
        return k // len(self.table) * self.step + int(self.starts[k % len(self.table)])

    def band(
        self, first: int, count: int, dtype: np.dtype[Any], *, unit: float = 1.0, channels: int = 1
    ) -> npt.NDArray[Any]:
        """The matrix (window * channels, outputs * channels) of `count` outputs from `first` on; equal ones are one.

        unit : what 1 of the inputs is worth; channels : that lie beside each other
        """
        key = (first % len(self.table), count, dtype.char, unit, channels)
        matrix = self._kept.get(key)
        if matrix is None:  # two threads may both make it: the same
            matrix = np.kron(
                self._banded(key[0], count, dtype, unit), np.eye(channels, dtype=dtype)
            )
            if len(self._kept) < _MOST_KEPT:
                self._kept[key] = matrix
        return matrix

    def _banded(
        self, first: int, count: int, dtype: np.dtype[Any], unit: float
    ) -> npt.NDArray[Any]:
        """The matrix whose column c holds the taps of output first + c, from the row of its first input on."""
        groups, phases = np.divmod(first + np.arange(count), len(self.table))
        offsets, width = groups * self.step + self.starts[phases], self.table.shape[1]
        offsets -= offsets[0]
        matrix = np.zeros((int(offsets[-1]) + width, count), dtype)
        matrix[offsets[:, None] + np.arange(width), np.arange(count)[:, None]] = (
            self.table[phases] * unit
        )
        return matrix


def phased_product(x: Array, turns: Turns, span: tuple[int, int]) -> Array:
    """The outputs [start, stop) of `x`, which begins at the input start * step // L.

    x : (n, lanes), stored numbers too
    Many groups of a sound are rows of one product; the pixels beside each other, or a few long groups, its columns.
    """
    phases, lanes = len(turns.table), x.shape[1]
    groups = -(-span[1] // phases) - span[0] // phases
    if lanes >= 16 or (groups < 4 and phases > 1):
        return _by_columns(x, turns, span)
    return _by_rows(x, turns, span)


def phased_lines(x: Array, turns: Turns, span: tuple[int, int], *, axis: int) -> Array:
    """`phased_product` along an axis of `x`, which is (n, channels) or (rows, columns, channels)."""
    x = as_samples(x) if axis == 1 else x
    if axis == 1 and x.shape[-1] <= _MOST_BESIDE:
        if len(turns.table) == 1 and turns.step <= _SMALL_STEP:
            return _every_then_some(x[:, int(turns.starts[0]) :], turns, span)
        return _across(x, turns, span)
    lines = np.moveaxis(x, axis, 0)
    lanes = np.ascontiguousarray(lines).reshape(len(lines), -1)
    y = phased_product(lanes, turns, span)
    return np.moveaxis(y.reshape(len(y), *lines.shape[1:]), 0, axis)


def _every_then_some(x: Array, turns: Turns, span: tuple[int, int]) -> Array:
    """Outputs along the rows of a picture: computed at every place, and every `step`-th kept."""
    import cv2

    (taps,) = turns.table
    every = cv2.sepFilter2D(x, -1, taps, np.ones(1), borderType=cv2.BORDER_CONSTANT).reshape(
        x.shape
    )
    y = np.empty((len(x), span[1] - span[0], x.shape[2]), x.dtype)
    first = taps.size // 2  # where OpenCV puts the output of the first window that lies inside
    for channel in range(
        x.shape[2]
    ):  # one long loop each, since the channels beside each other make a short one
        y[..., channel] = every[:, first :: turns.step, channel][:, : y.shape[1]]
    return y


def _across(x: Array, turns: Turns, span: tuple[int, int]) -> Array:
    """Outputs along the rows of a picture, its channels left where they are: (rows, window) @ (window, outputs)."""
    start, stop = span
    rows, _, channels = x.shape
    y = np.empty((rows, stop - start, channels), x.dtype)
    lanes, results = np.ascontiguousarray(x).reshape(rows, -1), y.reshape(rows, -1)
    for first in range(start, stop, BAND):
        matrix = turns.band(first, min(BAND, stop - first), x.dtype, channels=channels)
        lowest = turns.first_input(first) - start * turns.step // len(turns.table)
        window = lanes[:, lowest * channels :][:, : len(matrix)]
        place = (first - start) * channels
        np.matmul(
            window, matrix[: window.shape[1]], out=results[:, place : place + matrix.shape[1]]
        )
    return y


def _by_columns(x: Array, turns: Turns, span: tuple[int, int]) -> Array:
    """Bands of neighbouring outputs: (outputs, window) @ (window, lanes), as many lanes at once as the cache holds."""
    start, stop = span
    phases, width = turns.table.shape
    y = np.empty((stop - start, x.shape[1]), sample_type(x))
    # So many outputs to a band that its window is about twice as long as one output's.
    size = max(8, min(128, width * phases // turns.step))
    lanes = max(64, (1 << 16) // (width + size * turns.step // phases))
    for lane in range(0, x.shape[1], lanes):
        part = as_samples(x[:, lane : lane + lanes])
        for first in range(start, stop, size):
            matrix = turns.band(first, min(size, stop - first), y.dtype)
            lowest = turns.first_input(first) - start * turns.step // phases
            window = part[lowest : lowest + len(matrix)]
            target = y[first - start : first - start + size, lane : lane + lanes]
            np.matmul(matrix[: len(window)].T, window, out=target)
    return y


def _by_rows(x: Array, turns: Turns, span: tuple[int, int]) -> Array:
    """Groups, some of them to a row, under each other: (lanes, rows, window) @ (window, outputs of a band)."""
    (phases, width), step = turns.table.shape, turns.step
    base = span[0] // phases
    groups = -(-span[1] // phases) - base
    lead = span[0] * step // phases - base * step
    # Rows of at least 64 outputs, as far apart as the longest window, since BLAS knows no rows that overlap.
    longest = width + (BAND - 1) * step // phases + 1
    together = min(max(-(-64 // phases), -(-longest // step)), groups)
    rows, stride, outputs = -(-groups // together), together * step, together * phases
    window = turns.first_input(outputs - 1) + width
    lanes = np.empty((x.shape[1], max((rows - 1) * stride + window, lead + len(x))), sample_type(x))
    lanes[:, :lead] = lanes[:, lead + len(x) :] = 0
    lanes[:, lead : lead + len(x)] = x.T
    y = np.empty((x.shape[1], rows, outputs), lanes.dtype)
    across, along = lanes.strides
    windows = np.lib.stride_tricks.as_strided(
        lanes, (len(lanes), rows, window), (across, stride * along, along)
    )
    for first in range(0, outputs, BAND):
        matrix, lowest = (
            turns.band(first, min(BAND, outputs - first), y.dtype, unit=unit(x)),
            turns.first_input(first),
        )
        np.matmul(
            windows[..., lowest : lowest + len(matrix)], matrix, out=y[..., first : first + BAND]
        )
    before = span[0] - base * phases
    return np.ascontiguousarray(y.reshape(len(lanes), -1)[:, before : before + span[1] - span[0]].T)
