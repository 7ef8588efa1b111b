"""The signals of a run before and after, as charts, pictures and sounds for a page."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convcli.report.charts import NARROW, Axis, Graph, Region, Trace
from convcli.report.figures import (
    Figure,
    chart_figure,
    gap_regions,
    level_text,
    nearest_cells,
    outline_extent,
    outline_trace,
    value_range,
)
from convcli.report.tables import ReportTable
from convcli.report.words import number, visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convcli.facts import RunFacts
    from convcli.facts.preview import (
        LikenessFacts,
        OutlineFacts,
        PictureFacts,
        PreviewFacts,
        SignalPreview,
    )

# Channels of a sound and columns of a table that are drawn.
MOST_SHOWN = 8
# Rows of the picture of a difference between two spectrograms.
DIFFERENCE_ROWS = 257


@dataclass(frozen=True, kw_only=True)
class Player:
    """A sound that the page plays.

    uri : the sound as a data URI
    """

    name: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class Slider:
    """Two pictures that lie on each other."""

    name: str
    caption: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class SignalView:
    """A part of a page.

    layout : how many figures stand beside each other: `wide`, `pair`, `three`
    """

    heading: str = ""
    notes: Sequence[str] = ()
    table: ReportTable | None = None
    players: Sequence[Player] = ()
    slider: Slider | None = None
    figures: Sequence[Figure] = field(default=())
    layout: str = "wide"

    @property
    def zooms(self) -> bool:
        """Whether charts are zoomed, all of them together."""
        return any(each.chart is not None and each.chart.zooms for each in self.figures)


def signal_views(run: RunFacts) -> list[SignalView]:
    """Everything that is drawn of the input and the output of a run."""
    preview = run.preview
    if preview is None or preview.small:
        return []
    if preview.before.picture is not None:
        return list(_picture_views(run, preview))
    if run.inputs and run.inputs[0].medium.in_seconds:
        return list(_sound_views(preview))
    return list(_table_views(run, preview))


# ------------------------------------------------------------------------------------------- sounds


def _sound_views(preview: PreviewFacts) -> Iterator[SignalView]:
    yield SignalView(table=_level_table(preview), players=_players(preview))
    yield SignalView(heading="Waveform", figures=list(waveform_figures(preview)))
    spectra = list(_spectrum_figures(preview))
    if spectra:
        yield SignalView(heading="Spectrum", figures=spectra)
    spectrograms = list(_spectrogram_figures(preview))
    if spectrograms:
        yield SignalView(heading="Spectrogram", figures=spectrograms)


def _level_table(preview: PreviewFacts) -> ReportTable:
    rows = []
    for name, side in (("before", preview.before), ("after", preview.after)):
        outline = side.outlines[0]
        loudness = "silent" if side.loudness is None else f"{side.loudness:.1f} LUFS"
        power = sum(rms**2 for rms in outline.rms) / max(1, len(outline.rms))
        peak = max(outline.peak, default=0.0)
        rows.append((name, level_text(peak), level_text(math.sqrt(power)), loudness))
    return ReportTable(rows, ("", "peak", "RMS", "loudness"))


def _players(preview: PreviewFacts) -> list[Player]:
    from convcli.report.embedded import sound_uri

    found = []
    for name, side in (("Before", preview.before), ("After", preview.after)):
        if side.excerpt is not None:
            found.append(Player(name=name, uri=sound_uri(side.excerpt)))
    return found


def waveform_figures(preview: PreviewFacts) -> Iterator[Figure]:
    """Yield the waveform of each channel before and after, on one scale."""
    sides = (("before", preview.before), ("after", preview.after))
    outlines = [side.outlines[0] for _, side in sides]
    unit = 1 / (preview.before.rate or 1.0)
    seconds = outline_extent(outlines, unit)
    peak = max(max(outline.peak, default=0.0) for outline in outlines) or 1.0
    for name, side in sides:
        outline = side.outlines[0]
        for channel, label in enumerate(outline.channels[:MOST_SHOWN]):
            told = name if len(outline.channels) == 1 else f"{name}: {visible(label)}"
            chart = Graph(
                title=f"Waveform {told}",
                x=Axis(low=0.0, high=seconds, label="s"),
                y=Axis(low=-1.05 * peak, high=1.05 * peak),
                traces=[outline_trace(outline, channel, "", name, unit)],
                zooms=True,
                height=150,
            )
            yield chart_figure(chart, told)


def _spectrum_figures(preview: PreviewFacts) -> Iterator[Figure]:
    sides = (("before", preview.before), ("after", preview.after))
    curves = {name: _mean_spectrum(side) for name, side in sides if side.spectrogram is not None}
    if not curves:
        return
    highest = max(points[-1][0] for points in curves.values())
    lowest = max(20.0, min(points[0][0] for points in curves.values()))
    levels = [level for points in curves.values() for _, level in points]
    top = max(levels)
    bottom = max(min(levels), top - 100)
    chart = Graph(
        title="Mean spectrum before and after",
        x=Axis(low=lowest, high=highest, label="Hz", logarithmic=True),
        y=Axis(low=bottom, high=top + 5, label="dB"),
        traces=[
            Trace(
                name=name,
                style=name,
                points=[(f, max(bottom, level)) for f, level in points if f >= lowest],
            )
            for name, points in curves.items()
        ],
    )
    yield chart_figure(chart, "Mean level at each frequency")


def _mean_spectrum(side: SignalPreview) -> list[tuple[float, float]]:
    """Pairs of a frequency in Hz above 0 and the mean level there in dB."""
    if side.spectrogram is None:
        return []
    mean = side.spectrogram.power.mean(axis=0).tolist()
    step = (side.rate or 1.0) / 2 / (len(mean) - 1)
    levels = [10 * math.log10(max(power, 1e-15)) for power in mean]
    return [(place * step, level) for place, level in enumerate(levels)][1:]


def _spectrogram_figures(preview: PreviewFacts) -> Iterator[Figure]:
    from convcli.report.embedded import levels_of, spectrogram_uri

    drawn = []
    for name, side in (("before", preview.before), ("after", preview.after)):
        if side.spectrogram is None:
            return
        levels = levels_of(side.spectrogram.power)
        seconds = len(levels) * side.spectrogram.seconds
        drawn.append(_Levels(name=name, values=levels, seconds=seconds, rate=side.rate or 1.0))
    loudest = float(max(each.values.max() for each in drawn))
    for each in drawn:
        uri = spectrogram_uri(each.values, loudest)
        chart = each.graph(f"Spectrogram {each.name}", uri, each.rate)
        yield chart_figure(chart, f"{each.name}, up to {loudest:.0f} dB (bright)")
    yield _difference_figure(*drawn)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Levels:
    """A spectrogram in dB, (frames, frequencies)."""

    name: str
    values: Any
    seconds: float
    rate: float

    def graph(self, title: str, image: str, rate: float) -> Graph:
        """A picture over the time of this spectrogram, up to half of `rate`."""
        return Graph(
            title=title,
            x=Axis(low=0.0, high=self.seconds, label="s"),
            y=Axis(low=0.0, high=rate / 2, label="Hz"),
            image=image,
            height=200,
        )


def _difference_figure(before: _Levels, after: _Levels) -> Figure:
    """The second spectrogram against the first, over the frequencies that both have."""
    from convcli.report.embedded import MOST_DIFFERENCE, difference_uri

    rate = min(before.rate, after.rate)
    frames = min(len(before.values), len(after.values))
    common = []
    for each in (before, after):
        shared = max(2, round(each.values.shape[1] * rate / each.rate))
        common.append(nearest_cells(each.values[:, :shared], frames, DIFFERENCE_ROWS))
    uri = difference_uri(common[1] - common[0])
    chart = before.graph("Difference of the spectrograms", uri, rate)
    told = f"after against before: {MOST_DIFFERENCE:.0f} dB less is blue, more is red"
    return chart_figure(chart, told)


# ------------------------------------------------------------------------------------------- tables


def _table_views(run: RunFacts, preview: PreviewFacts) -> Iterator[SignalView]:
    groups = [outline.group for outline in preview.before.outlines]
    for place, outline in enumerate(preview.before.outlines):
        after = [one for one in preview.after.outlines if one.group == outline.group]
        heading = visible(outline.group) if len(groups) > 1 else ""
        figures = list(column_figures(run, outline, after[0] if after else None))
        notes = []
        if place == 0 and preview.before.more_groups:
            more = plural(preview.before.more_groups, "more group")
            notes.append(f"The first {len(groups)} groups are drawn; there are {more}.")
        yield SignalView(heading=heading, notes=notes, figures=figures)


def column_figures(
    run: RunFacts, before: OutlineFacts, after: OutlineFacts | None
) -> Iterator[Figure]:
    """Yield each column over its rows, before and after."""
    sides = {"before": before}
    names = list(before.channels)
    if after is not None:
        sides["after"] = after
        names += [name for name in after.channels if name not in names]
    edges = list(_edge_regions(run, before.length))
    for name in names[:MOST_SHOWN]:
        yield _column_figure(name, sides, edges)


def _column_figure(name: str, sides: Mapping[str, OutlineFacts], edges: Sequence[Region]) -> Figure:
    """One column; a column that a filter makes is there after it alone."""
    traces: list[Trace] = []
    values: list[float] = []
    regions: list[Region] = []
    for style, outline in sides.items():
        if name in outline.channels:
            channel = outline.channels.index(name)
            traces.append(outline_trace(outline, channel, style, style))
            values += outline.low[:, channel].tolist()
            values += outline.high[:, channel].tolist()
            regions += gap_regions(outline, channel, 1.0)
    low, high = value_range(values)
    chart = Graph(
        title=f"{visible(name)} before and after",
        x=Axis(low=1.0, high=max(2.0, float(sides["before"].length)), label="row"),
        y=Axis(low=low, high=high),
        traces=traces,
        regions=[*regions, *edges],
        zooms=True,
    )
    keys = list(chart.names)
    if regions:
        keys.append(("missing", "gap"))
    if edges:
        keys.append(("at the edge", "outside"))
    return Figure(caption=visible(name), chart=chart, keys=keys)


def _edge_regions(run: RunFacts, length: int) -> Iterator[Region]:
    """Yield the rows, from 1, whose outputs read what lies outside of the signal."""
    if run.chain is None or not run.chain.reach:
        return
    reach = run.chain.reach[0]
    if reach.before > 0:
        last = min(reach.before, length)
        yield Region(low=1.0, high=last + 0.5, style="outside")
    if reach.after > 0:
        first = max(1, length - reach.after + 1)
        yield Region(low=first - 0.5, high=float(length), style="outside")


# ----------------------------------------------------------------------------------------- pictures


def _picture_views(run: RunFacts, preview: PreviewFacts) -> Iterator[SignalView]:
    from convcli.report.embedded import picture_uri

    before, after = preview.before.picture, preview.after.picture
    if before is None or after is None:
        return
    name = visible(run.inputs[0].path) if run.inputs else "picture"
    sizes = f"{_size_text(before)} before, {_size_text(after)} after"
    yield SignalView(
        table=None if preview.likeness is None else _likeness_table(preview.likeness),
        slider=Slider(
            name=name,
            caption=sizes,
            before=picture_uri(before.reduced),
            after=picture_uri(after.reduced),
        ),
    )
    yield SignalView(
        heading="A detail", figures=_detail_figures(before, after, preview), layout="three"
    )
    yield SignalView(
        heading="Histogram", figures=list(histogram_figures(before, after)), layout="pair"
    )


def _size_text(picture: PictureFacts) -> str:
    rows, columns = picture.shape
    return f"{columns:,} x {rows:,} pixels"


def _likeness_table(likeness: LikenessFacts) -> ReportTable:
    psnr = "infinite" if math.isinf(likeness.psnr) else f"{likeness.psnr:.2f} dB"
    if likeness.sampled > 1:
        psnr += f", of every {likeness.sampled}th pixel along both axes"
    rows = [("PSNR", psnr)]
    if likeness.ssim is not None:
        ssim = f"{likeness.ssim:.4f}"
        if likeness.sampled > 1:
            ssim += ", of the pictures at the size shown here"
        rows.append(("SSIM", ssim))
    rows.append(("largest difference", number(likeness.largest)))
    return ReportTable(rows)


def _detail_figures(
    before: PictureFacts, after: PictureFacts, preview: PreviewFacts
) -> list[Figure]:
    from convcli.report.embedded import picture_uri

    found = []
    for name, picture in (("before", before), ("after", after)):
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
        brightest = number(preview.likeness.brightest)
        found.append(
            Figure(
                caption=f"difference of the whole picture, {brightest} and more is bright",
                image=picture_uri(preview.likeness.difference),
                alt="The absolute difference between before and after",
            )
        )
    return found


def histogram_figures(before: PictureFacts, after: PictureFacts) -> Iterator[Figure]:
    """Yield how often each level occurs in each channel, before and after."""
    for channel, name in enumerate(before.channels):
        traces = []
        for style, picture in (("before", before), ("after", after)):
            if channel >= len(picture.channels):
                continue
            counts = picture.histogram[channel]
            total = float(counts.sum()) or 1.0
            width = picture.full_scale / len(counts)
            shares = (100 / total * counts).tolist()
            points = [((place + 0.5) * width, share) for place, share in enumerate(shares)]
            traces.append(Trace(name=style, style=style, points=points))
        largest = max(share for trace in traces for _, share in trace.points)
        chart = Graph(
            title=f"Histogram of {visible(name)} before and after",
            x=Axis(low=0.0, high=before.full_scale, label=visible(name)),
            y=Axis(low=0.0, high=1.05 * largest or 1.0, label="% of the pixels"),
            traces=traces,
            width=NARROW,
            height=200,
        )
        yield chart_figure(chart, visible(name))
