"""Convolution with taps that depend on the phase of an output, as matrix products.

There are L outputs for every `step` inputs.

A resampler by L/M has L phases and step M; a decimating filter has one phase. Windows of
neighbouring outputs times a banded matrix of taps run at the speed of BLAS (Crochiere & Rabiner,
Multirate Digital Signal Processing, ch. 3).
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.samples import as_samples, sample_type, value_of_one

if TYPE_CHECKING:
    from convcli.array_types import AnyArray, IntArray, Taps
    from convcli.signals import Array

    OutputRange = tuple[int, int]

# Up to this many channels of a picture are filtered while they are interleaved; more are first
# moved apart.
_MOST_INTERLEAVED = 4
# Up to this step, computing the outputs that are skipped costs less than gathering the windows of
# the others.
_SMALL_STEP = 3
# The most taps that OpenCV's general filter of float32 adds up without an FFT.
_LONGEST_GENERAL = 120
# Matrices kept for the next block of a signal.
_MOST_MATRICES = 500
# From this many channels on (the pixels of a row, say), they are the columns of a product.
_MANY_CHANNELS = 16
# Outputs of a row at least, so that the products are large enough for BLAS.
_LEAST_OUTPUTS = 64

# Bytes of the samples that are multiplied together: the cache holds them.
_CACHED_BYTES = 1 << 19

# Outputs of one band: with more of them a band shares more samples, but multiplies more zeros.
BAND_OUTPUTS = 16
# The same for pixels of many rows or columns at once.
_WIDE_BAND = 32


@dataclass(frozen=True, eq=False)
class PhaseTaps:
    """Taps by phase of the output.

    Output k sums table[k mod L] * x over the inputs from (k // L) * step + starts[k mod L] on.

    table : (L, width); starts : (L,) rising, with starts[j] >= j * step // L
    """

    table: Taps
    starts: IntArray
    step: int
    _matrices: dict[tuple[Any, ...], AnyArray] = field(default_factory=dict, repr=False)

    @classmethod
    def one_phase(cls, taps: Taps, step: int) -> PhaseTaps:
        """Taps that are the same for every output: a convolution with a stride."""
        return cls(taps[None], np.zeros(1, np.int64), step)

    @property
    def phases(self) -> int:
        """L, the number of outputs for every `step` inputs."""
        return len(self.table)

    @property
    def width(self) -> int:
        """The number of taps of each phase."""
        return int(self.table.shape[1])

    def origin(self, k: int) -> int:
        """The input that output k is aligned with; a block whose first output is k begins there."""
        return k * self.step // self.phases

    def first_input(self, k: int) -> int:
        """The first input that output k reads."""
        group, phase = divmod(k, self.phases)
        return group * self.step + int(self.starts[phase])

    def band(
        self, first: int, count: int, dtype: np.dtype[Any], *, unit: float = 1.0, channels: int = 1
    ) -> AnyArray:
        """The matrix (window * channels, outputs * channels) of `count` outputs from `first` on.

        unit : the value of 1 in the inputs; channels : how many are interleaved
        """
        phase = first % self.phases
        key = (phase, count, dtype.char, unit, channels)
        matrix = self._matrices.get(key)
        if matrix is None:
            # Two threads may both compute it, with the same result.
            one_channel = self._one_channel_band(phase, count, dtype, unit)
            matrix = np.kron(one_channel, np.eye(channels, dtype=dtype))
            if len(self._matrices) < _MOST_MATRICES:
                self._matrices[key] = matrix
        return matrix

    def _one_channel_band(
        self, first: int, count: int, dtype: np.dtype[Any], unit: float
    ) -> AnyArray:
        """(window, outputs): column c holds the taps of output first + c."""
        column = np.arange(count)
        groups, phases = np.divmod(first + column, self.phases)
        first_inputs = groups * self.step + self.starts[phases]
        offsets = first_inputs - first_inputs[0]
        matrix = np.zeros((int(offsets[-1]) + self.width, count), dtype)
        rows = offsets[:, None] + np.arange(self.width)
        matrix[rows, column[:, None]] = self.table[phases] * unit
        return matrix


@dataclass(frozen=True, eq=False)
class AxisTaps:
    """Taps along one axis of a signal."""

    axis: int
    taps: PhaseTaps


def polyphase(x: Array, taps: PhaseTaps, span: OutputRange) -> Array:
    """The outputs [start, stop) along axis 0.

    x : (n, channels) from the input `taps.origin(start)` on; stored numbers, too
    Returns (stop - start, channels) floating.
    """
    start, stop = span
    groups = -(-stop // taps.phases) - start // taps.phases
    few_long_groups = groups < 4 and taps.phases > 1
    if x.shape[1] >= _MANY_CHANNELS or few_long_groups:
        return _channels_as_columns(x, taps, span)
    return _groups_as_rows(x, taps, span)


def polyphase_along(x: Array, taps: PhaseTaps, span: OutputRange, *, axis: int) -> Array:
    """`polyphase` along an axis of `x`, which is (n, channels) or (rows, columns, channels)."""
    if axis == 1:
        x = as_samples(x)
        if x.shape[-1] <= _MOST_INTERLEAVED:
            if taps.phases == 1 and taps.step <= _SMALL_STEP:
                return _every_place(x, taps, span)
            return _along_pixel_rows(x, taps, span)
    lines = np.moveaxis(x, axis, 0)
    channels = np.ascontiguousarray(lines).reshape(len(lines), -1)
    y = polyphase(channels, taps, span)
    return np.moveaxis(y.reshape(len(y), *lines.shape[1:]), 0, axis)


def _every_place(x: Array, taps: PhaseTaps, span: OutputRange) -> Array:
    """Outputs along pixel rows: OpenCV computes every place, and every `step`-th is kept."""
    import cv2

    x = x[:, int(taps.starts[0]) :]
    (row,) = taps.table
    filtered = _along_rows_by_opencv(x, row)
    outputs = span[1] - span[0]
    groups: Any = filtered[:, : outputs * taps.step]
    if groups.shape[1] < outputs * taps.step:  # the last window is shorter than a step
        return np.ascontiguousarray(groups[:, :: taps.step])
    # The first pixel of each group, in a third of the time that a copy by NumPy takes.
    kept: Any = cv2.resize(groups, (outputs, len(x)), interpolation=cv2.INTER_NEAREST)
    y: Array = kept.reshape(len(x), outputs, x.shape[2])
    return y


def _along_rows_by_opencv(x: Array, row: Taps) -> Array:
    """The correlation along pixel rows, from the first valid output on."""
    import cv2

    if x.dtype == np.float32 and row.size <= _LONGEST_GENERAL:
        # The general filter makes one pass, not two: two thirds of the time.
        y: Any = cv2.filter2D(x, -1, row[None], anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
        first = 0
    else:
        y = cv2.sepFilter2D(x, -1, row, np.ones(1), borderType=cv2.BORDER_CONSTANT)
        first = row.size // 2  # where OpenCV puts the output of the first window in the picture
    valid: Array = y.reshape(x.shape)[:, first:]
    return valid


def _along_pixel_rows(x: Array, taps: PhaseTaps, span: OutputRange) -> Array:
    """Outputs along pixel rows, channels interleaved: (rows, window) @ (window, outputs).

    All bands with the same taps are one product of stacks: this takes 0.6 of the time.
    """
    start, stop = span
    rows, _, channels = x.shape
    inputs = np.ascontiguousarray(x)
    y = np.empty((rows, stop - start, channels), x.dtype)
    # Outputs after which the taps of a band are the same, and inputs for them.
    period = math.lcm(BAND_OUTPUTS, taps.phases)
    hop = period * taps.step // taps.phases
    rest = (stop - start) % BAND_OUTPUTS
    whole = range(start, stop - rest, BAND_OUTPUTS)
    different = min(period // BAND_OUTPUTS, len(whole))
    stacks = [whole[number :: period // BAND_OUTPUTS] for number in range(different)]
    for bands in (*stacks, range(stop - rest, stop, BAND_OUTPUTS)):
        if not bands:
            continue
        matrix = taps.band(bands[0], min(BAND_OUTPUTS, stop - bands[0]), x.dtype, channels=channels)
        left = taps.first_input(bands[0]) - taps.origin(start)
        read = _stack(inputs, left, hop, (len(bands), len(matrix)))
        written = _stack(y, bands[0] - start, period, (len(bands), matrix.shape[1]))
        np.matmul(read, matrix, out=written)
    return y


def _stack(x: Array, left: int, hop: int, shape: tuple[int, int]) -> Array:
    """A view of stretches of pixel rows, (stretches, rows, samples).

    x : (rows, columns, channels), contiguous
    left : the first column; hop : columns from one stretch to the next
    shape : the number of stretches, and their samples
    """
    stretches, samples = shape
    _, columns, channels = x.shape
    # NumPy gives the stride of an axis of length 1 any value.
    pixel = channels * x.itemsize
    places = (hop * pixel, columns * pixel, x.itemsize)
    return np.ndarray((stretches, len(x), samples), x.dtype, x, left * pixel, places)


def _channels_as_columns(x: Array, taps: PhaseTaps, span: OutputRange) -> Array:
    """Bands of outputs: (outputs, window) @ (window, channels), as many as the cache holds."""
    start, stop = span
    y = np.empty((stop - start, x.shape[1]), sample_type(x))
    # With this many outputs the window of a band is about twice as long as that of one output.
    size = max(8, min(128, taps.width * taps.phases // taps.step))
    window_length = taps.width + size * taps.step // taps.phases
    channels = max(64, _CACHED_BYTES // y.itemsize // window_length)
    for channel in range(0, x.shape[1], channels):
        some = slice(channel, channel + channels)
        part = as_samples(x[:, some])
        for first in range(start, stop, size):
            matrix = taps.band(first, min(size, stop - first), y.dtype)
            lowest = taps.first_input(first) - taps.origin(start)
            window = part[lowest : lowest + len(matrix)]
            target = y[first - start : first - start + size, some]
            np.matmul(matrix[: len(window)].T, window, out=target)
    return y


def _groups_as_rows(x: Array, taps: PhaseTaps, span: OutputRange) -> Array:
    """Several groups of L outputs a row: (channels, rows, window) @ (window, outputs of a band)."""
    start, stop = span
    first_group = start // taps.phases
    groups = -(-stop // taps.phases) - first_group
    per_row = min(_groups_per_row(taps), groups)
    rows = -(-groups // per_row)
    outputs = per_row * taps.phases
    hop = per_row * taps.step  # inputs from one row to the next
    window = taps.first_input(outputs - 1) + taps.width

    lead = taps.origin(start) - first_group * taps.step  # inputs of the first group before `x`
    padded = _padded_channels(x, lead, (rows - 1) * hop + window)
    across, along = padded.strides
    windows = np.lib.stride_tricks.as_strided(
        padded, (len(padded), rows, window), (across, hop * along, along)
    )
    y = np.empty((len(padded), rows, outputs), padded.dtype)
    _multiply_bands(windows, taps, y, BAND_OUTPUTS, unit=value_of_one(x))
    skipped = start - first_group * taps.phases
    by_channel = y.reshape(len(y), -1)[:, skipped : skipped + stop - start]
    return np.ascontiguousarray(by_channel.T)


def _multiply_bands(
    windows: Array, taps: PhaseTaps, y: Array, size: int, *, unit: float = 1.0
) -> None:
    """Write the outputs of every row, (..., rows, outputs), in bands of `size` outputs."""
    outputs = y.shape[-1]
    for first in range(0, outputs, size):
        matrix = taps.band(first, min(size, outputs - first), y.dtype, unit=unit)
        lowest = taps.first_input(first)
        read = windows[..., lowest : lowest + len(matrix)]
        np.matmul(read, matrix, out=y[..., first : first + size])


def along_rows(x: Array, taps: PhaseTaps) -> Array:
    """Return the valid correlation along the rows of (planes, rows, columns), floating."""
    outputs = (x.shape[2] - taps.width) // taps.step + 1
    y = np.empty((*x.shape[:2], outputs), x.dtype)
    _multiply_bands(x, taps, y, _WIDE_BAND)
    return y


def along_columns(x: Array, taps: PhaseTaps) -> Array:
    """Return the valid correlation along the columns of (rows, columns), floating."""
    outputs = (len(x) - taps.width) // taps.step + 1
    y = np.empty((outputs, x.shape[1]), x.dtype)
    for first in range(0, outputs, _WIDE_BAND):
        matrix = taps.band(first, min(_WIDE_BAND, outputs - first), x.dtype)
        lowest = taps.first_input(first)
        read = x[lowest : lowest + len(matrix)]
        np.matmul(matrix.T, read, out=y[first : first + _WIDE_BAND])
    return y


def _groups_per_row(taps: PhaseTaps) -> int:
    """Groups to a row: enough outputs for BLAS, and a window no longer than the row.

    BLAS takes no matrix whose rows overlap.
    """
    last_input = (BAND_OUTPUTS - 1) * taps.step // taps.phases
    longest = taps.width + last_input + 1
    return max(-(-_LEAST_OUTPUTS // taps.phases), -(-longest // taps.step))


def _padded_channels(x: Array, lead: int, length: int) -> Array:
    """The channels of `x`, (channels, n), after `lead` zeros and before zeros up to `length`."""
    stop = lead + len(x)
    padded = np.empty((x.shape[1], max(length, stop)), sample_type(x))
    padded[:, :lead] = 0
    padded[:, lead:stop] = x.T
    padded[:, stop:] = 0
    return padded
