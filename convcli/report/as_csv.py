"""Hits, verdicts and comparisons as CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from convcli.report.comparison import CSV_COLUMNS, comparison_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convcli.facts.causality import CausalityFacts
    from convcli.facts.comparison import ComparisonFacts
    from convcli.facts.detection import DetectionFacts, Hit

VERDICT_COLUMNS = (
    "file",
    "group",
    "column",
    "verdict",
    "row",
    "whole",
    "prefix",
    "known",
    "difference",
    "largest",
)


def hits_csv(facts: DetectionFacts, columns: Sequence[str]) -> str:
    """Render the names of the columns and a line for each hit; numbers have six decimals."""
    lines: list[Sequence[object]] = [columns]
    lines += [_hit_cells(hit) for hit in facts.hits]
    return _csv_text(lines)


def _hit_cells(hit: Hit) -> list[str | int]:
    return [f"{cell:.6f}" if isinstance(cell, float) else cell for cell in hit.values()]


def verdicts_csv(path: str, facts: CausalityFacts, *, head: bool) -> str:
    """Render a line for each column and group of the table `path`, below the names if `head`."""
    lines: list[Sequence[object]] = []
    if head:
        lines.append(VERDICT_COLUMNS)
    for verdict in facts.columns:
        cells = {"file": path, "verdict": "changed", **vars(verdict)}
        if verdict.row is None:
            cells |= {"verdict": "ok", "largest": None}
        lines.append([cells[name] for name in VERDICT_COLUMNS])
    return _csv_text(lines)


def comparisons_csv(all_facts: Iterable[ComparisonFacts]) -> str:
    """Render the names of the columns and a line for each channel of each comparison."""
    lines: list[Sequence[object]] = [CSV_COLUMNS]
    for facts in all_facts:
        lines += [comparison_record(facts, row) for row in facts.rows]
    return _csv_text(lines)


def _csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Write rows of cells; None becomes an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
