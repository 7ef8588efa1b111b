"""What is known of a format of pictures, by subject, and what a writer of one is given."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from convcli.dataclass import dataclass
from convcli.media.images.exif import resize_exif
from convcli.media.images.vips_writer import VipsWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from convcli.media.division import PartOfFile
    from convcli.media.images.details import ImageDetails
    from convcli.media.images.layout import Layout, Pixels
    from convcli.media.images.tiff_reading import PageReading
    from convcli.media.images.vips_writer import HeadCut


class PictureWriter(Protocol):
    """Writes the pages of one file.

    `pack` may run in any thread; the other methods run in one, in order.
    """

    def pack(self, pixels: Pixels) -> Any:
        """A strip as `append` takes it."""

    def start(self, layout: Layout) -> None:
        """Begin a page of this layout."""

    def append(self, packed: Any) -> None:
        """Add a strip that `pack` returned."""

    def finish(self) -> None:
        """End the file, and wait until it is written."""

    def discard(self) -> None:
        """Give up, and close what is open."""

    @property
    def shared(self) -> SharedWriter | None:
        """The writer itself, if other writers may write parts of the only page; else None."""


class SharedWriter(Protocol):
    """Writes a page of which other writers write parts."""

    def reserve(self, layout: Layout) -> None:
        """Make room for the pixels that other writers write."""

    def skip(self, rows: int) -> None:
        """Skip rows that another writer has written."""


@dataclass(frozen=True, kw_only=True)
class WriteRequest:
    """What is to be written.

    layouts : the pixels of each page
    details : of the input
    quality : of lossy formats, 1..100; None keeps that of the input
    same_colours : whether the channels are those of the input, so that its colour profile fits
    same_geometry : whether the pixels are where they were in the file
    part : the part of the only page that is written; None for the whole file
    bits : of a sample, if fewer than 8
    first_page : the number of the first of these pages, if a page is written alone
    in_a_row : whether the uncompressed pixels of all pages follow each other without a gap
    """

    format: Format
    layouts: Sequence[Layout]
    details: ImageDetails
    quality: int | None
    same_colours: bool
    same_geometry: bool
    part: PartOfFile | None = None
    bits: int | None = None
    first_page: int = 0
    in_a_row: bool = False

    @property
    def keeps_gain_map(self) -> bool:
        """Whether the gain map of the input fits the picture, and its format holds one."""
        details = self.details
        is_same = self.same_colours and self.same_geometry and self.format.name == details.format
        return is_same and details.has_gain_map

    @property
    def exif(self) -> bytes:
        """The EXIF of the input with the size of the picture."""
        first = self.layouts[0]
        return resize_exif(self.details.exif or b"", first.columns, first.rows)


@dataclass(frozen=True, kw_only=True)
class FileMarks:
    """How files of a format are recognised, and what it is called.

    suffixes : of its files; none if it is only read
    beginnings : first bytes of its files
    brand : or else their bytes 8 to 11
    aliases : further names for `--format`
    """

    suffixes: tuple[str, ...] = ()
    beginnings: tuple[bytes, ...] = ()
    brand: bytes | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SampleStorage:
    """Which samples a format holds.

    kinds : NumPy type codes that it stores; samples of other types become the first
    most_channels, alpha, cmyk : how many channels, whether one may be the opacity, whether colours
        may be inks
    few_bits : whether samples of grey may have 1, 2 or 4 bits
    most_side : the most pixels of a side; None for any number
    most_colours : of a picture, beside a transparent one; None for any number
    lossy : whether pixels are stored with a loss, by a quality of 1..100
    interlaces : whether rows may come in several passes
    any_white : whether a file says which value is white, so that it may be any
    white : the only value that is white, if it is not the largest of the type
    """

    kinds: tuple[str, ...] = ("u1",)
    most_channels: int = 4
    alpha: bool = True
    cmyk: bool = False
    few_bits: bool = False
    most_side: int | None = None
    most_colours: int | None = None
    lossy: bool = False
    interlaces: bool = False
    any_white: bool = False
    white: int | None = None

    @property
    def is_roomy(self) -> bool:
        """Whether it holds any number of channels, of any meaning."""
        return self.most_channels > 4


@dataclass(frozen=True, kw_only=True)
class PageStorage:
    """Which pages a format holds.

    several : whether a file holds several pictures
    mixed : whether they may differ in size and channels
    animated : whether each page is made from the one before, so that libvips decodes all pages as
        one image
    """

    several: bool = False
    mixed: bool = False
    animated: bool = False


@dataclass(frozen=True, kw_only=True)
class TextStorage:
    """Which descriptions of a picture a format has a place for.

    chunk_text : the text of a PNG
    comments : comments
    blocks : colour profile, EXIF and XMP
    iptc : IPTC
    largest_block : the most bytes that it holds of EXIF, XMP or IPTC; None for any number
    """

    chunk_text: bool = False
    comments: bool = False
    blocks: bool = True
    iptc: bool = False
    largest_block: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReadingRules:
    """How a format is read by libvips, and what it does not report.

    fail_on : the least severe message of the decoder that means damaged pixels
    inspect : adds what libvips does not report to the details
    first_cut_page : the first page, from 0, of which the file lacks a part because it is cut off,
        given the number of pages that libvips finds; None if no page is known to lack any
    unread : names a kind of picture in the file that libvips does not read, with a hint
    pages : how each page, of as many, is read; None if libvips needs no help with them
    is_opaque : whether the pictures of a file have no transparent pixel, although libvips gives
        them an opacity
    plain_pixels : where the pixels of pages begin that need no decoder, given the layouts of pages
        by their index in the file; None if there are none
    """

    fail_on: str = "error"
    inspect: Callable[[BinaryIO, ImageDetails], ImageDetails] | None = None
    first_cut_page: Callable[[BinaryIO, int], int | None] | None = None
    unread: Callable[[BinaryIO], tuple[str, str] | None] | None = None
    pages: Callable[[BinaryIO, int], list[PageReading]] | None = None
    is_opaque: Callable[[BinaryIO], bool] | None = None
    plain_pixels: Callable[[BinaryIO, Mapping[int, Layout]], dict[int, int]] | None = None


@dataclass(frozen=True, kw_only=True)
class WritingRules:
    """How a format is written, by libvips where `writer` is not another one.

    writer : opens the output
    options, options_for : for the saver of libvips; those that are always the same, and those that
        depend on the output
    prepare : changes the image that libvips writes
    insert : bytes between the header and the pixels, in place of all metadata that libvips writes
    cut : finds the place for them in the first bytes
    complete : repairs the file that libvips has written
    losses : warnings about how the pixels were stored and will be
    by_name : whether libvips writes it only to a file whose name has its suffix
    forgets_failures : whether the saver of libvips takes no notice of a write that failed
    """

    writer: Callable[[Path | BinaryIO, WriteRequest], PictureWriter] = VipsWriter
    options: Mapping[str, object] = field(default_factory=dict)
    options_for: Callable[[WriteRequest], dict[str, object]] | None = None
    prepare: Callable[[Any, WriteRequest], Any] | None = None
    insert: Callable[[WriteRequest], bytes] | None = None
    cut: HeadCut | None = None
    complete: Callable[[BinaryIO, WriteRequest], None] | None = None
    losses: Callable[[WriteRequest], Iterable[str]] | None = None
    by_name: bool = False
    forgets_failures: bool = False


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of pictures: how its files are recognised, what they hold, how they are made."""

    name: str
    marks: FileMarks = FileMarks()
    samples: SampleStorage = SampleStorage()
    pages: PageStorage = PageStorage()
    texts: TextStorage = TextStorage()
    reading: ReadingRules = ReadingRules()
    writing: WritingRules = WritingRules()
