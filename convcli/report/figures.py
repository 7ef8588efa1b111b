"""What pages and plots draw: charts and pictures made of facts."""

from __future__ import annotations

import math
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.report.charts import NARROW_WIDTH, Axis, Graph, Mark, Region, Trace
from convcli.report.words import number, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import FloatArray
    from convcli.facts import StepFacts
    from convcli.facts.preview import OutlineFacts

    Pair = tuple[float, float]

# Gains below this many dB are drawn at this level.
FLOOR_DB = -120.0
# With more marks than this, their frequencies are left out.
MOST_LABELS = 2
# Group delays that differ by less, in samples, are one.
CONSTANT_DELAY = 1e-3
# The largest number on an axis.
LARGEST_DRAWN = 1e300
# Width and height of an enlarged picture on a page, at most, in CSS pixels.
MOST_ENLARGED = (352, 384)
# The classes of several curves on one pair of axes.
STYLES = ("after", "second", "third", "before")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart or a picture with its caption.

    keys : the name and the class of each colour
    image : a data URI, in place of a chart; alt : what it shows, in words
    pixels : the picture is enlarged so that its pixels are seen
    """

    caption: str
    chart: Graph | None = None
    image: str = ""
    alt: str = ""
    pixels: bool = False
    keys: Sequence[tuple[str, str]] = field(default=())

    @property
    def width(self) -> int | None:
        """The width of an enlarged picture on a page in CSS pixels; None of other figures."""
        if not self.pixels:
            return None
        from convcli.report.embedded import enlarged_width

        return enlarged_width(self.image, MOST_ENLARGED)


def chart_figure(chart: Graph, caption: str) -> Figure:
    """A chart under its caption, with a key if it has several traces."""
    keys = chart.names if len(chart.names) > 1 else []
    return Figure(caption=caption, chart=chart, keys=keys)


# ---------------------------------------------------------------------------------------- outlines


def bin_edges(outline: OutlineFacts, unit: float = 1.0) -> list[float]:
    """Where each bin begins, and where the last one ends, on an axis of samples or of times.

    unit : units of the axis for one sample of the input, where samples have no times
    """
    import numpy as np

    count = len(outline.low)
    if outline.axis is None or not count:
        per_bin = outline.per_bin * outline.spacing
        first = outline.start - outline.spacing / 2
        offsets = np.arange(count + 1) * per_bin
        edges: Any = (first + offsets) * unit
        return list(edges.tolist())
    firsts, lasts = outline.axis.T
    between = (lasts[:-1] + firsts[1:]) / 2
    return [float(firsts[0]), *between.tolist(), float(lasts[-1])]


def bin_places(outline: OutlineFacts, unit: float) -> FloatArray:
    """The middle of each bin on the axis, which is the sample where a bin is one."""
    import numpy as np

    if outline.axis is not None:
        middles: FloatArray = outline.axis.mean(axis=1)
        return middles
    edges = np.array(bin_edges(outline, unit))
    found: FloatArray = (edges[:-1] + edges[1:]) / 2
    return found


def axis_place(outline: OutlineFacts, position: float) -> float:
    """Where a position in samples of the input lies on the axis of an outline."""
    edges = bin_edges(outline)
    from_begin = position - outline.start + outline.spacing / 2
    share = from_begin / (outline.per_bin * outline.spacing)
    number = min(max(0, math.floor(share)), len(edges) - 2)
    within = min(max(0.0, share - number), 1.0)
    return edges[number] + within * (edges[number + 1] - edges[number])


def row_on_axis(outline: OutlineFacts, row: float) -> float:
    """Where a row of the file lies on the axis of an outline; between noted rows, in proportion."""
    if outline.axis is None or outline.rows is None:
        return row
    import numpy as np

    return float(np.interp(row, outline.rows.ravel(), outline.axis.ravel()))


def outline_trace(
    outline: OutlineFacts, channel: int, name: str, style: str, unit: float = 1.0
) -> Trace:
    """A channel as a line where each bin is a sample, else as a band from minimum to maximum.

    unit : units of x for one sample of the input
    """
    import numpy as np

    places = bin_places(outline, unit)
    lower = np.column_stack([places, outline.low[:, channel]])
    if outline.per_bin == 1:
        return Trace(name=name, style=style, points=lower)
    upper = np.column_stack([places, outline.high[:, channel]])
    return Trace(name=name, style=style, points=lower, upper=upper)


def channel_values(outline: OutlineFacts, channel: int) -> FloatArray:
    """The least and the largest value of a channel in each bin."""
    import numpy as np

    return np.concatenate([outline.low[:, channel], outline.high[:, channel]])


def outline_extent(outlines: Sequence[OutlineFacts], unit: float) -> float:
    """Where the longest of some outlines ends."""
    ends = [one.start + one.length * one.spacing for one in outlines]
    return max(ends, default=1.0) * unit or 1.0


def value_range(values: Sequence[float] | FloatArray) -> Pair:
    """The least and the largest finite value with some air; a constant gets a range around it.

    It ends at LARGEST_DRAWN, so that its extent is a number, too.
    """
    import numpy as np

    numbers = np.asarray(values, float)
    known = numbers[np.isfinite(numbers)]
    if not known.size:
        return -1.0, 1.0
    low, high = float(known.min()), float(known.max())
    low = min(max(low, -LARGEST_DRAWN), LARGEST_DRAWN)
    high = min(max(high, -LARGEST_DRAWN), LARGEST_DRAWN)
    air = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    return low - air, high + air


def gap_regions(outline: OutlineFacts, channel: int, unit: float) -> Iterator[Region]:
    """Yield the bins of a channel in which samples are missing, neighbours as one."""
    import numpy as np

    gaps = outline.gaps[:, channel] > 0
    edges = bin_edges(outline, unit)
    changes = np.flatnonzero(np.diff(gaps, prepend=False, append=False))
    for first, end in changes.reshape(-1, 2).tolist():
        yield Region(low=edges[first], high=edges[end], style="gap")


# ------------------------------------------------------------------------------------------ designs


def design_figures(step: StepFacts) -> list[Figure]:
    """The responses of a step or of a chain, as far as the facts have them."""
    name = visible(step.text)
    found: list[Figure] = []
    if step.impulse:
        chart = position_chart([("", "after", step.impulse)], f"Impulse response of {name}")
        found.append(chart_figure(chart, "Impulse response"))
        chart = position_chart(
            [("", "after", step.step_response)], f"Step response of {name}", stems=False
        )
        found.append(chart_figure(chart, "Step response"))
    if step.response:
        found.append(_decibel_figure(step))
        found.append(chart_figure(gain_chart([step]), "Gain"))
        if not delay_is_constant(step) and any(each is not None for each in step.group_delay):
            found.append(chart_figure(delay_chart(step), "Group delay"))
    found += _plane_figures(step)
    return found


def delay_is_constant(step: StepFacts) -> bool:
    """Whether the group delay is known and constant, so that words suffice."""
    known = [delay for delay in step.group_delay if delay is not None]
    return bool(known) and max(known) - min(known) <= CONSTANT_DELAY


def overlay_figures(steps: Sequence[StepFacts]) -> list[Figure]:
    """The responses of several steps or chains, on one pair of axes each."""
    drawn = [step for step in steps if step.impulse]
    styles = [STYLES[place % len(STYLES)] for place in range(len(drawn))]
    names = [visible(step.text) for step in drawn]
    text = ", ".join(names)
    figures = []
    if drawn:
        impulses = [step.impulse for step in drawn]
        chart = position_chart(
            list(zip(names, styles, impulses, strict=True)), f"Impulse responses of {text}"
        )
        figures.append(chart_figure(chart, "Impulse response"))
        responses = [step.step_response for step in drawn]
        chart = position_chart(
            list(zip(names, styles, responses, strict=True)),
            f"Step responses of {text}",
            stems=False,
        )
        figures.append(chart_figure(chart, "Step response"))
    heard = _on_one_axis([step for step in steps if step.response])
    if heard:
        figures.append(chart_figure(decibel_chart(heard), "Gain in dB"))
        figures.append(chart_figure(gain_chart(heard), "Gain"))
    for step in steps:
        for figure in _plane_figures(step):
            caption = f"{visible(step.text)}: {figure.caption}"
            figures.append(replace(figure, caption=caption))
    return figures


def _on_one_axis(steps: Sequence[StepFacts]) -> list[StepFacts]:
    """The steps with their frequencies in cycles/sample if they do not share a unit."""
    if len({(step.frequency_unit, step.cycle) for step in steps}) <= 1:
        return list(steps)
    found = []
    for step in steps:
        response = tuple((frequency / step.cycle, gain) for frequency, gain in step.response)
        found.append(replace(step, response=response, frequency_unit="cycles/sample", cycle=1.0))
    return found


def position_chart(
    curves: Sequence[tuple[str, str, Sequence[Pair]]], title: str, *, stems: bool = True
) -> Graph:
    """Responses over the position in samples.

    curves : the name, the class and the points of each
    """
    places = [x for _, _, points in curves for x, _ in points]
    values = [0.0, *(y for _, _, points in curves for _, y in points)]
    low, high = value_range(values)
    return Graph(
        title=title,
        x=Axis(low=min(places) - 0.5, high=max(places) + 0.5, label="samples", whole=True),
        y=Axis(low=low, high=high),
        traces=[
            Trace(name=name, style=style, points=points, stems=stems)
            for name, style, points in curves
        ],
        zooms=max(map(len, (points for _, _, points in curves))) > 60,
        width=NARROW_WIDTH,
    )


def decibel_chart(steps: Sequence[StepFacts]) -> Graph:
    """The gain of some steps in dB, with the frequencies at which one crosses -3 dB."""
    highest = max(frequency for step in steps for frequency, _ in step.response)
    lowest = _lowest_drawn(steps[0], highest)
    marks: list[Mark] = []
    regions: list[Region] = []
    if len(steps) == 1:
        marks = list(_crossing_marks(steps[0], lowest))
        regions = list(_stop_regions(steps[0], lowest))
    traces = _decibel_traces(steps, lowest)
    names = ", ".join(trace.name for trace in traces)
    unit = visible(steps[0].frequency_unit)
    return Graph(
        title=f"Gain of {names} in dB",
        x=Axis(low=lowest, high=highest, label=unit, logarithmic=True),
        y=_decibel_axis(steps),
        traces=traces,
        regions=regions,
        marks=marks,
        width=NARROW_WIDTH,
    )


def _decibel_traces(steps: Sequence[StepFacts], lowest: float) -> list[Trace]:
    """The gain of each step over the frequencies from `lowest` on."""
    traces = []
    for place, step in enumerate(steps):
        drawn = [pair for pair in step.response if pair[0] >= lowest]
        points = [(frequency, _drawn_gain(gain)) for frequency, gain in drawn]
        style = STYLES[place % len(STYLES)]
        traces.append(Trace(name=visible(step.text), style=style, points=points))
    return traces


def _decibel_axis(steps: Sequence[StepFacts]) -> Axis:
    """An axis that holds all gains of some steps, and those from -20 to 0 dB."""
    gains = [_drawn_gain(gain) for step in steps for _, gain in step.response]
    least = min([*gains, -20.0])
    largest = max([*gains, 0.0])
    return Axis(low=least - 3, high=largest + 3, label="dB")


def _lowest_drawn(step: StepFacts, highest: float) -> float:
    """Where a logarithmic axis begins: three decades down, or where the response has a crossing."""
    crossed = [frequency for _, found in step.crossings for frequency in found if frequency > 0]
    least = min([highest / 1000, *(frequency / 10 for frequency in crossed)])
    smallest = min(frequency for frequency, _ in step.response if frequency > 0)
    return max(least, min(smallest, highest / 10))


def _drawn_gain(gain: float) -> float:
    return max(FLOOR_DB, gain) if math.isfinite(gain) else FLOOR_DB


def _crossing_marks(step: StepFacts, lowest: float) -> Iterator[Mark]:
    for level, frequencies in step.crossings:
        if level == step.stop_level:
            continue  # its bands are shaded
        drawn = [frequency for frequency in frequencies if frequency >= lowest]
        for place, frequency in enumerate(drawn):
            text = f"{level:g} dB: {number(float(f'{frequency:.4g}'))}"
            # The texts of many lines would lie on each other; the facts list their frequencies.
            if len(drawn) > MOST_LABELS:
                text = "" if place else f"{level:g} dB"
            yield Mark(value=frequency, text=text)


def _stop_regions(step: StepFacts, lowest: float) -> Iterator[Region]:
    """Yield the stop bands, as far as they are drawn."""
    for low, high in step.stop_bands:
        if high > lowest:
            yield Region(low=max(low, lowest), high=high, style="stop")


def _decibel_figure(step: StepFacts) -> Figure:
    """The gain in dB, with a key where there are stop bands."""
    chart = decibel_chart([step])
    keys = []
    if step.stop_bands:
        keys.append((f"stop band, {step.stop_level:g} dB", "stop"))
    return Figure(caption="Gain in dB over a logarithmic axis", chart=chart, keys=keys)


def gain_chart(steps: Sequence[StepFacts]) -> Graph:
    """The gain of some steps as a factor."""
    highest = max(frequency for step in steps for frequency, _ in step.response)
    traces = []
    for place, step in enumerate(steps):
        points = [(frequency, 10 ** (_drawn_gain(gain) / 20)) for frequency, gain in step.response]
        style = STYLES[place % len(STYLES)]
        traces.append(Trace(name=visible(step.text), style=style, points=points))
    values = [value for trace in traces for _, value in trace.points]
    return Graph(
        title=f"Gain of {', '.join(visible(step.text) for step in steps)}",
        x=Axis(low=0.0, high=highest, label=visible(steps[0].frequency_unit)),
        y=Axis(low=0.0, high=1.05 * max(values, default=1.0) or 1.0),
        traces=traces,
        zooms=True,
        width=NARROW_WIDTH,
    )


def delay_chart(step: StepFacts) -> Graph:
    """The group delay over frequency."""
    points = [
        (frequency, math.nan if delay is None else delay)
        for (frequency, _), delay in zip(step.response, step.group_delay, strict=True)
    ]
    known = [delay for _, delay in points if not math.isnan(delay)]
    low, high = value_range(known)
    return Graph(
        title=f"Group delay of {visible(step.text)}",
        x=Axis(low=0.0, high=points[-1][0], label=visible(step.frequency_unit)),
        y=Axis(low=min(low, -1.0), high=max(high, 1.0), label="samples"),
        traces=[Trace(name="", style="after", points=points)],
        width=NARROW_WIDTH,
    )


def _plane_figures(step: StepFacts) -> Iterator[Figure]:
    """Yield two-dimensional taps and their spectrum as pictures."""
    if not step.plane:
        return
    from convcli.report.embedded import heat_uri

    values = [value for row in step.plane for value in row]
    low, high = min(0.0, *values), max(0.0, *values)
    size = f"{len(step.plane[0])} wide and {len(step.plane)} high"
    first = f" of the first of {step.planes} sets of taps" if step.planes > 1 else ""
    text = f"from {number(low)} (dark) to {number(high)} (bright)"
    yield Figure(
        caption=f"Impulse response{first}, {size}, {text}",
        image=heat_uri(step.plane, low, high),
        alt=f"Two-dimensional taps of {visible(step.text)}",
        pixels=True,
    )
    largest = round(max(max(row) for row in step.plane_response)) + 0.0
    yield Figure(
        caption="Gain from -1/2 to 1/2 cycles per pixel along both axes, "
        f"from {largest - 60:.0f} dB (dark) to {largest:.0f} dB (bright)",
        image=heat_uri(step.plane_response, largest - 60, largest),
        alt=f"Spectrum of {visible(step.text)}; frequency 0 is in the middle",
        pixels=True,
    )


def level_text(value: float) -> str:
    """An amplitude as dB below full scale, `-inf` of silence."""
    return f"{20 * math.log10(value):.1f} dBFS" if value > 0 else "silent"


def nearest_cells(values: Any, rows: int, columns: int) -> Any:
    """A grid of another size, with the nearest cell of `values` at each place."""
    import numpy as np

    down = np.minimum(np.arange(rows) * len(values) // rows, len(values) - 1)
    across = np.minimum(np.arange(columns) * values.shape[1] // columns, values.shape[1] - 1)
    return values[down][:, across]
