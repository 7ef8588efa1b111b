"""The facts as one self-contained page: before and after, what the filter is, what was lost."""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.report.batch import failed_lines
from convcli.report.charts import Axis, Graph
from convcli.report.figures import delay_is_constant, design_figures, outline_trace, value_range
from convcli.report.page import render_page, unescaped
from convcli.report.sections import MOST_DESIGNS, page_sections
from convcli.report.tables import fact_tables
from convcli.report.terminal import summary
from convcli.report.words import (
    command_text,
    library_text,
    loss_texts,
    number,
    reach_text,
    run_title,
    visible,
)
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convcli.facts import RunFacts, StepFacts
    from convcli.facts.preview import OutlineFacts, PictureFacts, PreviewFacts
    from convcli.report.figures import Figure

    Pair = tuple[float, float]


def render_html(runs: Sequence[RunFacts]) -> str:
    """Render the runs one below the other, on one page that loads nothing from elsewhere."""
    first = runs[0]
    title = _title(first, short=len(runs) == 1)
    if len(runs) > 1:
        title += f" and {len(runs) - 1:,} more"
    # Inputs of one rate have one design, which is drawn below the first of them.
    drawn: set[tuple[StepFacts, ...]] = set()
    articles = []
    for place, run in enumerate(runs):
        designs: list[dict[str, Any]] = []
        if run.steps not in drawn and len(drawn) < MOST_DESIGNS:
            designs = list(_designs(run))
            drawn.add(run.steps)
        articles.append(_article(run, f"run-{place + 1}", designs))
    several = len(runs) > 1
    return render_page(
        "report",
        title=title,
        summary=visible(first.filter) if several and first.inputs else _summary(first),
        overview=_overview(runs) if several and first.inputs else None,
        together=_together(runs) if several and not first.inputs else [],
        opened=not first.inputs,
        failed=failed_lines(first.failures),
        failures=len(first.failures),
        warned=[(run_title(run), _warnings(run)) for run in runs if several and run.warnings],
        runs=articles,
        version=visible(first.version),
        libraries=library_text(first.libraries),
    )


def _title(run: RunFacts, *, short: bool = False) -> str:
    """The inputs, or the filter of a page that is about a filter alone.

    short : without the folders, where the names differ without them
    """
    if run.filter and not run.inputs:
        return visible(run.filter)
    names = [PurePath(one.path).name or one.path for one in run.inputs]
    if short and names and len(set(names)) == len(names):
        return ", ".join(map(visible, names))
    return run_title(run)


def _summary(run: RunFacts) -> str:
    return summary(run) if run.inputs and run.filter else ""


def _warnings(run: RunFacts) -> list[str]:
    return [visible(text) for text in run.warnings]


def _article(run: RunFacts, anchor: str, designs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "anchor": anchor,
        "title": _title(run),
        "warnings": _warnings(run),
        "sections": list(page_sections(run)),
        "designs": designs,
        "lost": list(lost_texts(run)),
        # The command stands below the tables, where it can be copied.
        "tables": list(fact_tables(replace(run, command=(), libraries={}))),
        "command": command_text(run.command) if run.command else "",
    }


# ------------------------------------------------------------------------------------------ filters


def _together(runs: Sequence[RunFacts]) -> list[Figure]:
    """The responses of several filters, such as a chosen and a learned one, on common axes."""
    from convcli.report.figures import overlay_figures

    filters = []
    for run in runs[:MOST_DESIGNS]:
        if run.chain is not None:
            filters.append(run.chain)
        elif run.steps:
            filters.append(run.steps[0])
    return overlay_figures(filters)


def _designs(run: RunFacts) -> Iterator[dict[str, Any]]:
    """Yield the whole chain, if it is more than one step, and then each step."""
    chain = run.chain
    opened = False
    if len(run.steps) > 1 and chain is not None and chain.response:
        opened = True
        yield _design(chain, f"the whole chain: {visible(chain.text)}", design_figures(chain))
    for step in run.steps:
        figures = design_figures(step)
        if figures:
            yield _design(step, visible(step.text), figures, opened=not opened)
            opened = True


def _design(
    step: StepFacts, name: str, figures: Sequence[Figure], *, opened: bool = True
) -> dict[str, Any]:
    notes = []
    if step.taps is not None:
        notes.append(", ".join(_design_texts(step)))
    if step.note:
        notes.append(visible(step.note))
    return {"name": name, "open": opened, "notes": notes, "figures": figures}


