"""Charts as SVG: axes with ticks and units, lines, bands, stems, pictures, regions.

What is drawn lies in an inner `svg` with 1000 x 1000 units, which is stretched to the size of the
chart; the script of a page zooms by changing its view box. Ticks lie at parts of the width, so that
letters keep their size on every screen. Colours are classes, which the style of the page gives a
light and a dark value.
"""

from __future__ import annotations

import math
from html import escape
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.report.time_axis import time_texts, time_ticks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Pair = tuple[float, float]

# Size of a chart and its margins, in pixels.
WIDTH, HEIGHT = 720, 220
# Width of a chart that has another beside it.
NARROW = 440
LEFT, RIGHT, TOP, BOTTOM = 68, 14, 10, 36
# About how many ticks the left axis has.
Y_TICKS = 4
# Units of the inner drawing along each axis.
UNITS = 1000
# A date, or a text of more letters, that is further to the right ends at its tick.
LAST_PART = 0.95
MOST_LETTERS = 4
# Texts of more letters on the left axis need the wide margin.
MOST_LETTERS_BARE = 5
# On an axis with a number of this size, those from the other on are written with a prefix.
LARGE_NUMBERS, SHORT_NUMBERS = 10_000, 1_000
# With more than this many, stems would touch, and a line is drawn instead.
MOST_STEMS = 120


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The range of an axis, and what its numbers mean.

    logarithmic : equal distances are equal ratios
    timed : the values are times, in seconds from 1970-01-01 UTC on
    """

    low: float
    high: float
    label: str = ""
    logarithmic: bool = False
    timed: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high end."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.low))
        return (value - low) / ((high - low) or 1.0)

    def ticks(self, count: int) -> list[float]:
        """About `count` round values within the range."""
        if self.logarithmic:
            return _decades(self.low, self.high, count)
        if self.timed:
            return time_ticks(self.low, self.high, count)
        return round_ticks(self.low, self.high, count)

    def texts(self, ticks: Sequence[float]) -> list[str]:
        """The text of each tick."""
        if self.timed:
            return time_texts(ticks)
        # All numbers of an axis have the same form: 500, 1k, 10k, not 1000 beside 10k.
        largest = max(map(abs, ticks), default=0.0)
        least = SHORT_NUMBERS if largest >= LARGE_NUMBERS else LARGE_NUMBERS
        return [tick_text(value, least) for value in ticks]


def round_ticks(low: float, high: float, count: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within a range.

    >>> round_ticks(0.0, 9.0, 4)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if high < low:
        return round_ticks(high, low, count)
    extent = high - low
    if not extent > 0 or not math.isfinite(extent):
        return [low]
    rough = extent / count
    if not rough > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    if not power > 0:
        return [low]
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.7)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def _decades(low: float, high: float, count: int) -> list[float]:
    """1, 2 and 5 times the powers of ten within a range, or the powers alone if those are enough.

    count : about how many there may be
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        within = [value for value in found if low <= value * 1.0001 and value <= high * 1.0001]
        if len(within) <= 2 * count:
            break
    return within


def _percent(share: float) -> str:
    """A share of the width: `37.5%`."""
    return f"{100 * share:.4g}%"


