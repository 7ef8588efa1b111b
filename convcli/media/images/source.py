"""Pictures as signals: every page of a file is a Source, whose rows are read in strips.

Values are in the picture's own units: 0..255, 0..65535, 0..1023 where that is white, floating
samples unchanged.
"""

from __future__ import annotations

import stat
import weakref
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.media.block_parts import equal_lengths
from convcli.media.images.converted import BMP_MARK, bmp_as_png, heic_as_png, is_heic
from convcli.media.images.icc import is_srgb_profile
from convcli.media.images.layout import list_channels
from convcli.media.images.levels import Levels, Range
from convcli.media.images.medium import IMAGE
from convcli.media.images.missing import missing_sample
from convcli.media.images.png import foreign_curve
from convcli.media.images.pnm import MAGIC, PnmPicture
from convcli.media.images.srgb import light_table, luma
from convcli.media.images.vips_reader import VipsPicture
from convcli.media.scratch import keep_stream, scratch
from convcli.samples import in_type
from convcli.signals import Block, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convcli.media.images.details import ImageDetails
    from convcli.media.images.layout import Layout, Picture, PictureReader, Pixels, Strip
    from convcli.media.images.page_choice import PageChoice
    from convcli.signals import Array

Channels = Literal["rgb", "luma", "alpha", "all"]

# A picture from a pipe is held in memory up to this size, and on disk above it.
_MOST_HELD = 64_000_000
_RGB = ("R", "G", "B")
# Fewer channels than this are not maps: 1 is grey, 3 are colours, 4 may be colours and opacity.
FEWEST_MAPS = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageOptions:
    """How a picture is filtered and stored.

    channels : `all` filters every channel, the opacity included; `rgb` the colours alone; `alpha`
        the opacity alone; `luma` Y of BT.709, whose change is added to R, G and B. Channels that
        are not filtered are kept.
    linear : filter linear light; values are decoded by the curve of sRGB and encoded again
    range : what happens to results that cannot be stored. `clip` counts them and cuts them off,
        `abs` takes the absolute value, `offset` adds half the range (128, 32768, 0.5), `scale` maps
        least..most of the whole result to the full range. The last three act on the filtered
        channels, never on the opacity beside colours, and then clip.
    quality : of JPEG, WebP and AVIF, 1..100; None keeps that of a JPEG or a WebP, and is 92
        elsewhere; a lossless WebP stays lossless
    """

    channels: Channels = "all"
    linear: bool = False
    range: Range = "clip"
    quality: int | None = None


