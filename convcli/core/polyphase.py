"""Several taps by turns: `phases` outputs for every `step` inputs, as products of matrices.

A resampler by L/M has L phases and step M; a decimating filter is the case L = 1. Rows of neighbouring windows
times a banded matrix of taps run at the speed of BLAS (Crochiere & Rabiner, Multirate Digital Signal Processing, 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from convcli.signals import Array


def groups_per_row(phases: int, width: int, step: int) -> int:
    """How many groups one row of the product takes, to spread the samples that its windows share."""
    return max(1, max(64, min(256, width // step)) // phases)


def phased_product(
    x: Array, table: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], step: int
) -> Array:
    """Every output whose group lies wholly in `x`; `x` is (n, lanes), group g starts at g * step.

    Small groups are taken several to a row, large ones cut into bands of columns, so that a row of windows times
    its matrix has some 64 to 128 columns and few zeros.
    """
    phases, width = table.shape
    groups = (len(x) - int(starts.max()) - width) // step + 1
    together = min(groups_per_row(phases, width, step), groups)
    offsets = (np.arange(together)[:, None] * step + starts).ravel()
    rows = -(-groups // together)
    stride = together * step
    length = (rows - 1) * stride + int(offsets.max()) + width
    lanes = np.zeros((x.shape[1], max(length, len(x))), x.dtype)
    lanes[:, : len(x)] = x.T
    y = np.empty((x.shape[1], rows, len(offsets)), x.dtype)
    for first in range(0, len(offsets), 128):
        band = slice(first, first + 128)
        lowest = int(offsets[band].min())
        matrix = _banded(table, offsets[band] - lowest, first, x.dtype)
        windows = np.lib.stride_tricks.sliding_window_view(lanes[:, lowest:], len(matrix), axis=1)[:, ::stride]
        batch = max(1, (1 << 18) // len(matrix))
        for lane in range(len(lanes)):
            for row in range(0, rows, batch):
                part = np.ascontiguousarray(windows[lane, row : min(row + batch, rows)])
                y[lane, row : row + len(part), band] = part @ matrix
    return y.reshape(len(lanes), -1)[:, : groups * phases].T


def _banded(
    table: npt.NDArray[np.float64], offsets: npt.NDArray[np.int64], first: int, dtype: npt.DTypeLike
) -> npt.NDArray[np.float64]:
    """The matrix whose column c holds the taps of output `first + c`, starting at row offsets[c]."""
    phases, width = table.shape
    matrix = np.zeros((int(offsets.max()) + width, len(offsets)), dtype)
    for column, offset in enumerate(offsets):
        matrix[offset : offset + width, column] = table[(first + column) % phases]
    return matrix
