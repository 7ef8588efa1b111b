"""The facts as one self-contained page: before and after, what the filter is, what was lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from convcli.report.batch import failed_lines
from convcli.report.figures import delay_is_constant, design_figures
from convcli.report.loss_sentences import lost_texts
from convcli.report.rendering import render_page
from convcli.report.sections import (
    MOST_DESIGNS,
    MOST_DRAWN,
    most_designs,
    page_sections,
    undrawn_text,
)
from convcli.report.tables import fact_tables
from convcli.report.terminal import summary
from convcli.report.words import (
    command_text,
    library_text,
    number,
    reach_text,
    run_title,
    title_of,
    visible,
)
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import RunFacts, StepFacts
    from convcli.report.figures import Figure

# Characters of a chart and of each of its points, which have 4 to 7.
_OF_FIGURE, _OF_POINT = 1500, 7


def render_html(runs: Sequence[RunFacts]) -> str:
    """Render the runs one below the other, on one page that loads nothing from elsewhere."""
    first = runs[0]
    several = len(runs) > 1
    listed = None
    if several and (first.inputs or first.usage):
        from convcli.report.overview import overview

        listed = overview(runs)
    return render_page(
        "report",
        title=_page_title(runs),
        summary=visible(first.filter) if several and first.inputs else _summary(first),
        overview=listed,
        together=_together(runs) if several and not listed else [],
        opened=not first.inputs and not listed,
        failed=failed_lines(first.failures),
        failures=len(first.failures),
        alone=[visible(path) for path in first.alone],
        warned=[(run_title(run), _warnings(run)) for run in runs if several and run.warnings],
        runs=list(_articles(runs)),
        version=visible(first.version),
        libraries=library_text(first.libraries),
    )


def _articles(runs: Sequence[RunFacts]) -> Iterator[dict[str, Any]]:
    """Yield what the page shows of each run.

    Inputs of one rate have one design, which is drawn below the first of them.
    """
    drawn: set[tuple[StepFacts, ...]] = set()
    most = most_designs(runs)
    room = MOST_DRAWN
    for place, run in enumerate(runs, 1):
        designs: list[dict[str, Any]] = []
        undrawn = 0
        is_new = run.steps not in drawn and len(drawn) < most
        if is_new:
            all_designs = list(_designs(run))
            designs = all_designs if run.usage is not None else _fitting(all_designs, room)
            undrawn = len(all_designs) - len(designs)
            room -= sum(map(_characters, designs))
            drawn.add(run.steps)
        left_out = undrawn_text(undrawn) if undrawn else ""
        article = _article(run, f"run-{place}", designs, layers=is_new)
        yield {**article, "undrawn": left_out}


def _page_title(runs: Sequence[RunFacts]) -> str:
    if runs[0].usage is not None:
        return "The steps of convcli"
    title = _title(runs[0], short=len(runs) == 1)
    if len(runs) > 1:
        title += f" and {len(runs) - 1:,} more"
    return title


def _title(run: RunFacts, *, short: bool = False) -> str:
    """The inputs, or the filter of a page that is about a filter alone.

    short : without the folders, where the names differ without them
    """
    if run.filter and not run.inputs and run.usage is None:
        return visible(run.filter)
    paths = {one.path for one in run.inputs}
    names = [PurePath(one.path).name or one.path for one in run.inputs]
    if short and names and len(set(names)) == len(paths):
        return title_of(names)
    return run_title(run)


def _summary(run: RunFacts) -> str:
    return summary(run) if run.inputs and run.filter else ""


def _warnings(run: RunFacts) -> list[str]:
    return [visible(text) for text in run.warnings]


def _article(
    run: RunFacts, anchor: str, designs: list[dict[str, Any]], *, layers: bool
) -> dict[str, Any]:
    return {
        "anchor": anchor,
        "title": _title(run),
        "warnings": _warnings(run),
        "sections": list(page_sections(run, layers=layers)),
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


def _fitting(designs: Sequence[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """The first designs whose drawings fit; at least one.

    room : characters
    """
    fitting: list[dict[str, Any]] = []
    for design in designs:
        room -= _characters(design)
        if fitting and room < 0:
            break
        fitting.append(design)
    return fitting


def _characters(design: dict[str, Any]) -> int:
    """About how many characters of a page the drawings of a design take."""
    figures: Sequence[Figure] = design["figures"]
    points = 0
    for figure in figures:
        if figure.chart is not None:
            points += sum(len(trace.points) for trace in figure.chart.traces)
    images = sum(len(figure.image) for figure in figures)
    return len(figures) * _OF_FIGURE + points * _OF_POINT + images


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
        text = ", ".join(number(frequency) for frequency in frequencies)
        yield f"{level:g} dB at {text} {visible(step.frequency_unit)}"
