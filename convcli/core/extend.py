"""What lies outside a signal: the edge rules, as a map from indices outside to indices inside.

Under the edge rule `missing`, outputs whose window is not complete are missing.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import AnyArray, IntArray
    from convcli.core.op import Span
    from convcli.signals import Array, Edge


OUTSIDE = -1

# Rules under which a sample outside is missing.
_MISSING_OUTSIDE = ("shrink", "missing")
# Rules under which a sample outside has the value of a sample inside.
REPEATING = ("edge", "reflect", "symmetric", "wrap")


def indices_inside(i: IntArray, n: int | IntArray, edge: Edge) -> IntArray:
    """Map absolute indices to samples in [0, n), or to OUTSIDE (zero, shrink, missing).

    Any distance from the signal is allowed: mirrored samples are mirrored again, as in `numpy.pad`.

    >>> indices_inside(np.arange(-3, 7), 4, "reflect").tolist()
    [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    """
    if edge == "edge":
        return np.clip(i, 0, n - 1)
    if edge == "wrap":
        return i % n
    if edge in ("reflect", "symmetric"):
        last = n - 1
        # `reflect` does not repeat the last sample, `symmetric` does.
        period = np.maximum(2 * last, 1) if edge == "reflect" else 2 * n
        mirror = period if edge == "reflect" else period - 1
        folded = i % period
        return np.where(folded <= last, folded, mirror - folded)
    return np.where((i >= 0) & (i < n), i, OUTSIDE)


def value_outside(edge: Edge) -> float:
    """Return the value of a sample that is OUTSIDE: missing, or 0 under `zero`."""
    return float("nan") if is_missing_outside(edge) else 0.0


def extended_at(
    take: Callable[[IntArray], AnyArray], index: IntArray, n: IntArray, edge: Edge
) -> AnyArray:
    """The samples at any indices of signals that are extended by the edge rule.

    take : the samples at indices in the signals, (*index.shape, channels)
    n : the lengths of the signals, (signals, 1) for an `index` of (signals, samples)
    """
    found = indices_inside(index, n, edge)
    outside = found == OUTSIDE
    np.copyto(found, n - 1, where=outside)
    x = take(found)
    np.copyto(x, value_outside(edge), where=outside[..., None])
    return x


def is_missing_outside(edge: Edge) -> bool:
    """Return whether samples outside are missing."""
    return edge in _MISSING_OUTSIDE


@dataclass(frozen=True)
class Extent:
    """The samples [start, stop) of an axis of `n` samples that is extended by the edge rule."""

    start: int
    stop: int
    n: int
    edge: Edge

    @property
    def within(self) -> slice:
        """The samples that lie on the axis itself."""
        return slice(max(self.start, 0), max(min(self.stop, self.n), 0))

    @property
    def is_inside(self) -> bool:
        """Whether all of the samples lie on the axis itself."""
        return self.start >= 0 and self.stop <= self.n

    def of(self, x: AnyArray, axis: int) -> AnyArray:
        """The samples of an axis, extended at its ends; a view if none of them lies outside."""
        within = x[(*(slice(None),) * axis, self.within)]
        if self.is_inside:
            return within
        before, past = self.outside(x, axis)
        return np.concatenate([before, within, past], axis=axis)

    def outside(self, x: AnyArray, axis: int, *, first: int = 0) -> tuple[AnyArray, AnyArray]:
        """Return the samples before the axis and those past its end.

        x : the samples of the axis from number `first` on
        """
        before = self._outside(x, axis, self.start, min(0, self.stop), first)
        past = self._outside(x, axis, max(self.n, self.start), self.stop, first)
        return before, past

    def _outside(self, x: AnyArray, axis: int, start: int, stop: int, first: int) -> AnyArray:
        if self.edge not in REPEATING:
            shape = list(x.shape)
            shape[axis] = max(stop - start, 0)
            return np.full(shape, value_outside(self.edge), x.dtype)
        index = indices_inside(np.arange(start, stop), self.n, self.edge)
        taken: AnyArray = np.take(x, np.maximum(index - first, 0), axis=axis)
        return taken


def joined_rows(parts: list[AnyArray], columns: Extent) -> AnyArray:
    """Join strips of a picture, one below the other, and extend their columns."""
    within = columns.within
    if len(parts) == 1 and columns.is_inside:
        return parts[0][:, within]
    rows = sum(map(len, parts))
    y = np.empty((rows, columns.stop - columns.start, parts[0].shape[2]), parts[0].dtype)
    row = 0
    for part in parts:
        left, right = columns.outside(part, axis=1)
        strip = y[row : row + len(part)]
        np.concatenate([left, part[:, within], right], axis=1, out=strip)
        row += len(part)
    return y


# --------------------------------------------------------------------------------- complete windows


@dataclass(frozen=True, eq=False)
class Bounds:
    """The samples [low, high) along each axis that are complete: their windows lie in the signal.

    low, high : whole numbers; of several signals that are filtered side by side (signals,) each
    """

    low: tuple[Any, ...]
    high: tuple[Any, ...]

    def shifted(self, by: tuple[int, ...]) -> Bounds:
        """Return the same samples counted from sample `by` on."""
        low = tuple(one - shift for one, shift in zip(self.low, by, strict=True))
        high = tuple(one - shift for one, shift in zip(self.high, by, strict=True))
        return Bounds(low, high)


def common_bounds(bounds: list[Bounds]) -> Bounds:
    """Return the samples that lie within all of the bounds."""
    return _reduced_bounds(bounds, np.maximum, np.minimum)


def joined_bounds(bounds: list[Bounds]) -> Bounds:
    """Return the samples from the first to the last that lies within any of the bounds."""
    return _reduced_bounds(bounds, np.minimum, np.maximum)


def _reduced_bounds(bounds: list[Bounds], of_lows: np.ufunc, of_highs: np.ufunc) -> Bounds:
    """Return bounds whose ends along each axis are chosen among those of all bounds."""
    lows = zip(*(each.low for each in bounds), strict=True)
    highs = zip(*(each.high for each in bounds), strict=True)
    low = tuple(reduce(of_lows, ends) for ends in lows)
    high = tuple(reduce(of_highs, ends) for ends in highs)
    return Bounds(low, high)


def without_incomplete(y: Array, span: Span, bounds: Bounds) -> Array:
    """Return the samples `span`; those that do not lie within the bounds are missing.

    y : (n, channels) or (rows, columns, channels)
    """
    for axis, (start, stop) in enumerate(span):
        low, high = bounds.low[axis], bounds.high[axis]
        if isinstance(low, np.ndarray):
            y = _samples_of_signals(y, np.arange(start, stop), bounds)
        elif start < low or stop > high:
            y = np.array(y)
            first = max(low - start, 0)
            last = max(int(high) - start, 0)
            along_axis = np.moveaxis(y, axis, 0)
            along_axis[:first] = np.nan
            along_axis[last:] = np.nan
    return y


def _samples_of_signals(y: Array, samples: IntArray, bounds: Bounds) -> Array:
    """Return the samples of several signals; those that do not lie within the bounds are missing.

    y : (n, signals * channels)
    """
    places = samples[:, None]
    beyond = (places < bounds.low[0]) | (places >= bounds.high[0])
    if not beyond.any():
        return y
    of_channels = np.repeat(beyond, y.shape[-1] // beyond.shape[1], axis=1)
    hidden: Array = np.where(of_channels, np.nan, y).astype(y.dtype)
    return hidden
