"""The command `convcli filters`: list the steps of the grammar, or describe one filter."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convcli import __version__
from convcli.cli import options, print_message
from convcli.cli.groups import with_option_groups
from convcli.cli.options import examples
from convcli.cli.results import given_words, refuse_plot, refuse_report, refuse_shared_places
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, RequestError
from convcli.facts import RunFacts, UsageFacts
from convcli.named_files import named_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import FloatArray
    from convcli.designs.registry import Step
    from convcli.layers.model import Model
    from convcli.layers.onnx.model import OnnxModel
    from convcli.places import Place
    from convcli.planning.plan import BoundStep
    from convcli.report.step_page import StepPage
    from convcli.signals import Signal


# The suffix of a network, or of a filter as one.
ONNX = ".onnx"


@dataclass(frozen=True, kw_only=True)
class DesignOptions:
    """The signal that a step is designed for."""

    rate: Annotated[
        str | None, typer.Option(help="Samples per second: 44100, 16k.", show_default=False)
    ] = None
    align: Annotated[
        options.Alignment, options.align_option("center; for a model as it was learned")
    ] = None

    def bind(self, text: str) -> tuple[BoundStep, ...]:
        """Design the steps of a FILTER."""
        from convcli.core.binding import Rules
        from convcli.planning.plan import make_plan

        try:
            signal, align = self._signal(text)
            rules = Rules(edge="zero", align="causal" if align == "causal" else "center")
            return make_plan(text, signal, rules).steps
        except RequestError as error:
            if self.rate is not None or "cycles" not in error.message:
                raise
            hint = "frequencies in Hz need --rate, such as --rate 44100"
            raise error.reworded(error.message, hint) from error.__cause__

    def _signal(self, text: str) -> tuple[Signal, str | None]:
        """Choose a signal that suits the steps, and the alignment."""
        from convcli.media.images.medium import IMAGE
        from convcli.signals import ARRAY, Signal

        model = _first_model(text)
        if model is not None:
            return model.signal(), self.align or model.learned.align
        if _is_for_pictures(text):
            signal = Signal(medium=IMAGE, shape=(256, 256), channels=("grey",), full_scale=255.0)
        else:
            rate = self._samples_per_second()
            signal = Signal(medium=ARRAY, shape=(None,), channels=("1",), rate=rate)
        return signal, self.align

    def _samples_per_second(self) -> float | None:
        from convcli.units import UnitError, to_rate

        if self.rate is None:
            return None
        try:
            return to_rate(self.rate)
        except UnitError as error:
            raise RequestError(f"--rate {error}") from None


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The files that the taps are written to, and that the responses are drawn into."""

    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the taps, of a chain those of all its steps, to FILE.csv, .npy, .wav or "
            ".json; or a model or filter to FILE.onnx.",
            show_default=False,
        ),
    ] = None
    report: options.Report = None
    plot: options.Plot = None
    force: options.Force = False

    def check_places(self, steps: Sequence[str]) -> None:
        """Refuse files that cannot be written, or that nothing would be written into."""
        places: dict[str, Place | None] = {
            "--export": self.export,
            "--plot": self.plot,
            "--report": self.report,
        }
        for option, place in places.items():
            # A report without a step is about all of them.
            if place is not None and not steps and option != "--report":
                raise RequestError(
                    f"{option} needs a step", hint=f"convcli filters lowpass:0.1 {option} {place}"
                )
        if self.export is not None and len(steps) > 1:
            raise RequestError("--export takes one step or chain", hint="'box:3 | box:3' is one")
        if self.export is not None:
            self._check_export(self.export)
        if self.plot is not None:
            refuse_plot(self.plot, [], force=self.force)
        if self.report is not None:
            refuse_report(self.report, [], force=self.force)
        refuse_shared_places(places)

    def _check_export(self, path: Path) -> None:
        """Refuse a file in no known format or in no folder, or one that exists."""
        from convcli.media.refusals import refuse_missing_parent
        from convcli.planning.export import EXPORTS

        refuse_missing_parent(path)
        known = (*EXPORTS, ONNX)
        if path.suffix.lower() not in known:
            raise RequestError(f"expected taps in a file named {', '.join(known)}, got {path}")
        if path.exists() and not self.force:
            raise RequestError(f"the output {path} exists already", hint="--force replaces it")


