"""The command `convcli learn`: learn a filter or a network from pairs of files."""

from __future__ import annotations

import threading
import time as clock
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from convcli import __version__
from convcli.cli import INTERRUPTED, print_message
from convcli.cli.groups import command
from convcli.cli.learn_checks import check_training
from convcli.cli.learn_inputs import (
    LearnInputs,
    files_of_pairs,
    named_pairs,
    open_inputs,
    opened_pair,
)
from convcli.cli.learn_options import LearnOptions
from convcli.cli.learn_results import LearnedFile, report_learned, with_drawings, write_drawings
from convcli.cli.learn_sums import check_sums, learned_on_cluster, merged, write_partial
from convcli.cli.learn_task import task_of, training_options
from convcli.cli.progress import Progress
from convcli.cli.results import (
    given_words,
    own_place,
    refuse_plot,
    refuse_report,
    refuse_shared_places,
)
from convcli.errors import RequestError
from convcli.facts import InputFacts, ModelFileFacts, RunFacts
from convcli.stopping import first_interrupt_sets

if TYPE_CHECKING:
    from collections.abc import Iterator

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
            task, model = merged(options) if options.merge else learned_on_cluster(options, held)
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
    if options.partial is not None:
        read = [None if str(path) == "-" else path for path in options.paths]
        own_place(options.partial, read, force=options.force, example="sums.npz")
        return options.partial
    if output is None or output.suffix.lower() != ".safetensors":
        came = "nothing" if output is None else str(output)
        raise RequestError(f"-o expects a model file such as model.safetensors, got {came}")
    read = [None if str(path) == "-" else path for path in options.paths]
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
    from convcli.learning.learn import DENSE
    from convcli.learning.learn import learn as learn_model
    from convcli.learning.trainer import Callbacks, TrainingStoppedError

    progress = Progress(inputs.size, shown=not options.quiet)
    held.callback(progress.close)
    training = training_options(options)
    callbacks = Callbacks(on_samples=progress.advance)
    if options.layers is not None and options.layers.strip() != DENSE:
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
        warnings = [*inputs.length_warnings(), *warnings]
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
