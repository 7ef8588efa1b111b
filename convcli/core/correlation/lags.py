"""Cross-correlation of two signals at every lag up to a limit, summed over blocks.

c[l] = sum over t of x[t] y[t + l], for |l| <= limit along each sample axis, by FFT. The signals
arrive in blocks along axis 0; a block needs only the last `limit` samples of those before it.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolution.fft import at_lags, cross_spectrum, spectrum, transform_size
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import FloatArray, Sizes
    from convcli.core.convolution.fft import Complexes
    from convcli.signals import Array


# A peak extends as far as |r| stays above this part of its height.
PEAK_EDGE = 0.9
# The correlation between two lags is interpolated from this many lags on each side.
SIDE = 256
# It is computed at this many places between two lags, before a parabola finds the largest.
PLACES = 64


@dataclass(frozen=True, eq=False)
class BlockPair:
    """One block of one channel of each signal, (n, ...).

    old : how many of the first samples are repeated from the block before; their products are
        counted there
    """

    x: Array
    y: Array
    old: int

    def spectra(self, limit: Sizes) -> tuple[Sizes, Complexes]:
        """The size of the transform, and the spectra of x with y, x with x and y with y.

        The products of old samples with each other are taken off.
        """
        size = transform_size(self.x.shape, limit)
        spectra = _all_spectra(self.x, self.y, size)
        if self.old:
            spectra -= _all_spectra(self.x[: self.old], self.y[: self.old], size)
        return size, spectra


def _all_spectra(x: Array, y: Array, size: Sizes) -> Complexes:
    """The spectra of x with y, of x with itself and of y with itself, (3, ...)."""
    of_x = spectrum(x, size)
    of_y = spectrum(y, size)
    products = (cross_spectrum(of_x, of_y), cross_spectrum(of_x, of_x), cross_spectrum(of_y, of_y))
    return np.stack(products)


@dataclass(eq=False)
class LagSums:
    """Spectra of cross-correlations, summed over blocks, by the size of their transform."""

    limit: Sizes
    spectra: dict[Sizes, Complexes] = field(default_factory=dict)

    def add(self, size: Sizes, spectra: Complexes) -> None:
        """Add the spectra of another block."""
        known = self.spectra.get(size)
        if known is None:
            self.spectra[size] = spectra.astype(np.complex128)
        else:
            self.spectra[size] = known + spectra

    def totals(self) -> FloatArray:
        """The correlations of x with y, x with x and y with y: (3, 2 limit + 1, ...)."""
        lags = [np.arange(-k, k + 1) for k in self.limit]
        total = np.zeros((3, *(lag.size for lag in lags)))
        for size, spectra in self.spectra.items():
            total += at_lags(spectra, size, lags)
        return total


def overlap_share(limit: Sizes, shape: Sizes) -> FloatArray:
    """The share of all samples that have a partner at each lag: (2 limit + 1, ...)."""
    share = np.ones(())
    for k, n in zip(limit, shape, strict=True):
        distance = np.abs(np.arange(-k, k + 1))
        along = np.maximum(0.0, 1 - distance / max(1, n))
        share = np.multiply.outer(share, along)
    return share


def chance_deviation(a: FloatArray, b: FloatArray, count: int) -> float:
    """The standard deviation of the correlation of `count` samples of two unrelated signals.

    a, b : their autocorrelations, 1 at lag 0. The variance is the sum of a b over all lags, over
        count (Bartlett, 1946).
    """
    samples_as_one = float((a * b).sum())
    variance = max(samples_as_one, 1.0) / max(1, count)
    return math.sqrt(variance)


def peak_and_rival(r: FloatArray) -> tuple[Sizes, Sizes]:
    """The index of the largest |r|, and of the largest |r| outside that peak.

    The peak extends along each axis as far as |r| stays above PEAK_EDGE of the largest.
    """
    height = np.abs(r)
    peak = np.unravel_index(int(np.argmax(height)), r.shape)
    box = []
    for axis, place in enumerate(peak):
        through_peak: Any = (*peak[:axis], slice(None), *peak[axis + 1 :])
        line = height[through_peak]
        is_low = line < PEAK_EDGE * height[peak]
        low = np.flatnonzero(is_low)
        last_before = low[low < place].max(initial=-1)
        first_after = low[low > place].min(initial=len(line))
        box.append(slice(last_before + 1, first_after))
    elsewhere = height.copy()
    elsewhere[tuple(box)] = 0
    rival = np.unravel_index(int(np.argmax(elsewhere)), r.shape)
    return tuple(map(int, peak)), tuple(map(int, rival))


def peak_offset(r: FloatArray, peak: int) -> float:
    """How far from the index `peak` the interpolated |r| is largest, -1 to 1.

    r : (n,), band-limited as the correlation of sampled signals is; it is interpolated by a sinc
    """
    first = max(0, peak - SIDE)
    stop = min(len(r), peak + SIDE + 1)
    near = np.arange(first, stop)
    places = np.arange(-PLACES, PLACES + 1) / PLACES
    distance = places[:, None] - (near - peak)
    weights = np.sinc(distance)
    height = np.abs(weights @ r[near])
    top = int(np.argmax(height))
    if top in (0, len(places) - 1):  # the largest lag that was examined, where nothing is beyond
        return 0.0
    left, middle, right = height[top - 1 : top + 2]
    curvature = left - 2 * middle + right
    if curvature >= 0:
        return float(places[top])
    # The peak of the parabola through the three values, in steps between places.
    beside = (left - right) / (2 * curvature)
    return float(places[top] + beside / PLACES)
