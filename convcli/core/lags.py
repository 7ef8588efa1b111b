"""The cross-correlation of two signals at every lag up to a limit, summed up over blocks, and how certain it is.

c[l] = sum over t of x[t] y[t + l], for |l| <= limit along each sample axis, by FFT. The signals arrive in blocks along
axis 0; all that a block needs of those before it are their last `limit` samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from convcli.signals import Array

Numbers = npt.NDArray[np.float64]
Size = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Meeting:
    """Samples of one channel of each signal, (n, ...), of which the first `old` have met each other before."""

    x: Array
    y: Array
    old: int

    def spectra(self, limit: Size) -> tuple[Size, Numbers]:
        """The size of the transform, and what is new in the spectra of x with y, x with itself and y with itself."""
        axes = tuple(range(len(limit)))
        # The lags of one side take their room; those of the other wrap round to the end of it.
        size = tuple(
            1 << (max(n + k, 2 * k + 1) - 1).bit_length()
            for n, k in zip(self.x.shape, limit, strict=True)
        )
        x, y = np.fft.rfftn(self.x, size, axes), np.fft.rfftn(self.y, size, axes)
        new = np.stack([x.conj() * y, np.square(np.abs(x)), np.square(np.abs(y))])
        if self.old:
            x, y = (
                np.fft.rfftn(self.x[: self.old], size, axes),
                np.fft.rfftn(self.y[: self.old], size, axes),
            )
            new -= np.stack([x.conj() * y, np.square(np.abs(x)), np.square(np.abs(y))])
        return size, new


@dataclass(eq=False)
class LagSums:
    """The sums over all that has met, by the size of the transform they were made with."""

    limit: Size
    spectra: dict[Size, Numbers] = field(default_factory=dict)

    def add(self, size: Size, spectra: Numbers) -> None:
        """Take in what a meeting has added."""
        known = self.spectra.get(size)
        self.spectra[size] = spectra.astype(np.complex128) if known is None else known + spectra

    def totals(self) -> Numbers:
        """The sums of x with y, x with itself and y with itself at the lags -limit ... limit: (3, 2 limit + 1, ...)."""
        total = np.zeros((3, *(2 * k + 1 for k in self.limit)))
        for size, spectra in self.spectra.items():
            back = np.fft.irfftn(spectra, size, tuple(range(1, len(size) + 1)))
            places = [np.arange(-k, k + 1) % n for k, n in zip(self.limit, size, strict=True)]
            total += back[np.ix_(np.arange(3), *places)]
        return total


def shared_part(limit: Size, shape: Size) -> Numbers:
    """The part of all samples that has a partner at each lag: (2 limit + 1, ...)."""
    part = np.ones((1,) * len(limit))
    for axis, (k, n) in enumerate(zip(limit, shape, strict=True)):
        along = np.maximum(0.0, 1 - np.abs(np.arange(-k, k + 1)) / max(1, n))
        part = part * along.reshape([-1 if other == axis else 1 for other in range(len(limit))])
    return part


def chance(a: Numbers, b: Numbers, count: int) -> float:
    """The standard deviation of the correlation of `count` samples of signals that have nothing to do with each other.

    a, b : their autocorrelations, 1 at lag 0. Bartlett (1946): the variance is the sum over all lags of a b / count.
    """
    return float(np.sqrt(max(float((a * b).sum()), 1.0) / max(1, count)))


def best_lag(r: Numbers) -> tuple[Size, Size]:
    """The place of the largest |r|, and that of the largest away from the summit that it stands on.

    The summit reaches along each axis as far as |r| stays above 0.9 of the largest.
    """
    height = np.abs(r)
    at = np.unravel_index(int(np.argmax(height)), r.shape)
    beyond = height.copy()
    box = []
    for axis, place in enumerate(at):
        line = height[tuple(slice(None) if other == axis else p for other, p in enumerate(at))]
        low = np.flatnonzero(line < 0.9 * height[at])
        first = low[low < place].max(initial=-1) + 1
        box.append(slice(first, low[low > place].min(initial=len(line))))
    beyond[tuple(box)] = 0
    rival = np.unravel_index(int(np.argmax(beyond)), r.shape)
    return tuple(map(int, at)), tuple(map(int, rival))
