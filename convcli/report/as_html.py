"""The facts as one self-contained page: tables, and drawings of the taps and the response."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from convcli.report.learning import (
    MOVED_COLUMNS,
    RIDGE_COLUMNS,
    error_columns,
    error_rows,
    fact_rows,
    moved_rows,
    ridge_rows,
)
from convcli.report.plots import draw_response, draw_taps
from convcli.report.words import STEP_COLUMNS, hit_rows, rows, step_row, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.facts import RunFacts, StepFacts

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8886; --ink: light-dark(#1f5fa8, #7db4f0); }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); }}
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


def render(runs: Sequence[RunFacts]) -> str:
    """The runs one below the other on one page that loads nothing from elsewhere."""
    title = escape(", ".join(_title(run) for run in runs) or "convcli")
    return (
        _HEAD.format(title=title)
        + "".join(line + "\n" for run in runs for line in _run(run))
        + "</body>\n</html>\n"
    )


def _title(run: RunFacts) -> str:
    return ", ".join(visible(one.path) for one in run.inputs) or "convcli"


def _run(run: RunFacts) -> Iterator[str]:
    yield f"<h1>{escape(_title(run))}</h1>"
    yield from _table((), rows(run))
    if run.learned is not None:
        yield from _table((), fact_rows(run.learned))
        yield from _table(error_columns(run.learned), error_rows(run.learned))
        if moved := moved_rows(run.learned):
            yield from _table(MOVED_COLUMNS, moved)
        if ridges := ridge_rows(run.learned):
            yield from _table(RIDGE_COLUMNS, ridges)
    if run.detection is not None and run.detection.hits:
        yield from _table(*hit_rows(run.detection))
    if run.steps:
        yield from _table(STEP_COLUMNS, map(step_row, run.steps))
    for step in (*run.steps, *((run.chain,) if run.chain is not None else ())):
        yield from _figures(step)


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "<table>"
    if head:
        yield "<tr>" + "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head) + "</tr>"
    for row in body:
        cells = [f"<td>{escape(cell)}</td>" for cell in row]
        if not head:
            cells[0] = f'<th scope="row">{escape(row[0])}</th>'
        yield "<tr>" + "".join(cells) + "</tr>"
    yield "</table>"


def _figures(step: StepFacts) -> Iterator[str]:
    name = visible(step.text)
    if step.weights:
        yield _figure(draw_taps(step.weights), f"{name}: taps")
    if step.response:
        unit = visible(step.frequency_unit)
        yield _figure(
            draw_response(step.response, unit=unit), f"{name}: gain in dB over frequency in {unit}"
        )


def _figure(drawing: str, caption: str) -> str:
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"
