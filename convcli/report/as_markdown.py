"""The facts as a Markdown page."""

from __future__ import annotations

import re
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
from convcli.report.words import STEP_COLUMNS, hit_rows, rows, step_row, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convcli.facts import RunFacts

_ACTIVE = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")


def render(runs: Sequence[RunFacts]) -> str:
    """The runs one below the other, each a table of facts and a table of steps."""
    return "\n".join(_run(run) for run in runs)


def _run(run: RunFacts) -> str:
    title = ", ".join(visible(one.path) for one in run.inputs) or "convcli"
    lines = [f"# {_escape(title)}", "", *_table(("fact", "value"), rows(run))]
    if run.learned is not None:
        lines += ["", *_table(("fact", "value"), fact_rows(run.learned))]
        lines += ["", *_table(error_columns(run.learned), error_rows(run.learned))]
        if moved := moved_rows(run.learned):
            lines += ["", *_table(MOVED_COLUMNS, moved)]
        if ridges := ridge_rows(run.learned):
            lines += ["", *_table(RIDGE_COLUMNS, ridges)]
    if run.detection is not None and run.detection.hits:
        lines += ["", *_table(*hit_rows(run.detection))]
    if run.steps:
        lines += ["", *_table(STEP_COLUMNS, map(step_row, run.steps))]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    return [
        _line(head),
        _line(["---"] * len(head)),
        *(_line([_escape(cell) for cell in row]) for row in body),
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """The text as itself: nothing in it is emphasis, a link, a cell or HTML."""
    return _ACTIVE.sub(r"\\\1", text)
