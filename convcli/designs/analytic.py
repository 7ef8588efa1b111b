"""The analytic signal x + i H(x): a phase shift by 90 degrees, and the envelope."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.convolution import kaiser
from convcli.core.kernel import GradientPair, Kernel
from convcli.designs.fir import highest_error
from convcli.designs.registry import step
from convcli.designs.taps import refuse_huge, with_exact_sum
from convcli.errors import RequestError
from convcli.signals import Signal
from convcli.units import Decibels, Frequency, describe_frequency

if TYPE_CHECKING:
    from convcli.array_types import Taps

# The default lowest frequency, in cycles per sample.
LOWEST_CYCLES = 0.02
# The default lowest frequency where LOWEST_CYCLES are more Hz than this: what ears hear.
LOWEST_HERTZ = 20.0
LEAST_ATTENUATION = 20.0
MOST_ATTENUATION = 140.0
ATTEMPTS = 24


@step("frequency", example="hilbert")
def hilbert(
    *, low: Frequency | None = None, attenuation: Decibels = 80.0, signal: Signal
) -> Kernel:
    """Hilbert transform: every frequency is delayed by a quarter of its period (90 degrees).

    low : Hz (cycles/sample without a rate), from where on the gain is 1; by default 20 Hz, or 0.02
        cycles/sample if that is less. The band ends as far below half the rate.
    attenuation : dB, of the error of the gain in that band

    The taps are 2 / (pi n) at odd n, else 0, times a Kaiser window: an odd number, antisymmetric
    (type III), whose gain at 0 and at half the rate is 0. Their number is Kaiser's estimate, raised
    until the gain in the band is 1 +- 10**(-attenuation/20), as measured. cos becomes sin, as in
    the imaginary part of scipy.signal.hilbert. On a picture it runs along x (axis=y: downwards).
    """
    taps, note = _phase_shift(low, attenuation, signal)
    return _along_rows(taps, note)


@step("frequency", example="envelope")
def envelope(
    *, low: Frequency | None = None, attenuation: Decibels = 80.0, signal: Signal
) -> GradientPair:
    """Envelope of a wave: the magnitude of the analytic signal, sqrt(x**2 + hilbert(x)**2).

    low, attenuation : as in hilbert. x is delayed as the Hilbert transform is.
    """
    taps, note = _phase_shift(low, attenuation, signal)
    itself = np.zeros(taps.size)
    itself[taps.size // 2] = 1.0
    return GradientPair((_along_rows(itself, note), _along_rows(taps, note)))


def _along_rows(taps: Taps, note: str) -> Kernel:
    """The kernel; on a picture where no axis is picked it runs along x alone."""
    along_x = Kernel(taps=taps[None, :], note=note)
    return Kernel(taps=taps, note=note, plane=lambda: along_x)


def _phase_shift(low: float | None, attenuation: float, signal: Signal) -> tuple[Taps, str]:
    """The taps of a Hilbert transformer, and the band in which its gain is 1."""
    if not LEAST_ATTENUATION <= attenuation <= MOST_ATTENUATION:
        span = f"{LEAST_ATTENUATION:g} ... {MOST_ATTENUATION:g} dB"
        message = f"the attenuation must be in {span}, got {attenuation:g}"
        raise RequestError(message, hint="attenuation=80")
    if low is None:
        low = LOWEST_CYCLES
        if signal.rate is not None:
            low = min(low, LOWEST_HERTZ / signal.rate)
    if low >= 0.25:
        came = describe_frequency(low, signal)
        limit = describe_frequency(0.25, signal)
        message = f"the lowest frequency must be below {limit}, a quarter of the rate, got {came}"
        raise RequestError(message, hint="without low=")
    taps, error = _transformer(low, attenuation)
    first = describe_frequency(low, signal)
    last = describe_frequency(0.5 - low, signal)
    return taps, f"gain 1 +- {error:.1g} from {first} to {last}"


@lru_cache(maxsize=16)
def _transformer(low: float, attenuation: float) -> tuple[Taps, float]:
    """The shortest taps of this design that reach the attenuation, and the error of their gain."""
    half = 0
    target = attenuation
    for _ in range(ATTEMPTS):
        # The gain turns from -1 to 1 between -low and low.
        count = kaiser.length(target, 2 * low) + 1
        refuse_huge(count, "this band", "a higher low=, or less attenuation=")
        # The outermost taps are at an odd distance from the middle: at an even one they are 0.
        pairs = math.ceil((count - 3) / 4)
        odd_half = 2 * pairs + 1
        half = max(odd_half, half + 2)
        taps = _windowed(half, kaiser.beta(target))
        error = highest_error(taps, [(low, 0.5 - low, 1.0)])
        missing = attenuation + 20 * math.log10(error)
        if missing <= 0:
            return taps, error
        target += missing + 0.02
    message = f"no number of taps was found that reaches {attenuation:g} dB"
    raise RequestError(message, hint="less attenuation=, or a higher low=")


def _windowed(half: int, beta: float) -> Taps:
    """(2 half + 1,) taps 2 / (pi n) at odd n, under a Kaiser window."""
    n = np.arange(-half, half + 1)
    odd = n % 2 == 1
    taps = np.zeros(n.size)
    taps[odd] = 2 / (math.pi * n[odd])
    taps = with_exact_sum(taps * np.kaiser(n.size, beta), 0.0)
    taps.flags.writeable = False
    return taps
