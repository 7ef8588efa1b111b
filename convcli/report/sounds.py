"""Sounds before and after: levels, players, waveforms, spectra and spectrograms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.report.charts import Axis, Graph, Trace
from convcli.report.embedded import LEAST_LEVEL
from convcli.report.figures import (
    Figure,
    chart_figure,
    level_text,
    nearest_cells,
    outline_extent,
    outline_trace,
    value_range,
)
from convcli.report.tables import ReportTable
from convcli.report.views import Player, SignalView
from convcli.report.words import duration_text, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts.preview import OutlineFacts, PreviewFacts, SignalPreview

    Pair = tuple[float, float]

    # The name, the CSS class and the drawings of the sound before or after.
    Side = tuple[str, str, SignalPreview]

# Most channels that are drawn.
MOST_SHOWN = 8
# Rows of the picture of a difference between two spectrograms.
DIFFERENCE_ROWS = 257
# Height of a waveform and of the difference between two spectra.
LOW_HEIGHT = 150
# Seconds of a block of which the loudness is measured (ITU-R BS.1770-5).
LOUDNESS_BLOCK = 0.4
_STYLES = ("before", "after")
_MINUS = "{} minus {}"


def sound_views(preview: PreviewFacts) -> Iterator[SignalView]:
    """Yield levels and players, waveforms, spectra and spectrograms of both sides."""
    rate = preview.before.rate or 1.0
    notes = [*_excerpt_notes(preview, rate), *_sampling_notes(preview)]
    yield SignalView(table=_level_table(preview), players=_players(preview), notes=notes)
    sides = _both_sides(preview)
    if not any(side.outlines[0].length for _, _, side in sides):
        return
    notes = undrawn_notes(preview.before.outlines[0], "channels")
    figures = list(waveform_figures(preview))
    yield SignalView(heading="Waveform", notes=notes, figures=figures)
    yield from _spectral_views(sides)


def undrawn_notes(outline: OutlineFacts, things: str) -> list[str]:
    """A note if not all channels are drawn, which are called `things`."""
    count = len(outline.channels)
    if count <= MOST_SHOWN:
        return []
    return [f"The first {MOST_SHOWN} of {count} {things} are drawn."]


def _excerpt_notes(preview: PreviewFacts, rate: float) -> Iterator[str]:
    """Yield what the players play, if that is a part of the sound."""
    excerpt = preview.before.excerpt
    if excerpt is None:
        return
    outline = preview.before.outlines[0]
    parts = []
    seconds = len(excerpt.samples) / rate
    if seconds < outline.length / rate:
        parts.append(f"{duration_text(seconds, 3)} from the middle")
    played, count = excerpt.samples.shape[1], len(outline.channels)
    if played < count:
        parts.append(f"the first {played} of {count} channels")
    if not parts:
        return
    yield f"The players play {', of '.join(parts)}."
    if preview.difference is not None:
        yield "The difference is that of the same part; the other levels are of the whole sound."


def _spectral_views(sides: Sequence[Side]) -> Iterator[SignalView]:
    """Yield spectra and spectrograms of the sounds that are long enough; silence has none."""
    long = [side for side in sides if side[2].spectrogram is not None]
    heard = [side for side in long if _loudest_power(side) > 0]
    notes = [f"{visible(side[0])}: too short for a spectrum." for side in sides if side not in long]
    notes += [_silence_text(side) for side in long if side not in heard]
    yield SignalView(heading="Spectrum", notes=notes, figures=list(_spectrum_figures(heard)))
    if len(long) < len(sides) or not heard:
        return
    axis = _axis_of(heard)
    spectrograms = _decibel_spectrograms(heard)
    drawn = [each for each in spectrograms if each.loudest > LEAST_LEVEL]
    quiet = [visible(each.name) for each in spectrograms if each not in drawn]
    notes = [f"{name}: below {LEAST_LEVEL:.0f} dB at every frequency." for name in quiet]
    figures = list(_spectrogram_figures(drawn, axis))
    yield SignalView(heading="Spectrogram", notes=notes, figures=figures)


def _loudest_power(side: Side) -> float:
    """The largest power in the spectrogram of a side."""
    spectrogram = side[2].spectrogram
    if spectrogram is None:
        return 0.0
    return float(spectrogram.power.max())


def _silence_text(side: Side) -> str:
    """Say that a sound is silent, or at least all frames of which a spectrum would be made."""
    name, _, signal = side
    if max(signal.outlines[0].peak, default=0.0) > 0:
        return f"{visible(name)}: silent in all frames that were measured."
    return f"{visible(name)}: silence, which has no spectrum."


def _is_measured_in_parts(side: SignalPreview, measured: float) -> bool:
    """Whether `measured` seconds are only parts of a sound.

    The end of a sound may be shorter than a step of the measurement.
    """
    if side.rate is None:
        return False
    return side.outlines[0].length / side.rate > measured + 1


def _sampling_notes(preview: PreviewFacts) -> Iterator[str]:
    """Yield a note if not all of a long sound is measured."""
    before = preview.before
    measured = before.loudness_seconds
    if measured is not None and _is_measured_in_parts(before, measured):
        duration = duration_text(measured, 3)
        yield (
            f"The loudness is measured in parts of the sound that add up to {duration} and "
            "corrected by the RMS of all of it, the spectra in short frames at regular distances."
        )


def _both_sides(preview: PreviewFacts) -> list[Side]:
    """The sounds before and after."""
    return list(zip(preview.names, _STYLES, (preview.before, preview.after), strict=True))


def _level_table(preview: PreviewFacts) -> ReportTable:
    rows = []
    for name, _, side in _both_sides(preview):
        rows.append((visible(name), *_peak_and_rms(side.outlines[0]), _loudness_text(side)))
    if preview.difference is not None:
        rows.append(("difference", *_peak_and_rms(preview.difference), ""))
    return ReportTable("Levels", rows, ("", "peak", "RMS", "loudness"))


def _loudness_text(side: SignalPreview) -> str:
    """The loudness, which a sound shorter than a block of the measurement does not have."""
    if side.loudness is not None:
        return f"{side.loudness:.1f} LUFS"
    measured = side.loudness_seconds or 0.0
    outline = side.outlines[0]
    if not outline.length:
        return ""
    if measured < LOUDNESS_BLOCK:
        return "too short"
    if any(outline.peak) and _is_measured_in_parts(side, measured):
        return "silent where it was measured"
    return "below -70 LUFS" if any(outline.peak) else "silent"


def _peak_and_rms(outline: OutlineFacts) -> tuple[str, str]:
    """The peak and the root mean square of all channels."""
    if not outline.length:
        return "no samples", ""
    peak = max(outline.peak, default=0.0)
    return level_text(peak), level_text(outline.rms or 0.0)


def _players(preview: PreviewFacts) -> list[Player]:
    from convcli.report.embedded import sound_uri

    found = []
    for name, _, side in _both_sides(preview):
        if side.excerpt is not None:
            # `before` and `after` are words and get a capital; names of files stay as they are.
            title = name.capitalize() if name in _STYLES else name
            found.append(Player(name=visible(title), uri=sound_uri(side.excerpt)))
    return found


def channel_text(name: str) -> str:
    """What a channel is called: `left`, or `channel 3` of one that has only a number."""
    return f"channel {name}" if name.isdigit() else visible(name)


def waveform_figures(preview: PreviewFacts) -> Iterator[Figure]:
    """Yield the waveform of each channel of both sides and of their difference, on one scale."""
    sides = _both_sides(preview)
    unit = 1 / (preview.before.rate or 1.0)
    drawn = [(name, style, side.outlines[0]) for name, style, side in sides]
    if preview.difference is not None:
        drawn.append(("difference", "second", preview.difference))
    outlines = [outline for _, _, outline in drawn]
    axis = sound_axis(outlines, unit)
    peak = max(max(outline.peak, default=0.0) for outline in outlines) or 1.0
    for name, style, outline in drawn:
        for channel, label in enumerate(outline.channels[:MOST_SHOWN]):
            caption = visible(name)
            if len(outline.channels) > 1:
                caption = f"{caption}: {channel_text(label)}"
            chart = Graph(
                title=f"Waveform {caption}",
                x=axis,
                y=Axis(low=-1.05 * peak, high=1.05 * peak, label="full scale"),
                traces=[outline_trace(outline, channel, "", style, unit)],
                zooms=True,
                height=LOW_HEIGHT,
            )
            yield chart_figure(chart, caption)


def _axis_of(sides: Sequence[Side]) -> Axis:
    """The seconds of some sides, which lie over the time of the first one."""
    unit = 1 / (sides[0][2].rate or 1.0)
    return sound_axis([side.outlines[0] for _, _, side in sides], unit)


def sound_axis(outlines: Sequence[OutlineFacts], unit: float) -> Axis:
    """The seconds of some sounds, of which a sample takes `unit`."""
    extent = outline_extent(outlines, unit)
    first = 0.0
    if extent <= unit:
        # A single sample lies in the middle.
        first = -extent
    return Axis(low=first, high=extent, label="s")


def _spectrum_figures(sides: Sequence[Side]) -> Iterator[Figure]:
    """Yield the mean spectra on one pair of axes, and how they differ."""
    if not sides:
        return
    curves = [_mean_spectrum(side) for _, _, side in sides]
    x, y = _spectrum_axes(curves)
    traces = []
    for (name, style, _), points in zip(sides, curves, strict=True):
        kept = [(f, max(y.low, level)) for f, level in points if f >= x.low]
        traces.append(Trace(name=visible(name), style=style, points=kept))
    names = " and ".join(trace.name for trace in traces)
    chart = Graph(title=f"Mean spectrum of {names}", x=x, y=y, traces=traces)
    yield chart_figure(chart, "Mean level at each frequency")
    if len(traces) == 2:
        yield from _spectrum_change(traces, x, y.low)


def _spectrum_axes(curves: Sequence[Sequence[Pair]]) -> tuple[Axis, Axis]:
    """Axes for some spectra: from 20 Hz on, and 100 dB down at most."""
    highest = max(points[-1][0] for points in curves)
    first = min(points[0][0] for points in curves)
    lowest = max(20.0, first)
    levels = [level for points in curves for _, level in points]
    top = max(levels)
    bottom = max(min(levels), top - 100)
    x = Axis(low=lowest, high=highest, label="Hz", logarithmic=True)
    return x, Axis(low=bottom, high=top + 5, label="dB")


def _spectrum_change(traces: Sequence[Trace], x: Axis, bottom: float) -> Iterator[Figure]:
    """Yield the second spectrum less the first, at the frequencies that both have."""
    first, second = traces
    changes: list[Pair] = []
    for (frequency, a), (same, b) in zip(first.points, second.points, strict=False):
        if frequency != same:
            return
        # Levels below the chart were raised to its lower end, so that their change is unknown.
        changes.append((frequency, b - a if max(a, b) > bottom else math.nan))
    known = [change for _, change in changes if not math.isnan(change)]
    if not known or (min(known) == 0 == max(known)):
        return
    low, high = value_range([*known, 0.0])
    caption = _MINUS.format(second.name, first.name)
    chart = Graph(
        title=f"Mean spectrum, {caption}",
        x=x,
        y=Axis(low=low, high=high, label="dB"),
        traces=[Trace(name="", style="second", points=changes)],
        height=LOW_HEIGHT + 30,
    )
    yield chart_figure(chart, f"Difference: {caption}")


def _mean_spectrum(side: SignalPreview) -> list[tuple[float, float]]:
    """Pairs of a frequency in Hz above 0 and the mean level there in dB."""
    if side.spectrogram is None:
        return []
    mean = side.spectrogram.power.mean(axis=0).tolist()
    step = (side.rate or 1.0) / 2 / (len(mean) - 1)
    levels = [10 * math.log10(max(power, 1e-15)) for power in mean]
    return [(place * step, level) for place, level in enumerate(levels)][1:]


@dataclass(frozen=True, eq=False, kw_only=True)
class _DecibelSpectrogram:
    """A spectrogram in dB.

    levels : (frames, frequencies) from 0 to half of `rate`
    middles : seconds at the middle of each frame; spacing : from one to the next
    """

    name: str
    levels: Any
    middles: Any
    spacing: float
    rate: float

    @property
    def loudest(self) -> float:
        """The highest level of all frames."""
        return float(self.levels.max())

    @property
    def ends(self) -> Pair:
        """Seconds at which the first frame begins to be drawn and the last one ends."""
        first, last = self.middles[[0, -1]].tolist()
        return first - self.spacing / 2, last + self.spacing / 2

    def graph(self, title: str, image: str, axis: Axis) -> Graph:
        """A picture of all frames over the seconds of the sound."""
        return Graph(
            title=title,
            x=axis,
            y=Axis(low=0.0, high=self.rate / 2, label="Hz"),
            image=image,
            image_ends=self.ends,
            height=200,
        )

    def up_to(self, rate: float) -> _DecibelSpectrogram:
        """The frames up to half of a rate that is not larger than their own."""
        shared = max(2, round(self.levels.shape[1] * rate / self.rate))
        return replace(self, levels=self.levels[:, :shared], rate=rate)

    def at(self, middles: Any) -> Any:
        """The levels of the frames that are nearest to some places, (places, frequencies)."""
        import numpy as np

        numbers = np.rint((middles - self.middles[0]) / self.spacing).astype(int)
        return self.levels[np.clip(numbers, 0, len(self.levels) - 1)]


def _decibel_spectrograms(sides: Sequence[Side]) -> list[_DecibelSpectrogram]:
    """The spectrograms of the sides that have one, over the time of the first side."""
    from convcli.report.embedded import levels_of

    unit = 1 / (sides[0][2].rate or 1.0)
    found = []
    for name, _, side in sides:
        if side.spectrogram is None:
            continue
        # A result from which the edge was cut off begins later.
        start = side.outlines[0].start * unit
        spectrogram = _DecibelSpectrogram(
            name=name,
            levels=levels_of(side.spectrogram.power),
            middles=start + side.spectrogram.middles,
            spacing=side.spectrogram.seconds,
            rate=side.rate or 1.0,
        )
        found.append(spectrogram)
    return found


def _spectrogram_figures(drawn: Sequence[_DecibelSpectrogram], axis: Axis) -> Iterator[Figure]:
    """Yield the spectrograms with one scale of levels, and the difference of two."""
    from convcli.report.embedded import spectrogram_uri

    loudest = max((each.loudest for each in drawn), default=0.0)
    for each in drawn:
        uri = spectrogram_uri(each.levels, loudest)
        name = visible(each.name)
        chart = each.graph(f"Spectrogram {name}", uri, axis)
        yield chart_figure(chart, f"{name}, up to {loudest:.0f} dB (bright)")
    if len(drawn) == 2:
        yield from _difference_figure(drawn[0], drawn[1], axis)


def _difference_figure(
    before: _DecibelSpectrogram, after: _DecibelSpectrogram, axis: Axis
) -> Iterator[Figure]:
    """Yield the second spectrogram against the first, where both have times and frequencies."""
    import numpy as np

    from convcli.report.embedded import MOST_DIFFERENCE, difference_uri

    low, high = after.ends
    common = before.middles[(before.middles >= low) & (before.middles <= high)]
    if not common.size:
        return
    rate = min(before.rate, after.rate)
    levels = [
        nearest_cells(each.up_to(rate).at(common), len(common), DIFFERENCE_ROWS)
        for each in (before, after)
    ]
    change = replace(before, levels=np.subtract(*levels[::-1]), middles=common, rate=rate)
    uri = difference_uri(change.levels)
    chart = change.graph("Difference of the spectrograms", uri, axis)
    caption = _MINUS.format(visible(after.name), visible(before.name))
    caption = f"{caption}: {MOST_DIFFERENCE:.0f} dB less is blue, more is red"
    yield chart_figure(chart, caption)
