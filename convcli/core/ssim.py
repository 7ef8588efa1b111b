"""Structural similarity of two pictures that come in strips of rows.

Wang, Bovik, Sheikh & Simoncelli, Image quality assessment: from error visibility to structural
similarity, 2004: a Gaussian window of 11 x 11 pixels with a sigma of 1.5, K1 = 0.01, K2 = 0.03, the
mean over all windows within the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.convolution.convolve import correlate_valid

if TYPE_CHECKING:
    from convcli.array_types import FloatArray
    from convcli.signals import Array

SIDE, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03


class StructuralSimilarity:
    """The mean structural similarity of each channel of two pictures.

    full_scale : the range of the samples, L in the paper
    """

    def __init__(self, channels: int, full_scale: float) -> None:
        places = np.arange(SIDE) - SIDE // 2
        line = np.exp(-0.5 * np.square(places / SIGMA))
        line /= line.sum()
        self._line = line
        self._c1 = (K1 * full_scale) ** 2
        self._c2 = (K2 * full_scale) ** 2
        self._sum: FloatArray = np.zeros(channels)
        self._count = 0
        self._rows: list[Array] = []

    def add(self, a: Array, b: Array) -> None:
        """Add the next rows of both pictures, (rows, columns, channels)."""
        both = np.concatenate([a, b], axis=-1, dtype=np.float64)
        rows = np.concatenate([*self._rows, both])
        self._rows = [rows[-(SIDE - 1) :]]
        if min(rows.shape[:2]) < SIDE:
            self._rows = [rows]
            return
        local = self._local_similarity(rows)
        self._sum += local.sum(axis=(0, 1))
        self._count += local.shape[0] * local.shape[1]

    def _local_similarity(self, rows: Array) -> Array:
        """The similarity of every window, (windows down, windows across, channels)."""
        a, b = np.split(rows, 2, axis=-1)
        moments = np.concatenate([a, b, a * a, b * b, a * b], axis=-1)
        # The window is a product of two lines, which takes a fifth of the multiplications.
        lines = correlate_valid(moments, self._line[:, None], (1, 1), exact=False)
        means = correlate_valid(lines, self._line[None], (1, 1), exact=False)
        mean_a, mean_b, square_a, square_b, product = np.split(means, 5, axis=-1)
        variances = square_a - mean_a**2 + square_b - mean_b**2
        covariance = product - mean_a * mean_b
        powers_of_means = mean_a**2 + mean_b**2
        luminance = (2 * mean_a * mean_b + self._c1) / (powers_of_means + self._c1)
        structure = (2 * covariance + self._c2) / (variances + self._c2)
        similarity: Array = luminance * structure
        return similarity

    def mean(self) -> FloatArray | None:
        """The mean of each channel; None where the pictures hold no window."""
        return self._sum / self._count if self._count else None