@with_option_groups
def filters(
    steps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STEP]...",
            help="Steps such as lowpass:1k, a name alone, or a FILTER such as 'x - box:5'.",
            autocompletion=options.complete_filter,
            show_default=False,
        ),
    ] = None,
    *,
    design: DesignOptions,
    export: ExportOptions,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The list as a table for a README.")
    ] = False,
    debug: options.Debug = False,
) -> int:
    """List every step of FILTER; or show some: parameters, taps, delay, reach and response.

    Without --rate frequencies are in cycles per sample, 0 to 0.5. --plot draws the responses of all
    of them on one pair of axes. --report without a step draws an example of every step.
    """
    export.check_places(steps or ())
    if not steps and export.report is not None:
        _write_all_steps(design, export.report)
    if steps:
        # Files come first: the reader of standard output may close it early.
        _draw(steps, design, export)
        for place, step in enumerate(steps):
            if place:
                print()
            _show_step(step.strip(), design, export)
        return 0
    print(*(_markdown_list() if markdown else _step_list()), sep="\n")
    return 0


def _step_list() -> list[str]:
    """List every step under its family, with its usage and its help."""
    from convcli.designs import steps

    lines: list[str] = []
    for family, members in groupby(steps().values(), key=lambda step: step.family):
        lines += ["", f"{family}:"]
        for step in members:
            lines += [f"  {step.usage}{_aliases_text(step)}", f"      {step.help}"]
            if step.stands_for:
                lines.append(f"      = {step.stands_for}")
    return [*lines[1:], *_kept_recipes()]


def _kept_recipes() -> list[str]:
    """List the recipes that the user keeps in a folder."""
    from convcli.planning.recipe_folder import known_recipes, recipe_folder

    names = known_recipes()
    if not names:
        return []
    return ["", f"recipes in {recipe_folder()}:", *(f"  @{name}" for name in names)]


