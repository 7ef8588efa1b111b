"""The command `convcli learn`: learn a filter or a network from pairs of files."""

from __future__ import annotations

import sys
import threading
import time as clock
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli import __version__
from convcli.cli import INTERRUPTED, print_message, say, shows_drawings
from convcli.cli.groups import command
from convcli.cli.learn_inputs import (
    LearnInputs,
    files_of_pairs,
    named_pairs,
    open_inputs,
    opened_pair,
)
from convcli.cli.learn_options import LearnOptions
from convcli.cli.learn_sums import check_sums, learned_on_cluster, merged_from_files, write_partial
from convcli.cli.learn_task import check_training, task_of, training_options
from convcli.cli.progress import Progress
from convcli.cli.results import (
    given_words,
    own_place,
    refuse_plot,
    refuse_report,
    refuse_shared_places,
    report_runs,
)
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.facts import InputFacts, ModelFileFacts, RunFacts
from convcli.stopping import first_interrupt_sets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import StepFacts
    from convcli.facts.learning import ExampleFacts, LearningFacts
    from convcli.facts.preview import FeatureMapFacts
    from convcli.learning.learned_model import LearnedModel
    from convcli.learning.pairs import Pair
    from convcli.learning.task import Task
    from convcli.learning.trainer import Callbacks, Epoch
    from convcli.places import Place


@command(
    "learn",
    "convcli learn noisy.wav clean.wav --taps 129 -o denoise.safetensors",
    "convcli audio model:denoise.safetensors other.wav -o cleaned.wav",
    "convcli learn prices.csv -c Open,Close --target Close --ahead 1 --taps 20 -o next.safetensors",
    "convcli learn noisy.wav clean.wav --layers 'conv:8,9 | leaky_relu:0.1 | conv:1,9' "
    "-o net.safetensors",
    "convcli learn --blind scan.png --taps 9x9 -o scan.safetensors",
    "convcli learn --blind noisy.wav --noise auto -o blind.safetensors",
    "convcli learn noisy/ clean/ --shard 1/4 --partial sums.1.npz",
    "convcli learn --merge sums.*.npz -o denoise.safetensors",
    "convcli learn microphone.wav loudspeaker.wav --delay auto -o inverse.safetensors "
    "--report learned.html",
)
def learn_command(options: LearnOptions) -> int:
    """Learn a filter from examples: the taps with the least squared error, as a file for `model:`.

    From a noisy and a clean recording (or picture) it learns to clean; from the past of a table, to
    predict; with --blind, to remove noise that is independent from sample to sample. The last part
    of the data is held out, and the error there is shown beside the error of doing nothing. With
    --layers, a network is trained instead; Ctrl-C stops the training and writes the best so far.
    """
    started = clock.perf_counter()
    check_sums(options)
    place = _output_path(options)
    check_training(options)
    with ExitStack() as held:
        if options.merge or options.cluster is not None:
            if options.merge:
                task, model = merged_from_files(options)
            else:
                task, model = learned_on_cluster(options, held)
            learned = LearnedFile(model=model, place=place, task=task, pair=None)
            return _finished(options, learned, None, started)
        inputs = _opened_inputs(options, held)
        task = task_of(options, inputs.pairs[0].source.signal)
        if options.partial is not None:
            write_partial(options, task, inputs, place)
            return 0
        inputs = replace(inputs, pairs=_pairs_at_rates(task, inputs, options))
        found = _learned(options, task, inputs, held)
        if found is None:
            print_message(
                "interrupted before the first epoch had ended: nothing is written", kind="warning"
            )
            return INTERRUPTED
        learned = LearnedFile(model=found, place=place, task=task, pair=inputs.pairs[0])
        return _finished(options, learned, inputs, started)


# ------------------------------------------------------------------------------------------ before


def _output_path(options: LearnOptions) -> Place:
    """The path of the model or the sums, if it and the report can be written without doing harm."""
    output = options.output
    read = [None if str(path) == "-" else path for path in options.paths]
    if options.partial is not None:
        own_place(options.partial, read, force=options.force, example="sums.npz")
        return options.partial
    if output is None or output.suffix.lower() != ".safetensors":
        came = "nothing" if output is None else str(output)
        raise RequestError(f"-o expects a model file such as model.safetensors, got {came}")
    refuse_report(options.report, read, force=options.force)
    refuse_plot(options.plot, read, force=options.force)
    refuse_shared_places({"--report": options.report, "--plot": options.plot}, [output])
    own_place(output, read, force=options.force, example="model.safetensors")
    return output