class ImagePage:
    """One page as a Source.

    selection : `options.channels`, or the simpler choice that is the same for this page.
    """

    def __init__(
        self, picture: Picture, page: int, options: ImageOptions, reader: PictureReader
    ) -> None:
        self._reader = reader
        self._page = page
        self.layout: Layout = picture.layouts[page]
        missing = missing_sample(picture.details, page, self.layout)
        self.levels = Levels(self.layout.dtype, self.layout.white, missing=missing)
        self.selection = _select_channels(self.layout, options.channels)
        self.linear = options.linear and self.levels.whole
        self._is_scaled = options.range == "scale"
        channels, alpha = self._filtered_channels()
        self.signal = Signal(
            medium=IMAGE,
            shape=(self.layout.rows, self.layout.columns),
            channels=channels,
            alpha=alpha,
            full_scale=self.levels.full,
            holds_missing=not self.levels.whole or missing is not None,
            bits=_significant_bits(self.layout.dtype),
        )

    @property
    def needs_same_size(self) -> bool:
        """Whether original channels complete the result, so that the chain must keep the size."""
        return self.selection != "all"

    def makes_maps(self, result: Signal) -> bool:
        """Whether a result of the page has many channels, which are not those of the picture."""
        is_other = result.channels != self.signal.channels
        is_many = len(result.channels) >= FEWEST_MAPS
        return is_many and is_other and not self.needs_same_size

    def _filtered_channels(self) -> tuple[tuple[str, ...], int | None]:
        """The names of the channels that are filtered, and the index of the opacity among them."""
        if self.selection == "all":
            return self.layout.channels, self.layout.alpha
        if self.selection == "rgb":
            return self.layout.colour_names, None
        return (("Y",) if self.selection == "luma" else ("A",)), None

    def pieces(self) -> Iterator[Strip]:
        """Strips of rows as stored; a second call starts over.

        A damaged picture raises InputError.
        """
        return self._reader.strips(self._page)

    @property
    def seekable(self) -> bool:
        """Whether strips can be read from any strip on."""
        return self._reader.seekable(self._page)

    @property
    def block_lengths(self) -> list[int]:
        """How many rows each strip has."""
        return equal_lengths(self.layout.rows, self.layout.strip_rows)

    def blocks(self, wanted: range) -> Iterator[Strip]:
        """Yield consecutive strips of a seekable page by their numbers."""
        row = wanted.start * self.layout.strip_rows
        return islice(self._reader.strips_from(self._page, row), len(wanted))

    def decode(self, raw: Strip) -> Block:
        """The samples of a strip (rows, columns, channels), as stored or as float64.

        8 bits stay as stored where the results are only rounded, so that they may be filtered as
        bytes.
        """
        return Block(self._decode(raw.pixels))

    def _decode(self, pixels: Pixels) -> Pixels:
        is_byte = self.levels.dtype == np.uint8
        stays_stored = is_byte and self.levels.missing is None and not self._is_scaled
        if self.selection == "alpha":
            opacity = pixels[..., self.layout.alpha, None]
            return opacity if stays_stored else self.plain(opacity)
        if not stays_stored or self.linear or self.selection == "luma":
            pixels = self.light(pixels)
        if self.selection == "all":
            return pixels
        colours = pixels[..., self.layout.colours]
        return luma(colours) if self.selection == "luma" else colours

    def plain(self, pixels: Pixels) -> Array:
        """Stored samples as floating numbers, unchanged."""
        return in_type(pixels, np.float64)

    def light(self, pixels: Pixels) -> Array:
        """Stored samples as the filter gets them.

        Colours are in linear light if that was asked for, and NaN where the file says that a
        sample is missing.
        """
        if not self.linear:
            values = self.plain(pixels)
        else:
            values = light_table(int(self.levels.full))[pixels]
        if self.linear and self.layout.alpha is not None:
            values[..., self.layout.alpha] = pixels[..., self.layout.alpha]
        if self.levels.missing is None:
            return values
        is_missing = pixels == self.layout.dtype.type(self.levels.missing)
        if self.layout.alpha is not None:
            is_missing[..., self.layout.alpha] = False
        return np.where(is_missing, np.nan, values)


def _significant_bits(dtype: np.dtype[Any]) -> int:
    """`Signal.bits` of a picture that stores its samples in this type."""
    is_short = dtype.itemsize <= 2 or dtype == np.float32
    return 32 if is_short else 53


def _select_channels(layout: Layout, wanted: Channels) -> Channels:
    """`wanted`, or a simpler choice of channels that is the same.

    Raises RequestError if the picture has no such channels.
    """
    channels = list_channels(layout.channels)
    if wanted == "alpha" and layout.alpha is None:
        raise RequestError(
            f"--channels alpha: the picture has no opacity, only {channels}",
            hint="leave --channels out to filter every channel",
        )
    if wanted == "luma" and len(layout.colours) == 1:
        wanted = "rgb"  # grey is its own luma
    if wanted == "luma" and layout.channels[:3] != _RGB:
        raise RequestError(
            f"--channels luma needs red, green and blue, the picture has {channels}",
            hint="leave --channels out to filter every channel",
        )
    if wanted == "luma" and len(layout.colours) > 3:
        raise RequestError(
            f"--channels luma needs three colours, the picture has {len(layout.colours)}"
        )
    return "all" if wanted == "rgb" and layout.alpha is None else wanted


