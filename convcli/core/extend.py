"""What lies outside a signal: the edge rules, as a map from indices outside to indices inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import AnyArray, IntArray
    from convcli.signals import Edge


OUTSIDE = -1

# Rules under which a sample outside is missing, and those by which it is one of the samples inside.
_MISSING_OUTSIDE = ("shrink", "missing")
REPEATING = ("edge", "reflect", "symmetric", "wrap")


def inside(i: IntArray, n: int | IntArray, edge: Edge) -> IntArray:
    """Map absolute indices to samples in [0, n), or to OUTSIDE (zero, shrink, missing).

    Any distance from the signal is allowed: mirrored samples are mirrored again, as in `numpy.pad`.

    >>> inside(np.arange(-3, 7), 4, "reflect").tolist()
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


def filler(edge: Edge) -> float:
    """Return the value of a sample that is OUTSIDE: missing, or 0 under `zero`."""
    return float("nan") if is_missing_outside(edge) else 0.0


def extended_at(
    take: Callable[[IntArray], AnyArray], index: IntArray, n: IntArray, edge: Edge
) -> AnyArray:
    """The samples at any indices of signals that are extended by the edge rule.

    take : the samples at indices in the signals, (*index.shape, channels)
    n : the lengths of the signals, (signals, 1) for an `index` of (signals, samples)
    """
    found = inside(index, n, edge)
    outside = found == OUTSIDE
    np.copyto(found, n - 1, where=outside)
    x = take(found)
    np.copyto(x, filler(edge), where=outside[..., None])
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
        """Whether all of them lie on the axis itself."""
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
            return np.full(shape, filler(self.edge), x.dtype)
        index = inside(np.arange(start, stop), self.n, self.edge)
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
