"""Outputs whose window is complete: all others are missing under the edge rule `missing`."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import IntArray
    from convcli.core.op import Span
    from convcli.signals import Array


@dataclass(frozen=True, eq=False)
class Bounds:
    """The samples [low, high) along each axis that are complete: their windows lie in the signal.

    low, high : whole numbers; of several signals that are filtered side by side (signals,) each
    """

    low: tuple[Any, ...]
    high: tuple[Any, ...]

    def shifted(self, by: tuple[int, ...]) -> Bounds:
        """Return the same samples counted from sample `by` on."""
        low = tuple(one - shift for one, shift in zip(self.low, by, strict=True))
        high = tuple(one - shift for one, shift in zip(self.high, by, strict=True))
        return Bounds(low, high)


def common_bounds(bounds: list[Bounds]) -> Bounds:
    """Return the samples that lie within all of the bounds."""
    lows = zip(*(each.low for each in bounds), strict=True)
    highs = zip(*(each.high for each in bounds), strict=True)
    latest = tuple(reduce(np.maximum, low) for low in lows)
    earliest = tuple(reduce(np.minimum, high) for high in highs)
    return Bounds(latest, earliest)


def without_incomplete(y: Array, span: Span, bounds: Bounds) -> Array:
    """Return the samples `span`; those that do not lie within the bounds are missing.

    y : (n, channels) or (rows, columns, channels)
    """
    for axis, (start, stop) in enumerate(span):
        low, high = bounds.low[axis], bounds.high[axis]
        if isinstance(low, np.ndarray):
            y = _samples_of_signals(y, np.arange(start, stop), bounds)
        elif start < low or stop > high:
            y = np.array(y)
            first = max(low - start, 0)
            last = max(int(high) - start, 0)
            along_axis = np.moveaxis(y, axis, 0)
            along_axis[:first] = np.nan
            along_axis[last:] = np.nan
    return y


def _samples_of_signals(y: Array, samples: IntArray, bounds: Bounds) -> Array:
    """Return the samples of several signals; those that do not lie within the bounds are missing.

    y : (n, signals * channels)
    """
    places = samples[:, None]
    beyond = (places < bounds.low[0]) | (places >= bounds.high[0])
    if not beyond.any():
        return y
    of_channels = np.repeat(beyond, y.shape[-1] // beyond.shape[1], axis=1)
    hidden: Array = np.where(of_channels, np.nan, y).astype(y.dtype)
    return hidden
