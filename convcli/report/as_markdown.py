"""The facts as a Markdown page, with its drawings as data at the end of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from convcli.report.batch import FAILURE_COLUMNS, MOST_LISTED, failure_rows
from convcli.report.embedded import data_uri
from convcli.report.figures import Figure
from convcli.report.loss_sentences import lost_texts
from convcli.report.page import page_asset
from convcli.report.sections import (
    MOST_DRAWN,
    design_sections,
    most_designs,
    page_sections,
    undrawn_text,
)
from convcli.report.tables import ReportTable, fact_tables
from convcli.report.words import run_title, visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.facts import RunFacts, StepFacts
    from convcli.report.charts import Graph
    from convcli.report.views import SignalView

# What the classes of traces and regions look like in a drawing.
COLOURS = {
    "before": "grey",
    "after": "blue",
    "second": "red",
    "third": "green",
    "faint": "light grey",
    "gap": "pink",
    "outside": "shaded",
    "stop": "shaded",
    "hit": "yellow",
}
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")


def render_markdown(runs: Sequence[RunFacts]) -> str:
    """Render the runs one below the other, each with its drawings and its tables.

    A drawing is named where it stands, and its data URI follows at the end, so that the text above
    can be read.
    """
    drawings: list[str] = []
    pages = []
    # Inputs of one rate have one design, which is drawn below the first of them.
    designed: set[tuple[StepFacts, ...]] = set()
    most = most_designs(runs)
    for run in runs:
        is_new = run.steps not in designed and len(designed) < most
        designed.add(run.steps)
        pages.append(_render_run(run, drawings, designs=is_new))
    failures = runs[0].failures if runs else ()
    if failures:
        rows = failure_rows(failures[:MOST_LISTED])
        table = ReportTable("Failures", rows, FAILURE_COLUMNS)
        text = f"# {plural(len(failures), 'input')} failed"
        pages.append("\n".join([text, "", *_table_lines(table)]) + "\n")
    alone = runs[0].alone if runs else ()
    if alone:
        names = [f"* {_escape_markup(visible(path))}" for path in alone]
        pages.append("\n".join(["# In one of the folders alone", "", *names]) + "\n")
    if drawings:
        pages.append("\n".join(drawings) + "\n")
    return "\n".join(pages)


def markdown_page(text: str, figures: Sequence[Figure]) -> str:
    """An explanation: a page of text with drawings below it."""
    drawings: list[str] = []
    lines = ["# Explained", "", text, *_figure_lines(figures, drawings)]
    return "\n".join([*lines, "", *drawings]).rstrip() + "\n"


def _render_run(run: RunFacts, drawings: list[str], *, designs: bool) -> str:
    lines = [f"# {_escape_markup(run_title(run))}"]
    for section in page_sections(run, layers=designs):
        lines += ["", f"## {_escape_markup(section.title)}"]
        for view in section.views:
            lines += _view_lines(view, drawings)
    if designs:
        lines += _design_lines(run, drawings)
    lost = [f"* {_escape_markup(text)}" for text in lost_texts(run)]
    if lost:
        lines += ["", "## What was lost", "", *lost]
    if len(lines) > 1:
        lines += ["", "## Facts"]
    for table in fact_tables(run):
        lines += ["", *_table_lines(table)]
    return "\n".join(lines) + "\n"


def _design_lines(run: RunFacts, drawings: list[str]) -> list[str]:
    """The responses of the filter and of its first steps, as many as there is room for."""
    lines: list[str] = []
    first, left_out = len(drawings), 0
    drawn = 0
    for title, figures in design_sections(run):
        drawn += sum(map(len, drawings[first:]))
        first = len(drawings)
        if drawn > MOST_DRAWN:
            left_out += 1
            continue
        lines += ["", f"## {_escape_markup(title)}"]
        lines += _figure_lines(figures, drawings)
    if left_out:
        lines += ["", undrawn_text(left_out)]
    return lines


def _view_lines(view: SignalView, drawings: list[str]) -> list[str]:
    """A part of a page; what is played is left out, and a slider becomes two pictures."""
    lines = []
    if view.heading:
        lines += ["", f"### {_escape_markup(view.heading)}"]
    for note in view.notes:
        lines += ["", _escape_markup(note)]
    if view.table is not None:
        lines += ["", *_table_lines(view.table)]
    figures = list(view.figures)
    if view.slider is not None:
        for name, uri in zip(
            view.slider.names, (view.slider.before, view.slider.after), strict=True
        ):
            figures.append(Figure(caption=name, image=uri, alt=f"{view.slider.name}, {name}"))
    return lines + _figure_lines(figures, drawings)


def _figure_lines(figures: Sequence[Figure], drawings: list[str]) -> list[str]:
    """A line for each figure; its data are added to `drawings`."""
    lines = []
    for figure in figures:
        name = f"drawing-{len(drawings) + 1}"
        uri, text = figure.image, figure.alt
        if figure.chart is not None:
            uri, text = chart_uri(figure.chart), figure.chart.title
        drawings.append(f"[{name}]: {uri}")
        lines += ["", f"{_escape_markup(figure.caption)}{_keys_text(figure)}"]
        lines += ["", f"![{_escape_markup(text)}][{name}]"]
    return lines


def _keys_text(figure: Figure) -> str:
    """The names of the colours, as a drawing has no key of its own."""
    names = [f"{_escape_markup(name)} ({COLOURS[style]})" for name, style in figure.keys]
    return f": {', '.join(names)}" if names else ""


def chart_uri(chart: Graph) -> str:
    """A chart as the data URI of an SVG file."""
    return data_uri("image/svg+xml", chart.drawing(page_asset("drawing.css")).encode("utf-8"))


def _table_lines(table: ReportTable) -> list[str]:
    head = table.head or ("fact", "value")
    lines = [_row_line(head), _row_line(["---"] * len(head))]
    rows = [[_escape_markup(cell) for cell in row] for row in table.rows]
    return lines + [_row_line(row) for row in rows]


def _row_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape_markup(text: str) -> str:
    r"""Escape what Markdown would read as emphasis, a link, a cell or HTML.

    >>> print(_escape_markup("a|b"))
    a\|b
    """
    return _MARKUP.sub(r"\\\1", text)
