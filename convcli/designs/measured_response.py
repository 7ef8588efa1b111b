"""The step `response`: a filter with the frequency response of a curve from a file."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.kernel import Kernel
from convcli.dataclass import dataclass
from convcli.designs.fir import Phase, minimum_phase, response_at
from convcli.designs.registry import step
from convcli.designs.response_curves import Curve, read_curve
from convcli.errors import InputError, RequestError
from convcli.named_files import named_place
from convcli.signals import Signal
from convcli.units import Count, Frequency

if TYPE_CHECKING:
    from convcli.array_types import FloatArray, Taps
    from convcli.places import Place

# The number of taps is doubled until the gains deviate from the curve by at most this many dB.
TOLERANCE = 0.1
FEWEST_TAPS = 1023
MOST_CHOSEN_TAPS = 2**17 - 1
MOST_TAPS_ASKED = 2**20
# The largest gain of a curve, in dB: levels of sound pressure are above it.
LOUDEST = 60.0
# Shape of the Kaiser window of the taps: 60 dB from a kink of the curve to its ripple.
WINDOW_BETA = 6.0
POINTS_PER_OCTAVE = 200
# Frequencies at which the finished taps are compared with the curve.
MOST_COMPARED = 4096


@dataclass(frozen=True)
class _Fitted:
    """Taps, and where they deviate most from the curve.

    deviation : dB; at : Hz
    """

    taps: Taps
    deviation: float
    at: float


@step("frequency", example="response:@sample_data/headphone.csv", name="response")
def measured_response(
    path: str,
    *,
    phase: Phase = "linear",
    taps: Count | None = None,
    column: str = "",
    invert: bool = False,
    reference: Frequency | None = None,
    signal: Signal,
) -> Kernel:
    """Filter with the frequency response of a file: frequency in Hz and gain in dB.

    path : @curve.csv: numbers in columns, with a header or without; REW's text export; AutoEq's
        CSV, GraphicEQ and ParametricEQ files
    phase : linear (a pure delay, none when centred) or minimum (no ringing before an event)
    taps : their number; by default it is doubled until the response deviates from the curve by no
        more than 0.1 dB
    column : the column with the gains; by default `equalization` (AutoEq), else the second
    invert : true negates the gains, which turns a measurement into its correction
    reference : a frequency, whose gain becomes 0 dB: for levels of sound pressure

    Between its points the curve is linear over the logarithm of the frequency, beyond its ends it
    is constant. The taps are its inverse Fourier transform under a Kaiser window. A note gives the
    largest deviation of the finished taps from the curve, and its frequency. Raises RequestError
    for a signal without a rate, and for gains above 60 dB; InputError for a file that is not a
    curve.
    """
    if signal.axes != 1 or signal.rate is None:
        message = "needs a signal with a sampling rate, because the curve is in Hz"
        raise RequestError(message, hint="`convcli csv --time COLUMN` gives a table its rate")
    name = path.removeprefix("@").strip()
    file = named_place(name)
    curve = read_curve(file, column=column, rate=signal.rate)
    wanted = _adjusted(curve, file, signal.rate, invert=invert, reference=reference)
    points = tuple(zip(wanted.frequencies.tolist(), wanted.decibels.tolist(), strict=True))
    fitted = _fit_as_needed(points, signal.rate, phase, taps)
    note = (
        f"{file.name}: {fitted.taps.size:,} taps, largest deviation {fitted.deviation:.2g} dB "
        f"at {fitted.at:.3g} Hz"
    )
    if curve.column:
        note += f", column {curve.column}"
    centre = (0,) if phase == "minimum" else ()
    return Kernel(taps=fitted.taps, centre=centre, note=note)


def _adjusted(
    curve: Curve, file: Place, rate: float, *, invert: bool, reference: float | None
) -> Curve:
    """The curve for the filter, inverted and shifted as asked for.

    Raises InputError for a curve above half the rate, RequestError for gains above LOUDEST.
    """
    if curve.frequencies[0] >= rate / 2:
        lowest = f"{curve.frequencies[0]:g} Hz"
        message = f"{file}: begins at {lowest}, and the signal ends at {rate / 2:g} Hz"
        raise InputError(message, hint="a curve of the frequencies of the signal")
    decibels = curve.decibels
    if reference is not None:
        in_hertz = np.array([reference * rate])
        decibels = decibels - curve.at(in_hertz)
    if invert:
        decibels = -decibels
    loudest = float(decibels.max())
    if loudest > LOUDEST:
        message = f"{file}: a gain of {loudest:g} dB; at most {LOUDEST:g} dB are filtered"
        raise RequestError(message, hint="reference=1k makes the gain at 1 kHz 0 dB")
    return Curve(curve.frequencies, decibels, curve.column)


@lru_cache(maxsize=16)
def _fit_as_needed(
    points: tuple[tuple[float, float], ...], rate: float, phase: Phase, count: int | None
) -> _Fitted:
    """Fit `count` taps to a curve, or as many as keep the deviation within TOLERANCE.

    points : frequency in Hz and gain in dB of each point of the curve
    """
    frequencies, decibels = np.array(points).T
    curve = Curve(frequencies, decibels)
    if count is not None:
        if count > MOST_TAPS_ASKED:
            message = f"{count:,} taps; at most {MOST_TAPS_ASKED:,} are fitted to a curve"
            raise RequestError(message, hint="without taps= there are as many as the curve needs")
        return _fitted(curve, rate, phase, count)
    count = FEWEST_TAPS
    fitted = _fitted(curve, rate, phase, count)
    while fitted.deviation > TOLERANCE and count < MOST_CHOSEN_TAPS:
        count = 2 * count + 1
        fitted = _fitted(curve, rate, phase, count)
    return fitted


def _fitted(curve: Curve, rate: float, phase: Phase, count: int) -> _Fitted:
    """`count` taps and their measured deviation from the curve."""
    taps = _symmetric_taps(curve, rate, count)
    if phase == "minimum":
        taps = minimum_phase(taps, floor=1e-10)
    compared = _compared_frequencies(curve, rate)
    gains = np.abs(response_at(taps, compared / rate))
    decibels = 20 * np.log10(np.maximum(gains, 1e-50))
    deviations = np.abs(decibels - curve.at(compared))
    worst = int(deviations.argmax())
    return _Fitted(taps, float(deviations[worst]), float(compared[worst]))


def _symmetric_taps(curve: Curve, rate: float, count: int) -> Taps:
    """(count,) the inverse Fourier transform of the gains, under a Kaiser window."""
    least_points = 8 * count
    points = 1 << (least_points - 1).bit_length()
    numbers: FloatArray = np.arange(points // 2 + 1, dtype=np.float64)
    frequencies = numbers * (rate / points)
    gains = 10 ** (curve.at(frequencies) / 20)
    # An even number of taps is symmetric about the middle between two of them.
    delay = 0.0 if count % 2 else 0.5
    angles = -2j * np.pi * delay * numbers / points
    spectrum = gains * np.exp(angles)
    impulse = np.fft.irfft(spectrum, points)
    before_centre = (count - 1) // 2
    centred = np.roll(impulse, before_centre)[:count]
    return np.asarray(centred * np.kaiser(count, WINDOW_BETA), dtype=np.float64)


def _compared_frequencies(curve: Curve, rate: float) -> FloatArray:
    """Frequencies from end to end of the curve, up to half the rate, in Hz; its points too."""
    lowest = float(curve.frequencies[0])
    highest = min(float(curve.frequencies[-1]), rate / 2)
    octaves = np.log2(highest / lowest)
    count = int(octaves * POINTS_PER_OCTAVE) + 2
    between: FloatArray = np.geomspace(lowest, highest, min(count, MOST_COMPARED), dtype=np.float64)
    every = 1 + curve.frequencies.size // MOST_COMPARED
    own = curve.frequencies[::every]
    return np.union1d(between, own[own <= highest])
