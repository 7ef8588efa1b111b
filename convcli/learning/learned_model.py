"""What learning returns: the facts, and the tensors and metadata of the model file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli import __version__
from convcli.dataclass import dataclass
from convcli.facts import to_plain
from convcli.layers.weights import encode_weights
from convcli.learning.cautions import warnings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.facts.learning import LearningFacts
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
    """Delay, rate and columns of what the model was learned from."""
    origin = {}
    lags = {delay.samples for delay in facts.delays}
    if len(lags) == 1:
        origin["delay"] = "x".join(map(str, lags.pop()))
    if task.ahead:
        origin["ahead"] = str(task.ahead)
    if signal.rate is not None:
        origin["rate"] = repr(signal.rate)
    if signal.medium.separate_channels:
        inputs = [signal.channels[i] for i in task.inputs] or signal.channels
        origin["columns"] = json.dumps(inputs)
        origin["targets"] = json.dumps([signal.channels[t] for t in task.targets])
    return origin
