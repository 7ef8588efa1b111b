"""Statistics of sliding windows, for pools and for filters such as a median.

`SlidingStatistic` is the operation: it has the geometry of the windows and the rules for missing
samples. A `WindowFunction` computes a number from each window; extremes, sums and first or last
samples are here, moments in `exact_moments.py` and order statistics in `order_statistics.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolution.convolve import mean_valid
from convcli.core.missing import any_missing
from convcli.core.op import ChannelUse, LastKnown, NumberUse, Op, Span, none_known
from convcli.core.op_formula import OpFormula
from convcli.core.reach import Reach, aligned_samples
from convcli.core.windows.deviations import windows_holding
from convcli.dataclass import dataclass
from convcli.samples import as_samples, is_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from convcli.array_types import AnyArray, BoolArray, Sizes
    from convcli.core.convolution.rounding import Rounding
    from convcli.core.op import Opacity
    from convcli.signals import Array, Missing


# Windows that overlap by less than this many are folded sample by sample.
FEW_FOLDS = 8


class WindowFunction(ABC):
    """A number for each window; samples that are missing (NaN) are left out.

    about_own_sample : whether the number is about the sample of the output, not the whole window
    """

    about_own_sample = False

    @property
    @abstractmethod
    def rounding(self) -> Rounding:
        """The rounding class, which decides the type that bytes are filtered in."""

    @property
    def homogeneous(self) -> bool:
        """Whether samples that are c times as large give a number that is c times as large."""
        return True

    @abstractmethod
    def of_windows(self, x: Array, size: Sizes, step: Sizes) -> Array:
        """Return the number of each complete window, NaN where there is none.

        x : (channels, *samples) floating, contiguous, not changed
        Returns (channels, *outputs) floating.
        """

    def of_stored(self, x: Array, size: Sizes, step: Sizes) -> Array | None:
        """Return the numbers of windows of stored numbers, or None to be given samples instead.

        x : (*samples, channels); the outputs have the channels last, too
        """
        return None

    @property
    def fold(self) -> np.ufunc | None:
        """The function of two samples that the windows are folded by, if there is one."""
        return None

    @property
    def nn_pool(self) -> str:
        """The pool that computes the same, max_pool or min_pool; empty if there is none."""
        return ""

    @property
    def nn_windows(self) -> str:
        """The function of PyTorch and JAX that computes the same from {windows} along {axes}."""
        return ""

    @property
    def spacing(self) -> Sizes | None:
        """Distance between the samples of a window on each axis, in inputs; None for 1."""
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class SlidingStatistic(Op):
    """A statistic of the known samples of each window.

    The window of output k begins at the sample k*step - before.

    anchor : offset from k*step to the sample that output k is aligned with
    summarises : an output describes its whole window (a pool), not the sample that it is aligned
        with
    opacity : what becomes of the opacity of a picture
    """

    function: WindowFunction
    size: Sizes
    step: Sizes
    before: Sizes
    anchor: Sizes
    missing: Missing = "keep"
    summarises: bool = False
    opacity: Opacity | None = None

    cell = 1

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """How far a window looks, one Reach per axis."""
        reaches = []
        for size, step, before, anchor in zip(
            self.size, self.step, self.before, self.anchor, strict=True
        ):
            after = size - 1 - before
            reaches.append(Reach(before=before, after=after, step=step, anchor=anchor))
        return tuple(reaches)

    @property
    def numbers(self) -> NumberUse:
        """The rounding class of the statistic; stored numbers are taken."""
        return NumberUse(
            takes_stored=True,
            rounding=self.function.rounding,
            homogeneous=self.function.homogeneous,
        )

    @property
    def channels(self) -> ChannelUse:
        """All channels are treated alike."""
        return ChannelUse(uniform=True, opacity=self.opacity)

    @property
    def formula(self) -> OpFormula:
        """The delay of the statistic, and its name in PyTorch."""
        function = self.function
        return OpFormula(
            delay=self._delay(), nn_pool=function.nn_pool, nn_windows=function.nn_windows
        )

    def _delay(self) -> float:
        """How many samples the middle of the window lies before the output, along axis 0.

        0 for a statistic about the sample of the output.
        """
        if self.function.about_own_sample:
            return 0.0
        along = self.reach[0]
        return (along.before - along.after) / 2 + along.anchor

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the statistic under the rules of a run; it is always exact."""
        return replace(self, missing=missing)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Compute the statistic of the windows; it is missing where the rule says so."""
        if is_stored(x):
            y = self.function.of_stored(x, self.size, self.step)
            if y is not None:
                return y
            x = as_samples(x)
        planes = np.ascontiguousarray(np.moveaxis(x, -1, 0))
        y = np.moveaxis(self.function.of_windows(planes, self.size, self.step), 0, -1)
        y = y.astype(x.dtype, copy=False)
        if not any_missing(x):
            return y
        if self.missing == "propagate":
            y[_holding(np.isnan(x), self.size, self.step)] = np.nan
        elif self.missing != "fill" and not self.summarises:
            own = aligned_samples(x, self.reach, y.shape[:-1])
            y[np.isnan(own)] = np.nan
        return y


def _holding(flags: BoolArray, size: Sizes, step: Sizes) -> BoolArray:
    """Whether each window of (*samples, channels) holds a true flag."""
    every = tuple(slice(None, None, stride) for stride in step)
    return windows_holding(flags, size)[every]


@dataclass(frozen=True, eq=False, kw_only=True)
class Extreme(WindowFunction):
    """The largest (np.fmax) or smallest (np.fmin) known sample."""

    of_two: np.ufunc

    rounding = "exact"

    @property
    def fold(self) -> np.ufunc:
        """The larger or the smaller of two samples."""
        return self.of_two

    @property
    def nn_pool(self) -> str:
        """The pool of the largest or of the smallest samples."""
        return "max_pool" if self.of_two is np.fmax else "min_pool"

    def of_windows(self, x: Array, size: Sizes, step: Sizes) -> Array:
        """Fold the windows, one axis after the other."""
        for axis, (k, s) in enumerate(zip(size, step, strict=True), start=1):
            outputs = (x.shape[axis] - k) // s + 1
            if outputs < k < FEW_FOLDS * s:
                x = self._each_window(x, k, s, axis)
            elif k < FEW_FOLDS * s:
                x = folded(self.of_two, windowed(x, k, s, outputs, axis))
            else:
                x = self._slid(x, k, s, axis)
        return x

    def _each_window(self, x: Array, k: int, step: int, axis: int) -> Array:
        """Fold each of a few long windows by itself."""
        found = []
        for first in range(0, x.shape[axis] - k + 1, step):
            window = part_along(x, axis, slice(first, first + k))
            found.append(self.of_two.reduce(window, axis=axis))
        return np.stack(found, axis=axis)

    def of_stored(self, x: Array, size: Sizes, step: Sizes) -> Array | None:
        """Fold bytes by OpenCV, which is ten times as fast as floats are."""
        if x.dtype != np.uint8 or x.ndim != 3:
            return None
        import cv2

        morph = cv2.dilate if self.of_two is np.fmax else cv2.erode
        # The window of an output begins at its own pixel.
        y = morph(x, np.ones(size, np.uint8), anchor=(0, 0)).reshape(x.shape)
        rows, columns = (n - k + 1 for n, k in zip(x.shape, size, strict=False))
        return np.asarray(y[: rows : step[0], : columns : step[1]])

    def _slid(self, x: Array, k: int, step: int, axis: int) -> Array:
        """Fold long windows along an axis in a time that does not depend on their length."""
        import bottleneck

        move = bottleneck.move_max if self.of_two is np.fmax else bottleneck.move_min
        y = move(x, k, min_count=1, axis=axis)
        outputs = slice(k - 1, None, step)
        return np.asarray(part_along(y, axis, outputs))


@dataclass(frozen=True)
class Total(WindowFunction):
    """The sum of the known samples, rounded once where they are whole numbers."""

    rounding = "rounded"
    nn_windows = "sum({windows}, {axes})"

    def of_windows(self, x: Array, size: Sizes, step: Sizes) -> Array:
        """Add up with missing samples as 0; a sum of none is missing."""
        samples = np.moveaxis(x, 0, -1)
        is_known = ~np.isnan(samples)
        values = np.where(is_known, samples, 0.0)
        y = mean_valid(values, np.ones(size), 1.0, step, exact=True)
        y[~_holding(is_known, size, step)] = np.nan
        return np.ascontiguousarray(np.moveaxis(y, -1, 0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Nth(WindowFunction):
    """The first or last known sample; in a picture along the rows, from the top to the bottom."""

    last: bool

    rounding = "exact"

    @property
    def nn_windows(self) -> str:
        """The first or last sample of a window."""
        return "{windows}[{last}]" if self.last else "{windows}[{first}]"

    def of_windows(self, x: Array, size: Sizes, step: Sizes) -> Array:
        """Take the first of each row of a window, then the first of these."""
        for axis in reversed(range(1, x.ndim)):
            k = size[axis - 1]
            last_start = x.shape[axis] - k
            starts = np.arange(0, last_start + 1, step[axis - 1])
            if self.last:
                # The last sample of a window is the first one from the other end.
                x = np.flip(x, axis)
                starts = last_start - starts
            x = _first_known(x, starts, k, axis)
        return x


def _first_known(x: Array, starts: Any, size: int, axis: int) -> Array:
    """The first known of `size` samples from each of `starts` on along an axis; NaN if none is."""
    along = np.moveaxis(x, axis, 0)
    windows = along[starts]
    if not np.isnan(windows).any():
        return np.ascontiguousarray(np.moveaxis(windows, 0, axis))
    shape = (-1, *(1,) * (x.ndim - 1))
    numbers = np.arange(len(along)).reshape(shape)
    places = np.where(np.isnan(along), len(along), numbers)
    next_known = np.minimum.accumulate(places[::-1], axis=0)[::-1]
    nearest = next_known[starts]
    is_within = nearest < starts.reshape(shape) + size
    index = np.minimum(nearest, len(along) - 1)
    found = np.take_along_axis(along, index, axis=0)
    y = np.where(is_within, found, np.nan).astype(x.dtype)
    return np.ascontiguousarray(np.moveaxis(y, 0, axis))


def windowed(x: Array, size: int, step: int, outputs: int, axis: int) -> Iterator[Array]:
    """Yield the first sample of every window along `axis`, then the second, and so on."""
    span = (outputs - 1) * step + 1
    for j in range(size):
        samples = slice(j, j + span, step)
        yield part_along(x, axis, samples)


def part_along(x: AnyArray, axis: int, some: slice) -> AnyArray:
    """Some samples along an axis, and all along the others."""
    all_before = (slice(None),) * axis
    return x[(*all_before, some)]


def folded(fold: Callable[..., Any], arrays: Iterator[Array]) -> Array:
    """Combine arrays of one shape by `fold`, one after the other."""
    y = np.array(next(arrays))
    for array in arrays:
        fold(y, array, out=y)
    return y
