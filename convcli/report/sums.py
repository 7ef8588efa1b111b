"""Sums of `explain` as text: factors below each other, or window, kernel and products as blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.report.sample_texts import (
    KERNEL,
    OUTSIDE,
    PLAIN,
    RESULT,
    NumberColumns,
    longest_text,
    sample_text,
    sample_texts,
)
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts.explanation import StageFacts, SumFacts
    from convcli.report.sample_texts import Line


def has_missing(one: SumFacts) -> bool:
    """Whether a sample of the window is missing."""
    return any(value is None for value in _every_number(one.x))


def _every_number(values: Any) -> Iterator[float | None]:
    """Yield the numbers of nested tuples."""
    for value in values:
        if isinstance(value, tuple):
            yield from _every_number(value)
        else:
            yield value


def stays_missing(one: SumFacts, stage: StageFacts) -> bool:
    """Whether an output is missing because the sample that it is aligned with is."""
    if one.y is not None or stage.gaps == "empty" or stage.summarises or stage.several:
        return False
    value = one.x
    for before in stage.before:
        if not 0 <= before < len(value):
            return False
        value = value[before]
    return value is None


def _aligned_name(one: SumFacts, stage: StageFacts) -> str:
    """`x[2]` or `x[2,3]`: the sample that an output is aligned with."""
    places = zip(one.first, stage.before, strict=True)
    return f"x[{','.join(str(first + before) for first, before in places)}]"


def bracketed(values: Sequence[float | None], outside: Sequence[bool]) -> list[str]:
    """Format samples, those outside of the signal in brackets."""
    texts = sample_texts(values)
    return [f"({text})" if out else text for text, out in zip(texts, outside, strict=True)]


def output_name(one: SumFacts) -> str:
    """Return the name of an output: `y[3]` or `y[3,4]`."""
    return f"y[{','.join(map(str, one.at))}]"


def sum_cells(one: SumFacts, stage: StageFacts) -> Line:
    """`  sum 8 / 4 = 2`: the sum, and the output if it differs from the sum."""
    output = sample_text(one.y), RESULT
    if one.products is None:
        return [("   -> ", PLAIN), output]
    total = sample_text(one.total)
    if has_missing(one):
        cells = [(f"   sum {total}", PLAIN), (" -> ", PLAIN), output]
        if stays_missing(one, stage):
            cells.append((f"; {_aligned_name(one, stage)} is missing", PLAIN))
        return cells
    if stage.divisor != 1:
        total += f" / {stage.divisor:g}"
    if stage.bias:
        bias = stage.bias[one.channel]
        total += f" + {sample_text(bias)}" if bias >= 0 else f" - {sample_text(-bias)}"
    if stage.divisor != 1 or stage.bias:
        return [(f"   sum {total} = ", PLAIN), output]
    return [("   sum ", PLAIN), output]


# A signal that needs more columns than this is shown one window at a time.
WIDEST = 100


def line_sums(stage: StageFacts, shown: Sequence[SumFacts]) -> Iterator[Line]:
    """Yield the signal, and under it the kernel and the products of each output.

    A signal that is too wide is repeated for every output, only as much as lies under the kernel.
    """
    first = stage.first[0]
    indices = range(first, first + len(stage.inputs))
    outside = [not 0 <= index < stage.length[0] for index in indices]
    inputs = bracketed(stage.inputs, outside)
    columns = _line_columns(stage, shown, inputs)
    if columns.margin + len(inputs) * columns.width > WIDEST:
        for one in shown:
            yield from _line_of_window(stage, one, columns, inputs, outside)
        return
    yield [columns.name("t"), *columns.cells([str(index) for index in indices], OUTSIDE)]
    yield [columns.name("x"), *columns.cells(inputs, PLAIN)]
    yield []
    for one in shown:
        blank = " " * ((one.first[0] - first) * columns.width)
        yield from _line_sum(stage, one, columns, blank, slice(None))


def _line_of_window(
    stage: StageFacts,
    one: SumFacts,
    columns: NumberColumns,
    inputs: Sequence[str],
    outside: Sequence[bool],
) -> Iterator[Line]:
    """Yield the samples under the kernel of one output, then its kernel and products.

    inputs : all samples as text · outside : which of them are outside of the signal
    """
    skipped = one.first[0] - stage.first[0]
    window = slice(skipped, skipped + stage.size[0])
    kept = slice(None)
    if columns.margin + stage.size[0] * columns.width > WIDEST:
        kept = _kept_terms(one, outside[window])
    texts = columns.cells(inputs[window][kept], PLAIN)
    hidden = len(one.x) - len(one.x[kept])
    if hidden:
        texts.append((f"   and {plural(hidden, 'sample')} outside, all 0", OUTSIDE))
    yield [columns.name("x"), *texts]
    yield from _line_sum(stage, one, columns, "", kept)


def _kept_terms(one: SumFacts, outside: Sequence[bool]) -> slice:
    """The terms of a wide sum without those at its ends that are 0 outside of the signal."""
    if one.products is None:
        return slice(None)
    needed = []
    for place, (value, out) in enumerate(zip(one.x, outside, strict=True)):
        if not out or value != 0:
            needed.append(place)
    if not needed:
        return slice(None)
    return slice(needed[0], needed[-1] + 1)


def _line_sum(
    stage: StageFacts, one: SumFacts, columns: NumberColumns, blank: str, kept: slice
) -> Iterator[Line]:
    """Yield the kernel and the products of an output, or its window if there is no kernel.

    blank : what moves them under their samples
    kept : the terms that are shown
    """
    row = one.x
    if one.products is not None:
        row = one.products
        taps = columns.cells(sample_texts(stage.laid[kept]), KERNEL)
        yield [columns.name("kernel"), (blank, PLAIN), *taps]
    cells = columns.cells(sample_texts(row[kept]), PLAIN)
    name = columns.name(output_name(one))
    yield [name, (blank, PLAIN), *cells, *sum_cells(one, stage)]


def _line_columns(
    stage: StageFacts, shown: Sequence[SumFacts], inputs: Sequence[str]
) -> NumberColumns:
    """Return columns that are wide enough for every index, input, tap and product."""
    names = [output_name(one) for one in shown]
    products = [text for one in shown for text in sample_texts(one.products or one.x)]
    first = stage.first[0]
    ends = [str(first), str(first + len(inputs))]
    return NumberColumns(
        margin=2 + longest_text([*names, "kernel"]),
        width=2 + longest_text([*inputs, *sample_texts(stage.laid), *products, *ends]),
    )


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
        if len(stage.channels_out) > 1:
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
