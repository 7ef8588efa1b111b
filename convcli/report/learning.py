"""What was learned, in words and tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convcli.report.words import number, visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.facts.learning import DelayFacts, LearningFacts

RIDGE_COLUMNS = ("ridge", "root mean squared error")
MOVED_COLUMNS = (
    "one sample later",
    "parameters",
    "learned from",
    "held out",
    "the answer changes by",
)


def error_columns(facts: LearningFacts) -> tuple[str, str, str]:
    """What stands above the errors."""
    against = f" against {facts.against}" if facts.against else ""
    return f"root mean squared error{against}", "learned from", "held out"


def error_rows(facts: LearningFacts) -> list[tuple[str, str, str]]:
    """The errors of the filter and of the naive answers."""
    return [
        (
            one.name,
            _error(one.train, facts.power),
            "" if one.held is None else _error(one.held, facts.power_held),
        )
        for one in facts.errors
    ]


def _error(error: float, power: float | None) -> str:
    """An error, and where that says something what it is in decibels below the target."""
    if power is None or error <= 0 or power <= 0:
        return number(error)
    level = round(20 * math.log10(error / power), 1) + 0.0  # no -0.0
    return f"{number(error)} ({level} dB)"


def ridge_rows(facts: LearningFacts) -> list[tuple[str, str]]:
    """The ridges that were tried; none where there was no choice."""
    if len(facts.tried) < 2:
        return []
    return [(f"{one.ridge:g}", number(one.error)) for one in facts.tried]


def moved_rows(facts: LearningFacts) -> list[tuple[str, ...]]:
    """What becomes of a dense layer and of a filter when the signal begins one sample later."""
    return [
        (
            one.name,
            f"{one.parameters:,}",
            *(
                "" if before is None or after is None else f"{number(before)} -> {number(after)}"
                for before, after in zip(one.before, one.after, strict=True)
            ),
            number(one.differs),
        )
        for one in facts.moved
    ]


def fact_rows(facts: LearningFacts) -> Iterator[tuple[str, str]]:
    """The facts outside of the tables as pairs of a name and a text."""
    yield "task", facts.task
    yield (
        "layer",
        f"{facts.layers}, {plural(facts.parameters, 'parameter')}{', with a constant' * facts.bias}",
    )
    yield "samples", samples_words(facts)
    if facts.training is not None:
        how = facts.training
        yield "training", f"{epoch_words(facts)}, seed {how.seed}, {how.batch} windows to a step"
        yield "learning rate", f"{how.rate:g} in the end, weight decay {how.decay:g}"
    else:
        yield "ridge", f"{facts.ridge:g}, {facts.judged}"
    if facts.deficient:
        yield (
            "note",
            "the input does not determine every tap; of those that fit, the smallest were taken",
        )
    for delay in facts.delays:
        yield "delay", visible(f"{delay.input}: {delay_words(delay)}")
    if facts.noise is not None:
        yield "noise", noise_words(facts)


def samples_words(facts: LearningFacts) -> str:
    """`249,434 samples learned from, 62,327 held out`."""
    passed = (
        f", {plural(facts.passed_over, 'window')} with a missing value passed over"
        if facts.passed_over
        else ""
    )
    return f"{facts.samples:,} samples learned from, {facts.held_out:,} held out{passed}"


def delay_words(delay: DelayFacts) -> str:
    """`the target is 123 samples (5.58 ms) later than the input, correlation 0.97`."""
    if len(delay.samples) == 2:
        sides = [
            (delay.samples[0], "lower", "higher"),
            (delay.samples[1], "further right", "further left"),
        ]
        moved = [
            f"{plural(abs(n), delay.noun)} {more if n > 0 else less}"
            for n, more, less in sides
            if n
        ]
        told = (
            f"the target lies {' and '.join(moved)} than the input"
            if moved
            else "input and target do not differ"
        )
    else:
        (lag,) = delay.samples
        time = f" ({abs(delay.seconds) * 1000:.4g} ms)" if delay.seconds else ""
        told = f"the target is {plural(abs(lag), delay.noun)}{time} {'later' if lag > 0 else 'earlier'} than the input"
        told = told if lag else "none"
    return told if delay.correlation is None else f"{told}, correlation {delay.correlation:.3g}"


def epoch_words(facts: LearningFacts) -> str:
    """`30 epochs, the best was 28`; nothing where there were none."""
    how = facts.training
    return (
        ""
        if how is None
        else f"{how.epochs} epoch{'s' * (how.epochs != 1)}, the best was {how.best}"
    )


def noise_words(facts: LearningFacts) -> str:
    """`0.0222, estimated, if it is white`; `14.3 of 255, as was said`."""
    source = "as was said" if facts.noise_given else "estimated, if it is white"
    scale = "" if facts.full_scale is None else f" of {number(facts.full_scale)}"
    return f"{number(facts.noise)}{scale}, {source}"
