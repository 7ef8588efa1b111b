"""Warnings of long delays, for filters whose length is not written in FILTER."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.planning.describe import step_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.binding import Rules
    from convcli.planning.plan import BoundStep, Plan

# The user is warned of a delay of more outputs than these.
FEW = 3


def unasked_delays(plan: Plan) -> Iterator[str]:
    """Warn of each step that delays the rows of a table by more than a few outputs.

    Users who write a window in rows know its delay. The length of an anti-alias filter or of a
    low-pass follows from frequencies instead, so that its delay may surprise.
    """
    for step in plan.steps:
        yield from step.stage.warnings
        yield from delay_warnings(step, plan.rules)


def delay_warnings(step: BoundStep, rules: Rules) -> Iterator[str]:
    """Warn of one step if it delays the rows of a table and the user did not choose its length."""
    medium = step.before.medium
    if rules.align != "causal" or not medium.carries_cells:
        return
    if not step.step.hides_length or _asked_for(step):
        return
    delay = step_facts(step).delay
    every = step.ops[0].reach[0].step if step.ops else 1
    if delay is None or delay <= FEW * every:
        return
    said = f"an output shows the input {delay:,.0f} {medium.sample}s before it"
    yield f"{step.call.text} delays by {delay:,.0f} {medium.sample}s: {said}; {_ways_out(step)}"


def _asked_for(step: BoundStep) -> bool:
    """Whether the user has chosen the length of the filter, or the least delay."""
    return step.values.get("taps") is not None or step.values.get("phase") == "minimum"


def _ways_out(step: BoundStep) -> str:
    centred = "--align center has no delay"
    if step.ops and step.ops[0].reach[0].phases > 1:
        return centred
    if step.step.anti_alias:
        written = step.call.arguments[0].text
        return f"avg_pool:{written} is the mean of every {written}, {centred}"
    if "phase" in step.values:
        return f"phase=minimum delays less, {centred}"
    return centred
