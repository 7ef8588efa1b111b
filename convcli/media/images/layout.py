"""What the pixels of one page look like, and the strips of rows they come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.images.details import ImageDetails

Pixels = npt.NDArray[Any]

# A strip should fill the caches below it, not the memory: large enough for NumPy, small enough for many in flight.
STRIP_BYTES = 1_000_000
STRIP_ROWS, WIDE_STRIP_BYTES = 48, 4_000_000

COLOURS = {
    "b-w": ("grey",),
    "grey16": ("grey",),
    "rgb": ("R", "G", "B"),
    "srgb": ("R", "G", "B"),
    "rgb16": ("R", "G", "B"),
    "scrgb": ("R", "G", "B"),
    "cmyk": ("C", "M", "Y", "K"),
    "lab": ("L", "a", "b"),
    "labs": ("L", "a", "b"),
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The pixels of one page as they are stored: `(rows, columns, channels)` of `dtype`.

    interpretation : what the numbers mean, in the words of libvips (`srgb`, `rgb16`, `b-w`, `cmyk`, ...)
    channels : a name per channel; alpha : index of the channel that is the opacity, or None
    """

    rows: int
    columns: int
    dtype: np.dtype[Any]
    interpretation: str
    channels: tuple[str, ...]
    alpha: int | None

    @property
    def pixels(self) -> int:
        """Rows times columns."""
        return self.rows * self.columns

    @property
    def stored_bytes(self) -> int:
        """The size of all samples."""
        return self.pixels * len(self.channels) * self.dtype.itemsize

    @property
    def colours(self) -> tuple[int, ...]:
        """The indices of the channels that are not the opacity."""
        return tuple(index for index in range(len(self.channels)) if index != self.alpha)

    @property
    def colour_names(self) -> tuple[str, ...]:
        """The names of the channels that are not the opacity."""
        return tuple(self.channels[index] for index in self.colours)

    @property
    def strip_rows(self) -> int:
        """How many rows a strip has: enough of them even in a wide picture, since a filter reads some beside it."""
        row = max(1, self.columns * len(self.channels) * self.dtype.itemsize)
        return max(1, STRIP_BYTES // row, min(STRIP_ROWS, WIDE_STRIP_BYTES // row))


@dataclass(frozen=True)
class Strip:
    """Consecutive rows: `pixels` is `(rows, columns, channels)` as stored, the first being row `start` of its page."""

    start: int
    pixels: Pixels


class Reader(Protocol):
    """One run through a picture, by one thread."""

    def strips(self, page: int) -> Iterator[Strip]:
        """The rows of a page from the first to the last."""
        ...


class Picture(Protocol):
    """An opened picture: its headers are read, its pixels are not."""

    layouts: list[Layout]
    details: ImageDetails
    warnings: list[str]

    def reader(self) -> Reader:
        """A new run through the picture, independent of the others."""
        ...


def name_channels(interpretation: str, bands: int) -> tuple[tuple[str, ...], int | None]:
    """The channels' names and the index of the opacity: one band more than the colours is the opacity."""
    if interpretation in ("multiband", "matrix"):
        interpretation = {1: "b-w"}.get(bands, interpretation)
    colours = COLOURS.get(interpretation, ())
    if colours and bands == len(colours):
        return colours, None
    if colours and bands > len(colours):
        extra = tuple(f"band{index + 1}" for index in range(len(colours) + 1, bands))
        return (*colours, "A", *extra), len(colours)
    return tuple(f"band{index + 1}" for index in range(bands)), None
