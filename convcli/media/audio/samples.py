"""Samples in -1..1 to the numbers of a coding: rounding, dither, and the ledger of what did not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.media.audio.formats import FLOATS, LOSSY, bits_of
from convcli.samples import extremes

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.signals import Array

    Numbers = npt.NDArray[Any]

# The largest float32; beyond it a FLOAT file would hold inf.
LARGEST = {"FLOAT": float(np.finfo(np.float32).max), "DOUBLE": float(np.finfo(np.float64).max)}


@dataclass(frozen=True)
class Grid:
    """The numbers that a coding can hold. full : the number that 1.0 would be; low, high : the ends of the scale."""

    subtype: str
    full: float
    low: float
    high: float

    @classmethod
    def of(cls, subtype: str) -> Grid:
        """Whole numbers for PCM, -1..1 for lossy codecs, everything for floats."""
        if subtype in FLOATS:
            return cls(subtype, 1.0, -LARGEST[subtype], LARGEST[subtype])
        if subtype in LOSSY:
            return cls(subtype, 1.0, -1.0, 1.0)
        full = 2.0 ** (bits_of(subtype) - 1)
        return cls(subtype, full, -full, full - 1)

    @property
    def whole(self) -> bool:
        """Whether only whole numbers can be held."""
        return self.full > 1

    @property
    def limits(self) -> tuple[float, float]:
        """The sample values within which nothing is clipped, rounding counted in (half to even)."""
        if self.whole:
            # low - 0.5 rounds to the even low; high + 0.5 rounds up, out of the scale.
            return (self.low - 0.5) / self.full, np.nextafter((self.high + 0.5) / self.full, 0.0)
        return self.low, self.high

    def gain_to_fit(self, low: float, high: float) -> float:
        """The gain that brings the extremes `low` and `high` to full scale exactly, 1 where they fit already."""
        if self.subtype in FLOATS or (low >= self.limits[0] and high <= self.limits[1]):
            return 1.0
        room = [
            self.high / self.full / high if high > 0 else 1.0,
            self.low / self.full / low if low < 0 else 1.0,
        ]
        return float(min(room))

    def round(self, y: Array, *, noise: Array | None = None, fits: bool = False) -> Numbers:
        """The numbers nearest to `y` (n, channels), half to even, clipped to the scale.

        noise : (n, channels) in units of the last bit, added before rounding; fits : nothing is there to be clipped
        """
        if not self.whole:
            bound = np.clip(y, self.low, self.high) if self.subtype in LOSSY else y
            return bound.astype(np.float64 if self.subtype == "DOUBLE" else np.float32)
        z = np.multiply(y, self.full, dtype=np.float64)
        if noise is not None:
            z += noise
        np.rint(z, out=z)
        if not fits:
            np.clip(z, self.low, self.high, out=z)
        return z.astype(np.int16 if self.full <= 2**15 else np.int32)


@dataclass(frozen=True)
class Extremes:
    """The ledger of a block, an array entry per channel: smallest, largest, and how many do not fit."""

    low: Array
    high: Array
    clipped: npt.NDArray[np.int64]

    @classmethod
    def none(cls, channels: int) -> Extremes:
        """Of no samples at all."""
        return cls(np.zeros(channels), np.zeros(channels), np.zeros(channels, np.int64))

    @classmethod
    def of(cls, y: Array, grid: Grid) -> Extremes:
        """Measure (n, channels) samples, n > 0; NaN shows in `low` and `high`."""
        low, high = (found.astype(np.float64) for found in extremes(y))
        clipped = np.zeros(y.shape[1], np.int64)
        bottom, top = grid.limits
        for c in np.flatnonzero((low < bottom) | (high > top)):
            clipped[c] = np.count_nonzero((y[:, c] < bottom) | (y[:, c] > top))
        return cls(low, high, clipped)

    @property
    def finite(self) -> bool:
        """Whether every sample is a number."""
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())

    @property
    def peak(self) -> Array:
        """The largest magnitude per channel."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def joined(self, other: Extremes) -> Extremes:
        """The ledger of both."""
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Extremes(low, high, self.clipped + other.clipped)


class Dither:
    """Triangular noise of two last bits' width (TPDF), one stream of numbers in the order of the samples.

    Drawn frame after frame, it does not depend on how the signal was cut into blocks.
    """

    def __init__(self, seed: int) -> None:
        self._draw = np.random.Generator(np.random.PCG64(seed))

    def noise(self, frames: int, channels: int) -> Array:
        """The next frames: (frames, channels) in -1..1, units of the last bit."""
        pairs = self._draw.random((frames, channels, 2))
        return pairs[:, :, 0] - pairs[:, :, 1]


def decibels(peak: float) -> float | None:
    """A magnitude in dB of full scale, None for silence."""
    return float(20 * np.log10(peak)) if peak > 0 else None
