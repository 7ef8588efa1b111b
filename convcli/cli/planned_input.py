"""An input of a filter command that is open and planned, and the facts of its run."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from convcli import __version__
from convcli.dataclass import dataclass
from convcli.facts import InputFacts, LossFacts, OutputFacts, RunFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.cli.input_run import InputRun
    from convcli.facts import StepFacts
    from convcli.facts.preview import FeatureMapFacts, PreviewFacts
    from convcli.media.files import FileSink, OpenedFile
    from convcli.planning.calls import Call
    from convcli.planning.plan import Plan
    from convcli.running.run import RunCounts
    from convcli.signals import Signal


@dataclass(frozen=True, eq=False, kw_only=True)
class WrittenOutput:
    """An output that was written.

    details, warnings : of its sink
    counts : what was counted for each page; empty where nothing was written
    preview, feature_maps : what is drawn
    """

    details: Mapping[str, Any]
    warnings: Sequence[str]
    counts: Sequence[RunCounts]
    preview: PreviewFacts | None = None
    feature_maps: tuple[FeatureMapFacts, ...] = ()

    @property
    def losses(self) -> LossFacts:
        """The losses of all pages, with the samples that the sink has clipped."""
        pages = [counts.losses for counts in self.counts]
        losses = sum(pages, LossFacts())
        return replace(losses, clipped=self.details.get("clipped", {}))


NOTHING_WRITTEN = WrittenOutput(details={}, warnings=(), counts=())


@dataclass(frozen=True, eq=False, kw_only=True)
class PlannedInput:
    """An open input, with the filter planned for each of its pages.

    run : what is asked for
    calls : the steps of the filter
    plans : of the pages; most inputs have one
    """

    run: InputRun
    opened: OpenedFile
    calls: tuple[Call, ...]
    plans: Sequence[Plan]

    @property
    def label(self) -> str:
        """FILTER in a few characters, for the names of new columns."""
        return label_of(self.run.command.calls)

    @property
    def unchanged(self) -> bool:
        """Whether the filter changes nothing, so that stored values can be copied."""
        return all(plan.identity for plan in self.plans)

    @property
    def threads(self) -> int | None:
        """Threads for this input; None for as many as there are cores.

        Either the inputs or the blocks of one input share the cores, not both.
        """
        command = self.run.command
        if command.follow:
            return 1
        if command.options.threads:
            return command.options.threads
        return None if self.run.alone else 1

    def tail(self, plan: Plan) -> int:
        """How many inputs of silence follow the signal, so that the filter can ring out."""
        if not self.run.command.tail:
            return 0
        return plan.chain.reach[0].before

    def result(self, plan: Plan) -> Signal:
        """The result of a plan with its tail, and with what is cut off before it."""
        from convcli.running.geometry import Geometry

        result = plan.result
        if plan.rules.edge == "valid":
            first = Geometry(plan.chain, plan.rules.edge).aligned_sample(0)
            result = replace(result, skipped=first)
        length = plan.signal.shape[0]
        tail = self.tail(plan)
        if not tail or length is None or result.shape[0] is None:
            return result
        count = plan.chain.count(0, length + tail)
        return replace(result, shape=(count, *result.shape[1:]))

    def sink(self, place: Path | BinaryIO) -> FileSink:
        """The sink for the whole result."""
        results = [self.result(plan) for plan in self.plans]
        return self.opened.sink(place, results, label=self.label, unchanged=self.unchanged)

    def facts(self, written: WrittenOutput = NOTHING_WRITTEN) -> RunFacts:
        """What a report says of the run, before it or after the output was written."""
        plan = self.plans[0]
        run = self.run
        signal, result = plan.signal, plan.result
        if written.counts:
            signal = _with_length(signal, written.counts[0].read)
            result = _with_length(result, written.counts[0].written)
        source = InputFacts.of(str(run.source or "-"), signal, details=self.opened.details())
        output = OutputFacts.of(str(run.output or "-"), result, details=written.details)
        unasked = _unasked_delay_warnings(plan)
        facts = RunFacts(
            version=__version__,
            command=run.command.words,
            filter=plan.filter,
            edge=plan.rules.edge,
            align=plan.rules.align,
            missing=plan.rules.missing,
            inputs=(source,),
            outputs=(output,),
            losses=written.losses,
            preview=written.preview,
            feature_maps=written.feature_maps,
            warnings=(*self.opened.warnings, *unasked, *written.warnings),
        )
        if run.command.options.prints_design:
            return self._with_design(facts, plan)
        return facts

    def _with_design(self, facts: RunFacts, plan: Plan) -> RunFacts:
        """The facts with those of each step, and of all of them as one chain."""
        steps, chain = _facts_of_plan(plan)
        # A plan for a longer signal of the same kind has the same steps. Their responses take as
        # long as all else that is done with a small file: 3.6 of 7.2 ms for `lowpass:1k`.
        kind = (steps, chain, replace(plan.signal, shape=()), plan.rules)
        designs = self.run.command.designs
        designed = designs.get(kind)
        if designed is None:
            designed = (steps, chain)
            if self.run.command.options.draws:
                designed = _with_responses(steps, chain, plan)
            designed = designs.setdefault(kind, designed)
        steps, chain = designed
        return replace(facts, steps=steps, chain=chain)


@lru_cache(maxsize=4)
def _facts_of_plan(plan: Plan) -> tuple[tuple[StepFacts, ...], StepFacts]:
    """The facts of the steps and of the chain of a plan, which many inputs may share."""
    from convcli.planning.describe import chain_facts, step_facts

    return tuple(step_facts(step) for step in plan.steps), chain_facts(plan)


def _with_responses(
    steps: tuple[StepFacts, ...], chain: StepFacts, plan: Plan
) -> tuple[tuple[StepFacts, ...], StepFacts]:
    """The facts of the steps and of the chain with their responses."""
    from convcli.planning.describe import CurveSize, chain_with_response, with_response

    size = CurveSize.beside(len(steps))
    drawn = []
    for made, step in zip(steps, plan.steps, strict=True):
        drawn.append(with_response(made, step, size))
    return tuple(drawn), chain_with_response(chain, plan.steps)


def _with_length(signal: Signal, length: int) -> Signal:
    return replace(signal, shape=(length, *signal.shape[1:]))


def label_of(calls: tuple[Call, ...]) -> str:
    """The filter in a few characters, for the names of new columns: `sma20`, `x-sma20_diff1`."""
    from convcli.designs import find

    words = []
    for call in calls:
        values = [f"{argument.key or ''}{argument.text}" for argument in call.arguments]
        if find(call.name).runs_model:  # `model_next`, without the folder of the model file
            values = ["", Path(call.path or "").stem]
        word = call.name + "_".join(values)
        if call.group is not None:
            word = re.sub(r"[\s:=]", "", call.text)
        words.append(word)
    return re.sub(r"[^\w.%+-]+", "_", "_".join(words)).strip("_")


def _unasked_delay_warnings(plan: Plan) -> list[str]:
    if not any(step.step.length_follows_frequency or step.stage.warnings for step in plan.steps):
        return []
    from convcli.planning.describe import unasked_delays

    return list(unasked_delays(plan))
