"""A part of the data with the prediction of a model, which a report of learning draws."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.facts.learning import ExampleFacts
from convcli.learning.pairs import PairReader, color_channels
from convcli.planning.plan import make_plan, rules_for
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.running.workers import Workers
from convcli.signals import ARRAY, Signal, seconds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.learning.pairs import Pair
    from convcli.learning.task import Task
    from convcli.places import Place
    from convcli.planning.plan import Plan
    from convcli.signals import Array

# Samples of a line, and pixels along each side of a picture, that are shown.
LINE, SIDE = 400, 96
# Samples among which the loudest part of a signal is searched for, and the longest margin that is
# read on each side of that part.
LOOKED, MOST_MARGIN = 1 << 20, 1 << 14


@dataclass(frozen=True, eq=False)
class _ExamplePart:
    """Inputs and targets from index `first` on along axis 0, (n, ..., channels).

    times : (n,) of the samples in seconds since 1970 in local time; None if they have none
    """

    x: Array
    y: Array
    first: int
    times: Array | None = None


def example_of(
    task: Task, pair: Pair, model: Place, lag: Sequence[int] | None = None
) -> ExampleFacts | None:
    """The prediction of a model file where the target of a held-out part varies most.

    lag : samples by which the target is later, on each axis

    None if there is not one output for each sample of the input, or if too few are known.
    """
    axes = pair.source.signal.axes
    reader = PairReader(task, pair)
    with Workers() as workers:
        lengths = reader.lengths(workers)
        if not lengths:
            return None
        group = max(lengths, key=lengths.__getitem__)
        border = task.first_held_out(lengths[group])
        held = border < lengths[group]
        first = border if held else 0
        plan = _plan_of(model, reader)
        margins = _margins(plan)
        before, _ = margins[0]
        part = _read_part(reader, group, max(0, first - before), workers)
    if part is None:
        return None
    if axes == 2:
        part = _middle_columns(part, margins[1])
    prediction = _predicted(plan, part.x)
    if prediction.shape[:-1] != part.x.shape[:-1]:
        return None
    target = _later_target(part.y, lag or (0,) * axes, task.ahead)
    places = _shown_places(target, margins)
    if places is None:
        return None
    shown = replace(part, y=target)
    return _example_facts(shown, prediction, places, reader, held=held)


def _later_target(y: Array, lag: Sequence[int], ahead: int) -> Array:
    """The target of each sample: later by the lag of each axis, and `ahead` along axis 0."""
    along, *across = lag
    target = _shifted_target(y, 0, along + ahead)
    for axis, shift in enumerate(across, start=1):
        target = _shifted_target(target, axis, shift)
    return target


def _plan_of(model: Place, reader: PairReader) -> Plan:
    """The plan that runs the model on samples in its own units."""
    axes = reader.pair.source.signal.axes
    channels = _input_names(reader.pair, reader.task)
    signal = Signal(medium=ARRAY, shape=(None,) * axes, channels=channels)
    if axes == 2:
        signal = Signal(medium=ARRAY, shape=(SIDE, SIDE), channels=channels)
    text = f'model:"{model}"'
    return make_plan(text, signal, rules_for(signal, text))


def _input_names(pair: Pair, task: Task) -> tuple[str, ...]:
    signal = pair.source.signal
    if pair.target is None and not task.blind:
        return tuple(signal.channels[channel] for channel in task.inputs)
    return tuple(signal.channels[channel] for channel in color_channels(signal))


def _margins(plan: Plan) -> list[tuple[int, int]]:
    """How many samples outside of a part its outputs read, before and after, on each axis."""
    found = []
    for reach in plan.chain.reach:
        before, after = max(0, reach.before), max(0, reach.after)
        found.append((min(before, MOST_MARGIN), min(after, MOST_MARGIN)))
    return found


def _read_part(
    reader: PairReader, group: bytes, first: int, workers: Workers
) -> _ExamplePart | None:
    """The samples of a group from `first` on, as many as are looked through."""
    planar = reader.pair.source.signal.axes == 2
    last = first + (2 * MOST_MARGIN if planar else LOOKED)
    xs, ys, times = [], [], []
    later, start = reader.later(first)
    for name, x, y, stamps in later.timed_blocks(workers):
        if name != group:
            continue
        low, high = max(0, first - start), min(len(x), last - start)
        start += len(x)
        # An empty part of a block would keep all of it in memory.
        if low < high:
            xs.append(x[low:high])
            ys.append(y[low:high])
            if stamps is not None:
                times.append(seconds_of(stamps[low:high]))
        if start >= last:
            break
    if not xs:
        return None
    x, y = np.concatenate(xs), np.concatenate(ys)
    if len(times) < len(xs):
        return _ExamplePart(x, y, first)
    return _ExamplePart(x, y, first, np.concatenate(times))


def _middle_columns(part: _ExamplePart, margin: tuple[int, int]) -> _ExamplePart:
    """The rows and columns of a picture that are shown, with their margins."""
    beside = sum(margin)
    width = SIDE + beside
    left = max(0, (part.x.shape[1] - width) // 2)
    rows = slice(0, SIDE + 2 * beside)
    columns = slice(left, left + width)
    return _ExamplePart(part.x[rows, columns], part.y[rows, columns], part.first)


def _predicted(plan: Plan, x: Array) -> Array:
    signal = replace(plan.signal, shape=x.shape[:-1])
    sized = make_plan(plan.filter, signal, plan.rules)
    sink = Collected()
    run(sized, Blocks(signal, [x]), sink)
    return np.concatenate(sink.parts) if sink.parts else np.empty((0, *x.shape[1:]))


def _shifted_target(y: Array, axis: int, later: int) -> Array:
    """The sample that is `later` samples later along an axis; NaN beyond the ends."""
    if not later:
        return y
    moved = np.full_like(y, np.nan)
    n = y.shape[axis]
    to: list[Any] = [slice(None)] * y.ndim
    of: list[Any] = [slice(None)] * y.ndim
    to[axis] = slice(max(0, -later), min(n, n - later))
    of[axis] = slice(max(0, later), min(n, n + later))
    moved[tuple(to)] = y[tuple(of)]
    return moved


def _shown_places(target: Array, margins: list[tuple[int, int]]) -> tuple[slice, ...] | None:
    """The samples to show: where a line varies most, the middle of a picture; None if too few."""
    if len(margins) == 2:
        places = []
        for n, (before, after) in zip(target.shape, margins, strict=False):
            stop = min(n - after, before + SIDE)
            if stop <= before:
                return None
            places.append(slice(before, stop))
        return tuple(places)
    low, high = margins[0][0], len(target) - margins[0][1]
    count = min(LINE, high - low)
    if count < 2:
        return None
    known = np.nan_to_num(target[low:high, 0].astype(np.float64))
    stretches = len(known) // count
    by_stretch = known[: stretches * count].reshape(stretches, count)
    most_varied = int(by_stretch.var(axis=1).argmax())
    start = low + most_varied * count
    return (slice(start, start + count),)


def _example_facts(
    part: _ExamplePart,
    prediction: Array,
    places: tuple[slice, ...],
    reader: PairReader,
    *,
    held: bool,
) -> ExampleFacts:
    signal, task = reader.pair.source.signal, reader.task
    first = [place.start for place in places]
    first[0] += part.first
    channel = task.targets[0] if task.targets else 0
    beside = task.inputs.index(channel) if channel in task.inputs else 0
    return ExampleFacts(
        channel=signal.channels[channel],
        beside=beside,
        first=tuple(first),
        held=held,
        rate=signal.rate if signal.medium.in_seconds else None,
        times=None if part.times is None else part.times[places[0]],
        dated=signal.dated,
        input=np.asarray(part.x[places]),
        target=np.asarray(part.y[places]),
        prediction=np.asarray(prediction[places]),
    )