def _opened_inputs(options: LearnOptions, held: ExitStack) -> LearnInputs:
    named = named_pairs(options)
    share = None
    if options.shard is not None:
        from convcli.batch.units import Shard
        from convcli.learning.partial_sums import ShareOfInputs

        shard = Shard.parse(options.shard)
        share = ShareOfInputs(shard.index, shard.count, len(named))
        named = [named[position] for position in shard.positions(len(named))]
        if not named:
            raise RequestError(f"--shard {options.shard}: no input is left for this part")
    pairs = [opened_pair(pair, held) for pair in named]
    files = files_of_pairs(options, pairs)
    opened = open_inputs(pairs, files, held, quiet=options.quiet)
    return replace(opened, share=share)


# ---------------------------------------------------------------------------------------- learning


def _pairs_at_rates(task: Task, inputs: LearnInputs, options: LearnOptions) -> list[Pair]:
    from convcli.learning.learn import pairs_at_rates

    return pairs_at_rates(task, inputs.pairs, options.layers)


def _learned(
    options: LearnOptions, task: Task, inputs: LearnInputs, held: ExitStack
) -> LearnedModel | None:
    """The model; None if Ctrl-C comes before there is one."""
    from convcli.learning.learn import learn as learn_model
    from convcli.learning.trainer import Callbacks, TrainingStoppedError

    progress = Progress(inputs.size, shown=not options.quiet)
    held.callback(progress.close)
    training = training_options(options)
    callbacks = Callbacks(on_samples=progress.advance)
    if options.trains:
        progress.expect(training.epochs)
        callbacks = held.enter_context(_stopped_by_interrupt(progress))
    try:
        return learn_model(
            task, inputs.pairs, layers=options.layers, training=training, callbacks=callbacks
        )
    except TrainingStoppedError:
        return None


@contextmanager
def _stopped_by_interrupt(progress: Progress) -> Iterator[Callbacks]:
    """Callbacks that show each epoch and stop the training after Ctrl-C.

    A second Ctrl-C ends the program, as everywhere.
    """
    from convcli.learning.trainer import Callbacks

    pressed = threading.Event()
    with first_interrupt_sets(pressed):
        yield Callbacks(
            on_epoch=lambda epoch: progress.advance(1, _epoch_words(epoch)),
            should_stop=pressed.is_set,
        )


def _epoch_words(epoch: Epoch) -> str:
    from convcli.report.words import number

    held = "" if epoch.held is None else f", held out {number(epoch.held)}"
    return f"epoch {epoch.number}: loss {number(epoch.train)}{held}"


# ----------------------------------------------------------------------------------------- results


def _finished(
    options: LearnOptions, learned: LearnedFile, inputs: LearnInputs | None, started: float
) -> int:
    """Write the model and what is drawn of it, and say what was learned; return the exit code.

    inputs : None where sums were merged
    """
    run = _run_facts(learned, inputs)
    _write_model(learned.model, learned.place)
    run = replace(run, seconds=clock.perf_counter() - started)
    run = with_drawings(run, learned, options)
    write_drawings(run, options)
    if not options.quiet:
        report_learned(run, options)
    return INTERRUPTED if learned.model.interrupted else 0


def _run_facts(learned: LearnedFile, inputs: LearnInputs | None) -> RunFacts:
    model, place = learned.model, learned.place
    warnings = list(model.warnings)
    given: list[InputFacts] = []
    if inputs is not None:
        warnings = [*inputs.late_warnings(), *warnings]
        given = inputs.facts()
    if model.interrupted and model.facts.training is not None:
        last = model.facts.training.epochs
        warnings.append(f"interrupted after epoch {last}: {place} has the best until then")
    return RunFacts(
        version=__version__,
        command=given_words(),
        filter=f"model:{place}",
        align=learned.task.align,
        inputs=tuple(given),
        outputs=(ModelFileFacts(path=str(place)),),
        learned=model.facts,
        warnings=tuple(warnings),
    )


def _write_model(model: LearnedModel, place: Place) -> None:
    from convcli.media.replacing import atomic

    encoded = model.encoded()
    with atomic(place) as path:
        path.write_bytes(encoded)


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
    from convcli.report.files import draws_signals

    if not learned.model.runs or not (options.report or options.plot or _is_drawn(options)):
        return run
    run = replace(run, steps=_steps_of(learned, run.align))
    if options.plot is None and not draws_signals(options.report):
        return run
    example = _example_of(learned)
    if example is None or run.learned is None:
        return run
    facts = replace(run.learned, example=example)
    return replace(run, learned=facts, feature_maps=_feature_maps(learned, run, example))


def _is_drawn(options: LearnOptions) -> bool:
    """Whether the responses of the filter are drawn on the terminal."""
    return not options.quiet and shows_drawings(sys.stderr)


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
        from convcli.report.learning import RANK_DEFICIENT

        print_message(RANK_DEFICIENT, kind="note")
    for warning in run.warnings:
        print_message(warning, kind="warning")
    if _is_drawn(options) and run.learned is not None:
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
