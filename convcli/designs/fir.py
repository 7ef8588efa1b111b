"""Frequency-selective FIR filters: designed, measured, lengthened until they meet a specification.

Frequencies are in cycles per sample. A transition between two bands is `width` wide, and its middle
is the edge that the user names. The specification: with d = 10**(-attenuation / 20) the gain is
1 +- d in a pass band and at most d in a stop band.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from convcli.core.convolution import kaiser
from convcli.dataclass import dataclass
from convcli.designs.taps import refuse_huge, with_exact_sum
from convcli.errors import RequestError
from convcli.units import Count, Decibels, Frequency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import Taps

Method = Literal["kaiser", "remez", "firls"]
Phase = Literal["linear", "minimum"]

# The most taps: with more, remez does not converge and the equations of firls fill the memory.
LONGEST = {"remez": 2001, "firls": 6001}
# The most taps of a filter of minimum phase, whose cepstrum takes many times their memory.
LONGEST_MINIMUM = 2**20
# Points of remez for each tap, tried in turn: some filters converge on one of them alone.
GRID_DENSITIES = (16, 20, 32)
ATTEMPTS = 24
# A longer filter is first designed as a filter of this length, with all frequencies scaled up.
MANY_TAPS = 2**16
# The most points of an FFT that measures or converts a filter.
MOST_FFT_POINTS = 2**22
LEAST_ATTENUATION = 10.0
# In dB, what float64 taps can reach; remez, firls and minimum phase compute less exactly.
MOST_ATTENUATION = {"kaiser": 200.0, "remez": 120.0, "firls": 120.0}
MOST_ATTENUATION_MINIMUM = 120.0


class _NotConvergedError(RequestError):
    """A design method did not converge for one number of taps; it may for another number."""


@dataclass(frozen=True, kw_only=True)
class Bands:
    """The bands of a filter.

    edges : the middles of the transitions, rising; gains : 0 or 1 in each band
    width : of a transition
    """

    edges: tuple[float, ...]
    gains: tuple[int, ...]
    width: float

    @property
    def passes_zero(self) -> bool:
        """Whether frequency 0 is in a pass band."""
        return self.gains[0] == 1

    @property
    def corners(self) -> list[float]:
        """The start and stop of every band."""
        return [corner for start, stop, _ in self.spans for corner in (start, stop)]

    @property
    def reference(self) -> float:
        """Where the gain is made exact: at 0, at Nyquist, or in the middle of the pass band."""
        if self.passes_zero:
            return 0.0
        if self.gains[-1] == 1:
            return 0.5
        return sum(self.edges) / 2

    @property
    def spans(self) -> list[tuple[float, float, int]]:
        """(start, stop, gain) of every band, without the transitions."""
        half = self.width / 2
        starts = [0.0, *(edge + half for edge in self.edges)]
        stops = [*(edge - half for edge in self.edges), 0.5]
        return list(zip(starts, stops, self.gains, strict=True))


@dataclass(frozen=True, kw_only=True)
class Specification:
    """What a filter is asked to do, and how it is made: the options of a step.

    width : from the last frequency that passes to the first that is stopped; None to choose it
    attenuation : dB; taps : their number, or None for as many as the attenuation needs
    """

    width: Frequency | None = None
    attenuation: Decibels = 80.0
    taps: Count | None = None
    method: Method = "kaiser"
    phase: Phase = "linear"


def most_attenuation(method: Method, phase: Phase) -> float:
    """The highest attenuation, in dB, that may be asked for."""
    most = MOST_ATTENUATION[method]
    return most if phase == "linear" else min(most, MOST_ATTENUATION_MINIMUM)


@lru_cache(maxsize=64)
def design_taps(bands: Bands, spec: Specification) -> Taps:
    """(k,) taps: the best of a given number, otherwise as many as the specification needs.

    Raises RequestError where the method cannot meet the specification.
    """
    if spec.taps is not None:
        possible = kaiser.attenuation(spec.taps, bands.width)
        return _designed(bands, spec, spec.taps, min(spec.attenuation, possible))
    return _shortest_filter(bands, spec, _first_target(bands, spec))[0]


def _first_target(bands: Bands, spec: Specification) -> float:
    """The attenuation to begin with, in dB.

    A very long filter is a short one stretched in time, and both need the same attenuation. So the
    attenuation is found with the short one, and the long one is designed and measured only once
    (3 million taps: in 2 s, else in 8).
    """
    count = _estimated_count(spec.method, spec.attenuation, bands.width)
    faster = count / MANY_TAPS
    if faster <= 1 or spec.method != "kaiser" or bands.edges[-1] * faster > 1 / 4:
        return spec.attenuation
    edges = tuple(edge * faster for edge in bands.edges)
    short = replace(bands, edges=edges, width=bands.width * faster)
    taps, target = _shortest_filter(short, spec, spec.attenuation)
    short_allowance = _between_points(taps.size, _measured_points(taps.size))
    long_allowance = _between_points(count, _measured_points(count))
    difference = 20 * math.log10(long_allowance / short_allowance)
    margin = 0.3  # dB: half a percent more taps, and no second attempt
    return target + difference + margin


def _shortest_filter(bands: Bands, spec: Specification, target: float) -> tuple[Taps, float]:
    """The shortest filter found that meets the specification, and its design attenuation in dB."""
    count = 0
    message = f"{spec.method} does not reach {spec.attenuation:g} dB over this transition"
    failure = RequestError(message, hint="a wider width=, or method=kaiser")
    for attempt in range(ATTEMPTS):
        count = max(_estimated_count(spec.method, target, bands.width), count + 2)
        try:
            taps = _designed(bands, spec, count, target)
        except _NotConvergedError as error:
            failure = error
            continue
        missing = shortfall(taps, bands, spec.attenuation)
        if missing <= 0:
            return taps, target
        target += missing + 0.02 + 0.05 * attempt  # later attempts take larger steps
    raise failure


def _estimated_count(method: Method, attenuation: float, width: float) -> int:
    """An odd number of taps, by Kaiser's formula, or Herrmann's for remez and firls."""
    if method == "kaiser":
        length = kaiser.length(attenuation, width)
    else:
        length = max(attenuation - 13, 8) / (14.6 * width)
    half = math.ceil(length / 2)
    return 2 * half + 1


def _refuse_long(count: int, spec: Specification) -> None:
    method = spec.method
    if method == "kaiser":
        hint = "a wider width=, less attenuation=, or downsample first"
        refuse_huge(count, "this transition", hint)
    elif count > LONGEST[method]:
        message = f"{method} needs {count:,} taps here and is good for {LONGEST[method]:,}"
        raise RequestError(message, hint="method=kaiser, or a wider width=")
    if spec.phase == "minimum" and count > LONGEST_MINIMUM:
        message = f"{count:,} taps; phase=minimum is computed for at most {LONGEST_MINIMUM:,}"
        raise RequestError(message, hint="phase=linear, a wider width=, or downsample first")


# ------------------------------------------------------------------------------- measuring a filter


def shortfall(taps: Taps, bands: Bands, attenuation: float) -> float:
    """How many dB the worst error of the gain exceeds the specification; 0 or less if it is met."""
    error = highest_error(taps, bands.spans)
    return 20 * math.log10(error) + attenuation


def highest_error(taps: Taps, spans: Sequence[tuple[float, float, float]]) -> float:
    """The largest error of the gain |H| over some bands.

    spans : (start, stop, gain wanted) of each band

    Measured by an FFT of 16 points a lobe (fewer for very long filters), with a parabola through
    each local maximum, and point by point near the ends of the bands, where lobes are narrow. An
    allowance is made for what may hide between the points: |H|**2, a trigonometric polynomial of
    degree k - 1, exceeds them by at most a factor 1 / cos(pi (k - 1) / points) (Ehlich and Zeller,
    1964).
    """
    points = _measured_points(taps.size)
    gains = np.abs(np.fft.rfft(taps, points))
    near_end = np.linspace(0, 1.5 / taps.size, 64)
    worst = 0.0
    for start, stop, gain in spans:
        first_point = math.ceil(start * points)
        last_point = math.floor(stop * points)
        gains_inside = gains[first_point : last_point + 1]
        ends = np.concatenate([start + near_end, stop - near_end])
        gains_at_ends = np.abs(response_at(taps, np.clip(ends, start, stop)))
        error_inside = _highest(np.abs(gains_inside - gain))
        error_at_ends = _highest(np.abs(gains_at_ends - gain))
        worst = max(worst, error_inside, error_at_ends)
    largest = worst * _between_points(taps.size, points)
    return max(largest, 1e-300)


def _measured_points(taps: int) -> int:
    return _fft_points(taps, per_tap=16, at_least=256, least_per_tap=4)


def _between_points(taps: int, points: int) -> float:
    """The factor by which the gain may exceed its measured points between them."""
    angle = math.pi * (taps - 1) / points
    return 1 / math.cos(angle)


def _fft_points(taps: int, *, per_tap: int, at_least: int, least_per_tap: int) -> int:
    """A power of two: `per_tap` points a tap, fewer above POINTS, but at least `least_per_tap`."""
    wanted = max(per_tap * taps, at_least)
    points = 1 << (wanted - 1).bit_length()
    while points > MOST_FFT_POINTS and points > 2 * least_per_tap * taps:
        points //= 2
    return points


def _highest(curve: Taps) -> float:
    """The highest value of a sampled curve, by parabolas through its local maxima."""
    left = curve[:-2]
    middle = curve[1:-1]
    right = curve[2:]
    bend = 2 * middle - left - right
    top = (middle >= left) & (middle >= right) & (bend > 0)
    slope = left[top] - right[top]
    rise = slope**2 / (8 * bend[top])
    peaks = middle[top] + rise
    return max(float(curve.max(initial=0.0)), float(peaks.max(initial=0.0)))


def response_at(taps: Taps, frequencies: Taps) -> npt.NDArray[np.complex128]:
    """H(f) = sum_n h[n] exp(-2 pi i f n) at a few frequencies, in cycles/sample.

    With n = q b + r the exponential is a product of two, and the sum over r is a matrix product.
    """
    b = math.isqrt(taps.size) + 1
    rows = np.pad(taps, (0, -taps.size % b)).reshape(-1, b)
    angle = -2j * np.pi * frequencies
    row_starts = np.arange(len(rows)) * b
    within_row = np.exp(np.outer(np.arange(b), angle))
    from_row = np.exp(np.outer(row_starts, angle))
    terms = (rows @ within_row) * from_row
    return np.asarray(terms.sum(axis=0))


# ---------------------------------------------------------------------------- the methods of design


def _designed(bands: Bands, spec: Specification, count: int, attenuation: float) -> Taps:
    """`count` taps by the method of the specification, scaled."""
    _refuse_long(count, spec)
    window = np.kaiser(count, kaiser.beta(attenuation))
    if spec.method == "kaiser":
        taps = _ideal(bands, count) * window
    elif spec.method == "remez":
        taps = _remez(bands, count)
    else:
        taps = _firls(bands, count)
    taps = (taps + taps[::-1]) / 2
    if spec.phase == "minimum":
        floor_in_decibels = -(attenuation + 15)
        taps = minimum_phase(taps, floor=10 ** (floor_in_decibels / 20))
    return _scaled(taps, window, bands)


def _ideal(bands: Bands, count: int) -> Taps:
    """The impulse response with vertical edges: 2 f sinc(2 f n) for each change of gain."""
    n = np.arange(count) - (count - 1) / 2
    edges = (*bands.edges, 0.5)
    taps = np.zeros(count)
    for edge, gain, next_gain in zip(edges, bands.gains, (*bands.gains[1:], 0), strict=True):
        bandwidth = 2 * edge
        lowpass = bandwidth * np.sinc(bandwidth * n)
        taps += (gain - next_gain) * lowpass
    return taps


def _remez(bands: Bands, count: int) -> Taps:
    """Equal ripple in all bands (Parks and McClellan, 1972)."""
    from scipy.signal import remez

    complement = [1 - gain for gain in bands.gains]
    for density in GRID_DENSITIES:
        ripple = partial(remez, count, bands.corners, fs=1.0, maxiter=100, grid_density=density)
        with suppress(ValueError):
            return np.asarray(ripple(bands.gains), dtype=np.float64)
        if count % 2 == 0:
            continue
        # The same ripple upside down: 1 less the filter of the other bands. It converges where
        # most of the spectrum passes.
        with suppress(ValueError):
            taps = -np.asarray(ripple(complement), dtype=np.float64)
            taps[count // 2] += 1
            return taps
    message = f"remez does not converge with {count} taps"
    raise _NotConvergedError(message, hint="method=kaiser, or a wider width=")


def _firls(bands: Bands, count: int) -> Taps:
    """The least squared error over all bands."""
    from scipy.signal import firls

    gains = [float(gain) for gain in bands.gains for _ in range(2)]
    return np.asarray(firls(count, bands.corners, gains, fs=1.0), dtype=np.float64)


def minimum_phase(taps: Taps, *, floor: float) -> Taps:
    """The filter of the same length and |H| with the least delay (Oppenheim and Schafer, ch. 13).

    The cepstrum of log |H| is folded onto positive times. |H| is first raised to `floor` times its
    peak, because its zeros have no logarithm; a floor below the ripple of the stop band changes
    nothing that was specified.
    """
    points = _fft_points(taps.size, per_tap=32, at_least=1, least_per_tap=2)
    gains = np.abs(np.fft.rfft(taps, points))
    raised = np.maximum(gains, floor * gains.max())
    cepstrum = np.fft.irfft(np.log(raised), points)
    cepstrum[1 : points // 2] *= 2
    cepstrum[points // 2 + 1 :] = 0
    response = np.exp(np.fft.rfft(cepstrum))
    minimum = np.fft.irfft(response, points)
    return np.asarray(minimum[: taps.size], dtype=np.float64)


def _scaled(taps: Taps, window: Taps, bands: Bands) -> Taps:
    """The taps with gain exactly 0 or 1 at frequency 0, and gain 1 at `bands.reference`.

    The leak of a stopped frequency 0 is removed by as much of the window, whose spectrum is a
    narrow peak there.
    """
    if not bands.passes_zero:
        taps = taps - taps.sum() * (window / window.sum())
    gain = float(taps.sum())
    if bands.reference != 0:
        (response,) = response_at(taps, np.array([bands.reference]))
        gain = float(np.abs(response))
    if abs(gain) < 1e-9 * np.abs(taps).sum():
        message = f"{taps.size} taps are too few to separate these bands"
        raise RequestError(message, hint="more taps=, or none")
    is_symmetric = np.array_equal(taps, taps[::-1])
    largest = int(np.argmax(np.abs(taps)))
    corrected = None if is_symmetric else largest
    return with_exact_sum(taps / gain, float(bands.gains[0]), at=corrected)
