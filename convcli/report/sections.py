"""The parts of a page about one run, the same in HTML and Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.report.columns import signal_views
from convcli.report.figures import design_figures
from convcli.report.tables import result_tables
from convcli.report.views import SignalView
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import RunFacts
    from convcli.report.figures import Figure

# The steps of more runs than this are not drawn: a batch seldom has more kinds of input.
MOST_DESIGNS = 12
# Characters of drawings of filters in one report, at most.
MOST_DRAWN = 2_000_000


def undrawn_text(steps: int) -> str:
    """What a report says of steps whose drawings do not fit."""
    return f"Drawings left out: those of {plural(steps, 'more step')} do not fit here."


def most_designs(runs: Sequence[RunFacts]) -> int:
    """How many different filters are drawn; a page about steps draws each of them."""
    about_steps = any(run.usage is not None for run in runs)
    return len(runs) if about_steps else MOST_DESIGNS


@dataclass(frozen=True, kw_only=True)
class PageSection:
    """A part of a run under a title."""

    title: str
    views: Sequence[SignalView]


def _all_sections(run: RunFacts, *, layers: bool) -> Iterator[PageSection]:
    """Yield what is drawn: the signals, what was learned, the layers of networks."""
    results = [SignalView(table=table) for table in result_tables(run)]
    if run.learned is not None:
        from convcli.report.learned import learned_views

        yield PageSection(title="What was learned", views=[*results, *learned_views(run)])
        results = []
    views = [*results, *_views(run)]
    if run.searched:
        # There are few drawings, and there may be thousands of places.
        views = [*_views(run), *results]
    yield PageSection(title=_drawn_heading(run), views=views)
    if run.feature_maps or (layers and any(step.layers for step in run.steps)):
        from convcli.report.networks import network_views

        yield PageSection(title="Layers", views=list(network_views(run, layers=layers)))


def _drawn_heading(run: RunFacts) -> str:
    if run.searched:
        return "Where it was found"
    if run.comparison is not None:
        names = (run.comparison.a.page_label, run.comparison.b.page_label)
        return "A is {}, B is {}".format(*map(visible, names))
    return "Before and after"


def _views(run: RunFacts) -> list[SignalView]:
    """What is drawn of the signals: the hits of a search, or before and after."""
    if run.searched:
        from convcli.report.marks import marked_views

        drawn, count = len(run.searched), len(run.inputs)
        views = list(marked_views(run))
        if drawn < count:
            note = f"Of the {count:,} that were searched, {drawn:,} are drawn."
            views.insert(0, SignalView(notes=[note]))
        return views
    return signal_views(run)


def page_sections(run: RunFacts, *, layers: bool = True) -> list[PageSection]:
    """What is drawn and measured, without parts that are empty.

    layers : the layers and kernels of networks are drawn; they are part of a design
    """
    return [section for section in _all_sections(run, layers=layers) if section.views]


def design_sections(run: RunFacts) -> Iterator[tuple[str, Sequence[Figure]]]:
    """Yield a title and the responses of the whole chain, if it is several steps, and of each."""
    chain = run.chain
    if len(run.steps) > 1 and chain is not None and chain.response:
        yield f"The whole chain: {visible(chain.text)}", design_figures(chain)
    for step in run.steps:
        figures = design_figures(step)
        if figures:
            yield f"What the filter is: {visible(step.text)}", figures
