"""What a network is trained on: signals and their targets, and the windows that are cut from them.

Every output of a network stands at one sample of the input, as it will when `model:` runs it, and its target is that of
this sample: of a network with strides or pools every other sample, or fewer, has a target. Which samples an output may
be learned at is decided for each by itself: all that the output reads is inside the signal and known, and nothing of
it is held out. Windows of many outputs are then cut anywhere; what may not be learned from has weight 0 in them.
"""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.errors import OutputError
from convcli.learning.lessons import Cutter, Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from convcli.layers.gradients import Worker
    from convcli.layers.nets import Net
    from convcli.learning.lessons import Lanes, Lesson
    from convcli.running.workers import Workers
    from convcli.signals import Array, Source

    Flags = npt.NDArray[np.bool_]
    Places = npt.NDArray[np.int64]

Sizes = tuple[int, ...]

# A larger array of samples is kept in a temporary file.
IN_MEMORY = 1 << 30
# Numbers whose sums are made at a time.
ROWS = 1 << 18


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
    dtype: Any = None,
) -> list[Segment]:
    """Every signal of the pairs; each group of a table, and each channel where all share one filter, is one.

    lags : how much later the target of each pair is, along each sample axis; dtype : of the samples, None as they come
    """
    found = []
    for (source, target), lag in zip(pairs, lags, strict=True):
        shift = (lag[0] + lesson.ahead, *lag[1:])
        for x, y in _signals(Cutter(lesson, lanes, Reference(), source, target), workers, dtype):
            lots = [slice(c, c + 1) for c in range(lanes.shared)] or [slice(None)]
            found += [_segment(lesson, x[..., lot], y[..., lot], stand, shift) for lot in lots]
    return found


def _signals(cutter: Cutter, workers: Workers, dtype: Any) -> list[tuple[Array, Array]]:
    """The samples and targets of each signal, which may be written to."""
    n = cutter.length
    parts: dict[bytes, tuple[list[Array], list[Array]]] = {}
    whole: list[Array] = []
    at = 0
    for group, *pair in cutter.arrivals(workers):
        if n is None:
            for some, each in zip(parts.setdefault(group, ([], [])), pair, strict=True):
                some.append(each.astype(dtype or each.dtype, copy=False))
            continue
        whole = whole or [room((n, *each.shape[1:]), dtype or each.dtype) for each in pair]
        for into, each in zip(whole, pair, strict=True):
            into[at : at + len(each)] = each
        at += len(pair[0])
    if whole:
        return [(whole[0][:at], whole[1][:at])]
    return [(np.concatenate(x), np.concatenate(y)) for x, y in parts.values()]


def _segment(lesson: Lesson, x: Array, y: Array, stand: Stand, shift: Sizes) -> Segment:
    n, now = len(x), y
    for axis, lag in enumerate(shift):
        y = _shifted(y, axis, lag)
    if lesson.differences:
        x, y = x - _shifted(x, 0, -1), y - now
    good_x, good_y = (np.asarray(np.isfinite(each).all(axis=-1)) for each in (x, y))
    known: Flags = complete(good_x, stand)
    known &= good_y
    border = n - round(n * lesson.holdout)
    train, held = known.copy(), known
    train[max(0, border - max(stand.after[0], shift[0], 0)) :] = False
    held[: border + max(0, -shift[0])] = False
    for each, good in ((x, good_x), (y, good_y)):
        if not good.all():
            each[~good] = 0
    return Segment(x=x, y=y, train=train, held=held)


def _shifted(y: Array, axis: int, lag: int) -> Array:
    """What stands `lag` later along `axis`, NaN where nothing does."""
    if lag == 0:
        return y
    moved = room(y.shape, y.dtype)
    moved[...] = np.nan
    into, of = [slice(None)] * y.ndim, [slice(None)] * y.ndim
    into[axis], of[axis] = (
        (slice(0, -lag), slice(lag, None)) if lag > 0 else (slice(-lag, None), slice(0, lag))
    )
    moved[tuple(into)] = y[tuple(of)]
    return moved


