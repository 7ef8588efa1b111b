"""Signals before and after, as charts for a page; and the columns of a table over rows or time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.report.charts import HEIGHT, Axis, Graph, Region, axis_between, time_axis
from convcli.report.figures import (
    Figure,
    axis_place,
    bin_edges,
    channel_values,
    gap_regions,
    outline_trace,
    value_range,
)
from convcli.report.views import SignalView
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import FloatArray
    from convcli.facts import RunFacts
    from convcli.facts.preview import OutlineFacts, PreviewFacts, SignalPreview
    from convcli.report.charts import Trace

# Most columns that are drawn.
MOST_COLUMNS = 8
# Height of a chart with one side of a column, in pixels.
HALF_HEIGHT = 170
# If more of a chart than this would be shaded, nothing is, and its caption says so.
MOST_SHADED = 0.9
# Ranges that share less than this part of the smaller one are drawn on two charts.
LEAST_SHARED = 0.1

_STYLES = ("before", "after")


@dataclass(frozen=True, kw_only=True)
class _Side:
    """A column before or after.

    name : of the side, for the legend; style : the CSS class that colours it
    """

    name: str
    style: str
    outline: OutlineFacts
    channel: int

    @property
    def trace(self) -> Trace:
        return outline_trace(self.outline, self.channel, self.name, self.style)

    @property
    def gaps(self) -> list[Region]:
        return list(gap_regions(self.outline, self.channel, 1.0))

    @property
    def values(self) -> FloatArray:
        """The least and the largest value in each bin."""
        return channel_values(self.outline, self.channel)


def column_figures(
    run: RunFacts, preview: PreviewFacts, before: OutlineFacts, after: OutlineFacts | None
) -> Iterator[Figure]:
    """Yield the charts of each column of a table, or of one of its groups.

    A column that the filter adds is drawn on the side after alone.
    """
    outlines = [before] if after is None else [before, after]
    names = list(dict.fromkeys(name for outline in outlines for name in outline.channels))
    axis = table_axis(preview.before, outlines)
    edges = [] if all_at_edge(run, before) else _edge_regions(run, before)
    for column in names[:MOST_COLUMNS]:
        sides = []
        for name, style, outline in zip(preview.names, _STYLES, outlines, strict=False):
            if column in outline.channels:
                channel = outline.channels.index(column)
                sides.append(_Side(name=name, style=style, outline=outline, channel=channel))
        caption = visible(column)
        for part in _sides_by_chart(sides):
            chart_caption = caption
            if len(part) < len(sides):
                chart_caption = f"{caption}, {part[0].name}"
            yield _column_figure(part, axis, edges, chart_caption)


def table_axis(side: SignalPreview, outlines: Sequence[OutlineFacts]) -> Axis:
    """The rows of a table, or the times of its rows.

    side : what is drawn of the table
    """
    ends = []
    for outline in outlines:
        if len(outline.low):
            edges = bin_edges(outline)
            ends += [edges[0], edges[-1]]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    without_times = [outline for outline in outlines if outline.axis is None]
    if side.timed and not without_times:
        return time_axis(low, high, dated=side.dated)
    label = "row"
    if any(outline.group for outline in without_times):
        label = "row of the group"
    return axis_between(max(1.0, low), math.floor(high), 0.5, label=label, whole=True)


def _sides_by_chart(sides: Sequence[_Side]) -> list[Sequence[_Side]]:
    """The sides on one chart, or each on its own where one would be flat beside the other."""
    if len(sides) < 2:
        return [sides]
    ranges = [value_range(side.values) for side in sides]
    shared = min(high for _, high in ranges) - max(low for low, _ in ranges)
    smaller = min(high - low for low, high in ranges)
    if shared > LEAST_SHARED * smaller:
        return [sides]
    return [[side] for side in sides]


def _column_figure(
    sides: Sequence[_Side], axis: Axis, edges: Sequence[Region], caption: str
) -> Figure:
    import numpy as np

    low, high = value_range(np.concatenate([side.values for side in sides]))
    gaps = [region for side in sides for region in side.gaps]
    chart = Graph(
        title=f"{caption}: {' and '.join(side.name for side in sides)}",
        x=axis,
        y=Axis(low=low, high=high),
        traces=[side.trace for side in sides],
        regions=[*gaps, *edges],
        zooms=True,
        height=HEIGHT if len(sides) > 1 else HALF_HEIGHT,
    )
    keys = list(chart.names) if len(sides) > 1 else []
    if gaps:
        keys.append(("missing", "gap"))
    if edges:
        keys.append(("at the edge", "outside"))
    return Figure(caption=caption, chart=chart, keys=keys)


def all_at_edge(run: RunFacts, outline: OutlineFacts) -> bool:
    """Whether nearly all outputs read what lies outside of the signal."""
    if run.chain is None or not run.chain.reach:
        return False
    reach = run.chain.reach[0]
    at_edge = max(reach.before, 0) + max(reach.after, 0)
    return at_edge > MOST_SHADED * outline.length


def _edge_regions(run: RunFacts, outline: OutlineFacts) -> list[Region]:
    """The rows whose outputs read what lies outside of the signal."""
    if run.chain is None or not run.chain.reach or not len(outline.low):
        return []
    reach = run.chain.reach[0]
    edges = bin_edges(outline)
    regions = []
    if reach.before > 0:
        last = axis_place(outline, reach.before + 0.5)
        regions.append(Region(low=edges[0], high=last, style="outside"))
    if reach.after > 0:
        first = axis_place(outline, outline.length - reach.after + 0.5)
        regions.append(Region(low=first, high=edges[-1], style="outside"))
    return regions


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
