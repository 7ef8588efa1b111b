"""The operations that most filters are: convolutions, relative changes, and a crop."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolution.convolve import (
    all_finite,
    cheapest_path,
    mean_in_frames,
    mean_valid,
)
from convcli.core.convolution.frames import common_cell
from convcli.core.convolution.refined import computes_rows_twice, refined_mean, refines_cheaply
from convcli.core.convolution.rounding import rounding_around, rounding_of_taps
from convcli.core.missing import any_missing, hold, known_by, reads_gap, renormalised
from convcli.core.op import ChannelUse, LastKnown, NumberUse, Op, Opacity, Span, none_known
from convcli.core.op_formula import OpFormula, WindowWeights
from convcli.core.reach import Reach, aligned_samples, widest
from convcli.core.windows.constants import keep_constants
from convcli.dataclass import dataclass
from convcli.samples import sums_as_floats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from convcli.array_types import FloatArray
    from convcli.core.convolution.convolve import Path
    from convcli.core.convolution.frames import FrameGrid
    from convcli.core.kernel import Kernel
    from convcli.core.op_formula import OnMissing
    from convcli.core.task import HeldLookup, Inputs, OpTask
    from convcli.signals import Align, Array, Missing


@dataclass(frozen=True, eq=False, kw_only=True)
class ByFrames(Op):
    """An operation whose FFTs may have a grid of frames (`convolution/frames.py`).

    Jobs end with a cell, except at the end of the signal, but may begin within one. With a grid,
    the outputs before them in their cell are computed again, and dropped.
    """

    @property
    @abstractmethod
    def grid(self) -> FrameGrid | None:
        """The grid; None if frames begin where the inputs of a job do."""

    def reads(self, start: int, stop: int, done: int, n: int | None) -> Inputs:
        """Return the inputs of the outputs, and of the outputs before them in their cell."""
        inputs = super().reads(start, stop, done, n)
        if self.grid is None:
            return inputs
        earlier = start - self.grid.cell_start(start)
        return inputs._replace(start=min(inputs.start, inputs.low - earlier))

    def compute(self, x: Array, task: OpTask) -> tuple[Array, HeldLookup]:
        """Compute the outputs of a task from the beginning of their cell on."""
        if self.grid is None:
            return super().compute(x, task)
        start, stop = task.outputs[0]
        earlier = min(start - self.grid.cell_start(start), task.skipped)
        whole = replace(task, outputs=((start - earlier, stop),), skipped=task.skipped - earlier)
        y, held = super().compute(x, whole)
        return y[earlier:], held


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolve(ByFrames):
    """y[k] = sum_j taps[j] * x[k*step + centre - j] / divisor, in every channel alike.

    taps : (k,) or (height, width) in convolution order
    before, after : samples read on each side of the sample k*step
    anchor : offset from k*step to the sample that output k is aligned with
    on_missing : what a missing input does to the sum; missing : the rule for outputs aligned with a
        missing sample
    recursive : the taps are the impulse response of a recursion, which begins with the first sample
        and has no window that could be incomplete
    summarises : an output describes its whole window (a pool), not the sample that it is aligned
        with
    exact : add up in one order, so that the last bit does not depend on the length of a block
    grid : of the frames of FFTs, with which the last bit does not depend on it either
    """

    taps: FloatArray
    before: tuple[int, ...]
    after: tuple[int, ...]
    step: tuple[int, ...]
    anchor: tuple[int, ...]
    divisor: float = 1.0
    on_missing: OnMissing = "renormalise"
    missing: Missing = "keep"
    recursive: bool = False
    summarises: bool = False
    exact: bool = False
    grid: FrameGrid | None = None

    @classmethod
    def by(cls, kernel: Kernel, align: Align, *, step: tuple[int, ...] | None = None) -> Convolve:
        """The operation that convolves with `kernel` and keeps every `step`-th output."""
        offsets = kernel.offsets(align)
        axes = kernel.taps.ndim
        return cls(
            taps=kernel.taps,
            before=tuple(before for before, _ in offsets),
            after=tuple(after for _, after in offsets),
            step=step or (1,) * axes,
            anchor=(0,) * axes,
            divisor=kernel.divisor,
            on_missing=kernel.on_missing or "renormalise",
            recursive=kernel.recursive,
        )

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """One Reach per axis of the taps."""
        geometry = zip(self.before, self.after, self.step, self.anchor, strict=True)
        return tuple(Reach(before=b, after=a, step=s, anchor=c) for b, a, s, c in geometry)

    @property
    def windows(self) -> tuple[Reach, ...]:
        """The windows; of a recursive filter the newest samples, so that none is incomplete."""
        if not self.recursive:
            return self.reach
        return tuple(replace(reach, before=-reach.after) for reach in self.reach)

    @property
    def holds(self) -> bool:
        """Whether the kernel fills gaps with the last known value."""
        return self.on_missing == "hold"

    @cached_property
    def numbers(self) -> NumberUse:
        """The rounding class of the taps and the divisor; a convolution takes stored numbers."""
        rounding = rounding_of_taps(self.taps, self.divisor)
        if rounding == "rounded" and refines_cheaply(self.taps, self.divisor):
            rounding = "refined"
        return NumberUse(takes_stored=True, rounding=rounding, homogeneous=True)

    @property
    def prefers_long_jobs(self) -> bool:
        """Whether two jobs both compute the rows that both read."""
        return self.numbers.rounding == "refined" and computes_rows_twice(self.taps)

    @property
    def channels(self) -> ChannelUse:
        """All channels alike; the opacity is kept by taps of sum 0, which would make it 0."""
        opacity: Opacity = "filtered"
        if self.on_missing == "empty":
            opacity = "kept"
        return ChannelUse(uniform=True, opacity=opacity)

    @property
    def formula(self) -> OpFormula:
        """The convolution is all that there is to know."""
        return OpFormula(
            convolutions=(self,), as_convolution=self, window_weights=self.window_weights
        )

    def window_weights(self, channels: int) -> WindowWeights:
        """The taps in reverse, once for each channel."""
        of_one_channel = np.flip(self.taps)[None]
        weights = np.stack([of_one_channel] * channels)
        return WindowWeights(
            weights=weights,
            before=self.before,
            groups=channels,
            divisor=self.divisor,
            on_missing=self.on_missing,
            summarises=self.summarises,
        )

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the convolution under the rules of a run."""
        return replace(self, missing=missing, exact=exact)

    @cached_property
    def _path(self) -> Path | None:
        """The path of the sums along one axis; None for pictures."""
        if self.taps.ndim > 1:
            return None
        return cheapest_path(
            int(np.count_nonzero(self.taps)), self.taps.size, self.step[0], exact=self.exact
        )

    @property
    def cell(self) -> int | None:
        """The cell of the grid; 1 if every sum is added up in one order."""
        if self.grid is not None:
            return self.grid.cell
        return 1 if self._path in ("direct", "exact") else None

    @property
    def framed_taps(self) -> tuple[int, ...]:
        """The number of taps, if an FFT is the cheapest path to all outputs."""
        return (self.taps.size,) if self._path == "fft" and self.step == (1,) else ()

    def on_grids(self, grids: Mapping[int, FrameGrid], first: int, end: int) -> Self:
        """Return the convolution with the grid for its number of taps."""
        grids_of_taps = [grids[k].laid(first, end) for k in self.framed_taps]
        return replace(self, grid=grids_of_taps[0]) if grids_of_taps else self

    def undivided(self) -> tuple[Convolve, float]:
        """Return the convolution that does not divide, and the divisor."""
        return replace(self, divisor=1.0), self.divisor

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Convolve samples or stored numbers."""
        window = np.flip(self.taps)
        if x.dtype == np.uint8 and self.numbers.rounding == "refined":
            return refined_mean(x, window, self.divisor, self.step)
        if self.grid is None:
            mean = partial(self._mean, window)
        else:
            mean = partial(mean_in_frames, window, self.divisor, self.grid, span[0][0])
        if all_finite(x):
            return mean(x, finite=True)
        if not any_missing(x):
            return mean(x)
        y = self._over_gaps(x, window, held, mean)
        if self.missing == "propagate":
            y[reads_gap(np.isnan(x), window, self.step)] = np.nan
        elif self.missing != "fill" and not self.summarises:
            y[np.isnan(aligned_samples(x, self.reach, y.shape))] = np.nan
        return y

    def _mean(self, window: FloatArray, x: Array, *, finite: bool = False) -> Array:
        """The mean of windows of samples none of which is missing."""
        return mean_valid(x, window, self.divisor, self.step, exact=self.exact, finite=finite)

    def _over_gaps(
        self, x: Array, window: FloatArray, held: LastKnown, mean: Callable[[Array], Array]
    ) -> Array:
        """Convolve samples of which some are missing, by the rule `on_missing`.

        mean : the mean of windows without a gap
        """
        if self.on_missing == "renormalise":
            return renormalised(x, window, self.divisor, self.step, exact=self.exact, mean=mean)
        if self.on_missing == "hold":
            return self._over_held_values(x, window, held, mean)
        missing = np.isnan(x)
        y = mean(np.where(missing, 0.0, x).astype(x.dtype))
        y[reads_gap(missing, window, self.step)] = np.nan
        if self.exact and window.ndim == 1:
            # A missing sample that meets a tap of 0 was a 0 until here.
            keep_constants(y, x, window, self.divisor, self.step[0])
        return y

    def _over_held_values(
        self, x: Array, window: FloatArray, held: LastKnown, mean: Callable[[Array], Array]
    ) -> Array:
        """Convolve with gaps filled by the last known value; NaN before the first one."""
        filled = hold(x, held)
        unknown = np.isnan(filled)
        y = mean(np.where(unknown, 0.0, filled))
        if x.ndim == 2:
            begins_with_gap = np.isnan(x[0]).any()
            earlier = held() if begins_with_gap else None
            is_known = known_by(x, earlier, len(window), self.step[0], len(y))
            y[~is_known] = np.nan
        else:
            y[reads_gap(unknown, window, self.step)] = np.nan
        return y


def default_on_missing(taps: FloatArray) -> OnMissing:
    """Return the default effect of a missing sample on the outputs of these taps."""
    total = float(taps.sum())
    size = float(np.abs(taps).sum())
    if abs(total) <= 1e-12 * size:
        return "empty"
    is_average = bool((taps >= 0).all())
    return "renormalise" if is_average else "hold"


@dataclass(frozen=True, eq=False, kw_only=True)
class OfConvolutions(ByFrames):
    """An operation that combines several convolutions."""

    parts: tuple[Convolve, ...]

    @property
    def grid(self) -> FrameGrid | None:
        """The grid of the parts that have one."""
        return next((part.grid for part in self.parts if part.grid is not None), None)

    @property
    def cell(self) -> int | None:
        """The cell of the grid, or of the parts without one."""
        return common_cell([part.cell for part in self.parts])

    @property
    def framed_taps(self) -> tuple[int, ...]:
        """The most taps of a part: all parts get the grid for these."""
        taps = [k for part in self.parts for k in part.framed_taps]
        return (max(taps),) if taps else ()

    def on_grids(self, grids: Mapping[int, FrameGrid], first: int, end: int) -> Self:
        """Return the operation whose parts have one grid."""
        most = max(self.framed_taps, default=0)
        of_parts = {k: grids[most] for part in self.parts for k in part.framed_taps}
        parts = tuple(part.on_grids(of_parts, first, end) for part in self.parts)
        return replace(self, parts=parts)

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the operation with each part under the rules of a run."""
        parts = tuple(part.with_rules(missing, exact=exact) for part in self.parts)
        return replace(self, parts=parts)


