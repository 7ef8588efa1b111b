"""Order statistics of every window: medians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.sliding import WindowFunction

if TYPE_CHECKING:
    from convcli.signals import Array

    Sizes = tuple[int, ...]

# Samples of all windows that are sorted together.
SORTED = 1 << 20


@dataclass(frozen=True, eq=False)
class Median(WindowFunction):
    """The middle one of the known samples, or the mean of the two in the middle."""

    rounding = "exact"

    def of_windows(self, x: Array, size: Sizes, step: Sizes) -> Array:
        """Compute medians along one axis by bottleneck, in planes by sorting the windows."""
        if len(size) > 1:
            return _medians_of_planes(x, size, step)
        import bottleneck

        y = bottleneck.move_median(x, size[0], min_count=1, axis=1)
        return np.asarray(y[:, size[0] - 1 :: step[0]])

    def of_stored(self, x: Array, size: Sizes, step: Sizes) -> Array | None:
        """Compute medians of bytes in squares of odd sides by OpenCV."""
        is_odd_square = x.ndim == 3 and size[0] == size[1] and size[0] % 2 == 1
        if x.dtype != np.uint8 or not is_odd_square or min(x.shape[:2]) < size[0]:
            return None
        import cv2

        side = size[0]
        half = side // 2
        planes = [x] if x.shape[2] in (1, 3, 4) else np.split(x, x.shape[2], axis=2)
        rows, columns = (n - side + 1 for n in x.shape[:2])
        made: list[Any] = []
        for plane in planes:
            y = np.asarray(cv2.medianBlur(np.ascontiguousarray(plane), side))
            inner = y.reshape(plane.shape)[half : half + rows, half : half + columns]
            made.append(inner[:: step[0], :: step[1]])
        return np.concatenate(made, axis=2)


def _medians_of_planes(x: Array, size: Sizes, step: Sizes) -> Array:
    """Medians of windows of (channels, rows, columns)."""
    windows: Any = sliding_window_view(x, size, axis=(1, 2))[:, :: step[0], :: step[1]]
    made: Any = np.empty(windows.shape[:3], x.dtype)
    count = size[0] * size[1]
    at_once = max(1, SORTED // (count * made.shape[2]))
    for channel in range(len(x)):
        for first in range(0, made.shape[1], at_once):
            rows = slice(first, first + at_once)
            ordered = np.sort(windows[channel, rows].reshape(-1, made.shape[2], count), axis=-1)
            made[channel, rows] = _middles(ordered)
    return np.asarray(made)


def _middles(ordered: Array) -> Array:
    """The medians of sorted samples, of which missing ones are the last."""
    known = ordered.shape[-1] - np.isnan(ordered).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(known - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, known // 2 % ordered.shape[-1], axis=-1)
    middle: Any = (low + high) / 2
    return np.asarray(middle[..., 0])
