"""What the layers of a network make of a part of a signal: its feature maps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.designs import find
from convcli.errors import RequestError
from convcli.facts.preview import FeatureMapFacts
from convcli.planning.plan import make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.core.binding import Rules
    from convcli.facts.preview import SignalPreview
    from convcli.planning.calls import Call
    from convcli.planning.plan import BoundStep
    from convcli.signals import Array, Signal

# Layers and channels of each that are drawn, and samples of a line.
MOST_LAYERS, MOST_CHANNELS = 12, 16
LINE = 2048

# Maps of a network whose inner layers cannot be run by themselves.
INPUT_AND_OUTPUT = 2


def part_of(side: SignalPreview) -> Array | None:
    """The part of a signal that its preview holds sample by sample; None where there is none."""
    if side.picture is not None:
        return side.picture.samples
    if side.excerpt is not None:
        return _loudest_part(side.excerpt.samples)
    exact = [outline for outline in side.outlines if outline.per_bin == 1]
    return exact[0].low[:LINE] if exact else None


def _loudest_part(samples: Array) -> Array:
    """A line around the largest sample."""
    peaks = np.abs(samples).max(axis=1)
    loudest = int(peaks.argmax())
    last_start = max(0, len(samples) - LINE)
    start = min(max(0, loudest - LINE // 2), last_start)
    return samples[start : start + LINE]


def feature_maps(
    calls: Sequence[Call], signal: Signal, rules: Rules, part: Array
) -> tuple[FeatureMapFacts, ...]:
    """The channels after each layer of the first model of a FILTER, for a part of a signal.

    The model may be in a branch, as in `x - model:FILE`: its input is what the branch gives it.
    part : (n, channels) or (rows, columns, channels); nothing is drawn where it does not fit
    """
    if part.shape[-1] != len(signal.channels):
        return ()
    signal = replace(signal, shape=part.shape[:-1])
    found = _maps_of_layers(calls, signal, rules, part)
    input_and_output_alone = len(found) <= INPUT_AND_OUTPUT
    if input_and_output_alone and part.shape[-1] > 1:
        # A network of one input filters every channel by itself: its layers are those of the first.
        first = replace(signal, channels=signal.channels[:1], alpha=None)
        of_first = _maps_of_layers(calls, first, rules, part[..., :1])
        found = max(found, of_first, key=len)
    return found if len(found) > 1 else ()


def _maps_of_layers(
    calls: Sequence[Call], signal: Signal, rules: Rules, part: Array
) -> tuple[FeatureMapFacts, ...]:
    """The input of the network, then the outputs of those of its layers that can be run alone.

    Empty if the network does not take this signal.
    """
    *before_model, model = _up_to_model(calls)
    before = [call.text for call in before_model]
    try:
        steps = make_plan(" | ".join([*before, model.text]), signal, rules).steps
    except RequestError:
        return ()
    layers = [layer for step in steps if step.call.text == model.text for layer in _layers(step)]
    found = [_maps("the input of the network", -1, _outputs_of_steps(before, signal, rules, part))]
    for place in _chosen(len(layers)):
        text = f"{model.text},upto={place}"
        try:
            made = _outputs_of_steps([*before, text], signal, rules, part)
        except RequestError:  # the model carries something beside its layers
            continue
        if made.size:
            found.append(_maps(layers[place], place, made))
    return tuple(found)


def _up_to_model(calls: Sequence[Call]) -> list[Call]:
    """The steps that the signal goes through up to the first model, which is the last one.

    None at all if there is no model.
    """
    for number, call in enumerate(calls):
        if find(call.name).runs_model:
            return list(calls[: number + 1])
        branches = [] if call.group is None else call.group.branches
        for branch in branches:
            inside = _up_to_model(branch.calls)
            if inside:
                return [*calls[:number], *inside]
    return []


def _layers(step: BoundStep) -> list[str]:
    return [layer.text for layer in step.stage.layers]


def _chosen(count: int) -> Iterator[int]:
    """The layers that are drawn: all, or some at equal distances with the last one."""
    places = np.linspace(0, count - 1, min(count, MOST_LAYERS))
    yield from np.unique(places.round().astype(int)).tolist()


def _outputs_of_steps(steps: Sequence[str], signal: Signal, rules: Rules, part: Array) -> Array:
    """The part of the signal that comes out of some steps."""
    if not steps:
        return part
    plan = make_plan(" | ".join(steps), signal, rules)
    sink = Collected()
    run(plan, Blocks(signal, [part]), sink, threads=1)
    return np.concatenate(sink.parts) if sink.parts else np.empty(0)


def _maps(layer: str, number: int, samples: Array) -> FeatureMapFacts:
    channels = samples.shape[-1]
    maps = np.moveaxis(samples[..., :MOST_CHANNELS], -1, 0)
    return FeatureMapFacts(layer=layer, number=number, maps=maps, channels=channels)
