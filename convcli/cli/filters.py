"""`convcli filters`."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convcli.cli import options, tell
from convcli.cli.options import examples
from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.designs.registry import Step
    from convcli.facts import LayerFacts, ReachFacts
    from convcli.layers.model import Model
    from convcli.planning.plan import BoundStep
    from convcli.signals import Signal


def filters(
    step: Annotated[
        str | None,
        typer.Argument(
            metavar="[STEP]",
            help="A step such as lowpass:1k, or its name alone.",
            autocompletion=options.complete_filter,
            show_default=False,
        ),
    ] = None,
    *,
    rate: Annotated[
        str | None, typer.Option(help="Samples per second: 44100, 16k.", show_default=False)
    ] = None,
    align: options.Align = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the taps to FILE.csv, .npy, .wav or .json.",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The list as a table for a README.")
    ] = False,
    debug: options.Debug = False,
) -> int:
    """List every step of FILTER; or show one: its parameters, taps, delay, reach and response.

    Without --rate frequencies are in cycles per sample, 0 to 0.5.
    """
    if step is None:
        if export is not None:
            raise RequestError(
                "--export needs a step", hint="convcli filters lowpass:0.1 --export taps.csv"
            )
        print(*_listed(markdown=markdown), sep="\n")
        return 0
    _show(step.strip(), rate, align, export, force=force)
    return 0


def _listed(*, markdown: bool) -> list[str]:
    from convcli.designs import steps

    lines: list[str] = []
    family = ""
    if markdown:
        lines += ["| step | what it does |", "| --- | --- |"]
    for step in steps().values():
        if step.family != family:
            family = step.family
            lines += (
                [f"| **{family}** | |"] if markdown else ([""] if lines else []) + [f"{family}:"]
            )
        also = f" (also {', '.join(step.aliases)})" if step.aliases else ""
        if markdown:
            cells = (f"`{step.usage}`{also}".replace("|", "\\|"), step.help.replace("|", "\\|"))
            lines.append(f"| {cells[0]} | {cells[1]} |")
        else:
            lines += [f"  {step.usage}{also}", f"      {step.help}"]
    return lines


def _show(
    text: str, rate: str | None, align: str | None, export: Path | None, *, force: bool
) -> None:
    from convcli.designs import find
    from convcli.planning.grammar import parse

    calls = parse(text)
    if export is not None:
        _check_export(export, force=force)
    elif len(calls) == 1 and not calls[0].arguments:
        print(*_page(find(calls[0].name)), sep="\n")
        if not _is_complete(text, rate, align):
            return
        print()
    bound = _bind(text, rate, align)
    parts = [list(part) for _, part in groupby(bound, key=lambda step: id(step.call))]
    lines = [line for part in parts for line in ("", *_described(part))]
    if export is not None:
        _export(bound, export)
    print(*lines[1:], sep="\n")


def _is_complete(name: str, rate: str | None, align: str | None) -> bool:
    """Whether a step can be designed by its name alone."""
    try:
        _bind(name, rate, align)
    except RequestError:
        return False
    return True


def _page(step: Step) -> list[str]:
    """A step's usage, what it says of itself, and an example."""
    import inspect

    return [
        step.usage,
        "",
        inspect.getdoc(step.design) or step.help,
        "",
        f"example: {step.example}",
    ]


def _bind(text: str, rate: str | None, align: str | None) -> tuple[BoundStep, ...]:
    from convcli.core.binding import Rules
    from convcli.planning.plan import make_plan

    try:
        model = _model(text)
        if model is not None:
            signal, align = model.signal(), align or model.align
        else:
            signal = _signal(rate, on_image=_is_for_images(text))
        rules = Rules(edge="zero", align="causal" if align == "causal" else "center")
        return make_plan(text, signal, rules).steps
    except RequestError as error:
        if rate is None and "cycles" in error.message:
            error.hint = "frequencies in Hz need --rate, such as --rate 44100"
        raise


def _model(text: str) -> Model | None:
    """A model that stands first; it knows its channels, its rate and how it was aligned."""
    from convcli.designs import find
    from convcli.planning.grammar import parse

    call = parse(text)[0]
    values = {a.key or "path": a.text for a in call.arguments}
    if "path" not in values or not find(call.name).runs_model:
        return None
    from convcli.layers.modelfile import read_model

    return read_model(Path(values["path"]).expanduser(), layers=values.get("layers", ""))


def _is_for_images(text: str) -> bool:
    from convcli.designs import find
    from convcli.planning.grammar import parse

    calls = parse(text)
    return any(
        find(call.name).needs_picture or any(a.row or a.key == "axis" for a in call.arguments)
        for call in calls
    )


def _signal(rate: str | None, *, on_image: bool) -> Signal:
    from convcli.media.images.medium import IMAGE
    from convcli.signals import ARRAY, Signal
    from convcli.units import UnitError, parse_quantity

    if on_image:
        return Signal(medium=IMAGE, shape=(256, 256), channels=("grey",), full_scale=255.0)
    samples_per_second = None
    if rate is not None:
        try:
            quantity = parse_quantity(rate)
        except UnitError as error:
            raise RequestError(f"--rate: {error}") from None
        scale = {"": 1.0, "Hz": 1.0, "kHz": 1e3}.get(quantity.unit)
        if scale is None or quantity.value <= 0:
            raise RequestError(
                f"--rate expects samples per second above 0 (44100, 16k), got {rate!r}"
            )
        samples_per_second = quantity.value * scale
    return Signal(medium=ARRAY, shape=(None,), channels=("1",), rate=samples_per_second)


