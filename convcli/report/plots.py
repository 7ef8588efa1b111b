"""Small drawings of taps and responses as inline SVG."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 28
FLOOR_DB = -120.0
# Above this many taps the stems would touch; a line is drawn instead.
MOST_STEMS = 200


def draw_taps(weights: Sequence[float]) -> str:
    """The taps from first to last: stems with dots, or a line where there are many."""
    values = [w if math.isfinite(w) else 0.0 for w in weights]
    low, high = min(0.0, *values), max(0.0, *values)
    places = [
        _place(i, (-0.5, len(values) - 0.5), value, (low, high)) for i, value in enumerate(values)
    ]
    zero = _place(0, (0, 1), 0.0, (low, high))[1]
    if len(places) > MOST_STEMS:
        marks = _polyline(places)
    else:
        marks = "".join(f'<path class="curve" d="M{x:.1f} {zero:.1f}V{y:.1f}"/>' for x, y in places)
        marks += "".join(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in places
        )
    axis = f'<path class="axis" d="M{LEFT} {zero:.1f}H{WIDTH - RIGHT}"/>'
    return _svg(axis + marks + _labels(("0", str(len(values) - 1)), (f"{low:.4g}", f"{high:.4g}")))


def draw_response(response: Sequence[tuple[float, float]], *, unit: str) -> str:
    """The gain in dB over frequency, not below -120 dB; a gain that is not finite is drawn there."""
    gains = [max(FLOOR_DB, gain) if math.isfinite(gain) else FLOOR_DB for _, gain in response]
    across = (min(f for f, _ in response), max(f for f, _ in response))
    up = (min(*gains, -20.0), max(*gains, 0.0))
    places = [_place(f, across, gain, up) for (f, _), gain in zip(response, gains, strict=True)]
    zero = _place(0, (0, 1), 0.0, up)[1]
    axis = f'<path class="axis" d="M{LEFT} {zero:.1f}H{WIDTH - RIGHT}"/>'
    ends = (f"{across[0]:.6g}", f"{across[1]:.6g} {unit}")
    return _svg(axis + _polyline(places) + _labels(ends, (f"{up[0]:.1f}", f"{up[1]:.1f} dB")))


def _place(
    x: float, across: tuple[float, float], y: float, up: tuple[float, float]
) -> tuple[float, float]:
    """Where the point (x, y) stands on the drawing."""
    right = (x - across[0]) / ((across[1] - across[0]) or 1.0)
    above = (y - up[0]) / ((up[1] - up[0]) or 1.0)
    return LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - above * (HEIGHT - TOP - BOTTOM)


def _polyline(places: Sequence[tuple[float, float]]) -> str:
    return f'<polyline class="curve" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'


def _labels(across: tuple[str, str], up: tuple[str, str]) -> str:
    """The ends of both axes."""
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
