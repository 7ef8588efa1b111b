"""Reports and drawings of steps as they are designed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convcli import __version__
from convcli.cli.design_options import DesignOptions
from convcli.cli.results import given_words, report_runs
from convcli.cli.taps_export import ExportOptions
from convcli.errors import ConvcliError
from convcli.facts import RunFacts, UsageFacts

if TYPE_CHECKING:
    from convcli.places import Place


def draw_steps(steps: list[str], design: DesignOptions, export: ExportOptions) -> None:
    """Write the drawing and the report that were asked for."""
    if export.plot is not None:
        _write_plot(steps, design, export.plot)
    if export.report is not None:
        report_runs([_designed_facts(step.strip(), design) for step in steps], export.report)


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

    drawn = [drawn_facts(step.strip(), design.bind(step.strip())) for step in steps]
    title = visible(", ".join(steps))
    write_plot(filter_rows_of_figures(drawn), path, title=title, atomic=atomic)
