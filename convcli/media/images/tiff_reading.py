"""What libvips does not read in a TIFF, misreads, or reaches slowly, page by page.

Tag 338 (ExtraSamples) gives the meaning of every band after the colours. libvips takes the first of
them for the opacity, whatever the tag says. It misreads grey pictures whose bands are stored in
separate planes; it reads them well if the file calls them red, green and blue. Floating colours
that are multiplied by the opacity it divides wrongly: grey ones by 1/255 of it, and those of pixels
that are almost transparent become 0; quotients of whole numbers it cuts off. They are read as they
are, and divided by `with_straight_alpha`. Floating samples of 64 bits are read without it where
they are not compressed, else as bytes. It mixes up the rows of floating samples of 16 bits in
separate planes; they are read as whole numbers. It fails on other kinds with the words that it also
has for damaged files. Tags after TIFF 6.0, sections 8, 18 and 23.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.images.tiff import SHORT, shorts_field, tiff_pages
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import AnyArray
    from convcli.media.images.tiff import TiffFields, TiffPage
    from convcli.media.images.vips_file import Patch

_KIND, _WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 254, 256, 258, 259, 262, 274
_BAND_COUNT, _PLANAR, _PREDICTOR, _TILE_WIDTH = 277, 284, 317, 322
_EXTRA_BANDS, _SAMPLE_FORMAT = 338, 339
_TAGS = (_KIND, _WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _BAND_COUNT, _PLANAR,
         _PREDICTOR, _TILE_WIDTH, _EXTRA_BANDS, _SAMPLE_FORMAT)  # fmt: skip
# Values of these tags.
_SMALLER_COPY = 1
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RED_GREEN_BLUE, _CIELAB = 0, 1, 2, 8
_SEPARATE_PLANES = 2
_UNCOMPRESSED = 1
PREMULTIPLIED, OPACITY = 1, 2
_FLOATING_PREDICTOR = 3
_UNSIGNED, _FLOATING = 1, 3
# Whole and floating complex numbers.
_COMPLEX = (5, 6)

# Compressions that the binary builds of libvips read: none, fax, LZW, JPEG, Deflate, NeXT,
# PackBits, ThunderScan and LogLuv.
_READ_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32766, 32771, 32773, 32809, 32946, 34676, 34677)
# Compressions that they lack.
_CODECS = {
    6: "JPEG in its old form",
    9: "JBIG",
    10: "JBIG",
    22610: "JPEG XR",
    32909: "PixarLog",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34712: "JPEG 2000",
    34715: "JBIG2",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    34925: "LZMA",
    34926: "Zstandard",
    34927: "WebP",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_READ_BITS = (1, 2, 4, 8, 16, 32)
_HALF_BITS, _WIDE_BITS, _BITS_INSTEAD = 16, 64, 32
_WIDE_BYTES = 8
# Tags that are 1 in a page of one band, upright, and without a predictor.
_EXPECTED_1 = (_ORIENTATION, _BAND_COUNT, _PREDICTOR)
# Directories that are looked at.
_MOST_PAGES = 1000


@dataclass(frozen=True)
class WholeNumbers:
    """How libvips decodes floating samples as whole numbers.

    patches : by which it takes them for whole numbers
    dtype : of the samples
    columns : of the whole numbers, for each column of the picture
    """

    patches: tuple[Patch, ...]
    dtype: np.dtype[Any]
    columns: int = 1


@dataclass(frozen=True, kw_only=True)
class PageReading:
    """How a page is read.

    meanings : of each band after the colours, in the numbers of tag 338
    patches : offsets and bytes without which libvips misreads the page
    in_planes : whether the bands are grey, in separate planes, and called red, green and blue by a
        patch
    inverted : whether 0 is white
    called_black : whether 0 is white in samples that libvips does not invert, signed or floating
        ones; the result calls it black
    smaller_copy : whether the page is another one in a lower resolution
    premultiplied : whether the colours still have to be divided by the opacity
    lone : the patches that make the page the only one of its file. libvips reads all directories
        when it opens a page: 3,000 pages of 32x32 took 350 s, and take 8 s if each is alone
    wide : of floating samples of 64 bits, the patch by which libvips takes them for 32 bits, so
        that it reads everything but the pixels; empty for others
    as_whole : how libvips can decode samples as whole numbers that it does not decode rightly as
        floating ones; None for others
    """

    meanings: tuple[int, ...]
    patches: tuple[Patch, ...]
    in_planes: bool
    inverted: bool
    called_black: bool
    smaller_copy: bool
    premultiplied: bool
    lone: tuple[Patch, ...]
    wide: tuple[Patch, ...]
    as_whole: WholeNumbers | None

    @property
    def extra(self) -> tuple[bool, ...]:
        """Whether each band after the colours is an opacity."""
        return tuple(meaning in (PREMULTIPLIED, OPACITY) for meaning in self.meanings)


def read_tiff_pages(file: BinaryIO, pages: int) -> list[PageReading]:
    """How each page is read, up to the first directory that cannot be read."""
    return [_page_reading(file, directory) for directory in tiff_pages(file, pages)]


def _page_reading(file: BinaryIO, directory: TiffPage) -> PageReading:
    fields = directory.fields(file, _TAGS)
    meanings = fields[_EXTRA_BANDS].numbers() if _EXTRA_BANDS in fields else ()
    values = {tag: field.value for tag, field in fields.items()}
    is_grey = values.get(_PHOTOMETRIC) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    is_misread = is_grey and _are_in_planes(fields)
    premultiplied = PREMULTIPLIED in meanings
    patches = []
    if is_misread:
        patches.append(_as_colours(directory))
    if premultiplied:
        patches.append(_as_opacities(file, directory, meanings))
    is_wide = _is_wide(fields)
    as_whole = None
    if is_wide:
        as_whole = _as_whole_numbers(directory, values)
    elif _are_half_planes(fields):
        as_whole = _as_short_numbers(file, directory, fields[_SAMPLE_FORMAT].count)
    return PageReading(
        meanings=meanings,
        patches=tuple(patches),
        in_planes=is_misread,
        inverted=is_misread and values[_PHOTOMETRIC] == _WHITE_IS_ZERO,
        called_black=_is_called_black(values),
        smaller_copy=bool(values.get(_KIND, 0) & _SMALLER_COPY),
        premultiplied=premultiplied,
        lone=_as_lone_page(directory),
        wide=(_narrowing(file, directory, fields[_BITS].count),) if is_wide else (),
        as_whole=as_whole,
    )


def reading_losses(readings: Sequence[PageReading]) -> Iterator[str]:
    """Warnings about what TIFF pages say of themselves that a result does not."""
    if any(each.called_black for each in readings):
        yield (
            "0 is white in the TIFF, whose samples are signed or floating: they are filtered as "
            "they are, and the result calls 0 black"
        )
    copies = sum(each.smaller_copy for each in readings)
    if 0 < copies < len(readings):
        yield (
            f"the TIFF is a pyramid, with {plural(copies, 'page')} for smaller copies of others: "
            "each is filtered in pixels of its own, and written as a page like the others; "
            "--pages leaves them out"
        )


def _is_called_black(values: dict[int, int]) -> bool:
    """Whether a page says that 0 is white, of signed or floating samples."""
    is_unsigned = values.get(_SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED
    return values.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and not is_unsigned


def _as_colours(directory: TiffPage) -> Patch:
    """The patch by which grey bands are called red, green and blue."""
    colours = struct.pack(directory.variant.order + "H", _RED_GREEN_BLUE)
    return directory.value_place(_PHOTOMETRIC), colours


def _as_lone_page(directory: TiffPage) -> tuple[Patch, ...]:
    """The patches that make a page the first of its file, and the last."""
    variant = directory.variant
    first = variant.word.pack(directory.offset)
    no_next = variant.word.pack(0)
    return (variant.start_place, first), (directory.link_place, no_next)


def _as_opacities(file: BinaryIO, directory: TiffPage, meanings: tuple[int, ...]) -> Patch:
    """The patch by which premultiplied colours are called plain ones."""
    plain = [OPACITY if meaning == PREMULTIPLIED else meaning for meaning in meanings]
    data = struct.pack(f"{directory.variant.order}{len(plain)}H", *plain)
    return directory.values_place(file, _EXTRA_BANDS, len(data)), data


def with_straight_alpha(pixels: AnyArray, alpha: int) -> AnyArray:
    """Divide colours, (rows, columns, channels), by the opacity where it is not 0.

    Whole numbers are rounded, and those above the opacity become white.
    """
    opacity = pixels[..., alpha, None]
    is_visible = opacity != 0
    divided: AnyArray = np.array(pixels)
    if pixels.dtype.kind == "f":
        np.divide(pixels, opacity, out=divided, where=is_visible)
    else:
        # The product first: it is exact, so that ties are rounded as ties.
        scaled = np.minimum(pixels, opacity) * float(np.iinfo(pixels.dtype).max)
        np.divide(scaled, opacity, out=scaled, where=is_visible)
        np.copyto(divided, np.rint(scaled), "unsafe", where=is_visible)
    divided[..., alpha] = pixels[..., alpha]
    return divided


def _is_wide(fields: TiffFields) -> bool:
    """Whether the samples of a page are floating numbers of 64 bits, all of them."""
    return _has_floats(fields, _WIDE_BITS)


def _has_floats(fields: TiffFields, wanted: int) -> bool:
    """Whether all samples of a page are floating numbers of `wanted` bits."""
    if not {_BITS, _SAMPLE_FORMAT} <= fields.keys():
        return False
    bits = fields[_BITS]
    if bits.kind != SHORT or fields[_SAMPLE_FORMAT].value != _FLOATING:
        return False
    return set(bits.numbers()) == {wanted}


def _narrowing(file: BinaryIO, directory: TiffPage, count: int) -> Patch:
    """The patch by which the samples of `count` bands, of 64 bits, are taken for 32 bits."""
    narrow = shorts_field(*[_BITS_INSTEAD] * count).stored(directory.variant.order)
    return directory.values_place(file, _BITS, len(narrow)), narrow


def _are_in_planes(fields: TiffFields) -> bool:
    """Whether each band of a page is stored by itself."""
    if not {_PLANAR, _BAND_COUNT} <= fields.keys():
        return False
    return fields[_PLANAR].value == _SEPARATE_PLANES and fields[_BAND_COUNT].value > 1


def _are_half_planes(fields: TiffFields) -> bool:
    """Whether a page has floating samples of 16 bits, each band by itself."""
    return _are_in_planes(fields) and _has_floats(fields, _HALF_BITS)


def _as_short_numbers(file: BinaryIO, directory: TiffPage, count: int) -> WholeNumbers:
    """How the samples of `count` bands, of 16 bits, are decoded as whole numbers."""
    whole = shorts_field(*[_UNSIGNED] * count).stored(directory.variant.order)
    place = directory.values_place(file, _SAMPLE_FORMAT, len(whole))
    return WholeNumbers(((place, whole),), np.dtype(np.float16))


def _as_whole_numbers(directory: TiffPage, values: dict[int, int]) -> WholeNumbers | None:
    """How samples of 64 bits are decoded as rows of bytes.

    They have one band and no predictor, which works on whole samples; None for others.
    """
    is_plain = all(values.get(tag, 1) == 1 for tag in _EXPECTED_1)
    is_grey = values.get(_PHOTOMETRIC) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    if not is_plain or not is_grey or _WIDTH not in values:
        return None
    # libvips would invert bytes whose 0 is white.
    changed = {_BITS: 8, _SAMPLE_FORMAT: _UNSIGNED, _PHOTOMETRIC: _BLACK_IS_ZERO}
    for tag in {_WIDTH, _TILE_WIDTH} & values.keys():
        changed[tag] = values[tag] * _WIDE_BYTES
    if max(changed.values()) >= 1 << 32:  # a damaged file
        return None
    patches = [directory.entry_patch(tag, value) for tag, value in changed.items()]
    dtype = np.dtype(f"{directory.variant.order}f8")
    return WholeNumbers(tuple(patches), dtype, columns=_WIDE_BYTES)


def unread_tiff(file: BinaryIO) -> tuple[str, str] | None:
    """What kind of picture a TIFF holds that is not read, and what to do; None if all are read."""
    for directory in tiff_pages(file, _MOST_PAGES):
        found = _unread_page(file, directory)
        if found is not None:
            return found
    return None


def _unread_planes(fields: TiffFields) -> str | None:
    """What is stored in separate planes that is not read so, if anything is."""
    if _PLANAR not in fields or fields[_PLANAR].value != _SEPARATE_PLANES:
        return None
    if _TILE_WIDTH in fields:
        return "tiles with bands in separate planes"
    has_predictor = _PREDICTOR in fields and fields[_PREDICTOR].value == _FLOATING_PREDICTOR
    if has_predictor and _are_half_planes(fields):
        return "16-bit floating samples in separate planes with a predictor"
    return None


def _unread_page(file: BinaryIO, directory: TiffPage) -> tuple[str, str] | None:
    fields = directory.fields(file, _TAGS)
    values = {tag: field.value for tag, field in fields.items()}
    bits = values.get(_BITS, 1)
    if values.get(_PHOTOMETRIC) == _CIELAB and bits == 8:
        return "colours in CIELAB of 8 bits", "convert it to RGB, or to CIELAB of 16 bits, first"
    planes = _unread_planes(fields)
    if planes is not None:
        return planes, "store the bands of a pixel side by side"
    compression = values.get(_COMPRESSION, _UNCOMPRESSED)
    if compression not in _READ_COMPRESSIONS:
        codec = _CODECS.get(compression, f"method {compression} of TIFF")
        return f"pixels compressed by {codec}", "store it with LZW or Deflate first"
    if bits in _READ_BITS or _is_wide(fields):
        return None
    if values.get(_SAMPLE_FORMAT) in _COMPLEX:
        return (
            "complex samples",
            "store real and imaginary parts as bands of 32-bit floating samples first",
        )
    kind = f"{bits}-bit floating" if values.get(_SAMPLE_FORMAT) == _FLOATING else f"{bits}-bit"
    enough = 16 if bits < 16 else 32
    return f"{kind} samples", f"store it with {enough}-bit samples first"
