"""The values that a stored sample can have, and how results are brought into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from convcli.errors import InputError

if TYPE_CHECKING:
    from convcli.media.images.layout import Pixels
    from convcli.signals import Array

Range = Literal["clip", "abs", "offset", "scale"]
Counts = npt.NDArray[np.int64]

# From so many samples on the import of OpenCV pays, which rounds and saturates to these types in one pass.
_MANY = 1 << 18
_SATURATED = (np.uint8, np.uint16)
# It does so up to this value.
_SATURATES = 2.0**31 - 128
_ZERO = np.zeros(4)


@dataclass(frozen=True)
class Levels:
    """What a sample of `dtype` can hold: whole numbers `low`..`high`, or any number.

    full : the value that means full intensity (255, 65535; 1.0 for floating samples)
    middle : what `--range offset` adds, the middle of an unsigned range
    """

    dtype: np.dtype[Any]

    @property
    def whole(self) -> bool:
        """Whether samples are whole numbers."""
        return self.dtype.kind in "iu"

    @property
    def low(self) -> float:
        """The smallest value."""
        return float(np.iinfo(self.dtype).min) if self.whole else -np.inf

    @property
    def high(self) -> float:
        """The largest value."""
        return float(np.iinfo(self.dtype).max) if self.whole else np.inf

    @property
    def full(self) -> float:
        """The value that means full intensity."""
        return self.high if self.whole else 1.0

    @property
    def middle(self) -> float:
        """Half of the range, from which negative and positive values differ alike."""
        if not self.whole:
            return 0.5
        return (self.high + 1) / 2 if self.low == 0 else 0.0

    @property
    def floating(self) -> type[np.floating[Any]]:
        """The type that holds and rounds these samples exactly: float32 for 8 bits, float64 for all else."""
        return np.float32 if self.whole and self.dtype.itemsize == 1 else np.float64


def quantise(values: Array, levels: Levels, *, row: int) -> tuple[Pixels, Counts, Counts]:
    """`values` (rows, columns, channels) as stored: rounded half to even, never floored, and clipped.

    Returns the samples and, per channel, how many lay below and above. row : of the first one, for the error
    that names a value that is no number.
    """
    nothing = np.zeros(values.shape[-1], np.int64)
    if not levels.whole:
        return values.astype(levels.dtype, copy=False), nothing, nothing
    if values.size >= _MANY and levels.dtype in _SATURATED and values.dtype.kind == "f":
        least, most = values.min(), values.max()
        if least > -_SATURATES and most < _SATURATES:  # and so a number
            samples = _saturated(values, levels, least)
            # Half to even: low - 1/2 still rounds to low, high + 1/2 no longer to high.
            below = _count(values < levels.low - 0.5) if least < levels.low - 0.5 else nothing
            above = _count(values >= levels.high + 0.5) if most >= levels.high + 0.5 else nothing
            return samples, below, above
    rounded = np.rint(values) if values.dtype.kind == "f" else values
    least, most = (rounded.min(), rounded.max()) if rounded.size else (levels.low, levels.high)
    if np.isnan(least):
        raise _no_number(rounded, row)
    low, high = _bounds(levels, rounded.dtype)
    below = _count(rounded < low) if least < low else nothing
    above = _count(rounded > high) if most > high else nothing
    if least < low or most > high:
        rounded = np.clip(rounded, low, high)
    return rounded.astype(levels.dtype), below, above


def _bounds(levels: Levels, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The levels' ends as numbers of `dtype`, so far as it holds them (float32 would not the largest of 32 bits)."""
    limits = np.iinfo(dtype) if dtype.kind == "i" else np.finfo(dtype)
    return dtype.type(max(levels.low, limits.min)), dtype.type(min(levels.high, limits.max))


def _saturated(values: Array, levels: Levels, least: float) -> Pixels:
    """The values, of which `least` is the smallest, rounded half to even and cut off, by OpenCV in one pass."""
    import cv2

    flat = values.reshape(len(values), -1)
    if levels.dtype.itemsize == 1 and values.dtype == np.float32 and least >= -0.5:
        stored = cv2.convertScaleAbs(
            flat
        )  # three times as fast, and the same where nothing is negative
    else:
        stored = cv2.add(flat, _ZERO, dtype=cv2.CV_8U if levels.dtype.itemsize == 1 else cv2.CV_16U)
    return np.asarray(stored).reshape(values.shape)


def _count(flags: npt.NDArray[np.bool_]) -> Counts:
    """How many are true in each channel of (rows, columns, channels), by sums of so many rows as a byte holds."""
    rows, channels = flags.view(np.uint8).reshape(len(flags), -1), flags.shape[-1]
    counts = np.zeros(channels, np.int64)
    for first in range(0, len(rows), 255):
        sums = np.add.reduce(rows[first : first + 255], axis=0, dtype=np.uint8)
        counts += [int(sums[channel::channels].sum(dtype=np.int64)) for channel in range(channels)]
    return counts


def _no_number(values: Array, row: int) -> InputError:
    place = np.argwhere(np.isnan(values))[0]
    count = int(np.isnan(values).sum())
    return InputError(
        f"the result is not a number (NaN) at row {row + place[0]}, column {place[1]} (and {count - 1} places near it)",
        hint="whole numbers cannot hold that; look at the step that makes it (log of 0 or a negative number?)",
    )


def into_range(values: Array, rule: Range, levels: Levels, channels: tuple[int, ...]) -> Array:
    """The values with `abs` or `offset` applied to `channels`; `clip` and `scale` act later."""
    if rule not in ("abs", "offset") or not channels:
        return values
    changed = values.astype(levels.floating if values.dtype.kind == "i" else values.dtype)
    for channel in channels:
        if rule == "abs":
            np.abs(values[..., channel], out=changed[..., channel])
        else:
            changed[..., channel] += levels.middle
    return changed


@dataclass
class Extent:
    """The smallest and the largest finite value met so far."""

    least: float = np.inf
    most: float = -np.inf

    def include(self, values: Array) -> None:
        """Widen the extent to hold these values."""
        finite = values[np.isfinite(values)]
        if finite.size:
            self.least = min(self.least, float(finite.min()))
            self.most = max(self.most, float(finite.max()))

    def stretch(self, values: Array, levels: Levels, channels: tuple[int, ...]) -> Array:
        """`values` with least..most of `channels` mapped to 0..full. A constant has nothing to stretch."""
        if self.most <= self.least:
            return values
        stretched = values.copy()
        for channel in channels:
            stretched[..., channel] -= self.least
            stretched[..., channel] *= levels.full / (self.most - self.least)
        return stretched
