"""The interpolation of a resampler for sound, lengthened until all images are attenuated enough.

Frequencies are in cycles per input sample. An interpolation to L phases repeats the spectrum of
its input around every whole frequency; its taps take these images away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.convolution.resample import STOP_BAND, Resample
from convcli.designs.fir import response_at

if TYPE_CHECKING:
    from fractions import Fraction

    from convcli.array_types import Taps


# A resampler is flat up to this share of the lower Nyquist frequency.
PASS_BAND = 0.91
# The low-pass before an interpolation attenuates a little more than both together have to.
LOWPASS_ATTENUATION = STOP_BAND + 0.1
# Kaiser's estimate is raised by at least this many dB at a time, and at most this many times.
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
    least_points = POINTS_PER_TAP * width
    points = 1 << (least_points - 1).bit_length()
    spectrum = np.fft.rfft(_prototype(op), points * phases)
    gains = np.abs(spectrum) / phases
    frequencies = np.arange(gains.size) / points
    if lowpass is not None:
        one_period = np.arange(points) / points
        gains_of_lowpass = np.abs(response_at(lowpass, one_period))
        gains *= np.resize(gains_of_lowpass, gains.size)
    stopped = gains[frequencies >= nyquist]
    # How far the gain may exceed its measured points (Ehlich and Zeller, 1964).
    between_points = 1 / np.cos(np.pi * width / points)
    largest = float(stopped.max(initial=0.0) * between_points)
    return float(20 * np.log10(max(largest, 1e-300)))


def _prototype(op: Resample) -> Taps:
    """The taps of all phases as one curve, `phases` points for each input sample."""
    phases, width = op.table.shape
    inputs = op.starts[:, None] + np.arange(width)
    places = np.arange(phases)[:, None] - inputs * phases
    places -= places.min()
    last = int(places.max())
    curve = np.zeros(last + 1)
    curve[places.ravel()] = op.table.ravel()
    return curve