@dataclass(frozen=True, eq=False, kw_only=True)
class Magnitude(OfConvolutions):
    """The root of the sum of squares of several convolutions: the strength of a gradient.

    y[k] = sqrt(a[k]**2 + b[k]**2 + ...), where all convolutions a, b ... have one step
    """

    channels = ChannelUse(uniform=True, opacity="kept")

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The union of the reaches of the parts on each axis."""
        by_axis = zip(*(part.reach for part in self.parts), strict=True)
        return tuple(widest(reaches) for reaches in by_axis)

    @property
    def numbers(self) -> NumberUse:
        """The rounding class of the parts: the root of a whole number never comes near a half."""
        rounding = self.parts[0].numbers.rounding
        classes = {rounding_around(part.numbers.rounding) for part in self.parts}
        if "rounded" in classes:
            rounding = "rounded"
        return NumberUse(takes_stored=True, rounding=rounding, homogeneous=True)

    @property
    def formula(self) -> OpFormula:
        """The convolutions that the operation consists of."""
        return OpFormula(convolutions=self.parts)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Convolve with each part, then take the root of the sum of squares."""
        total: Any = None
        for part in self.parts:
            inputs = _inputs_of_part(x, self.reach, part.reach)
            y = sums_as_floats(part(inputs, span, held))
            squares = np.square(y, out=y)
            if total is None:
                total = squares
            else:
                np.add(total, squares, out=total)
        strength: Array = np.sqrt(total, out=total)
        return strength


