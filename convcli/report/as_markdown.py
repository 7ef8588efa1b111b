"""The facts as a Markdown page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from convcli.report.tables import report_tables
from convcli.report.words import run_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.facts import RunFacts
    from convcli.report.tables import ReportTable

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")


def render_markdown(runs: Sequence[RunFacts]) -> str:
    """Render the runs one below the other, each with its tables."""
    return "\n".join(_render_run(run) for run in runs)


def _render_run(run: RunFacts) -> str:
    lines = [f"# {_escape_markup(run_title(run))}"]
    for table in report_tables(run):
        lines += ["", *_table_lines(table)]
    return "\n".join(lines) + "\n"


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
