"""Windows for least squares: signals cut into batches, in one pass and constant memory."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolution.convolve import true_runs
from convcli.core.missing import known_mean
from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.learning.strided_sums import strided_sums

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.correlation.normal_equations import ProductSums
    from convcli.learning.pairs import Channels, PairReader
    from convcli.running.workers import Workers
    from convcli.signals import Array

# Windows of one batch, at most.
BATCH = (1 << 16) - 512


def channel_by_channel(x: Array, y: Array) -> list[tuple[Array, Array]]:
    """Each channel of the inputs, with the channels of the targets that are its phases."""
    channels = x.shape[-1]
    return list(zip(np.split(x, channels, axis=-1), np.split(y, channels, axis=-1), strict=True))


@dataclass(frozen=True)
class WindowBatch:
    """Consecutive windows and their targets.

    held_out : whether all of them are held out
    x : samples from the first of the first window to the last of the last one
    y : the target of each window
    shape : taps on each sample axis
    step : windows that lie so far apart count, from the first one on, on each sample axis
    shared : whether every channel is an example of its own
    """

    held_out: bool
    x: Array
    y: Array
    shape: tuple[int, ...]
    step: tuple[int, ...]
    shared: bool

    def sums(self) -> ProductSums:
        """Sums of products over the windows."""
        if not self.shared:
            return strided_sums(self.x, self.y, self.shape, self.step)
        parts = []
        for x, y in channel_by_channel(self.x, self.y):
            parts.append(strided_sums(x, y, self.shape, self.step))
        for part in parts[1:]:
            parts[0].add(part)
        return parts[0]


class ProvisionalMeans:
    """Means of the first samples, subtracted from all samples before their squares are summed.

    Sums of squares of large levels would drown the small changes between them (the shifted-data
    algorithm for a variance: Chan, Golub & LeVeque 1983). A bias gives the levels back.
    """

    def __init__(self) -> None:
        self.x: Any = 0.0
        self.y: Any = 0.0
        self.known = False

    def estimate(self, x: Array, y: Array, *, shared: bool) -> None:
        """Take the means of each channel, or one mean of all channels that are `shared`.

        Only the first call has an effect.
        """
        if self.known:
            return
        self.known = True
        inputs, targets = (1, 1) if shared else (x.shape[-1], y.shape[-1])
        self.x = known_mean(x.reshape(-1, inputs))
        self.y = known_mean(y.reshape(-1, targets))


class SquaredChanges:
    """Squared changes of the target from the time of prediction to the predicted time."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.count = 0

    def add(self, now: Array, later: Array) -> None:
        """Add the changes of all rows whose present value is known."""
        known = np.isfinite(now).all(axis=1)
        # An overflow is noticed where the sums are solved.
        with np.errstate(over="ignore", invalid="ignore"):
            change = (later - now)[known]
            self.sum += float(np.square(change).sum())
        self.count += change.size

    def merge(self, other: SquaredChanges) -> None:
        """Add the changes of another signal."""
        self.sum += other.sum
        self.count += other.count

    @property
    def root_mean(self) -> float | None:
        """Root mean square; None if there are no changes."""
        return math.sqrt(self.sum / self.count) if self.count else None


@dataclass
class _Buffer:
    """Samples of one group that later windows still need.

    length : samples of the whole group; first : index of the first buffered sample
    next : index of the next sample to estimate
    """

    length: int
    x: Array
    y: Array
    first: int = 0
    next: int = 0

    def append(self, x: Array, y: Array) -> None:
        self.x = np.concatenate([self.x, x])
        self.y = np.concatenate([self.y, y])

    def discard(self, count: int) -> None:
        self.x = self.x[count:]
        self.y = self.y[count:]
        self.first += count


