"""What `convcli learn` has to say of what it learned, as facts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convcli.facts import InputFacts, RunFacts
from convcli.facts.learning import DelayFacts, ErrorFacts, LearningFacts, RidgeFacts
from convcli.report.words import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from convcli.learning.denoising import Noise
    from convcli.learning.learn import Delay, Learned, Lesson
    from convcli.signals import Signal

# A smaller correlation at the delay that was found is told.
WEAK = 0.3


def learning_facts(
    learned: Learned, lesson: Lesson, signal: Signal, names: Sequence[str]
) -> LearningFacts:
    """The layer and its worth; `names` are those of the inputs."""
    from convcli.learning.learn import layers_of, task_of

    judged = "as asked for"
    if lesson.ridge is None:
        judged = (
            "the best on what was held out"
            if learned.held and not lesson.blind
            else "by cross-validation"
        )
    scaled = not signal.medium.separate_channels
    noise = learned.noise
    scale = signal.full_scale if signal.medium.unit_scale else 1.0
    return LearningFacts(
        task=task_of(lesson),
        layers=layers_of(learned),
        taps=lesson.taps,
        bias=learned.bias is not None,
        parameters=learned.parameters,
        samples=learned.train,
        held_out=learned.held,
        ridge=learned.ridge,
        judged=judged,
        tried=tuple(RidgeFacts(ridge=ridge, error=error) for ridge, error in learned.tried),
        deficient=learned.deficient,
        errors=tuple(
            ErrorFacts(name=one.name, train=one.train, held=one.held) for one in learned.scores
        ),
        against="the clean signal, estimated" if lesson.blind else "",
        power=_clean(learned.power, noise) if scaled else None,
        power_held=_clean(learned.power_held, noise)
        if scaled and learned.power_held is not None
        else None,
        delays=tuple(
            _delay_facts(name, delay, signal)
            for name, delay in zip(names, learned.delays, strict=False)
        ),
        noise=None if noise is None else noise.level * scale,
        noise_given=noise is not None and noise.given,
        full_scale=scale if scale != 1 else None,
        passed_over=learned.passed_over,
    )


def _clean(power: float, noise: Noise | None) -> float:
    """The root mean square of a signal without its noise."""
    return power if noise is None else max(0.0, power**2 - noise.level**2) ** 0.5


def _delay_facts(name: str, delay: Delay, signal: Signal) -> DelayFacts:
    seconds = (
        delay.lag[0] / signal.rate if signal.rate is not None and signal.medium.in_seconds else None
    )
    return DelayFacts(
        input=name,
        samples=delay.lag,
        noun=signal.medium.sample,
        seconds=seconds,
        correlation=delay.correlation,
        rival=delay.rival,
        limit=delay.limit,
    )


def lengths_differ(inputs: Sequence[InputFacts]) -> Iterator[str]:
    """What is not used of inputs and targets, which stand in turn, that differ in length."""
    for one, other in zip(inputs[::2], inputs[1::2], strict=True):
        if one.shape != other.shape and None not in (*one.shape, *other.shape):
            yield f"{one.path} and {other.path} differ in length: what both have is learned from"


def warnings_of(learned: Learned, lesson: Lesson, facts: LearningFacts) -> Iterator[str]:
    """The honest words: delays that are not certain, noise that is not plausible, answers that need no filter."""
    for delay in facts.delays:
        yield from _doubts(delay)
    if learned.noise is not None and learned.noise.excessive and lesson.noise is not None:
        left = number(float(learned.noise.left.max() ** 0.5))
        yield f"there is said to be more noise than the prediction of a sample leaves, {left}: the sample is left out"
    if lesson.holdout and not learned.held:
        yield "what is held out holds no complete window: the errors are those of what was learned from"
    where = "on what was held out" if learned.held else "on what it was learned from"
    for name in learned.worse:
        blind = (
            lesson.blind
            and lesson.noise is None
            and name == "as it is"
            and learned.scores[0].name == "the filter"
        )
        hint = "; --noise auto uses the sample itself too" if blind else ""
        yield f"{learned.scores[0].name} is no better than {name!r} {where}{hint}"


def _doubts(delay: DelayFacts) -> Iterator[str]:
    told = "x".join(str(n) for n in delay.samples)
    if delay.correlation is not None and abs(delay.correlation) < WEAK:
        yield f"{delay.input}: the correlation at that delay is weak, {delay.correlation:.3g}: is this a pair?"
    if delay.rival is not None:
        other = "x".join(str(n) for n in delay.rival)
        yield f"{delay.input}: a delay of {other} is all but as likely as {told}; --delay N says which it is"
    if delay.limit and any(
        abs(n) == most for n, most in zip(delay.samples, delay.limit, strict=True)
    ):
        most = "x".join(str(n) for n in delay.limit)
        yield f"{delay.input}: no delay above {most} was looked for, and it may be a larger one; --delay N says it"


def with_steps(run: RunFacts, place: Path) -> RunFacts:
    """The facts with the model as a step like any other: taps, delay, reach, response."""
    from convcli.core.binding import Rules
    from convcli.layers.modelfile import read_model
    from convcli.planning.describe import chain_facts, step_facts, with_response
    from convcli.planning.plan import make_plan

    rules = Rules(edge="zero", align="causal" if run.align == "causal" else "center")
    plan = make_plan(f'model:"{place}"', read_model(place).signal(), rules)
    steps = tuple(with_response(step_facts(step), step) for step in plan.steps)
    return replace(run, steps=steps, chain=chain_facts(plan))
