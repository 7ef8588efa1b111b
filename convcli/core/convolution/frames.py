"""Correlation through FFTs of frames at fixed places of a sound.

The rounding errors of an FFT depend on all of its inputs. So the last bits of an output change if
its frame begins elsewhere, as the frames of `overlap_save` do when a sound comes in other blocks.
Here they do not change, because the place of an output in the sound decides what is transformed
with it:

* A frame is the inputs of one transform. It gives `kept` outputs, and shares k - 1 inputs with the
  next frame, as usual in overlap-save.
* A cell is two frames in a row. The transform is complex and the samples are real, so that two
  series are filtered at once: the two frames of a cell, or two channels of one frame. Nothing
  outside of a cell is computed with it.
* A grid is all cells: one begins every `2 * kept` outputs, from a chosen output on.

Blocks of any length that end with a cell give the same bits. So a sound is filtered in long blocks
where it comes fast, and in short ones where it comes as it is played.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.convolution.fft import (
    MOST_LOUDER,
    batches,
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
    """The places of the frames in which an operation computes its outputs, numbered from 0.

    size : samples of a transform
    kept : outputs of a frame; if they need fewer than `size` inputs, zeros follow
    start : an output with which a cell begins, in 0 ... cell - 1
    first : the first output of the operation, which may lie within a cell
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
        """The grid of an operation whose first output is `first`; a cell ends before `end`."""
        return replace(self, first=first, start=end % self.cell)

    def lead(self, output: int) -> int:
        """How many outputs of its cell come before an output."""
        return (output - self.start) % self.cell

    def cell_start(self, output: int) -> int:
        """The first output of the cell that an output lies in, as far as there are outputs."""
        return max(output - self.lead(output), min(self.first, output))


def common_cell(cells: Sequence[int | None]) -> int | None:
    """The common cell of operations with these cells (`Op.cell`); None if one of them is None.

    It is the longest: grids are laid so that all cells end where the longest ones do.
    """
    known = [cell for cell in cells if cell is not None]
    return max(known, default=1) if len(known) == len(cells) else None


def grid_frame_size(k: int) -> int:
    """The length of the frames for `k` taps: the shortest that costs hardly more than the best.

    It is a power of two. `fft.frame_size` is the best length where no output waits for its frame.
    """
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
    first : the number of the first output, as the grid counts outputs
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
    # A part of a cell is computed only at the ends of the signal, where it is always the same part.
    for start, stop in ((0, begin), (end, outputs)):
        if start < stop:
            inputs = x[start : stop + overlap]
            y[start:stop] = overlap_save(inputs, w)
    return y


class _Cells:
    """Correlates samples of the type of `x` with `w`, (k,), in whole cells."""

    def __init__(self, grid: FrameGrid, w: FloatArray, x: Array) -> None:
        self._grid = grid
        self._overlap = w.size - 1
        taps = (w * value_of_one(x)).tobytes()
        dtype = sample_type(x).char
        self._correlate = frame_correlator(taps, grid.size, dtype, 1, many=grid.many)

    def filter(self, x: Array, y: Array) -> None:
        """Write the outputs of samples, (n, channels), to `y`, (n - k + 1, channels)."""
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
        equal: BoolArray = peaks.max(axis=1) <= MOST_LOUDER * peaks.min(axis=1)
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
        kept = outputs.shape[1]
        for batch in batches(count, lines, self._grid.size, outputs.dtype):
            some = slice(batch.first, batch.first + len(batch.frames))
            copy_pairs(inputs[some, batch.lines], batch.frames[:, :, :n])
            batch.frames[:, :, n:] = 0
            answers = self._correlate(batch.frames)[:, :, :kept]
            copy_pairs(answers.swapaxes(1, 2), outputs[some, :, batch.lines])


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
