"""What learning returns: facts with warnings, and the tensors and metadata of the model file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli import __version__
from convcli.dataclass import dataclass
from convcli.facts import to_plain
from convcli.layers.weights import encode_weights
from convcli.learning.baselines import FILTER, UNCHANGED, no_worse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convcli.facts.learning import DelayFacts, LearningFacts
    from convcli.learning.noise import NoiseEstimate
    from convcli.learning.task import Task
    from convcli.signals import Array, Signal


@dataclass(frozen=True, kw_only=True)
class LearnedModel:
    """A model that was learned.

    tensors : by their names in torch.nn.Sequential
    metadata : texts of the model file
    warnings : what a user should know before trusting the model
    runs : whether `model:` can run it as a filter
    interrupted : whether training was stopped by a callback
    """

    facts: LearningFacts
    tensors: Mapping[str, Array]
    metadata: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    runs: bool = True
    interrupted: bool = False

    def encoded(self) -> bytes:
        """The bytes of the model file."""
        return encode_weights(self.tensors, self.metadata)

    def with_metadata(self, metadata: Mapping[str, str], facts: Mapping[str, Any]) -> LearnedModel:
        """The model with further metadata, and further entries in the JSON text `facts`."""
        numbers = json.loads(self.metadata["facts"]) | facts
        merged = {**self.metadata, **metadata, "facts": _json_text(numbers)}
        return replace(self, metadata=merged)


def learned_model(
    task: Task,
    signal: Signal,
    facts: LearningFacts,
    tensors: Mapping[str, Array],
    noise: NoiseEstimate | None,
) -> LearnedModel:
    """A model with the metadata that every model file has."""
    numbers = {
        "train": facts.samples,
        "held_out": facts.held_out,
        "ridge": facts.ridge,
        "delays": [delay.samples for delay in facts.delays],
        "noise": None if noise is None else noise.level,
        "errors": {each.name: [each.train, each.held] for each in facts.errors},
    }
    metadata = {
        "layers": facts.layers,
        "medium": signal.medium.name,
        "units": signal.medium.model_units,
        "align": task.align,
        "missing": "keep",
        "task": facts.task,
        "facts": _json_text(numbers),
        "convcli": __version__,
    }
    metadata |= _origin(task, signal, facts)
    warnings = tuple(warnings_of(task, facts, noise))
    return LearnedModel(facts=facts, tensors=tensors, metadata=metadata, warnings=warnings)


def _json_text(numbers: Mapping[str, Any]) -> str:
    """Numbers as JSON, in which NaN and infinity are null."""
    return json.dumps(to_plain(numbers), allow_nan=False)


def _origin(task: Task, signal: Signal, facts: LearningFacts) -> dict[str, str]:
    """Delay, rate, unit of frequencies and columns of what the model was learned from."""
    origin = {}
    lags = {delay.samples for delay in facts.delays}
    if len(lags) == 1:
        origin["delay"] = "x".join(map(str, lags.pop()))
    if task.ahead:
        origin["ahead"] = str(task.ahead)
    if signal.rate is not None:
        origin["rate"] = repr(signal.rate)
    if signal.cycle != 1:
        origin["cycle"] = repr(signal.cycle)
    if signal.medium.separate_channels:
        inputs = [signal.channels[i] for i in task.inputs] or signal.channels
        origin["columns"] = json.dumps(inputs)
        origin["targets"] = json.dumps([signal.channels[t] for t in task.targets])
    return origin


# ----------------------------------------------------------------------------------------- warnings


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
