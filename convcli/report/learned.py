"""Figures of a learned model: errors over the epochs, and predictions with their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.report.charts import NARROW_WIDTH, Axis, Graph, Trace, axis_between, time_axis
from convcli.report.figures import Figure, chart_figure, value_range
from convcli.report.views import SignalView
from convcli.report.words import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import RunFacts
    from convcli.facts.learning import ExampleFacts, TrainingFacts


# Width of a chart that has a narrower one beside it.
LEADING = 540


def learned_views(run: RunFacts) -> Iterator[SignalView]:
    """Yield the training of a model, and an example of what it predicts."""
    facts = run.learned
    if facts is None:
        return
    if facts.training is not None and facts.training.losses:
        yield SignalView(heading="Error over the epochs", figures=[loss_figure(facts.training)])
    if facts.example is None:
        return
    if facts.example.target.ndim == 3:
        figures = list(_picture_figures(facts.example))
        layout = "three"
    else:
        figures = [_line_figure(facts.example), _scatter_figure(facts.example)]
        layout = "lead"
    yield SignalView(heading=_example_heading(facts.example), figures=figures, layout=layout)


def _example_heading(example: ExampleFacts) -> str:
    where = "a part that was held out" if example.held else "a part that was learned from"
    return f"Prediction and target in {where}"


# --------------------------------------------------------------------------------------- training


def loss_figure(training: TrainingFacts) -> Figure:
    """The root mean squared errors of each epoch, on a logarithmic axis where they differ much."""
    curves = [("learned from", "before", [(e.number, e.train) for e in training.losses])]
    held = [(e.number, e.held) for e in training.losses if e.held is not None]
    if held:
        curves.append(("held out", "after", held))
    traces = []
    for name, style, points in curves:
        placed = [(float(number), float(error)) for number, error in points]
        traces.append(Trace(name=name, style=style, points=placed))
    chart = Graph(
        title="Root mean squared error over the epochs",
        x=axis_between(1.0, float(training.epochs), 0.5, label="epoch", whole=True),
        y=_error_axis([y for trace in traces for _, y in trace.points]),
        traces=traces,
    )
    caption = f"Root mean squared error; epoch {training.best} is the best, and was kept"
    return chart_figure(chart, caption)


def _error_axis(errors: Sequence[float]) -> Axis:
    """An axis for errors: logarithmic if the largest is more than five times the least."""
    least, largest = min(errors), max(errors)
    if least > 0 and largest > 5 * least:
        return Axis(low=least / 1.1, high=1.1 * largest, logarithmic=True)
    low, high = value_range(errors)
    return Axis(low=low, high=high)


# ---------------------------------------------------------------------------------------- example


def _line_figure(example: ExampleFacts) -> Figure:
    """Target and prediction over the samples, drawn over the input."""
    places = _sample_places(example)
    lines = (
        ("input", "faint", example.input[:, example.beside]),
        ("target", "before", example.target[:, 0]),
        ("prediction", "after", example.prediction[:, 0]),
    )
    traces = []
    for name, style, line in lines:
        points = list(zip(places, line.tolist(), strict=True))
        traces.append(Trace(name=name, style=style, points=points))
    values = [y for trace in traces for _, y in trace.points]
    low, high = value_range(values)
    chart = Graph(
        title=f"Prediction and target of {visible(example.channel)}",
        x=_sample_axis(example, places[0], places[-1]),
        y=Axis(low=low, high=high),
        traces=traces,
        zooms=True,
        width=LEADING,
        height=260,
    )
    return chart_figure(chart, visible(example.channel))


def _sample_places(example: ExampleFacts) -> list[float]:
    """Where the samples lie: at their times, at seconds of a sound, or at their numbers."""
    if example.times is not None:
        times: list[float] = example.times.tolist()
        return times
    first = float(example.first[0])
    unit = 1 / (example.rate or 1.0)
    return [(first + place) * unit for place in range(len(example.target))]


def _sample_axis(example: ExampleFacts, low: float, high: float) -> Axis:
    """The axis of the samples from the first place to the last."""
    if example.times is not None:
        return time_axis(low, high, dated=example.dated)
    if example.rate:
        return axis_between(low, high, 1 / example.rate, label="s")
    return axis_between(low, high, 0.5, label="samples", whole=True)


def _scatter_figure(example: ExampleFacts) -> Figure:
    """A dot for each sample: its target and its prediction; on the line they are equal."""
    targets, predictions = example.target[:, 0].tolist(), example.prediction[:, 0].tolist()
    pairs = [
        (target, prediction)
        for target, prediction in zip(targets, predictions, strict=True)
        if target == target and prediction == prediction  # noqa: PLR0124 -- no NaN
    ]
    low, high = value_range([value for pair in pairs for value in pair])
    chart = Graph(
        title="Prediction over target",
        x=Axis(low=low, high=high, label="target"),
        y=Axis(low=low, high=high, label="prediction"),
        traces=[
            Trace(name="", style="before", points=[(low, low), (high, high)]),
            Trace(name="", style="after", points=pairs, dotted=True),
        ],
        width=NARROW_WIDTH,
        height=300,
    )
    return chart_figure(chart, "Prediction over target; on the line they are equal")


def _picture_figures(example: ExampleFacts) -> Iterator[Figure]:
    """Yield input, prediction and target of a part of a picture."""
    from convcli.report.embedded import picture_uri

    sides = (("input", example.input), ("prediction", example.prediction))
    for name, values in (*sides, ("target", example.target)):
        yield Figure(
            caption=name,
            image=picture_uri(_unit_bytes(values), exact=True),
            alt=f"A part of a picture: {name}",
            pixels=True,
        )


def _unit_bytes(values: Any) -> Any:
    """Samples from 0 to 1 as bytes: a colour, or the first channel as grey."""
    import numpy as np

    shown = values[..., :3] if values.shape[-1] >= 3 else values[..., :1]
    known = np.clip(np.nan_to_num(shown), 0, 1)
    return np.rint(255 * known).astype(np.uint8)
