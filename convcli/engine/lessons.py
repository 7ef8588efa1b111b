"""What a filter is learned from: signals and their targets cut into windows, in one pass and constant memory."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolve import runs
from convcli.core.solve import Sums, sums_over
from convcli.engine.run import split
from convcli.errors import InputError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.engine.workers import Workers
    from convcli.signals import Align, Array, Signal, Source

PIECE = (1 << 16) - 512
"""Samples whose sums are made at a time."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is to be learned from what.

    taps : the window along each sample axis; align : where it lies; bias : whether a constant is learned too
    ahead : the target lies so many samples later; blind : the target is the input, without the tap at the centre
    mix : every input channel into every output; else all channels share one filter
    inputs, targets : indices of the channels that are read and of those that are the target, where one source has both
    ridge : None takes the best on what is held out; holdout : the part at the end that is not learned from
    """

    taps: tuple[int, ...]
    align: Align = "center"
    bias: bool = False
    ahead: int = 0
    blind: bool = False
    mix: bool = False
    inputs: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    ridge: float | None = None
    holdout: float = 0.2

    @property
    def before(self) -> tuple[int, ...]:
        """Samples read before the one that is estimated, on each axis."""
        return tuple(k - 1 if self.align == "causal" else (k - 1) // 2 for k in self.taps)


@dataclass(frozen=True)
class Lanes:
    """How many channels go into a window and come out; `shared` ones are filtered each by itself with the same taps."""

    inputs: int
    outputs: int
    shared: int

    @classmethod
    def of(cls, lesson: Lesson, signal: Signal, target: Source[Any] | None) -> Lanes:
        """What a lesson comes to for these files."""
        given = len(signal.channels)
        if target is None and not lesson.blind:
            return cls(len(lesson.inputs), len(lesson.targets), 0)
        asked = given if target is None else len(target.signal.channels)
        if lesson.mix:
            return cls(given, asked, 0)
        if given != asked:
            message = f"the input has {given} channels and the target {asked}"
            raise RequestError(message, hint="--mix learns every output from every input channel")
        return cls(1, 1, given)

    def nothing(self, lesson: Lesson) -> Sums:
        """The sums over no window."""
        return Sums.nothing(self.inputs * math.prod(lesson.taps), self.outputs)


@dataclass
class Reference:
    """A level near that of the data, which is taken off so that its size does not drown its changes."""

    x: Any = 0.0
    y: Any = 0.0
    settled: bool = False

    def settle(self, x: Array, y: Array, *, shared: bool) -> None:
        """The means of the first samples, where there are any: one for each channel, or one for all that are shared."""
        if not self.settled:
            self.settled = True
            lanes = [each.reshape(-1, 1 if shared else each.shape[-1]) for each in (x, y)]
            self.x, self.y = map(_known_mean, lanes)


def _known_mean(x: Array) -> Array:
    known = np.isfinite(x)
    mean: Array = np.where(known, x, 0.0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    return mean


@dataclass(frozen=True)
class _Job:
    """Windows and targets that belong together; `shared`: each channel is an example of its own."""

    held: bool
    x: Array
    y: Array
    shape: tuple[int, ...]
    shared: bool


def summed(job: _Job) -> tuple[bool, Sums]:
    """Whether a job is held out, and its sums."""
    if not job.shared:
        return job.held, sums_over(job.x, job.y, job.shape)
    parts = [sums_over(job.x[..., c : c + 1], job.y[..., c : c + 1], job.shape) for c in range(job.x.shape[-1])]
    for part in parts[1:]:
        parts[0].add(part)
    return job.held, parts[0]


def check_pair(first: Signal, source: Source[Any], target: Source[Any] | None) -> None:
    """Refuse a pair that does not fit the first one, or of which one does not fit the other."""
    signal = source.signal
    if len(signal.channels) != len(first.channels) or signal.rate != first.rate:
        raise RequestError("the inputs differ in their channels or rates", hint="all pairs share one filter")
    if target is None:
        return
    other = target.signal
    if signal.rate != other.rate:
        message = f"the input has {signal.rate:g} samples per second and the target {other.rate:g}"
        raise RequestError(message, hint="convcli audio resample:RATE brings one to the rate of the other")
    if signal.shape != other.shape:
        sizes = [" x ".join("?" if n is None else f"{n:,}" for n in each.shape) for each in (signal, other)]
        message = f"the input has {sizes[0]} samples and the target {sizes[1]}"
        raise RequestError(message, hint="cut them to one length")


@dataclass
class _Open:
    """The samples of one signal that later windows still need; `first` is the index of the first of them."""

    n: int
    x: Array
    y: Array
    first: int = 0
    next: int = 0


class Cutter:
    """One pair of signals cut into jobs: windows that are complete, before or after the border of what is held out."""

    def __init__(
        self,
        lesson: Lesson,
        lanes: Lanes,
        reference: Reference,
        source: Source[Any],
        target: Source[Any] | None,
    ) -> None:
        self.lesson, self.lanes, self.reference = lesson, lanes, reference
        self.source, self.target = source, target
        self.before, self.width = lesson.before[0], lesson.taps[0]
        self.after = self.width - 1 - self.before
        self.later = max(self.after, lesson.ahead)

    def jobs(self, workers: Workers) -> Iterator[_Job]:
        """Every job, in order."""
        lengths = self._lengths(workers)
        opened: dict[bytes, _Open] = {}
        for group, x, y in self._arrivals(workers):
            now = opened.get(group)
            if now is None:
                opened[group] = _Open(lengths[group], x, y)
            else:
                now.x, now.y = np.concatenate([now.x, x]), np.concatenate([now.y, y])
            yield from self._ready(opened[group])
        if not opened:
            raise InputError("the input holds no samples")

    def _lengths(self, workers: Workers) -> dict[bytes, int]:
        """The samples of each signal; a table is read once more to count its rows."""
        n = self.source.signal.shape[0]
        if n is not None:
            return {b"": n}
        counts: dict[bytes, int] = defaultdict(int)
        for group, x, _ in self._arrivals(workers):
            counts[group] += len(x)
        return counts

    def _arrivals(self, workers: Workers) -> Iterator[tuple[bytes, Array, Array]]:
        """Samples and targets side by side, for each signal by itself."""
        blocks = workers.map(self.source.decode, self.source.chunks())
        if self.target is None:
            for block in blocks:
                for piece in split(block, np.arange(len(block.x))):
                    x = self._scaled(piece.x, self.source)
                    if self.lesson.blind:
                        yield piece.group, x, x
                    else:
                        yield piece.group, x[..., list(self.lesson.inputs)], x[..., list(self.lesson.targets)]
            return
        ys = (self._scaled(block.x, self.target) for block in workers.map(self.target.decode, self.target.chunks()))
        yield from _side_by_side((self._scaled(block.x, self.source) for block in blocks), ys)

    @staticmethod
    def _scaled(x: Array, source: Source[Any]) -> Array:
        signal = source.signal
        return x / signal.full_scale if signal.medium == "image" and signal.full_scale != 1 else x

    def _ready(self, now: _Open) -> Iterator[_Job]:
        """The windows of estimates whose every sample is there; what later ones need is kept."""
        border = now.n - round(now.n * self.lesson.holdout)
        stop = now.first + len(now.x) - self.later
        start = max(now.next, self.before)
        if stop <= start:
            return
        # Nothing of what is held out is seen while learning, neither as an input nor as a target.
        edges = sorted({start, stop, *(e for e in (border - self.later, border) if start < e < stop)})
        for low, high in pairwise(edges):
            if high <= border - self.later or low >= border:
                for first in range(low, high, PIECE):
                    yield from self._windows(now, first, min(first + PIECE, high), held=low >= border)
        now.next = stop
        keep = max(0, now.next - self.before - now.first)
        now.x, now.y, now.first = now.x[keep:], now.y[keep:], now.first + keep

    def _windows(self, now: _Open, low: int, high: int, *, held: bool) -> Iterator[_Job]:
        at = low - self.before - now.first
        x = now.x[at : at + high - low + self.width - 1]
        late = low + self.lesson.ahead - now.first
        y = now.y[late : late + high - low]
        if y.ndim == 3:
            left = self.lesson.before[1]
            y = y[:, left : left + x.shape[1] - self.lesson.taps[1] + 1]
            if y.shape[1] < 1 or x.shape[1] < self.lesson.taps[1]:
                return
        x, y = self._near_zero(x, y)
        for first, last in self._known(x, y):
            part = x[first : last + self.width - 1]
            yield _Job(held, part, y[first:last], self.lesson.taps, self.lanes.shared > 0)

    def _near_zero(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Both with the level of their beginning taken off, where a bias can give it back."""
        if not self.lesson.bias:
            return x, y
        self.reference.settle(x, y, shared=self.lanes.shared > 0)
        return x - self.reference.x, y - self.reference.y

    def _known(self, x: Array, y: Array) -> list[tuple[int, int]]:
        """The stretches of estimates in whose windows nothing is missing."""
        good_x = np.isfinite(x).reshape(len(x), -1).all(axis=1)
        good_y = np.isfinite(y).reshape(len(y), -1).all(axis=1)
        if good_x.all() and good_y.all():
            return [(0, len(y))]
        bad = np.concatenate([[0], np.cumsum(~good_x)])
        return runs(good_y & (bad[self.width :] == bad[: -self.width]))


def _side_by_side(xs: Iterator[Array], ys: Iterator[Array]) -> Iterator[tuple[bytes, Array, Array]]:
    """Blocks of two signals cut to the same lengths."""
    x = y = None
    while True:
        x = next(xs, None) if x is None or not len(x) else x
        y = next(ys, None) if y is None or not len(y) else y
        if x is None or y is None:
            break
        count = min(len(x), len(y))
        yield b"", x[:count], y[:count]
        x, y = x[count:], y[count:]
    if (x is not None and len(x)) or (y is not None and len(y)):
        raise InputError("input and target differ in length", hint="one of the two files is truncated")
