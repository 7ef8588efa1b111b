"""Correlation of sound through FFTs of frames that lie on a grid.

An output has the same bits, whatever other outputs are computed with it: its frame begins at a
fixed place and shares its transform with a fixed other one. So sound may be filtered in long
stretches where it comes fast, and in short ones where it comes as it is played.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.convolution.fft import (
    LOUDER,
    POINTS_TOGETHER,
    copy_pairs,
    frame_correlator,
    overlap_save,
)
from convcli.dataclass import dataclass
from convcli.samples import sample_type, value_of_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import BoolArray, FloatArray
    from convcli.signals import Array

# Nanoseconds for each sample of a frame, by its length as a power of two: means of one channel and
# of two. Longer frames do not stay in the cache.
POINT_COST = {11: 2.0, 12: 2.2, 13: 2.6, 14: 3.4, 15: 4.2, 16: 4.0, 17: 4.4}
# Longer filters have no grid: its cells would be longer than the blocks of a file.
LONGEST_TAPS = 1 << 15
# A shorter frame is taken, which is complete earlier, if an output costs at most so many times as
# much. Cells of frames up to SHORT samples are complete in a sixth of a second in any case.
DEARER, HARDLY_DEARER = 1.2, 1.05
SHORT = 1 << 12


@dataclass(frozen=True, kw_only=True)
class FrameGrid:
    """Where the frames lie in which the outputs of an operation are computed.

    Two frames, one after the other, are a cell.

    size : of a transform; kept : outputs of a frame, which with the inputs of the last one may be
        fewer than `size` samples
    start : an output with which a cell begins
    first : the first output of the operation; the cell that it lies in may begin before it
    many : OpenCV's transforms are used, which take a third of the time and have to be imported
    """

    size: int
    kept: int
    start: int = 0
    first: int = 0
    many: bool = True

    @property
    def cell(self) -> int:
        """How many outputs a cell has."""
        return 2 * self.kept

    def laid(self, first: int, end: int) -> FrameGrid:
        """The grid for outputs from `first` on, with a cell that ends before the output `end`."""
        return replace(self, first=first, start=end % self.cell)

    def lead(self, output: int) -> int:
        """How many outputs of the cell that an output lies in are before it."""
        return (output - self.start) % self.cell

    def cell_start(self, output: int) -> int:
        """The first output of the cell that an output lies in."""
        return max(output - self.lead(output), min(self.first, output))


def common_cell(cells: Sequence[int | None]) -> int | None:
    """The cell of operations together, of which one has cells that end where all others do.

    None if the outputs of one of them may depend on where a block ends.
    """
    known = [cell for cell in cells if cell is not None]
    return max(known, default=1) if len(known) == len(cells) else None


def grid_frame_size(k: int) -> int:
    """The length of the frames for `k` taps, a power of two."""
    costs = {}
    for power, of_point in POINT_COST.items():
        size = 1 << power
        if size > k:
            costs[size] = of_point * size / (size - k + 1)
    least = min(costs.values())
    for size, cost in costs.items():
        most = (HARDLY_DEARER if size < SHORT else DEARER) * least
        if cost <= most:
            return size
    raise ValueError(f"no frame is long enough for {k} taps")


def correlate_in_frames(x: Array, w: FloatArray, grid: FrameGrid, first: int) -> Array:
    """The valid correlation along axis 0.

    x : (n, channels) finite floating, or stored numbers; w : (k,), k <= n
    first : the number of the first output, by which the grid is laid
    Returns (n - k + 1, channels) of the dtype of x, or of the samples that its numbers represent.
    """
    overlap = w.size - 1
    outputs = len(x) - overlap
    y = np.empty((outputs, x.shape[1]), sample_type(x))
    begin = min(-grid.lead(first) % grid.cell, outputs)
    whole = (outputs - begin) // grid.cell
    end = begin + whole * grid.cell
    if whole > 0:
        cells = _Cells(grid, w, x)
        cells.filter(x[begin : end + overlap], y[begin:end])
    # Cells of which only a part is needed lie at the ends of the signal, and so do those parts.
    for start, stop in ((0, begin), (end, outputs)):
        if start < stop:
            inputs = x[start : stop + overlap]
            y[start:stop] = overlap_save(inputs, w)
    return y


class _Cells:
    """Whole cells of the correlation of samples such as `x` with `w`."""

    def __init__(self, grid: FrameGrid, w: FloatArray, x: Array) -> None:
        self._grid = grid
        self._overlap = w.size - 1
        self._type = sample_type(x)
        taps = (w * value_of_one(x)).tobytes()
        self._correlate = frame_correlator(taps, grid.size, self._type.char, 1, many=grid.many)

    def filter(self, x: Array, y: Array) -> None:
        """Write the outputs of samples, (n, channels), to `y`."""
        if x.shape[1] % 2:
            self._filter_by_halves(x, y)
            return
        together = self._equally_loud(x, len(y) // self._grid.cell)
        changes = np.flatnonzero(np.diff(together)) + 1
        borders = [0, *changes.tolist(), len(together)]
        for first, last in pairwise(borders):
            start = first * self._grid.cell
            stop = last * self._grid.cell
            filter_cells = self._filter_by_channels if together[first] else self._filter_by_halves
            filter_cells(x[start : stop + self._overlap], y[start:stop])

    def _equally_loud(self, x: Array, cells: int) -> BoolArray:
        """Whether two channels may share a transform, for each cell: see LOUDER."""
        x = np.ascontiguousarray(x)
        channels = x.shape[1]
        along = x.strides[0]
        length = self._grid.cell + self._overlap
        places = (self._grid.cell * along, x.itemsize)
        inputs = np.ndarray((cells, length * channels), x.dtype, x, 0, places)
        highest = _folded_rows(np.maximum, inputs, channels).astype(np.float64)
        lowest = _folded_rows(np.minimum, inputs, channels).astype(np.float64)
        peaks = np.maximum(highest, -lowest)
        equal: BoolArray = peaks.max(axis=1) <= LOUDER * peaks.min(axis=1)
        return equal

    def _filter_by_channels(self, x: Array, y: Array) -> None:
        """Filter cells in which two neighbouring channels share a transform."""
        kept = self._grid.kept
        pairs = y.shape[1] // 2
        frames = len(y) // kept
        along, across = x.strides
        places = (kept * along, 2 * across, along, across)
        shape = (frames, pairs, kept + self._overlap, 2)
        inputs = np.lib.stride_tricks.as_strided(x, shape, places)
        self._filter_frames(inputs, y.reshape(frames, kept, pairs, 2))

    def _filter_by_halves(self, x: Array, y: Array) -> None:
        """Filter cells whose two frames share a transform, for each channel."""
        kept = self._grid.kept
        channels = y.shape[1]
        cells = len(y) // self._grid.cell
        along, across = x.strides
        places = (self._grid.cell * along, across, along, kept * along)
        shape = (cells, channels, kept + self._overlap, 2)
        inputs = np.lib.stride_tricks.as_strided(x, shape, places)
        by_half = y.reshape(cells, 2, kept, channels)
        self._filter_frames(inputs, by_half.transpose(0, 2, 3, 1))

    def _filter_frames(self, inputs: Array, outputs: Array) -> None:
        """Filter frames (count, lines, n, 2); outputs are (count, kept, lines, 2)."""
        count, lines, n, _ = inputs.shape
        size = self._grid.size
        kept = outputs.shape[1]
        beside = min(lines, max(1, POINTS_TOGETHER // size))
        at_once = min(count, max(1, POINTS_TOGETHER // (size * beside)))
        frames = np.empty((at_once, beside, size, 2), self._type)
        for line in range(0, lines, beside):
            some = slice(line, line + beside)
            for first in range(0, count, at_once):
                read = inputs[first : first + at_once, some]
                batch = frames[: len(read), : read.shape[1]]
                copy_pairs(read, batch[:, :, :n])
                batch[:, :, n:] = 0
                answers = self._correlate(batch)[:, :, :kept]
                copy_pairs(answers.swapaxes(1, 2), outputs[first : first + at_once, :, some])


def _folded_rows(fold: np.ufunc, x: Array, channels: int) -> Array:
    """Fold (rows, n * channels), n > 0, to (rows, channels).

    Halves of a row are folded with each other: NumPy folds long stretches of memory the fastest.
    """
    length = x.shape[1] // channels
    while length > 1:
        half = -(-length // 2)
        other = length - half  # with an odd length, the sample in the middle is in both halves
        x = fold(x[:, : half * channels], x[:, other * channels :])
        length = half
    return x
