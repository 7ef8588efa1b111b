"""The tables of a report, the same in Markdown and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.report.batch import (
    FAILURE_COLUMNS,
    batch_rows,
    failure_rows,
    shard_columns,
    shard_rows,
)
from convcli.report.words import STEP_COLUMNS, hit_cell, run_rows, step_row

# This many compared channels are columns of a table; of more, each is a row.
MOST_BESIDE = 5

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.facts import RunFacts
    from convcli.facts.batch import BatchFacts
    from convcli.facts.comparison import ComparisonFacts
    from convcli.facts.detection import DetectionFacts
    from convcli.facts.learning import LearningFacts


@dataclass(frozen=True)
class ReportTable:
    """Rows of cells. Without a head, the first cell of each row names the row.

    name : what a screen reader calls the table
    """

    name: str
    rows: Iterable[Sequence[str]]
    head: Sequence[str] = ()


def report_tables(run: RunFacts) -> Iterator[ReportTable]:
    """Yield the tables of one run; none of them is empty."""
    yield ReportTable("Facts of the run", run_rows(run))
    if run.learned is not None:
        from convcli.report.learning import fact_rows

        yield ReportTable("Facts of the learning", fact_rows(run.learned))
    yield from result_tables(run)
    if run.learned is not None:
        yield from _trial_tables(run.learned)
    if run.batch is not None:
        yield from _batch_tables(run.batch)
    if run.steps:
        rows = [step_row(step) for step in run.steps]
        yield ReportTable("Steps", rows, STEP_COLUMNS)


def fact_tables(run: RunFacts) -> Iterator[ReportTable]:
    """Yield the tables of one run without those of `result_tables`."""
    results = [table.head for table in result_tables(run)]
    for table in report_tables(run):
        if not table.head or table.head not in results:
            yield table


def result_tables(run: RunFacts) -> Iterator[ReportTable]:
    """Yield the tables that a run was made for: errors, measures or places."""
    if run.learned is not None:
        from convcli.report.learning import error_columns, error_rows

        rows, head = error_rows(run.learned), error_columns(run.learned)
        yield ReportTable("Errors", rows, head)
    if run.comparison is not None:
        yield _comparison_table(run.comparison)
    if run.detection is not None and run.detection.hits:
        yield _hit_table(run.detection)


def _comparison_table(facts: ComparisonFacts) -> ReportTable:
    """The measures of each channel; a few channels are the columns, so that they fit a page."""
    from convcli.report.comparison import TEXT_COLUMNS, comparison_rows

    rows = comparison_rows(facts)
    known = [place for place in range(len(TEXT_COLUMNS)) if any(row[place] for row in rows)]
    if len(rows) > MOST_BESIDE:
        kept = [[row[place] for place in known] for row in rows]
        return ReportTable("Measures", kept, [TEXT_COLUMNS[place] for place in known])
    name, *measures = known
    turned = [[TEXT_COLUMNS[place], *(row[place] for row in rows)] for place in measures]
    return ReportTable("Measures", turned, [TEXT_COLUMNS[name], *(row[name] for row in rows)])


def _batch_tables(facts: BatchFacts) -> Iterator[ReportTable]:
    yield ReportTable("Facts of the batch", batch_rows(facts))
    if facts.shards:
        yield ReportTable("Shards", shard_rows(facts), shard_columns(facts))
    if facts.failures:
        yield ReportTable("Failures", failure_rows(facts.failures), FAILURE_COLUMNS)


def _trial_tables(facts: LearningFacts) -> Iterator[ReportTable]:
    from convcli.report.learning import MOVED_COLUMNS, RIDGE_COLUMNS, moved_rows, ridge_rows

    moved = moved_rows(facts)
    if moved:
        yield ReportTable("One sample later", moved, MOVED_COLUMNS)
    ridges = ridge_rows(facts)
    if ridges:
        yield ReportTable("Ridges that were tried", ridges, RIDGE_COLUMNS)


def _hit_table(facts: DetectionFacts) -> ReportTable:
    rows = [[hit_cell(value) for value in hit.values()] for hit in facts.hits]
    return ReportTable("Places", rows, list(facts.hits[0]))