def _described(part: list[BoundStep]) -> list[str]:
    """A step as designed, a fact a line; a network that sees the whole signal on the way was bound as several."""
    from convcli.planning.describe import step_facts, taps_text
    from convcli.report.words import number, plural, reach

    step, facts = part[0], step_facts(part[0])
    whole = any(each.whole is not None for each in part)
    rows = [("step", facts.text), ("", step.step.help)]
    if facts.taps is not None and len(part) == 1:
        shape = " x ".join(str(side) for side in facts.shape)
        rows += [
            ("taps", ": ".join(text for text in (shape, taps_text(step)) if text)),
            ("sum", number(facts.sum)),
        ]
        rows += [("delay", f"{number(facts.delay)} samples")] if facts.delay is not None else []
    ahead = (
        "the whole signal"
        if whole or facts.look_ahead is None
        else plural(facts.look_ahead, "sample")
    )
    rows += [
        ("look-ahead", ahead),
        ("reach", "the whole signal" if len(part) > 1 else reach(facts.reach)),
    ]
    rows += _frequencies(step) if len(part) == 1 else []
    if facts.note:
        rows.append(("note", facts.note))
    return [*(f"{name:<16}{text}".rstrip() for name, text in rows), *_layers(facts.layers)]


def _layers(layers: tuple[LayerFacts, ...]) -> list[str]:
    """The layers of a network as a table: each with its reach into the input of the network."""
    from convcli.report.words import number, reach

    if not layers:
        return []
    rows = [("", "layer", "parameters", "channels", "stride so far", "reach so far")]
    for place, layer in enumerate(layers):
        strides = (
            ""
            if layer.reach is None
            else "x".join(dict.fromkeys(_stride(axis) for axis in layer.reach))
        )
        far = (
            "the whole signal"
            if layer.reach is None
            else reach(tuple(_alone(axis) for axis in layer.reach))
        )
        rows.append(
            (str(place), layer.text, number(layer.parameters), str(layer.channels), strides, far)
        )
    total = sum(layer.parameters for layer in layers)
    rows.append(("", "in all", number(total), "", "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    left = (1, 5)
    cells = (
        [
            f"{cell:<{w}}" if i in left else f"{cell:>{w}}"
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    )
    return ["", *("  ".join(row).rstrip() for row in cells)]


def _stride(axis: ReachFacts) -> str:
    return str(axis.step) if axis.phases == 1 else f"{axis.step}/{axis.phases}"


def _alone(axis: ReachFacts) -> ReachFacts:
    """The reach without its spacing, which has a column of its own."""
    return replace(axis, step=1, phases=1)


def _frequencies(step: BoundStep) -> list[tuple[str, str]]:
    """Where a one-dimensional response falls by 3 dB and by what the stop band promises."""
    from convcli.planning.describe import crossings, weights_of
    from convcli.units import describe_frequency

    weights = weights_of(step)
    if weights is None or weights.ndim != 1 or weights.size < 2:
        return []
    rows = []
    for level in (-3.0, -float(step.values.get("attenuation") or 0)):
        found = crossings(weights, level)[:6] if level else []
        if found:
            rows.append(
                (f"{level:g} dB at", ", ".join(describe_frequency(f, step.before) for f in found))
            )
    return rows


def _check_export(path: Path, *, force: bool) -> None:
    from convcli.media.outputs import refuse_missing_parent
    from convcli.planning.export import EXPORTS

    refuse_missing_parent(path)
    if path.suffix.lower() not in EXPORTS:
        raise RequestError(f"expected taps in a file named {', '.join(EXPORTS)}, got {path}")
    if path.exists() and not force:
        raise RequestError(f"the output {path} exists already", hint="--force replaces it")


def _export(bound: tuple[BoundStep, ...], path: Path) -> None:
    from convcli.media.outputs import atomic
    from convcli.planning.describe import bias_of, weights_of
    from convcli.planning.export import export_taps

    weights = weights_of(bound[0]) if len(bound) == 1 else None
    if weights is None or weights.ndim > 2:
        network = len(bound) > 1 or bound[0].stage.network
        hint = "a network of several layers has no taps of its own" if network else None
        raise RequestError("only a single step with one set of taps can be exported", hint=hint)
    with atomic(path) as place:
        export_taps(weights, place, path.suffix.lower(), rate=bound[0].before.rate)
    if weights.ndim > bound[0].before.axes:
        tell(f"{path} has a row for each output and each input of that", kind="note")
    bias = bias_of(bound[0])
    if bias is not None:
        tell(
            f"the bias is not among the taps: offset:{', '.join(f'{b:.6g}' for b in bias)}",
            kind="note",
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        name="filters",
        epilog=examples(
            "convcli filters",
            "convcli filters lowpass:3.4k,width=400 --rate 16k",
            "convcli filters gaussian:3 --export taps.csv",
            "convcli filters model:denoise.safetensors",
        ),
    )(filters)
