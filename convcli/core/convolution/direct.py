"""The valid correlation by its definition: sums of products without a transform.

Every output is added up in the same order, whatever lies around it, so blocks of any size give
identical answers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from convcli.array_types import FloatArray
    from convcli.signals import Array

# Outputs computed at a time, so that they stay in the cache.
CHUNK = 8192

# Up to this many channels, a Python loop over them is faster than a batched call.
FEW_CHANNELS = 4

# Up to this many taps np.correlate has a loop of its own; for more it calls the dot product that
# np.vecdot also uses.
UNROLLED = 11


def direct(x: Array, w: FloatArray, step: tuple[int, ...]) -> Array:
    """The valid correlation along the w.ndim leading axes, tap by tap; every `step`-th output.

    Taps of 0 are skipped. x : (n, channels) or (rows, columns, channels) floating
    """
    outputs = window_counts(x.shape, w.shape, step)
    y = np.zeros((*outputs, x.shape[-1]), x.dtype)
    places = zip(*np.nonzero(w), strict=True)
    taps = [(place, w[place]) for place in places]
    row_size = max(1, math.prod(y.shape[1:]))
    rows = max(1, CHUNK // row_size)
    scratch = np.empty((min(rows, len(y)), *y.shape[1:]), x.dtype)
    for first in range(0, len(y), rows):
        part = y[first : first + rows]
        terms = []
        for place, weight in taps:
            inputs = x[_inputs_of_tap(place, first, part.shape, step)]
            terms.append((inputs, weight))
        _add_products(terms, part, scratch[: len(part)])
    return y


def window_counts(
    shape: tuple[int, ...], size: tuple[int, ...], step: tuple[int, ...]
) -> tuple[int, ...]:
    """How many windows of `size`, `step` apart, lie in samples of `shape`, on each axis."""
    counts = []
    for n, k, every in zip(shape, size, step, strict=False):
        last_start = n - k
        counts.append(last_start // every + 1)
    return tuple(counts)


def _add_products(terms: list[tuple[Array, Any]], y: Array, scratch: Array) -> None:
    """Write the sum of inputs times weights to `y`, which stays as it is without any term."""
    for number, (inputs, weight) in enumerate(terms):
        if number == 0:
            np.multiply(inputs, weight, out=y)
        else:
            np.multiply(inputs, weight, out=scratch)
            np.add(y, scratch, out=y)


def _inputs_of_tap(
    place: tuple[Any, ...], first: int, shape: tuple[int, ...], step: tuple[int, ...]
) -> tuple[slice, ...]:
    """The inputs of the tap at `place`, for outputs of `shape` from row `first` on."""
    slices = []
    for offset, row, count, every in zip(place, (first, 0), shape, step, strict=False):
        start = row * every + int(offset)
        last = start + (count - 1) * every
        slices.append(slice(start, last + 1, every))
    return tuple(slices)


def dot_products(x: Array, w: FloatArray, step: int) -> Array:
    """Every `step`-th output of the valid correlation of (n, channels), by dot products."""
    channels = np.ascontiguousarray(x.T)
    w = w.astype(x.dtype)
    if len(channels) <= FEW_CHANNELS or channels.shape[1] > CHUNK:
        return _channel_by_channel(channels, w, step)
    if w.size <= UNROLLED:
        return _channels_end_to_end(channels, w, step)
    windows = sliding_window_view(channels, w.size, axis=1)[:, ::step]
    y: Array = np.vecdot(windows, w)
    return y.T


def _channel_by_channel(channels: Array, w: Array, step: int) -> Array:
    outputs = (channels.shape[1] - w.size) // step + 1
    y = np.empty((outputs, len(channels)), channels.dtype)
    for number, channel in enumerate(channels):
        y[:, number] = np.correlate(channel, w, "valid")[::step]
    return y


def _channels_end_to_end(channels: Array, w: Array, step: int) -> Array:
    """All channels in one call; the outputs whose window spans two channels are dropped."""
    y = np.zeros(channels.shape, channels.dtype)
    outputs = channels.size - w.size + 1
    y.reshape(-1)[:outputs] = np.correlate(channels.reshape(-1), w, "valid")
    return y[:, : channels.shape[1] - w.size + 1 : step].T
