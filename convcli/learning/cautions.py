"""Warnings about a model: uncertain delays, implausible noise, naive answers that are as good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.learning.baselines import FILTER, UNCHANGED, no_worse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.facts.learning import DelayFacts, LearningFacts
    from convcli.learning.noise import NoiseEstimate
    from convcli.learning.task import Task

# A smaller correlation at a measured delay is worth a warning.
WEAK = 0.3


def warnings_of(task: Task, facts: LearningFacts, noise: NoiseEstimate | None) -> Iterator[str]:
    """What a user should know before trusting the model."""
    for delay in facts.delays:
        yield from _delay_warnings(delay)
    if noise is not None and task.noise is not None and noise.exceeds_errors:
        left = float(noise.errors.max() ** 0.5)
        yield (
            "there is said to be more noise than the prediction of a sample leaves, "
            f"{left:.6g}: the sample is left out"
        )
    if task.holdout and not facts.held_out:
        yield (
            "what is held out holds no complete window: "
            "the errors are those of what was learned from"
        )
    yield from _useless(task, facts)
    training = facts.training
    if training is not None and training.restarts:
        yield (f"training diverged and was begun again with a learning rate of {training.rate:g}")


def _useless(task: Task, facts: LearningFacts) -> Iterator[str]:
    """One warning for each naive answer that is as good as the model."""
    model = facts.errors[0].name
    where = "on what was held out" if facts.held_out else "on what it was learned from"
    for name in no_worse(facts.errors):
        hint = ""
        if task.blind and task.noise is None and name == UNCHANGED and model == FILTER:
            hint = "; --noise auto uses the sample itself too"
        yield f"{model} is no better than {name!r} {where}{hint}"


def _delay_warnings(delay: DelayFacts) -> Iterator[str]:
    lag = _times(delay.samples)
    if delay.correlation is not None and abs(delay.correlation) < WEAK:
        yield (
            f"{delay.input}: the correlation at that delay is weak, "
            f"{delay.correlation:.3g}: is this a pair?"
        )
    if delay.rival is not None:
        yield (
            f"{delay.input}: a delay of {_times(delay.rival)} is almost as likely as {lag}; "
            "--delay N says which it is"
        )
    at_limit = [abs(n) == most for n, most in zip(delay.samples, delay.limit, strict=False)]
    if any(at_limit):
        yield (
            f"{delay.input}: no delay above {_times(delay.limit)} was looked for, "
            "and it may be a larger one; --delay N says it"
        )


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
