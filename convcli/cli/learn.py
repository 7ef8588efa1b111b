"""`convcli learn`."""

from __future__ import annotations

import time as clock
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convcli import __version__
from convcli.cli import options, say, tell
from convcli.cli.lesson import Asked, check_mode, lesson_of
from convcli.cli.opening import Opening, medium_of
from convcli.cli.options import column_names, examples, one_character
from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.engine.learn import Learned, Lesson
    from convcli.signals import Medium, Signal, Source


def learn(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A sound, a table or a picture; or a folder of sounds or pictures.")
    ],
    clean: Annotated[
        Path | None,
        typer.Argument(
            metavar="[TARGET]",
            help="What the filter is to make of INPUT; for a folder, a folder with the same names.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="MODEL", help="The model file: NAME.safetensors.", show_default=False),
    ] = None,
    taps: Annotated[
        str | None,
        typer.Option(metavar="K", help="Length of the filter: 129, or 9x9 for pictures.", show_default="64, 20, 9x9"),
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="Learn from INPUT alone: each sample from its neighbours without itself.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Tables: the column that is predicted.", show_default=False),
    ] = None,
    ahead: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Predict so many samples later.", show_default="1 for a table, else 0"),
    ] = None,
    ridge: Annotated[
        float | None,
        typer.Option(min=0, help="Strength of the ridge.", show_default="the best on what is held out"),
    ] = None,
    holdout: Annotated[str, typer.Option(metavar="PART", help="The part at the end that is not learned from.")] = "20%",
    bias: Annotated[
        bool | None, typer.Option("--bias/--no-bias", help="Learn a constant too.", show_default="for tables")
    ] = None,
    mix: Annotated[
        bool, typer.Option("--mix", help="Every channel from every channel; else all share one filter.")
    ] = False,
    columns: options.Columns = None,
    by: options.By = None,
    time: options.Time = None,
    delimiter: options.Delimiter = None,
    decimal: options.Decimal = ".",
    no_header: options.NoHeader = False,
    encoding: options.Encoding = "utf-8",
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse pictures with more pixels.")] = 10**9,
    strict: Annotated[bool, typer.Option("--strict", help="A truncated sound is an error, not a warning.")] = False,
    align: options.Align = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Learn a filter from examples: the taps with the least squared error, as a model file for `model:`.

    From a noisy and a clean recording (or picture) it learns to clean; from the past of a table to predict; with
    --blind to remove noise that is independent from sample to sample. The last part of the data is held out, and the
    error there is told beside that of doing nothing.
    """
    from convcli.media.tables.source import TableOptions

    started = clock.perf_counter()
    place = _checked_output(output, [source, clean], force=force)
    pairs = _pairs(source, clean)
    medium = medium_of([path for pair in pairs for path in pair])
    wanted = column_names(columns)
    table = TableOptions(
        columns=None if wanted is None or target is None else tuple(dict.fromkeys((*wanted, target))),
        by=by,
        time=time,
        delimiter=one_character(delimiter, "--delimiter"),
        decimal=decimal,
        header=not no_header,
        encoding=encoding,
    )
    table = replace(table, columns=wanted) if target is None else table
    asked = Asked(
        taps=taps,
        align=align,
        bias=bias,
        ahead=ahead,
        target=target,
        blind=blind,
        mix=mix,
        ridge=ridge,
        holdout=holdout,
    )
    check_mode(medium, asked, paired=clean is not None)
    opening = Opening(medium=medium, table=table, max_pixels=max_pixels, strict=strict)
    learned, lesson, signal = _run(pairs, opening, asked, wanted, quiet=quiet)
    _write(place, learned, lesson, signal)
    if not quiet:
        _tell(learned, lesson, place, clock.perf_counter() - started, medium)
    return 0


def _checked_output(output: Path | None, inputs: list[Path | None], *, force: bool) -> Path:
    from convcli.media.outputs import plan_outputs

    if output is None or output.suffix.lower() != ".safetensors":
        came = "nothing" if output is None else str(output)
        raise RequestError(f"-o expects a model file such as model.safetensors, got {came}")
    plan_outputs([path for path in inputs[:1] if path is not None], str(output), force=force)
    if inputs[1] is not None and output.exists() and inputs[1].exists() and output.samefile(inputs[1]):
        raise RequestError(f"the output {output} is one of the inputs")
    return output


def _pairs(source: Path, clean: Path | None) -> list[tuple[Path, Path | None]]:
    """The files that belong together; those of two folders by their names."""
    from convcli.media.outputs import check_input

    if not source.is_dir():
        for path in (source, clean):
            if path is not None:
                check_input(path)
        return [(source, clean)]
    if clean is not None and not clean.is_dir():
        raise RequestError(f"{source} is a folder and {clean} is none", hint="two folders with the same names")
    files = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise RequestError(f"the folder {source} holds no files")
    missing = [path.name for path in files if clean is not None and not (clean / path.name).is_file()]
    if missing:
        raise RequestError(f"{clean} has no {missing[0]}, which is in {source}", hint="pairs have the same names")
    return [(path, None if clean is None else clean / path.name) for path in files]


def _run(
    pairs: Sequence[tuple[Path, Path | None]],
    opening: Opening,
    asked: Asked,
    wanted: tuple[str, ...] | None,
    *,
    quiet: bool,
) -> tuple[Learned, Lesson, Signal]:
    from convcli.engine.learn import learn as fit

    with ExitStack() as held:
        opened: list[tuple[Source[Any], Source[Any] | None]] = []
        for path, clean in pairs:
            sources = [_first(held.enter_context(opening.input(each)), quiet=quiet) for each in (path, clean) if each]
            opened.append((sources[0], sources[1] if len(sources) > 1 else None))
        signal = opened[0][0].signal
        lesson = lesson_of(asked, signal, wanted)
        return fit(lesson, opened), lesson, signal


def _first(opened: tuple[Sequence[Source[Any]], list[str]], *, quiet: bool) -> Source[Any]:
    sources, warnings = opened
    if not quiet:
        for warning in warnings:
            tell(warning, kind="warning")
    return sources[0]


def _write(place: Path, learned: Learned, lesson: Lesson, signal: Signal) -> None:
    from convcli.designs.weights import encode_weights
    from convcli.engine.learn import model_of
    from convcli.media.outputs import atomic

    encoded = encode_weights(*model_of(learned, lesson, signal, version=__version__))
    with atomic(place) as path:
        path.write_bytes(encoded)


def _tell(learned: Learned, lesson: Lesson, place: Path, seconds: float, medium: Medium) -> None:
    """The summary, the errors side by side, and the honest word."""
    from convcli.report.words import number

    count = learned.weights.size + (0 if learned.bias is None else learned.bias.size) - lesson.blind
    sizes = "x".join(str(k) for k in lesson.taps)
    ridge = f", ridge {learned.ridge:g}" if learned.ridge else ""
    samples = f"{learned.train:,} samples learned from, {learned.held:,} held out"
    say(f"{place}: conv:{len(learned.weights)},{sizes}, {count:,} parameters{ridge}, {samples}, in {seconds:.3g} s")
    rows = [("root mean squared error", "learned from", "held out")]
    for score in learned.scores:
        held = "" if score.held is None else _error(score.held, learned.power, medium)
        rows.append((score.name, number(score.train), held))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for name, train, held in rows:
        say(f"  {name:<{widths[0]}}  {train:>{widths[1]}}  {held:<{widths[2]}}".rstrip())
    if learned.deficient:
        tell("the input does not determine every tap; of those that fit, the smallest were taken", kind="note")
    for name in learned.worse:
        where = "on what was held out" if learned.held else "on what it was learned from"
        tell(f"the filter is no better than {name!r} {where}", kind="warning")


def _error(error: float, power: float, medium: Medium) -> str:
    """An error, and for sound and pictures what it is in decibels below the target."""
    import math

    from convcli.report.words import number

    if medium == "table" or error <= 0 or power <= 0:
        return number(error)
    return f"{number(error)} ({20 * math.log10(error / power):.1f} dB)"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        name="learn",
        epilog=examples(
            "convcli learn noisy.wav clean.wav --taps 129 -o denoise.safetensors",
            "convcli audio model:denoise.safetensors other.wav -o cleaned.wav",
            "convcli learn prices.csv -c Open,Close --target Close --ahead 1 --taps 20 -o next.safetensors",
            "convcli learn --blind scan.png --taps 9x9 -o scan.safetensors",
        ),
    )(learn)