def _markdown_list() -> list[str]:
    """List every step as a row of a Markdown table."""
    from convcli.designs import steps

    lines = ["| step | what it does |", "| --- | --- |"]
    for family, members in groupby(steps().values(), key=lambda step: step.family):
        lines.append(f"| **{family}** | |")
        for step in members:
            usage = f"`{step.usage}`{_aliases_text(step)}"
            text = step.help
            if step.stands_for:
                text += f" `{step.stands_for}`"
            cells = [cell.replace("|", "\\|") for cell in (usage, text)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _aliases_text(step: Step) -> str:
    return f" (also {', '.join(step.aliases)})" if step.aliases else ""


def _show_step(text: str, design: DesignOptions, export: ExportOptions) -> None:
    """Print the pages of the steps in `text`; before them the usage of a name without values."""
    from convcli.planning.grammar import parse

    calls = parse(text)
    if export.export is None and len(calls) == 1 and calls[0].is_name_alone:
        print(*_usage_lines(calls[0].name), sep="\n")
        if not _is_complete(text, design):
            return
        print()
    bound = design.bind(text)
    lines: list[str] = []
    # A network with a layer that sees the whole signal is bound as several steps of one call.
    for _, parts in groupby(bound, key=lambda step: id(step.call)):
        lines += ["", *_page(list(parts)).lines()]
    if export.export is not None:
        if export.export.suffix.lower() == ONNX:
            _export_graph(text, bound, design, export.export)
        else:
            _export_taps(bound, export.export)
    if sys.stdout is not None and sys.stdout.isatty():
        from convcli.planning.describe import drawn_facts
        from convcli.report.braille import step_drawings

        lines += step_drawings(drawn_facts(text, bound))
    print(*lines[1:], sep="\n")


def _is_complete(name: str, design: DesignOptions) -> bool:
    """Whether a step can be designed by its name alone."""
    try:
        design.bind(name)
    except RequestError:
        return False
    return True


def _usage_lines(name: str) -> list[str]:
    from convcli.designs import find

    step = find(name)
    lines = [step.usage, "", step.description, "", f"example: {step.example}"]
    if step.stands_for:
        lines.append(f"stands for: {step.stands_for}")
    return lines


def _page(parts: list[BoundStep]) -> StepPage:
    """Return the page of a step, which may be bound in several parts."""
    from convcli.planning.describe import step_facts, taps_text
    from convcli.report.step_page import StepPage

    step = parts[0]
    facts = step_facts(step)
    if len(parts) > 1:
        facts = replace(facts, taps=None, look_ahead=None, reach=())
        return StepPage(facts=facts, help=step.step.help)
    return StepPage(
        facts=facts, help=step.step.help, taps=taps_text(step), crossings=_crossings(step)
    )


def _crossings(step: BoundStep) -> list[tuple[str, str]]:
    """Return the frequencies at which a response falls by 3 dB and by the attenuation asked for."""
    from convcli.planning.describe import crossings, weights_of
    from convcli.units import describe_frequency

    weights = weights_of(step)
    if weights is None or weights.ndim != 1 or weights.size < 2:
        return []
    levels = [-3.0]
    attenuation = step.values.get("attenuation")
    if attenuation:
        levels.append(-float(attenuation))
    found = []
    for level in levels:
        frequencies = crossings(weights, level)[:6]
        if frequencies:
            texts = [describe_frequency(frequency, step.before) for frequency in frequencies]
            found.append((f"{level:g} dB", ", ".join(texts)))
    return found


def _first_model(text: str) -> Model | OnnxModel | None:
    """Read the model that a FILTER begins with. It knows its channels, rate and alignment."""
    from convcli.designs import find
    from convcli.planning.grammar import parse

    for call in parse(text)[0].with_nested():
        path = call.path
        if path is None or not find(call.name).runs_model:
            continue
        layers = [argument.text for argument in call.arguments if argument.key == "layers"]
        from convcli.layers.model_reader import read_model

        return read_model(named_place(path), layers="".join(layers))
    return None


def _is_for_pictures(text: str) -> bool:
    """Whether a step works on pictures alone, or its values have two axes."""
    from convcli.designs import find
    from convcli.planning.grammar import parse

    for written in parse(text):
        for call in written.with_nested():
            if find(call.name).needs_picture:
                return True
            if any(argument.row or argument.key == "axis" for argument in call.arguments):
                return True
    return False


def _export_taps(bound: tuple[BoundStep, ...], path: Path) -> None:
    """Write the taps of a step or of a chain, and print what the file does not hold."""
    from convcli.media.replacing import atomic
    from convcli.planning.describe import bias_of
    from convcli.planning.export import export_taps

    weights = _exported_weights(bound)
    step = bound[0]
    with atomic(path) as place:
        export_taps(weights, place, path.suffix.lower(), rate=step.before.rate)
    if weights.ndim > step.before.axes:
        print_message(f"{path} has a row for each output and each input of that", kind="note")
    bias = bias_of(step)
    if bias is not None:
        values = ", ".join(f"{value:.6g}" for value in bias)
        print_message(f"the bias is not among the taps: offset:{values}", kind="note")


def _export_graph(
    text: str, bound: tuple[BoundStep, ...], design: DesignOptions, path: Path
) -> None:
    """Write a model, or the taps of a step or chain, as an ONNX file."""
    from convcli.layers.onnx.export import exported_taps
    from convcli.media.replacing import atomic

    step = bound[0]
    model = _first_model(text) if step.step.runs_model else None
    if model is None:
        graph = exported_taps(_exported_weights(bound), design.align)
    elif bound[-1].call is not step.call:
        raise RequestError("a model is exported alone", hint=f"'{step.call.text}'")
    else:
        upto = step.values["upto"]
        if upto is not None:
            model = model.up_to(upto)
        align = design.align or model.learned.align
        graph = model.exported("causal" if align == "causal" else "center")
    with atomic(path) as place:
        place.write_bytes(graph.content)
    print_message(f"{path} computes {graph.description}", kind="note")


def _draw(steps: list[str], design: DesignOptions, export: ExportOptions) -> None:
    """Write the drawing and the report that were asked for."""
    if export.plot is not None:
        _write_plot(steps, design, export.plot)
    if export.report is not None:
        _write_design_report(steps, design, export.report)


def _write_design_report(steps: list[str], design: DesignOptions, path: Place) -> None:
    """Write a page, or facts, about each step or chain."""
    from convcli.media.replacing import atomic
    from convcli.report.files import write_report

    runs = [_designed_facts(step.strip(), design) for step in steps]
    write_report(runs, path, atomic=atomic)


def _designed_facts(text: str, design: DesignOptions) -> RunFacts:
    """The facts of a FILTER that is designed for a report."""
    from convcli.planning.describe import drawn_facts

    bound = design.bind(text)
    chain = None
    if len(bound) > 1:
        chain = drawn_facts(text, bound)
    return RunFacts(
        version=__version__,
        filter=text,
        command=given_words(),
        steps=tuple(drawn_facts(each.call.text, (each,)) for each in bound),
        chain=chain,
    )


def _write_all_steps(design: DesignOptions, path: Place) -> None:
    """Write a page, or facts, about an example of every step."""
    from convcli.designs import steps
    from convcli.media.replacing import atomic
    from convcli.report.files import write_report

    runs = []
    for step in steps().values():
        usage = UsageFacts(
            name=step.name,
            family=step.family,
            usage=step.usage,
            help=step.help,
            aliases=step.aliases,
            stands_for=step.stands_for,
        )
        try:
            facts = _designed_facts(step.example, design)
        except ConvcliError:  # the example needs a rate, or reads a file
            facts = RunFacts(version=__version__, filter=step.example, command=given_words())
        runs.append(replace(facts, usage=usage))
    write_report(runs, path, atomic=atomic)


def _write_plot(steps: list[str], design: DesignOptions, path: Place) -> None:
    """Draw the responses of steps or chains."""
    from convcli.media.replacing import atomic
    from convcli.planning.describe import drawn_facts
    from convcli.report.plots import filter_rows_of_figures, write_plot
    from convcli.report.words import visible

    drawn = [drawn_facts(step.strip(), design.bind(step.strip())) for step in steps]
    title = visible(", ".join(steps))
    write_plot(filter_rows_of_figures(drawn), path, title=title, atomic=atomic)


def _exported_weights(bound: tuple[BoundStep, ...]) -> FloatArray:
    """The taps of a single step, or those of a chain of convolutions as one."""
    from convcli.planning.describe import chain_taps, weights_of

    step = bound[0]
    if len(bound) > 1 and bound[-1].call is not step.call:
        return chain_taps(bound)
    weights = weights_of(step) if len(bound) == 1 else None
    if weights is None or weights.ndim > 2:
        hint = None
        if len(bound) > 1 or step.stage.network:
            hint = "a network of several layers has no taps of its own"
        raise RequestError("only a filter with one set of taps can be exported", hint=hint)
    return weights


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        name="filters",
        epilog=examples(
            "convcli filters",
            "convcli filters lowpass:3.4k,width=400 --rate 16k",
            "convcli filters 'x - gaussian:3'",
            "convcli filters macd",
            "convcli filters --report steps.html",
            "convcli filters gaussian:3 --export taps.csv",
            "convcli filters model:denoise.safetensors",
        ),
    )(filters)
