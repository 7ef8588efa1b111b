"""Sums over long windows in time, of weights that separate.

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

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import FloatArray, IntArray
    from convcli.core.windows.ragged import RaggedWindows


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
            terms = running[:, low - begin] + running[:, high - begin]
            sums[:, column] = (of_outputs * terms).sum(axis=0)
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
