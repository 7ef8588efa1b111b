"""`convcli.design` of Python: the weights and the response of a FILTER."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convcli.core.binding import Rules
from convcli.planning.describe import chain_facts, chain_with_response, step_facts, with_response
from convcli.planning.plan import make_plan
from convcli.planning.taps_of_steps import chain_taps
from convcli.running.python_arguments import (
    check_axes,
    check_filter,
    check_rules,
    errors_in_python,
    read_rate,
)
from convcli.signals import ARRAY, Signal

if TYPE_CHECKING:
    from convcli.facts import StepFacts
    from convcli.planning.plan import Plan
    from convcli.signals import Align


@errors_in_python
def design(
    filter: str, *, rate: float | str | None = None, align: Align = "center", axes: int = 1
) -> StepFacts:
    """Return the taps of a FILTER and its response, without a signal.

    rate : samples per second, as a number or a text such as "16k", for durations and frequencies in
        Hz
    align : "center", or "causal" for outputs that read no later sample
    axes : 1, or 2 for the filter of a picture

    Returns facts: `weights` (all taps of one axis, in the order of a convolution), `response`
    (pairs of frequency in `frequency_unit` and gain in dB), `delay`, `look_ahead`, `reach` and
    others. A chain of convolutions is one filter; other chains have neither taps nor response.
    Raises `RequestError` for a wrong FILTER.

    >>> facts = design("kernel:1,2,1,normalize=true")
    >>> facts.weights, facts.delay
    ((0.25, 0.5, 0.25), 0.0)
    """
    check_filter(filter)
    check_rules(align=align)
    check_axes(axes)
    signal = Signal(medium=ARRAY, shape=(None,) * axes, channels=("1",), rate=read_rate(rate))
    plan = make_plan(filter, signal, Rules(edge="zero", align=align))
    if len(plan.steps) == 1:
        (step,) = plan.steps
        return with_response(step_facts(step), step)
    return _whole_chain(plan)


def _whole_chain(plan: Plan) -> StepFacts:
    """The facts of several steps as one, with the taps of a series of convolutions."""
    facts = chain_with_response(chain_facts(plan), plan.steps)
    if not facts.impulse:
        return facts
    weights = chain_taps(plan.steps)
    return replace(
        facts,
        taps=int(weights.size),
        shape=weights.shape,
        sum=float(weights.sum()),
        weights=tuple(weights.tolist()),
    )
