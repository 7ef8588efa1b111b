"""`convcli learn`."""

from __future__ import annotations

import sys
import time as clock
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from convcli import __version__
from convcli.cli import INTERRUPTED, options, say, tell
from convcli.cli.batch import own_place, refuse_report
from convcli.cli.given import check_pairs, input_facts, opened_pairs, pairs_of, size_of
from convcli.cli.groups import with_option_groups
from convcli.cli.lesson import Asked, check_mode, lesson_of
from convcli.cli.opening import files_for
from convcli.cli.options import TableArguments, examples
from convcli.cli.progress import Progress
from convcli.cli.training import Training, check_training, taught_by
from convcli.errors import RequestError
from convcli.facts import OutputFacts, RunFacts
from convcli.report.words import plural, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convcli.signals import Array


@with_option_groups
def learn(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[INPUT]",
            help="A sound, a table or a picture; or a folder of sounds or pictures; none or - is standard input.",
            show_default=False,
        ),
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Argument(
            metavar="[TARGET]",
            help="What the filter is to make of INPUT; for a folder, a folder with the same names.",
            show_default=False,
        ),
    ] = None,
    more: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT TARGET]...",
            help="Further pairs; their sums add up.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="MODEL",
            help="The model file: NAME.safetensors.",
            show_default=False,
        ),
    ] = None,
    taps: Annotated[
        str | None,
        typer.Option(
            metavar="K",
            help="Length of the filter: 129, or 9x9 for pictures.",
            show_default="64, 20, 9x9",
        ),
    ] = None,
    blind: Annotated[
        bool,
        typer.Option(
            "--blind",
            help="Learn from INPUT alone: each sample from its neighbours without itself.",
        ),
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Tables: the column that is predicted.", show_default=False
        ),
    ] = None,
    ahead: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Predict so many samples later.",
            show_default="1 for a table, else 0",
        ),
    ] = None,
    on: Annotated[
        Literal["levels", "differences"],
        typer.Option(help="Predict a level, or learn its change and add it to the last level."),
    ] = "levels",
    delay: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N",
            help="TARGET is so much later than INPUT: 120, 20ms, -3x5 (rows x columns of a picture), or what the "
            "correlation says. The filter is learned without it: what it makes stands where INPUT stands.",
            show_default="0",
        ),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            metavar="auto|LEVEL",
            help="--blind gives back that part of the sample itself that is not noise of this standard deviation.",
            show_default="it is left out",
        ),
    ] = None,
    ridge: Annotated[
        float | None,
        typer.Option(
            min=0, help="Strength of the ridge.", show_default="the best on what is held out"
        ),
    ] = None,
    holdout: Annotated[
        str, typer.Option(metavar="PART", help="The part at the end that is not learned from.")
    ] = "20%",
    bias: Annotated[
        bool | None,
        typer.Option("--bias/--no-bias", help="Learn a constant too.", show_default="for tables"),
    ] = None,
    mix: Annotated[
        bool,
        typer.Option("--mix", help="Every channel from every channel; else all share one filter."),
    ] = False,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="LAYERS",
            help="Train a network: 'conv:8,7 | relu | conv:1,5'; with --blind 'conv:16,65 | relu | conv:1,1'. dense: "
            "one weight for each pair of positions, beside a filter.",
            show_default="one linear layer, solved",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passes over the data at most, with --layers.", show_default="100"
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Windows to a step.", show_default="32")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-12, help="Length of the steps of Adam.", show_default="0.003"),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(min=0, help="Decay of the weights (AdamW).", show_default="0.0001"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of the first weights and of the order.", show_default="0"),
    ] = None,
    threads: options.Threads = None,
    table: TableArguments,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse pictures with more pixels.")] = 10
    ** 9,
    strict: Annotated[
        bool, typer.Option("--strict", help="A truncated sound is an error, not a warning.")
    ] = False,
    align: options.Align = None,
    force: options.Force = False,
    report: options.Report = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Learn a filter from examples: the taps with the least squared error, as a model file for `model:`.

    From a noisy and a clean recording (or picture) it learns to clean; from the past of a table to predict; with
    --blind to remove noise that is independent from sample to sample. The last part of the data is held out, and the
    error there is told beside that of doing nothing. With --layers a network is trained instead of one layer solved;
    Ctrl-C writes the best of it so far.
    """
    from convcli.cli.learned import learning_facts, lengths_differ, warnings_of, with_steps
    from convcli.media.outputs import atomic
    from convcli.report.files import write_report

    started = clock.perf_counter()
    paths = [source or Path("-"), *([] if clean is None else [clean]), *(more or [])]
    place = _checked_output(output, paths, report, force=force)
    table_options = table.options()
    wanted = table_options.columns
    asked = Asked(
        taps=taps,
        align=align,
        bias=bias,
        ahead=ahead,
        on=on,
        target=target,
        delay=delay,
        blind=blind,
        noise=noise,
        mix=mix,
        ridge=ridge,
        holdout=holdout,
    )
    training = Training(
        layers=layers,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        seed=seed,
        threads=threads,
    )
    check_training(training, asked)
    if wanted is not None and target is not None:
        table_options = replace(table_options, columns=tuple(dict.fromkeys((*wanted, target))))
    with ExitStack() as held:
        pairs = pairs_of(paths, held)
        read = [given.path for pair in pairs for given in pair if given is not None]
        files = files_for(read, table_options, max_pixels=max_pixels, strict=strict)
        check_mode(files.medium, asked, paired=clean is not None)
        opened = opened_pairs(pairs, files, held, quiet=quiet)
        signal = opened[0][0].signal
        lesson = lesson_of(asked, signal, wanted)
        check_pairs(pairs, opened, lesson.delay)
        progress = Progress(size_of(opened), shown=not quiet)
        held.callback(progress.close)
        taught = taught_by(training, lesson, opened, progress)
        if taught is None:
            tell("interrupted before the first epoch had ended: nothing is written", kind="warning")
            return INTERRUPTED
        learned = taught.learned
        inputs = input_facts(pairs, opened)
    facts = taught.facts(
        learning_facts(learned, lesson, signal, [given.name for given, _ in pairs])
    )
    lengths = lengths_differ(inputs) if clean is not None else ()
    warnings = (*lengths, *warnings_of(learned, lesson, facts), *taught.warnings(place))
    _write(place, *taught.model(lesson, signal))
    run = RunFacts(
        version=__version__,
        command=("convcli", *sys.argv[1:]),
        filter=f"model:{place}",
        align=lesson.align,
        inputs=tuple(inputs),
        outputs=(OutputFacts(path=str(place), medium="model"),),
        learned=facts,
        warnings=warnings,
        seconds=clock.perf_counter() - started,
    )
    if report is not None:
        write_report(with_steps(run, place) if taught.runs else run, report, atomic=atomic)
    if not quiet:
        _tell(run, place, default_align=signal.medium.align)
    return INTERRUPTED if taught.interrupted else 0


def _checked_output(
    output: Path | None, inputs: list[Path], report: Path | None, *, force: bool
) -> Path:
    if output is None or output.suffix.lower() != ".safetensors":
        came = "nothing" if output is None else str(output)
        raise RequestError(f"-o expects a model file such as model.safetensors, got {came}")
    read = [None if str(path) == "-" else path for path in inputs]
    if report is not None:
        refuse_report(report, read, force=force)
    return own_place(output, read, force=force, example="model.safetensors")


def _write(place: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    from convcli.layers.weights import encode_weights
    from convcli.media.outputs import atomic

    encoded = encode_weights(tensors, metadata)
    with atomic(place) as path:
        path.write_bytes(encoded)


def _tell(run: RunFacts, place: Path, *, default_align: str) -> None:
    """The summary, the errors side by side, and the honest word."""
    from convcli.report.learning import (
        MOVED_COLUMNS,
        delay_words,
        epoch_words,
        error_columns,
        error_rows,
        moved_rows,
        noise_words,
        samples_words,
    )

    facts = run.learned
    if facts is None:
        return
    ridge = f", ridge {facts.ridge:g}" if facts.ridge else ""
    made = f"{facts.layers}, {plural(facts.parameters, 'parameter')}{ridge}"
    made += f", {epoch_words(facts)}" if facts.training is not None else ""
    say(f"{visible(str(place))}: {made}, {samples_words(facts)}, in {run.seconds or 0:.3g} s")
    for delay in facts.delays:
        name = f" of {visible(delay.input)}" if len(facts.delays) > 1 else ""
        say(f"  delay{name}: {delay_words(delay)}")
    if facts.noise is not None:
        say(f"  noise: {noise_words(facts)}")
    _say_table([error_columns(facts), *error_rows(facts)])
    if facts.moved:
        _say_table([MOVED_COLUMNS, *moved_rows(facts)])
    if run.align != default_align:
        tell(f"run it with --align {run.align}, as it was learned", kind="note")
    if facts.deficient:
        tell(
            "the input does not determine every tap; of those that fit, the smallest were taken",
            kind="note",
        )
    for warning in run.warnings:
        tell(warning, kind="warning")


def _say_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns side by side, the last one flush left, so that what follows a number may hang over."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells, last in rows:
        middle = "".join(
            f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:-1], strict=True)
        )
        say(f"  {name:<{widths[0]}}{middle}  {last}".rstrip())


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        name="learn",
        epilog=examples(
            "convcli learn noisy.wav clean.wav --taps 129 -o denoise.safetensors",
            "convcli audio model:denoise.safetensors other.wav -o cleaned.wav",
            "convcli learn prices.csv -c Open,Close --target Close --ahead 1 --taps 20 -o next.safetensors",
            "convcli learn noisy.wav clean.wav --layers 'conv:8,9 | leaky_relu:0.1 | conv:1,9' -o net.safetensors",
            "convcli learn --blind scan.png --taps 9x9 -o scan.safetensors",
            "convcli learn --blind noisy.wav --noise auto -o blind.safetensors",
            "convcli learn microphone.wav loudspeaker.wav --delay auto -o inverse.safetensors --report learned.html",
        ),
    )(learn)
