"""JPEG: the quality a file was written with, and how libvips is asked to write one."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.images.vips import KEEP_ALL

if TYPE_CHECKING:
    from convcli.media.images.details import ImageDetails
    from convcli.media.images.formats import WriteRequest

DEFAULT_QUALITY = 92
# From this quality on colours are stored at full size, if the input says nothing of it.
_FULL_CHROMA_QUALITY = 90
# The resolution that libvips reports for a file without one.
_UNKNOWN_RESOLUTION = (1.0, 1.0)
# The quantisation tables stand in the first part of the file.
_HEAD_BYTES = 1 << 20
_QUANTISATION, _TABLE_SIZE = 0xDB, 64

# The luminance table K.1 of ITU-T T.81, two rows of eight entries a line.
_K1 = bytes.fromhex(
    "100b0a101828333d0c0c0e131a3a3c37"
    "0e0d1018283945380e11161d3357503e"
    "12162538446d674d182337405168715c"
    "31404e5767797865485c5f6270646763"
)


def inspect_jpeg(file: BinaryIO, details: ImageDetails) -> ImageDetails:
    """The details with the quality, which libvips does not report."""
    return replace(details, quality=jpeg_quality(file.read(_HEAD_BYTES)))


def jpeg_quality(head: bytes) -> int | None:
    """The quality 1..100 whose luminance table is nearest to the first table of a JPEG, or None.

    The Independent JPEG Group scales table K.1 of ITU-T T.81 by 5000/Q % below Q = 50 and by 200 -
    2Q % from there on. The sum of the scaled table falls with Q, and so determines it.
    """
    if head[:2] != b"\xff\xd8":
        return None
    place = 2
    while place + 4 <= len(head) and head[place] == 0xFF:
        kind, length = struct.unpack_from(">xBH", head, place)
        table = head[place + 5 : place + 5 + _TABLE_SIZE]
        is_luminance = kind == _QUANTISATION and head[place + 4 : place + 5] == b"\0"
        if is_luminance and len(table) == _TABLE_SIZE:
            total = sum(table)
            return min(range(100, 0, -1), key=lambda quality: abs(_scaled_sum(quality) - total))
        place += 2 + length
    return None


def _scaled_sum(quality: int) -> int:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    scaled = [(entry * scale + 50) // 100 for entry in _K1]
    return sum(min(255, max(1, entry)) for entry in scaled)


def jpeg_options(request: WriteRequest) -> dict[str, object]:
    """Options of `jpegsave`: quality and chroma subsampling, by default those of the input."""
    details = request.details
    quality = request.quality or details.quality or DEFAULT_QUALITY
    options: dict[str, object] = {"Q": quality}
    options["subsample_mode"] = "off" if _full_chroma(details, quality) else "auto"
    if details.resolution not in (None, _UNKNOWN_RESOLUTION):
        # libvips writes the resolution of a JPEG only together with EXIF.
        options["keep"] = KEEP_ALL
    return options


def _full_chroma(details: ImageDetails, quality: int) -> bool:
    """Whether colours are stored at full size: as in the input, else from quality 90 on."""
    subsampling = details.field("jpeg-chroma-subsample")
    if subsampling is None:
        return quality >= _FULL_CHROMA_QUALITY
    return str(subsampling).startswith("4:4:4")
