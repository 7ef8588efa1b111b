"""The values that a stored sample can have, and how results are brought into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from convcli.array_types import IntArray
from convcli.errors import InputError
from convcli.samples import in_type

if TYPE_CHECKING:
    from convcli.array_types import BoolArray
    from convcli.media.images.layout import Pixels
    from convcli.signals import Array

Range = Literal["clip", "abs", "offset", "scale"]
Counts = IntArray
# Samples, and how many of each channel lay below and above what can be stored.
Quantised = tuple["Pixels", Counts, Counts]

# OpenCV rounds and saturates to these types in one pass; from this many samples on its import pays.
_MANY = 1 << 18
_SATURATED = (np.uint8, np.uint16)
# It saturates rightly up to this value.
_LARGEST_SATURATED = 2.0**31 - 128
_ZERO = np.zeros(4)
# A byte counts this many flags.
_COUNTED_ROWS = 255


class Levels:
    """What a sample of `dtype` can hold.

    white : the largest value of unsigned samples; None for the largest of the type
    missing : the sample that stands for a missing one, None if NaN does or none can be missing
    whole : whether samples are whole numbers, in `low`..`high`
    full : the value that means full intensity: 255, 65535, `white`; 1.0 for floating samples
    fills_type : whether any value of the type can be stored
    middle : what `--range offset` adds: half of an unsigned range, 0 for signed samples
    """

    def __init__(
        self, dtype: np.dtype[Any], white: int | None = None, *, missing: float | None = None
    ) -> None:
        self.dtype = dtype
        self.missing = missing
        self.fills_type = white is None
        self.whole = dtype.kind in "iu"
        self.low, self.high = -np.inf, np.inf
        self.full, self.middle = 1.0, 0.5
        if not self.whole:
            return
        limits = np.iinfo(dtype)
        self.low, self.high = float(limits.min), float(limits.max if white is None else white)
        self.full = self.high
        self.middle = (self.high + 1) / 2 if dtype.kind == "u" else 0.0


def quantise(values: Array, levels: Levels, *, row: int) -> Quantised:
    """Round values (rows, columns, channels) half to even and clip them to the levels.

    A missing value, NaN, becomes the sample that stands for one, if there is such a sample.

    row : of the page that comes first, for the InputError that names a value that is not a number
    """
    if levels.missing is not None:
        values = np.where(np.isnan(values), levels.missing, values)
    fits = values.dtype == levels.dtype and levels.fills_type
    if fits or not levels.whole:
        nothing = np.zeros(values.shape[-1], np.int64)
        return in_type(values, levels.dtype), nothing, nothing
    is_floating = values.dtype.kind == "f"
    is_saturated = levels.fills_type and levels.dtype in _SATURATED
    if is_floating and is_saturated and values.size >= _MANY:
        least, most = values.min(), values.max()
        # Both comparisons are false if a value is NaN.
        if least > -_LARGEST_SATURATED and most < _LARGEST_SATURATED:
            return _saturate(values, levels, least, most)
    if is_floating:
        values = np.rint(values)
    return _clip(values, levels, row)


def _saturate(values: Array, levels: Levels, least: float, most: float) -> Quantised:
    """Round and clip `values`, which lie in least..most, by OpenCV in one pass."""
    import cv2

    flat = values.reshape(len(values), -1)
    is_byte = levels.dtype.itemsize == 1
    if is_byte and values.dtype == np.float32 and least >= -0.5:
        # This is three times as fast as `add`, and equal to it for values that are not negative.
        stored = cv2.convertScaleAbs(flat)
    else:
        stored = cv2.add(flat, _ZERO, dtype=cv2.CV_8U if is_byte else cv2.CV_16U)
    below = above = np.zeros(values.shape[-1], np.int64)
    # Half to even: low - 1/2 is rounded to low, but high + 1/2 is rounded up.
    if least < levels.low - 0.5:
        below = _count_flags(values < levels.low - 0.5)
    if most >= levels.high + 0.5:
        above = _count_flags(values >= levels.high + 0.5)
    return np.asarray(stored).reshape(values.shape), below, above


def _clip(rounded: Array, levels: Levels, row: int) -> Quantised:
    """Clip whole numbers to the levels."""
    below = above = np.zeros(rounded.shape[-1], np.int64)
    if not rounded.size:
        return rounded.astype(levels.dtype), below, above
    least, most = rounded.min(), rounded.max()
    if np.isnan(least):
        raise _not_a_number(rounded, row)
    low, high = _bounds(levels, rounded.dtype)
    if least < low:
        below = _count_flags(rounded < low)
    if most > high:
        above = _count_flags(rounded > high)
    if least < low or most > high:
        rounded = np.clip(rounded, low, high)
    return rounded.astype(levels.dtype), below, above


def _bounds(levels: Levels, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The smallest and largest level as numbers of `dtype`, or the limits of `dtype`."""
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    low, high = max(levels.low, limits.min), min(levels.high, limits.max)
    return dtype.type(low), dtype.type(high)


def _count_flags(flags: BoolArray) -> Counts:
    """How many flags of (rows, columns, channels) are true in each channel.

    Sums of bytes over as many rows as a byte can count are faster than sums of wider numbers.
    """
    channels = flags.shape[-1]
    rows = flags.view(np.uint8).reshape(len(flags), -1)
    counts = np.zeros(channels, np.int64)
    for first in range(0, len(rows), _COUNTED_ROWS):
        sums = np.add.reduce(rows[first : first + _COUNTED_ROWS], axis=0, dtype=np.uint8)
        for channel in range(channels):
            counts[channel] += sums[channel::channels].sum(dtype=np.int64)
    return counts


def _not_a_number(values: Array, row: int) -> InputError:
    missing = np.isnan(values)
    first_row, column, *_ = np.argwhere(missing)[0]
    others = int(missing.sum()) - 1
    return InputError(
        f"the result is not a number (NaN) at x {column}, y {row + first_row} "
        f"(and {others} places near it)",
        hint="whole numbers cannot hold that; look at the step that makes it "
        "(log of 0 or a negative number?), or at the input: --missing fill estimates its gaps",
    )


def shift_range(values: Array, rule: Range, levels: Levels, channels: tuple[int, ...]) -> Array:
    """Apply the rule `abs` or `offset` to some channels; `clip` and `scale` act later."""
    if rule not in ("abs", "offset") or not channels:
        return values
    # In float32 a sum could be rounded to the other side of one half.
    shifted = values.astype(np.float64)
    for channel in channels:
        if rule == "abs":
            np.abs(values[..., channel], out=shifted[..., channel])
        else:
            shifted[..., channel] += levels.middle
    return shifted
