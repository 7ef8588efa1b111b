"""What a plan does, as facts: taps, sums, delay, look-ahead, reach, and the response over frequency."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.core.chain import Chain
from convcli.core.resample import Resample
from convcli.facts import LayerFacts, ReachFacts, StepFacts
from convcli.units import describe_frequency

if TYPE_CHECKING:
    from convcli.core.ops import Convolve, Op
    from convcli.core.reach import Reach
    from convcli.layers.conv import Conv
    from convcli.planning.plan import BoundLayer, BoundStep, Plan
    from convcli.signals import Signal

Numbers = npt.NDArray[np.float64]

# A drawing of taps and of a response needs no more points than this.
POINTS = 512


def step_facts(step: BoundStep) -> StepFacts:
    """The facts of one step at its place."""
    chain = Chain(step.ops, step.before.axes)
    weights, at = _single(step)
    line = weights if weights is not None and weights.ndim == 1 else None
    return StepFacts(
        text=step.call.text,
        name=step.step.name,
        taps=None if weights is None else int(weights.size),
        shape=() if weights is None else weights.shape,
        sum=None if weights is None else float(weights.sum()),
        delay=_step_delay(step, weights, at),
        look_ahead=None if step.whole is not None else chain.look_ahead(),
        reach=_reach_facts(chain),
        note=step.note or _whole_note(step),
        weights=() if line is None else tuple(line[:POINTS].tolist()),
        frequency_unit=_frequency_unit(step.before),
        layers=tuple(map(_layer_facts, step.layers)),
    )


def _step_delay(step: BoundStep, weights: Any, at: Reach | None) -> float | None:
    if _is_network(step):
        return None if weights is None or at is None else delay(weights, at)
    resamples = any(isinstance(op, Resample) and op.axes == 1 for op in step.ops)
    return _delay_of(step.ops) if resamples or weights is not None else None


def _layer_facts(layer: BoundLayer) -> LayerFacts:
    reach = None if layer.chain is None else _reach_facts(layer.chain)
    return LayerFacts(
        text=layer.text, parameters=layer.parameters, channels=layer.channels, reach=reach
    )


def _single(step: BoundStep) -> tuple[Any, Reach | None]:
    """The one set of taps that stands for a step and how it lies along axis 0; for a network of one layer its own."""
    if _is_network(step):
        weights = weights_of(step)
        layer = _layer(step)
        if weights is None or weights.ndim != step.before.axes or layer is None:
            return None, None
        return weights, None if layer.padding is not None else layer.reach[0]
    convolution = _convolution(step.ops)
    return (
        (None, None)
        if convolution is None
        else (convolution.taps / convolution.divisor, convolution.reach[0])
    )


def _is_network(step: BoundStep) -> bool:
    """Whether the taps of some operation are not those of the step."""
    return _layer(step) is not None or len(step.layers) > 1


def with_response(facts: StepFacts, step: BoundStep) -> StepFacts:
    """The facts with the response over frequency, for a drawing."""
    weights = weights_of(step)
    if weights is None or weights.ndim != 1 or weights.size < 2:
        return facts
    return replace(facts, response=_drawn_response(weights, step.before))


def chain_facts(plan: Plan) -> StepFacts:
    """All steps as one."""
    chain = plan.chain
    networks = any(_is_network(step) for step in plan.steps)
    convolutions = (
        [] if networks else [c for step in plan.steps if (c := _convolution(step.ops)) is not None]
    )
    return StepFacts(
        text=plan.filter,
        name="chain",
        taps=sum(c.taps.size for c in convolutions) if convolutions else None,
        delay=None if networks else _chain_delay(plan),
        look_ahead=plan.look_ahead,
        reach=_reach_facts(chain),
    )


def _chain_delay(plan: Plan) -> float:
    """The delays of the steps added up, in samples of the input."""
    return _delay_of(tuple(op for step in plan.steps for op in step.ops))


def _delay_of(ops: tuple[Op, ...]) -> float:
    total, scale = 0.0, 1.0
    for op in ops:
        convolution = _convolution((op,))
        if convolution is not None:
            total += scale * delay(convolution.taps, convolution.reach[0])
        elif isinstance(op, Resample) and op.axes == 1:
            total += scale * op.delay
        along = op.reach[0]
        scale *= along.step / along.phases
    return total


def _convolution(ops: tuple[Op, ...]) -> Convolve | None:
    """The convolution that stands for a step, if it has one."""
    for op in ops:
        if op.convolutions:
            return op.convolutions[0]
    return None


def _whole_note(step: BoundStep) -> str:
    if step.whole is not None:
        return "sees the whole signal first"
    if not step.ops:
        return "changes nothing"
    return ""


def _reach_facts(chain: Chain) -> tuple[ReachFacts, ...]:
    return tuple(
        ReachFacts(before=r.before, after=r.after, step=r.step, phases=r.phases)
        for r in chain.reach
    )


def _frequency_unit(signal: Signal) -> str:
    return describe_frequency(0.5, signal).split(" ", 1)[1]


def delay(weights: Numbers, at: Reach) -> float:
    """How much later than the sample it stands at the output describes, along axis 0, in samples.

    The group delay at frequency 0, sum(j w[j]) / sum(w), or where the taps all but cancel the centre of the energy.
    """
    profile = weights if weights.ndim == 1 else weights.sum(axis=tuple(range(1, weights.ndim)))
    total = profile.sum()
    if abs(total) <= 0.1 * np.abs(profile).sum():
        profile = (
            np.square(profile)
            if profile.any()
            else np.square(weights).reshape(len(weights), -1).sum(axis=1)
        )
        total = profile.sum()
    if total == 0:
        return 0.0
    lag = float((np.arange(profile.size) * profile).sum() / total) - at.after + at.anchor
    return round(lag, 9) + 0.0


def response(weights: Numbers, points: int = 1 << 15) -> tuple[Numbers, Numbers]:
    """(frequencies in cycles per sample, gain in dB) of taps; at least `points` frequencies from 0 to 1/2."""
    size = max(2 * points, 1 << (weights.size * 4 - 1).bit_length())
    size = min(size, 1 << 22) if weights.size <= 1 << 22 else size
    gain = np.abs(np.fft.rfft(weights, size))
    return np.arange(gain.size) / size, 20 * np.log10(np.maximum(gain, 1e-16))


def _drawn_response(weights: Numbers, signal: Signal) -> tuple[tuple[float, float], ...]:
    frequencies, gain = response(weights, POINTS)
    every = max(1, len(gain) // POINTS)
    unit = 1.0 if signal.rate is None else signal.rate * signal.cycle
    return tuple(
        (float(f * unit), float(max(g, -200.0)))
        for f, g in zip(frequencies[::every], gain[::every], strict=True)
    )


def crossings(weights: Numbers, level: float) -> list[float]:
    """The frequencies, in cycles per sample, at which the gain crosses `level` dB below its largest."""
    frequencies, gain = response(weights)
    relative = gain - gain.max() - level
    at = np.flatnonzero(np.diff(np.signbit(relative)))
    share = relative[at] / (relative[at] - relative[at + 1])
    found: list[float] = (
        frequencies[at] + share * (frequencies[at + 1] - frequencies[at])
    ).tolist()
    return found


def weights_of(step: BoundStep) -> Any:
    """The taps of a step as they act, (k,), (height, width) or, for several, a stack of them; None if it has none.

    A learned layer by itself has a set of taps for each of its outputs and each input of that.
    """
    if _is_network(step):
        layer = _layer(step)
        return None if layer is None or len(step.layers) != 1 else _stack(layer)
    stacks = [part.taps / part.divisor for op in step.ops for part in op.convolutions]
    if not stacks:
        return None
    return stacks[0] if len(stacks) == 1 else np.stack(stacks)


def _layer(step: BoundStep) -> Conv | None:
    if step.step.family != "learned":
        return None
    from convcli.layers.conv import Conv

    return next((op for op in step.ops if isinstance(op, Conv)), None)


def bias_of(step: BoundStep) -> Any:
    """The constants that a learned layer by itself adds, (out,); None if it adds none."""
    layer = _layer(step)
    return None if layer is None or len(step.layers) != 1 else layer.bias


def _stack(layer: Conv) -> Numbers:
    """The weights of a layer as taps: flipped, and with the zeros of its dilation between them."""
    sizes = tuple(
        1 + (k - 1) * d for k, d in zip(layer.weights.shape[2:], layer.dilation, strict=True)
    )
    taps = np.zeros((layer.weights.shape[0] * layer.weights.shape[1], *sizes))
    axes = tuple(range(1, taps.ndim))
    taps[(slice(None), *(slice(None, None, d) for d in layer.dilation))] = layer.weights.reshape(
        -1, *layer.weights.shape[2:]
    )
    taps = np.flip(taps, axes)
    return taps[0] if len(taps) == 1 else taps


def taps_text(step: BoundStep) -> str:
    """The taps themselves where they are few: `1, 2, 1 (/ 4)`; rows split by `;`."""
    weights = [(part.taps, part.divisor) for op in step.ops for part in op.convolutions]
    if _is_network(step) and (stack := weights_of(step)) is not None:
        weights = [(stack, 1.0)]
    elif _is_network(step):
        weights = []
    if not weights or weights[0][0].size > 49:
        return ""
    told = []
    for taps, divisor in weights:
        rows = ["; ".join(", ".join(f"{tap:.6g}" for tap in row) for row in np.atleast_2d(taps))]
        told.append(rows[0] + (f" (/ {divisor:g})" if divisor != 1 else ""))
    return " and ".join(told)
