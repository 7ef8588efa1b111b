"""Weights of samples by their distance in time; `means.py` has the means with those weights.

A distance is the time of the output less that of the sample, in nanoseconds: positive in the past.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.in_time.separable import Cosines, Ramp
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import FloatArray
    from convcli.core.in_time.separable import Separation

# A weight is at least this share of the largest one, so that a sample at the very end of a window,
# where a bell is 0, counts if it is alone. It is below the rounding of the others.
LEAST = 1e-17
# Period of the Fourier series of a bell, in sigmas, and its harmonics.
BELL_PERIOD = 12.6
BELL_HARMONICS = 17
# Panels of a window, for quadrature.
PANELS = 8


class WeightFunction(ABC):
    """Weights >= 0 as a function of the distance.

    begin, end : the distances between which the weights lie, in nanoseconds
    """

    begin: float
    end: float

    @property
    def panels(self) -> int:
        """How many equal parts of the window a polynomial of degree 15 describes well."""
        return PANELS

    @abstractmethod
    def __call__(self, distance: FloatArray) -> FloatArray:
        """Return the weight at each distance."""


class SeparableWeights(WeightFunction):
    """Weights whose sum over a long window is that of a few running sums."""

    @abstractmethod
    def pieces(self) -> tuple[WeightPiece, ...]:
        """Return the stretches of the window, and the separation of the weights on each."""


@dataclass(frozen=True)
class WeightPiece:
    """The distances [begin, end) on which one formula describes the weights.

    begin, end : None where the piece ends as the window does
    """

    separation: Separation
    begin: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class UniformWeights(WeightFunction):
    """A weight of 1 all over the window."""

    begin: float
    end: float

    def __call__(self, distance: FloatArray) -> FloatArray:
        """Return the weight 1 at every distance."""
        return np.ones_like(distance)


@dataclass(frozen=True)
class LinearWeights(SeparableWeights):
    """The distance to the old end of the window: the newest sample is the heaviest."""

    begin: float
    end: float

    def __call__(self, distance: FloatArray) -> FloatArray:
        """Return the share of the window that is left to its old end."""
        left = (self.end - distance) / (self.end - self.begin)
        return np.maximum(left, LEAST)

    def pieces(self) -> tuple[WeightPiece, ...]:
        """Return one line, which is 0 at the old end."""
        line = Ramp(zero=self.end, length=self.begin - self.end)
        return (WeightPiece(line),)


@dataclass(frozen=True)
class TriangularWeights(SeparableWeights):
    """Weights that rise evenly to the middle of the window and fall again."""

    begin: float
    end: float

    def __call__(self, distance: FloatArray) -> FloatArray:
        """Return the distance to the nearer end of the window."""
        nearer = np.minimum(distance - self.begin, self.end - distance)
        return np.maximum(nearer / (self.end - self.begin), LEAST)

    def pieces(self) -> tuple[WeightPiece, ...]:
        """Return the line on the new side and that on the old side."""
        middle = (self.begin + self.end) / 2
        width = self.end - self.begin
        newer = WeightPiece(Ramp(zero=self.begin, length=width), end=middle)
        older = WeightPiece(Ramp(zero=self.end, length=-width), begin=middle)
        return newer, older


@dataclass(frozen=True)
class HannWeights(SeparableWeights):
    """One period of a raised cosine."""

    begin: float
    end: float

    def __call__(self, distance: FloatArray) -> FloatArray:
        """Return sin(pi u)**2 with u from 0 to 1 over the window."""
        share = (distance - self.begin) / (self.end - self.begin)
        weight = np.square(np.sin(math.pi * share))
        return np.maximum(weight, LEAST)

    def pieces(self) -> tuple[WeightPiece, ...]:
        """Return sin(pi u)**2 = (1 - cos(2 pi u)) / 2 about the middle of the window."""
        middle = (self.begin + self.end) / 2
        cosines = Cosines((0.5, 0.5), middle, period=self.end - self.begin)
        return (WeightPiece(cosines),)


@dataclass(frozen=True)
class GaussianWeights(SeparableWeights):
    """A Gaussian bell in the middle of the window."""

    begin: float
    end: float
    sigma: float

    def __call__(self, distance: FloatArray) -> FloatArray:
        """Return exp(-u**2 / 2), u the distance from the middle in sigmas."""
        middle = (self.begin + self.end) / 2
        sigmas = (distance - middle) / self.sigma
        return np.exp(-0.5 * np.square(sigmas))

    def pieces(self) -> tuple[WeightPiece, ...]:
        """Return the Fourier series of the bell, repeated every `BELL_PERIOD` sigmas.

        By Poisson's formula its amplitudes are a bell themselves. The next bell, and the harmonics
        left out, are below 2e-16 of the largest weight up to 4 sigmas from the middle.
        """
        harmonics = 2 * math.pi / BELL_PERIOD * np.arange(BELL_HARMONICS + 1)
        scale = 2 * math.sqrt(2 * math.pi) / BELL_PERIOD
        amplitudes = scale * np.exp(-0.5 * np.square(harmonics))
        amplitudes[0] /= 2
        middle = (self.begin + self.end) / 2
        cosines = Cosines(tuple(amplitudes.tolist()), middle, period=BELL_PERIOD * self.sigma)
        return (WeightPiece(cosines),)


@dataclass(frozen=True)
class ExponentialWeights(WeightFunction):
    """Weights that fall to their half in each half-life."""

    halflife: float
    end: float
    begin: float = 0.0

    @property
    def panels(self) -> int:
        """One panel for each half-life."""
        return math.ceil(self.end / self.halflife)

    def __call__(self, distance: FloatArray) -> FloatArray:
        """Return 2**(-distance / halflife)."""
        rate = -math.log(2) / self.halflife
        return np.exp(distance * rate)
