"""Missing inputs of a convolution: gaps and, under `shrink`, what lies outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.convolution.convolve import (
    added_exactly,
    corrected_quotient,
    correlate_valid,
    dekker_halves,
    double_sums,
    true_runs,
    whole_windows,
)
from convcli.core.convolution.convolve_2d import factor
from convcli.core.convolution.direct import direct
from convcli.core.windows.constants import keep_constants
from convcli.samples import is_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convcli.array_types import BoolArray, FloatArray, IntArray
    from convcli.signals import Array

    # Sums of the weights times the samples, as high + low, and sums of the weights of the known
    # samples.
    _Sums = list[Any]
    _FindSums = Callable[
        [BoolArray, Any, Any, FloatArray, tuple[int, ...]], Iterator[tuple[Any, _Sums]]
    ]


# Products of one part of a computation, to stay near the caches.
PRODUCTS = 1 << 18

# The least rows of a patch of a picture whose windows are added up anew, because some have a gap.
PATCH_ROWS = 64

# Products of weights below this one with small samples may be too small for a float64.
_FAINT = 2.0**-300

# Taps whose values other than 0 form more runs than this are compared with gaps by an FFT.
MOST_RUNS = 64


def known_mean(x: Array) -> Array:
    """Mean of each channel of (n, channels) over the finite values, 0 if there are none."""
    known = np.isfinite(x)
    values = np.where(known, x, 0.0)
    count = np.maximum(1, known.sum(axis=0))
    with np.errstate(over="ignore", invalid="ignore"):
        mean: Array = values.sum(axis=0) / count
    if np.isfinite(mean).all():
        return mean
    # A sum of large samples overflows; their mean does not.
    divided: Array = (values / count).sum(axis=0)
    return divided


def any_missing(x: Array) -> bool:
    """Return whether some sample is NaN."""
    if is_stored(x) or x.size == 0:
        return False
    return bool(np.isnan(x.min()))


def count_missing(x: Array) -> IntArray:
    """Return how many samples of each channel are NaN."""
    channels = x.shape[-1]
    if not any_missing(x):
        return np.zeros(channels, np.int64)
    counts: IntArray = np.isnan(x).reshape(-1, channels).sum(axis=0)
    return counts


def reads_gap(missing: BoolArray, w: FloatArray, step: tuple[int, ...]) -> BoolArray:
    """Mark the outputs that read at least one missing sample with a weight other than 0."""
    reads = w != 0
    stretches = true_runs(reads)
    if w.ndim > 1 or len(stretches) > MOST_RUNS:
        counts = correlate_valid(
            missing.astype(np.float64), reads.astype(np.float64), step, exact=False
        )
        return counts > 0.5
    outputs = len(missing) - w.size + 1
    before = np.zeros((len(missing) + 1, *missing.shape[1:]), np.int64)
    np.cumsum(missing, axis=0, out=before[1:])
    found = np.zeros((outputs, *missing.shape[1:]), np.bool_)
    for first, last in stretches:
        found |= before[last : last + outputs] > before[first : first + outputs]
    return found[:: step[0]]


def renormalised(
    x: Array,
    w: FloatArray,
    divisor: float,
    step: tuple[int, ...],
    *,
    exact: bool,
    mean: Callable[[Array], Array],
) -> Array:
    """Spread weights >= 0 over the samples that are known; `mean` is the mean without gaps.

    Returns sum(w) / divisor * sum(w x) / sum(w), the last two sums over known samples; NaN if there
    are none.

    Only windows with a gap are computed anew, as dot products or exactly: the rounding of an FFT is
    larger than the sum of a window of which only tiny weights meet known samples. If `exact`, the
    mean of equal samples is their value.
    """
    missing = np.isnan(x)
    known = np.where(missing, 0.0, x).astype(x.dtype)
    y = mean(known)
    gap = reads_gap(missing, w, step)
    weights = np.where(missing, 0.0, 1.0).astype(x.dtype)
    gain = w.sum() / divisor
    faint = np.zeros_like(gap)
    for wanted, find_sums in _ways_to_add(gap, known, w, step, exact=exact):
        window_sums = find_sums(wanted, known, weights, w, step)
        faint |= _write_means(y, wanted, window_sums, gain)
    if faint.any():
        raised = np.where(w < _FAINT, w, 0) / _FAINT
        window_sums = _direct_window_sums(faint, known, weights, raised, step)
        _write_means(y, faint, window_sums, gain)
    if exact and w.ndim == 1:
        keep_constants(y, x, w, divisor, step[0])
    return y


def _write_means(
    y: Array, wanted: BoolArray, window_sums: Iterator[tuple[Any, _Sums]], gain: float
) -> BoolArray:
    """Write the means of the `wanted` windows to `y`; return those whose known weights are faint.

    window_sums : sums of windows with their places
    """
    faint = np.zeros_like(wanted)
    for places, sums in window_sums:
        y[places] = np.where(wanted[places], _means(sums, gain), y[places])
        _, _, share = sums
        faint[places] |= wanted[places] & (share > 0) & (share < _FAINT)
    return faint


def _means(sums: _Sums, gain: float) -> Array:
    """Sums of weights times samples over sums of weights, NaN where these are 0."""
    high, low, share = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        means = corrected_quotient(high, low, share) * gain
    means[share == 0] = np.nan
    return means


def _ways_to_add(
    gap: BoolArray, known: Array, w: FloatArray, step: tuple[int, ...], *, exact: bool
) -> list[tuple[BoolArray, _FindSums]]:
    """Windows with a gap, and the function that adds them up."""
    if added_exactly(w):
        return [(gap, _exact_window_sums)]
    whole = whole_windows(known, w, step[0]) if exact and w.ndim == 1 else None
    if whole is None:
        return [(gap, _direct_window_sums)]
    return [(gap & ~whole, _direct_window_sums), (gap & whole, _exact_window_sums)]


def _exact_window_sums(
    wanted: BoolArray, known: Array, weights: Array, w: FloatArray, step: tuple[int, ...]
) -> Iterator[tuple[Any, _Sums]]:
    """Yield the sums of all windows from the first to the last `wanted` one, and their places.

    Their number of operations grows like that of an FFT, however many windows have a gap.
    """
    rows = np.flatnonzero(wanted.any(axis=1))
    if len(rows) == 0:
        return
    first, last = int(rows[0]), int(rows[-1])
    end = last * step[0] + w.size
    part = slice(first * step[0], end)
    high, low = double_sums(known[part].astype(np.float64), w, step)
    share, _ = double_sums(weights[part].astype(np.float64), w, step, finite=True)
    yield slice(first, last + 1), [high, low, share]


def _direct_window_sums(
    wanted: BoolArray, known: Array, weights: Array, w: FloatArray, step: tuple[int, ...]
) -> Iterator[tuple[Any, _Sums]]:
    """Yield the sums of the `wanted` windows, and their places; of pictures patches of them."""
    arrays = (*dekker_halves(known), weights)
    if w.ndim > 1:
        return _sums_of_patches(wanted, arrays, w, step)
    return _sums_of_windows(wanted, arrays, w, step[0])


def _sums_of_patches(
    wanted: BoolArray, arrays: Sequence[Array], w: FloatArray, step: tuple[int, ...]
) -> Iterator[tuple[Any, _Sums]]:
    """Yield the sums of patches of a picture in which some window is `wanted`, and their places."""
    passes = _direct_passes(w, step)
    for places in _patches(wanted, len(w)):
        inputs = _inputs_of_windows(places, w.shape, step)
        yield places, [_after_passes(array[inputs], passes) for array in arrays]


def _direct_passes(
    w: FloatArray, step: tuple[int, ...]
) -> list[tuple[FloatArray, tuple[int, ...]]]:
    """The taps, with their steps, that do the work of 2-D taps one after the other.

    A row and a column whose outer product `w` is; `w` itself if there are none.
    """
    factors = factor(w)
    if factors is None:
        return [(w, step)]
    column, row = factors
    return [(row[None], (1, step[1])), (column[:, None], (step[0], 1))]


def _after_passes(x: Array, passes: list[tuple[FloatArray, tuple[int, ...]]]) -> Array:
    for taps, step in passes:
        x = direct(x, taps, step)
    return x


def _patches(wanted: BoolArray, height: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of patches that hold all `wanted` windows, and few others.

    height : the rows of a window, of which a patch computes some more than it has
    """
    most = PATCH_ROWS + 2 * height
    for first, last in true_runs(wanted):
        for top in range(first, last, most):
            rows = slice(top, min(last, top + most))
            for left, right in true_runs(wanted[rows].swapaxes(0, 1)):
                yield rows, slice(left, right)


