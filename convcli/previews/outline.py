"""Minima and maxima of a signal in bins, in one pass and constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.facts.preview import OutlineFacts
from convcli.samples import is_stored, unit

if TYPE_CHECKING:
    from convcli.signals import Array


# From so many samples on, a bin is reduced with all its channels together and chunk by chunk: no
# channel is copied, and what was read once is still in the cache, which takes a third of the time.
LARGE_BIN = 4096
CHUNK = 1 << 15
# Samples of each channel that are compared at once; the root mean square of such a long signal is
# that of every fourth part of a chunk.
_BESIDE, _SQUARED = 128, 4


class _ChunkSums:
    """The extremes of each channel of some samples, and the sums of their squares."""

    def __init__(self, channels: int) -> None:
        self.low = np.full(channels, np.inf)
        self.high = np.full(channels, -np.inf)
        self.squares = np.zeros(channels)
        self.squared = 0

    def add(self, x: Array) -> None:
        """Add samples, (n, channels) and contiguous."""
        for start in range(0, len(x), CHUNK):
            chunk = x[start : start + CHUNK]
            self.low = np.minimum(self.low, _reduced(np.minimum.reduce, chunk))
            self.high = np.maximum(self.high, _reduced(np.maximum.reduce, chunk))
            part = chunk[: max(1, len(chunk) // _SQUARED)]
            samples = part.astype(np.float32) if is_stored(part) else part
            with np.errstate(over="ignore", invalid="ignore"):
                for channel in range(x.shape[1]):
                    line = samples[:, channel]
                    self.squares[channel] += float(line @ line)
            self.squared += len(part)


def _reduced(reduce: Any, x: Array) -> Any:
    """The least or the largest sample of each channel.

    Rows of many samples are compared with each other, and then the samples of one row.
    """
    whole = len(x) // _BESIDE * _BESIDE
    if not whole:
        return reduce(x)
    beside = _BESIDE * x.shape[1]
    rows = reduce(x[:whole].reshape(-1, beside))
    return reduce([reduce(rows.reshape(_BESIDE, -1)), *x[whole:]])


class OutlineSums:
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

    def add_at(self, positions: range | npt.NDArray[np.int64], x: Array) -> None:
        """Add samples at increasing positions, the first of which is 0."""
        if not len(x):
            return
        last = int(positions[-1])
        while last // self.per_bin >= self.capacity:
            self._merge_bins()
        self.count = last + 1
        bins, starts = self._bins_of(positions)
        if self.per_bin >= LARGE_BIN and isinstance(positions, range) and x.flags.c_contiguous:
            sums = self._sums_of_bins(x, starts)
            if not any(np.isnan(each.low).any() for each in sums):
                self._add_sums(sums, bins, len(x), unit(x))
                return
        for channel in range(x.shape[1]):
            # NumPy folds a contiguous line five times as fast as one column of several.
            line = np.ascontiguousarray(x[:, channel])
            self._add_line(channel, line, bins, starts)

    def _sums_of_bins(self, x: Array, starts: npt.NDArray[np.int64]) -> list[_ChunkSums]:
        """The sums of the samples in each bin, which begin at `starts`."""
        found = []
        for start, stop in zip(starts, [*starts[1:], len(x)], strict=True):
            sums = _ChunkSums(x.shape[1])
            sums.add(x[start:stop])
            found.append(sums)
        return found

    def _add_sums(self, sums: list[_ChunkSums], bins: Any, count: int, scale: float) -> None:
        """Add samples of all channels, none of which is missing, by the sums of each bin."""
        low = np.array([each.low for each in sums]) * scale
        high = np.array([each.high for each in sums]) * scale
        self._low[bins] = np.fmin(self._low[bins], low)
        self._high[bins] = np.fmax(self._high[bins], high)
        self._known += count
        squared = sum(each.squared for each in sums)
        squares = np.sum([each.squares for each in sums], axis=0)
        weight = scale**2 * count / squared
        self._squares += squares * weight

    def _bins_of(self, positions: range | npt.NDArray[np.int64]) -> tuple[Any, Any]:
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
        self._low[bins, channel] = np.fmin(self._low[bins, channel], low * unit(x))
        self._high[bins, channel] = np.fmax(self._high[bins, channel], high * unit(x))
        samples = x.astype(np.float32) if is_stored(x) else x
        with np.errstate(over="ignore", invalid="ignore"):
            self._squares[channel] += float(samples @ samples) * unit(x) ** 2

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
