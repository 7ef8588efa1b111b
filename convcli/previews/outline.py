"""Minima and maxima of a signal in bins, in one pass and constant memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.facts.preview import OutlineFacts
from convcli.samples import extremes, is_stored, value_of_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import IntArray
    from convcli.signals import Array

    # The least and the largest samples, and the sum of all squares.
    Folded = tuple[Array, Array, float]

# A long bin consists of grains, of which any thread finds the extremes. This is the least number of
# grains in a bin; a grain has a power of two of samples, within the limits below.
GRAINS_OF_BIN = 2
SHORTEST_GRAIN, LONGEST_GRAIN = 1024, 65536
# Samples of each of several channels that are compared side by side; a grain has a multiple of it.
BESIDE = 1024
# Folded blocks that are added at once, which takes a tenth of the time of adding each of them.
ADDED_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class FoldedSamples:
    """The extremes of the grains of a block, in which no sample is missing.

    grain : samples of a grain
    start : samples of the first grain that come before the block
    low, high : (grains, values, channels), of which a grain has one value or several
    scale : the sample that the number 1 stands for
    squares : the sum of the squares of all samples
    """

    grain: int
    start: int
    low: Array
    high: Array
    scale: float
    squares: float

    @classmethod
    def of(cls, x: Array, position: int, grain: int) -> FoldedSamples | None:
        """Fold (n, channels), n > 0, from a position in the signal on; None if a sample is missing.

        The channels are folded together, without a copy of each of them.
        """
        first = min(-position % grain, len(x))
        last = first + (len(x) - first) // grain * grain
        parts = [_folded_grains(x[first:last], grain)]
        if first:
            parts.insert(0, _folded_part(x[:first]))
        if last < len(x):
            parts.append(_folded_part(x[last:]))
        lows, highs, sums = zip(*parts, strict=True)
        # The sum of squares is NaN if one of them is.
        if math.isnan(sum(sums)):
            return None
        scale = value_of_one(x)
        low, high = _one_after_the_other(lows), _one_after_the_other(highs)
        return cls(grain, position % grain, low, high, scale, sum(sums) * scale**2)


def _folded_part(x: Array) -> Folded:
    """The least and the largest sample of each channel, (1, 1, channels) each, and all squares."""
    low, high = extremes(x)
    return low[None, None], high[None, None], sum_of_squares(x)


def _folded_grains(x: Array, grain: int) -> Folded:
    """The extremes of each grain, (grains, values, channels) each, and the sum of the squares."""
    channels = x.shape[1]
    # NumPy folds contiguous numbers many times as fast as one channel of several.
    values = 1 if channels == 1 else BESIDE
    lines = x.reshape(len(x) // grain, grain // values, values, channels)
    return np.minimum.reduce(lines, axis=1), np.maximum.reduce(lines, axis=1), sum_of_squares(x)


def _one_after_the_other(parts: Sequence[Array]) -> Array:
    """Extremes of grains, (grains, values, channels), with as many values of each grain."""
    if len(parts) == 1:
        return parts[0]
    values = max(part.shape[1] for part in parts)
    repeated = []
    for part in parts:
        times = values // part.shape[1]
        repeated.append(np.repeat(part, times, axis=1))
    return np.concatenate(repeated)


def _extremes_of_each(fold: np.ufunc, parts: Sequence[Array]) -> Array:
    """The extremes of each grain, (grains, channels)."""
    values = _one_after_the_other(parts).swapaxes(1, 2)
    return np.asarray(fold.reduce(np.ascontiguousarray(values), axis=2))


def sum_of_squares(x: Array, less: Array | None = None) -> float:
    """The sum of the squares of all numbers of an array.

    less : an array of the same shape and type that is subtracted first
    """
    if not x.size:
        return 0.0
    # OpenCV takes a third of the time of NumPy for 16 bits, which need no conversion first.
    import cv2

    numbers = [each.reshape(-1) for each in (x, less) if each is not None]
    if x.dtype == np.int32:
        # Sums of squares of 32 bits would not fit into its whole numbers.
        numbers = [each.astype(np.float32) for each in numbers]
    if less is None:
        return float(cv2.norm(numbers[0], cv2.NORM_L2SQR))
    return float(cv2.norm(numbers[0], numbers[1], cv2.NORM_L2SQR))


def starts_of_runs(numbers: IntArray) -> tuple[Any, Any]:
    """The different ones of increasing numbers, and the place where each of them begins."""
    new = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    starts = np.concatenate([[0], new])
    return numbers[starts], starts


class OutlineCollector:
    """Collects the outline of a signal whose samples come in order.

    bins : how many bins there are at least, once there are as many samples; at most twice as many
    length : number of samples, None if it is not known: then bins are merged in pairs as they fill
    level : find the RMS, too
    """

    def __init__(
        self,
        channels: tuple[str, ...],
        bins: int,
        length: int | None = None,
        *,
        level: bool = False,
    ) -> None:
        self.channels = channels
        self._level = level
        self.capacity = 2 * bins
        self.per_bin = 1
        if length is not None:
            self.per_bin = max(1, -(-length // self.capacity))
            if self.grain:
                self.per_bin = self.grain * -(-self.per_bin // self.grain)
        self.count = 0
        shape = (self.capacity, len(channels))
        self._low = np.full(shape, np.nan)
        self._high = np.full(shape, np.nan)
        self._gaps = np.zeros(shape, np.int64)
        self._squares = 0.0
        self._known = 0
        self._waiting: list[FoldedSamples] = []
        self._grains: list[IntArray] = []

    @property
    def grain(self) -> int:
        """The samples of a grain, of which a bin has a whole number; 0 if bins are too short."""
        if self.per_bin < GRAINS_OF_BIN * SHORTEST_GRAIN:
            return 0
        longest = 1 << (self.per_bin // GRAINS_OF_BIN).bit_length() - 1
        return min(longest, LONGEST_GRAIN)

    def add(self, x: Array, folded: FoldedSamples | None = None) -> None:
        """Add the next samples, (n, channels), as floats or as the file stores them.

        folded : the same samples, if they have been folded
        """
        self._make_room(self.count + len(x))
        if folded is not None and self._takes(folded):
            self._add_folded(folded, len(x))
        else:
            self.add_at(range(self.count, self.count + len(x)), x)

    def add_at(self, positions: range | IntArray, x: Array) -> None:
        """Add samples at increasing positions, the first of which is 0."""
        if not len(x):
            return
        length = int(positions[-1]) + 1
        self._make_room(length)
        dense = isinstance(positions, range) and x.flags.c_contiguous
        if dense and self.grain:
            folded = FoldedSamples.of(x, self.count, self.grain)
            if folded is not None:
                self._add_folded(folded, len(x))
                return
        self.count = length
        bins, starts = self._bins_of(positions)
        for channel in range(x.shape[1]):
            # NumPy folds a contiguous line five times as fast as one column of several.
            line = np.ascontiguousarray(x[:, channel])
            self._add_line(channel, line, bins, starts)

    def _make_room(self, length: int) -> None:
        """Merge bins until all bins together can hold `length` samples."""
        while length > self.capacity * self.per_bin:
            self._add_waiting()
            self._merge_bins()

    def _takes(self, folded: FoldedSamples) -> bool:
        """Whether the next samples were folded to grains of the bins as they are now."""
        return folded.grain == self.grain and folded.start == self.count % self.grain

    def _add_folded(self, folded: FoldedSamples, count: int) -> None:
        """Add the next `count` samples, whose grains are parts of bins."""
        first = self.count // self.grain
        self._grains.append(np.arange(first, first + len(folded.low)))
        self._waiting.append(folded)
        self._squares += folded.squares
        self._known += count * len(self.channels)
        self.count += count
        if len(self._waiting) == ADDED_AT_ONCE:
            self._add_waiting()

    def _add_waiting(self) -> None:
        """Find the extremes of the bins of the folded blocks that wait."""
        if not self._waiting:
            return
        grains = np.concatenate(self._grains)
        counts = [len(folded.low) for folded in self._waiting]
        scale = np.repeat([folded.scale for folded in self._waiting], counts)[:, None]
        lows = scale * _extremes_of_each(np.minimum, [folded.low for folded in self._waiting])
        highs = scale * _extremes_of_each(np.maximum, [folded.high for folded in self._waiting])
        bins, starts = starts_of_runs(grains // (self.per_bin // self.grain))
        self._low[bins] = np.fmin(self._low[bins], np.minimum.reduceat(lows, starts))
        self._high[bins] = np.fmax(self._high[bins], np.maximum.reduceat(highs, starts))
        self._waiting.clear()
        self._grains.clear()

    def _bins_of(self, positions: range | IntArray) -> tuple[Any, Any]:
        """The bins of the positions, and the first sample of each of them."""
        if not isinstance(positions, range):
            return starts_of_runs(positions // self.per_bin)
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
        self._known += known
        self._low[bins, channel] = np.fmin(self._low[bins, channel], low * scale)
        self._high[bins, channel] = np.fmax(self._high[bins, channel], high * scale)
        if self._level:
            self._squares += sum_of_squares(x) * scale**2

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
        self._add_waiting()
        used = -(-self.count // self.per_bin)
        low, high = self._low[:used], self._high[:used]
        peaks = np.fmax(np.abs(low), np.abs(high))
        largest = np.nan_to_num(np.fmax.reduce(peaks, axis=0, initial=0.0))
        rms = None
        if self._level:
            rms = math.sqrt(self._squares / max(1, self._known))
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
            rms=rms,
        )
