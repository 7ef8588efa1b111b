"""The formats of pictures: an entry of `FORMATS` says how one is read and written."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from convcli.dataclass import dataclass
from convcli.errors import RequestError, nearest
from convcli.media.images.exif import resize_exif
from convcli.media.images.gif import complete_gif, inspect_gif
from convcli.media.images.jpeg import (
    DEFAULT_QUALITY,
    LARGEST_BLOCK,
    inspect_jpeg,
    jpeg_cut,
    jpeg_options,
    jpeg_segments,
)
from convcli.media.images.png import PNG_OPTIONS, describing_chunks, inspect_png, png_cut
from convcli.media.images.pnm import PamWriter, PbmWriter, PpmWriter
from convcli.media.images.tiff import graft_metadata, inspect_tiff, tiff_options
from convcli.media.images.tiff_bands import mark_bands, read_bands
from convcli.media.images.tiff_kinds import unread_tiff
from convcli.media.images.tiff_pixels import open_tiff_writer, plain_pixels
from convcli.media.images.vips import KEEP_ALL
from convcli.media.images.vips_writer import VipsWriter
from convcli.media.images.webp import inspect_webp, webp_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from convcli.media.division import PartOfFile
    from convcli.media.images.details import ImageDetails
    from convcli.media.images.inserting import HeadCut
    from convcli.media.images.layout import Layout, Pixels
    from convcli.media.images.tiff_bands import PageBands
    from convcli.places import Place


class PictureWriter(Protocol):
    """Writes the pages of one file.

    `pack` may run in any thread; the other methods run in one, in order.
    """

    def pack(self, pixels: Pixels) -> Any:
        """A strip as `append` takes it."""
        ...

    def start(self, layout: Layout) -> None:
        """Begin a page of this layout."""
        ...

    def append(self, packed: Any) -> None:
        """Add a strip that `pack` returned."""
        ...

    def finish(self) -> None:
        """End the file, and wait until it is written."""
        ...

    def discard(self) -> None:
        """Give up, and close what is open."""
        ...

    @property
    def shared(self) -> SharedWriter | None:
        """The writer itself, if other writers may write parts of the only page; else None."""
        ...


class SharedWriter(Protocol):
    """Writes a page of which other writers write parts."""

    def reserve(self, layout: Layout) -> None:
        """Make room for the pixels that other writers write."""
        ...

    def skip(self, rows: int) -> None:
        """Skip rows that another writer has written."""
        ...


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
    """

    format: Format
    layouts: Sequence[Layout]
    details: ImageDetails
    quality: int | None
    same_colours: bool
    same_geometry: bool
    part: PartOfFile | None = None
    bits: int | None = None

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
class Format:
    """A format of pictures.

    suffixes : of its files; none if it is only read
    beginnings : first bytes of its files
    brand : or else their bytes 8 to 11
    aliases : further names for `--format`
    kinds : NumPy type codes that it stores; samples of other types become the first

    What a file holds:

    most_channels, alpha, cmyk : how many channels, whether one may be the opacity, whether colours
        may be inks
    pages, mixed_pages : whether it holds several pictures, and whether they may differ in size and
        channels
    limited_palette : whether a picture has 256 colours at most
    lossy : whether pixels are stored with a loss, by a quality of 1..100
    few_bits : whether samples of grey may have 1, 2 or 4 bits
    interlaces : whether rows may come in several passes
    any_white : whether it says which value is white, so that it may be any
    white : the only value that is white, if it is not the largest of the type
    chunk_text, comments, metadata_blocks : whether it has a place for the text of a PNG; for
        comments; for colour profile, EXIF and XMP
    largest_block : the most bytes that it holds of EXIF, XMP or IPTC; None for any number

    How it is read by libvips:

    fail_on : the least severe message of the decoder that means damaged pixels
    animated : whether each page is made from the one before, so that libvips decodes all pages as
        one image
    inspect : adds what libvips does not report to the details
    unread : names a kind of picture in the file that libvips does not read, with a hint
    bands : what each page says of its bands; None if libvips knows it
    plain_pixels : where the pixels of pages begin that need no decoder, given the layouts of pages
        by their index in the file; None if there are none

    How it is written:

    writer : opens the output
    options, options_for : for the saver of libvips; those that are always the same, and those that
        depend on the output
    insert : bytes between the header and the pixels, in place of all metadata that libvips writes
    cut : finds the place for them in the first bytes
    complete : mends the file that libvips has written
    by_name : whether libvips writes it only to a file whose name has its suffix
    forgets_failures : whether the saver of libvips takes no notice of a write that failed
    """

    name: str
    suffixes: tuple[str, ...] = ()
    beginnings: tuple[bytes, ...] = ()
    brand: bytes | None = None
    aliases: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("u1",)
    most_channels: int = 4
    alpha: bool = True
    cmyk: bool = False
    pages: bool = False
    mixed_pages: bool = False
    limited_palette: bool = False
    lossy: bool = False
    few_bits: bool = False
    interlaces: bool = False
    any_white: bool = False
    white: int | None = None
    chunk_text: bool = False
    comments: bool = False
    metadata_blocks: bool = True
    largest_block: int | None = None
    fail_on: str = "error"
    animated: bool = False
    inspect: Callable[[BinaryIO, ImageDetails], ImageDetails] | None = None
    unread: Callable[[BinaryIO], tuple[str, str] | None] | None = None
    bands: Callable[[BinaryIO, int], list[PageBands]] | None = None
    plain_pixels: Callable[[BinaryIO, Mapping[int, Layout]], dict[int, int]] | None = None
    writer: Callable[[Path | BinaryIO, WriteRequest], PictureWriter] = VipsWriter
    options: Mapping[str, object] = field(default_factory=dict)
    options_for: Callable[[WriteRequest], dict[str, object]] | None = None
    insert: Callable[[WriteRequest], bytes] | None = None
    cut: HeadCut | None = None
    complete: Callable[[BinaryIO, WriteRequest], None] | None = None
    by_name: bool = False
    forgets_failures: bool = False

    @property
    def is_roomy(self) -> bool:
        """Whether it holds any number of channels, of any meaning."""
        return self.most_channels > 4