def room(shape: Sizes, dtype: Any) -> npt.NDArray[Any]:
    """An array of zeros; beyond IN_MEMORY bytes in a file that goes with it, so that the system may put it aside."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.zeros(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        message = f"{tempfile.gettempdir()} has no room for {size / 1e9:.1f} GB of samples: {error.strerror or error}"
        raise OutputError(message, hint="TMPDIR names another folder") from error


def known_parts(segments: Sequence[Segment], samples: str, flags: str) -> Iterator[Array]:
    """The `x` or `y` of all signals where `flags` (train, held) are, (n, channels) float64, some rows at a time."""
    for each in segments:
        values, chosen = getattr(each, samples), getattr(each, flags)
        rows = max(1, ROWS // math.prod(values.shape[1:]))
        for first in range(0, len(values), rows):
            some = slice(first, first + rows)
            if chosen[some].any():
                yield values[some][chosen[some]].astype(np.float64)


def powers(segments: Sequence[Segment]) -> tuple[float, float | None]:
    """The root mean square of the targets where something is learned, and of what is held out, None if nothing is."""
    found = []
    for flags in ("train", "held"):
        power, count = 0.0, 0
        for known in known_parts(segments, "y", flags):
            power, count = power + float(np.vdot(known, known)), count + known.size
        found.append(math.sqrt(power / count) if count else None)
    return found[0] or 0.0, found[1]


def complete(good: Flags, stand: Stand) -> Flags:
    """Where all samples from `before` to `after` on each axis exist and are good."""
    for axis, (before, after) in enumerate(zip(stand.before, stand.after, strict=True)):
        good = _complete_along(good, axis, before, after)
    return good


def _complete_along(good: Flags, axis: int, before: int, after: int) -> Flags:
    n = good.shape[axis]
    if good.all():
        found = np.zeros(good.shape, bool)
        found[(slice(None),) * axis + (slice(max(0, before), max(0, n - max(0, after))),)] = True
        return found
    low, high = max(0, before), max(0, after)
    margins = [(0, 0)] * good.ndim
    margins[axis] = (low, high)
    bad = np.pad(~good, margins, constant_values=True)
    sums = np.insert(np.cumsum(bad, axis=axis), 0, 0, axis=axis)
    first, last = np.arange(n) + low - before, np.arange(n) + low + after + 1
    return np.asarray(np.take(sums, last, axis=axis) == np.take(sums, first, axis=axis))


class Material:
    """All signals on one canvas, with gaps between them that no window bridges, and the windows of one size in it."""

    def __init__(
        self, segments: Sequence[Segment], stand: Stand, outputs: Sizes, reads: Sizes, dtype: Any
    ) -> None:
        self.stand, self.outputs = stand, outputs
        self.covers = tuple(n * s for n, s in zip(outputs, stand.step, strict=True))
        # A window that begins before a signal or ends after it stays on the canvas.
        self.margin = tuple(
            max(r, c) + abs(b) for r, c, b in zip(reads, self.covers, stand.before, strict=True)
        )
        heights = [len(each.x) for each in segments]
        tops = np.cumsum([self.margin[0], *(h + self.margin[0] for h in heights)])
        shape = (
            int(tops[-1]),
            *(max(e.x.shape[1] for e in segments) + 2 * m for m in self.margin[1:]),
        )
        self.tops, self.sizes = tops[:-1], [each.train.shape for each in segments]
        self.x = room((*shape, segments[0].x.shape[-1]), dtype)
        self.y = room((*shape, segments[0].y.shape[-1]), dtype)
        self.train, self.held = room(shape, bool), room(shape, bool)
        for top, each in zip(self.tops, segments, strict=True):
            place = (
                slice(top, top + len(each.x)),
                *(slice(m, m + each.x.shape[1]) for m in self.margin[1:]),
            )
            self.x[place], self.y[place] = each.x, each.y
            self.train[place], self.held[place] = each.train, each.held
        self._inputs = _views(self.x, reads, (1,) * len(reads))
        self._targets = _views(self.y, outputs, stand.step)
        self._weights = {
            flags is self.held: _views(flags, outputs, stand.step)
            for flags in (self.train, self.held)
        }

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
            # Outputs before the signal, which padding makes, are compared with nothing.
            places = (max(s, s % t) for s, t in zip(self.stand.start, self.stand.step, strict=True))
            starts = tuple(c + s for c, s in zip(corner, places, strict=True))
            stops = tuple(s + n for s, n in zip(starts, size, strict=True))
            found.append(self._grid(self.held if held else self.train, starts, stops))
        return np.concatenate(found)

    def _grid(self, flags: Flags, starts: Sizes, stops: Sizes) -> Places:
        """The windows side by side in [starts, stops), of which some output has weight."""
        counts = tuple(-(-(b - a) // c) for a, b, c in zip(starts, stops, self.covers, strict=True))
        axes = [a + c * np.arange(n) for a, c, n in zip(starts, self.covers, counts, strict=True)]
        # What is cut off at the end of the canvas is margin.
        axes = [
            axis[axis + c <= n] for axis, c, n in zip(axes, self.covers, flags.shape, strict=True)
        ]
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
    strides = (
        *a.strides[:axes],
        *(t * s for t, s in zip(a.strides, step, strict=False)),
        *a.strides[axes:],
    )
    return np.lib.stride_tricks.as_strided(
        a, (*counts, *shape, *a.shape[axes:]), strides, writeable=False
    )
