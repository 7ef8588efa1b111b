"""What was lost on the way from the inputs to the outputs, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.words import loss_texts, number, visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import RunFacts

# A warning with one of these words is about something that the output does not have.
_WORDS_OF_LOSS = (
    *("lost", "does not keep", "not kept", "cannot be kept", "did not take", "left out"),
    *("dropped", "no place", "holds", "rounded"),
)


def lost_texts(run: RunFacts) -> Iterator[str]:
    """Yield what was lost on the way, and what is not quite what it seems."""
    yield from loss_texts(run.losses, missing="already missing in the input: {}")
    edges = run.losses.edge_affected
    if edges:
        message = plural(edges, "output")
        yield f"{message} read what lies outside of the signal (edge rule: {visible(run.edge)})"
    chain = run.chain
    if chain is not None and chain.delay:
        yield f"the result is {number(chain.delay)} samples later than the input"
    for before, after in zip(run.inputs, run.outputs, strict=False):
        bits = before.details.get("bits")
        kept = after.details.get("bits")
        if isinstance(bits, int) and isinstance(kept, int) and kept < bits:
            yield f"{bits} bits became {kept}"
        if before.rate and after.rate and after.rate < before.rate:
            yield f"frequencies above {after.rate / 2:g} Hz ({before.rate:g} became {after.rate:g})"
    names = tuple(file.path for file in (*run.inputs, *run.outputs))
    for text in run.warnings:
        if _tells_loss(text, names):
            yield visible(text)


def _tells_loss(warning: str, names: Sequence[str]) -> bool:
    """Whether a warning is about something lost; the name of a file before it does not count."""
    name = next((name for name in names if warning.startswith(name)), "")
    told = warning.removeprefix(name)
    return any(word in told for word in _WORDS_OF_LOSS)
