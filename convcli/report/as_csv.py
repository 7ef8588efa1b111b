"""Hits and verdicts as CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convcli.facts.causality import CausalityFacts, ColumnVerdict
    from convcli.facts.detection import DetectionFacts

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
    for hit in facts.hits:
        cells = hit.values()
        lines.append([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in cells])
    return _csv_text(lines)


def verdicts_csv(path: str, facts: CausalityFacts, *, head: bool) -> str:
    """Render a line for each column and group of the table `path`; head : whether to name the cells."""
    lines: list[Sequence[object]] = [VERDICT_COLUMNS] if head else []
    lines += [(path, *_verdict_cells(verdict)) for verdict in facts.columns]
    return _csv_text(lines)


def _verdict_cells(verdict: ColumnVerdict) -> tuple[object, ...]:
    name = (verdict.group, verdict.column)
    if verdict.row is None:
        return (*name, "ok", *[""] * 6)
    numbers = (
        verdict.row,
        verdict.whole,
        verdict.prefix,
        verdict.known,
        verdict.difference,
        verdict.largest,
    )
    return (*name, "changed", *("" if number is None else number for number in numbers))


def _csv_text(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