class WindowStream:
    """The complete windows of one pair. No window crosses the start of the held-out part.

    lag : samples by which the target is later than the input, per sample axis
    skipped : windows that were left out because a value is missing (rows, in a picture)
    changes : squared changes of a predicted target, for training and for held-out samples
    """

    def __init__(
        self,
        reader: PairReader,
        channels: Channels,
        means: ProvisionalMeans,
        lag: tuple[int, ...],
    ) -> None:
        task = reader.task
        self.reader = reader
        self.task = task
        self.means = means
        self.shared = channels.shared > 0
        # A change needs one sample more than the levels.
        self.before = task.before[0] + task.differences
        self.width = task.taps[0] + task.differences
        self.shift = task.ahead + lag[0]
        self.shift_across = lag[1] if len(lag) > 1 else 0
        self.look_back = max(self.before, -self.shift)
        self.look_ahead = max(self.width - 1 - self.before, self.shift)
        rate = reader.pair.target_rate
        # A target with fewer samples than the input is compared at every `step`th of them.
        self.step = (1,) * len(task.taps) if rate is None else rate.fewer
        self.skipped = 0
        self.changes = {False: SquaredChanges(), True: SquaredChanges()}

    def batches(self, workers: Workers) -> Iterator[WindowBatch]:
        """All windows, in order. Raises InputError if there are no samples."""
        lengths = self.reader.lengths(workers)
        buffers: dict[bytes, _Buffer] = {}
        for group, x, y in self.reader.blocks(workers):
            buffer = buffers.get(group)
            if buffer is None:
                buffer = _Buffer(lengths[group], x, y)
                buffers[group] = buffer
            else:
                buffer.append(x, y)
            yield from self._buffered_windows(buffer)
        if not buffers:
            raise InputError("the input holds no samples")

    def _buffered_windows(self, buffer: _Buffer) -> Iterator[WindowBatch]:
        """Windows whose samples have all arrived."""
        stop = buffer.first + len(buffer.x) - self.look_ahead
        start = max(buffer.next, self.look_back)
        if stop <= start:
            return
        # Training neither reads nor predicts a held-out sample.
        border = self.task.first_held_out(buffer.length)
        train_end = border - self.look_ahead
        held_start = border + max(0, -self.shift)
        inner = [cut for cut in (train_end, held_start) if start < cut < stop]
        for low, high in pairwise(sorted({start, stop, *inner})):
            held_out = low >= held_start
            if not held_out and high > train_end:
                continue
            for first in range(low, high, BATCH):
                last = min(first + BATCH, high)
                yield from self._windows(buffer, first, last, held_out=held_out)
        buffer.next = stop
        first_needed = stop - self.look_back
        buffer.discard(max(0, first_needed - buffer.first))

    def _windows(
        self, buffer: _Buffer, low: int, high: int, *, held_out: bool
    ) -> Iterator[WindowBatch]:
        """Windows that estimate the samples [low, high)."""
        x, y = self._samples_and_targets(buffer, low, high)
        if not y.size:  # a picture that is narrower than a window
            return
        taps = self.task.taps
        predicts_channel = self.task.targets and self.task.ahead
        self.skipped += self._compared_rows(low, len(y))
        for first, last in _complete_rows(x, y, taps[0]):
            count = last - first
            self.skipped -= self._compared_rows(low + first, count)
            if predicts_channel:
                now = _rows(buffer, buffer.y, low + first, count)
                later = _rows(buffer, buffer.y, low + first + self.shift, count)
                self.changes[held_out].add(now, later)
            end = last + taps[0] - 1
            start = self._first_compared(low + first)
            compared = y[first:last][start]
            if compared.size:
                samples = x[first:end][start]
                yield WindowBatch(held_out, samples, compared, taps, self.step, self.shared)

    def _compared_rows(self, first: int, count: int) -> int:
        """How many of `count` rows from a row on are compared with a target sample of their own."""
        step = self.step[0]
        return len(range(-first % step, count, step))

    def _first_compared(self, row: int) -> tuple[slice, ...]:
        """The samples from the first on that is compared, of a part that begins at a row."""
        first = (row, self._first_column)[: len(self.step)]
        return tuple(
            slice(-place % step, None) for place, step in zip(first, self.step, strict=True)
        )

    def _samples_and_targets(self, buffer: _Buffer, low: int, high: int) -> tuple[Array, Array]:
        """Samples of the windows that estimate [low, high), and their targets."""
        count = high - low
        x = _rows(buffer, buffer.x, low - self.before, count + self.width - 1)
        y = _rows(buffer, buffer.y, low + self.shift, count)
        if y.ndim == 3:
            x, y = self._complete_columns(x, y)
        if self.task.differences:
            now = _rows(buffer, buffer.y, low, count)
            # The change between two infinities is unknown, and that of huge numbers infinite.
            with np.errstate(over="ignore", invalid="ignore"):
                x = np.diff(x, axis=0)
                y = y - now
        if self.task.bias and y.size:
            self.means.estimate(x, y, shared=self.shared)
            x = x - self.means.x
            y = y - self.means.y
        return x, y

    @property
    def _first_column(self) -> int:
        """The first column of a picture whose window and target lie inside of it."""
        if len(self.task.taps) == 1:
            return 0
        return max(self.task.before[1], -self.shift_across)

    def _complete_columns(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Columns of a picture whose windows and targets both lie inside of it."""
        left = self.task.before[1]
        right = self.task.taps[1] - 1 - left
        shift = self.shift_across
        first = self._first_column
        last = max(first, x.shape[1] - max(right, shift))
        return x[:, first - left : last + right], y[:, first + shift : last + shift]


def _rows(buffer: _Buffer, samples: Array, first: int, count: int) -> Array:
    """`count` of the buffered samples from the one with index `first` on."""
    start = first - buffer.first
    return samples[start : start + count]


def _complete_rows(x: Array, y: Array, width: int) -> list[tuple[int, int]]:
    """Runs [first, last) of windows of `width` rows in which no value is missing."""
    good_x = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    good_y = np.isfinite(y).reshape(len(y), -1).all(axis=1)
    if good_x.all() and good_y.all():
        return [(0, len(y))]
    missing = np.concatenate([[0], np.cumsum(~good_x)])
    complete = missing[width:] == missing[:-width]
    return true_runs(good_y & complete)
