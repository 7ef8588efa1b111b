"""The k-th smallest sample of each window of a picture of few values, such as one of 8 bits.

The pixels that do not exceed a value are counted in all windows at once, by differences of sums
from the corner of the picture (Crow, SIGGRAPH 1984). The k-th smallest sample, counted from 0, is
the smallest value that more than k samples do not exceed. The time does not depend on the size of
the windows: medians of 60 x 60 bytes take a tenth of the time of a wavelet matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.windows.kth_smallest import OrderedWindows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import IntArray, Sizes
    from convcli.signals import Array


# There is a pass over the picture for each value.
MOST_VALUES = 256
# Counts of values in windows that are held at a time, of 4 bytes each.
_MOST_COUNTS = 1 << 23
# So many pixels are looked at first, since sorting all of them takes time.
_FIRST_PIXELS = 4096


def few_values(x: Array) -> Array | None:
    """The different known values of a picture in order; None if they are many."""
    some = np.unique(x.reshape(-1)[:_FIRST_PIXELS])
    if len(some) > MOST_VALUES:
        return None
    values = np.unique(x)
    values = values[~np.isnan(values)]
    return values if len(values) <= MOST_VALUES else None


def counted_windows(
    x: Array, values: Array, size: Sizes, step: Sizes, own: Sizes
) -> Iterator[CountedWindows]:
    """Yield the windows of (rows, columns), some rows of windows at a time.

    values : of the picture, in order
    own : the place in a window of the sample that its output is aligned with
    """
    height, width = size
    down, across = step
    outputs = (len(x) - height) // down + 1
    in_row = (x.shape[1] - width) // across + 1
    rows_at_once = max(1, _MOST_COUNTS // (in_row * max(1, len(values))))
    for first in range(0, outputs, rows_at_once):
        count = min(rows_at_once, outputs - first)
        top = first * down
        bottom = top + (count - 1) * down + height
        yield CountedWindows(x[top:bottom], values, size, step, own)


class CountedWindows(OrderedWindows):
    """All windows of (rows, columns), row by row.

    values, own : see `counted_windows`
    """

    def __init__(self, x: Array, values: Array, size: Sizes, step: Sizes, own: Sizes) -> None:
        known = _window_counts(~np.isnan(x), size, step)
        self.known = known.reshape(-1).astype(np.int64)
        rows, columns = (
            first + stride * np.arange(count)
            for first, stride, count in zip(own, step, known.shape, strict=True)
        )
        self.own = x[rows[:, None], columns].reshape(-1)
        self._values = values
        # How many samples of each window do not exceed each value.
        self._counts = np.empty((len(values), known.size), np.int32)
        for row, value in enumerate(values):
            self._counts[row] = _window_counts(x <= value, size, step).reshape(-1)

    def smallest(self, k: IntArray) -> Array:
        """Count the values that too few samples do not exceed."""
        if not len(self._values):
            return np.full(self.known.shape, np.nan)
        too_small = np.count_nonzero(self._counts[:-1] <= k, axis=0)
        found: Array = self._values[too_small]
        return found

    def counts_of_own(self) -> tuple[IntArray, IntArray]:
        """Look up the value of each output's own sample, and the value before it."""
        place = np.searchsorted(self._values, self.own)
        window = np.arange(len(place))
        counts = np.concatenate([np.zeros((1, len(window)), np.int64), self._counts])
        last = len(self._values)
        less = counts[place, window]
        not_more = counts[np.minimum(place + 1, last), window]
        return less, not_more


def _window_counts(flags: Any, size: Sizes, step: Sizes) -> Any:
    """How many flags of (rows, columns) are true in each window."""
    import cv2

    sums = cv2.integral(flags.view(np.uint8))
    height, width = size
    down, across = step
    tops, lefts = slice(None, -height, down), slice(None, -width, across)
    bottoms, rights = slice(height, None, down), slice(width, None, across)
    lower = sums[bottoms, rights] - sums[bottoms, lefts]
    upper = sums[tops, rights] - sums[tops, lefts]
    return lower - upper
