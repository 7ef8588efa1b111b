"""Every window of a signal with its samples in order, in the way that takes the least time.

Short windows are sorted one by one. Large ones of a picture are counted (`counted.py`), long ones
of a series are looked up in a tree (`kth_smallest.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.windows.counted import counted_windows
from convcli.core.windows.kth_smallest import LookedUpWindows, SortedWindows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import Sizes
    from convcli.core.windows.kth_smallest import OrderedWindows
    from convcli.signals import Array


# Windows of more samples take less time in a tree, or counted, than sorted one by one. The limits
# are for a series and for a picture, and for statistics that look up many samples of each window.
MOST_SORTED = 128
MOST_SORTED_FOR_SEARCHES = 512
MOST_PIXELS_SORTED = 400
MOST_PIXELS_SORTED_FOR_SEARCHES = 2500

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
    most = _most_sorted(len(size), searches=searches)
    # Windows that are farther apart are sorted less often.
    if math.prod(size) <= most * math.prod(step):
        yield from _sorted_windows(x, size, step, own)
        return
    for channel in x:
        if len(size) == 1:
            yield from _long_windows(channel, size[0], step[0], own[0])
        else:
            yield from counted_windows(channel, size, step, own)


def _most_sorted(axes: int, *, searches: bool) -> int:
    """The most samples of a window that is sorted."""
    if axes == 1:
        return MOST_SORTED_FOR_SEARCHES if searches else MOST_SORTED
    return MOST_PIXELS_SORTED_FOR_SEARCHES if searches else MOST_PIXELS_SORTED


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