def _design_texts(step: StepFacts) -> Iterator[str]:
    size = " x ".join(map(str, step.shape))
    yield f"{size} taps" if len(step.shape) > 1 else plural(step.taps or 0, "tap")
    if step.sum is not None:
        yield f"sum {number(step.sum)}"
    if step.delay is not None:
        delay = f"delay {number(step.delay)}"
        yield f"group {delay} at every frequency" if delay_is_constant(step) else delay
    if step.reach:
        yield f"reach {reach_text(step.reach)}"
    for level, frequencies in step.crossings:
        told = ", ".join(number(frequency) for frequency in frequencies)
        yield f"{level:g} dB at {told} {visible(step.frequency_unit)}"


# ------------------------------------------------------------------------------------------- losses


def lost_texts(run: RunFacts) -> Iterator[str]:
    """Yield what was lost on the way, and what is not quite what it seems."""
    yield from loss_texts(run.losses)
    edges = run.losses.edge_affected
    if edges:
        told = plural(edges, "output")
        yield f"{told} read what lies outside of the signal (edge rule: {visible(run.edge)})"
    chain = run.chain
    if chain is not None and chain.delay:
        yield f"the result is {number(chain.delay)} samples later than the input"
    for before, after in zip(run.inputs, run.outputs, strict=False):
        bits = before.details.get("bits")
        kept = after.details.get("bits")
        if isinstance(bits, int) and isinstance(kept, int) and kept < bits:
            yield f"{bits} bits became {kept}"
        if before.rate and after.rate and after.rate < before.rate:
            yield f"frequencies above {after.rate / 2:g} Hz ({before.rate:g} became {after.rate:g})"
    for text in run.warnings:
        if any(word in text for word in ("lost", "does not keep", "dropped", "no place")):
            yield visible(text)


# ----------------------------------------------------------------------------------------- overview


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """A cell as text, and by what the column is sorted."""

    text: str
    value: float | str


@dataclass(frozen=True, kw_only=True)
class _OverviewRow:
    thumbnail: Any
    name: str
    anchor: str
    cells: Sequence[_Cell]


def _overview(runs: Sequence[RunFacts]) -> dict[str, Any]:
    """A row for each run: a small picture, the input, and what can be sorted by."""
    rows = [_overview_row(run, f"run-{place + 1}") for place, run in enumerate(runs)]
    return {"head": ("", "input", "lost", "warnings", "seconds"), "rows": rows}


def _overview_row(run: RunFacts, anchor: str) -> _OverviewRow:
    lost = [*run.losses.clipped.values(), *run.losses.became_missing.values()]
    count = sum(lost) + sum(run.losses.missing.values())
    seconds = run.seconds or 0.0
    warnings = len(run.warnings)
    return _OverviewRow(
        thumbnail="" if run.preview is None else thumbnail(run.preview),
        name=run_title(run),
        anchor=anchor,
        cells=[
            _Cell(text="; ".join(loss_texts(run.losses)), value=float(count)),
            _Cell(text=str(warnings) if warnings else "", value=float(warnings)),
            _Cell(text=f"{seconds:.3g}", value=seconds),
        ],
    )


# Bins of a small outline, at most.
SMALL_BINS = 120


def _merged(points: Sequence[Pair], count: int, merge: Callable[..., Pair]) -> list[Pair]:
    """The least or the largest of every `count` points."""
    starts = range(0, len(points), count)
    return [merge(points[start : start + count], key=itemgetter(1)) for start in starts]


def thumbnail(preview: PreviewFacts) -> Any:
    """A small drawing or picture of the result, escaped."""
    picture = preview.after.picture
    if picture is not None:
        return _small_picture(picture)
    outlines = preview.after.outlines
    if not outlines or not outlines[0].channels or not len(outlines[0].low):
        return ""
    return _small_outline(outlines[0])


def _small_picture(picture: PictureFacts) -> Any:
    from convcli.report.embedded import picture_uri

    longer_side = max(picture.reduced.shape[:2])
    every = max(1, -(-longer_side // SMALL_BINS))
    uri = picture_uri(picture.reduced[::every, ::every])
    return unescaped(f'<img class="thumbnail" src="{uri}" alt="">')


def _small_outline(outline: OutlineFacts) -> Any:
    """The first channel of an outline, without axes."""
    every = -(-len(outline.low) // SMALL_BINS)
    trace = outline_trace(outline, 0, "", "after")
    points = _merged(trace.points, every, min)
    upper = _merged(trace.upper or trace.points, every, max)
    low, high = value_range([y for _, y in (*points, *upper)])
    x = Axis(low=points[0][0], high=points[-1][0])
    chart = Graph(title="", x=x, y=Axis(low=low, high=high))
    inner = "".join(chart.drawn(replace(trace, points=points, upper=upper)))
    box = 'viewBox="0 0 1000 1000" preserveAspectRatio="none"'
    return unescaped(f'<svg class="thumbnail" {box} aria-hidden="true">{inner}</svg>')
