"""What a network is trained on: signals and their targets in memory, and the windows that are cut from them.

Every output of a network stands at one sample of the input, as it will when `model:` runs it, and its target is that of
this sample: of a network with strides or pools every other sample, or fewer, has a target. Which samples an output may
be learned at is decided for each by itself: all that the output reads is inside the signal and known, and nothing of
it is held out. Windows of many outputs are then cut anywhere; what may not be learned from has weight 0 in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.engine.lessons import Cutter, Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from convcli.core.gradients import Worker
    from convcli.core.nets import Net
    from convcli.engine.lessons import Lanes, Lesson
    from convcli.engine.workers import Workers
    from convcli.signals import Array, Source

    Flags = npt.NDArray[np.bool_]
    Places = npt.NDArray[np.int64]

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Stand:
    """Where outputs stand on each sample axis, and what they read: from `before` to `after` about every `step`-th."""

    before: Sizes
    after: Sizes
    step: Sizes
    start: Sizes

    @classmethod
    def of(cls, net: Net, start: Sizes) -> Stand:
        """Those of a network whose output 0 stands at the input `start`."""
        axes = len(start)
        first, second = net.first((0,) * axes), net.first((1,) * axes)
        reads = net.reads((1,) * axes)
        return cls(
            before=tuple(s - f for s, f in zip(start, first, strict=True)),
            after=tuple(f + r - 1 - s for f, r, s in zip(first, reads, start, strict=True)),
            step=tuple(b - a for a, b in zip(first, second, strict=True)),
            start=start,
        )


@dataclass(frozen=True)
class Segment:
    """One signal: samples (n, in) or (rows, columns, in), their targets, and where to learn and to check."""

    x: Array
    y: Array
    train: Flags
    held: Flags


def segments_of(
    lesson: Lesson,
    lanes: Lanes,
    pairs: Sequence[tuple[Source[Any], Source[Any] | None]],
    workers: Workers,
    *,
    stand: Stand,
    lags: Sequence[Sizes],
) -> list[Segment]:
    """Every signal of the pairs; each group of a table, and each channel where all share one filter, is one.

    lags : how much later the target of each pair is, along each sample axis
    """
    found = []
    for (source, target), lag in zip(pairs, lags, strict=True):
        parts: dict[bytes, list[tuple[Array, Array]]] = {}
        for group, x, y in Cutter(lesson, lanes, Reference(), source, target).arrivals(workers):
            parts.setdefault(group, []).append((x, y))
        for pieces in parts.values():
            x, y = (np.concatenate(each) for each in zip(*pieces, strict=True))
            shift = (lag[0] + lesson.ahead, *lag[1:])
            lots = [(x, y)] if not lanes.shared else [(x[..., [c]], y[..., [c]]) for c in range(lanes.shared)]
            found += [_segment(*lot, stand, shift, lesson.holdout) for lot in lots]
    return found


def _segment(x: Array, y: Array, stand: Stand, shift: Sizes, holdout: float) -> Segment:
    n = len(x)
    for axis, lag in enumerate(shift):
        y = _shifted(y, axis, lag)
    good_x, good_y = (np.asarray(np.isfinite(each).all(axis=-1)) for each in (x, y))
    known: Flags = good_y & complete(good_x, stand)
    border = n - round(n * holdout)
    at = np.arange(n).reshape(-1, *(1,) * (x.ndim - 2))
    train = known & (at < border - max(stand.after[0], shift[0], 0))
    held = known & (at >= border + max(0, -shift[0]))
    return Segment(x=np.where(good_x[..., None], x, 0), y=np.where(good_y[..., None], y, 0), train=train, held=held)


def _shifted(y: Array, axis: int, lag: int) -> Array:
    """What stands `lag` later along `axis`, NaN where nothing does."""
    if lag == 0:
        return y
    moved = np.full_like(y, np.nan)
    into, of = [slice(None)] * y.ndim, [slice(None)] * y.ndim
    into[axis], of[axis] = (slice(0, -lag), slice(lag, None)) if lag > 0 else (slice(-lag, None), slice(0, lag))
    moved[tuple(into)] = y[tuple(of)]
    return moved


def powers(segments: Sequence[Segment]) -> tuple[float, float | None]:
    """The root mean square of the targets where something is learned, and of what is held out, None if nothing is."""
    found = []
    for name in ("train", "held"):
        known = np.concatenate([each.y[getattr(each, name)] for each in segments]).astype(np.float64)
        found.append(float(np.sqrt(np.square(known).mean())) if len(known) else None)
    return found[0] or 0.0, found[1]


def complete(good: Flags, stand: Stand) -> Flags:
    """Where all samples from `before` to `after` on each axis exist and are good."""
    for axis, (before, after) in enumerate(zip(stand.before, stand.after, strict=True)):
        low, high = max(0, before), max(0, after)
        margins = [(0, 0)] * good.ndim
        margins[axis] = (low, high)
        bad = np.pad(~good, margins, constant_values=True)
        sums = np.insert(np.cumsum(bad, axis=axis), 0, 0, axis=axis)
        n = good.shape[axis]
        first, last = np.arange(n) + low - before, np.arange(n) + low + after + 1
        good = np.take(sums, last, axis=axis) == np.take(sums, first, axis=axis)
    return good


class Material:
    """All signals on one canvas, with gaps between them that no window bridges, and the windows of one size in it."""

    def __init__(self, segments: Sequence[Segment], stand: Stand, outputs: Sizes, reads: Sizes, dtype: Any) -> None:
        self.stand, self.outputs = stand, outputs
        self.covers = tuple(n * s for n, s in zip(outputs, stand.step, strict=True))
        # A window that begins before a signal or ends after it stays on the canvas.
        self.margin = tuple(max(r, c) + abs(b) for r, c, b in zip(reads, self.covers, stand.before, strict=True))
        heights = [len(each.x) for each in segments]
        tops = np.cumsum([self.margin[0], *(h + self.margin[0] for h in heights)])
        shape = (int(tops[-1]), *(max(e.x.shape[1] for e in segments) + 2 * m for m in self.margin[1:]))
        self.tops, self.sizes = tops[:-1], [each.train.shape for each in segments]
        self.x = np.zeros((*shape, segments[0].x.shape[-1]), dtype)
        self.y = np.zeros((*shape, segments[0].y.shape[-1]), dtype)
        self.train, self.held = np.zeros(shape, bool), np.zeros(shape, bool)
        for top, each in zip(self.tops, segments, strict=True):
            place = (slice(top, top + len(each.x)), *(slice(m, m + each.x.shape[1]) for m in self.margin[1:]))
            self.x[place], self.y[place] = each.x, each.y
            self.train[place], self.held[place] = each.train, each.held
        self._inputs = _views(self.x, reads, (1,) * len(reads))
        self._targets = _views(self.y, outputs, stand.step)
        self._weights = {flags is self.held: _views(flags, outputs, stand.step) for flags in (self.train, self.held)}

    def scattered(self, random: np.random.Generator) -> Places:
        """Windows that cover what is learned from once, from a random place on and in random order: (count, axes)."""
        offsets = tuple(int(random.integers(0, c)) for c in self.covers)
        places = self._grid(self.train, offsets, self.train.shape)
        return places[random.permutation(len(places))]

    def in_order(self, *, held: bool) -> Places:
        """Windows that cover what is held out (or learned from) at the very samples where `model:` has outputs."""
        found = []
        for top, size in zip(self.tops, self.sizes, strict=True):
            corner = (int(top), *self.margin[1:])
            starts = tuple(c + s for c, s in zip(corner, self.stand.start, strict=True))
            stops = tuple(s + n for s, n in zip(starts, size, strict=True))
            found.append(self._grid(self.held if held else self.train, starts, stops))
        return np.concatenate(found)

    def _grid(self, flags: Flags, starts: Sizes, stops: Sizes) -> Places:
        """The windows side by side in [starts, stops), of which some output has weight."""
        counts = tuple(-(-(b - a) // c) for a, b, c in zip(starts, stops, self.covers, strict=True))
        axes = [a + c * np.arange(n) for a, c, n in zip(starts, self.covers, counts, strict=True)]
        # What is cut off at the end of the canvas is margin.
        axes = [axis[axis + c <= n] for axis, c, n in zip(axes, self.covers, flags.shape, strict=True)]
        places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        return places[self._weight(flags)[tuple(places.T)].reshape(len(places), -1).any(axis=1)]

    def _weight(self, flags: Flags) -> Flags:
        view: Flags = self._weights[flags is self.held]
        return view

    def count(self, places: Places) -> int:
        """At how many samples the windows at `places` are learned from."""
        return int(np.count_nonzero(self._weights[False][tuple(places.T)]))

    def fill(self, worker: Worker, places: Places, *, held: bool) -> tuple[Array, Array]:
        """Lay the windows at `places` before `worker`; returns their targets and weights."""
        starts = places - np.array(self.stand.before)
        worker.x[...] = self._inputs[tuple(starts.T)]
        at = tuple(places.T)
        return self._targets[at], self._weights[held][at][..., None]


def _views(a: npt.NDArray[Any], shape: Sizes, step: Sizes) -> Any:
    """A view of the windows of `shape` that begin at each sample: (places..., shape..., channels)."""
    axes = len(shape)
    counts = tuple(n - (k - 1) * s for n, k, s in zip(a.shape, shape, step, strict=False))
    strides = (*a.strides[:axes], *(t * s for t, s in zip(a.strides, step, strict=False)), *a.strides[axes:])
    return np.lib.stride_tricks.as_strided(a, (*counts, *shape, *a.shape[axes:]), strides, writeable=False)
