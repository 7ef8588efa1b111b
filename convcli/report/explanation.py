"""The page of `explain`: the kernel under the signal, the products and their sum, line by line.

A line is a list of texts, each with a style of `rich`; without the styles it is plain text.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.report.sample_texts import (
    KERNEL,
    OUTSIDE,
    PLAIN,
    RESULT,
    TITLE,
    by_axis,
    dilation_lines,
    list_text,
    longest_text,
    named_channels,
    rule_line,
    sample_text,
    sample_texts,
)
from convcli.report.spreading import spread_lines
from convcli.report.sums import has_missing, line_sums, stays_missing, window_blocks
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.facts.explanation import ExplanationFacts, StageFacts
    from convcli.report.sample_texts import Line

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


def heading_lines(stage: StageFacts, facts: ExplanationFacts) -> Iterator[Line]:
    """Yield the formula, the kernel, and the rules that hold for every output."""
    kind = "correlation, the kernel is not flipped"
    if stage.flipped:
        kind = "convolution, the kernel is flipped"
    yield [(visible(stage.text), TITLE), (f"  {kind}: {_formula(stage)}", PLAIN)]
    yield from _kernel_lines(stage)
    yield rule_line("align", f"{facts.align}: an output reads {_sides(stage)}")
    yield _edge_line(stage, facts)
    if max(stage.stride) > 1:
        yield rule_line("stride", f"an output for every {by_axis(stage.stride)} samples")
    yield from dilation_lines(stage.dilation, "samples")
    if any(has_missing(one) for one in stage.sums):
        yield rule_line("missing", GAPS[stage.gaps])
    if any(stays_missing(one, stage) for one in stage.sums):
        yield rule_line("", "an output aligned with a missing sample stays missing")


def _kernel_lines(stage: StageFacts) -> Iterator[Line]:
    """Yield the weights, and what is added to each sum."""
    if stage.several:
        yield from _channel_kernels(stage)
    else:
        taps, laid = list_text(stage.taps), list_text(stage.laid)
        yield rule_line("kernel", taps, KERNEL)
        same = ", the same" if taps == laid else ""
        yield [*rule_line("laid", laid, KERNEL), (f" over the signal{same}", PLAIN)]
    if stage.bias:
        biases = ", ".join(map(sample_text, stage.bias))
        yield rule_line("bias", f"{biases} is added to each sum")


def _edge_line(stage: StageFacts, facts: ExplanationFacts) -> Line:
    """What lies outside of the signal, or of the input of a layer that extends it."""
    name, rule = "edge", facts.edge
    if stage.padding:
        # The layer extends its own input, whatever lies outside of the signal.
        name, rule = "padding", stage.padding
    edge = rule_line(name, f"{rule}: {EDGES[rule]}")
    if rule != "valid":
        edge.append((", in ( )", OUTSIDE))
    return edge


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
            label = f"  kernel for {name:<{pairs[0]}}  "
            if len(stage.channels_out) > 1:
                label = f"  {name:<{pairs[0]}} to {out:<{pairs[1]}}  "
            yield [(label, PLAIN), (list_text(stage.laid[one.channel][number]), KERNEL)]


def _sides(stage: StageFacts) -> str:
    """`1 before and 1 after`, for a plane `1 before and 1 after in rows and ... in columns`."""
    places = [""] if len(stage.stride) == 1 else [" in rows", " in columns"]
    sides = zip(stage.before, stage.after, places, strict=True)
    return " and ".join(
        f"{before} before and {after} after{where}" for before, after, where in sides
    )


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
    channels = ""
    if stage.several and stage.groups == 1:
        channels = f" over {g} and all channels"
    return f"y[{y}] = sum{channels} of g[{g}] x[{', '.join(read)}]{divisor}{bias}"


def _signed(shift: int) -> str:
    """` + 1`, ` - 1`, and nothing for 0."""
    if not shift:
        return ""
    sign = "+" if shift > 0 else "-"
    return f" {sign} {abs(shift)}"


def explanation_lines(facts: ExplanationFacts, limit: int) -> Iterator[Line]:
    """Yield the whole page; of each stage at most `limit` outputs, 0 for all."""
    for number, stage in enumerate(facts.stages):
        if number:
            yield []
        yield from _stage_lines(stage, facts, limit)
    results = _result_texts(facts)
    if not facts.stages:
        yield line_without_stages(facts)
    yield []
    for number, result in enumerate(results):
        yield [("        " if number else "result  ", TITLE), (result, RESULT)]
    if facts.torch:
        yield [("torch   ", TITLE), (facts.torch, PLAIN)]
    if facts.equinox:
        yield [("equinox ", TITLE), (facts.equinox, PLAIN)]
    if facts.no_lines:
        text = f"no line for PyTorch and Equinox: {visible(facts.no_lines)}"
        yield [("torch   ", TITLE), (text, OUTSIDE)]
    if facts.matrix is not None:
        yield []
        yield from _matrix_lines(facts.matrix)


def line_without_stages(facts: ExplanationFacts) -> Line:
    """Say why there is no stage: the filter has no output, or it is no operation."""
    text = "has no output: the signal has no samples"
    if np.size(facts.result):
        text = "changes nothing"
    elif facts.edge == "valid":
        text = "has no output: the signal is shorter than the kernel"
    return [(f"{visible(facts.filter)} ", TITLE), (text, PLAIN)]


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
        yield from heading_lines(stage, facts)
    yield []
    shown = stage.sums
    if limit:
        shown = stage.sums[:limit]
    if stage.several or len(stage.stride) > 1:
        yield from window_blocks(stage, shown)
    else:
        yield from line_sums(stage, shown)
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