def tick_text(value: float, least: float = LARGE_NUMBERS) -> str:
    """A number on an axis: `0.001`, `250`, `12k`, `1e-06`.

    least : the smallest that is written with a prefix
    """
    size = abs(value)
    if size >= least and value % 100 == 0:
        for power, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if size >= power:
                return f"{value / power:g}{prefix}"
    return f"{value:.6g}"


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Something that is drawn: a line or stems through points, or a band between two lines.

    style : the class that colours it
    points : the line, the stems, or the lower edge of the band; a NaN interrupts it
    upper : the upper edge of the band, at the same x
    thick : the line is a bar
    dotted : the points are dots without a line
    """

    name: str
    style: str
    points: Sequence[Pair]
    upper: Sequence[Pair] = ()
    stems: bool = False
    thick: bool = False
    dotted: bool = False

    @property
    def stems_drawn(self) -> bool:
        """Whether stems are drawn; too many of them would touch."""
        return self.stems and len(self.points) <= MOST_STEMS

    @property
    def lone_points(self) -> list[Pair]:
        """The points between two gaps, through which there is no line."""
        return [piece[0] for piece in unbroken(self.points) if len(piece) == 1]


def unbroken(points: Iterable[Pair]) -> Iterator[list[Pair]]:
    """Yield runs of points without a NaN."""
    for missing, run in groupby(points, lambda point: math.isnan(point[1])):
        if not missing:
            yield list(run)


@dataclass(frozen=True, kw_only=True)
class Region:
    """A range of x that is shaded."""

    low: float
    high: float
    style: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A line from top to bottom at a value of x, with a text."""

    value: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle around a part of a picture, from its least to its largest x and y."""

    x: Pair
    y: Pair
    text: str


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What is drawn on one pair of axes.

    title : what the chart shows, for people who do not see it
    image : a data URI of a picture that fills the chart
    zooms : whether the page can zoom along x
    """

    title: str
    x: Axis
    y: Axis
    traces: Sequence[Trace] = ()
    regions: Sequence[Region] = ()
    marks: Sequence[Mark] = ()
    boxes: Sequence[Box] = ()
    image: str = ""
    zooms: bool = False
    width: int = WIDTH
    height: int = HEIGHT

    def svg(self) -> Any:
        """Draw the chart as an SVG element of a page, marked as safe for templates.

        It is as wide as the page has room, and its letters keep their size.
        """
        from convcli.report.page import unescaped

        label = f'role="img" aria-label="{escape(self.title, quote=True)}"'
        if self.boxes:
            framed = f'<svg class="framed" {self._box} {label}>'
            return unescaped(f"{framed}{self._within_margins()}</svg>")
        zoom = ""
        if self.zooms:
            zoom = f' data-low="{self.x.low!r}" data-high="{self.x.high!r}" tabindex="0"'
            if self.x.timed:
                zoom += " data-timed"
        longest = max(map(len, self.y.texts(self.y.ticks(Y_TICKS))), default=0)
        bare = not self.y.label and longest <= MOST_LETTERS_BARE
        kind = "chart bare" if bare else "chart"
        head = f'<svg class="{kind}" height="{self._inner_height}" {label}{zoom}>'
        return unescaped(f"{head}{self._content()}</svg>")

    def drawing(self, style: str) -> str:
        """Draw the chart as an SVG file.

        style : the CSS of the classes that the chart uses
        """
        label = f'role="img" aria-label="{escape(self.title, quote=True)}"'
        size = f'width="{self.width}" height="{self.height}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {self._box} {label}>'
        paper = '<rect class="paper" width="100%" height="100%"/>'
        return f"{head}<style>{escape(style)}</style>{paper}{self._within_margins()}</svg>"

    @property
    def names(self) -> list[tuple[str, str]]:
        """The name and the class of each trace that has a name."""
        return [(trace.name, trace.style) for trace in self.traces if trace.name]

    @property
    def x_ticks(self) -> int:
        """About how many ticks the lower axis has room for."""
        return max(3, self.width // 120)

    @property
    def _box(self) -> str:
        return f'viewBox="0 0 {self.width} {self.height}"'

    @property
    def _inner_height(self) -> int:
        return self.height - TOP - BOTTOM

    def _within_margins(self) -> str:
        size = f'width="{self.width - LEFT - RIGHT}" height="{self._inner_height}"'
        return f'<svg x="{LEFT}" y="{TOP}" {size} overflow="visible">{self._content()}</svg>'

    def _content(self) -> str:
        """Axes and what lies within, on the area inside of the margins.

        Places along x are parts of its width, places along y are pixels.
        """
        return "".join([*self._ticks(), *self._labels(), *self._plot(), *self._mark_lines()])

    def _plot(self) -> Iterator[str]:
        box = f'viewBox="0 0 {UNITS} {UNITS}" preserveAspectRatio="none"'
        yield f'<svg class="plot" width="100%" height="100%" {box} aria-hidden="true">'
        if self.image:
            size = f'width="{UNITS}" height="{UNITS}"'
            yield f'<image href="{self.image}" {size} preserveAspectRatio="none"/>'
        yield from map(self._region, self.regions)
        yield from map(self._box_frame, self.boxes)
        for trace in self.traces:
            yield from self.drawn(trace)
        yield "</svg>"

    # --- axes ---

    def _ticks(self) -> Iterator[str]:
        base = self._inner_height
        ticks = self.x.ticks(self.x_ticks)
        texts = self.x.texts(ticks)
        # On a narrow screen, every second one of long texts is left out.
        long = self.x.timed or max(map(len, texts), default=0) > MOST_LETTERS + 1
        kind = "ticks x long" if long else "ticks x"
        yield f'<g class="{kind}">'
        for value, text in zip(ticks, texts, strict=True):
            share = self.x.place(value)
            x = _percent(share)
            # A long text at an end must not leave the page.
            anchor = "middle"
            wide = self.x.timed or len(text) > MOST_LETTERS
            if wide and share > LAST_PART:
                anchor = "end"
            yield f'<line x1="{x}" x2="{x}" y1="0" y2="{base + 4}"/>'
            yield f'<text x="{x}" y="{base + 17}" text-anchor="{anchor}">{escape(text)}</text>'
        yield '</g><g class="ticks">'
        ticks = self.y.ticks(Y_TICKS)
        for value, text in zip(ticks, self.y.texts(ticks), strict=True):
            y = base * (1 - self.y.place(value))
            yield f'<line x1="-4" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text x="-8" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        yield "</g>"

    def _labels(self) -> Iterator[str]:
        if self.x.label:
            y = self._inner_height + BOTTOM - 3
            place = f'x="50%" y="{y}" text-anchor="middle"'
            yield f'<text class="label" {place}>{escape(self.x.label)}</text>'
        if self.y.label:
            middle = self._inner_height / 2
            place = f'x="{-middle:g}" y="{16 - LEFT}" text-anchor="middle"'
            yield f'<text class="label" {place} transform="rotate(-90)">'
            yield f"{escape(self.y.label)}</text>"

    def _mark_lines(self) -> Iterator[str]:
        base = self._inner_height
        for number, mark in enumerate(self.marks):
            share = self.x.place(mark.value)
            x = _percent(share)
            # The text is on the side of the line where there is more room.
            anchor, beside = ("end", -5) if share > 0.5 else ("start", 5)
            # At half the height there is seldom a curve beside an edge of a band.
            row = base / 2 + 15 * (number % 4)
            yield f'<line class="mark" x1="{x}" x2="{x}" y1="0" y2="{base}"/>'
            yield f'<text class="mark" x="{x}" dx="{beside}" y="{row:g}" text-anchor="{anchor}">'
            yield f"{escape(mark.text)}</text>"

    # --- what lies within ---

    def _point(self, point: Pair) -> Pair:
        return UNITS * self.x.place(point[0]), UNITS * (1 - self.y.place(point[1]))

    def _region(self, region: Region) -> str:
        left = UNITS * self.x.place(region.low)
        width = UNITS * self.x.place(region.high) - left
        return (
            f'<rect class="{region.style}" x="{left:.2f}" y="0" width="{max(width, 0.5):.2f}" '
            f'height="{UNITS}"/>'
        )

    def _box_frame(self, box: Box) -> str:
        left, top = self._point((box.x[0], box.y[0]))
        right, bottom = self._point((box.x[1], box.y[1]))
        size = f'width="{right - left:.2f}" height="{bottom - top:.2f}"'
        text = escape(box.text)
        place = f'x="{left:.2f}" y="{top:.2f}"'
        return f'<rect class="box" {place} {size}><title>{text}</title></rect>'

    def drawn(self, trace: Trace) -> Iterator[str]:
        """Yield the parts of a trace, in units of the inner drawing."""
        if trace.upper:
            yield from self._band(trace)
        elif trace.stems_drawn:
            yield from self._stems(trace)
        elif trace.dotted:
            yield _dots_path(self._places(trace), trace.style)
        else:
            path = "".join(map(_line_path, self._pieces(trace.points)))
            kind = "line thick" if trace.thick else "line"
            yield f'<path class="{kind} {trace.style}" d="{path}"/>'
            if trace.lone_points:
                yield _dots_path(map(self._point, trace.lone_points), trace.style)

    def _pieces(self, points: Iterable[Pair]) -> Iterator[list[Pair]]:
        """Runs of points without a NaN, in units of the drawing."""
        for piece in unbroken(points):
            yield [self._point(point) for point in piece]

    def _stems(self, trace: Trace) -> Iterator[str]:
        zero = UNITS * (1 - self.y.place(0.0))
        places = self._places(trace)
        stems = "".join(f"M{x:.1f} {zero:.1f}V{y:.1f}" for x, y in places)
        yield f'<path class="line {trace.style}" d="{stems}"/>'
        yield _dots_path(places, trace.style)

    def _places(self, trace: Trace) -> list[Pair]:
        """The points that are known, in units of the drawing."""
        return [self._point(point) for point in trace.points if not math.isnan(point[1])]

    def _band(self, trace: Trace) -> Iterator[str]:
        lower = list(self._pieces(trace.points))
        upper = list(self._pieces(trace.upper))
        outlines = []
        for low, high in zip(lower, upper, strict=True):
            outlines.append(_line_path([*high, *reversed(low)]) + "Z")
        yield f'<path class="band {trace.style}" d="{"".join(outlines)}"/>'


def _dots_path(places: Iterable[Pair], style: str) -> str:
    """A line without length and with round ends is a dot that keeps its shape when scaled."""
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)
    return f'<path class="dots {style}" d="{dots}"/>'


def _line_path(points: Sequence[Pair]) -> str:
    """The path through points; steps are relative, which takes half the characters."""
    rounded = [(round(x, 1), round(y, 1)) for x, y in points]
    x, y = rounded[0]
    steps = [f"M{x:g} {y:g}"]
    if len(rounded) == 1:
        return steps[0]
    steps.append("l")
    pairs = [f"{b[0] - a[0]:.4g} {b[1] - a[1]:.4g}" for a, b in pairwise(rounded)]
    return "".join(steps) + " ".join(pairs)
