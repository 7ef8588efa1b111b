"""The facts as one self-contained page: tables, and drawings of the taps and the response."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from convcli.report.plots import draw_response, draw_taps
from convcli.report.tables import report_tables
from convcli.report.words import run_title, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import RunFacts, StepFacts
    from convcli.report.tables import ReportTable

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8886; --ink: light-dark(#1f5fa8, #7db4f0); }}
body {{ font: 16px/1.5 system-ui, sans-serif; }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; }}
th, td {{ border-bottom: 1px solid var(--line); }}
td {{ overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }}
figure {{ margin: 1rem 0; }}
svg {{ width: 100%; height: auto; }}
svg text {{ font: 12px system-ui, sans-serif; fill: currentColor; }}
.axis {{ stroke: var(--line); fill: none; }}
.curve {{ stroke: var(--ink); fill: none; stroke-width: 1.5; }}
.dot {{ fill: var(--ink); }}
</style>
</head>
<body>
"""


def render_html(runs: Sequence[RunFacts]) -> str:
    """Render the runs one below the other, on one page that loads nothing from elsewhere."""
    title = run_title(runs[0])
    if len(runs) > 1:
        title += f" and {len(runs) - 1:,} more"
    lines: list[str] = []
    # Inputs of one rate have one design, which is drawn below the first of them.
    drawn: set[tuple[StepFacts, ...]] = set()
    for run in runs:
        lines += _run_lines(run)
        if run.steps not in drawn:
            lines += _design_figures(run)
            drawn.add(run.steps)
    lines += ["</body>", "</html>", ""]
    return _HEAD.format(title=escape(title)) + "\n".join(lines)


def _run_lines(run: RunFacts) -> Iterator[str]:
    yield f"<h1>{escape(run_title(run))}</h1>"
    for table in report_tables(run):
        yield from _table_tags(table)


def _design_figures(run: RunFacts) -> Iterator[str]:
    for step in run.steps:
        yield from _figures(step)
    if run.chain is not None:
        yield from _figures(run.chain)


def _table_tags(table: ReportTable) -> Iterator[str]:
    yield "<table>"
    if table.head:
        heads = [f'<th scope="col">{escape(cell)}</th>' for cell in table.head]
        yield _row_tag(heads)
    for row in table.rows:
        cells = [f"<td>{escape(cell)}</td>" for cell in row]
        if not table.head:
            cells[0] = f'<th scope="row">{escape(row[0])}</th>'
        yield _row_tag(cells)
    yield "</table>"


def _row_tag(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _figures(step: StepFacts) -> Iterator[str]:
    """Yield drawings of the taps and of the response, as far as the facts have them."""
    name = visible(step.text)
    if step.weights:
        yield _figure(draw_taps(step.weights), f"{name}: taps")
    if step.response:
        unit = visible(step.frequency_unit)
        drawing = draw_response(step.response, unit=unit)
        yield _figure(drawing, f"{name}: gain in dB over frequency in {unit}")


def _figure(drawing: str, caption: str) -> str:
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"
