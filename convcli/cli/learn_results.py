"""What `convcli learn` writes beside the model: a report, a drawing, and words for a terminal."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli.cli import print_message, say
from convcli.cli.results import report_runs
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.cli.learn_options import LearnOptions
    from convcli.facts import RunFacts, StepFacts
    from convcli.facts.learning import ExampleFacts, LearningFacts
    from convcli.facts.preview import FeatureMapFacts
    from convcli.learning.learned_model import LearnedModel
    from convcli.learning.pairs import Pair
    from convcli.learning.task import Task
    from convcli.places import Place


@dataclass(frozen=True, kw_only=True)
class LearnedFile:
    """A model file that was written, and what it was learned from.

    pair : the first one; None where sums were merged
    """

    model: LearnedModel
    place: Place
    task: Task
    pair: Pair | None

    @property
    def step(self) -> str:
        """The text of the step that runs the model."""
        return f'model:"{self.place}"'


def with_drawings(run: RunFacts, learned: LearnedFile, options: LearnOptions) -> RunFacts:
    """The facts with the model as a step, and with an example where the model is drawn."""
    from convcli.report.files import draws

    if not learned.model.runs or not (options.report or options.plot or _on_terminal(options)):
        return run
    run = replace(run, steps=_steps_of(learned, run.align))
    if options.plot is None and not draws(options.report):
        return run
    example = _example_of(learned)
    if example is None or run.learned is None:
        return run
    facts = replace(run.learned, example=example)
    return replace(run, learned=facts, feature_maps=_feature_maps(learned, run, example))


def _on_terminal(options: LearnOptions) -> bool:
    return not options.quiet and sys.stderr is not None and sys.stderr.isatty()


def _steps_of(learned: LearnedFile, align: str) -> tuple[StepFacts, ...]:
    """The model as a step: its taps, delay, reach and response, or its layers."""
    from convcli.core.binding import Rules
    from convcli.layers.model_reader import read_model
    from convcli.planning.describe import drawn_facts
    from convcli.planning.plan import make_plan

    rules = Rules(edge="zero", align="causal" if align == "causal" else "center")
    plan = make_plan(learned.step, read_model(learned.place).signal(), rules)
    return tuple(drawn_facts(step.call.text, (step,)) for step in plan.steps)


def _example_of(learned: LearnedFile) -> ExampleFacts | None:
    from convcli.learning.example import example_of

    if learned.pair is None:
        return None
    delays = learned.model.facts.delays
    lag = delays[0].samples if delays else None
    return example_of(learned.task, learned.pair, learned.place, lag)


def _feature_maps(
    learned: LearnedFile, run: RunFacts, example: ExampleFacts
) -> tuple[FeatureMapFacts, ...]:
    """What each layer of a network makes of the example."""
    from convcli.planning.grammar import parse
    from convcli.planning.plan import rules_for
    from convcli.previews.feature_maps import feature_maps
    from convcli.signals import ARRAY, Signal

    if not run.steps or len(run.steps[0].layers) < 2:
        return ()
    part = example.input
    names = tuple(str(channel) for channel in range(part.shape[-1]))
    signal = Signal(medium=ARRAY, shape=part.shape[:-1], channels=names)
    calls = parse(learned.step)
    return feature_maps(calls, signal, rules_for(signal, calls), part)


def write_drawings(run: RunFacts, options: LearnOptions) -> None:
    """Write the report and the drawing that were asked for."""
    report_runs([run], options.report)
    if options.plot is not None:
        from convcli.media.replacing import atomic
        from convcli.report.plots import learned_rows_of_figures, write_plot
        from convcli.report.words import run_title

        rows = learned_rows_of_figures(run)
        write_plot(rows, options.plot, title=run_title(run), atomic=atomic)


def report_learned(run: RunFacts, options: LearnOptions) -> None:
    """Say what was learned, its errors beside those of naive answers, notes and warnings."""
    from convcli.report.learning import summary_lines

    for line in summary_lines(run):
        say(line)
    if run.learned is not None and run.learned.deficient:
        from convcli.report.learning import DEFICIENT

        print_message(DEFICIENT, kind="note")
    for warning in run.warnings:
        print_message(warning, kind="warning")
    if _on_terminal(options) and run.learned is not None:
        lines = _drawing_lines(run.steps, run.learned)
        if lines:
            say("\n".join(lines))


def _drawing_lines(steps: Sequence[StepFacts], facts: LearningFacts) -> list[str]:
    """The responses of a filter, or the errors over the epochs of a network, in Braille."""
    from convcli.report.braille import drawing_lines, step_drawings

    lines: list[str] = []
    if facts.training is not None and len(facts.training.losses) > 1:
        losses: list[Any] = [(float(loss.number), loss.train) for loss in facts.training.losses]
        lines += drawing_lines("root mean squared error", losses, "epochs")
    for step in steps:
        lines += step_drawings(step)
    return lines
