"""The page of `explain`: the kernel under the signal, the products and their sum, line by line.

A line is a list of texts, each with a style of `rich`; without the styles it is plain text.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.report.sample_texts import (
    KERNEL,
    OUTSIDE,
    PLAIN,
    RESULT,
    TITLE,
    NumberColumns,
    list_text,
    longest_text,
    named_channels,
    sample_text,
    sample_texts,
)
from convcli.report.spreading import spread_lines
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts.explanation import ExplanationFacts, StageFacts, SumFacts
    from convcli.report.sample_texts import Line

# A signal that needs more columns than this is shown one window at a time.
WIDEST = 100
GAPS = {
    "renormalise": "a missing sample gets no weight, "
    "and the sum is scaled up to the weight of the whole kernel",
    "hold": "a missing sample is replaced by the last known one before it",
    "empty": "an output is missing if any sample under the kernel is",
}
EDGES = {
    "zero": "samples outside the signal are 0",
    "edge": "the first and the last sample are repeated outside",
    "reflect": "outside, the signal is mirrored about its first and last sample",
    "symmetric": "outside, the signal is mirrored, with its first and last sample repeated",
    "wrap": "outside, the signal starts over",
    "shrink": "samples outside the signal are missing",
    "missing": "an output is missing if its window reaches beyond the signal",
    "valid": "there are only outputs that read no sample outside the signal",
}


def explanation_lines(facts: ExplanationFacts, limit: int) -> Iterator[Line]:
    """Yield the whole page; of each stage at most `limit` outputs, 0 for all."""
    for number, stage in enumerate(facts.stages):
        if number:
            yield []
        yield from _stage_lines(stage, facts, limit)
    results = _result_texts(facts)
    if not facts.stages:
        text = "has no output: the signal is shorter than the kernel"
        if any(results):
            text = "changes nothing"
        yield [(f"{visible(facts.filter)} ", TITLE), (text, PLAIN)]
    yield []
    for number, result in enumerate(results):
        yield [("        " if number else "result  ", TITLE), (result, RESULT)]
    if facts.torch:
        yield [("torch   ", TITLE), (facts.torch, PLAIN)]
    if facts.equinox:
        yield [("equinox ", TITLE), (facts.equinox, PLAIN)]
    if facts.matrix is not None:
        yield []
        yield from _matrix_lines(facts.matrix)


def _result_texts(facts: ExplanationFacts) -> list[str]:
    """Return the result, a text for each channel."""
    several = len(facts.channels) > 1
    channels = named_channels(facts.channels, facts.result, several=several)
    return [f"{name}{list_text(values)}" for name, values in channels]


# ------------------------------------------------------------------------------------------ a stage


def _stage_lines(stage: StageFacts, facts: ExplanationFacts, limit: int) -> Iterator[Line]:
    if stage.spread is not None:
        yield from spread_lines(stage, stage.spread, limit)
        return
    if stage.flipped is None and math.prod(stage.size) == 1:
        yield from _samples_in_and_out(stage)
        return
    if stage.flipped is None:
        yield from _samples_in_and_out(stage)
        if any(branch.stages for branch in stage.branches):
            # The windows of the whole group would add nothing.
            yield from _stages_of_branches(stage, facts, limit)
            return
        if not stage.sums:
            return
    else:
        yield from _heading(stage, facts)
    yield []
    shown = stage.sums
    if limit:
        shown = stage.sums[:limit]
    if stage.several or len(stage.stride) > 1:
        yield from _window_blocks(stage, shown)
    else:
        yield from _line_sums(stage, shown)
    hidden = len(stage.sums) - len(shown)
    if hidden:
        yield [(f"... and {plural(hidden, 'output')} more; --limit 0 shows all", OUTSIDE)]


def _samples_in_and_out(stage: StageFacts) -> Iterator[Line]:
    """Yield what an operation takes and what it gives, a line for each channel."""
    name = visible(stage.text)
    blank = " " * len(name)
    for channel, inputs in named_channels(stage.channels_in, stage.inputs, several=stage.several):
        yield [(name, TITLE), (" takes", PLAIN), (f"  {channel}{list_text(inputs)}", PLAIN)]
        name = blank
    yield from _branch_lines(stage, blank)
    for channel, outputs in named_channels(
        stage.channels_out, stage.outputs, several=stage.several
    ):
        yield [(blank, PLAIN), (" gives", PLAIN), (f"  {channel}{list_text(outputs)}", RESULT)]


def _branch_lines(stage: StageFacts, blank: str) -> Iterator[Line]:
    """Yield what each branch of a group gives, before they are combined."""
    width = longest_text(visible(branch.text) for branch in stage.branches)
    for branch in stage.branches:
        channels = branch.results if branch.several else (branch.results,)
        for values in channels:
            text = f" branch {visible(branch.text):<{width}}  "
            yield [(blank, PLAIN), (text, PLAIN), (list_text(values), KERNEL)]


def _stages_of_branches(stage: StageFacts, facts: ExplanationFacts, limit: int) -> Iterator[Line]:
    """Yield how each branch of a group is computed, indented below its name."""
    for branch in stage.branches:
        if not branch.stages:
            continue
        yield []
        yield [("in branch ", PLAIN), (visible(branch.text), TITLE)]
        for number, own in enumerate(branch.stages):
            if number:
                yield []
            for line in _stage_lines(own, facts, limit):
                yield [("  ", PLAIN), *line] if line else []


def _heading(stage: StageFacts, facts: ExplanationFacts) -> Iterator[Line]:
    """Yield the formula, the kernel, and the rules that hold for every output."""
    kind = "correlation, the kernel is not flipped"
    if stage.flipped:
        kind = "convolution, the kernel is flipped"
    yield [(visible(stage.text), TITLE), (f"  {kind}: {_formula(stage)}", PLAIN)]
    if stage.several:
        yield from _channel_kernels(stage)
    else:
        taps, laid = list_text(stage.taps), list_text(stage.laid)
        yield [("  kernel   ", PLAIN), (taps, KERNEL)]
        same = ", the same" if taps == laid else ""
        yield [("  laid     ", PLAIN), (laid, KERNEL), (f" over the signal{same}", PLAIN)]
    if stage.bias:
        biases = ", ".join(map(sample_text, stage.bias))
        yield _rule("bias", f"{biases} is added to each sum")
    yield _rule("align", f"{facts.align}: an output reads {_sides(stage)}")
    edge = _rule("edge", f"{facts.edge}: {EDGES[facts.edge]}")
    if facts.edge != "valid":
        edge.append((", in ( )", OUTSIDE))
    yield edge
    if any(step > 1 for step in stage.stride):
        yield _rule("stride", f"an output for every {'x'.join(map(str, stage.stride))} samples")
    if any(_has_missing(one) for one in stage.sums):
        yield _rule("missing", GAPS[stage.gaps])
    if any(_stays_missing(one, stage) for one in stage.sums):
        yield _rule("", "an output aligned with a missing sample stays missing")


def _channel_kernels(stage: StageFacts) -> Iterator[Line]:
    """Yield the weights from each input channel to each output channel, as they lie."""
    pairs = longest_text(stage.channels_in), longest_text(stage.channels_out)
    seen = set()
    for one in stage.sums:
        if one.channel in seen:
            continue
        seen.add(one.channel)
        out = visible(stage.channels_out[one.channel])
        for number, read in enumerate(one.reads):
            name = visible(stage.channels_in[read])
            label = f"  {name:<{pairs[0]}} to {out:<{pairs[1]}}  "
            yield [(label, PLAIN), (list_text(stage.laid[one.channel][number]), KERNEL)]


def _rule(name: str, text: str) -> Line:
    return [(f"  {name:<9}", PLAIN), (text, PLAIN)]


def _sides(stage: StageFacts) -> str:
    """`1 before and 1 after`, for a plane `1 before and 1 after in rows and ... in columns`."""
    places = [""] if len(stage.stride) == 1 else [" in rows", " in columns"]
    sides = zip(stage.before, stage.after, places, strict=True)
    return " and ".join(
        f"{before} before and {after} after{where}" for before, after, where in sides
    )


def _has_missing(one: SumFacts) -> bool:
    """Whether a sample of the window is missing."""
    return any(value is None for value in _every_number(one.x))


def _every_number(values: Any) -> Iterator[float | None]:
    """Yield the numbers of nested tuples."""
    for value in values:
        if isinstance(value, tuple):
            yield from _every_number(value)
        else:
            yield value


def _stays_missing(one: SumFacts, stage: StageFacts) -> bool:
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


def _formula(stage: StageFacts) -> str:
    """`y[t] = sum of g[j] x[t - j + 1]`, along each axis, with the stride and the divisor."""
    suffixes = [""] if len(stage.stride) == 1 else ["r", "c"]
    read = []
    for axis, suffix in enumerate(suffixes):
        step = stage.stride[axis]
        position = f"t{suffix}" if step == 1 else f"{step}t{suffix}"
        if stage.flipped:
            read.append(f"{position} - j{suffix}{_signed(stage.after[axis])}")
        else:
            read.append(f"{position} + j{suffix}{_signed(-stage.before[axis])}")
    y = ",".join(f"t{suffix}" for suffix in suffixes)
    g = ",".join(f"j{suffix}" for suffix in suffixes)
    divisor = f" / {stage.divisor:g}" if stage.divisor != 1 else ""
    bias = " + b" if stage.bias else ""
    channels = " and all channels" if stage.several and stage.groups == 1 else ""
    return f"y[{y}] = sum{channels} of g[{g}] x[{', '.join(read)}]{divisor}{bias}"


def _signed(shift: int) -> str:
    """` + 1`, ` - 1`, and nothing for 0."""
    if not shift:
        return ""
    sign = "+" if shift > 0 else "-"
    return f" {sign} {abs(shift)}"


# ---------------------------------------------------------------------------------- one sample axis


def _line_sums(stage: StageFacts, shown: Sequence[SumFacts]) -> Iterator[Line]:
    """Yield the signal, and under it the kernel and the products of each output.

    A signal that is too wide is repeated for every output, only as much as lies under the kernel.
    """
    first = stage.first[0]
    indices = range(first, first + len(stage.inputs))
    outside = [not 0 <= index < stage.length[0] for index in indices]
    inputs = _bracketed(stage.inputs, outside)
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
    name = columns.name(_output_name(one))
    yield [name, (blank, PLAIN), *cells, *_sum_cells(one, stage)]


def _line_columns(
    stage: StageFacts, shown: Sequence[SumFacts], inputs: Sequence[str]
) -> NumberColumns:
    """Return columns that are wide enough for every index, input, tap and product."""
    names = [_output_name(one) for one in shown]
    products = [text for one in shown for text in sample_texts(one.products or one.x)]
    first = stage.first[0]
    ends = [str(first), str(first + len(inputs))]
    return NumberColumns(
        margin=2 + longest_text([*names, "kernel"]),
        width=2 + longest_text([*inputs, *sample_texts(stage.laid), *products, *ends]),
    )


def _bracketed(values: Sequence[float | None], outside: Sequence[bool]) -> list[str]:
    """Format samples, those outside of the signal in brackets."""
    texts = sample_texts(values)
    return [f"({text})" if out else text for text, out in zip(texts, outside, strict=True)]


def _output_name(one: SumFacts) -> str:
    """Return the name of an output: `y[3]` or `y[3,4]`."""
    return f"y[{','.join(map(str, one.at))}]"


def _sum_cells(one: SumFacts, stage: StageFacts) -> Line:
    """`  sum 8 / 4 = 2`: the sum, and the output if it differs from the sum."""
    output = sample_text(one.y), RESULT
    if one.products is None:
        return [("   -> ", PLAIN), output]
    total = sample_text(one.total)
    if _has_missing(one):
        cells = [(f"   sum {total}", PLAIN), (" -> ", PLAIN), output]
        if _stays_missing(one, stage):
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


# --------------------------------------------------------------- two sample axes, several channels


@dataclass(frozen=True)
class _BlockRow:
    """A row of a window: the channel that it belongs to, inputs, weights and products as texts."""

    channel: str
    window: list[str]
    kernel: list[str]
    products: list[str]


def _window_blocks(stage: StageFacts, shown: Sequence[SumFacts]) -> Iterator[Line]:
    """Yield window, kernel and products side by side, a block of lines for each output."""
    for one in shown:
        rows = list(_window_rows(stage, one))
        name = _output_name(one)
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
                line += _sum_cells(one, stage)
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
                window=_bracketed(window[row], marks),
                kernel=sample_texts(kernel[row]) if weighted else [],
                products=sample_texts(products[row]) if weighted else [],
            )


def _block_columns(block: Sequence[Sequence[str]]) -> NumberColumns:
    """Return columns that are wide enough for every cell of a block."""
    longest = max(longest_text(row) for row in block)
    return NumberColumns(0, 2 + longest)


def _matrix_lines(matrix: Any) -> Iterator[Line]:
    """Yield a row for each output and a column for each sample; zeros are dots."""
    # Zeros become dots, as missing samples do.
    rows = [sample_texts(value or None for value in row) for row in matrix]
    width = 2 + max((longest_text(row) for row in rows), default=0)
    size = f"{len(rows)}x{len(rows[0])}" if rows else "0x0"
    yield [("matrix  ", TITLE), (f"{size}: y = matrix * x, with the edge rule worked in", PLAIN)]
    for row in rows:
        styles = [OUTSIDE if text == "." else KERNEL for text in row]
        yield [(f"{text:>{width}}", style) for text, style in zip(row, styles, strict=True)]
