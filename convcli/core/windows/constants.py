"""Windows of equal samples, whose mean is that value without any rounding."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from convcli.array_types import BoolArray, IntArray, Taps
    from convcli.signals import Array


# Sums of two parts of 26 bits times whole taps, divided once, are right up to this sum of the taps.
WHOLE_TAPS = 1 << 26


def keep_constants(y: Array, x: Array, w: Taps, divisor: float, step: int) -> None:
    """Correct the outputs of windows whose known samples are all equal, in place.

    Taps that sum to the divisor give the value itself, taps that sum to 0 give 0. Outputs that are
    missing stay so.

    y : every `step`-th output of the correlation of x, (n, channels), NaN where a sample is missing
    """
    gain = _constant_gain(w.tobytes(), divisor)
    if gain is None:
        return
    # Of many channels, such as the groups of a table, hardly ever one is constant.
    if x.shape[1] > 1 and w.size > 1 and _none_are_equal(x, w.size):
        return
    for channel in range(x.shape[1]):
        samples = np.ascontiguousarray(x[:, channel])
        windows, values = _equal_windows(samples, w.size)
        if step > 1:
            kept = windows % step == 0
            windows = windows[kept] // step
            values = values[kept]
        if len(windows):
            wanted = np.isfinite(y[windows, channel]) & np.isfinite(values)
            # Adding 0 turns -0 into 0.
            y[windows[wanted], channel] = gain * values[wanted] + 0.0


@lru_cache(maxsize=64)
def _constant_gain(taps: bytes, divisor: float) -> float | None:
    """The gain of the taps for a constant if it is 1 or 0; None for others.

    None also for taps whose mean of a constant is right already.
    """
    w = np.frombuffer(taps)
    size = float(np.abs(w).sum())
    is_whole = np.array_equal(w, np.rint(w))
    if is_whole and size <= WHOLE_TAPS and divisor != 1:
        return None
    gain = math.fsum(w.tolist()) / divisor
    return gain if gain in (0, 1) else None


def _none_are_equal(x: Array, k: int) -> bool:
    """Whether no sample is missing, and no window of `k` samples of a channel is constant."""
    if np.isnan(x.min()):
        return False
    return not _all_of_next(x[1:] == x[:-1], k - 1).any()


def _equal_windows(x: Array, k: int) -> tuple[IntArray, Any]:
    """The windows of `k` samples whose known samples are all equal, and their values.

    Windows are numbered by their first sample. A window without known samples may be among them.
    """
    if np.isnan(x.min()):
        return _equal_windows_with_gaps(x, k)
    if k == 1:
        return np.arange(len(x)), x
    equals_next = x[1:] == x[:-1]
    windows = np.flatnonzero(_all_of_next(equals_next, k - 1))
    return windows, x[windows]


def _all_of_next(flags: BoolArray, count: int) -> BoolArray:
    """Whether `count` flags in a row are all true, by doubling."""
    length = 1
    while 2 * length <= count:
        flags = flags[:-length] & flags[length:]
        length *= 2
    rest = count - length
    if rest > 0:
        flags = flags[:-rest] & flags[rest:]
    return flags


def _equal_windows_with_gaps(x: Array, k: int) -> tuple[IntArray, Any]:
    """`_equal_windows` of samples of which some are missing."""
    first, last = _runs_of_equal_values(x)
    if len(first) == 0:
        return first, x[first]
    # A window of a run reads a sample of it and none of the runs beside it.
    after_previous = np.concatenate([[0], last[:-1] + 1])
    before_next = np.concatenate([first[1:], [len(x)]]) - k
    lowest = np.maximum(after_previous, first - k + 1)
    highest = np.minimum(before_next, last)
    counts = np.maximum(highest - lowest + 1, 0)
    windows_before = np.cumsum(counts) - counts
    starts = np.repeat(lowest - windows_before, counts)
    windows = np.arange(len(starts)) + starts
    return windows, np.repeat(x[first], counts)


def _runs_of_equal_values(x: Array) -> tuple[IntArray, IntArray]:
    """The first and the last known sample of each run of equal values; gaps end no run."""
    known = np.flatnonzero(~np.isnan(x))
    values = x[known]
    changes = values[1:] != values[:-1]
    begins = np.append(True, changes)[: len(known)]
    ends = np.append(changes, True)[: len(known)]
    return known[begins], known[ends]
