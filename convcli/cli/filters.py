"""The command `convcli filters`: list the steps of the grammar, or describe one filter."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from convcli import __version__
from convcli.cli import options, shows_drawings
from convcli.cli.design_options import DesignOptions
from convcli.cli.groups import command
from convcli.cli.results import given_words, report_runs
from convcli.cli.taps_export import ExportOptions, export_design
from convcli.errors import ConvcliError, RequestError
from convcli.facts import RunFacts, UsageFacts

if TYPE_CHECKING:
    from convcli.designs.registry import Step
    from convcli.places import Place
    from convcli.planning.plan import BoundStep
    from convcli.report.step_page import StepPage


def draw_steps(steps: list[str], design: DesignOptions, export: ExportOptions) -> None:
    """Write the drawing and the report that were asked for."""
    if export.plot is not None:
        _write_plot(steps, design, export.plot)
    if export.report is not None:
        report_runs([_designed_facts(step.strip(), design) for step in steps], export.report)


def _designed_facts(text: str, design: DesignOptions) -> RunFacts:
    """The facts of a FILTER that is designed for a report."""
    from convcli.planning.describe import CurveSize, drawn_facts

    bound = design.bind(text)
    chain = None
    if len(bound) > 1:
        chain = drawn_facts(text, bound)
    size = CurveSize.beside(len(bound))
    return RunFacts(
        version=__version__,
        filter=text,
        command=given_words(),
        steps=tuple(drawn_facts(each.call.text, (each,), size) for each in bound),
        chain=chain,
    )


def write_all_steps(design: DesignOptions, path: Place) -> None:
    """Write a page, or facts, about an example of every step."""
    from convcli.designs import steps

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
    report_runs(runs, path)


def _write_plot(steps: list[str], design: DesignOptions, path: Place) -> None:
    """Draw the responses of steps or chains."""
    from convcli.media.replacing import atomic
    from convcli.planning.describe import drawn_facts
    from convcli.report.plots import filter_rows_of_figures, write_plot
    from convcli.report.words import visible

    texts = [step.strip() for step in steps]
    drawn = tuple(drawn_facts(text, design.bind(text)) for text in texts)
    title = visible(", ".join(steps))
    run = RunFacts(version=__version__, filter="", steps=drawn)
    write_plot(filter_rows_of_figures(run), path, title=title, atomic=atomic)


def step_list() -> list[str]:
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


def markdown_list() -> list[str]:
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
    if shows_drawings(sys.stdout):
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
    from convcli.planning.describe import crossings_of_levels, described_levels
    from convcli.planning.taps_of_steps import weights_of
    from convcli.units import describe_frequency

    weights = weights_of(step)
    if weights is None or weights.ndim != 1 or weights.size < 2:
        return []
    found = []
    for level, frequencies in crossings_of_levels(weights, described_levels(step), unit=1.0):
        texts = [describe_frequency(frequency, step.before) for frequency in frequencies]
        found.append((f"{level:g} dB", ", ".join(texts)))
    return found
