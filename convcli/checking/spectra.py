"""Mean power spectra of signals that come in blocks (Welch's method)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from convcli.array_types import FloatArray
    from convcli.signals import Array


# Samples that are transformed together.
TOGETHER = 1 << 20
# Powers below this part of the largest, -120 dB, count as that.
LEAST_POWER = 1e-12


class PowerSpectrum:
    """The mean power spectrum of each channel over Hann-windowed frames.

    Welch, The use of fast Fourier transform for the estimation of power spectra, 1967. Frames with
    a missing sample are left out. A signal shorter than a frame is one frame, filled with zeros.

    size : samples of a frame
    hop : samples from the start of a frame to that of the next; half a frame gives all samples the
        same weight
    """

    def __init__(self, size: int, channels: int, hop: int) -> None:
        self.hop = hop
        self.size = size
        self.frames = np.zeros(channels)
        self.power = np.zeros((channels, size // 2 + 1))
        turns = (np.arange(size) + 0.5) / size
        angles = 2 * np.pi * turns
        self._window = 0.5 - 0.5 * np.cos(angles)
        self._tail: Array = np.empty((0, channels))
        self._tail_used = False

    def add(self, x: Array) -> None:
        """Add the next samples of the signal, (n, channels)."""
        x = np.concatenate([self._tail, x])
        hop = self.hop
        complete = (len(x) - self.size) // hop + 1
        count = max(0, complete)
        many = max(1, TOGETHER // self.size)
        for first in range(0, count, many):
            last = min(count, first + many)
            part = x[first * hop : (last - 1) * hop + self.size]
            self.add_frames(sliding_window_view(part, self.size, axis=0)[::hop])
        self._tail_used = self._tail_used or count > 0
        self._tail = x[count * hop :]

    def add_frames(self, frames: Array) -> None:
        """Add frames, (n, channels, size)."""
        windowed = frames * self._window
        # The sum of a frame is finite if all its samples are, and here none can overflow it.
        whole: Any = np.isfinite(windowed.sum(axis=-1))
        if not whole.all():
            windowed[~whole] = 0.0
        spectra = np.fft.rfft(windowed)
        self.power += (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=0)
        self.frames += whole.sum(axis=0)

    def mean(self) -> FloatArray:
        """The mean power at each frequency, (channels, size // 2 + 1)."""
        if not self._tail_used and len(self._tail):
            filled = np.zeros((self.size, self._tail.shape[1]))
            filled[: len(self._tail)] = self._tail
            self.add_frames(filled.T[None])
            self._tail_used = True
        return self.power / np.maximum(1.0, self.frames)[:, None]


def decibels_between(a: FloatArray, b: FloatArray) -> FloatArray | None:
    """The difference of two power spectra in dB, b over a; None where both are silent."""
    largest = max(float(a.max(initial=0.0)), float(b.max(initial=0.0)))
    if largest == 0:
        return None
    least = LEAST_POWER * largest
    ratio = np.maximum(b, least) / np.maximum(a, least)
    return 10 * np.log10(ratio)
