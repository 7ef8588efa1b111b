"""Which part of a plan looks ahead, as its reach says, and what prevents that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.units import plural

if TYPE_CHECKING:
    from convcli.facts.causality import CausalityFacts
    from convcli.planning.plan import Plan


@dataclass(frozen=True)
class LookAhead:
    """How far a plan looks ahead, as a sentence, and a hint on how to prevent it."""

    text: str
    hint: str


def find_look_ahead(plan: Plan) -> LookAhead | None:
    """Describe the look-ahead of a plan; None if no output reads a sample later than its own."""
    noun = plan.signal.medium.sample
    if plan.look_ahead is None:
        return LookAhead(
            "the filter looks over the whole signal",
            "no setting makes a step causal that must see all of it first",
        )
    if plan.look_ahead > 0 and plan.chain.times.in_time:
        return LookAhead(
            f"the filter looks at {noun}s that come later in time",
            "--align causal makes every step read only what has been",
        )
    if plan.look_ahead > 0:
        return LookAhead(
            f"the filter looks {plural(plan.look_ahead, noun)} ahead",
            "--align causal makes every step read only what has been",
        )
    distance = plan.edge_look_ahead
    if distance == 0:
        return None
    read = "the end"
    if distance is not None:
        read = f"up to {plural(distance, noun)} ahead"
    return LookAhead(
        f"--edge {plan.rules.edge} reads {read} for the beginning",
        "--edge shrink, zero and edge read only what has been",
    )


def hidden_look_ahead(plan: Plan, checked: CausalityFacts) -> str:
    """Return a warning about look-ahead that did not show in the data; empty if there is none."""
    found = find_look_ahead(plan)
    if found is None or checked.changed:
        return ""
    return f"no row of these data changed, but {found.text}"
