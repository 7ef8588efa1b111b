"""Charts as SVG: axes with ticks and units, lines, bands, stems, pictures, regions.

What is drawn lies in an inner `svg` with 10,000 x 10,000 units, which is stretched to the size of
the chart; the script of a page zooms by changing its view box. Ticks lie at parts of the width, so
that letters keep their size on every screen. Colours are classes, which the style of the page gives
a light and a dark value.
"""

from __future__ import annotations

import math
from functools import cached_property
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.report.time_axis import DAY, time_texts, time_ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import FloatArray

    Pair = tuple[float, float]
    # Pairs of x and y, or an array (points, 2).
    Points = Sequence[Pair] | FloatArray

# Size of a chart and its margins, in pixels.
WIDTH, HEIGHT = 720, 220
# Width of a chart that has another beside it.
NARROW_WIDTH = 440
LEFT, RIGHT, TOP, BOTTOM = 68, 14, 10, 36
# About how many ticks the left axis has.
Y_TICKS = 4
# Units of the inner drawing along each axis: places are whole numbers, which are short.
UNITS = 10_000
INNER_BOX = f'viewBox="0 0 {UNITS} {UNITS}" preserveAspectRatio="none"'
# Places are at most this far from an edge of the drawing.
FAR = 100 * UNITS
# A date, or a text of more letters, that is further to the right ends at its tick.
LAST_PART = 0.95
MOST_LETTERS = 4
# Texts of more letters on the left axis need the wide margin.
MOST_LETTERS_BARE = 5
# The least and the most digits of a number on an axis. If the texts of the left axis have more than
# MOST_LETTERS_LEFT letters, what they have in common moves into the label of the axis.
LEAST_DIGITS, MOST_DIGITS, MOST_LETTERS_LEFT = 6, 15, 8
# On an axis with a number of this size, those from the other on are written with a prefix.
LARGE_NUMBERS, SHORT_NUMBERS = 10_000, 1_000
# Width of a chart on a narrow screen, and of a digit, in pixels; `report.js` has the same numbers.
NARROWEST, LETTER_WIDTH = 280, 7
# With more than this many, stems would touch, and a line is drawn instead.
MOST_STEMS = 120


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The range of an axis, and what its numbers mean.

    logarithmic : equal distances are equal ratios
    timed : the values are times, in seconds from 1970-01-01 UTC on
    whole : the values count something, such as rows, and have no ticks between whole numbers
    """

    low: float
    high: float
    label: str = ""
    logarithmic: bool = False
    timed: bool = False
    whole: bool = False

    def place(self, value: Any) -> Any:
        """Where a value, or each of an array, lies: 0 at the low end and 1 at the high end."""
        import numpy as np

        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), np.log(np.maximum(value, low))
        if not math.isfinite(high - low):  # the largest numbers on both sides of 0
            low, high, value = low / 4, high / 4, value / 4
        return (value - low) / ((high - low) or 1.0)

    def ticks(self, count: int) -> list[float]:
        """About `count` round values within the range."""
        if self.logarithmic:
            return _decades(self.low, self.high, count)
        if self.timed:
            return time_ticks(self.low, self.high, count)
        return round_ticks(self.low, self.high, count, least=1.0 if self.whole else 0.0)

    def texts(self, ticks: Sequence[float]) -> list[str]:
        """The text of each tick, with as many digits as tell them apart."""
        if self.timed:
            return time_texts(ticks)
        largest = max(map(abs, ticks), default=0.0)
        closest = min((b - a for a, b in pairwise(ticks)), default=0.0)
        if closest > 0 and largest / closest >= 10 ** (LEAST_DIGITS - 1):
            digits = math.ceil(math.log10(largest / closest)) + 1
            digits = min(digits, MOST_DIGITS)
            return [f"{value:.{digits}g}" for value in ticks]
        # All numbers of an axis have the same form: 500, 1k, 10k, not 1000 beside 10k.
        least = SHORT_NUMBERS if largest >= LARGE_NUMBERS else LARGE_NUMBERS
        return [tick_text(value, least) for value in ticks]

    def short_texts(self, ticks: Sequence[float]) -> tuple[list[str], str]:
        """The text of each tick beside the axis, and the label.

        Long texts are of the differences from the first tick, which the label then has.
        """
        texts = self.texts(ticks)
        longest = max(map(len, texts), default=0)
        if self.timed or self.logarithmic or longest <= MOST_LETTERS_LEFT:
            return texts, self.label
        shorter = self.texts([value - ticks[0] for value in ticks])
        if max(map(len, shorter)) >= longest:
            return texts, self.label
        return shorter, f"{self.label} + {texts[0]}".lstrip()


def axis_between(low: float, high: float, beside: float, **meaning: Any) -> Axis:
    """An axis from the lowest to the highest of some places; a single one lies in its middle.

    beside : how much of the axis is shown before and after a single place
    meaning : the label of the axis, and what else an `Axis` is made of
    """
    if high <= low:
        low, high = low - beside, high + beside
    return Axis(low=low, high=high, **meaning)


def time_axis(low: float, high: float, *, dated: bool) -> Axis:
    """An axis of times in seconds, which are dates or numbers."""
    if dated:
        return axis_between(low, high, DAY, timed=True)
    return axis_between(low, high, 1.0, label="time in s")


def round_ticks(low: float, high: float, count: int, least: float = 0.0) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within a range.

    least : the smallest step

    >>> round_ticks(0.0, 9.0, 4)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if high < low:
        return round_ticks(high, low, count, least)
    extent = high - low
    if not extent > 0 or not math.isfinite(extent):
        return [low]
    rough = max(extent / count, least)
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


def _touch(shares: Sequence[float], texts: Sequence[str]) -> bool:
    """Whether texts at these shares of the width touch each other on a narrow screen."""
    for (left, right), (text, following) in zip(pairwise(shares), pairwise(texts), strict=True):
        letters = (len(text) + len(following)) / 2
        if NARROWEST * (right - left) < LETTER_WIDTH * (letters + 1):
            return True
    return False


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
    return f"{value:.{LEAST_DIGITS}g}"


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
    points: Points
    upper: Points = ()
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
        return [(piece[0, 0], piece[0, 1]) for piece in unbroken(self.points) if len(piece) == 1]


def unbroken(points: Points) -> list[Any]:
    """Runs of points without a NaN, each an array (points, 2)."""
    import numpy as np

    pairs = np.asarray(points, float).reshape(-1, 2)
    known = np.flatnonzero(~np.isnan(pairs[:, 1]))
    if not known.size:
        return []
    if known.size == len(pairs):
        return [pairs]
    breaks = np.flatnonzero(np.diff(known) > 1) + 1
    return np.split(pairs[known], breaks)


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
    image : a data URI of a picture that fills the chart from its lower to its upper end
    image_ends : the values of x at the two ends of the picture; None for those of the axis
    pixels : the picture is enlarged so that its pixels are seen
    framed : the picture is drawn in its proportions, with axes that count its pixels
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
    image_ends: Pair | None = None
    pixels: bool = False
    framed: bool = False
    zooms: bool = False
    width: int = WIDTH
    height: int = HEIGHT

    def svg(self) -> Any:
        """Draw the chart as an SVG element of a page, marked as safe for templates.

        It is as wide as the page has room, and its letters keep their size.
        """
        from convcli.report.page import unescaped

        label = f'role="img" aria-label="{escape(self.title, quote=True)}"'
        if self.framed:
            framed = f'<svg class="framed" {self._box} {label}>'
            return unescaped(f"{framed}{self._within_margins()}</svg>")
        zoom = ""
        if self.zooms:
            zoom = f' data-low="{self.x.low!r}" data-high="{self.x.high!r}" tabindex="0"'
            if self.x.timed:
                zoom += ' data-timed=""'
            if self.x.whole:
                zoom += ' data-whole=""'
        _, texts, axis_label = self._left_axis
        longest = max(map(len, texts), default=0)
        bare = not axis_label and longest <= MOST_LETTERS_BARE
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
    def ends_of_image(self) -> Pair:
        """The values of x at the two ends of the picture."""
        return self.image_ends or (self.x.low, self.x.high)

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
        yield f'<svg class="plot" width="100%" height="100%" {INNER_BOX} aria-hidden="true">'
        if self.image:
            left, right = (UNITS * self.x.place(end) for end in self.ends_of_image)
            size = f'width="{right - left:.6g}" height="{UNITS}" preserveAspectRatio="none"'
            if left:
                size = f'x="{left:.6g}" {size}'
            if self.pixels:
                size += ' image-rendering="pixelated"'
            yield f'<image href="{self.image}" {size}/>'
        yield from map(self._region, self.regions)
        yield from map(self._box_frame, self.boxes)
        for trace in self.traces:
            yield from self.drawn(trace)
        yield "</svg>"

    # --- axes ---

    @cached_property
    def _left_axis(self) -> tuple[list[float], list[str], str]:
        """The ticks of the left axis, their texts, and its label."""
        ticks = self.y.ticks(Y_TICKS)
        texts, label = self.y.short_texts(ticks)
        return ticks, texts, label

    def _ticks(self) -> Iterator[str]:
        base = self._inner_height
        ticks = self.x.ticks(self.x_ticks)
        texts = self.x.texts(ticks)
        # On a narrow screen, every second one of crowded texts is left out.
        crowded = self.x.timed or _touch(list(map(self.x.place, ticks)), texts)
        kind = "ticks x crowded" if crowded else "ticks x"
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
        ticks, texts, _ = self._left_axis
        for value, text in zip(ticks, texts, strict=True):
            y = base * (1 - self.y.place(value))
            yield f'<line x1="-4" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text x="-8" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        yield "</g>"

    def _labels(self) -> Iterator[str]:
        if self.x.label:
            y = self._inner_height + BOTTOM - 3
            place = f'x="50%" y="{y}" text-anchor="middle"'
            yield f'<text class="label" {place}>{escape(self.x.label)}</text>'
        _, _, label = self._left_axis
        if label:
            middle = self._inner_height / 2
            place = f'x="{-middle:g}" y="{16 - LEFT}" text-anchor="middle"'
            yield f'<text class="label" {place} transform="rotate(-90)">'
            yield f"{escape(label)}</text>"

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

    def _places(self, points: Any) -> Any:
        """Points in units of the inner drawing, (points, 2) whole numbers."""
        import numpy as np

        x, y = np.asarray(points, float).reshape(-1, 2).T
        places = UNITS * np.stack([self.x.place(x), 1 - self.y.place(y)], axis=1)
        # A value far outside of the axes may be infinite.
        return np.rint(np.clip(places, -FAR, FAR)).astype(np.int64)

    def _region(self, region: Region) -> str:
        left = UNITS * self.x.place(region.low)
        width = UNITS * self.x.place(region.high) - left
        return (
            f'<rect class="{region.style}" x="{left:.1f}" y="0" width="{max(width, 5):.1f}" '
            f'height="{UNITS}"/>'
        )

    def _box_frame(self, box: Box) -> str:
        left, right = (UNITS * self.x.place(x) for x in box.x)
        top, bottom = (UNITS * (1 - self.y.place(y)) for y in box.y)
        size = f'width="{right - left:.1f}" height="{bottom - top:.1f}"'
        text = escape(box.text)
        place = f'x="{left:.1f}" y="{top:.1f}"'
        return f'<rect class="box" {place} {size}><title>{text}</title></rect>'

    def drawn(self, trace: Trace) -> Iterator[str]:
        """Yield the parts of a trace, in units of the inner drawing."""
        if len(trace.upper):
            yield from self._band(trace)
        elif trace.stems_drawn:
            yield from self._stems(trace)
        elif trace.dotted:
            yield _dots_path(self._known_places(trace), trace.style)
        else:
            yield from self._line(trace)

    def _line(self, trace: Trace) -> Iterator[str]:
        """Yield a line that gaps interrupt, and a dot for each point between two gaps."""
        import numpy as np

        pieces = self._pieces(trace.points)
        path = "".join(map(_line_path, pieces))
        kind = "line thick" if trace.thick else "line"
        yield f'<path class="{kind} {trace.style}" d="{path}"/>'
        lone_points = [piece[0] for piece in pieces if len(piece) == 1]
        if lone_points:
            yield _dots_path(np.array(lone_points), trace.style)

    def _pieces(self, points: Points) -> list[Any]:
        """Runs of points without a NaN, in units of the drawing."""
        return [self._places(piece) for piece in unbroken(points)]

    def _stems(self, trace: Trace) -> Iterator[str]:
        zero = round(UNITS * (1 - self.y.place(0.0)))
        places = self._known_places(trace)
        stems = "".join(f"M{x} {zero}V{y}" for x, y in places.tolist())
        yield f'<path class="line {trace.style}" d="{stems}"/>'
        yield _dots_path(places, trace.style)

    def _known_places(self, trace: Trace) -> Any:
        """The points that are known, in units of the drawing."""
        return self._places([point for point in trace.points if not math.isnan(point[1])])

    def _band(self, trace: Trace) -> Iterator[str]:
        import numpy as np

        outlines = []
        for low, high in zip(self._pieces(trace.points), self._pieces(trace.upper), strict=True):
            around = np.concatenate([high, low[::-1]])
            outlines.append(_line_path(around) + "Z")
        yield f'<path class="band {trace.style}" d="{"".join(outlines)}"/>'


def _dots_path(places: Any, style: str) -> str:
    """A line without length and with round ends is a dot that keeps its shape when scaled."""
    dots = "".join(f"M{x} {y}h0" for x, y in places.tolist())
    return f'<path class="dots {style}" d="{dots}"/>'


def _line_path(places: Any) -> str:
    """The path through places (points, 2); steps are relative, which takes half the characters."""
    import numpy as np
    import orjson

    x, y = places[0]
    steps = np.diff(places, axis=0).ravel()
    if not steps.size:
        return f"M{x} {y}"
    # Forty times as fast as making a text of each number.
    listed = orjson.dumps(steps, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return f"M{x} {y}l{listed[1:-1].replace(',', ' ')}"
