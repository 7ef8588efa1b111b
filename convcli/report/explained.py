"""What `explain` computes as charts and pictures: signals, kernels, results, integrals."""

from __future__ import annotations

import math
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.facts.explanation import ContinuousFacts, ExplanationFacts
from convcli.facts.properties import ShiftFacts
from convcli.report.charts import MOST_STEMS, Axis, Graph, Trace
from convcli.report.figures import STYLES, Figure, chart_figure, value_range
from convcli.report.words import number, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import FloatArray
    from convcli.facts.explanation import StageFacts

# Sums that are drawn beside an integral; channels of a signal that are.
MOST_SUMS, MOST_CHANNELS = 3, 4
# Points of a curve; of more samples the extremes of bins are drawn.
MOST_POINTS = 4000


@singledispatch
def explained_figures(facts: Any) -> list[Figure]:
    """The figures of what `explain` found; none of a property that is reported in numbers alone."""
    del facts
    return []


# ------------------------------------------------------------------------------------ integrals


@explained_figures.register
def _integral_figures(facts: ContinuousFacts) -> list[Figure]:
    sums = zip(facts.steps[:MOST_SUMS], facts.sums, strict=False)
    curves = [(f"sum, dt = {step:g}", row) for step, row in sums]
    curves.append(("integral", facts.integral))
    traces = []
    for style, (name, values) in zip(("faint", "before", "second", "after"), curves, strict=False):
        points = list(zip(facts.times, values, strict=True))
        traces.append(Trace(name=name, style=style, points=points))
    text = "The sum approaches the integral"
    return [_chart(text, traces, label="t", whole=False)]


def _chart(
    caption: str, traces: Sequence[Trace], *, label: str = "index", whole: bool = True
) -> Figure:
    """Some curves on one pair of axes."""
    xs = [x for trace in traces for x, _ in trace.points]
    low, high = value_range([0.0, *(y for trace in traces for _, y in trace.points)])
    stems = any(trace.stems_drawn for trace in traces)
    margin = 0.5 if stems else 0.0
    left, right = min(xs, default=0.0) - margin, max(xs, default=1.0) + margin
    chart = Graph(
        title=caption,
        x=Axis(low=left, high=right, label=label, whole=whole),
        y=Axis(low=low, high=high),
        traces=traces,
    )
    return chart_figure(chart, caption)


# --------------------------------------------------------------------------------------- shifts


@explained_figures.register
def _shift_figures(facts: ShiftFacts) -> list[Figure]:
    if not facts.result or isinstance(facts.result[0], tuple):
        return []
    traces = [_indexed_trace("result", "before", facts.result, 0)]
    for style, move in zip(("after", "second", "third"), facts.moves, strict=False):
        name = f"of the signal moved by {move.by}"
        traces.append(_indexed_trace(name, style, move.result, 0))
    return [_chart(f"{visible(facts.filter)}: results before and after a move", traces)]


def _indexed_trace(name: str, style: str, values: Sequence[float | None], first: int) -> Trace:
    numbers = np.array([math.nan if value is None else value for value in values])
    points = [(float(first + place), float(numbers[place])) for place in _drawn_places(numbers)]
    return Trace(name=name, style=style, points=points)


def _drawn_places(values: FloatArray) -> list[int]:
    """The places of the values that are drawn: all, or the extremes of bins if there are many."""
    if len(values) <= MOST_POINTS:
        return list(range(len(values)))
    size = -(-2 * len(values) // MOST_POINTS)
    places = []
    for start in range(0, len(values), size):
        part = values[start : start + size]
        if np.isnan(part).all():
            places.append(start)
            continue
        ends = {int(np.nanargmin(part)), int(np.nanargmax(part))}
        places += [start + place for place in sorted(ends)]
    return places


# --------------------------------------------------------------------------------------- stages


@explained_figures.register
def _stage_figures(facts: ExplanationFacts) -> list[Figure]:
    """The signal, then the kernel and the outputs of each stage."""
    if not facts.stages:
        return []
    first = facts.stages[0]
    if len(first.stride) == 2:
        return [figure for stage in facts.stages for figure in _stage_pictures(stage)]
    beside = len(facts.stages) == 1 and not first.several
    if beside and max(len(first.inputs), len(first.outputs)) > MOST_STEMS:
        return [_before_and_after(facts, first)]
    figures = [_signal_figure("the signal", first.inputs, first.channels_in, first)]
    for stage in facts.stages:
        name = visible(stage.text)
        if stage.flipped is not None and not stage.several:
            laid = _indexed_trace("", "second", stage.laid, -stage.before[0])
            traces = [Trace(name="", style="second", points=laid.points, stems=True)]
            figures.append(_chart(f"{name}: the kernel as it lies over the signal", traces))
        figures.append(_signal_figure(f"{name}: outputs", stage.outputs, stage.channels_out, stage))
    return figures


def _before_and_after(facts: ExplanationFacts, stage: StageFacts) -> Figure:
    """A signal that is too long for stems, and its result."""
    start = max(0, -stage.first[0])
    signal = stage.inputs[start : start + stage.length[0]]
    traces = [
        _indexed_trace("signal", "before", signal, 0),
        _indexed_trace("result", "after", stage.outputs, 0),
    ]
    return _chart(visible(facts.filter), traces)


def _signal_figure(caption: str, values: Any, names: Sequence[str], stage: StageFacts) -> Figure:
    """The channels of a signal along one axis; those of an input begin before index 0."""
    channels = values if stage.several else (values,)
    first = stage.first[0] if values is stage.inputs else 0
    traces = []
    for style, name, line in zip(STYLES, names, channels, strict=False):
        text = visible(name) if len(channels) > 1 else ""
        trace = _indexed_trace(text, style, line, first)
        traces.append(Trace(name=text, style=style, points=trace.points, stems=len(channels) == 1))
    return _chart(caption, traces[:MOST_CHANNELS])


def _stage_pictures(stage: StageFacts) -> list[Figure]:
    """The inputs, the kernel and the outputs of a stage on a picture, as pictures."""
    name = visible(stage.text)
    figures = []
    for text, values, names in (
        ("inputs", stage.inputs, stage.channels_in),
        ("outputs", stage.outputs, stage.channels_out),
    ):
        planes = values if stage.several else (values,)
        for channel, plane in zip(names[:MOST_CHANNELS], planes, strict=False):
            of = f" {visible(channel)}" if len(planes) > 1 else ""
            figures.append(_plane_figure(f"{name}: {text}{of}", plane))
        if text == "inputs" and stage.flipped is not None and not stage.several:
            figures.append(_plane_figure(f"{name}: kernel", stage.laid))
    return figures


def _plane_figure(caption: str, plane: Any) -> Figure:
    from convcli.report.embedded import heat_uri

    rows = [[0.0 if value is None else value for value in row] for row in plane]
    values = [value for row in rows for value in row] or [0.0]
    low, high = min(values), max(values)
    return Figure(
        caption=f"{caption}, from {number(low)} (dark) to {number(high)} (bright)",
        image=heat_uri(rows or [[0.0]], low, high),
        alt=caption,
        pixels=True,
    )
