"""Minima and maxima of a signal in bins, in one pass and constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.facts.preview import OutlineFacts
from convcli.samples import extremes, is_stored, value_of_one

if TYPE_CHECKING:
    from convcli.array_types import FloatArray, IntArray
    from convcli.signals import Array


# In long bins the extremes of all channels are found at once: no channel is copied, which takes a
# sixth of the time.
LARGE_BIN = 4096
# Samples of all channels that are squared at a time, so that they stay in the cache: half the time.
SQUARED_AT_ONCE = 65536


def _squares_of_channels(x: Array) -> FloatArray:
    """The sum of the squares of each channel of (n, channels)."""
    sums = np.zeros(x.shape[1])
    frames = max(1, SQUARED_AT_ONCE // x.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(x), frames):
            block = x[start : start + frames]
            if is_stored(block):
                block = block.astype(np.float32)
            sums += [float(channel @ channel) for channel in block.T]
    return sums


class OutlineCollector:
    """Collects the outline of a signal whose samples come in order.

    bins : how many bins there are at least, once there are as many samples; at most twice as many
    length : number of samples, None if it is not known: then bins are merged in pairs as they fill
    """

    def __init__(self, channels: tuple[str, ...], bins: int, length: int | None = None) -> None:
        self.channels = channels
        self.capacity = 2 * bins
        self.per_bin = 1
        if length is not None:
            self.per_bin = max(1, -(-length // self.capacity))
        self.count = 0
        shape = (self.capacity, len(channels))
        self._low = np.full(shape, np.nan)
        self._high = np.full(shape, np.nan)
        self._gaps = np.zeros(shape, np.int64)
        self._squares = np.zeros(len(channels))
        self._known = np.zeros(len(channels), np.int64)

    def add(self, x: Array) -> None:
        """Add the next samples, (n, channels), as floats or as the file stores them."""
        self.add_at(range(self.count, self.count + len(x)), x)

    def add_at(self, positions: range | IntArray, x: Array) -> None:
        """Add samples at increasing positions, the first of which is 0."""
        if not len(x):
            return
        last = int(positions[-1])
        while last // self.per_bin >= self.capacity:
            self._merge_bins()
        self.count = last + 1
        bins, starts = self._bins_of(positions)
        dense = isinstance(positions, range) and x.flags.c_contiguous
        if dense and self.per_bin >= LARGE_BIN and self._add_large_bins(x, bins, starts):
            return
        for channel in range(x.shape[1]):
            # NumPy folds a contiguous line five times as fast as one column of several.
            line = np.ascontiguousarray(x[:, channel])
            self._add_line(channel, line, bins, starts)

    def _add_large_bins(self, x: Array, bins: Any, starts: IntArray) -> bool:
        """Add samples of all channels; those of a bin begin at its place in `starts`.

        Returns False, and adds nothing, where a sample is missing.
        """
        parts = np.split(x, starts[1:])
        low, high = (np.array(found) for found in zip(*map(extremes, parts), strict=True))
        if np.isnan(low).any():
            return False
        scale = value_of_one(x)
        self._low[bins] = np.fmin(self._low[bins], low * scale)
        self._high[bins] = np.fmax(self._high[bins], high * scale)
        self._known += len(x)
        self._squares += _squares_of_channels(x) * scale**2
        return True

    def _bins_of(self, positions: range | IntArray) -> tuple[Any, Any]:
        """The bins of the positions, and the first sample of each of them."""
        if not isinstance(positions, range):
            return np.unique(positions // self.per_bin, return_index=True)
        first = positions.start // self.per_bin
        last = (positions.stop - 1) // self.per_bin
        bins = np.arange(first, last + 1)
        return bins, np.maximum(bins * self.per_bin - positions.start, 0)

    def _add_line(self, channel: int, x: Any, bins: Any, starts: Any) -> None:
        """Add samples of one channel; those of a bin begin at its place in `starts`."""
        known = len(x)
        scale = value_of_one(x)
        low = np.minimum.reduceat(x, starts)
        high = np.maximum.reduceat(x, starts)
        if not is_stored(x) and np.isnan(low).any():
            missing = np.isnan(x)
            self._gaps[bins, channel] += np.add.reduceat(missing, starts, dtype=np.int64)
            low = np.fmin.reduceat(x, starts)
            high = np.fmax.reduceat(x, starts)
            x = np.where(missing, 0.0, x)
            known -= int(np.count_nonzero(missing))
        self._known[channel] += known
        self._low[bins, channel] = np.fmin(self._low[bins, channel], low * scale)
        self._high[bins, channel] = np.fmax(self._high[bins, channel], high * scale)
        self._squares[channel] += _squares_of_channels(x[:, None])[0] * scale**2

    def _merge_bins(self) -> None:
        """Make every two bins one, which frees half of them."""
        half = self.capacity // 2
        for values, merge in ((self._low, np.fmin), (self._high, np.fmax)):
            values[:half] = merge(values[::2], values[1::2])
            values[half:] = np.nan
        self._gaps[:half] = self._gaps[::2] + self._gaps[1::2]
        self._gaps[half:] = 0
        self.per_bin *= 2

    def facts(self, *, group: str = "", start: float = 0.0, spacing: float = 1.0) -> OutlineFacts:
        """The outline of all samples so far."""
        used = -(-self.count // self.per_bin)
        low, high = self._low[:used], self._high[:used]
        peaks = np.fmax(np.abs(low), np.abs(high))
        largest = np.nan_to_num(np.fmax.reduce(peaks, axis=0, initial=0.0))
        rms = np.sqrt(self._squares / np.maximum(1, self._known))
        return OutlineFacts(
            group=group,
            channels=self.channels,
            length=self.count,
            per_bin=self.per_bin,
            start=start,
            spacing=spacing,
            low=low.copy(),
            high=high.copy(),
            gaps=self._gaps[:used].copy(),
            peak=tuple(largest.tolist()),
            rms=tuple(rms.tolist()),
        )
