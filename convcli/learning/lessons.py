"""What a filter is learned from: signals and their targets cut into windows, in one pass and constant memory."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from convcli.core.convolve import runs
from convcli.core.solve import Sums, sums_over
from convcli.errors import InputError, RequestError
from convcli.learning.pairs import colours, scaled, side_by_side
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.running.workers import Workers
    from convcli.signals import Align, Array, Signal, Source

PIECE = (1 << 16) - 512
"""Samples whose sums are made at a time."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is to be learned from what.

    taps : the window along each sample axis; align : where it lies; bias : whether a constant is learned too
    ahead : the target lies so many samples later; blind : the target is the input, without the tap at the centre
    delay : how much later the target file is than the input, along each sample axis; None finds it, () is none
    differences : the change of the target is learned from the changes of the inputs
    noise : when blind, the deviation of the white noise, "auto" estimates it; None leaves the sample itself out
    mix : every input channel into every output; else all channels share one filter
    inputs, targets : indices of the channels that are read and of those that are the target, where one source has both
    ridge : None takes the best on what is held out; holdout : the part at the end that is not learned from
    """

    taps: tuple[int, ...]
    align: Align = "center"
    bias: bool = False
    ahead: int = 0
    blind: bool = False
    delay: tuple[int, ...] | None = ()
    differences: bool = False
    noise: float | Literal["auto"] | None = None
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
        given = len(colours(signal))
        if target is None and not lesson.blind:
            return cls(len(lesson.inputs), len(lesson.targets), 0)
        asked = given if target is None else len(colours(target.signal))
        if lesson.mix:
            return cls(given, asked, 0)
        if given != asked:
            message = f"the input has {given} channel{'s' * (given != 1)} and the target {asked}"
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
    parts = [
        sums_over(job.x[..., c : c + 1], job.y[..., c : c + 1], job.shape)
        for c in range(job.x.shape[-1])
    ]
    for part in parts[1:]:
        parts[0].add(part)
    return job.held, parts[0]


@dataclass
class _Open:
    """The samples of one signal that later windows still need; `first` is the index of the first of them."""

    n: int
    x: Array
    y: Array
    first: int = 0
    next: int = 0


class Cutter:
    """One pair of signals cut into jobs: windows that are complete, before or after the border of what is held out.

    passed_over : how many were not, as something is missing in them (rows of a picture)
    unchanged : squared changes of the target and how many there were, in what is learned from and in what is held out
    """

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
        self.passed_over = 0
        self.unchanged = {False: (0.0, 0), True: (0.0, 0)}
        self.before, self.width = (
            lesson.before[0] + lesson.differences,
            lesson.taps[0] + lesson.differences,
        )
        self.put_off((0,) * len(lesson.taps))

    def put_off(self, delay: tuple[int, ...]) -> None:
        """A target that is late is looked for that much later, just as one that is to be foretold."""
        self.shift, self.across = self.lesson.ahead + delay[0], delay[-1] if len(delay) > 1 else 0
        self.earlier = max(self.before, -self.shift)
        self.later = max(self.width - 1 - self.before, self.shift)

    def jobs(self, workers: Workers) -> Iterator[_Job]:
        """Every job, in order."""
        lengths = self._lengths(workers)
        opened: dict[bytes, _Open] = {}
        for group, x, y in self.arrivals(workers):
            now = opened.get(group)
            if now is None:
                opened[group] = _Open(lengths[group], x, y)
            else:
                now.x, now.y = np.concatenate([now.x, x]), np.concatenate([now.y, y])
            yield from self._ready(opened[group])
        if not opened:
            raise InputError("the input holds no samples")

    @property
    def length(self) -> int | None:
        """How many samples both have, where that is known beforehand and they are one signal."""
        known = [each.signal.shape[0] for each in (self.source, self.target) if each is not None]
        return None if None in known else min(n for n in known if n is not None)

    def _lengths(self, workers: Workers) -> dict[bytes, int]:
        """The samples of each signal; a table is read once more to count its rows, as is a pipe."""
        if self.length is not None:
            return {b"": self.length}
        counts: dict[bytes, int] = defaultdict(int)
        for group, x, _ in self.arrivals(workers):
            counts[group] += len(x)
        return counts

    def arrivals(self, workers: Workers) -> Iterator[tuple[bytes, Array, Array]]:
        """Samples and targets side by side, for each signal by itself."""
        blocks = blocks_of(self.source, workers.map)
        if self.target is None:
            for block in blocks:
                for group, x, _ in block.by_group():
                    if self.lesson.blind:
                        scaled_x = scaled(x, self.source)
                        yield group, scaled_x, scaled_x
                    else:
                        inputs = x[..., list(self.lesson.inputs)]
                        targets = x[..., list(self.lesson.targets)]
                        yield group, inputs, targets
            return
        xs = (scaled(block.x, self.source) for block in blocks)
        ys = (scaled(block.x, self.target) for block in blocks_of(self.target, workers.map))
        yield from side_by_side(xs, ys, cut=self.lesson.delay != ())

    def _ready(self, now: _Open) -> Iterator[_Job]:
        """The windows of estimates whose every sample is there; what later ones need is kept."""
        border = now.n - round(now.n * self.lesson.holdout)
        stop = now.first + len(now.x) - self.later
        start = max(now.next, self.earlier)
        if stop <= start:
            return
        # Nothing of what is held out is seen while learning, neither as an input nor as a target.
        ends, begins = border - self.later, border + max(0, -self.shift)
        edges = sorted({start, stop, *(e for e in (ends, begins) if start < e < stop)})
        for low, high in pairwise(edges):
            if high <= ends or low >= begins:
                for first in range(low, high, PIECE):
                    yield from self._windows(
                        now, first, min(first + PIECE, high), held=low >= begins
                    )
        now.next = stop
        keep = max(0, now.next - self.earlier - now.first)
        now.x, now.y, now.first = now.x[keep:], now.y[keep:], now.first + keep

    def _windows(self, now: _Open, low: int, high: int, *, held: bool) -> Iterator[_Job]:
        at = low - self.before - now.first
        x = now.x[at : at + high - low + self.width - 1]
        late = low + self.shift - now.first
        y = now.y[late : late + high - low]
        if y.ndim == 3:
            x, y = self._across(x, y)
            if y.shape[1] < 1:
                return
        if self.lesson.differences:
            with np.errstate(
                invalid="ignore"
            ):  # from one infinite number to the next nothing is known
                x, y = np.diff(x, axis=0), y - now.y[low - now.first : high - now.first]
        x, y = self._near_zero(x, y)
        known = self._known(x, y)
        self.passed_over += len(y) - sum(last - first for first, last in known)
        for first, last in known:
            if self.lesson.targets and self.lesson.ahead:
                self._note_change(now, low + first, low + last, held=held)
            part = x[first : last + self.lesson.taps[0] - 1]
            yield _Job(held, part, y[first:last], self.lesson.taps, self.lanes.shared > 0)

    def _note_change(self, now: _Open, low: int, high: int, *, held: bool) -> None:
        """How far targets are from what they were when they were to be foretold."""
        y, late = (
            now.y[low - now.first : high - now.first],
            now.y[low + self.shift - now.first :][: high - low],
        )
        change = (late - y)[np.isfinite(y).all(axis=1)]
        total, count = self.unchanged[held]
        with np.errstate(over="ignore"):  # as of the sums, which are looked at in the end
            self.unchanged[held] = total + float(np.square(change).sum()), count + change.size

    def _across(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The columns of a picture that have complete windows and a target `across` further on."""
        left, width = self.lesson.before[1], self.lesson.taps[1]
        first = max(left, -self.across)
        last = max(first, x.shape[1] - max(width - 1 - left, self.across))
        return x[:, first - left : last + width - 1 - left], y[
            :, first + self.across : last + self.across
        ]

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
        width = self.lesson.taps[0]
        return runs(good_y & (bad[width:] == bad[:-width]))
