"""The page of `explain --property`: what was changed, what changed with it, and what follows."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from convcli.facts.properties import LinearityFacts, LocalityFacts, MoveFacts, ShiftFacts
from convcli.report.sample_texts import (
    PLAIN,
    RESULT,
    TITLE,
    list_text,
    longest_text,
    sample_text,
)
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.report.sample_texts import Line

# Sample axes, as the words of a page name them.
_ALONG = (("",), (" down", " to the right"))


@singledispatch
def property_lines(facts: Any) -> Iterator[Line]:
    """Yield the page of a property; each kind of facts has a page of its own."""
    raise TypeError(type(facts))


def _title_line(filter: str, question: str) -> Line:
    return [(f"{visible(filter)}  ", TITLE), (question, PLAIN)]


def _verdict(*, holds: bool, yes: str, no: str) -> Line:
    if holds:
        return [("yes", RESULT), (f": {yes}", PLAIN)]
    return [("no", TITLE), (f": {no}", PLAIN)]


# ------------------------------------------------------------------------------------------ shift


@property_lines.register(ShiftFacts)
def _shift_lines(facts: ShiftFacts) -> Iterator[Line]:
    """Yield what became of the outputs at each move."""
    yield _title_line(facts.filter, "does the result move with the signal?")
    yield []
    names = _move_names(facts)
    width = max(21, 4 + longest_text(names))
    yield [(f"{'  result':<{width}}", PLAIN), (list_text(facts.result), RESULT)]
    for name, move in zip(names, facts.moves, strict=True):
        yield [(f"  {name:<{width - 2}}", PLAIN), (list_text(move.result), RESULT)]
        for text in _move_texts(facts, move):
            yield [(" " * width, PLAIN), (text, PLAIN)]
    yield []
    yield _shift_verdict(facts)


def _move_names(facts: ShiftFacts) -> list[str]:
    """What each move is called, in a picture with its axis."""
    axes = 1 + max((move.axis for move in facts.moves), default=0)
    along = _ALONG[axes - 1]
    return [f"moved{along[move.axis]} by {move.by}" for move in facts.moves]


def _shift_verdict(facts: ShiftFacts) -> Line:
    """Whether the result moves with the signal."""
    if facts.holds is None:
        text = ": no output reads the signal alone, before and after the move; try a longer signal"
        return [("not to be seen", TITLE), (text, PLAIN)]
    by = max((move.outputs or 0 for move in facts.moves if move.by == 1), default=0)
    outputs = plural(by, "output") if by > 1 else "one"
    yes = f"moving the signal by one sample moves the result by {outputs}, and changes nothing else"
    no = "moving the signal by one sample does more than move the result"
    if not facts.holds and facts.period > 1:
        no += (
            f"; an output stands for {facts.period} samples, so only moves by {facts.period} count"
        )
        if not any(facts.moved(move) for move in facts.moves if move.by > 1):
            no = "moving the signal does more than move the result"
    return _verdict(holds=facts.holds, yes=yes, no=no)


def _move_texts(facts: ShiftFacts, move: MoveFacts) -> Iterator[str]:
    """Yield what a move did, sentence by sentence."""
    if move.outputs is None:
        yield "the move is not a multiple of the step, so the outputs take other values"
        return
    compared = plural(move.compared, "output")
    moved = f"moved by {plural(move.outputs, 'output')}"
    if move.difference is None:
        yield f"{moved}; all outputs read from outside of the signal"
    elif facts.moved(move):
        yield f"{moved}: the same in all {compared} that read only the signal"
    else:
        place = _place(move.at)
        difference = sample_text(move.difference)
        yield f"{moved}: {compared} read only the signal, and y[{place}] differs by {difference}"
    if move.edge_difference:
        difference = sample_text(move.edge_difference)
        yield f"at the edges, where samples from outside are read, by up to {difference}"


def _place(at: Sequence[int] | None) -> str:
    return ",".join(map(str, at or ()))


# --------------------------------------------------------------------------------------- locality


@property_lines.register(LocalityFacts)
def _locality_lines(facts: LocalityFacts) -> Iterator[Line]:
    """Yield which outputs changed, and which the reach allows."""
    yield _title_line(facts.filter, "does an output depend on its neighbourhood alone?")
    yield []
    change = sample_text(facts.change)
    yield [(f"  x[{_place(facts.at)}] was changed by {change}", PLAIN)]
    changed = f"{plural(facts.count, 'output')} of {facts.outputs:,} changed"
    if facts.changed:
        changed += f": {_ranges(facts.changed)}"
    yield [(f"  {changed}", PLAIN)]
    if facts.read and not facts.promised:
        yield [("  no output reads it", PLAIN)]
    if facts.promised:
        yield [(f"  that read it by design: {_ranges(facts.promised)}", PLAIN)]
    if facts.read:
        sides = ", ".join(
            f"{_distance_text(low)} to {_distance_text(high)}" for low, high in facts.read
        )
        yield [(f"  an output reads the samples from {sides}, counted from its own", PLAIN)]
    yield []
    no = "the whole signal is read before the first output"
    if facts.read:
        no = "outputs changed that do not lie near the sample"
    yield _verdict(holds=facts.holds, yes="only outputs near the sample changed", no=no)


def _ranges(ranges: Sequence[tuple[int, int]]) -> str:
    """`y[2] to y[4]`, in a picture `y[2,3] to y[4,5]`."""
    first = _place([low for low, _ in ranges])
    last = _place([high for _, high in ranges])
    if first == last:
        return f"y[{first}]"
    return f"y[{first}] to y[{last}]"


def _distance_text(offset: int) -> str:
    return f"{offset:+d}" if offset else "0"


# -------------------------------------------------------------------------------------- linearity


@property_lines.register(LinearityFacts)
def _linearity_lines(facts: LinearityFacts) -> Iterator[Line]:
    """Yield both sides of f(a x + b d) = a f(x) + b f(d)."""
    a, b = facts.factors
    yield _title_line(facts.filter, "is the result of a sum the sum of the results?")
    yield []
    yield [(f"  d is an impulse at x[{_place(facts.impulse)}], as high as the signal x", PLAIN)]
    if facts.at is not None:
        sides = (
            (f"f({a:g} x {b:+g} d)", facts.sum_first),
            (f"{a:g} f(x) {b:+g} f(d)", facts.filter_first),
        )
        place = _place(facts.at)
        for text, value in sides:
            yield [(f"  {text:<18} at y[{place}]  ", PLAIN), (sample_text(value), RESULT)]
        yield [(f"  they differ there most, by {sample_text(facts.difference)}", PLAIN)]
    if facts.impulses > 1:
        others = plural(facts.impulses - 1, "other place")
        yield [(f"  with d at {others} the sides are the same, too", PLAIN)]
    if facts.of_zero:
        yield [(f"  f(0) is {sample_text(facts.of_zero)}: a constant is added", PLAIN)]
    yield []
    yield _verdict(holds=facts.holds, yes="the two sides are the same", no="the two sides differ")
