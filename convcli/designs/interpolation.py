"""The interpolation of a resampler for sound, lengthened until no image of the sound is left.

Frequencies are in cycles per input sample. An interpolation to L phases repeats the spectrum of
its input around every whole frequency; its taps take these images away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.resample import STOP_BAND, Resample
from convcli.designs.fir import response_at

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy.typing as npt

    from convcli.core.kernel import Taps

    Gains = npt.NDArray[np.float64]

# A resampler is flat up to this share of the lower Nyquist frequency.
PASS_BAND = 0.91
# The low-pass before an interpolation attenuates a little more than both together have to.
LOWPASS_ATTENUATION = STOP_BAND + 0.1
# Kaiser's estimate is raised by at least so many dB at a time, and at most so many times.
LEAST_STEP = 0.2
ATTEMPTS = 40
# More phases than these are measured as these are: they are samples of the same curve.
MOST_MEASURED = 64
# Points of the measured spectrum for each tap of a phase.
POINTS_PER_TAP = 32


def interpolator(ratio: Fraction, *, lowpass: Taps | None, causal: bool) -> Resample:
    """The resampler to `ratio` times the rate whose images are STOP_BAND down.

    lowpass : the taps that filter its input, where they leave room for a gentle interpolation
    """
    share = min(1.0, float(ratio))
    passes = share * PASS_BAND / 2
    stops = 1 - share / 2 if lowpass is not None else 0.5
    attenuation = STOP_BAND
    for _ in range(ATTEMPTS):
        phases = min(ratio.numerator, MOST_MEASURED)
        measured = Resample.between(phases, 1, passes=passes, stops=stops, attenuation=attenuation)
        missing = _highest_image(measured, lowpass, share / 2) + STOP_BAND
        if missing <= 0:
            break
        attenuation += max(missing, LEAST_STEP)
    return Resample.between(
        ratio.numerator,
        ratio.denominator,
        passes=passes,
        stops=stops,
        attenuation=attenuation,
        causal=causal,
    )


def _highest_image(op: Resample, lowpass: Taps | None, nyquist: float) -> float:
    """The largest gain, in dB, from the lower Nyquist frequency on; `op` has a step of 1."""
    phases, width = op.table.shape
    points = 1 << (POINTS_PER_TAP * width - 1).bit_length()
    curve = _prototype(op)
    gains = np.abs(np.fft.rfft(curve, points * phases)) / phases
    frequencies = np.arange(gains.size) / points
    if lowpass is not None:
        one_period = np.abs(response_at(lowpass, np.arange(points) / points))
        gains *= np.resize(one_period, gains.size)
    stopped = gains[frequencies >= nyquist]
    # What may hide between two points (Ehlich and Zeller, 1964).
    hidden = 1 / np.cos(np.pi * width / points)
    largest = max(float(stopped.max(initial=0.0) * hidden), 1e-300)
    return float(20 * np.log10(largest))


def _prototype(op: Resample) -> Taps:
    """The taps of all phases as one curve, `phases` points for each input sample."""
    phases, width = op.table.shape
    inputs = op.starts[:, None] + np.arange(width)
    places = np.arange(phases)[:, None] - inputs * phases
    places -= places.min()
    curve = np.zeros(int(places.max()) + 1)
    curve[places.ravel()] = op.table.ravel()
    return curve
