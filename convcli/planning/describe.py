"""Facts about a plan: taps, sums, delay, look-ahead, reach, and the response over frequency.

`convcli explain`, `-v` and reports call `step_facts` and `chain_facts`; the functions whose names
end in `with_response` and `drawn_facts` add the curves that reports draw. The numbers come from
`taps_of_steps.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.chain import Chain
from convcli.core.convolution.convolve_2d import factor
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.facts import ReachFacts, StepFacts, TimeReachFacts
from convcli.planning.plan import chain_of
from convcli.planning.taps_of_steps import (
    RATIO_BANDS,
    RESPONSE_POINTS,
    band_extremes,
    chain_taps,
    crossings,
    drawn_frequencies,
    first_convolution,
    first_taps,
    response,
    step_delay,
    total_delay,
    weights_of,
)
from convcli.units import describe_frequency

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import FloatArray, IntArray
    from convcli.core.binding import Rules
    from convcli.core.reach import Reach
    from convcli.planning.plan import BoundStep, Plan
    from convcli.signals import Signal


# Gains are drawn down to LEAST_GAIN in dB. The group delay is given only where the gain is less
# than LEAST_PASSING dB below its largest value.
LEAST_GAIN, LEAST_PASSING = -200.0, 60.0
# Products of taps that are computed to draw the response of a chain.
MOST_DRAWN_PRODUCTS = 1 << 28
# Taps on each side of a two-dimensional kernel, and points of each side of its spectrum.
MOST_DRAWN_SIDE, PLANE_POINTS = 65, 64
# Of a chain of more steps than MOST_IN_FULL, each step has fewer points, so that a report stays
# below 3 MB: a step has up to 8,700 numbers, and JSON takes 20 bytes for one. With any number of
# steps, a curve has points of LEAST_BANDS bands.
MOST_IN_FULL, LEAST_BANDS = 12, 4
# Frequencies at which the gain crosses a level: at most this many are reported for each level.
MOST_CROSSINGS = 6
# Stop bands are reported for a level at least LEAST_STOP dB down, which designs may miss by
# STOP_MARGIN dB, if they are at least NARROWEST_STOP cycles per sample wide.
LEAST_STOP, STOP_MARGIN, NARROWEST_STOP = 6.0, 0.5, 0.002
# Passes are reported if they take this many times fewer taps than the window has.
_MUCH_CHEAPER = 10


def step_facts(step: BoundStep) -> StepFacts:
    """The facts of one step at its place."""
    stage = step.stage
    chain = Chain(stage.ops, stage.before.axes)
    note = stage.note
    if not note and stage.sees_whole:
        note = "sees the whole signal first"
    elif not note and not stage.ops:
        note = "changes nothing"
    facts = StepFacts(
        text=step.call.text,
        name=step.step.name,
        delay=step_delay(step),
        look_ahead=None if stage.sees_whole else chain.look_ahead(),
        reach=reach_facts(chain),
        note=note,
        frequency_unit=_frequency_unit(stage.before),
        cycle=_cycles_of(stage.before),
        layers=stage.layers,
        notices=stage.notices,
    )
    weights = first_taps(step)
    if weights is None:
        return facts
    return replace(
        facts,
        taps=int(weights.size),
        shape=weights.shape,
        sum=_sum_of(weights),
    )


@dataclass(frozen=True, kw_only=True)
class CurveSize:
    """How many points the curves of a step have, at most.

    bands, ratio_bands : bands of a curve along a linear and along a logarithmic axis, two points in
        each
    side, spectrum : numbers along each axis of two-dimensional taps and of their spectrum
    """

    bands: int = RESPONSE_POINTS
    ratio_bands: int = RATIO_BANDS
    side: int = MOST_DRAWN_SIDE
    spectrum: int = PLANE_POINTS

    @classmethod
    def beside(cls, steps: int) -> CurveSize:
        """The size of the curves of each of several steps."""
        share = min(1.0, MOST_IN_FULL / max(1, steps))
        along = math.sqrt(share)
        return cls(
            bands=max(LEAST_BANDS, round(RESPONSE_POINTS * share)),
            ratio_bands=max(LEAST_BANDS, round(RATIO_BANDS * share)),
            side=max(LEAST_BANDS, round(MOST_DRAWN_SIDE * along)),
            spectrum=max(LEAST_BANDS, round(PLANE_POINTS * along)),
        )


FULL_SIZE = CurveSize()


def with_response(facts: StepFacts, step: BoundStep, size: CurveSize = FULL_SIZE) -> StepFacts:
    """The facts with all taps and the response over frequency, for a report."""
    first = first_taps(step)
    if first is not None and first.ndim == 1:
        facts = replace(facts, weights=tuple(first.tolist()))
    weights = weights_of(step)
    if weights is None:
        return facts
    if weights.ndim == 3 and step.before.axes == 2:
        facts = replace(facts, planes=len(weights))
        weights = weights[0]
    if weights.ndim == 2 and step.before.axes == 2:
        return _with_plane(facts, weights, size)
    convolution = first_convolution(step.ops)
    position = step.stage.learned.position if step.stage.learned is not None else None
    if convolution is not None:
        position = convolution.reach[0]
    return _with_curves(facts, weights, position, described_levels(step), size)


def drawn_facts(text: str, steps: Sequence[BoundStep], size: CurveSize = FULL_SIZE) -> StepFacts:
    """The facts of a step, or of a chain as one step, with all that is drawn of it.

    No signal is given, so the sizes that come out of layers are not known.
    size : of the curves of a step
    """
    if len(steps) == 1:
        facts = step_facts(steps[0])
        layers = tuple(replace(layer, size=()) for layer in facts.layers)
        return with_response(replace(facts, layers=layers), steps[0], size)
    reach = reach_facts(chain_of(steps, steps[0].before))
    return chain_with_response(StepFacts(text=text, name="chain", reach=reach), steps)


def chain_with_response(facts: StepFacts, steps: Sequence[BoundStep]) -> StepFacts:
    """The facts of a whole chain with its response, where it is a series of convolutions."""
    if len(steps) < 2:
        return facts
    try:
        weights = chain_taps(steps, most=MOST_DRAWN_PRODUCTS)
    except RequestError:
        return facts
    signal = steps[0].before
    along = chain_of(steps, signal).reach[0]
    unit, cycle = _frequency_unit(signal), _cycles_of(signal)
    facts = replace(facts, frequency_unit=unit, cycle=cycle)
    if weights.ndim == 2 and signal.axes == 2:
        return _with_plane(facts, weights, FULL_SIZE)
    return _with_curves(facts, weights, along, [-3.0])


def _with_curves(
    facts: StepFacts,
    weights: FloatArray,
    reach: Reach | None,
    levels: Sequence[float],
    size: CurveSize = FULL_SIZE,
) -> StepFacts:
    """The facts with the responses of one set of taps to impulse, step and frequencies.

    reach : the position of the taps along axis 0; None if they begin at sample 0
    """
    if weights.ndim != 1:
        return facts
    # The position of the first output that an impulse at 0 reaches.
    first = 0 if reach is None else reach.anchor - reach.after
    facts = replace(
        facts,
        impulse=_outline_pairs(weights, first, size),
        step_response=_outline_pairs(np.cumsum(weights), first, size),
    )
    if weights.size < 2:
        return facts
    frequencies, gain = response(weights, RESPONSE_POINTS)
    kept = drawn_frequencies(gain, size.bands, size.ratio_bands)
    unit = facts.cycle
    drawn = (unit * frequencies[kept]).tolist()
    floored = np.maximum(gain[kept], LEAST_GAIN).tolist()
    stop_level = min(levels)
    stop_bands = _stop_bands(gain, stop_level, unit) if stop_level < -LEAST_STOP else ()
    return replace(
        facts,
        response=tuple(zip(drawn, floored, strict=True)),
        group_delay=_group_delays(weights, first, gain, kept),
        crossings=crossings_of_levels(weights, levels, unit),
        stop_level=stop_level if stop_bands else None,
        stop_bands=stop_bands,
    )


def described_levels(step: BoundStep) -> list[float]:
    """The gains in dB that a response is described by: -3, and the attenuation asked for."""
    attenuation = step.values.get("attenuation")
    return [-3.0, -float(attenuation)] if attenuation else [-3.0]


def crossings_of_levels(
    weights: FloatArray, levels: Sequence[float], unit: float
) -> tuple[tuple[float, tuple[float, ...]], ...]:
    """Each level in dB that the gain crosses, with the first frequencies at which it does.

    unit : one cycle per sample in the unit of the frequencies
    """
    crossed = []
    for level in levels:
        found = crossings(weights, level)[:MOST_CROSSINGS]
        if found:
            frequencies = tuple(unit * frequency for frequency in found)
            crossed.append((level, frequencies))
    return tuple(crossed)


def _stop_bands(gain: FloatArray, level: float, unit: float) -> tuple[tuple[float, float], ...]:
    """The ranges of frequency in which the gain stays below a level.

    gain : in dB at equal distances from 0 to 1/2 cycles per sample; designs meet their attenuation
        to `STOP_MARGIN` dB
    unit : one cycle per sample in the unit of the frequencies
    """
    highest_stopped = gain.max() + level + STOP_MARGIN
    is_stopped = gain <= highest_stopped
    ends = np.flatnonzero(np.diff(is_stopped, prepend=False, append=False))
    scale = 0.5 / (gain.size - 1)
    bands = []
    for start, stop in ends.reshape(-1, 2).tolist():
        low = start * scale
        high = (stop - 1) * scale
        if high - low >= NARROWEST_STOP:
            bands.append((unit * low, unit * high))
    return tuple(bands)


def _outline_pairs(
    values: FloatArray, first: int, size: CurveSize
) -> tuple[tuple[float, float], ...]:
    """Positions from `first` on with their values; of many, the extremes of each part."""
    kept = band_extremes(values, size.bands)
    positions = (first + kept).tolist()
    return tuple(zip(positions, values[kept].tolist(), strict=True))


def _group_delays(
    impulse: FloatArray, first: int, gain: FloatArray, kept: IntArray
) -> tuple[float | None, ...]:
    """The group delay in samples at the frequencies `kept`, of a response that begins at `first`.

    It is the real part of the spectrum of n h[n] over that of h[n] (Smith, Introduction to digital
    filters, 2007, appendix C).
    """
    size = 2 * (gain.size - 1)
    ramp = impulse * np.arange(impulse.size)
    spectrum = np.fft.rfft(impulse, size)[kept]
    ramp_spectrum = np.fft.rfft(ramp, size)[kept]
    passes = gain[kept] > gain.max() - LEAST_PASSING
    power = np.abs(spectrum) ** 2
    quotient = np.divide(
        ramp_spectrum * np.conj(spectrum), power, out=np.zeros_like(spectrum), where=passes
    )
    delays = np.where(passes, quotient.real + first, np.nan)
    return tuple(None if np.isnan(delay) else round(delay, 6) for delay in delays.tolist())


def _with_plane(facts: StepFacts, weights: FloatArray, size: CurveSize) -> StepFacts:
    """The facts with two-dimensional taps and their spectrum; of many taps, those at the centre."""
    if weights.size < 2:
        return facts
    middle = []
    for n in weights.shape:
        side = min(n, size.side)
        start = (n - side) // 2
        middle.append(slice(start, start + side))
    shown = weights[tuple(middle)]
    sides = tuple(max(PLANE_POINTS, n) for n in weights.shape)
    spectrum = np.abs(np.fft.fft2(weights, sides))
    centred = np.fft.fftshift(spectrum)
    strides = [-(-n // size.spectrum) for n in sides]
    every = tuple(slice(None, None, stride) for stride in strides)
    gains_drawn = np.maximum(centred[every], 1e-16)
    decibels = 20 * np.log10(gains_drawn)
    response = []
    for row in np.maximum(decibels, LEAST_GAIN).tolist():
        gains = tuple(round(gain, 2) for gain in row)
        response.append(gains)
    plane = tuple(map(tuple, shown.tolist()))
    return replace(facts, plane=plane, plane_response=tuple(response))


def _sum_of(weights: FloatArray) -> float:
    """The sum of taps; 0 for what their rounding leaves of 0."""
    total = math.fsum(weights.flat)
    rounding = float(np.finfo(np.float64).eps * np.abs(weights).sum())
    return total if abs(total) > rounding else 0.0


def chain_facts(plan: Plan) -> StepFacts:
    """The facts of all steps as one.

    A network has no taps and no delay that could be added to those of others.
    """
    facts = StepFacts(
        text=plan.filter,
        name="chain",
        look_ahead=plan.look_ahead,
        reach=reach_facts(plan.chain),
    )
    if any(step.stage.network for step in plan.steps):
        return facts
    firsts = [first_convolution(step.ops) for step in plan.steps]
    found = [convolution.taps for convolution in firsts if convolution is not None]
    delay = None if plan.chain.times.in_time else total_delay(plan.chain.ops)
    facts = replace(facts, delay=delay)
    if not found:
        return facts
    taps = sum(each.size for each in found)
    passes = tuple(_passes(each) for each in found)
    taps_of_passes = sum(sum(each) for each in passes)
    if taps_of_passes * _MUCH_CHEAPER > taps:
        passes = ()
    return replace(facts, taps=taps, passes=passes)


def _passes(taps: FloatArray) -> tuple[int, ...]:
    """The taps of each pass in which a convolution is computed."""
    if taps.ndim == 2 and min(taps.shape) > 1 and factor(taps) is not None:
        return taps.shape
    return (taps.size,)


def reach_facts(chain: Chain) -> tuple[ReachFacts, ...]:
    """The reach of a chain, on each axis."""
    if chain.times.in_time:
        return (TimeReachFacts(before=0, after=chain.look_ahead()),)
    found = []
    for axis, reach in enumerate(chain.reach):
        before, after = chain.around_aligned(axis)
        found.append(ReachFacts(before=before, after=after, step=reach.step, phases=reach.phases))
    return tuple(found)


def _frequency_unit(signal: Signal) -> str:
    _, unit = describe_frequency(0.5, signal).split(" ", 1)
    return unit


def _cycles_of(signal: Signal) -> float:
    """One cycle per sample in the unit of the signal's frequencies (Hz, cycles/day ...)."""
    return 1.0 if signal.rate is None else signal.rate * signal.cycle