def _inputs_of_windows(
    places: tuple[slice, ...], size: tuple[int, ...], step: tuple[int, ...]
) -> tuple[slice, ...]:
    """The samples along each axis that windows of a size at some places read."""
    inputs = []
    for place, count, every in zip(places, size, step, strict=True):
        last = (place.stop - 1) * every
        inputs.append(slice(place.start * every, last + count))
    return tuple(inputs)


def _sums_of_windows(
    wanted: BoolArray, arrays: Sequence[Array], w: FloatArray, step: int
) -> Iterator[tuple[Any, _Sums]]:
    """Yield the sums of the `wanted` windows along one axis, and their places."""
    # A long binomial has zeros at both ends.
    stretches = true_runs(w != 0) or [(0, 1)]
    begin, end = stretches[0][0], stretches[-1][1]
    taps = w[begin:end]
    rows, channels = np.nonzero(wanted)
    batch = max(1, PRODUCTS // taps.size)
    for first in range(0, len(rows), batch):
        some_rows = rows[first : first + batch]
        some_channels = channels[first : first + batch]
        starts = some_rows * step + begin
        sums = []
        for array in arrays:
            at_every_sample = sliding_window_view(array, taps.size, axis=0)
            windows = at_every_sample[starts, some_channels]
            sums.append(np.einsum("nj,j->n", windows, taps.astype(windows.dtype)))
        yield (some_rows, some_channels), sums


def hold(x: Array, earlier: Callable[[], Array | None]) -> Array:
    """Replace each missing sample by the last known one before it, at the start by the first one.

    In a picture a gap is first closed along its own row.

    earlier : gives the last value before `x`, (channels,) or (columns, channels), or None; called
        only if needed

    Returns a copy. NaN is left where no value is known.
    """
    y = _closed_rows(x)
    begins_with_gap = np.isnan(y[0]).any()
    start = earlier() if begins_with_gap else None
    return _carry(y, start)


def last_known(x: Array, earlier: Callable[[], Array | None]) -> Array | None:
    """Return the last known value of each channel (and column) for later gaps."""
    if len(x) == 0:
        return earlier()
    if not np.isnan(x[-1]).any():
        return np.array(x[-1])
    y = _closed_rows(x)
    nothing_known = np.isnan(y).all(axis=0).any()
    start = earlier() if nothing_known else None
    last: Array = _carry(y, start)[-1]
    return last


def _closed_rows(x: Array) -> Array:
    """Close the gaps of a picture along their rows; leave other signals unchanged."""
    if x.ndim == 2:
        return x
    closed = _carry(np.moveaxis(x, 1, 0), None)
    return np.moveaxis(closed, 0, 1)


def _carry(x: Array, start: Array | None) -> Array:
    """Fill gaps forwards along axis 0, at the start by `start` or else by the first value."""
    known = ~np.isnan(x)
    numbers = np.arange(len(x)).reshape(-1, *(1,) * (x.ndim - 1))
    index = np.where(known, numbers, -1)
    np.maximum.accumulate(index, axis=0, out=index)
    leading = index < 0
    y = np.take_along_axis(x, np.maximum(index, 0), axis=0)
    first_known = known.argmax(axis=0)
    first = np.take_along_axis(x, first_known[None], axis=0)[0]
    if start is not None:
        first = np.where(np.isnan(start), first, start)
    np.copyto(y, first, where=leading)
    return y


def known_by(x: Array, earlier: Array | None, width: int, step: int, outputs: int) -> BoolArray:
    """Mark the outputs, (outputs, channels), that have a value in their window or before it.

    earlier : the last value before `x`, None if there is none; width : of a window
    """
    return seen_so_far(x, earlier)[width - 1 :: step][:outputs]


def seen_so_far(x: Array, earlier: Array | None) -> BoolArray:
    """Mark the samples at which a value is known or has been before, also `earlier` than `x`."""
    seen: BoolArray = np.maximum.accumulate(~np.isnan(x), axis=0)
    if earlier is not None:
        seen |= ~np.isnan(earlier)
    return seen
