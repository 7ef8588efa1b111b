"""What a picture file says besides its pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.media.images.tiff import TiffFields

# A field as libvips keeps it: name, number of its GLib type, value.
VipsField = tuple[str, int, Any]
# The field of the gain map of a JPEG.
_GAIN_MAP = "gainmap-data"
# EXIF orientations from here on exchange rows and columns.
_FIRST_TURNED = 5


@dataclass(frozen=True, kw_only=True)
class ImageDetails:
    """What a picture file says besides its pixels.

    format : its name (`png`, `jpeg`, `tiff`, ...)
    loader : the operation of libvips that reads it, or `netpbm`
    pages : number of pictures in the file
    page_indices : which of them are read, counted from 0; what is said here is said of the first
    bits : per stored sample
    interpretation : meaning of the samples in the words of libvips
    palette : whether the file stores indices into a list of colours
    interlaced : whether rows come in several passes, as in a progressive JPEG
    resolution : pixels per millimetre, across and down
    delays, loop : of an animation, in milliseconds and repetitions
    background : of an animated WebP, four bytes: blue, green, red, opacity
    icc, exif, xmp, iptc : metadata blocks as stored; EXIF with its orientation already applied
    damaged_icc : whether there is a colour profile that cannot be read, and so is not kept
    text : pairs of keyword and text
    comments : of a JPEG or a GIF, as stored; they are texts, too
    chunks : ancillary chunks of a PNG, pairs of type and body
    fields : metadata that libvips read and can write
    quality : of a JPEG, 1..100
    other_parts : what a JPEG holds beside its picture and the metadata that are kept
    small_colours : whether the colours of a JPEG have half of its sides; None of other formats
    lossless : whether a WebP is
    extra_bands : what the bands of a TIFF after its colours are, the values of its tag 338
    compression : of a TIFF, the value of its tag 259
    ways_of_storing : compression and tiles of the pages of a TIFF, in words, each once
    tile : width and height of the tiles of a TIFF; None if its rows are stored in strips
    white_is_zero : whether a TIFF stores white as 0
    page_fields : of a TIFF, for each page that is read: the fields that are kept as they are, by
        tag; those that describe the first page are in `exif`
    private_tags : of a TIFF, those that are not kept
    inner_pictures : pictures of a TIFF that belong to a page (SubIFDs), of all pages that are read
    orientation : EXIF orientation of the file, 1..8; the pixels are handed out upright
    """

    format: str
    loader: str
    pages: int
    bits: int
    interpretation: str
    page_indices: tuple[int, ...] = (0,)
    palette: bool = False
    interlaced: bool = False
    resolution: tuple[float, float] | None = None
    delays: tuple[int, ...] = ()
    loop: int | None = None
    background: bytes = b""
    icc: bytes | None = None
    damaged_icc: bool = False
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    comments: tuple[bytes, ...] = ()
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    fields: tuple[VipsField, ...] = ()
    quality: int | None = None
    other_parts: tuple[str, ...] = ()
    small_colours: bool | None = None
    lossless: bool | None = None
    extra_bands: tuple[int, ...] = ()
    compression: int | None = None
    ways_of_storing: tuple[str, ...] = ()
    tile: tuple[int, int] | None = None
    white_is_zero: bool = False
    page_fields: tuple[TiffFields, ...] = ()
    private_tags: tuple[int, ...] = ()
    inner_pictures: int = 0
    orientation: int = 1

    @property
    def turns_sides(self) -> bool:
        """Whether the rows of the upright picture are columns of the file."""
        return self.orientation >= _FIRST_TURNED

    @property
    def has_gain_map(self) -> bool:
        """Whether there is a map that makes the picture one of high dynamic range."""
        return self.field(_GAIN_MAP) is not None

    @property
    def has_chunk_text(self) -> bool:
        """Whether the text comes from chunks of a PNG, which other formats have no place for."""
        return bool(self.chunks and self.text)

    @property
    def has_metadata_blocks(self) -> bool:
        """Whether there is a colour profile, EXIF or XMP."""
        return bool(self.icc or self.exif or self.xmp)

    @property
    def blocks(self) -> dict[str, bytes]:
        """EXIF, XMP and IPTC, as far as they are there."""
        named = {"EXIF": self.exif, "XMP": self.xmp, "IPTC": self.iptc}
        return {name: block for name, block in named.items() if block}

    def has_chunk(self, kind: bytes) -> bool:
        """Whether a PNG has a chunk of this type, if it is one that describes pictures."""
        return any(known == kind for known, _ in self.chunks)

    def field(self, name: str) -> Any:
        """The value of a field of libvips, or None."""
        return next((value for known, _, value in self.fields if known == name), None)


def with_comments(details: ImageDetails, comments: tuple[bytes, ...]) -> ImageDetails:
    """The details with comments, which are also texts with the keyword of comments in a PNG."""
    texts = tuple(("Comment", _decode_comment(comment)) for comment in comments)
    return replace(details, comments=comments, text=details.text + texts)


def _decode_comment(comment: bytes) -> str:
    """A comment as UTF-8, or else as Latin-1."""
    try:
        return comment.decode("utf-8")
    except UnicodeDecodeError:
        return comment.decode("latin-1")
