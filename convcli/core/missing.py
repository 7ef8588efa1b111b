"""Missing inputs of a convolution: gaps in a signal and, under `shrink`, what lies outside its ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.convolve import correlate_valid, halves, mean_valid, quotient, runs
from convcli.core.convolve_direct import direct
from convcli.samples import is_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.signals import Array

Mask = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.float64]


def any_missing(x: Array) -> bool:
    """Whether some sample is NaN."""
    return not is_stored(x) and x.size > 0 and bool(np.isnan(x.min()))


def touched(missing: Mask, w: Weights, step: tuple[int, ...]) -> Mask:
    """The outputs that read at least one missing sample with a weight that is not 0."""
    reads = w != 0
    if w.ndim > 1:
        return (
            correlate_valid(missing.astype(np.float64), reads.astype(np.float64), step, exact=False)
            > 0.5
        )
    outputs = len(missing) - w.size + 1
    before = np.zeros((len(missing) + 1, *missing.shape[1:]), np.int64)
    np.cumsum(missing, axis=0, out=before[1:])
    met = np.zeros((outputs, *missing.shape[1:]), np.bool_)
    for first, last in runs(reads):
        met |= before[last : last + outputs] > before[first : first + outputs]
    return met[:: step[0]]


def renormalised(
    x: Array, w: Weights, divisor: float, step: tuple[int, ...], *, exact: bool
) -> Array:
    """Weights >= 0 spread over what is there: sum(w) / divisor * sum(w x) / sum(w where x is there), or NaN.

    Only windows with a gap are computed anew, and those directly: a far tail of tiny weights would drown in the
    rounding of an FFT.
    """
    missing = np.isnan(x)
    there = np.where(missing, 0.0, x).astype(x.dtype)
    y = mean_valid(there, w, divisor, step, exact=exact)
    gap = touched(missing, w, step)
    weights = np.where(missing, 0.0, 1.0).astype(x.dtype)
    for rows, sums in _window_sums(gap, (*halves(there), weights), w, step):
        high, low, share = sums
        repaired = quotient(high, low, share) * (w.sum() / divisor)
        repaired[share == 0] = np.nan
        y[rows] = np.where(gap[rows], repaired, y[rows])
    return y


def _window_sums(
    gap: Mask, arrays: tuple[Array, ...], w: Weights, step: tuple[int, ...]
) -> Iterator[tuple[Any, list[Array]]]:
    """Where outputs that `gap` names lie, a part at a time, and the sums of w times each array for them."""
    if w.ndim > 1:
        for first, last in runs(gap):
            part = slice(first * step[0], (last - 1) * step[0] + w.shape[0])
            yield slice(first, last), [direct(array[part], w, step) for array in arrays]
        return
    rows, lanes = np.nonzero(gap)
    batch = max(1, (1 << 18) // w.size)
    for first in range(0, len(rows), batch):
        some = rows[first : first + batch], lanes[first : first + batch]
        windows = (
            sliding_window_view(array, w.size, axis=0)[some[0] * step[0], some[1]]
            for array in arrays
        )
        yield some, [np.einsum("nj,j->n", window, w.astype(window.dtype)) for window in windows]


def hold(x: Array, earlier: Callable[[], Array | None]) -> Array:
    """Each missing sample replaced by the nearest earlier value, at the start by the first.

    earlier() : the value held from before `x`, (channels,) or (columns, channels), or None; asked only if needed.
    On an image a gap is first closed along its own row. Returns a copy; NaN is left where nothing is known.
    """
    y = _closed_rows(x)
    start = earlier() if np.isnan(y[0]).any() else None
    return _carry(y, start)


def last_known(x: Array, earlier: Callable[[], Array | None]) -> Array | None:
    """The last value of each channel (and column) of `x`: what `hold` goes on with in the samples after it."""
    if len(x) == 0:
        return earlier()
    if not np.isnan(x[-1]).any():
        return np.array(x[-1])
    y = _closed_rows(x)
    start = earlier() if np.isnan(y).all(axis=0).any() else None
    last: Array = _carry(y, start)[-1]
    return last


def _closed_rows(x: Array) -> Array:
    """The gaps of an image closed along their own rows; a signal with one sample axis as it is."""
    if x.ndim == 2:
        return x
    return np.moveaxis(_carry(np.moveaxis(x, 1, 0), None), 0, 1)


def _carry(x: Array, start: Array | None) -> Array:
    """Forward fill along axis 0 from `start`, then the leading gap from the first value."""
    known = ~np.isnan(x)
    index = np.where(known, np.arange(len(x)).reshape(-1, *(1,) * (x.ndim - 1)), -1)
    np.maximum.accumulate(index, axis=0, out=index)
    leading = index < 0
    y = np.take_along_axis(x, np.maximum(index, 0), axis=0)
    first = np.take_along_axis(x, known.argmax(axis=0)[None], axis=0)[0]
    if start is not None:
        first = np.where(np.isnan(start), first, start)
    np.copyto(y, first, where=leading)
    return y


def known_by(x: Array, before: Array | None, width: int, step: int, outputs: int) -> Mask:
    """Which outputs have met a value by the time they have read their window: (outputs, ...) along axis 0."""
    known = ~np.isnan(x)
    seen = np.maximum.accumulate(known, axis=0)
    if before is not None:
        seen = seen | ~np.isnan(before)
    return seen[width - 1 :: step][:outputs]
