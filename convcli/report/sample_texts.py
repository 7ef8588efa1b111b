"""Numbers of `explain` as text, and the columns that they lie in.

A line is a list of texts, each with a style of `rich`; without the styles it is plain text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.report.words import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Line = list[tuple[str, str]]

# Styles.
PLAIN, OUTSIDE, KERNEL, RESULT, TITLE = "", "dim", "cyan", "bold green", "bold"
# How many numbers of a longer list are shown.
MOST_NUMBERS = 32


def sample_text(value: float | None) -> str:
    """Format a sample with at most six digits; a missing one is `.`."""
    if value is None:
        return "."
    return f"{value + 0.0:.6g}"  # adding 0 turns -0 into 0


def list_text(values: Any) -> str:
    """Format samples as SIGNAL is written, `1, 2; 3, 4`; only the first ones if there are many."""
    nested = bool(values) and isinstance(values[0], tuple)
    if nested:
        texts = [list_text(row) for row in values[:MOST_NUMBERS]]
    else:
        texts = [sample_text(value) for value in values[:MOST_NUMBERS]]
    separator, noun = ("; ", "rows ") if nested else (", ", "")
    if len(values) > MOST_NUMBERS:
        texts.append(f"... ({len(values):,} {noun}in all)")
    return separator.join(texts)


def named_channels(names: Sequence[str], values: Any, *, several: bool) -> list[tuple[str, Any]]:
    """Pair the samples of each channel with its name; a single channel has none."""
    if not several:
        return [("", values)]
    width = longest_text(names) + 2
    padded = [f"{visible(name):<{width}}" for name in names]
    return list(zip(padded, values, strict=True))


def sample_texts(values: Iterable[float | None]) -> list[str]:
    """Format samples, each by itself."""
    return [sample_text(value) for value in values]


def longest_text(texts: Iterable[str]) -> int:
    """The length of the longest text, 0 of none."""
    return max((len(text) for text in texts), default=0)


def by_axis(numbers: Iterable[int]) -> str:
    """Format numbers, one for each axis: `3x5`."""
    return "x".join(map(str, numbers))


def rule_line(name: str, text: str, style: str = PLAIN) -> Line:
    """A line of the heading of a stage, with its name in a column of its own."""
    return [(f"  {name:<9}", PLAIN), (text, style)]


def dilation_lines(dilation: Sequence[int], samples: str) -> Iterator[Line]:
    """Yield a line if the taps of a kernel are not next to each other.

    dilation : samples from one tap to the next along each axis; empty where it is 1
    samples : what the distance is counted in
    """
    if any(apart > 1 for apart in dilation):
        text = f"taps lie {by_axis(dilation)} {samples} apart, with zeros between them"
        yield rule_line("dilation", text)


@dataclass(frozen=True)
class NumberColumns:
    """Widths of a table: of the names at its left, and of each column of numbers."""

    margin: int
    width: int

    def name(self, text: str) -> tuple[str, str]:
        """Return the name of a row, padded to the margin."""
        return f"{text:<{self.margin}}", PLAIN

    def cells(self, texts: Sequence[str], style: str) -> Line:
        """Return cells aligned to the right; those in brackets are dim."""
        styles = [OUTSIDE if text.startswith("(") else style for text in texts]
        padded = [f"{text:>{self.width}}" for text in texts]
        return list(zip(padded, styles, strict=True))
