"""The formats of pictures: an entry of `FORMATS` says how one is read and written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from convcli.errors import RequestError, nearest
from convcli.media.images.avif import avif_losses, avif_options, inspect_avif, round_to_bits
from convcli.media.images.gif import complete_gif, first_cut_frame, inspect_gif, is_opaque_gif
from convcli.media.images.jpeg import (
    LARGEST_BLOCK,
    inspect_jpeg,
    jpeg_cut,
    jpeg_options,
    jpeg_segments,
)
from convcli.media.images.made_up_resolution import complete_avif, complete_webp
from convcli.media.images.picture_format import (
    FileMarks,
    Format,
    PageStorage,
    ReadingRules,
    SampleStorage,
    TextStorage,
    WritingRules,
)
from convcli.media.images.png import PNG_OPTIONS, describing_chunks, inspect_png, png_cut
from convcli.media.images.pnm import PamWriter, PbmWriter, PpmWriter
from convcli.media.images.tiff import (
    change_pages,
    first_cut_page,
    inspect_tiff,
    tiff_losses,
    tiff_options,
)
from convcli.media.images.tiff_kept import mark_bands, page_changes, read_page_fields
from convcli.media.images.tiff_pixels import open_tiff_writer, plain_pixels
from convcli.media.images.tiff_reading import read_tiff_pages, unread_tiff
from convcli.media.images.vips import KEEP_ALL
from convcli.media.images.webp import inspect_webp, webp_options

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.media.images.details import ImageDetails
    from convcli.media.images.picture_format import WriteRequest
    from convcli.places import Place


def _complete_tiff(file: BinaryIO, request: WriteRequest) -> None:
    """Mark the extra bands of a TIFF, and put in what its pages say of themselves."""
    mark_bands(file, request)
    change_pages(file, page_changes(request))


def _inspect_tiff(file: BinaryIO, details: ImageDetails) -> ImageDetails:
    """The details with what libvips does not report of a TIFF."""
    fields, private = read_page_fields(file, details.page_indices)
    return replace(inspect_tiff(file, details), page_fields=fields, private_tags=private)


_ANY_KIND = ("u2", "u1", "i1", "i2", "u4", "i4", "f4", "f8")
_ANY_NUMBER = 10_000
_ALL = (
    Format(
        name="png",
        marks=FileMarks(suffixes=(".png",), beginnings=(b"\x89PNG",)),
        samples=SampleStorage(kinds=("u2", "u1"), few_bits=True, interlaces=True),
        texts=TextStorage(chunk_text=True, comments=True),
        reading=ReadingRules(inspect=inspect_png),
        writing=WritingRules(options=PNG_OPTIONS, insert=describing_chunks, cut=png_cut),
    ),
    Format(
        name="jpeg",
        marks=FileMarks(
            suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
            beginnings=(b"\xff\xd8\xff",),
            # Pictures of high dynamic range are JPEGs, too.
            aliases=("jpg", "uhdr"),
        ),
        samples=SampleStorage(
            lossy=True, interlaces=True, alpha=False, cmyk=True, most_side=65_500
        ),
        texts=TextStorage(largest_block=LARGEST_BLOCK, comments=True, iptc=True),
        reading=ReadingRules(
            # Damaged pixels are warnings.
            fail_on="warning",
            inspect=inspect_jpeg,
        ),
        writing=WritingRules(options_for=jpeg_options, insert=jpeg_segments, cut=jpeg_cut),
    ),
    Format(
        name="tiff",
        marks=FileMarks(
            suffixes=(".tif", ".tiff"),
            beginnings=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
            aliases=("tif",),
        ),
        samples=SampleStorage(kinds=_ANY_KIND, most_channels=_ANY_NUMBER, cmyk=True, few_bits=True),
        pages=PageStorage(several=True, mixed=True),
        texts=TextStorage(iptc=True),
        reading=ReadingRules(
            # Damaged tiles are warnings.
            fail_on="warning",
            inspect=_inspect_tiff,
            first_cut_page=first_cut_page,
            unread=unread_tiff,
            pages=read_tiff_pages,
            plain_pixels=plain_pixels,
        ),
        writing=WritingRules(
            writer=open_tiff_writer,
            options_for=tiff_options,
            complete=_complete_tiff,
            losses=tiff_losses,
        ),
    ),
    Format(
        name="webp",
        marks=FileMarks(suffixes=(".webp",), brand=b"WEBP"),
        samples=SampleStorage(lossy=True, most_side=16_383),
        pages=PageStorage(several=True, animated=True),
        reading=ReadingRules(inspect=inspect_webp),
        writing=WritingRules(options_for=webp_options, complete=complete_webp),
    ),
    Format(
        name="gif",
        marks=FileMarks(suffixes=(".gif",), beginnings=(b"GIF8",)),
        samples=SampleStorage(most_colours=255, interlaces=True, most_side=65_535),
        pages=PageStorage(several=True, animated=True),
        texts=TextStorage(comments=True, blocks=False),
        reading=ReadingRules(
            inspect=inspect_gif, is_opaque=is_opaque_gif, first_cut_page=first_cut_frame
        ),
        # Each frame gets its own colours, not those of the frame before if they are near.
        writing=WritingRules(
            options={"interpalette_maxerror": 0},
            complete=complete_gif,
            forgets_failures=True,
        ),
    ),
    Format(
        name="avif",
        marks=FileMarks(suffixes=(".avif",), brand=b"avif"),
        samples=SampleStorage(kinds=("u2", "u1"), lossy=True, most_side=16_384),
        pages=PageStorage(several=True),
        reading=ReadingRules(inspect=inspect_avif),
        writing=WritingRules(
            options_for=avif_options,
            prepare=round_to_bits,
            complete=complete_avif,
            losses=avif_losses,
        ),
    ),
    Format(
        name="ppm",
        marks=FileMarks(
            suffixes=(".ppm", ".pnm"),
            beginnings=(b"P4", b"P5", b"P6"),
            aliases=("pnm",),
        ),
        samples=SampleStorage(kinds=("u2", "u1"), alpha=False, any_white=True),
        pages=PageStorage(several=True, mixed=True),
        texts=TextStorage(blocks=False),
        writing=WritingRules(writer=PpmWriter),
    ),
    Format(
        name="pgm",
        marks=FileMarks(suffixes=(".pgm",)),
        samples=SampleStorage(kinds=("u2", "u1"), most_channels=1, alpha=False, any_white=True),
        pages=PageStorage(several=True, mixed=True),
        texts=TextStorage(blocks=False),
        writing=WritingRules(writer=PpmWriter),
    ),
    Format(
        name="pbm",
        marks=FileMarks(suffixes=(".pbm",)),
        samples=SampleStorage(most_channels=1, alpha=False, white=1),
        pages=PageStorage(several=True, mixed=True),
        texts=TextStorage(blocks=False),
        writing=WritingRules(writer=PbmWriter),
    ),
    Format(
        name="pam",
        marks=FileMarks(suffixes=(".pam",), beginnings=(b"P7",)),
        samples=SampleStorage(kinds=("u2", "u1"), cmyk=True, any_white=True),
        pages=PageStorage(several=True, mixed=True),
        texts=TextStorage(blocks=False),
        writing=WritingRules(writer=PamWriter),
    ),
    Format(
        name="vips",
        marks=FileMarks(suffixes=(".v", ".vips"), aliases=("v",)),
        samples=SampleStorage(kinds=_ANY_KIND, most_channels=_ANY_NUMBER, cmyk=True),
        texts=TextStorage(chunk_text=True, iptc=True),
        writing=WritingRules(options={"keep": KEEP_ALL}, by_name=True),
    ),
)
FORMATS = {each.name: each for each in _ALL}
_BY_ALIAS = {alias: each for each in _ALL for alias in each.marks.aliases}
_BY_SUFFIX = {suffix: each for each in _ALL for suffix in each.marks.suffixes}
_BEGINNINGS = tuple(beginning for each in _ALL for beginning in each.marks.beginnings)
_BRANDS = {each.marks.brand for each in _ALL if each.marks.brand is not None}
# Offset and bytes by which formats are known whose codecs many builds of libvips lack.
_FOREIGN = (
    *((8, brand, "HEIC") for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm")),
    (8, b"avis", "AVIF sequence"),
    (8, b"msf1", "HEIF sequence"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"#?R", "Radiance HDR"),
    (0, b"\0\0\2\0\0\0\0\0", "TGA"),
    (0, b"\0\0\12\0\0\0\0\0", "TGA"),
    (0, b"ZISRAWFILE", "CZI"),
    (0, b"\xda\xce\xbe\x0a", "ND2"),
    (0, b"\x70\0\0\0", "LIF"),
    (128, b"DICM", "DICOM"),
    (208, b"MAP ", "MRC"),
    *((344, mark, "NIfTI") for mark in (b"n+1\0", b"ni1\0")),
)
# Those of instruments, whose samples and stacks ImageMagick does not keep and Bio-Formats does.
_OF_INSTRUMENTS = frozenset({"CZI", "DICOM", "FITS", "LIF", "MRC", "ND2", "NIfTI"})
# Those of floating samples, which a PNG does not hold.
_FLOATING = frozenset({"OpenEXR", "Radiance HDR"})
_KEEP_FLOATS = ("-define", "quantum:format=floating-point", "-depth", "32")


def format_by_suffix(path: Place) -> Format | None:
    """The format that the suffix of `path` names, or None."""
    return _BY_SUFFIX.get(path.suffix.lower())


def is_picture(head: bytes) -> bool:
    """Whether `head` is the beginning of a file in one of the formats."""
    return head.startswith(_BEGINNINGS) or head[8:12] in _BRANDS


def unread_kind(file: BinaryIO) -> tuple[str, str] | None:
    """The kind of picture in a file of a known format that libvips does not read, with a hint."""
    unread = rules_for_reading(file).unread
    return None if unread is None else unread(file)


def rules_for_reading(file: BinaryIO) -> ReadingRules:
    """The rules of the format whose files begin as this one does."""
    head = file.read(max(map(len, _BEGINNINGS)))
    for form in _ALL:
        if head.startswith(form.marks.beginnings):
            return form.reading
    return ReadingRules()


def foreign_format(head: bytes) -> str | None:
    """The name of a known format that libvips reads only where its codec is there, or None."""
    for place, mark, name in _FOREIGN:
        if head[place : place + len(mark)] == mark:
            return name
    return None


def conversion_of(name: str, path: Path | None) -> tuple[str, list[str]]:
    """A program that reads a foreign format, and its command that keeps the samples.

    path : of the file, None for standard input
    """
    if name in _OF_INSTRUMENTS:
        source, stem = ("FILE", "FILE") if path is None else (str(path), path.stem)
        return "Bio-Formats", ["bfconvert", source, f"{stem}.ome.tif"]
    kind = "tif" if name in _FLOATING else "png"
    options = _KEEP_FLOATS if name in _FLOATING else ()
    names = ("-", f"{kind}:-") if path is None else (str(path), f"{path.stem}.{kind}")
    return "ImageMagick", ["magick", names[0], *options, names[1]]


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