def _inputs_of_part(x: Array, outer: tuple[Reach, ...], inner: tuple[Reach, ...]) -> Array:
    """Select the inputs of a part from those of the whole operation."""
    places = []
    for axis, (whole, part) in enumerate(zip(outer, inner, strict=True)):
        start = whole.before - part.before
        stop = x.shape[axis] - (whole.after - part.after)
        places.append(slice(start, stop))
    return x[tuple(places)]


@dataclass(frozen=True, eq=False, kw_only=True)
class EachChannel(OfConvolutions):
    """One convolution for each channel, all of one reach.

    All of them filter the same channel of a signal that has only one.
    """

    numbers = NumberUse(takes_stored=True, homogeneous=True)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The common reach of the parts."""
        return self.parts[0].reach

    @property
    def holds(self) -> bool:
        """Whether some part fills gaps with the last known value."""
        return any(part.holds for part in self.parts)

    @property
    def formula(self) -> OpFormula:
        """The convolutions that the operation consists of."""
        return OpFormula(convolutions=self.parts, window_weights=self._window_weights)

    def output_channels(self, count: int) -> int:
        """Count the parts: each gives one channel."""
        return len(self.parts)

    def _window_weights(self, channels: int) -> WindowWeights | None:
        """The taps of each part in reverse, if all parts have one divisor."""
        first = self.parts[0]
        if any(part.divisor != first.divisor for part in self.parts):
            return None
        by_part = [np.flip(part.taps) for part in self.parts]
        return WindowWeights(
            weights=np.stack(by_part)[:, None],
            before=first.before,
            groups=channels,
            divisor=first.divisor,
            on_missing=first.on_missing,
        )

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Filter each channel with its own taps."""
        outputs = []
        for c, part in enumerate(self.parts):
            channel = _channel(x, c)
            outputs.append(part(channel, span, _held_in_channel(held, c)))
        return np.concatenate(outputs, axis=-1)


