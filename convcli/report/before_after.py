"""The signals of a run before and after, as charts, pictures and sounds for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.columns import MOST_COLUMNS, all_at_edge, column_figures
from convcli.report.views import SignalView
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.facts import RunFacts
    from convcli.facts.preview import PreviewFacts


def signal_views(run: RunFacts) -> list[SignalView]:
    """Everything that is drawn of the input and the output of a run."""
    preview = run.preview
    if preview is None or preview.small:
        return []
    if preview.before.picture is not None:
        from convcli.report.pictures import picture_views

        return list(picture_views(run, preview))
    if run.inputs and run.inputs[0].medium.in_seconds:
        from convcli.report.sounds import sound_views

        return list(sound_views(preview))
    return list(_table_views(run, preview))


def _table_views(run: RunFacts, preview: PreviewFacts) -> Iterator[SignalView]:
    groups = [outline.group for outline in preview.before.outlines]
    for place, outline in enumerate(preview.before.outlines):
        after = [one for one in preview.after.outlines if one.group == outline.group]
        heading = visible(outline.group) if len(groups) > 1 else ""
        figures = list(column_figures(run, preview, outline, after[0] if after else None))
        notes = []
        if place == 0 and preview.before.more_groups:
            more = plural(preview.before.more_groups, "more group")
            notes.append(f"The first {len(groups)} groups are drawn; there are {more}.")
        columns = {*outline.channels, *(name for one in after for name in one.channels)}
        if place == 0 and len(columns) > MOST_COLUMNS:
            notes.append(f"The first {MOST_COLUMNS} of {len(columns)} columns are drawn.")
        if all_at_edge(run, outline):
            notes.append("Nearly every result reads what lies outside of the signal.")
        yield SignalView(heading=heading, notes=notes, figures=figures)
