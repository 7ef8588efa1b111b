"""Small drawings for a terminal: responses in Braille characters, kernels in shades."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from convcli.report.words import number, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import FloatArray
    from convcli.facts import StepFacts

    Pair = tuple[float, float]

# Characters of a drawing; each has two by four dots.
COLUMNS, ROWS = 56, 6
# The bit of each dot in a Braille character, by row and column; the first character is blank.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800
# Lower gains in dB are not drawn: with deep notches on the scale, the pass band would look flat.
LEAST_DB = -80.0
# A tap of a two-dimensional kernel is two characters, so that it is about square.
SHADES = " ░▒▓█"
# The most taps of a kernel that are drawn along each axis.
KERNEL_ROWS, KERNEL_COLUMNS = 17, COLUMNS // 2


def is_drawable(encoding: str) -> bool:
    """Whether a terminal of this encoding has the characters of the drawings.

    >>> is_drawable("utf-8"), is_drawable("latin-1")
    (True, False)
    """
    try:
        (chr(_BLANK) + SHADES).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def step_drawings(step: StepFacts) -> Iterator[str]:
    """Yield lines with the impulse response of a step, or its kernel, and its gain in dB."""
    if len(step.impulse) > 1:
        yield from drawing_lines("impulse response", step.impulse, "samples")
    if step.response:
        gains = [(frequency, _gain_of_dots(gain)) for frequency, gain in step.response]
        unit = visible(step.frequency_unit)
        yield from drawing_lines("gain in dB", gains, unit)
    if step.plane:
        yield from kernel_lines(step.plane)


def _gain_of_dots(gain: float) -> float:
    return round(max(LEAST_DB, gain), 2) if math.isfinite(gain) else LEAST_DB


def drawing_lines(title: str, points: Sequence[Pair], unit: str) -> Iterator[str]:
    """Yield a title, the drawing with the largest and the least value beside it, and the ends."""
    low, high = value_extent(points)
    labels = [f"{high:.4g}", *[""] * (ROWS - 2), f"{low:.4g}"]
    width = max(map(len, labels))
    yield ""
    yield title
    for label, line in zip(labels, braille(points), strict=True):
        yield f"{label:>{width}} {line}"
    first, last = number(points[0][0]), f"{number(points[-1][0])} {unit}"
    yield f"{'':{width}} {first}{last:>{COLUMNS - len(first)}}"


def kernel_lines(plane: Sequence[Sequence[float]]) -> Iterator[str]:
    """Yield a title and a two-dimensional kernel in shades, from its least to its largest tap.

    Of a large kernel the tap with the largest magnitude stands for its neighbours.
    """
    import numpy as np

    taps = _strongest(np.array(plane))
    low, high = min(0.0, float(taps.min())), max(0.0, float(taps.max()))
    extent = (high - low) or 1.0
    darkest = len(SHADES) - 1
    levels = (taps - low) * darkest / extent
    shades = np.rint(levels).astype(int)
    yield ""
    yield f"impulse response from {low:.4g} (blank) to {high:.4g} (full)"
    for row in shades.tolist():
        cells = [2 * SHADES[shade] for shade in row]
        yield f"  {''.join(cells)}".rstrip()


def _strongest(taps: FloatArray) -> FloatArray:
    """The tap with the largest magnitude in each of as many squares as are drawn."""
    import numpy as np

    rows, columns = taps.shape
    side = math.ceil(max(rows / KERNEL_ROWS, columns / KERNEL_COLUMNS))
    padded = np.pad(taps, ((0, -rows % side), (0, -columns % side)))
    high, wide = (size // side for size in padded.shape)
    squares = padded.reshape(high, side, wide, side).swapaxes(1, 2).reshape(high, wide, -1)
    place = np.abs(squares).argmax(axis=2)[..., None]
    found: FloatArray = np.take_along_axis(squares, place, axis=2)[..., 0]
    return found


def value_extent(points: Sequence[Pair]) -> Pair:
    """The least and the largest value, and 0."""
    values = [0.0, *(y for _, y in points)]
    return min(values), max(values)


def braille(points: Sequence[Pair], columns: int = COLUMNS, rows: int = ROWS) -> list[str]:
    """Draw a line through points, as one string for each row.

    points : increasing in x; every column of dots reaches from the least to the largest value in
        it, and the scale always includes the value 0
    """
    across, down = 2 * columns, 4 * rows
    cells = [[_BLANK] * columns for _ in range(rows)]
    for place, low, high in _dots(points, across, down):
        for height in range(low, high + 1):
            row, dot = divmod(down - 1 - height, 4)
            cells[row][place // 2] |= _DOTS[dot][place % 2]
    return ["".join(map(chr, row)) for row in cells]


def _in_dots(points: Sequence[Pair], across: int, down: int) -> list[Pair]:
    """The points as positions in a grid of dots: from the left, and from the bottom."""
    left, right = points[0][0], points[-1][0]
    width = (right - left) or 1.0
    bottom, top = value_extent(points)
    extent = (top - bottom) or 1.0
    placed = []
    for x, y in points:
        column = (x - left) / width * (across - 1)
        height = (y - bottom) / extent * (down - 1)
        placed.append((column, height))
    return placed


def _dots(points: Sequence[Pair], across: int, down: int) -> Iterator[tuple[int, int, int]]:
    """Yield each column of dots with the lowest and the highest dot of the line in it."""
    placed = _in_dots(points, across, down)
    columns: dict[int, tuple[float, float]] = {}

    def add(column: int, height: float) -> None:
        low, high = columns.get(column, (height, height))
        columns[column] = (min(low, height), max(high, height))

    add(0, placed[0][1])
    for (x0, y0), (x1, y1) in pairwise(placed):
        for column in range(math.floor(x0) + 1, math.floor(x1) + 1):
            share = (column - x0) / (x1 - x0)
            height = y0 + share * (y1 - y0)
            # The line crosses from one column of dots into the next.
            add(column - 1, height)
            add(column, height)
        add(math.floor(x1), y1)
    for column, (low, high) in sorted(columns.items()):
        yield min(column, across - 1), round(low), round(high)
