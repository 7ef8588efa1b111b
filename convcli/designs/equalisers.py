"""Equalisers: the biquads of the RBJ Audio EQ Cookbook, as taps.

A biquad is recursive, and its impulse response has no end. It is cut where the rest is below the
rounding of the results. The taps are causal by nature: tap 0 multiplies the newest sample.

peak, lowshelf, highshelf : raise or lower a part of the spectrum by GAIN decibels
notch : take out one frequency, and its multiples

Source: R. Bristow-Johnson, Cookbook formulae for audio equalizer biquad filter coefficients.
"""

from __future__ import annotations

from math import sqrt

from convcli.core.kernel import Kernel
from convcli.designs.biquads import Section, impulse_taps
from convcli.designs.registry import step
from convcli.errors import RequestError
from convcli.signals import Signal
from convcli.units import Count, Decibels, Frequency, Number, describe_frequency

# The largest boost or cut, in dB.
LARGEST_GAIN = 120.0
LARGEST_Q = 1e6

# The quality of a shelf of slope 1: the steepest that does not overshoot.
SHELF_Q = sqrt(0.5)


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
    return _equaliser([bell(frequency, gain, q)], total=1.0, signal=signal)


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
    frequency: Frequency, *, q: Number = 30.0, harmonics: Count = 1, signal: Signal
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
    multiples = [n * frequency for n in range(1, harmonics + 1) if n * frequency < 0.5]
    note = ""
    if len(multiples) < harmonics:
        limit = describe_frequency(0.5, signal)
        note = f"{len(multiples)} of {harmonics} multiples lie below {limit}"
    sections = [rejection(each, q) for each in multiples]
    return _equaliser(sections, total=1.0, signal=signal, note=note)


# -------------------------------------------------------------------------- analogue sections


def bell(at: float, gain: float, q: float) -> Section:
    """The section of `peak`; the gain is in dB."""
    a = 10 ** (gain / 40)
    return Section(at, (1.0, a / q, 1.0), (1.0, 1 / (a * q), 1.0))


def low_shelf(at: float, gain: float, q: float) -> Section:
    """The section of `lowshelf`; the gain is in dB."""
    a = 10 ** (gain / 40)
    slope = sqrt(a) / q
    return Section(at, (a, a * slope, a * a), (a, slope, 1.0))


def high_shelf(at: float, gain: float, q: float) -> Section:
    """The section of `highshelf`; the gain is in dB."""
    a = 10 ** (gain / 40)
    slope = sqrt(a) / q
    return Section(at, (a * a, a * slope, a), (1.0, slope, a))


def rejection(at: float, q: float) -> Section:
    """The section of `notch`: gain 0 at the frequency `at`, 1 far from it."""
    return Section(at, (1.0, 0.0, 1.0), (1.0, 1 / q, 1.0))


def _equaliser(sections: list[Section], *, total: float, signal: Signal, note: str = "") -> Kernel:
    taps = impulse_taps(sections, total=total, bits=signal.medium.bits)
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
