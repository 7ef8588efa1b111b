"""The command `convcli filters`: list the steps of the grammar, or describe one filter."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from convcli.cli import options
from convcli.cli.design_options import DesignOptions
from convcli.cli.design_reports import draw_steps, write_all_steps
from convcli.cli.groups import command
from convcli.cli.step_list import markdown_list, step_list
from convcli.cli.taps_export import ExportOptions, export_design
from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.planning.plan import BoundStep
    from convcli.report.step_page import StepPage


@command(
    "filters",
    "convcli filters",
    "convcli filters lowpass:3.4k,width=400 --rate 16k",
    "convcli filters 'x - gaussian:3'",
    "convcli filters macd",
    "convcli filters --report steps.html",
    "convcli filters gaussian:3 --export taps.csv",
    "convcli filters model:denoise.safetensors",
)
def filters(
    steps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STEP]...",
            help="Steps such as lowpass:1k, a name alone, or a FILTER such as 'x - box:5'.",
            autocompletion=options.complete_filter,
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
        write_all_steps(design, export.report)
    if steps:
        # Files come first: the reader of standard output may close it early.
        draw_steps(steps, design, export)
        for place, step in enumerate(steps):
            if place:
                print()
            _show_step(step.strip(), design, export)
        return 0
    print(*(markdown_list() if markdown else step_list()), sep="\n")
    return 0


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
        export_design(text, bound, design, export.export)
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
    from convcli.planning.describe import step_facts
    from convcli.planning.taps_of_steps import taps_text
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
    from convcli.planning.responses import crossings
    from convcli.planning.taps_of_steps import weights_of
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