class ImageFile:
    """A picture file.

    pages : in their order; warnings : what is odd about the file or the options;
    needs_same_size : whether original channels complete the result of a page.
    """

    def __init__(
        self, name: str, picture: Picture, options: ImageOptions, *, held: Any = None
    ) -> None:
        self.name = name
        self.options = options
        self._picture = picture
        self._held = held  # keeps a temporary file alive
        reader = picture.reader()
        self.pages = [
            ImagePage(picture, page, options, reader) for page in range(len(picture.layouts))
        ]
        self.needs_same_size = any(page.needs_same_size for page in self.pages)
        self.warnings = picture.warnings
        if options.linear:
            self._check_linear()

    @property
    def details(self) -> ImageDetails:
        """Format, size and metadata of the file."""
        return self._picture.details

    def makes_maps(self, result: Signal) -> bool:
        """Whether a result of a page has many channels, which are not those of the picture."""
        return any(page.makes_maps(result) for page in self.pages)

    def reader(self) -> PictureReader:
        """A second run through the pixels, beside the one that feeds the filter."""
        return self._picture.reader()

    def _check_linear(self) -> None:
        layout = self.pages[0].layout
        if layout.channels[0] not in ("R", "grey"):
            raise RequestError(
                "--linear needs a grey or red-green-blue picture, "
                f"{self.name} has {list_channels(layout.channels)}",
                hint="convert it first, or leave --linear out",
            )
        if self.pages[0].selection == "alpha":
            raise RequestError(
                "--linear filters the light of colours, and --channels alpha the opacity alone",
                hint="leave --linear away",
            )
        if not self.pages[0].linear:
            self.warnings.append(
                "--linear: floating samples are taken for linear light as they are"
            )
        elif layout.dtype.itemsize > 2 or layout.dtype.kind == "i":
            sign = "signed ones of " if layout.dtype.kind == "i" else ""
            raise RequestError(
                "--linear needs unsigned samples of 8 or 16 bits, "
                f"{self.name} has {sign}{self.details.bits}",
                hint="leave --linear out; floating samples are taken for linear light as they are",
            )
        else:
            self._warn_of_curve()

    def _warn_of_curve(self) -> None:
        """Warn if the file says that its samples do not follow the curve of sRGB."""
        profile, chunk = self.details.icc, foreign_curve(self.details)
        if chunk is not None:
            self.warnings.append(
                f"--linear: the chunk {chunk} of the PNG names a curve that is not sRGB's; "
                "the sRGB curve is used"
            )
        elif profile and not is_srgb_profile(profile):
            self.warnings.append(
                "--linear: the picture has a colour profile that is not sRGB; "
                "the sRGB curve is used"
            )


def open_image(
    path: Path | None,
    *,
    stdin: BinaryIO | None = None,
    options: ImageOptions,
    pages: PageChoice | None = None,
    max_pixels: int = 10**9,
) -> ImageFile:
    """Open a picture by its headers; no pixel is decoded. path : None reads `stdin`.

    pages : which are read; None for all
    max_pixels : of all pages together; a header that promises more is refused

    Raises
    ------
    InputError
        what cannot be read: missing, no picture, cut off, damaged, too many pixels
    RequestError
        options that do not fit the picture, and pages that it does not have
    """
    name = "standard input" if path is None else str(path)
    try:
        data, held = _get_data(path, stdin)
        head = data[:12] if isinstance(data, bytes) else _read_head(data)
        if not head:
            raise InputError(f"{name} is empty: expected a picture")
        if head.startswith(BMP_MARK):
            data = bmp_as_png(data, name, max_pixels=max_pixels)
        warnings: list[str] = []
        if is_heic(head):
            data, warnings = heic_as_png(data, name, max_pixels=max_pixels)
        opener = PnmPicture if MAGIC.match(head) else VipsPicture
        picture = opener(data, name, pages=pages, max_pixels=max_pixels)
        picture.warnings += warnings
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}") from error
    return ImageFile(name, picture, options, held=held)


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


def _get_data(path: Path | None, stdin: BinaryIO | None) -> tuple[bytes | Path, Any]:
    """A file's path, or the content of a pipe; and what keeps a temporary file in place."""
    if path is not None and stat.S_ISREG(path.stat().st_mode):
        return path, None
    if path is None:
        if stdin is None:
            raise InputError("expected a picture on standard input, which is closed")
        return _stored_pipe(stdin, "standard input")
    with path.open("rb") as pipe:
        return _stored_pipe(pipe, str(path))


def _stored_pipe(pipe: BinaryIO, name: str) -> tuple[bytes | Path, Any]:
    """The bytes of a pipe, or a temporary file with them and the object that keeps it.

    name : of the pipe, for errors
    """
    data = pipe.read(_MOST_HELD)
    more = pipe.read(1)
    if not more:
        return data, None
    file, path = scratch()
    keep_stream(pipe, file, name=name, first=data + more)
    return path, _TemporaryFile(file)


class _TemporaryFile:
    """A file that is closed, and so deleted, when the picture that is read from it is gone."""

    def __init__(self, file: BinaryIO) -> None:
        self._closing = weakref.finalize(self, file.close)
