"""Equalisers: the biquads of the RBJ Audio EQ Cookbook, as taps.

A biquad is recursive, and its impulse response has no end. It is cut where the rest is below the
rounding of the results. The taps are causal by nature: tap 0 multiplies the newest sample. The
frequency response on a grid of N points is transformed back. The result is the impulse response, to
which everything after tap N is added again from the start (time aliasing); N is chosen so that this
rest is below the rounding.

peak, lowshelf, highshelf : raise or lower a part of the spectrum by GAIN decibels
notch : take out one frequency, and its multiples

Source: R. Bristow-Johnson, Cookbook formulae for audio equalizer biquad filter coefficients.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.core.kernel import Kernel
from convcli.dataclass import dataclass
from convcli.designs.registry import step
from convcli.designs.taps import refuse_huge
from convcli.errors import RequestError
from convcli.signals import Signal
from convcli.units import Decibels, Frequency, Number, NumberOf, describe_frequency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import Taps

    Complexes = npt.NDArray[np.complex128]


# The largest boost or cut, in dB.
LARGEST_GAIN = 120.0
LARGEST_Q = 1e6

# The quality of a shelf of slope 1: the steepest that does not overshoot.
SHELF_Q = math.sqrt(0.5)
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


@step("frequency", example="peak:0.1,6")
def peak(frequency: Frequency, gain: Decibels, *, q: Number = 1.0, signal: Signal) -> Kernel:
    """Raise or lower the frequencies around FREQUENCY by GAIN decibels (a bell).

    frequency : Hz (cycles/sample without a rate), the middle of the bell
    gain : dB (6, -3dB)
    q : the middle over the width of the bell at half its gain in dB

    The biquad peakingEQ of the RBJ cookbook, H(s) = (s**2 + s A/Q + 1) / (s**2 + s/(A Q) + 1) with
    A = 10**(GAIN/40), by the bilinear transform. The gain at frequency 0 is exactly 1. Raises
    RequestError for more than 120 dB, and for a bell so narrow that it needs too many taps.
    """
    _check_gain(gain)
    _check_quality(q)
    return _equaliser([bell_section(frequency, gain, q)], total=1.0, signal=signal)


@step("frequency", example="lowshelf:0.05,6")
def lowshelf(frequency: Frequency, gain: Decibels, *, signal: Signal) -> Kernel:
    """Raise or lower the frequencies below FREQUENCY by GAIN decibels (bass).

    frequency : Hz (cycles/sample without a rate), where half of the gain in dB is reached
    gain : dB (6, -3dB)

    The biquad lowShelf of the RBJ cookbook with a slope of 1.
    """
    _check_gain(gain)
    section = low_shelf(frequency, gain, SHELF_Q)
    return _equaliser([section], total=10 ** (gain / 20), signal=signal)


@step("frequency", example="highshelf:0.2,6")
def highshelf(frequency: Frequency, gain: Decibels, *, signal: Signal) -> Kernel:
    """Raise or lower the frequencies above FREQUENCY by GAIN decibels (treble).

    frequency : Hz (cycles/sample without a rate), where half of the gain in dB is reached
    gain : dB (6, -3dB)

    The biquad highShelf of the RBJ cookbook with a slope of 1.
    """
    _check_gain(gain)
    return _equaliser([high_shelf(frequency, gain, SHELF_Q)], total=1.0, signal=signal)


@step("frequency", example="notch:0.1,q=3")
def notch(
    frequency: Frequency, *, q: Number = 30.0, harmonics: NumberOf = 1, signal: Signal
) -> Kernel:
    """Take out FREQUENCY, and with harmonics=N all of its first N multiples (hum).

    frequency : Hz (cycles/sample without a rate)
    q : the frequency over the width that is lowered by 3 dB or more; 30 at 50 Hz is 1.7 Hz. The
        larger it is, the longer the filter rings.
    harmonics : 8 takes out FREQUENCY, 2 FREQUENCY ... 8 FREQUENCY, each with the same q; multiples
        from half the rate on are not in the signal

    The biquad notch of the RBJ cookbook, H(s) = (s**2 + 1) / (s**2 + s/Q + 1), one for each
    multiple, all as one kernel. The gain at frequency 0 is exactly 1.
    """
    _check_quality(q)
    most = math.ceil(0.5 / frequency)
    candidates = [n * frequency for n in range(1, min(harmonics, most) + 1)]
    multiples = [each for each in candidates if each < 0.5]
    note = ""
    if len(multiples) < harmonics:
        limit = describe_frequency(0.5, signal)
        note = f"{len(multiples)} of {harmonics} multiples lie below {limit}"
    sections = [rejection(each, q) for each in multiples]
    return _equaliser(sections, total=1.0, signal=signal, note=note)


# -------------------------------------------------------------------------- analogue sections


def bell_section(at: float, gain: float, q: float) -> Section:
    """The section of `peak`; the gain is in dB."""
    a = 10 ** (gain / 40)
    return Section(at, (1.0, a / q, 1.0), (1.0, 1 / (a * q), 1.0))


def low_shelf(at: float, gain: float, q: float) -> Section:
    """The section of `lowshelf`; the gain is in dB."""
    a = 10 ** (gain / 40)
    slope = math.sqrt(a) / q
    return Section(at, (a, a * slope, a * a), (a, slope, 1.0))


def high_shelf(at: float, gain: float, q: float) -> Section:
    """The section of `highshelf`; the gain is in dB."""
    a = 10 ** (gain / 40)
    slope = math.sqrt(a) / q
    return Section(at, (a * a, a * slope, a), (1.0, slope, a))


def rejection(at: float, q: float) -> Section:
    """The section of `notch`: gain 0 at the frequency `at`, 1 far from it."""
    return Section(at, (1.0, 0.0, 1.0), (1.0, 1 / q, 1.0))


def _equaliser(sections: list[Section], *, total: float, signal: Signal, note: str = "") -> Kernel:
    taps = impulse_taps(sections, total=total, bits=signal.bits)
    return Kernel(taps=taps, centre=(0,), recursive=True, note=note)


def _check_gain(gain: float) -> None:
    if abs(gain) > LARGEST_GAIN:
        span = f"{-LARGEST_GAIN:g} ... {LARGEST_GAIN:g} dB"
        message = f"the gain must be in {span}, got {gain:g}"
        raise RequestError(message, hint="a gain such as 6, -3 or -3dB")


def _check_quality(q: float) -> None:
    if not 0 < q <= LARGEST_Q:
        message = f"q must be above 0 and at most {LARGEST_Q:g}, got {q:g}"
        raise RequestError(message, hint="q=1 is a wide bell, q=30 a narrow notch")
