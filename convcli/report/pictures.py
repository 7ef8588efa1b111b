"""Pictures before and after: a slider, a detail, the difference, histograms, further pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convcli.report.charts import NARROW_WIDTH, Axis, Graph, Trace
from convcli.report.figures import Figure, chart_figure
from convcli.report.tables import ReportTable
from convcli.report.views import SignalView, Slider
from convcli.report.words import number, ordinal, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.facts import RunFacts
    from convcli.facts.preview import LikenessFacts, PictureFacts, PreviewFacts

# Pictures whose aspect ratios differ by more than this are drawn side by side, without a slider.
MOST_SKEW = 0.02
# Channels that are not drawn are named up to this many.
MOST_NAMED = 8
_STYLES = ("before", "after")


def picture_views(run: RunFacts, preview: PreviewFacts) -> Iterator[SignalView]:
    """Yield the slider, a detail, the histograms and further pages of both sides."""
    before, after = preview.before.picture, preview.after.picture
    if before is None or after is None:
        return
    name = visible(run.inputs[0].path) if run.inputs else "picture"
    table = None
    if preview.likeness is not None and run.comparison is None:
        table = _likeness_table(preview.likeness)
    notes = list(_notes_of(before, preview))
    if _same_ratio(before, after):
        slider = _slider(name, before, after, preview)
        yield SignalView(table=table, slider=slider, notes=notes)
    else:
        figures = [*_whole_figures(before, after, preview)]
        yield SignalView(table=table, figures=figures, notes=notes, layout="pair")
    figures = _detail_figures(before, after, preview)
    yield SignalView(heading="A detail", figures=figures, layout="three")
    histograms = list(histogram_figures(before, after, preview.names))
    yield SignalView(heading="Histogram", figures=histograms, layout="pair")
    if preview.pages:
        yield _page_view(preview)


def _notes_of(before: PictureFacts, preview: PreviewFacts) -> Iterator[str]:
    """Say which of several pages is drawn, and that only some channels are."""
    done = "drawn" if preview.likeness is None else "drawn and measured"
    if preview.pages or preview.more_pages:
        count = 1 + len(preview.pages) + preview.more_pages
        yield f"The first of {count:,} pages is {done} here; the others are below."
    if before.undrawn:
        yield _undrawn_text(before, done)
    if before.drawn != (0, before.full_scale):
        low, high = map(number, before.drawn)
        yield f"Drawn from {low} (black) to {high} (white)."


def _undrawn_text(picture: PictureFacts, done: str) -> str:
    """Say that only some channels of a picture are drawn.

    done : `drawn`, or `drawn and measured`
    """
    drawn = ", ".join(map(visible, picture.channels))
    others = ", ".join(map(visible, picture.undrawn[:MOST_NAMED]))
    more = len(picture.undrawn) - MOST_NAMED
    if more > 0:
        others += f" and {more} more"
    verb = "is" if len(picture.channels) == 1 else "are"
    return f"Of the channels, {drawn} {verb} {done} here; left out: {others}."


def _same_ratio(before: PictureFacts, after: PictureFacts) -> bool:
    ratios = [rows / columns for rows, columns in (before.shape, after.shape)]
    return max(ratios) <= (1 + MOST_SKEW) * min(ratios)


def _slider(name: str, before: PictureFacts, after: PictureFacts, preview: PreviewFacts) -> Slider:
    from convcli.report.embedded import picture_uri

    first, second = map(visible, preview.names)
    caption = _size_text(before)
    if before.shape != after.shape:
        caption = f"{_size_text(before)} {first}, {_size_text(after)} {second}"
    return Slider(
        name=name,
        caption=caption,
        names=(first, second),
        before=picture_uri(before.reduced),
        after=picture_uri(after.reduced),
    )


def _whole_figures(
    before: PictureFacts, after: PictureFacts, preview: PreviewFacts
) -> Iterator[Figure]:
    """Yield both pictures, for sides that do not cover each other."""
    from convcli.report.embedded import picture_uri

    for name, picture in zip(preview.names, (before, after), strict=True):
        text = visible(name)
        yield Figure(
            caption=f"{text}: {_size_text(picture)}",
            image=picture_uri(picture.reduced),
            alt=f"The picture {text}",
        )


def _page_view(preview: PreviewFacts) -> SignalView:
    """Small pictures of all pages but the first."""
    from convcli.report.embedded import picture_uri

    figures = []
    for place, page in enumerate(preview.pages, 2):
        for name, side in zip(page.names, (page.before, page.after), strict=True):
            if side.picture is None:
                continue
            text = f"page {place}, {visible(name)}"
            uri = picture_uri(side.picture.reduced)
            figures.append(Figure(caption=text, image=uri, alt=f"A small picture of {text}"))
    notes = []
    if preview.more_pages:
        notes.append(f"There are {preview.more_pages:,} more.")
    return SignalView(heading="Further pages", figures=figures, notes=notes, layout="many")


def _size_text(picture: PictureFacts) -> str:
    rows, columns = picture.shape
    return f"{columns:,} x {rows:,} pixels"


def _likeness_table(likeness: LikenessFacts) -> ReportTable:
    psnr = "infinite" if math.isinf(likeness.psnr) else f"{likeness.psnr:.2f} dB"
    if likeness.sampled > 1:
        psnr += f", of every {ordinal(likeness.sampled)} pixel along both axes"
    rows = [("PSNR", psnr)]
    # Of pictures whose pixels were averaged.
    reduced = ", of the pictures at the size shown here" if likeness.sampled > 1 else ""
    if likeness.ssim is not None:
        rows.append(("SSIM", f"{likeness.ssim:.4f}{reduced}"))
    rows.append(("largest difference", f"{number(likeness.largest)}{reduced}"))
    return ReportTable("Likeness before and after", rows)


def _detail_figures(
    before: PictureFacts, after: PictureFacts, preview: PreviewFacts
) -> list[Figure]:
    from convcli.report.embedded import picture_uri

    found = []
    for name, picture in zip(map(visible, preview.names), (before, after), strict=True):
        rows, columns = picture.detail.shape[:2]
        top, left = picture.corner
        found.append(
            Figure(
                caption=f"{name}: {columns} x {rows} pixels from x {left}, y {top}",
                image=picture_uri(picture.detail, exact=True),
                alt=f"A detail {name}",
                pixels=True,
            )
        )
    if preview.likeness is not None:
        found.append(
            Figure(
                caption=f"difference of the whole picture, {brightness(preview.likeness)}",
                image=picture_uri(preview.likeness.difference),
                alt="The absolute difference of the two pictures",
            )
        )
    return found


def brightness(likeness: LikenessFacts) -> str:
    """What is bright in the picture of a difference."""
    if not likeness.largest:
        return "0 everywhere"
    return f"{number(likeness.brightest)} and more is bright"


def histogram_figures(
    before: PictureFacts, after: PictureFacts, names: tuple[str, str] = _STYLES
) -> Iterator[Figure]:
    """Yield how often each level occurs in each channel, on both sides, on the scale of the first.

    A picture of floating samples up to 1 that is written as bytes up to 255 keeps its place.
    """
    low, high = before.drawn
    label = "value"
    if after.full_scale != before.full_scale:
        label = f"value, on the scale of {visible(names[0])}"
    for channel, name in enumerate(before.channels):
        traces = []
        for style, side, picture in zip(_STYLES, names, (before, after), strict=True):
            if channel >= len(picture.channels):
                continue
            counts = picture.histogram[channel]
            total = float(counts.sum()) or 1.0
            width = (high - low) / len(counts)
            shares = (100 / total * counts).tolist()
            points = [(low + (place + 0.5) * width, share) for place, share in enumerate(shares)]
            traces.append(Trace(name=visible(side), style=style, points=points))
        largest = max(share for trace in traces for _, share in trace.points)
        chart = Graph(
            title=f"Histogram of {visible(name)}: {visible(names[0])} and {visible(names[1])}",
            x=Axis(low=low, high=high, label=label),
            y=Axis(low=0.0, high=1.05 * largest or 1.0, label="% of the pixels"),
            traces=traces,
            width=NARROW_WIDTH,
            height=200,
        )
        yield chart_figure(chart, visible(name))
