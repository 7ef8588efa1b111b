"""Where a template was found, drawn on the signals that were searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.charts import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Axis, Box, Graph, Region
from convcli.report.columns import table_axis
from convcli.report.figures import (
    Figure,
    channel_values,
    chart_figure,
    outline_trace,
    row_on_axis,
    value_range,
)
from convcli.report.sounds import MOST_SHOWN, channel_text, sound_axis, undrawn_notes
from convcli.report.views import SignalView
from convcli.report.words import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts import RunFacts
    from convcli.facts.detection import Hit
    from convcli.facts.preview import OutlineFacts, PictureFacts, SearchedFacts

# Pixels of the height of a chart with a picture, at most.
TALLEST = 900
# A picture that is drawn this many times as large is drawn with sharp pixels.
LEAST_ENLARGED = 3


def marked_views(run: RunFacts, *, exact: bool = False) -> Iterator[SignalView]:
    """Yield each signal that was searched, or each group of it, with its hits.

    The axis of one says nothing about another, so that each is zoomed by itself.

    exact : pixels are kept without loss
    """
    hits = run.detection.hits if run.detection is not None else ()
    for searched in run.searched:
        own = [hit for hit in hits if _lies_in(hit, searched)]
        picture = searched.signal.picture
        if picture is not None:
            yield SignalView(figures=[_marked_picture(searched, picture, own, exact=exact)])
        several = len(searched.signal.outlines) > 1
        for outline in searched.signal.outlines:
            found = own
            if several:
                found = [hit for hit in own if hit.get("group") == outline.group]
            figures = list(_marked_outline(searched, outline, found))
            things = "channels" if searched.in_seconds else "columns"
            yield SignalView(figures=figures, notes=undrawn_notes(outline, things))


def _lies_in(hit: Hit, searched: SearchedFacts) -> bool:
    return hit["file"] == searched.path and hit.get("page", searched.page) == searched.page


def _searched_name(searched: SearchedFacts) -> str:
    page = "" if searched.page is None else f", page {searched.page}"
    return visible(searched.path) + page


def _marked_outline(
    searched: SearchedFacts, outline: OutlineFacts, hits: Sequence[Hit]
) -> Iterator[Figure]:
    """Yield the channels of a sound or the columns of a table, with their hits shaded."""
    unit = 1.0
    if searched.in_seconds:
        unit = 1 / (searched.signal.rate or 1.0)
        axis = sound_axis([outline], unit)
    else:
        axis = table_axis(searched.signal, [outline])
    regions = [_region_of(hit, outline) for hit in hits]
    for channel, name in enumerate(outline.channels[:MOST_SHOWN]):
        low, high = value_range(channel_values(outline, channel))
        label = channel_text(name) if searched.in_seconds else visible(name)
        text = f"{_searched_name(searched)}: {label}"
        if outline.group:
            text += f" of {visible(outline.group)}"
        chart = Graph(
            title=f"{text}, with the places that were found",
            x=axis,
            y=Axis(low=low, high=high),
            traces=[outline_trace(outline, channel, "", "after", unit)],
            regions=regions,
            zooms=True,
            height=170,
        )
        figure = chart_figure(chart, text)
        yield Figure(caption=figure.caption, chart=chart, keys=[("found", "hit")])


def _region_of(hit: Hit, outline: OutlineFacts) -> Region:
    """The place of a hit, in seconds, rows, or the times of rows."""
    start, end = (row_on_axis(outline, float(hit[end])) for end in ("start", "end"))
    return Region(low=start, high=max(end, start), style="hit")


def _marked_picture(
    searched: SearchedFacts, picture: PictureFacts, hits: Sequence[Hit], *, exact: bool
) -> Figure:
    """A picture with a frame around each hit."""
    from convcli.report.embedded import picture_uri

    rows, columns = picture.shape
    boxes = []
    for hit in hits:
        x, y = float(hit["x"]), float(hit["y"])
        right, bottom = x + float(hit["width"]), y + float(hit["height"])
        text = f"score {float(hit['score']):.3f} at x {x:g}, y {y:g}"
        boxes.append(Box(x=(x, right), y=(y, bottom), text=text))
    inner_width = WIDTH - LEFT - RIGHT
    picture_height = round(inner_width * rows / columns)
    height = min(TALLEST, picture_height + TOP + BOTTOM)
    # The pixels of a small picture are seen, and JPEG would blur their colours.
    is_enlarged = max(rows, columns) * LEAST_ENLARGED <= WIDTH
    chart = Graph(
        title=f"{_searched_name(searched)}, with the places that were found",
        x=Axis(low=0.0, high=float(columns), label="x in pixels", whole=True),
        y=Axis(low=float(rows), high=0.0, label="y in pixels", whole=True),
        image=picture_uri(picture.reduced, exact=exact or is_enlarged),
        boxes=boxes,
        pixels=is_enlarged,
        framed=True,
        height=height,
    )
    return chart_figure(chart, _searched_name(searched))
