"""What lies outside a signal: the edge rules, as a map from indices outside to indices inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.signals import Edge

OUTSIDE = -1


def inside(
    i: npt.NDArray[np.int64], n: int | npt.NDArray[np.int64], edge: Edge
) -> npt.NDArray[np.int64]:
    """For each absolute index, the sample in [0, n) that stands there; OUTSIDE where none does (zero, shrink).

    Any distance from the signal is allowed: the mirrors go on being mirrored, as in `numpy.pad`.

    >>> inside(np.arange(-3, 7), 4, "reflect").tolist()
    [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    """
    if edge == "edge":
        return np.clip(i, 0, n - 1)
    if edge == "wrap":
        return i % n
    if edge in ("reflect", "symmetric"):
        last = n - 1
        period = np.maximum(2 * last, 1) if edge == "reflect" else 2 * n
        folded = i % period
        mirror = period if edge == "reflect" else period - 1
        return np.where(folded <= last, folded, mirror - folded)
    return np.where((i >= 0) & (i < n), i, OUTSIDE)


def filler(edge: Edge) -> float:
    """The value of what is OUTSIDE: missing under `shrink`, else 0."""
    return float("nan") if edge == "shrink" else 0.0


def laid_together(
    parts: list[npt.NDArray[Any]], start: int, stop: int, n: int, edge: Edge
) -> npt.NDArray[Any]:
    """Parts of a picture of `n` columns below each other, with its columns [start, stop), extended by the edge rule."""
    inner = slice(max(start, 0), max(min(stop, n), 0))
    if len(parts) == 1 and start >= 0 and stop <= n:
        return parts[0][:, inner]
    y = np.empty((sum(map(len, parts)), stop - start, parts[0].shape[2]), parts[0].dtype)
    row = 0
    for part in parts:
        left, right = beyond(part, start, stop, n, edge, axis=1)
        np.concatenate([left, part[:, inner], right], axis=1, out=y[row : row + len(part)])
        row += len(part)
    return y


def beyond(
    x: npt.NDArray[Any], start: int, stop: int, n: int, edge: Edge, *, axis: int, first: int = 0
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Of the samples [start, stop) those before and those past an axis of length `n`; `x` holds it from `first` on."""
    sides = ((start, min(0, stop)), (max(n, start), stop))
    left, right = (
        _outside(x, inside(np.arange(*side), n, edge) - first, edge, axis) for side in sides
    )
    return left, right


def _outside(
    x: npt.NDArray[Any], index: npt.NDArray[np.int64], edge: Edge, axis: int
) -> npt.NDArray[Any]:
    taken = np.take(x, np.maximum(index, 0), axis=axis)
    if edge in ("zero", "shrink"):
        taken[...] = filler(edge)
    return taken
