"""Frequency-selective filters: low-pass, high-pass, band-pass and band-stop.

All four share their options:

width : from the last frequency that passes to the first that is stopped; the cut-off is its middle
attenuation : of the stop band in dB; the ripple of the pass band is then 1 +- 10**(-dB / 20)
taps : the number of taps, which is used instead of the one that the attenuation needs
method : kaiser (windowed sinc), remez (equal ripple) or firls (least squares)
phase : linear (a pure delay, none when centred) or minimum (no ringing before an event)
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from convcli.core.convolution import kaiser
from convcli.core.kernel import Kernel
from convcli.designs.fir import (
    LEAST_ATTENUATION,
    Bands,
    Method,
    Specification,
    design_taps,
    most_attenuation,
)
from convcli.designs.registry import step
from convcli.designs.taps import refuse_huge, with_exact_sum
from convcli.errors import RequestError
from convcli.signals import Signal
from convcli.units import Frequency, describe_frequency

# The default width, as a part of the smallest distance between 0, the cut-offs and Nyquist.
DEFAULT_WIDTH = 0.25
USUAL = Specification()


@step("frequency", example="lowpass:0.1")
def lowpass(cutoff: Frequency, spec: Specification = USUAL, *, signal: Signal) -> Kernel:
    """Keep the frequencies below CUTOFF.

    cutoff : Hz (cycles/sample without a rate), where the gain is 1/2
    width : of the transition around it, by default a quarter of the distance from the cut-off to 0
        or to half the rate, whichever is nearer
    attenuation : dB

    The taps are h[n] = 2 f sinc(2 f n) times a Kaiser window. Their number is Kaiser's estimate,
    raised until the measured response meets the specification: at most -attenuation from
    f + width/2 on, 1 +- 10**(-attenuation/20) up to f - width/2. The taps sum to 1 exactly. Raises
    RequestError where the transition does not fit between 0 and Nyquist.
    """
    return _filter((cutoff,), (1, 0), spec, signal)


@step("frequency", example="highpass:0.1")
def highpass(cutoff: Frequency, spec: Specification = USUAL, *, signal: Signal) -> Kernel:
    """Keep the frequencies above CUTOFF.

    Options as in lowpass. The taps sum to 0 exactly (a constant is removed) and the gain at Nyquist
    is 1, for which their number must be odd. On a picture, where no axis is picked, it is the
    picture less its lowpass: what is fine in any direction is kept.
    """
    return _filter((cutoff,), (0, 1), spec, signal)


@step("frequency", example="bandpass:0.1,0.2")
def bandpass(
    low: Frequency, high: Frequency, spec: Specification = USUAL, *, signal: Signal
) -> Kernel:
    """Keep the frequencies between LOW and HIGH.

    Options as in lowpass; both transitions have this width. The taps sum to 0 exactly and the gain
    in the middle of the band is 1. On a picture, where no axis is picked, it is lowpass:HIGH less
    lowpass:LOW.
    """
    return _filter((low, high), (0, 1, 0), spec, signal)


@step("frequency", example="bandstop:0.1,0.2")
def bandstop(
    low: Frequency, high: Frequency, spec: Specification = USUAL, *, signal: Signal
) -> Kernel:
    """Remove the frequencies between LOW and HIGH.

    Options as in lowpass; both transitions have this width. The taps, an odd number, sum to 1
    exactly. On a picture, where no axis is picked, it is the picture less its bandpass.
    """
    return _filter((low, high), (1, 0, 1), spec, signal)


def _filter(
    edges: tuple[float, ...],
    gains: tuple[int, ...],
    spec: Specification,
    signal: Signal,
) -> Kernel:
    if len(edges) == 2 and edges[0] >= edges[1]:
        low, high = (describe_frequency(edge, signal) for edge in edges)
        raise RequestError(
            f"the first frequency must be below the second, got {low} and {high}",
            hint="the lower frequency comes first",
        )
    _check_attenuation(spec)
    if spec.taps is not None:
        _check_count(spec.taps, gains, spec.method)
    narrowest = min(high - low for low, high in pairwise((0.0, *edges, 0.5)))
    width = spec.width
    if width is not None:
        _check_width(edges, width, signal)
    elif spec.taps is None:
        width = DEFAULT_WIDTH * narrowest
    else:
        possible = kaiser.width(spec.taps, spec.attenuation)
        width = min(possible, 0.9 * narrowest)
    bands = Bands(edges=edges, gains=gains, width=width)
    plane = None
    if gains != (1, 0):
        plane = partial(_over_plane, bands, spec)
    centre = (0,) if spec.phase == "minimum" else ()
    return Kernel(taps=design_taps(bands, spec), centre=centre, plane=plane)


def _over_plane(bands: Bands, spec: Specification) -> Kernel:
    """The two-dimensional filter whose bands are those of low-passes along both axes.

    A high-pass is the picture less its low-pass, a band-pass the difference of two low-passes, a
    band-stop the picture less that difference. Each low-pass meets the specification.
    """
    if spec.phase == "minimum":
        message = "phase=minimum cannot be used for this filter along both axes of a picture"
        raise RequestError(message, hint="phase=linear, or axis=x for one axis")
    lines = [
        design_taps(Bands(edges=(edge,), gains=(1, 0), width=bands.width), spec)
        for edge in bands.edges
    ]
    side = max(line.size for line in lines)
    refuse_huge(float(side) ** 2, "this filter of a picture", "a wider width=, or axis=x")
    taps = np.zeros((side, side))
    if bands.gains[-1] == 1:
        taps[side // 2, side // 2] = 1.0
    # Where the gain rises across an edge, the low-pass of that edge is taken away.
    for line, gain, next_gain in zip(lines, bands.gains, bands.gains[1:], strict=False):
        padded = np.pad(line, (side - line.size) // 2)
        taps += (gain - next_gain) * np.outer(padded, padded)
    return Kernel(taps=with_exact_sum(taps, float(bands.gains[0])))


def _check_attenuation(spec: Specification) -> None:
    least = LEAST_ATTENUATION
    most = most_attenuation(spec.method, spec.phase)
    if not least <= spec.attenuation <= most:
        how = f"method={spec.method}, phase={spec.phase}"
        span = f"{least:g} ... {most:g} dB ({how})"
        message = f"the attenuation must be in {span}, got {spec.attenuation:g}"
        raise RequestError(message, hint="attenuation=80")


def _check_count(taps: int, gains: tuple[int, ...], method: Method) -> None:
    """Raise RequestError for a number of taps with which the method cannot make these bands."""
    reason = None
    if gains[-1] == 1:
        reason = "an even number has gain 0 at half the rate"
    elif method == "firls":
        reason = "firls makes no other"
    if taps % 2 == 0 and reason is not None:
        message = f"takes an odd number of taps, not {taps}: {reason}"
        raise RequestError(message, hint=f"taps={taps + 1}")
    if taps < 3:
        raise RequestError(f"{taps} taps cannot separate frequencies", hint="at least taps=3")


def _check_width(edges: tuple[float, ...], width: float, signal: Signal) -> None:
    """Raise RequestError when the transitions leave no band between them."""
    for low, high in pairwise((0.0, *edges, 0.5)):
        room = high - low
        if low == 0 or high == 0.5:
            room *= 2  # next to 0 and Nyquist lies half a transition
        if width >= room:
            first, last, wide, widest = (
                describe_frequency(each, signal) for each in (low, high, width, room)
            )
            message = f"a transition of {wide} leaves no band between {first} and {last}"
            raise RequestError(message, hint=f"a width below {widest}")
