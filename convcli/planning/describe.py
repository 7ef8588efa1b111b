"""Facts about a plan: taps, sums, delay, look-ahead, reach, and the response over frequency.

`convcli explain`, `-v` and reports call `step_facts` and `chain_facts`; the functions whose names
end in `with_response` and `drawn_facts` add the curves that reports draw.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.chain import Chain
from convcli.core.convolution.convolve_2d import factor
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.facts import ReachFacts, StepFacts, TimeReachFacts
from convcli.units import describe_frequency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import FloatArray, IntArray
    from convcli.core.op import Op
    from convcli.core.ops import Convolve
    from convcli.core.reach import Reach
    from convcli.planning.plan import BoundStep, Plan
    from convcli.signals import Signal


# Products of taps that are computed for an export.
MOST_PRODUCTS = 1 << 32

# A response has at least this many frequencies; of more, the extremes in this many bands are kept.
POINTS = 512
# Further bands of a response for a logarithmic axis, a few in a hundred wide.
RATIO_BANDS = 256
# Gains are drawn down to LEAST_GAIN in dB. The group delay is given only where the gain is less
# than LEAST_PASSING dB below its largest value.
LEAST_GAIN, LEAST_PASSING = -200.0, 60.0
# Products of taps that are computed to draw the response of a chain.
MOST_DRAWN_PRODUCTS = 1 << 28
# Taps on each side of a two-dimensional kernel, and points of each side of its spectrum.
MOST_DRAWN_SIDE, PLANE_POINTS = 65, 64
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
    facts = StepFacts(
        text=step.call.text,
        name=step.step.name,
        delay=_step_delay(step),
        look_ahead=None if stage.sees_whole else chain.look_ahead(),
        reach=reach_facts(chain),
        note=stage.note or _default_note(step),
        frequency_unit=_frequency_unit(stage.before),
        cycle=_cycles_of(stage.before),
        layers=stage.layers,
        notices=stage.notices,
    )
    weights = _first_taps(step)
    if weights is None:
        return facts
    return replace(
        facts,
        taps=int(weights.size),
        shape=weights.shape,
        sum=_sum_of(weights),
    )


def with_response(facts: StepFacts, step: BoundStep) -> StepFacts:
    """The facts with all taps and the response over frequency, for a report."""
    first = _first_taps(step)
    if first is not None and first.ndim == 1:
        facts = replace(facts, weights=tuple(first.tolist()))
    weights = weights_of(step)
    if weights is None:
        return facts
    if weights.ndim == 3 and step.before.axes == 2:
        facts = replace(facts, planes=len(weights))
        weights = weights[0]
    attenuation = step.values.get("attenuation")
    levels = [-3.0]
    if attenuation:
        levels.append(-float(attenuation))
    convolution = _first_convolution(step.ops)
    position = step.stage.learned.position if step.stage.learned is not None else None
    if convolution is not None:
        position = convolution.reach[0]
    return _with_curves(facts, weights, _Place(step.before, position), levels)


def drawn_facts(text: str, steps: Sequence[BoundStep]) -> StepFacts:
    """The facts of a step, or of a chain as one step, with all that is drawn of it."""
    if len(steps) == 1:
        return with_response(step_facts(steps[0]), steps[0])
    ops = tuple(op for step in steps for op in step.ops)
    reach = reach_facts(Chain(ops, steps[0].before.axes))
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
    ops = tuple(op for step in steps for op in step.ops)
    along = Chain(ops, signal.axes).reach[0]
    unit, cycle = _frequency_unit(signal), _cycles_of(signal)
    facts = replace(facts, frequency_unit=unit, cycle=cycle)
    return _with_curves(facts, weights, _Place(signal, along), [-3.0])


@dataclass(frozen=True)
class _Place:
    """The signal that taps filter, and their position along its first axis.

    reach : None if the taps begin at sample 0
    """

    signal: Signal
    reach: Reach | None

    @property
    def first(self) -> int:
        """The position of the first output that an impulse at 0 reaches."""
        return 0 if self.reach is None else self.reach.anchor - self.reach.after


def _with_curves(
    facts: StepFacts, weights: FloatArray, place: _Place, levels: Sequence[float]
) -> StepFacts:
    """The facts with the responses of one set of taps to impulse, step and frequencies."""
    signal = place.signal
    if weights.ndim == 2 and signal.axes == 2:
        return _with_plane(facts, weights)
    if weights.ndim != 1:
        return facts
    first = place.first
    facts = replace(
        facts,
        impulse=_outline_pairs(weights, first),
        step_response=_outline_pairs(np.cumsum(weights), first),
    )
    if weights.size < 2:
        return facts
    frequencies, gain = response(weights, POINTS)
    kept = _drawn_frequencies(gain)
    unit = _cycles_of(signal)
    drawn = (unit * frequencies[kept]).tolist()
    floored = np.maximum(gain[kept], LEAST_GAIN).tolist()
    stop_level = min(levels)
    stop_bands = _stop_bands(gain, stop_level, unit) if stop_level < -LEAST_STOP else ()
    return replace(
        facts,
        response=tuple(zip(drawn, floored, strict=True)),
        group_delay=_group_delays(weights, first, gain, kept),
        crossings=_crossings_of_levels(weights, levels, unit),
        stop_level=stop_level if stop_bands else None,
        stop_bands=stop_bands,
    )


def _crossings_of_levels(
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


def _outline_pairs(values: FloatArray, first: int) -> tuple[tuple[float, float], ...]:
    """Positions from `first` on with their values; of many, the extremes of each part."""
    kept = _extremes(values)
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


def _with_plane(facts: StepFacts, weights: FloatArray) -> StepFacts:
    """The facts with two-dimensional taps and their spectrum; of many taps, those at the centre."""
    if weights.size < 2:
        return facts
    middle = []
    for n in weights.shape:
        side = min(n, MOST_DRAWN_SIDE)
        start = (n - side) // 2
        middle.append(slice(start, start + side))
    shown = weights[tuple(middle)]
    sides = tuple(max(PLANE_POINTS, n) for n in weights.shape)
    spectrum = np.abs(np.fft.fft2(weights, sides))
    centred = np.fft.fftshift(spectrum)
    strides = [-(-n // PLANE_POINTS) for n in sides]
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
    firsts = [_first_convolution(step.ops) for step in plan.steps]
    found = [convolution.taps for convolution in firsts if convolution is not None]
    delay = None if plan.chain.times.in_time else _total_delay(plan.chain.ops)
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


def _default_note(step: BoundStep) -> str:
    """The note of a step whose design says nothing."""
    if step.sees_whole:
        return "sees the whole signal first"
    return "" if step.ops else "changes nothing"


def _frequency_unit(signal: Signal) -> str:
    _, unit = describe_frequency(0.5, signal).split(" ", 1)
    return unit


# --------------------------------------------------------------------------------------------- taps


def weights_of(step: BoundStep) -> FloatArray | None:
    """The taps of a step divided by their divisor, (k,) or (height, width).

    Several sets of taps are a stack; None for a step without taps. A network that is one learned
    layer has a set for each pair of an input and an output channel.
    """
    stage = step.stage
    if stage.network:
        return None if stage.learned is None else stage.learned.taps
    convolutions = [convolution for op in stage.ops for convolution in op.formula.convolutions]
    weights = [_weights(convolution) for convolution in convolutions]
    if not weights:
        return None
    return weights[0] if len(weights) == 1 else np.stack(weights)


def chain_taps(steps: Sequence[BoundStep], most: int = MOST_PRODUCTS) -> FloatArray:
    """The taps of one convolution that equals several in series, (k,) or (height, width).

    Taps that follow a stride are as far apart as the stride says. Raises RequestError for a step
    that is not a convolution, and for more than `most` products, by default a minute's work.
    """
    from convcli.core.composed import composed

    ops = tuple(op for step in steps for op in _linear_operations(step))
    found = composed(Chain(ops, steps[0].before.axes), most=most)
    if found is None:
        raise steps[-1].call.error("the taps of the chain are too many to be exported")
    return _weights(found)


def _linear_operations(step: BoundStep) -> tuple[Op, ...]:
    """The operations of a step that is a series of convolutions; RequestError for any other."""
    if step.sees_whole or any(op.formula.as_convolution is None for op in step.ops):
        message = f"{step.call.title} is not a convolution, and a chain with it has no taps"
        raise step.call.error(message, hint="a chain of kernels, smoothing and frequency steps has")
    return step.ops


def bias_of(step: BoundStep) -> FloatArray | None:
    """The constants that a network of one layer adds to its outputs, (out,); None if none."""
    learned = step.stage.learned
    return None if learned is None else learned.bias


def taps_text(step: BoundStep) -> str:
    """The taps as text if they are few, else "": `1, 2, 1 (/ 4)`; rows are separated by `;`."""
    stage = step.stage
    if stage.network:
        weights = weights_of(step)
        taps = [] if weights is None else [(weights, 1.0)]
    else:
        taps = [(each.taps, each.divisor) for op in stage.ops for each in op.formula.convolutions]
    if not taps or taps[0][0].size > 49:
        return ""
    return " and ".join(_written(each, divisor) for each, divisor in taps)


def _written(taps: FloatArray, divisor: float) -> str:
    rows = [", ".join(f"{tap:.6g}" for tap in row) for row in np.atleast_2d(taps)]
    text = "; ".join(rows)
    return text if divisor == 1 else f"{text} (/ {divisor:g})"


def _first_taps(step: BoundStep) -> FloatArray | None:
    """The taps that describe a step: of its first convolution, or of its only layer.

    None for a step without taps, and for a layer with several sets of taps.
    """
    if step.stage.network:
        weights = weights_of(step)
        one_set = weights is not None and weights.ndim == step.before.axes
        return weights if one_set else None
    convolution = _first_convolution(step.ops)
    return None if convolution is None else _weights(convolution)


def _first_convolution(ops: tuple[Op, ...]) -> Convolve | None:
    for op in ops:
        if op.formula.convolutions:
            return op.formula.convolutions[0]
    return None


def _weights(convolution: Convolve) -> FloatArray:
    return convolution.taps / convolution.divisor


# -------------------------------------------------------------------------------------------- delay


def _step_delay(step: BoundStep) -> float | None:
    """The delay of a step in samples of its input; None where it is unknown."""
    learned = step.stage.learned
    if step.stage.network:
        weights = _first_taps(step)
        if weights is None or learned is None or learned.position is None:
            return None
        return group_delay(weights, learned.position)
    return _total_delay(step.ops)


def _total_delay(ops: tuple[Op, ...]) -> float | None:
    """The delays of operations added up, in samples of the input of the first.

    None where the delay of one of them is unknown.
    """
    total, scale = 0.0, 1.0
    for op in ops:
        own = _delay_of(op)
        if own is None:
            return None
        total += scale * own
        along = op.reach[0]
        scale *= along.step / along.phases
    return total


def _delay_of(op: Op) -> float | None:
    """The delay of an operation in samples of its input; None where it is unknown."""
    formula = op.formula
    if not formula.convolutions:
        return formula.delay
    first = formula.convolutions[0]
    return group_delay(first.taps, first.reach[0])


def group_delay(weights: FloatArray, at: Reach) -> float:
    """How many samples the output lags behind the input that it is aligned with, along axis 0.

    The group delay at frequency 0, sum(j w[j]) / sum(w), or the centre of the energy where the sum
    of the taps is nearly 0.
    """
    others = tuple(range(1, weights.ndim))
    profile = weights.sum(axis=others)
    total = profile.sum()
    if abs(total) <= 0.1 * np.abs(profile).sum():
        energies = np.square(weights).sum(axis=others)
        profile = np.square(profile) if profile.any() else energies
        total = profile.sum()
    if total == 0:
        return 0.0
    moment = (np.arange(profile.size) * profile).sum()
    centre = float(moment / total)
    lag = centre - at.after + at.anchor
    return round(lag, 9) + 0.0  # adding 0 turns -0 into 0


# ----------------------------------------------------------------------------------------- response


def response(weights: FloatArray, points: int = 1 << 15) -> tuple[FloatArray, FloatArray]:
    """Frequencies in cycles per sample, from 0 to 1/2, and the gain of the taps there in dB.

    points : how many frequencies there are at least
    """
    least_size = 4 * weights.size
    power_of_two = 1 << (least_size - 1).bit_length()
    size = max(2 * points, power_of_two)
    if weights.size <= 1 << 22:
        size = min(size, 1 << 22)
    gain = np.abs(np.fft.rfft(weights, size))
    decibels = 20 * np.log10(np.maximum(gain, 1e-16))
    return np.arange(gain.size) / size, decibels


def _cycles_of(signal: Signal) -> float:
    """One cycle per sample in the unit of the signal's frequencies (Hz, cycles/day ...)."""
    return 1.0 if signal.rate is None else signal.rate * signal.cycle


