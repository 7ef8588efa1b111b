"""The heading of a stage on the page of `explain`: formula, kernel, alignment and edge rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.sample_texts import (
    KERNEL,
    OUTSIDE,
    PLAIN,
    TITLE,
    list_text,
    longest_text,
    sample_text,
)
from convcli.report.sum_texts import has_missing, stays_missing
from convcli.report.words import visible

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
    if any(has_missing(one) for one in stage.sums):
        yield _rule("missing", GAPS[stage.gaps])
    if any(stays_missing(one, stage) for one in stage.sums):
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
