"""Every window of a signal with its samples in order, in the way that takes the least time.

Short windows are sorted one by one. Those of a picture of few different values are counted
(`counted_windows.py`), other long ones are looked up in a tree (`ordered_windows.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.windows.counted import counted_windows, few_values
from convcli.core.windows.kth_smallest import LookedUpWindows, SortedWindows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import Sizes
    from convcli.core.windows.kth_smallest import OrderedWindows
    from convcli.signals import Array


# Windows of more samples take less time in a tree than sorted one by one. The limits are for a
# series, for a picture (whose tree is made anew for each row of outputs), for one of few values
# (which are counted instead), and for statistics that look up many samples of each window.
MOST_SORTED = 128
MOST_PIXELS_SORTED = 1024
MOST_PIXELS_SORTED_OF_FEW_VALUES = 400
MOST_SORTED_FOR_SEARCHES = 512

# Samples of all windows that are sorted together, and windows that are looked up together.
SORTED = 1 << 18
LOOKED_UP = 1 << 13


def ordered_windows(
    x: Array, size: Sizes, step: Sizes, *, own: Sizes, searches: bool
) -> Iterator[OrderedWindows]:
    """Yield the windows of (channels, *samples), one channel after the other, some at a time.

    own : the place in a window of the sample that its output is aligned with
    searches : many samples of each window are asked for, instead of one or two
    """
    most = MOST_SORTED_FOR_SEARCHES if searches else MOST_SORTED
    if len(size) > 1:
        most = _most_pixels_sorted(x, searches=searches)
    if math.prod(size) <= most:
        yield from _sorted_windows(x, size, step, own)
        return
    for channel in x:
        if len(size) == 1:
            yield from _long_windows(channel, size[0], step[0], own[0])
        else:
            yield from _large_windows(channel, size, step, own)


def _sorted_windows(x: Array, size: Sizes, step: Sizes, own: Sizes) -> Iterator[OrderedWindows]:
    """Yield short windows, of many short channels together."""
    sample_axes = tuple(range(1, x.ndim))
    at_every_sample: Any = sliding_window_view(x, size, axis=sample_axes)
    every = tuple(slice(None, None, s) for s in step)
    windows = at_every_sample[(slice(None), *every)]
    channels, rows, *columns = windows.shape[: x.ndim]
    count = math.prod(size)
    place = int(np.ravel_multi_index(own, size))
    in_row = count * math.prod(columns)
    rows_at_once = max(1, SORTED // in_row)
    channels_at_once = max(1, SORTED // (in_row * rows))
    for channel in range(0, channels, channels_at_once):
        for row in range(0, rows, rows_at_once):
            some = windows[channel : channel + channels_at_once, row : row + rows_at_once]
            yield SortedWindows(some.reshape(-1, count), place)


def _most_pixels_sorted(x: Array, *, searches: bool) -> int:
    """How many pixels of a window are sorted: fewer where counting takes less time."""
    if searches or any(few_values(channel) is None for channel in x):
        return MOST_PIXELS_SORTED
    return MOST_PIXELS_SORTED_OF_FEW_VALUES


def _large_windows(x: Array, size: Sizes, step: Sizes, own: Sizes) -> Iterator[OrderedWindows]:
    """Yield the windows of (rows, columns), counted if the picture has few values.

    Else each row of windows is a stretch of as many rows, taken column by column.
    """
    values = few_values(x)
    if values is not None:
        yield from counted_windows(x, values, size, step, own)
        return
    height, _ = size
    place = own[1] * height + own[0]
    for row in range(0, len(x) - height + 1, step[0]):
        by_column = x[row : row + height].T.reshape(-1)
        yield from _long_windows(by_column, math.prod(size), step[1] * height, place)


def _long_windows(x: Array, k: int, step: int, own: int) -> Iterator[OrderedWindows]:
    outputs = (len(x) - k) // step + 1
    inputs_at_once = max(LOOKED_UP, k // 2)
    at_once = inputs_at_once // step + 1
    for first in range(0, outputs, at_once):
        last = min(first + at_once, outputs)
        begin = first * step
        end = (last - 1) * step + k
        starts = np.arange(last - first) * step
        yield LookedUpWindows(x[begin:end], starts, starts + k, starts + own)