def _complete_tiff(file: BinaryIO, request: WriteRequest) -> None:
    """Mark the extra bands of a TIFF, and add the EXIF and the IPTC of the input."""
    mark_bands(file, request)
    details = request.details
    if details.exif or details.iptc:
        graft_metadata(file, exif=details.exif, iptc=details.iptc)


def _quality_options(request: WriteRequest) -> dict[str, object]:
    return {"Q": request.quality or DEFAULT_QUALITY}


_ANY_KIND = ("u2", "u1", "i1", "i2", "u4", "i4", "f4", "f8")
_ANY_NUMBER = 10_000
_ALL = (
    Format(
        name="png",
        suffixes=(".png",),
        beginnings=(b"\x89PNG",),
        kinds=("u2", "u1"),
        chunk_text=True,
        few_bits=True,
        interlaces=True,
        inspect=inspect_png,
        options=PNG_OPTIONS,
        insert=describing_chunks,
        cut=png_cut,
        comments=True,
    ),
    Format(
        name="jpeg",
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
        beginnings=(b"\xff\xd8\xff",),
        # Pictures of high dynamic range are JPEGs, too.
        aliases=("jpg", "uhdr"),
        lossy=True,
        interlaces=True,
        alpha=False,
        cmyk=True,
        # Warnings of the TIFF reader are about unknown tags, those of the JPEG reader about damaged
        # pixels.
        fail_on="warning",
        inspect=inspect_jpeg,
        options_for=jpeg_options,
        insert=jpeg_segments,
        largest_block=LARGEST_BLOCK,
        cut=jpeg_cut,
        comments=True,
    ),
    Format(
        name="tiff",
        suffixes=(".tif", ".tiff"),
        beginnings=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        aliases=("tif",),
        kinds=_ANY_KIND,
        most_channels=_ANY_NUMBER,
        cmyk=True,
        few_bits=True,
        pages=True,
        inspect=inspect_tiff,
        unread=unread_tiff,
        bands=read_bands,
        plain_pixels=plain_pixels,
        writer=open_tiff_writer,
        options_for=tiff_options,
        complete=_complete_tiff,
    ),
    Format(
        name="webp",
        suffixes=(".webp",),
        brand=b"WEBP",
        lossy=True,
        pages=True,
        animated=True,
        inspect=inspect_webp,
        options_for=webp_options,
    ),
    Format(
        name="gif",
        suffixes=(".gif",),
        beginnings=(b"GIF8",),
        pages=True,
        limited_palette=True,
        interlaces=True,
        animated=True,
        inspect=inspect_gif,
        complete=complete_gif,
        forgets_failures=True,
        comments=True,
    ),
    Format(
        name="avif",
        suffixes=(".avif",),
        brand=b"avif",
        lossy=True,
        pages=True,
        options_for=_quality_options,
    ),
    Format(
        name="ppm",
        suffixes=(".ppm", ".pgm", ".pnm"),
        beginnings=(b"P4", b"P5", b"P6"),
        aliases=("pgm", "pnm"),
        kinds=("u2", "u1"),
        alpha=False,
        pages=True,
        mixed_pages=True,
        any_white=True,
        metadata_blocks=False,
        writer=PpmWriter,
    ),
    Format(
        name="pbm",
        suffixes=(".pbm",),
        most_channels=1,
        alpha=False,
        pages=True,
        mixed_pages=True,
        white=1,
        metadata_blocks=False,
        writer=PbmWriter,
    ),
    Format(
        name="pam",
        suffixes=(".pam",),
        beginnings=(b"P7",),
        kinds=("u2", "u1"),
        cmyk=True,
        pages=True,
        mixed_pages=True,
        any_white=True,
        metadata_blocks=False,
        writer=PamWriter,
    ),
    Format(
        name="vips",
        suffixes=(".v", ".vips"),
        aliases=("v",),
        kinds=_ANY_KIND,
        most_channels=_ANY_NUMBER,
        cmyk=True,
        chunk_text=True,
        options={"keep": KEEP_ALL},
        by_name=True,
    ),
)
FORMATS = {each.name: each for each in _ALL}
_BY_ALIAS = {alias: each for each in _ALL for alias in each.aliases}
_BY_SUFFIX = {suffix: each for each in _ALL for suffix in each.suffixes}
_BEGINNINGS = tuple(beginning for each in _ALL for beginning in each.beginnings)
_BRANDS = {each.brand for each in _ALL if each.brand is not None}
# Offset and bytes by which formats are known whose codecs many builds of libvips lack.
_FOREIGN = (
    *((8, brand, "HEIC") for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm")),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"\0\0\1\0", "ICO"),
)


def format_by_suffix(path: Place) -> Format | None:
    """The format that the suffix of `path` names, or None."""
    return _BY_SUFFIX.get(path.suffix.lower())


def is_picture(head: bytes) -> bool:
    """Whether `head` is the beginning of a file in one of the formats."""
    return head.startswith(_BEGINNINGS) or head[8:12] in _BRANDS


def unread_kind(file: BinaryIO) -> tuple[str, str] | None:
    """The kind of picture in a file of a known format that libvips does not read, with a hint."""
    head = file.read(max(map(len, _BEGINNINGS)))
    for form in _ALL:
        if form.unread is not None and head.startswith(form.beginnings):
            return form.unread(file)
    return None


def foreign_format(head: bytes) -> str | None:
    """The name of a known format that libvips reads only where its codec is there, or None."""
    for place, mark, name in _FOREIGN:
        if head[place : place + len(mark)] == mark:
            return name
    return None


def find_format(name: str) -> Format:
    """The format called `name` (`png`, `jpg`, `.tif`). RequestError lists the known ones."""
    wanted = name.lower().lstrip(".")
    known = FORMATS | _BY_ALIAS
    if wanted in known:
        return known[wanted]
    hint = "the formats are " + ", ".join(FORMATS)
    near = nearest(wanted, list(known))
    if near is not None:
        hint = f"did you mean {near}?"
    raise RequestError(f"pictures are not written in the format {name!r}", hint=hint)


def format_for_reading(name: str) -> Format:
    """How files of a format are read; formats that are not written have no rules of their own."""
    return FORMATS.get(name) or _BY_ALIAS.get(name) or Format(name=name)
