"""Small drawings of taps and of frequency responses as inline SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Point = tuple[float, float]

# Size of a drawing and its margins, in pixels.
WIDTH, HEIGHT = 720, 220
# At the left there is room for the longest number, -1.234e-308.
LEFT, RIGHT, TOP, BOTTOM = 96, 12, 12, 28
# Lower gains, and those that are not finite, are drawn at this level.
FLOOR_DB = -120.0
# With more taps than this the stems would touch, and a line is drawn instead.
MOST_STEMS = 200


def draw_taps(weights: Sequence[float]) -> str:
    """Draw the taps from first to last: stems with dots, or a line if there are many."""
    values = [weight if math.isfinite(weight) else 0.0 for weight in weights]
    low, high = min(0.0, *values), max(0.0, *values)
    axes = _Axes(-0.5, len(values) - 0.5, low, high)
    if len(values) > MOST_STEMS:
        marks = _polyline([axes.point(*tap) for tap in _outline(values)])
    else:
        points = [axes.point(number, value) for number, value in enumerate(values)]
        marks = _stems(points, axes.zero)
    last = len(values) - 1
    labels = _labels(("0", str(last)), (f"{low:.4g}", f"{high:.4g}"))
    return _svg(axes.zero_line() + marks + labels)


def _outline(values: Sequence[float]) -> Iterator[Point]:
    """Yield taps with their numbers: all, or the least and the largest of each pixel's share."""
    share = max(1, math.ceil(len(values) / WIDTH))
    for start in range(0, len(values), share):
        numbers = range(start, min(start + share, len(values)))
        low = min(numbers, key=values.__getitem__)
        high = max(numbers, key=values.__getitem__)
        for number in sorted({low, high}):
            yield number, values[number]


def draw_response(response: Sequence[tuple[float, float]], *, unit: str) -> str:
    """Draw the gain in dB over frequency."""
    frequencies = [frequency for frequency, _ in response]
    gains = [max(FLOOR_DB, gain) if math.isfinite(gain) else FLOOR_DB for _, gain in response]
    axes = _Axes(min(frequencies), max(frequencies), min(*gains, -20.0), max(*gains, 0.0))
    points = [axes.point(x, y) for x, y in zip(frequencies, gains, strict=True)]
    labels = _labels(
        (f"{axes.left:.6g}", f"{axes.right:.6g} {unit}"),
        (f"{axes.low:.1f}", f"{axes.high:.1f} dB"),
    )
    return _svg(axes.zero_line() + _polyline(points) + labels)


@dataclass(frozen=True)
class _Axes:
    """The values at the ends of both axes."""

    left: float
    right: float
    low: float
    high: float

    def point(self, x: float, y: float) -> Point:
        """Return the place of (x, y) on the drawing, in pixels."""
        across = (x - self.left) / ((self.right - self.left) or 1.0)
        up = (y - self.low) / ((self.high - self.low) or 1.0)
        inner_width = WIDTH - LEFT - RIGHT
        inner_height = HEIGHT - TOP - BOTTOM
        return LEFT + across * inner_width, HEIGHT - BOTTOM - up * inner_height

    @property
    def zero(self) -> float:
        """Height of the value 0, in pixels from the top."""
        return self.point(self.left, 0.0)[1]

    def zero_line(self) -> str:
        """Draw a line at the value 0."""
        return f'<path class="axis" d="M{LEFT} {self.zero:.1f}H{WIDTH - RIGHT}"/>'


def _polyline(points: Sequence[Point]) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="curve" points="{places}"/>'


def _stems(points: Sequence[Point], zero: float) -> str:
    stems = [f'<path class="curve" d="M{x:.1f} {zero:.1f}V{y:.1f}"/>' for x, y in points]
    dots = [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in points]
    return "".join(stems + dots)


def _labels(across: tuple[str, str], up: tuple[str, str]) -> str:
    """Label the ends of both axes."""
    base, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    texts = [
        (LEFT - 6, TOP + 8, "end", up[1]),
        (LEFT - 6, base, "end", up[0]),
        (LEFT, HEIGHT - 8, "start", across[0]),
        (right, HEIGHT - 8, "end", across[1]),
    ]
    return "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
        for x, y, anchor, text in texts
    )


def _svg(content: str) -> str:
    frame = f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{frame}{content}</svg>'
