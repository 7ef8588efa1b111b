"""Weights of samples by their distance in time; `means.py` has the means with those weights.

A distance is the time of the output less that of the sample, in nanoseconds: positive in the past.

A weight g(t - s) of an output at t and a sample at s separates if

    g(t - s) = sum over k of a[k](t) b[k](s)

as cos(t - s) = cos(t) cos(s) + sin(t) sin(s) does. Then running sums of b[k](s[i]) x[i] serve every
output, and a window costs the same however many samples it holds.

Running sums that begin at the first sample of the signal would keep what has left the window. Here
they begin inside of the window: at its sample whose number is divisible by the highest power of
two, which all windows around it share. They run from there to the past and to the future, and a
window is the sum of one of each. So blocks of any size give the same bits.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import FloatArray, IntArray
    from convcli.core.windows.ragged import RaggedWindows


# A weight is at least this share of the largest one, so that a sample at the very end of a window,
# where a bell is 0, counts if it is alone. It is below the rounding of all others: a raised cosine
# over 500 years is 4e-38 a nanosecond from its end.
LEAST = 1e-60
# Period of the Fourier series of a bell, in sigmas, and its harmonics.
BELL_PERIOD = 12.6
BELL_HARMONICS = 17
# Panels of a window, for quadrature.
PANELS = 8


class Separation(ABC):
    """Factors of a weight function of the distance d = t - s, all in nanoseconds.

    Times are relative to any one moment.
    """

    @abstractmethod
    def of_samples(self, s: FloatArray) -> FloatArray:
        """Return b[k](s), (terms, samples)."""

    @abstractmethod
    def of_outputs(self, t: FloatArray) -> FloatArray:
        """Return a[k](t), (terms, outputs)."""


@dataclass(frozen=True)
class Ramp(Separation):
    """The weight (d - zero) / length: 0 at the distance `zero`."""

    zero: float
    length: float

    def of_samples(self, s: FloatArray) -> FloatArray:
        """Return 1 and the share of the time."""
        return np.stack([np.ones_like(s), s / self.length])

    def of_outputs(self, t: FloatArray) -> FloatArray:
        """Return the weight of a sample at time 0, and what a later sample takes off."""
        return np.stack([(t - self.zero) / self.length, -np.ones_like(t)])


@dataclass(frozen=True)
class Cosines(Separation):
    """The weight sum over k of amplitudes[k] cos(2 pi k (d - middle) / period)."""

    amplitudes: tuple[float, ...]
    middle: float
    period: float

    def of_samples(self, s: FloatArray) -> FloatArray:
        """Return the cosines and the sines of the samples' phases."""
        return self._harmonics(s)

    def of_outputs(self, t: FloatArray) -> FloatArray:
        """Return the cosines and the sines of the outputs' phases, times the amplitudes."""
        amplitudes = np.array(self.amplitudes * 2)[:, None]
        return amplitudes * self._harmonics(t - self.middle)

    def _harmonics(self, times: FloatArray) -> FloatArray:
        """Return the cosines of all harmonics, and then their sines, (2 harmonics, times).

        Each harmonic follows from the one before it by the angle addition formulas, which takes a
        fifth of the time of a cosine and a sine.
        """
        count = len(self.amplitudes)
        phases = (2 * np.pi / self.period) * times
        waves = np.empty((2 * count, len(times)))
        cosines, sines = waves[:count], waves[count:]
        cosines[0] = 1
        sines[0] = 0
        cosines[1] = np.cos(phases)
        sines[1] = np.sin(phases)
        for number in range(2, count):
            before = number - 1
            cosines[number] = cosines[before] * cosines[1] - sines[before] * sines[1]
            sines[number] = sines[before] * cosines[1] + cosines[before] * sines[1]
        return waves


def weighted_sums(
    separation: Separation, columns: FloatArray, windows: RaggedWindows, outputs: IntArray
) -> FloatArray:
    """Return the weighted sum of each column in the windows of some outputs.

    columns : (n, columns) without gaps
    outputs : numbers of windows
    returns : (outputs, columns), 0 for a window without a sample
    """
    sums = np.zeros((len(outputs), columns.shape[1]))
    low = windows.low[outputs]
    high = windows.high[outputs]
    filled = np.flatnonzero(low < high)
    centres = _centres(low[filled] + windows.first, high[filled] - 1 + windows.first)
    for places in _equal_places(centres):
        around = filled[places]
        centre = int(centres[places[0]])
        group = _Group(
            windows=windows,
            outputs=outputs[around],
            centre=centre - windows.first,
        )
        sums[around] = group.weighted_sums(separation, columns)
    return sums


@dataclass(frozen=True, eq=False, kw_only=True)
class _Group:
    """Outputs whose windows all hold the sample `centre`."""

    windows: RaggedWindows
    outputs: IntArray
    centre: int

    def weighted_sums(self, separation: Separation, columns: FloatArray) -> FloatArray:
        """Return the weighted sum of each column in each window, (outputs, columns)."""
        low = self.windows.low[self.outputs]
        high = self.windows.high[self.outputs]
        begin, end = int(low.min()), int(high.max())
        moment = self.windows.times[self.centre]
        sample_times = self.windows.times[begin:end] - moment
        output_times = self.windows.at[self.outputs] - moment
        of_samples = separation.of_samples(sample_times.astype(np.float64))
        of_outputs = separation.of_outputs(output_times.astype(np.float64))
        sums = np.empty((len(self.outputs), columns.shape[1]))
        for column in range(columns.shape[1]):
            running = _running_sums(of_samples * columns[begin:end, column], self.centre - begin)
            terms = of_outputs * (running[:, low - begin] + running[:, high - begin])
            # `sum` adds the terms of one output in another order than those of several.
            sums[:, column] = np.add.accumulate(terms, axis=0)[-1]
        return sums


def _running_sums(values: FloatArray, centre: int) -> FloatArray:
    """Sum from the sample `centre` to the bounds between samples, (terms, samples + 1).

    values : (terms, samples)

    The samples [low, high) with centre between them have the sum of columns low and high.
    """
    running = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values[:, :centre][:, ::-1], axis=1, out=running[:, :centre][:, ::-1])
    np.cumsum(values[:, centre:], axis=1, out=running[:, centre + 1 :])
    return running


def _centres(low: IntArray, last: IntArray) -> IntArray:
    """Return the number in [low, last] that the highest power of two divides."""
    # The power of two is above all numbers of samples; it makes them positive.
    offset = 1 << 50
    highest = last + offset
    differing = (low - 1 + offset) ^ highest
    _, exponents = np.frexp(differing.astype(np.float64))
    bits = exponents.astype(np.int64) - 1
    return ((highest >> bits) << bits) - offset


def _equal_places(values: IntArray) -> list[IntArray]:
    """Return the places of each value that occurs."""
    order = np.argsort(values, kind="stable")
    changes = np.flatnonzero(np.diff(values[order])) + 1
    return np.split(order, changes)


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

    begin, end : None where the piece begins or ends as the window does
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
        nearer = np.minimum(distance - self.begin, self.end - distance)
        share = nearer / (self.end - self.begin)
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
