"""Frequency-selective FIR filters that keep what they promise: designed, measured, and lengthened until they do.

Frequencies in cycles/sample. The transition from one band to the next is `width` wide, its middle is the edge that
the user names. The promise: with d = 10**(-attenuation / 20) the gain is 1 +- d in a pass band and at most d in a stop
band.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from convcli.core import kaiser
from convcli.core.kernel import Taps
from convcli.designs.taps import MOST_TAPS, exact, refuse_huge
from convcli.errors import RequestError

Method = Literal["kaiser", "remez", "firls"]
Phase = Literal["linear", "minimum"]

LONGEST = {"kaiser": MOST_TAPS, "remez": 2001, "firls": 6001}
"""Beyond these remez no longer converges, and the equations of firls fill the memory."""
ATTEMPTS = 24
LEAST_ATTENUATION = 10.0
MOST_ATTENUATION = {"kaiser": 200.0, "remez": 120.0, "firls": 120.0}
"""In dB: what float64 taps can promise; what comes out of an exchange, of equations and of logarithms is coarser."""
MOST_ATTENUATION_MINIMUM = 120.0


@dataclass(frozen=True, kw_only=True)
class Bands:
    """edges : the middles of the transitions, rising; gains : 0 or 1 in each band; width : of a transition."""

    edges: tuple[float, ...]
    gains: tuple[int, ...]
    width: float

    @property
    def spans(self) -> list[tuple[float, float, int]]:
        """(from, to, gain) of every band without its transitions."""
        half = self.width / 2
        starts = [0.0, *(edge + half for edge in self.edges)]
        stops = [*(edge - half for edge in self.edges), 0.5]
        return list(zip(starts, stops, self.gains, strict=True))


@dataclass(frozen=True, kw_only=True)
class Promise:
    """How a filter shall be made. attenuation : dB; taps : their number, or None for as many as the promise needs."""

    attenuation: float
    taps: int | None
    method: Method
    phase: Phase


def most_attenuation(method: Method, phase: Phase) -> float:
    """The highest attenuation, in dB, that may be asked for."""
    most = MOST_ATTENUATION[method]
    return most if phase == "linear" else min(most, MOST_ATTENUATION_MINIMUM)


@lru_cache(maxsize=64)
def design(bands: Bands, promise: Promise) -> Taps:
    """(k,) taps. With a given number of taps what these can do; otherwise as many as the promise needs.

    Raises RequestError where the method cannot keep it.
    """
    if promise.taps is not None:
        attenuation = min(promise.attenuation, kaiser.attenuation(promise.taps, bands.width))
        return _made(bands, promise, promise.taps, attenuation)
    target, count = promise.attenuation, 0
    for attempt in range(ATTEMPTS):
        count = max(_count(promise.method, target, bands.width), count + 2)
        _refuse_long(count, promise)
        taps = _made(bands, promise, count, target)
        missing = shortfall(taps, bands, promise.attenuation)
        if missing <= 0:
            return taps
        target += missing + 0.02 + 0.05 * attempt  # the longer it takes, the larger the steps
    message = f"{promise.method} does not reach {promise.attenuation:g} dB over this transition"
    raise RequestError(message, hint="a wider width=, or method=kaiser")


def shortfall(taps: Taps, bands: Bands, attenuation: float) -> float:
    """How many dB the worst point of all bands is above the promise; at most 0 when it is kept.

    Measured by an FFT of 16 points a lobe (fewer for very long filters), with a parabola through each highest point
    and its neighbours, and next to the ends of the bands, where lobes are narrow, point by point. What may still hide
    between the points is allowed for: |H|**2, a trigonometric polynomial of degree k - 1, exceeds them by at most
    1 / cos(pi (k - 1) / points) (Ehlich and Zeller, 1964).
    """
    points = 1 << max(16 * taps.size - 1, 255).bit_length()
    while points > 2**22 and points >= 8 * taps.size:
        points //= 2
    gains = np.abs(np.fft.rfft(taps, points))
    inwards = np.linspace(0, 1.5 / taps.size, 64)
    worst = 0.0
    for start, stop, gain in bands.spans:
        inside = gains[math.ceil(start * points) : math.floor(stop * points) + 1]
        ends = np.clip(np.concatenate([start + inwards, stop - inwards]), start, stop)
        for heights in (inside, response(taps, ends)):
            worst = max(worst, _peak(np.abs(np.abs(heights) - gain)))
    between = 1 / math.cos(math.pi * (taps.size - 1) / points)
    return 20 * math.log10(max(worst * between, 1e-300)) + attenuation


def _peak(heights: Taps) -> float:
    """The highest value of a curve, by the parabolas through its local maxima and their neighbours."""
    left, middle, right = heights[:-2], heights[1:-1], heights[2:]
    bend = 2 * middle - left - right
    top = (middle >= left) & (middle >= right) & (bend > 0)
    peaks = middle[top] + (left[top] - right[top]) ** 2 / (8 * bend[top])
    return max(float(heights.max(initial=0.0)), float(peaks.max(initial=0.0)))


def response(taps: Taps, frequencies: Taps) -> npt.NDArray[np.complex128]:
    """H(f) = sum_n h[n] exp(-2 pi i f n) at a few frequencies, in cycles/sample.

    With n = q b + r the exponential is a product, and the sum over r a matrix product.
    """
    b = math.isqrt(taps.size) + 1
    rows = np.pad(taps, (0, -taps.size % b)).reshape(-1, b)
    turn = -2j * np.pi * frequencies
    within = rows @ np.exp(np.outer(np.arange(b), turn))
    return np.asarray((within * np.exp(np.outer(np.arange(rows.shape[0]) * b, turn))).sum(axis=0))


def _count(method: Method, attenuation: float, width: float) -> int:
    """An odd number of taps to begin with: the formulas of Kaiser (windows, least squares) and Herrmann (remez)."""
    herrmann = max(attenuation - 13, 8) / (14.6 * width)
    needed = kaiser.length(attenuation, width) if method == "kaiser" else herrmann
    return 2 * math.ceil(needed / 2) + 1


def _refuse_long(count: int, promise: Promise) -> None:
    if promise.method == "kaiser":
        refuse_huge(
            count, "this transition", "a wider width=, less attenuation=, or downsample first"
        )
    if count > LONGEST[promise.method]:
        message = f"{promise.method} needs {count:,} taps here and is good for {LONGEST[promise.method]:,}"
        raise RequestError(message, hint="method=kaiser, or a wider width=")


def _made(bands: Bands, promise: Promise, count: int, attenuation: float) -> Taps:
    """`count` taps, scaled and with the sum that the gain at frequency 0 asks for."""
    _refuse_long(count, promise)
    window = np.kaiser(count, kaiser.beta(attenuation))
    if promise.method == "kaiser":
        taps = _ideal(bands, count) * window
    elif promise.method == "remez":
        taps = _remez(bands, count)
    else:
        taps = _firls(bands, count)
    taps = (taps + taps[::-1]) / 2
    if promise.phase == "minimum":
        taps = minimum_phase(taps, floor=10 ** (-(attenuation + 15) / 20))
    return _settled(taps, window, bands)


def _ideal(bands: Bands, count: int) -> Taps:
    """The impulse response with vertical edges: a sum of low-passes 2 f sinc(2 f n), one for every change of gain."""
    n = np.arange(count) - (count - 1) / 2
    taps = np.zeros(count)
    for edge, left, right in zip(
        (*bands.edges, 0.5), bands.gains, (*bands.gains[1:], 0), strict=True
    ):
        taps += (left - right) * 2 * edge * np.sinc(2 * edge * n)
    return taps


def _remez(bands: Bands, count: int) -> Taps:
    """Equal ripple in all bands (Parks and McClellan, 1972)."""
    from scipy.signal import remez

    edges = [end for start, stop, _ in bands.spans for end in (start, stop)]
    try:
        return np.asarray(remez(count, edges, bands.gains, fs=1.0, maxiter=100), dtype=np.float64)
    except ValueError as error:
        message = f"remez does not converge with {count} taps"
        raise RequestError(message, hint="method=kaiser, or a wider width=") from error


def _firls(bands: Bands, count: int) -> Taps:
    """The least squared error over all bands."""
    from scipy.signal import firls

    edges = [end for start, stop, _ in bands.spans for end in (start, stop)]
    gains = [float(gain) for gain in bands.gains for _ in range(2)]
    return np.asarray(firls(count, edges, gains, fs=1.0), dtype=np.float64)


def minimum_phase(taps: Taps, *, floor: float) -> Taps:
    """As many taps with the same |H| and the least delay, by the cepstrum (Oppenheim and Schafer, ch. 13).

    The cepstrum of log |H| is folded onto positive times. |H| is raised to `floor` times its peak first: its zeros
    have no logarithm, and a floor below the stop band's ripple changes nothing that was promised.
    """
    points = 1 << (32 * taps.size - 1).bit_length()
    while points > 2**22 and points > 4 * taps.size:
        points //= 2
    gains = np.abs(np.fft.rfft(taps, points))
    cepstrum = np.fft.irfft(np.log(np.maximum(gains, floor * gains.max())), points)
    cepstrum[1 : points // 2] *= 2
    cepstrum[points // 2 + 1 :] = 0
    return np.asarray(
        np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), points)[: taps.size], dtype=np.float64
    )


def _settled(taps: Taps, window: Taps, bands: Bands) -> Taps:
    """The gain exact where it matters: 0 or 1 at frequency 0, and 1 in the middle of what passes.

    Where frequency 0 is stopped, the leak there is taken away by as much of the window, whose spectrum is a narrow
    peak; then everything is scaled to gain 1 at frequency 0, at Nyquist, or in the middle of the pass band.
    """
    if bands.gains[0] == 0:
        taps = taps - taps.sum() * (window / window.sum())
    if bands.gains[0] == 1:
        reference = 0.0
    elif bands.gains[-1] == 1:
        reference = 0.5
    else:
        reference = sum(bands.edges) / 2
    gain = taps.sum() if reference == 0 else float(np.abs(response(taps, np.array([reference])))[0])
    if abs(gain) < 1e-9 * np.abs(taps).sum():
        raise RequestError(
            f"{taps.size} taps are too few to tell these bands apart", hint="more taps=, or none"
        )
    peak = int(np.argmax(np.abs(taps)))
    symmetric = np.array_equal(taps, taps[::-1])
    return exact(taps / gain, float(bands.gains[0]), at=None if symmetric else peak)
