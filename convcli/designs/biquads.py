"""Recursive filters of second order as taps: their impulse responses, cut where they have faded.

The frequency response on a grid of N points is transformed back. The result is the impulse
response, to which everything after tap N is added again from the start (time aliasing); N is chosen
so that this rest is below the rounding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.dataclass import dataclass
from convcli.designs.taps import refuse_huge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import Taps

    Complexes = npt.NDArray[np.complex128]

Polynomial = tuple[float, float, float]


@dataclass(frozen=True)
class Section:
    """An analogue filter of second order, made digital by the bilinear transform.

    at : the frequency of s = i, in cycles per sample; the transform keeps this one in place
    numerator, denominator : the factors of s**2, s and 1
    """

    at: float
    numerator: Polynomial
    denominator: Polynomial

    @property
    def scale(self) -> float:
        """tan(pi at): s = (z - 1) / (z + 1) / scale."""
        return math.tan(math.pi * self.at)

    def response(self, frequencies: Taps) -> Complexes:
        """H at frequencies in cycles per sample, 0 ... 0.5.

        On the unit circle s = i tan(pi f) / scale. Both polynomials are multiplied by cos(pi f)**2,
        so that nothing is infinite at half the rate.
        """
        cosine = np.cos(math.pi * frequencies)
        sine = np.sin(math.pi * frequencies) / self.scale

        def value(factors: Polynomial) -> Complexes:
            square, linear, constant = factors
            real = constant * cosine**2 - square * sine**2
            imaginary = linear * sine * cosine
            return np.asarray(real + 1j * imaginary)

        return value(self.numerator) / value(self.denominator)

    def length(self, bits: int) -> float:
        """How many samples it takes until the rest of the impulse response is below 2**-bits of it.

        A pole p of the digital filter adds a term p**n; log p = 2 atanh(scale s). Poles that are
        near each other for their damping add n p**n.
        """
        poles = np.roots(self.denominator).astype(np.complex128)
        logarithms = 2 * np.arctanh(self.scale * poles)
        decay = -float(logarithms.real.max())
        if decay <= 0:
            return math.inf
        leading_gain = abs(self.numerator[0] / self.denominator[0])
        nepers = bits * math.log(2) + math.log(max(leading_gain, 1.0))
        length = nepers / decay
        turning = float(np.abs(logarithms.imag).max())
        nearness = min(length, decay / turning if turning > 0 else length)
        return length + math.log1p(nearness) / decay + 2


def impulse_taps(sections: Sequence[Section], *, total: float, bits: int) -> Taps:
    """(k,) taps of several sections one after the other.

    total : the gain of all of them at frequency 0, to which the taps sum
    bits : the precision of the taps

    Raises RequestError for a response that is too long.
    """
    longest = max(section.length(bits) for section in sections)
    refuse_huge(longest, "this filter", "a smaller q=, or downsample first")
    count = math.ceil(longest)
    points = _fft_size(count)
    frequencies = np.arange(points // 2 + 1) / points
    response = np.ones(frequencies.size, np.complex128)
    for section in sections:
        response *= section.response(frequencies)
    taps = np.fft.irfft(response, points)[:count]
    # Rounding to the grid of an exact sum would cut the response where it is 1e-12.
    taps[0] += total - math.fsum(taps)
    return taps


def _fft_size(least: int) -> int:
    """The smallest 2**a or 3 * 2**a from `least` on."""
    bits = max(least - 1, 1).bit_length()
    power = 1 << bits
    smaller = 3 * power // 4
    return smaller if smaller >= least else power
