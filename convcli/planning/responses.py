"""The response of taps over frequency: gain, group delay and crossings."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convcli.array_types import FloatArray, IntArray
    from convcli.core.reach import Reach

# A response has at least this many frequencies; of more, the extremes in this many bands are kept.
POINTS = 512
# Further bands of a response for a logarithmic axis, a few in a hundred wide.
RATIO_BANDS = 256


def group_delay(weights: FloatArray, at: Reach) -> float:
    """How many samples the output lags behind the input that it is aligned with, along axis 0.

    The group delay at frequency 0, sum(j w[j]) / sum(w), or the centre of the energy where the sum
    of the taps is nearly 0.
    """
    others = tuple(range(1, weights.ndim))
    profile = weights.sum(axis=others)
    total = profile.sum()
    if abs(total) <= 0.1 * np.abs(profile).sum():
        energies = np.square(weights).sum(axis=others)
        profile = np.square(profile) if profile.any() else energies
        total = profile.sum()
    if total == 0:
        return 0.0
    moment = (np.arange(profile.size) * profile).sum()
    centre = float(moment / total)
    lag = centre - at.after + at.anchor
    return round(lag, 9) + 0.0  # adding 0 turns -0 into 0


def response(weights: FloatArray, points: int = 1 << 15) -> tuple[FloatArray, FloatArray]:
    """Frequencies in cycles per sample, from 0 to 1/2, and the gain of the taps there in dB.

    points : how many frequencies there are at least
    """
    least_size = 4 * weights.size
    power_of_two = 1 << (least_size - 1).bit_length()
    size = max(2 * points, power_of_two)
    if weights.size <= 1 << 22:
        size = min(size, 1 << 22)
    gain = np.abs(np.fft.rfft(weights, size))
    decibels = 20 * np.log10(np.maximum(gain, 1e-16))
    return np.arange(gain.size) / size, decibels


def band_extremes(gain: FloatArray) -> IntArray:
    """Indices of the ends, and of the least and largest gain in each of POINTS equal bands."""
    if gain.size <= 2 * POINTS:
        return np.arange(gain.size)
    width = gain.size // POINTS
    whole = width * (gain.size // width)
    bands = gain[:whole].reshape(-1, width)
    starts = np.arange(0, whole, width)
    lowest = starts + bands.argmin(axis=1)
    highest = starts + bands.argmax(axis=1)
    # Fewer frequencies than a band has are left over at the end: all of them are kept.
    rest = np.arange(whole, gain.size)
    return _distinct(np.concatenate([[0], lowest, highest, rest, [gain.size - 1]]))


def _distinct(indices: IntArray) -> IntArray:
    """Each of some indices once, in order. `np.unique` imports `numpy.ma`, in 6 ms."""
    given = np.zeros(int(indices.max()) + 1, bool)
    given[indices] = True
    return np.flatnonzero(given)


def drawn_frequencies(gain: FloatArray) -> IntArray:
    """Indices of the frequencies that show a response over a linear and over a logarithmic axis.

    They are those of `band_extremes`, and the least and largest gain in each of RATIO_BANDS bands
    whose ends have one ratio.
    """
    kept = band_extremes(gain)
    if kept.size == gain.size:
        return kept
    borders = np.geomspace(1, gain.size, RATIO_BANDS + 1).astype(np.int64)
    places = [kept]
    for low, high in pairwise(_distinct(borders).tolist()):
        band = gain[low:high]
        extremes_of_band = np.array([band.argmin(), band.argmax()])
        places.append(low + extremes_of_band)
    return _distinct(np.concatenate(places))


def crossings(weights: FloatArray, level: float) -> list[float]:
    """Frequencies in cycles per sample at which the gain crosses `level` dB below its largest."""
    frequencies, gain = response(weights)
    relative = gain - gain.max() - level
    at = np.flatnonzero(np.diff(np.signbit(relative)))
    fall = relative[at] - relative[at + 1]
    share = relative[at] / fall
    spacing = frequencies[at + 1] - frequencies[at]
    crossed: list[float] = (frequencies[at] + share * spacing).tolist()
    return crossed