def _channel(x: Array, c: int) -> Array:
    """Channel `c` as an array of one channel; for a signal of one channel that one."""
    return x if x.shape[-1] == 1 else x[..., c : c + 1]


def _held_in_channel(held: LastKnown, c: int) -> LastKnown:
    def values() -> Array | None:
        known = held()
        return None if known is None else _channel(known, c)

    return values


@dataclass(frozen=True, eq=False, kw_only=True)
class RelativeChange(Op):
    """y[t] = (x[t] - x[t - lags]) / x[t - lags]; missing where the earlier sample is 0.

    lags : samples along each axis, 0 for all axes but one
    keeps : the channel that is left alone (the opacity of a picture), or None
    """

    lags: tuple[int, ...]
    keeps: int | None = None

    cell = 1

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output reads its own sample and earlier ones."""
        return tuple(Reach(before=lag) for lag in self.lags)

    @property
    def channels(self) -> ChannelUse:
        """Uniform if no channel is left alone."""
        return ChannelUse(uniform=self.keeps is None)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Divide the difference by the earlier sample."""
        behind_lags = tuple(slice(lag, None) for lag in self.lags)
        now = x[behind_lags]
        before_ends = tuple(slice(length) for length in now.shape[: len(self.lags)])
        earlier = x[before_ends]
        y: Array = np.divide(
            now - earlier, earlier, out=np.full_like(now, np.nan), where=earlier != 0
        )
        if self.keeps is not None:
            y[..., self.keeps] = now[..., self.keeps]
        return y


@dataclass(frozen=True, eq=False, kw_only=True)
class Crop(Op):
    """Keeps `size` samples from number `first` on along each axis: y[k] = x[k + first]."""

    first: tuple[int, ...]
    size: tuple[int, ...]

    cell = 1
    numbers = NumberUse(rounding="exact")

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Output k reads only the sample k + first."""
        sides = zip(self.first, self.size, strict=True)
        return tuple(Reach(before=-f, after=f, anchor=f, limit=n) for f, n in sides)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Return the samples, which are exactly those that the outputs read."""
        return x
