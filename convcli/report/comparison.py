"""Comparisons of two signals as text and as CSV."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convcli.report.words import number, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts.comparison import ChannelComparison, ComparisonFacts

CSV_COLUMNS = (
    *("a", "b", "channel", "samples", "unmatched", "equal", "rms", "largest", "at", "time"),
    *("value_a", "value_b", "snr", "correlation", "delay", "delay_correlation"),
    *("spectrum", "spectrum_largest", "spectrum_at", "psnr", "ssim", "page"),
)
TEXT_COLUMNS = (
    *("channel", "samples", "unmatched", "rms", "largest", "at", "SNR (dB)", "correlation"),
    *("delay", "spectrum (dB)", "PSNR (dB)", "SSIM"),
)
# Columns of words; columns of numbers are aligned to the right.
_WORDS = ("file", "channel", "at")


def comparison_rows(facts: ComparisonFacts) -> list[list[str]]:
    """The cells of each channel in the order of `TEXT_COLUMNS`."""
    return [_text_cells(facts, row) for row in facts.rows]


def comparison_lines(all_facts: Sequence[ComparisonFacts]) -> Iterator[str]:
    """Yield the lines of a table: the channels of one comparison, or one line for each of many."""
    several = len(all_facts) > 1
    head = list(TEXT_COLUMNS)
    rows = []
    for facts in all_facts:
        if several:
            cells = [_text_cells(facts, row) for row in facts.overall]
            rows += [[visible(facts.b.page_label), *row] for row in cells]
        else:
            rows += comparison_rows(facts)
    if several:
        head.insert(0, "file")
    yield from _column_lines([head, *rows])


def _column_lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines with aligned columns, without those that are empty below the head."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    aligned = []
    for column in columns:
        width = max(map(len, column))
        left = column[0] in _WORDS
        aligned.append([cell.ljust(width) if left else cell.rjust(width) for cell in column])
    for cells in zip(*aligned, strict=True):
        yield "  ".join(cells).rstrip()


def _text_cells(facts: ComparisonFacts, row: ChannelComparison) -> list[str]:
    return [
        visible(row.channel),
        number(row.samples),
        number(row.unmatched) if row.unmatched else "",
        measure_text(row.rms),
        measure_text(row.largest),
        place_text(facts, row),
        measure_text(row.snr),
        measure_text(row.correlation),
        delay_text(row.delay),
        measure_text(row.spectrum),
        measure_text(row.psnr),
        measure_text(row.ssim),
    ]


def measure_text(value: float | None) -> str:
    """A measure with six digits; an unknown one is empty."""
    return "" if value is None else f"{value:.6g}"


def delay_text(delay: tuple[float, ...] | None) -> str:
    """`2.5` samples, or of a picture `x 0.5, y -2`."""
    if delay is None:
        return ""
    if len(delay) == 1:
        return f"{delay[0]:.4g}"
    return f"x {delay[1]:.4g}, y {delay[0]:.4g}"


def place_text(facts: ComparisonFacts, row: ChannelComparison) -> str:
    """Where the largest difference is: `1.25 s`, `row 12 (2020-01-02)`, `x 12, y 30`."""
    if row.at is None:
        return ""
    first = row.at[0]
    if len(row.at) > 1:
        return f"x {row.at[1]}, y {first}"
    if facts.a.medium.in_seconds and facts.a.rate:
        return f"{first / facts.a.rate:.6g} s"
    if facts.a.medium.carries_cells:
        time = f" ({visible(row.time)})" if row.time else ""
        return f"row {first + 1:,}{time}"
    return f"{facts.a.medium.sample} {first:,}"


def comparison_record(facts: ComparisonFacts, row: ChannelComparison) -> list[object]:
    """The cells of a channel in the order of `CSV_COLUMNS`; numbers have all their digits.

    at : seconds of sound, the data row of a table from 1, `x y` of a pixel, else an index from 0
    """
    own = {
        "a": facts.a.path,
        "b": facts.b.path,
        "page": facts.page,
        "equal": str(row.equal).lower(),
        "at": _place_cell(facts, row),
        "delay": None if row.delay is None else " ".join(map(repr, reversed(row.delay))),
    }
    cells = vars(row) | own
    return [_csv_number(cells[name]) for name in CSV_COLUMNS]


def _csv_number(value: object) -> object:
    """Infinity as `inf`, other values unchanged."""
    if isinstance(value, float) and math.isinf(value):
        return f"{value:g}"
    return value


def _place_cell(facts: ComparisonFacts, row: ChannelComparison) -> object:
    if row.at is None:
        return None
    if len(row.at) > 1:
        return " ".join(map(str, reversed(row.at)))
    if facts.a.medium.in_seconds and facts.a.rate:
        return row.at[0] / facts.a.rate
    return row.at[0] + facts.a.medium.carries_cells