# ------------------------------------------------------------------------------------------- delays


# The user is warned of a delay of more outputs than these.
FEW = 3


def unasked_delays(plan: Plan) -> Iterator[str]:
    """Warn of each step that delays the rows of a table by more than a few outputs.

    Users who write a window in rows know its delay. The length of an anti-alias filter or of a
    low-pass follows from frequencies instead, so that its delay may surprise.
    """
    for step in plan.steps:
        yield from step.stage.warnings
        yield from delay_warnings(step, plan.rules)


def delay_warnings(step: BoundStep, rules: Rules) -> Iterator[str]:
    """Warn of one step if it delays the rows of a table and the user did not choose its length."""
    medium = step.before.medium
    if rules.align != "causal" or not medium.carries_cells:
        return
    # The user may have chosen the length of the filter, or the least delay.
    asked_for = step.values.get("taps") is not None or step.values.get("phase") == "minimum"
    if not step.step.length_follows_frequency or asked_for:
        return
    delay = step_facts(step).delay
    every = step.ops[0].reach[0].step if step.ops else 1
    if delay is None or delay <= FEW * every:
        return
    said = f"an output shows the input {delay:,.0f} {medium.sample}s before it"
    yield f"{step.call.text} delays by {delay:,.0f} {medium.sample}s: {said}; {_ways_out(step)}"


def _ways_out(step: BoundStep) -> str:
    centred = "--align center has no delay"
    if step.ops and step.ops[0].reach[0].phases > 1:
        return centred
    if step.step.anti_alias:
        written = step.call.arguments[0].text
        return f"avg_pool:{written} is the mean of every {written}, {centred}"
    if "phase" in step.values:
        return f"phase=minimum delays less, {centred}"
    return centred
