"""The layout of the pixels of a page, and the strips of rows in which they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from convcli.array_types import AnyArray
from convcli.dataclass import dataclass
from convcli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.media.images.details import ImageDetails

Pixels = AnyArray

ByteOrder = Literal["<", ">", "="]

# A strip fills the caches of the processor and not the memory: large enough for NumPy, small enough
# for many at once.
STRIP_BYTES = 1_000_000
# A strip of a wide picture has more rows than that, since a filter also reads rows beside it.
STRIP_ROWS, WIDE_STRIP_BYTES = 48, 4_000_000

# Messages list this many channels.
_MOST_LISTED = 8

_GREY, _RGB, _LAB = ("grey",), ("R", "G", "B"), ("L", "a", "b")
# The colours of each interpretation of libvips.
_COLOURS = {
    "b-w": _GREY,
    "grey16": _GREY,
    "rgb": _RGB,
    "srgb": _RGB,
    "rgb16": _RGB,
    "scrgb": _RGB,
    "cmyk": ("C", "M", "Y", "K"),
    "lab": _LAB,
    "labs": _LAB,
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The pixels of a page as they are stored, `(rows, columns, channels)` of `dtype`.

    interpretation : what the numbers mean, in the words of libvips (`srgb`, `rgb16`, `b-w`, `cmyk`,
        ...)
    channels : a name for each channel
    alpha : index of the channel that is the opacity, or None
    white : the whole number that means full intensity, if it is not the largest of the type
    """

    rows: int
    columns: int
    dtype: np.dtype[Any]
    interpretation: str
    channels: tuple[str, ...]
    alpha: int | None
    white: int | None = None

    @property
    def pixels(self) -> int:
        """Number of pixels of the page."""
        return self.rows * self.columns

    @property
    def bits(self) -> int:
        """Bits of a sample: those that the value of white needs."""
        if self.white is not None:
            return self.white.bit_length()
        return 8 * self.dtype.itemsize

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all channels of a pixel."""
        return len(self.channels) * self.dtype.itemsize

    @property
    def stored_bytes(self) -> int:
        """Bytes of all samples of the page."""
        return self.pixels * self.pixel_bytes

    @property
    def colours(self) -> tuple[int, ...]:
        """The indices of all channels but the opacity."""
        return other_channels(len(self.channels), self.alpha)

    @property
    def colour_names(self) -> tuple[str, ...]:
        """The names of all channels but the opacity."""
        return tuple(self.channels[index] for index in self.colours)

    @property
    def strip_rows(self) -> int:
        """Rows of a strip in which the page is read."""
        row_bytes = max(1, self.columns * self.pixel_bytes)
        enough_beside = min(STRIP_ROWS, WIDE_STRIP_BYTES // row_bytes)
        return max(1, STRIP_BYTES // row_bytes, enough_beside)


@dataclass(frozen=True)
class Strip:
    """Consecutive rows as stored.

    start : the row of the page that comes first; pixels : `(rows, columns, channels)`.
    """

    start: int
    pixels: Pixels


def stored_bytes(pixels: Pixels, order: ByteOrder) -> memoryview:
    """The bytes of pixels in this byte order; a view if they have this order in memory."""
    stored = pixels.astype(pixels.dtype.newbyteorder(order), copy=False)
    return np.ascontiguousarray(stored).reshape(-1).view(np.uint8).data


class PictureReader(Protocol):
    """One run through a picture, by one thread."""

    def strips(self, page: int) -> Iterator[Strip]:
        """Yield the strips of a page from the first row to the last."""

    def seekable(self, page: int) -> bool:
        """Whether the strips of a page can be read from any strip on."""

    def strips_from(self, page: int, row: int) -> Iterator[Strip]:
        """Yield the strips of a seekable page, beginning with the strip that begins at `row`."""


class Picture(Protocol):
    """An opened picture, whose headers were read and whose pixels were not."""

    layouts: list[Layout]
    details: ImageDetails
    warnings: list[str]

    def reader(self) -> PictureReader:
        """A new run through the picture, independent of others."""


def are_alike(layouts: Sequence[Layout]) -> bool:
    """Whether all pages of a file have the same size, channels and type."""
    return all(layout == layouts[0] for layout in layouts)


def other_channels(count: int, alpha: int | None) -> tuple[int, ...]:
    """The indices of `count` channels without that of the opacity."""
    return tuple(index for index in range(count) if index != alpha)


def name_channels(
    interpretation: str, bands: int, extra: Sequence[bool] | None = None
) -> tuple[tuple[str, ...], int | None]:
    """The names of the channels, and the index of the first one that is an opacity.

    extra : whether each of the last bands is an opacity; None for formats that do not say it, where
        the first band after the colours is
    """
    if interpretation in ("multiband", "matrix") and bands == 1:
        interpretation = "b-w"
    colours = _COLOURS.get(interpretation, ())
    if bands < len(colours):
        colours = ()
    if extra is None:
        count = bands - len(colours) if colours else 0
        extra = [index == 0 for index in range(count)]
    numbered = [f"band{number}" for number in range(1, bands + 1)]
    names = [*colours, *numbered[len(colours) :]]
    first = bands - len(extra)
    alpha = next((first + index for index, opaque in enumerate(extra) if opaque), None)
    if alpha is not None and len(colours) <= alpha:
        names[alpha] = "A"
        return tuple(names), alpha
    return tuple(names), None


def list_channels(names: Sequence[str]) -> str:
    """The names of channels for a message, which names the first of many."""
    shown = ", ".join(names[:_MOST_LISTED])
    return shown if len(names) <= _MOST_LISTED else f"{shown}, ..."


def plain_interpretation(dtype: np.dtype[Any], *, is_grey: bool) -> str:
    """The interpretation of grey, or of red, green and blue, samples of a type."""
    grey, colour = "b-w", "srgb"
    if dtype.kind == "f":
        colour = "scrgb"
    elif dtype.itemsize == 2:
        grey, colour = "grey16", "rgb16"
    return grey if is_grey else colour


def too_many_pixels(name: str, columns: int, rows: int, limit: int) -> InputError:
    """The error for a picture that is larger than `limit` pixels."""
    return InputError(
        f"{name} has {columns * rows} pixels ({columns}x{rows}), "
        f"more than the {limit} that are allowed",
        hint=f"if you trust the file, give --max-pixels {columns * rows}",
    )
