"""Samples in -1..1 turned into the numbers of a coding: rounding, dither, clipping counted."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.audio.formats import FLOATS, LOSSY, bits_of
from convcli.samples import extremes

if TYPE_CHECKING:
    from convcli.array_types import AnyArray, FloatArray, IntArray
    from convcli.signals import Array


# Codings of telephones, mu-law and A-law (ITU-T G.711), whose steps grow with the sample.
_COMPANDED = frozenset({"ULAW", "ALAW"})

# The largest float32 and float64; beyond them a file would hold inf.
LARGEST = {"FLOAT": float(np.finfo(np.float32).max), "DOUBLE": float(np.finfo(np.float64).max)}


@cache
def _magnitudes(subtype: str) -> FloatArray:
    """(128,) the magnitudes of a companded coding in units of 16 bits, from the smallest on.

    A code has 3 bits for a power of two and 4 bits for a step within it.
    """
    power, step = np.divmod(np.arange(128), 16)
    if subtype == "ULAW":
        found = ((2 * step + 33) << power) - 33
        return np.asarray(4 * found, np.float64)
    hidden_bit = np.where(power > 0, 32, 0)
    found = (2 * step + 1 + hidden_bit) << np.maximum(power - 1, 0)
    return np.asarray(8 * found, np.float64)


def _nearest_step(z: Array, subtype: str) -> Array:
    """The numbers of a companded coding nearest to z; libsndfile takes others, too."""
    steps = _magnitudes(subtype)
    middles = (steps[1:] + steps[:-1]) / 2
    found: Array = np.copysign(steps[np.searchsorted(middles, np.abs(z))], z)
    return found


@dataclass(frozen=True)
class Grid:
    """The numbers that a coding can hold.

    full : the number that stands for the sample 1.0
    low, high : the smallest and the largest number
    """

    subtype: str
    full: float
    low: float
    high: float

    @classmethod
    def of(cls, subtype: str, *, bits: int | None = None) -> Grid:
        """Whole numbers for PCM, -1..1 for lossy codecs, every number for floats.

        bits : of a whole number; None for those of the coding
        """
        if subtype in FLOATS:
            return cls(subtype, 1.0, -LARGEST[subtype], LARGEST[subtype])
        if subtype in LOSSY:
            return cls(subtype, 1.0, -1.0, 1.0)
        full = 2.0 ** ((bits or bits_of(subtype)) - 1)
        return cls(subtype, full, -full, full - 1)

    @property
    def whole(self) -> bool:
        """Whether only whole numbers can be held."""
        return self.full > 1

    @property
    def limits(self) -> tuple[float, float]:
        """The sample values within which nothing is clipped after rounding (half to even)."""
        if not self.whole:
            return self.low, self.high
        # low - 0.5 rounds to the even low; high + 0.5 rounds up, out of the scale.
        lowest = (self.low - 0.5) / self.full
        above = (self.high + 0.5) / self.full
        return lowest, np.nextafter(above, 0.0)

    def gain_to_fit(self, low: float, high: float) -> float:
        """The gain that brings the extremes `low` and `high` to full scale, 1 if they fit."""
        lowest, highest = self.limits
        if self.subtype in FLOATS or (low >= lowest and high <= highest):
            return 1.0
        gain = 1.0
        if high > 0:
            gain = min(gain, self.high / self.full / high)
        if low < 0:
            gain = min(gain, self.low / self.full / low)
        return float(gain)

    def round(self, y: Array, *, noise: Array | None = None, fits: bool = False) -> AnyArray:
        """The numbers nearest to `y` (n, channels), half to even, clipped to the scale.

        Of two steps of a companded coding that are equally near, the smaller one is taken.

        noise : (n, channels) in units of the last bit, added before rounding
        fits : no sample needs to be clipped
        """
        if not self.whole:
            if self.subtype in LOSSY:
                y = np.clip(y, self.low, self.high)
            return y.astype(np.float64 if self.subtype == "DOUBLE" else np.float32)
        with np.errstate(over="ignore"):  # what becomes infinite is clipped
            z = np.multiply(y, self.full, dtype=np.float64)
        if noise is not None:
            z += noise
        if self.subtype in _COMPANDED:
            return _nearest_step(z, self.subtype).astype(np.int16)
        np.rint(z, out=z)
        if not fits:
            np.clip(z, self.low, self.high, out=z)
        fits_int16 = self.full <= 2**15
        return z.astype(np.int16 if fits_int16 else np.int32)


@dataclass(frozen=True)
class Extremes:
    """The smallest and the largest sample of each channel, and the number of clipped samples."""

    low: Array
    high: Array
    clipped: IntArray

    @classmethod
    def none(cls, channels: int) -> Extremes:
        """The extremes before the first sample: zeros."""
        return cls(np.zeros(channels), np.zeros(channels), np.zeros(channels, np.int64))

    @classmethod
    def of(cls, y: Array, grid: Grid) -> Extremes:
        """Measure (n, channels) samples, n > 0; NaN appears in `low` and `high`."""
        low, high = (found.astype(np.float64) for found in extremes(y))
        clipped = np.zeros(y.shape[1], np.int64)
        bottom, top = grid.limits
        for c in np.flatnonzero((low < bottom) | (high > top)):
            x = y[:, c]
            clipped[c] = np.count_nonzero((x < bottom) | (x > top))
        return cls(low, high, clipped)

    @property
    def finite(self) -> bool:
        """Whether every sample is a finite number."""
        ends = np.concatenate([self.low, self.high])
        return bool(np.isfinite(ends).all())

    @property
    def peak(self) -> Array:
        """The largest magnitude of each channel."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def joined(self, other: Extremes) -> Extremes:
        """The extremes and counts of two blocks together."""
        low = np.minimum(self.low, other.low)
        high = np.maximum(self.high, other.high)
        return Extremes(low, high, self.clipped + other.clipped)


class Dither:
    """Triangular noise of two last bits' width (TPDF), drawn in the order of the samples.

    The noise does not depend on how the signal was cut into blocks.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._draw = np.random.Generator(np.random.PCG64(seed))

    def skip(self, frames: int, channels: int) -> None:
        """Leave out the noise of some frames."""
        generator = cast("np.random.PCG64", self._draw.bit_generator)
        generator.advance(2 * frames * channels)

    def noise(self, frames: int, channels: int) -> Array:
        """The noise of the next frames: (frames, channels) in -1..1, in units of the last bit."""
        pairs = self._draw.random((frames, channels, 2))
        return pairs[:, :, 0] - pairs[:, :, 1]


def decibels(magnitude: float) -> float | None:
    """A magnitude in dB of full scale, None for silence."""
    return float(20 * np.log10(magnitude)) if magnitude > 0 else None
