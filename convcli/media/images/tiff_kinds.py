"""Kinds of TIFF that libvips does not read: other numbers of bits, tiles in planes, some codecs.

Floating samples of 64 bits are read without it where they are not compressed, else as bytes.

libvips fails on them with the words that it also has for damaged files. Tags after TIFF 6.0,
sections 8 and 23.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.images.tiff import SHORT, shorts_field, tiff_pages

if TYPE_CHECKING:
    from convcli.media.images.patched import Patch
    from convcli.media.images.tiff import TiffFields, TiffPage

_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANAR, _TILE_WIDTH = 258, 259, 262, 284, 322
_SAMPLE_FORMAT = 339
_TAGS = (_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANAR, _TILE_WIDTH, _SAMPLE_FORMAT)
_SEPARATE_PLANES = 2
# Compressions that the binary builds of libvips lack.
_CODECS = {
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_READ_BITS = (1, 2, 4, 8, 16, 32)
_FLOATING, _CIELAB = 3, 8
# Whole and floating complex numbers.
_COMPLEX = (5, 6)
_WIDE_BITS, _BITS_INSTEAD = 64, 32
_WIDE_BYTES = 8
_WIDTH, _ORIENTATION, _BAND_COUNT, _PREDICTOR = 256, 274, 277, 317
# Tags that are 1 in a page of one band, upright, with 0 as black, and without a predictor.
_EXPECTED_1 = (_PHOTOMETRIC, _ORIENTATION, _BAND_COUNT, _PREDICTOR)
_WIDE_TAGS = (*_EXPECTED_1, _WIDTH, _TILE_WIDTH, _BITS, _SAMPLE_FORMAT)
# Directories that are looked at.
_MOST_PAGES = 1000


@dataclass(frozen=True)
class WideRows:
    """The patches by which libvips takes samples for bytes, and the type of the samples."""

    patches: tuple[Patch, ...]
    dtype: np.dtype[Any]


def unread_tiff(file: BinaryIO) -> tuple[str, str] | None:
    """What kind of picture a TIFF holds that is not read, and what to do; None if all are read."""
    for directory in tiff_pages(file, _MOST_PAGES):
        found = _unread_page(file, directory)
        if found is not None:
            return found
    return None


def wide_pages(file: BinaryIO, pages: int) -> dict[int, tuple[Patch, ...]]:
    """The pages of 64-bit floating samples, with the patch by which libvips takes them for 32-bit.

    So it reads everything but the pixels.
    """
    found: dict[int, tuple[Patch, ...]] = {}
    for page, directory in enumerate(tiff_pages(file, pages)):
        fields = directory.fields(file, (_BITS, _SAMPLE_FORMAT))
        if _is_wide(fields):
            bits = fields[_BITS]
            count = bits.count
            narrow = shorts_field(*[_BITS_INSTEAD] * count).stored(directory.variant.order)
            place = directory.values_place(file, _BITS, len(narrow))
            found[page] = ((place, narrow),)
    return found


def wide_rows(file: BinaryIO, pages: int) -> dict[int, WideRows]:
    """The pages of 64-bit floating samples that libvips can decode as rows of bytes, by number.

    They have one band and no predictor, which works on whole samples.
    """
    found = {}
    for page, directory in enumerate(tiff_pages(file, pages)):
        fields = directory.fields(file, _WIDE_TAGS)
        values = {tag: field.value for tag, field in fields.items()}
        is_plain = all(values.get(tag, 1) == 1 for tag in _EXPECTED_1)
        if not (_is_wide(fields) and is_plain and _WIDTH in values):
            continue
        changed = {_BITS: 8, _SAMPLE_FORMAT: 1}
        for tag in {_WIDTH, _TILE_WIDTH} & values.keys():
            changed[tag] = values[tag] * _WIDE_BYTES
        patches = [directory.entry_patch(tag, value) for tag, value in changed.items()]
        found[page] = WideRows(tuple(patches), np.dtype(f"{directory.variant.order}f8"))
    return found


def _is_wide(fields: TiffFields) -> bool:
    """Whether the samples of a page are floating numbers of 64 bits, all of them."""
    if not {_BITS, _SAMPLE_FORMAT} <= fields.keys():
        return False
    bits = fields[_BITS]
    is_floating = fields[_SAMPLE_FORMAT].value == _FLOATING
    return is_floating and bits.kind == SHORT and set(bits.numbers()) == {_WIDE_BITS}


def _unread_page(file: BinaryIO, directory: TiffPage) -> tuple[str, str] | None:
    fields = directory.fields(file, _TAGS)
    values = {tag: field.value for tag, field in fields.items()}
    bits = values.get(_BITS, 1)
    if values.get(_PHOTOMETRIC) == _CIELAB and bits == 8:
        return "colours in CIELAB of 8 bits", "convert it to RGB, or to CIELAB of 16 bits, first"
    if values.get(_PLANAR) == _SEPARATE_PLANES and _TILE_WIDTH in values:
        return "tiles with bands in separate planes", "store the bands of a pixel side by side"
    codec = _CODECS.get(values.get(_COMPRESSION, 0))
    if codec is not None:
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
