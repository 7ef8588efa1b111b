"""The overview of many runs on a page: a small picture of each, and what can be sorted by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.facts.comparison import MEASURES
from convcli.report.charts import INNER_BOX, Axis, Graph, Trace, axis_between
from convcli.report.comparison import measure_text
from convcli.report.figures import bin_places, value_range
from convcli.report.page import unescaped
from convcli.report.words import loss_texts, run_title, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.facts import RunFacts, StepFacts
    from convcli.facts.comparison import ChannelComparison, ComparisonFacts
    from convcli.facts.preview import OutlineFacts, PictureFacts, PreviewFacts

    Pair = tuple[float, float]

# Measures whose column has another name.
MEASURE_NAMES = {
    "snr": "SNR (dB)",
    "spectrum": "spectrum (dB)",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
}


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """A cell as text, and by what the column is sorted.

    note : a few words below the text
    """

    text: str
    value: float | str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class _OverviewRow:
    thumbnail: Any
    name: str
    anchor: str
    cells: Sequence[_Cell]


def overview(runs: Sequence[RunFacts]) -> dict[str, Any]:
    """A row for each run: a small picture, the input, and what can be sorted by.

    Runs that filter show what they lost, comparisons their measures.
    """
    if runs[0].usage is not None:
        return _overview_of_steps(runs)
    compared = [run.comparison for run in runs if run.comparison is not None]
    measures = _known_measures(compared)
    if compared:
        names = [MEASURE_NAMES.get(measure, measure) for measure in measures]
    else:
        names = ["lost", "warnings"]
    rows = []
    for place, run in enumerate(runs):
        if run.comparison is None:
            cells = _loss_cells(run)
        else:
            cells = [_measure_cell(run.comparison, measure) for measure in measures]
        rows.append(_overview_row(run, f"run-{place + 1}", cells))
    head = ("", "input", *names, "seconds")
    return {"things": "inputs", "head": head, "rows": rows, "measured": bool(measures)}


def _overview_of_steps(runs: Sequence[RunFacts]) -> dict[str, Any]:
    """A row for each step: its response, how it is written, its family, what it does."""
    rows = []
    for place, run in enumerate(runs):
        usage = run.usage
        if usage is None:
            continue
        text = usage.help
        if usage.aliases:
            text += f" (also {', '.join(usage.aliases)})"
        cells = [
            _Cell(text=text, value=usage.help),
            _Cell(text=usage.family, value=usage.family),
        ]
        drawn = run.chain or next(iter(run.steps), None)
        rows.append(
            _OverviewRow(
                thumbnail="" if drawn is None else small_response(drawn),
                name=usage.name,
                anchor=f"run-{place + 1}",
                cells=cells,
            )
        )
    return {"things": "steps", "head": ("", "step", "what it does", "family"), "rows": rows}


def _overview_row(run: RunFacts, anchor: str, cells: Sequence[_Cell]) -> _OverviewRow:
    seconds = run.seconds or 0.0
    return _OverviewRow(
        thumbnail="" if run.preview is None else thumbnail(run.preview),
        name=run_title(run),
        anchor=anchor,
        cells=[*cells, _Cell(text=f"{seconds:.3g}", value=seconds)],
    )


def _loss_cells(run: RunFacts) -> list[_Cell]:
    """What was lost, and how many warnings there were."""
    lost = [*run.losses.clipped.values(), *run.losses.became_missing.values()]
    count = sum(lost) + sum(run.losses.missing.values())
    warnings = len(run.warnings)
    return [
        _Cell(text="; ".join(loss_texts(run.losses)), value=float(count)),
        _Cell(text=str(warnings) if warnings else "", value=float(warnings)),
    ]


# ----------------------------------------------------------------------------------------- measures


def _known_measures(compared: Sequence[ComparisonFacts]) -> list[str]:
    """The measures that some comparison has, in the order in which they are printed."""
    rows = [row for facts in compared for row in facts.overall]
    found = []
    for measure in MEASURES:
        values = [row.measure(measure) for row in rows]
        if measure == "unmatched":
            values = [value for value in values if value]
        if any(value is not None for value in values):
            found.append(measure)
    return found


def _measure_cell(facts: ComparisonFacts, measure: str) -> _Cell:
    """A measure of the whole signal; of several unrelated columns, the worst one."""
    worst: ChannelComparison | None = None
    value = math.nan
    similarity = MEASURES[measure].similarity
    for row in facts.overall:
        own = row.measure(measure)
        if own is None:
            continue
        if worst is None or (own < value if similarity else own > value):
            worst, value = row, own
    if worst is None:
        return _Cell(text="", value="")
    note = visible(worst.channel) if len(facts.overall) > 1 else ""
    # JavaScript reads `Infinity`, and takes `inf` for a word.
    known = value if math.isfinite(value) else "Infinity"
    return _Cell(text=measure_text(value), value=known, note=note)


# --------------------------------------------------------------------------------------- thumbnails

# Bins of a small outline, at most.
SMALL_BINS = 120
# Width and height of small two-dimensional taps, at most, in CSS pixels.
SMALL_PLANE = (120, 64)


def thumbnail(preview: PreviewFacts) -> Any:
    """A small drawing or picture of the result, escaped."""
    picture = preview.after.picture
    if picture is not None:
        return _small_picture(picture)
    outlines = preview.after.outlines
    if not outlines or not outlines[0].channels or not len(outlines[0].low):
        return ""
    return _small_outline(outlines[0])


def small_response(step: StepFacts) -> Any:
    """A small drawing of the gain over the frequency, or of two-dimensional taps; escaped."""
    if step.plane:
        from convcli.report.embedded import enlarged_width, signed_uri

        uri = signed_uri(step.plane)
        width = enlarged_width(uri, SMALL_PLANE)
        return unescaped(f'<img class="thumbnail pixels" width="{width}" src="{uri}" alt="">')
    if len(step.response) < 2:
        return ""
    points = [(frequency, 10 ** (gain / 20)) for frequency, gain in step.response]
    highest = max(gain for _, gain in points)
    x = Axis(low=points[0][0], high=points[-1][0])
    chart = Graph(title="", x=x, y=Axis(low=0.0, high=1.05 * highest or 1.0))
    return _small_chart(chart, Trace(name="", style="after", points=points))


def _small_chart(chart: Graph, trace: Trace) -> Any:
    """A trace without axes, escaped."""
    inner = "".join(chart.drawn(trace))
    return unescaped(f'<svg class="thumbnail" {INNER_BOX} aria-hidden="true">{inner}</svg>')


def _small_picture(picture: PictureFacts) -> Any:
    from convcli.report.embedded import picture_uri

    longer_side = max(picture.reduced.shape[:2])
    every = max(1, -(-longer_side // SMALL_BINS))
    uri = picture_uri(picture.reduced[::every, ::every])
    return unescaped(f'<img class="thumbnail" src="{uri}" alt="">')


def _small_outline(outline: OutlineFacts) -> Any:
    """The first channel of an outline, without axes."""
    import numpy as np

    starts = np.arange(0, len(outline.low), -(-len(outline.low) // SMALL_BINS))
    lows = np.fmin.reduceat(outline.low[:, 0], starts)
    highs = np.fmax.reduceat(outline.high[:, 0], starts)
    places = bin_places(outline, 1.0)[starts]
    lower, upper = np.column_stack([places, lows]), np.column_stack([places, highs])
    low, high = value_range(np.concatenate([lows, highs]))
    x = axis_between(float(places[0]), float(places[-1]), 1.0)
    chart = Graph(title="", x=x, y=Axis(low=low, high=high))
    return _small_chart(chart, Trace(name="", style="after", points=lower, upper=upper))
