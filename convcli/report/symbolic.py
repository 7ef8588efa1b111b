"""The page of `explain --symbolic`: weights as θ instead of numbers.

With one channel θ₁, θ₂, ... are numbers. With several they are vectors of weights, one for each
input channel, and x̄(t) holds all channels at t.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.report.explanation import line_without_stages
from convcli.report.sample_texts import KERNEL, OUTSIDE, PLAIN, RESULT, TITLE, by_axis
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts.explanation import ExplanationFacts, SpreadFacts, StageFacts, SumFacts
    from convcli.report.sample_texts import Line

_SUBSCRIPTS = str.maketrans("0123456789,", "₀₁₂₃₄₅₆₇₈₉,")
# A function of more samples than this is written with dots.
_WIDEST = 30
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def symbolic_lines(facts: ExplanationFacts, limit: int) -> Iterator[Line]:
    """Yield the page; of each stage at most `limit` outputs, 0 for all."""
    if not facts.stages:
        yield line_without_stages(facts)
    names = _signal_names(len(facts.stages))
    for number, stage in enumerate(facts.stages):
        if number:
            yield []
        yield from _equation_lines(stage, names[number], names[number + 1], limit)


def _signal_names(stages: int) -> list[str]:
    """The input x, what goes from stage to stage (h, or h¹, h², ...), and the output y."""
    between = _names_between("h", stages)
    if len(between) == 1:
        between = ["h"]
    return ["x", *between, "y"]


def _names_between(name: str, stages: int) -> list[str]:
    """The signals between some stages: the name with a number above it."""
    return [f"{name}{str(number).translate(_SUPERSCRIPTS)}" for number in range(1, stages)]


def _equation_lines(stage: StageFacts, x: str, y: str, limit: int) -> Iterator[Line]:
    """Yield the general equation of a stage, that of each output, and the numbers of weights."""
    yield [(visible(stage.text), TITLE)]
    if stage.flipped is None and stage.branches:
        yield from _branch_equations(stage, x, y, limit)
        return
    yield [("  ", PLAIN), (_general_equation(stage, x, y), KERNEL)]
    if stage.spread is not None:
        yield []
        yield from _weight_count_lines(stage)
    if stage.flipped is None:
        return
    if stage.flipped:
        yield [("  θ is the kernel as it lies over the signal: flipped", OUTSIDE)]
    yield []
    shown = [one for one in stage.sums if one.channel == 0]
    hidden = 0
    if limit:
        hidden = max(0, len(shown) - limit)
        shown = shown[:limit]
    for one in shown:
        yield [("  ", PLAIN), (_equation_of(stage, one, x, y), RESULT)]
    if hidden:
        yield [(f"  ... and {plural(hidden, 'output')} more; --limit 0 shows all", OUTSIDE)]
    yield []
    yield from _weight_count_lines(stage)


def _branch_equations(stage: StageFacts, x: str, y: str, limit: int) -> Iterator[Line]:
    """Yield what a group combines, `y(t) = b₁(t) / b₂(t)`, and the equations of each branch."""
    results = []
    for number, branch in enumerate(stage.branches, start=1):
        result = f"b{str(number).translate(_SUBSCRIPTS)}" if branch.stages else x
        results.append(result)
    place = f"({_axes(stage)})"
    combined = _combined_text(stage, [result + place for result in results])
    yield [("  ", PLAIN), (f"{y}{place} = {combined}", KERNEL)]
    for branch, result in zip(stage.branches, results, strict=True):
        names = [x, *_names_between(result, len(branch.stages)), result]
        for number, own in enumerate(branch.stages):
            yield []
            for line in _equation_lines(own, names[number], names[number + 1], limit):
                yield [("  ", PLAIN), *line] if line else []


def _combined_text(stage: StageFacts, results: Sequence[str]) -> str:
    """What a group combines, with the result of each branch in place of its steps."""
    text = visible(stage.text)
    done = 0
    for branch, result in zip(stage.branches, results, strict=True):
        written = visible(branch.text)
        found = text.find(written, done)
        if found >= 0:
            text = text[:found] + result + text[found + len(written) :]
            done = found + len(result)
    for result in results:
        text = text.replace(f"({result})", result)
    if not done:
        # The words of a recipe do not show its branches.
        text += f" of {', '.join(results)}"
    return text


# -------------------------------------------------------------------------------------- equations


def _axes(stage: StageFacts) -> str:
    """The names of the sample axes, `t` or `r,c`."""
    return "t" if len(stage.stride) == 1 else "r,c"


def _general_equation(stage: StageFacts, x: str, y: str) -> str:
    """`y(t) = θ₁ x(t) + θ₂ x(t+1)`, or `y(t) = relu(x(t))`."""
    axes = _axes(stage)
    left = f"{y}({axes})"
    positions: list[list[str]] = []
    for axis, offsets in zip(axes.split(","), _offsets(stage), strict=True):
        step = stage.stride[len(positions)]
        scaled = axis if step == 1 else f"{step}{axis}"
        positions.append([f"{scaled}{offset:+d}" if offset else scaled for offset in offsets])
    if stage.spread is not None:
        return _spread_equation(stage, stage.spread, x, y)
    if stage.only_pads:
        return f"{left} = {x}({_shifted_time(stage)}), extended by the rule {stage.padding}"
    if stage.flipped is None and not stage.sums:
        name = visible(stage.text.partition(":")[0])
        if stage.nn_call:
            outputs = " x ".join(map(str, stage.phases))
            return f"{y} = {name}({x}): {outputs} outputs for each input"
        return f"{y} = {name}({x}): each output has weights of its own, by where it lies"
    if stage.flipped is None:
        window = [f"{x}({place})" for place in _places(positions)]
        if len(window) > _WIDEST:
            window[2:-1] = ["..."]
        return f"{left} = {_call(stage, window)}"
    return f"{left} = {_weighted(stage, x, _places(positions))}"


def _shifted_time(stage: StageFacts) -> str:
    """The place of the input that an output of a padding is: `t-1`."""
    axes = _axes(stage).split(",")
    sides = zip(axes, stage.before, strict=True)
    return ",".join(f"{axis}{-before:+d}" if before else axis for axis, before in sides)


def _spread_equation(stage: StageFacts, spread: SpreadFacts, x: str, y: str) -> str:
    """`x(i) adds θ₁ x(i) to y(2i), θ₂ x(i) to y(2i+1)`: what an input spreads."""
    axes = ["i"] if len(spread.stride) == 1 else ["r", "c"]
    size = _tap_counts(stage)
    place = f"({','.join(axes)})"
    inputs = x + place
    transposed = ""
    if stage.several and np.shape(spread.kernel)[1] > 1:
        inputs = f"{x}\N{COMBINING MACRON}{place}"
        transposed = "ᵀ"
    terms = []
    for number, tap in enumerate(np.ndindex(*size)):
        places = []
        for axis, name in enumerate(axes):
            stride = spread.stride[axis]
            scaled = name if stride == 1 else f"{stride}{name}"
            shift = spread.first[axis] + tap[axis] * spread.dilation[axis]
            places.append(f"{scaled}{shift:+d}" if shift else scaled)
        weight = f"θ{_weight_index(number, size)}{transposed}"
        terms.append(f"{weight} {inputs} to {y}({','.join(places)})")
    bias = f"; b is added to every {y}" if spread.bias else ""
    return f"{inputs} adds {', '.join(terms)}{bias}"


def _equation_of(stage: StageFacts, one: SumFacts, x: str, y: str) -> str:
    """Write the equation of one output: `y(2) = θ₁ x(2) + θ₂ x(3)`."""
    left = f"{y}({','.join(map(str, one.at))})"
    positions = []
    for first, size, apart in zip(one.first, stage.size, _dilation(stage), strict=True):
        places = range(first, first + size, apart)
        positions.append([str(place) for place in places])
    return f"{left} = {_weighted(stage, x, _places(positions))}"


def _offsets(stage: StageFacts) -> list[range]:
    """The samples of a window, counted from the index of the output times the stride."""
    if not stage.sums:
        sides = zip(stage.before, stage.after, strict=True)
        return [range(-before, after + 1) for before, after in sides]
    one = stage.sums[0]
    firsts = [
        first - k * step for first, k, step in zip(one.first, one.at, stage.stride, strict=True)
    ]
    windows = zip(firsts, stage.size, _dilation(stage), strict=True)
    return [range(first, first + size, apart) for first, size, apart in windows]


def _dilation(stage: StageFacts) -> tuple[int, ...]:
    """Samples from one tap to the next; 1 where the windows have no weights."""
    return stage.dilation or (1,) * len(stage.stride)


def _tap_counts(stage: StageFacts) -> tuple[int, ...]:
    """How many taps a kernel has along each axis, without the zeros of a dilation."""
    size, dilation = stage.size, _dilation(stage)
    if stage.spread is not None:
        dilation = stage.spread.dilation
        size = np.shape(stage.spread.kernel)[-len(dilation) :]
    return tuple(-(-width // apart) for width, apart in zip(size, dilation, strict=True))


def _places(positions: Sequence[Sequence[str]]) -> list[str]:
    """`t`, or for two axes `r,c`, of every sample of a window."""
    if len(positions) == 1:
        return list(positions[0])
    return [f"{row},{column}" for row in positions[0] for column in positions[1]]


def _weighted(stage: StageFacts, x: str, places: Sequence[str]) -> str:
    """The sum of weights times samples, divided, with the bias."""
    vectors = stage.several and len(stage.sums[0].reads) > 1
    sample = f"{x}\N{COMBINING MACRON}" if vectors else x
    transposed = "ᵀ" if vectors else ""
    counts = _tap_counts(stage)
    terms = [
        f"θ{_weight_index(number, counts)}{transposed} {sample}({place})"
        for number, place in enumerate(places)
    ]
    total = " + ".join(terms)
    if stage.divisor != 1:
        total = f"({total}) / {stage.divisor:g}"
    return f"{total} + b" if stage.bias else total


def _weight_index(number: int, size: tuple[int, ...]) -> str:
    """The index of a weight, from 1; row and column in a picture."""
    if len(size) == 1:
        return str(number + 1).translate(_SUBSCRIPTS)
    row, column = divmod(number, size[1])
    text = f"{row + 1}{column + 1}"
    if max(size) > 9:
        text = f"{row + 1},{column + 1}"
    return text.translate(_SUBSCRIPTS)


def _call(stage: StageFacts, window: Sequence[str]) -> str:
    """An operation that is not a weighted sum, as a function of its window."""
    inputs = ", ".join(window)
    if stage.nn_call and not stage.nn_numbers:
        return stage.nn_call.replace("{x}", inputs)
    name = visible(stage.text.partition(":")[0])
    return f"{name}({inputs})"


# ---------------------------------------------------------------------------------------- weights


def _channels_and_biases(stage: StageFacts) -> tuple[int, int]:
    """How many channels an output reads, and how many biases there are."""
    if stage.spread is None:
        return len(stage.sums[0].reads), len(stage.bias)
    read = np.shape(stage.spread.kernel)[1] if stage.several else 1
    return read, len(stage.spread.bias)


def _weight_count_lines(stage: StageFacts) -> Iterator[Line]:
    """Yield how many weights a neuron, a dense layer and this convolution have."""
    samples = math.prod(stage.length) * len(stage.channels_in)
    outputs = np.size(stage.outputs)
    size = _tap_counts(stage)
    read, biases = _channels_and_biases(stage)
    taps = by_axis(size)
    weights = math.prod(size) * read * len(stage.channels_out)
    shape = f"{len(stage.channels_out)} x {read} channels x {taps} taps, whatever the length"
    if biases:
        weights += biases
        shape += f", and {biases} bias"
    rows = (
        ("a neuron", samples + 1, f"{samples:,} inputs and a bias: it makes 1 output"),
        ("a dense layer", outputs * (samples + 1), f"a neuron for each of {outputs:,} outputs"),
        ("this convolution", weights, shape),
    )
    yield [("  weights of", TITLE)]
    for name, count, text in rows:
        yield [(f"    {name:<17} {count:>12,}", PLAIN), (f"   {text}", OUTSIDE)]
