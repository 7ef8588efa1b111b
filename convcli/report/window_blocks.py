"""Sums over two axes or several channels: window, kernel and products side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.report.sample_texts import (
    KERNEL,
    OUTSIDE,
    PLAIN,
    NumberColumns,
    longest_text,
    sample_texts,
)
from convcli.report.sum_texts import bracketed, output_name, sum_cells
from convcli.report.words import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts.explanation import StageFacts, SumFacts
    from convcli.report.sample_texts import Line


@dataclass(frozen=True)
class _BlockRow:
    """A row of a window: the channel that it belongs to, inputs, weights and products as texts."""

    channel: str
    window: list[str]
    kernel: list[str]
    products: list[str]


def window_blocks(stage: StageFacts, shown: Sequence[SumFacts]) -> Iterator[Line]:
    """Yield window, kernel and products side by side, a block of lines for each output."""
    for one in shown:
        rows = list(_window_rows(stage, one))
        name = output_name(one)
        if stage.several:
            name = f"{visible(stage.channels_out[one.channel])} {name}"
        names = longest_text(row.channel for row in rows)
        windows = _block_columns([row.window for row in rows])
        kernels = _block_columns([row.kernel for row in rows])
        products = _block_columns([row.products for row in rows])
        for number, row in enumerate(rows):
            title = "" if number else name
            line = [(f"{title:<{len(name) + 1}}", PLAIN)]
            if names:
                line.append((f" {row.channel:<{names}}", OUTSIDE))
            line += windows.cells(row.window, PLAIN)
            if row.kernel:
                line += [("   *", OUTSIDE), *kernels.cells(row.kernel, KERNEL)]
                line += [("   =", OUTSIDE), *products.cells(row.products, PLAIN)]
            if number == len(rows) - 1:
                line += sum_cells(one, stage)
            yield line


def _window_rows(stage: StageFacts, one: SumFacts) -> Iterator[_BlockRow]:
    """Yield the rows of the window of each channel that an output reads."""
    plane = len(stage.stride) > 1
    outside = one.outside if plane else [one.outside]
    for number, read in enumerate(one.reads):
        window, kernel, products = one.x, stage.laid, one.products
        channel = ""
        if stage.several:
            channel = visible(stage.channels_in[read])
            window = window[number]
            if products is not None:
                kernel, products = stage.laid[one.channel][number], products[number]
        if not plane:
            window, kernel, products = [window], [kernel], [products]
        for row, marks in enumerate(outside):
            weighted = one.products is not None
            yield _BlockRow(
                channel=channel if row == 0 else "",
                window=bracketed(window[row], marks),
                kernel=sample_texts(kernel[row]) if weighted else [],
                products=sample_texts(products[row]) if weighted else [],
            )


def _block_columns(block: Sequence[Sequence[str]]) -> NumberColumns:
    """Return columns that are wide enough for every cell of a block."""
    longest = max(longest_text(row) for row in block)
    return NumberColumns(0, 2 + longest)
