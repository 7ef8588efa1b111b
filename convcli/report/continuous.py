"""The page of `explain --continuous`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.sample_texts import KERNEL, PLAIN, RESULT, TITLE, sample_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.facts.explanation import ContinuousFacts
    from convcli.report.sample_texts import Line

_WIDTH = 11


def continuous_lines(facts: ContinuousFacts) -> Iterator[Line]:
    """Yield a row for each time and a column for each step, the integral last."""
    yield [("(g * x)(t) = integral of g(s) x(t - s) ds", TITLE)]
    yield [("  the limit of  sum over j of g(j dt) x(t - j dt) dt  for small dt", PLAIN)]
    yield [(f"  x  {facts.signal}: {facts.signal_formula}", PLAIN)]
    yield [(f"  g  {facts.kernel}: {facts.kernel_formula}", KERNEL)]
    yield []
    heads = [f"dt={step:g}" for step in facts.steps]
    yield [("".join(f"{head:>{_WIDTH}}" for head in ("t", *heads, "integral")), TITLE)]
    for number, time in enumerate(facts.times):
        values = [time, *(row[number] for row in facts.sums)]
        yield [
            ("".join(f"{_short(value):>{_WIDTH}}" for value in values), PLAIN),
            (f"{_short(facts.integral[number]):>{_WIDTH}}", RESULT),
        ]
    errors = "".join(f"{_short(error):>{_WIDTH}}" for error in facts.errors)
    yield []
    yield [(f"{'farthest':>{_WIDTH}}{errors}", PLAIN)]


def _short(value: float) -> str:
    """A number with at most five digits; rounding next to 0 is 0."""
    return sample_text(float(f"{value:.5g}") if abs(value) > 1e-12 else 0.0)
