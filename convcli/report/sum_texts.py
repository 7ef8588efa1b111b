"""The text of a sum on the page of `explain`: its output, and why it is missing if it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.report.sample_texts import PLAIN, RESULT, sample_text, sample_texts

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