def _extremes(gain: FloatArray) -> IntArray:
    """Indices of the ends, and of the least and largest gain in each of POINTS equal bands."""
    if gain.size <= 2 * POINTS:
        return np.arange(gain.size)
    width = gain.size // POINTS
    whole = width * (gain.size // width)
    bands = gain[:whole].reshape(-1, width)
    starts = np.arange(0, whole, width)
    lowest = starts + bands.argmin(axis=1)
    highest = starts + bands.argmax(axis=1)
    # Fewer frequencies than a band has are left over at the end: all of them are kept.
    rest = np.arange(whole, gain.size)
    return np.unique(np.concatenate([[0], lowest, highest, rest, [gain.size - 1]]))


def _drawn_frequencies(gain: FloatArray) -> IntArray:
    """Indices of the frequencies that show a response over a linear and over a logarithmic axis.

    They are those of `_extremes`, and the least and largest gain in each of RATIO_BANDS bands whose
    ends have one ratio.
    """
    kept = _extremes(gain)
    if kept.size == gain.size:
        return kept
    borders = np.geomspace(1, gain.size, RATIO_BANDS + 1).astype(np.int64)
    places = [kept]
    for low, high in pairwise(np.unique(borders).tolist()):
        band = gain[low:high]
        extremes_of_band = np.array([band.argmin(), band.argmax()])
        places.append(low + extremes_of_band)
    return np.unique(np.concatenate(places))


def crossings(weights: FloatArray, level: float) -> list[float]:
    """Frequencies in cycles per sample at which the gain crosses `level` dB below its largest."""
    frequencies, gain = response(weights)
    relative = gain - gain.max() - level
    at = np.flatnonzero(np.diff(np.signbit(relative)))
    fall = relative[at] - relative[at + 1]
    share = relative[at] / fall
    spacing = frequencies[at + 1] - frequencies[at]
    crossed: list[float] = (frequencies[at] + share * spacing).tolist()
    return crossed
