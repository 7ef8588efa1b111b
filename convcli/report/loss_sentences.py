"""What was lost on the way from the inputs to the outputs, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.losses import Loss
from convcli.report.words import loss_texts, number, visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.facts import RunFacts


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
    for text in run.warnings:
        if isinstance(text, Loss):
            yield visible(text)
