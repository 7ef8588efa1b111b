"""JPEG: the quality a file was written with, and how libvips is asked to write one."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.images.details import with_comments
from convcli.media.images.exif import EXIF_PREFIX, photoshop_block
from convcli.media.images.tiff import read_directory
from convcli.media.images.vips import KEEP_ALL, KEEP_NOTHING
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.images.details import ImageDetails
    from convcli.media.images.picture_format import WriteRequest

DEFAULT_QUALITY = 92
# From this quality on colours are stored at full size, if the input says nothing of it.
_FULL_CHROMA_QUALITY = 90
# The resolution that libvips reports for a file without one.
_UNKNOWN_RESOLUTION = (1.0, 1.0)
# The quantisation tables stand in the first part of the file.
_HEAD_BYTES = 1 << 20
_QUANTISATION, _TABLE_SIZE = 0xDB, 64
# Kinds of segments. A header of a frame has the sampling of each component, in halves of a byte.
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB)
_SAMPLING, _COMPONENT_BYTES = 7, 3
_TWICE_BOTH, _ONCE_BOTH = b"\x22", 0x11
_JFIF, _EXIF, _PROFILE, _IPTC, _COMMENT, _SCAN = 0xE0, 0xE1, 0xE2, 0xED, 0xFE, 0xDA
_WITHOUT_BODY = (0x01, *range(0xD0, 0xDA))
_LARGEST_SEGMENT, _PROFILE_PART = 65533, 65519
# CIPA DC-007: the index of a file of several pictures, a TIFF directory with their number.
_SEVERAL_PICTURES, _PICTURE_COUNT = b"MPF\0", 0xB001
_CREDENTIALS = 0xEB
# Attributes in the XMP of a picture with a film behind it.
_FILM_MARKS = (b':MotionPhoto="1"', b':MicroVideo="1"')
# The most bytes of EXIF, XMP or IPTC beside the name of the segment that holds them.
LARGEST_BLOCK = 65500
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"

# The luminance table K.1 of ITU-T T.81, two rows of eight entries a line.
_K1 = bytes.fromhex(
    "100b0a101828333d0c0c0e131a3a3c37"
    "0e0d1018283945380e11161d3357503e"
    "12162538446d674d182337405168715c"
    "31404e5767797865485c5f6270646763"
)


def inspect_jpeg(file: BinaryIO, details: ImageDetails) -> ImageDetails:
    """The details with the quality, the size of the colours and the comments.

    libvips reports neither the quality nor comments, and all colours of smaller size as 4:2:0.
    """
    head = file.read(_HEAD_BYTES)
    details = replace(details, quality=jpeg_quality(head), small_colours=_has_small_colours(head))
    if not details.has_gain_map:  # it is a further picture, too
        details = replace(details, other_parts=tuple(dict.fromkeys(_other_parts(head))))
    segments = _read_segments(head)
    comments = tuple(body for kind, body in segments if kind == _COMMENT and body)
    return with_comments(details, comments)


def _other_parts(head: bytes) -> Iterator[str]:
    """What a JPEG holds beside its picture that is not kept."""
    for kind, body in _read_segments(head):
        if kind == _PROFILE and body.startswith(_SEVERAL_PICTURES):
            directory = io.BytesIO(body.removeprefix(_SEVERAL_PICTURES))
            count = read_directory(directory).get(_PICTURE_COUNT)
            if count is not None and count.value > 1:
                yield plural(count.value - 1, "further picture")
        elif kind == _CREDENTIALS and body.startswith(b"JP"):
            yield "content credentials (JUMBF)"
        elif kind == _EXIF and any(mark in body for mark in _FILM_MARKS):
            yield "a film (motion photo)"


def jpeg_quality(head: bytes) -> int | None:
    """The quality 1..100 whose luminance table is nearest to the first table of a JPEG, or None.

    The Independent JPEG Group scales table K.1 of ITU-T T.81 by 5000/Q % below Q = 50 and by 200 -
    2Q % from there on. The sum of the scaled table falls with Q, and so determines it.
    """
    if head[:2] != b"\xff\xd8":
        return None
    for kind, body in _read_segments(head):
        table = body[1 : 1 + _TABLE_SIZE]
        is_luminance = kind == _QUANTISATION and body[:1] == b"\0"
        if is_luminance and len(table) == _TABLE_SIZE:
            total = sum(table)
            return _nearest_quality(total)
    return None


def _has_small_colours(head: bytes) -> bool:
    """Whether colours have half of the size of the brightness on both sides (4:2:0)."""
    for kind, body in _read_segments(head):
        if kind in _FRAMES:
            sampling = body[_SAMPLING::_COMPONENT_BYTES]
            return sampling[:1] == _TWICE_BOTH and set(sampling[1:]) == {_ONCE_BOTH}
    return False


def _scaled_sum(quality: int) -> int:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    scaled = [(entry * scale + 50) // 100 for entry in _K1]
    return sum(min(255, max(1, entry)) for entry in scaled)


def _nearest_quality(total: int) -> int:
    """The quality whose scaled table has the sum nearest to `total`; the highest of several."""

    def distance(quality: int) -> int:
        return abs(_scaled_sum(quality) - total)

    return min(range(100, 0, -1), key=distance)


def jpeg_options(request: WriteRequest) -> dict[str, object]:
    """Options of `jpegsave`: quality and chroma subsampling, by default those of the input."""
    details = request.details
    quality = request.quality or details.quality or DEFAULT_QUALITY
    if request.keeps_gain_map:
        return {"Q": quality, "keep": KEEP_ALL}
    subsampling = "off" if _full_chroma(details, quality) else "on"
    return {"Q": quality, "subsample_mode": subsampling, "keep": KEEP_NOTHING}


def jpeg_segments(request: WriteRequest) -> bytes:
    """The segments that describe the picture: JFIF, EXIF, XMP, IPTC, the profile and comments.

    libvips would make up EXIF and a resolution of 25.4 dpi, and it loses comments.
    """
    details = request.details
    jfif = b"JFIF\0\1\2" + _density(details) + b"\0\0"
    segments = [_segment(_JFIF, jfif)]
    if details.exif:
        block = request.exif.removeprefix(EXIF_PREFIX)
        segments.append(_segment(_EXIF, EXIF_PREFIX + block))
    if details.xmp:
        segments.append(_segment(_EXIF, _XMP_NAME + details.xmp))
    if details.iptc:
        segments.append(_segment(_IPTC, photoshop_block(details.iptc)))
    if details.icc and request.same_colours:
        segments += _profile_segments(details.icc)
    segments += [_segment(_COMMENT, comment) for comment in details.comments]
    return b"".join(segments)


def jpeg_cut(head: bytes) -> tuple[int, int] | None:
    """Behind the first marker of a JPEG."""
    return (2, 2) if len(head) >= 2 else None


def _segment(kind: int, body: bytes) -> bytes:
    """A segment, or nothing if the body is too long for one."""
    if len(body) > _LARGEST_SEGMENT:
        return b""
    head = struct.pack(">BBH", 0xFF, kind, len(body) + 2)
    return head + body


def _density(details: ImageDetails) -> bytes:
    """Unit and resolution as JFIF stores them: of an inch, or unknown."""
    if details.resolution is None or details.resolution == _UNKNOWN_RESOLUTION:
        return struct.pack(">BHH", 0, 1, 1)
    dots_per_inch = [round(25.4 * side) for side in details.resolution]
    sides = [min(65535, max(1, dots)) for dots in dots_per_inch]
    return struct.pack(">BHH", 1, *sides)


def _profile_segments(profile: bytes) -> list[bytes]:
    """A colour profile in as many numbered segments as it needs (ICC.1:2022, annex B.4)."""
    starts = range(0, len(profile), _PROFILE_PART)
    if len(starts) > 255:
        return []
    segments = []
    for number, start in enumerate(starts, start=1):
        header = b"ICC_PROFILE\0" + bytes([number, len(starts)])
        part = profile[start : start + _PROFILE_PART]
        segments.append(_segment(_PROFILE, header + part))
    return segments


def _read_segments(head: bytes) -> Iterator[tuple[int, bytes]]:
    """The kind and the body of each segment before the pixels."""
    place = 2
    while place + 4 <= len(head) and head[place] == 0xFF:
        kind, length = struct.unpack_from(">xBH", head, place)
        if kind in _WITHOUT_BODY or length < 2:
            return
        yield kind, head[place + 4 : place + 2 + length]
        if kind == _SCAN:
            return
        place += 2 + length


def _full_chroma(details: ImageDetails, quality: int) -> bool:
    """Whether colours are stored at full size: as in the input, else from quality 90 on.

    libvips writes no colours of half the size along one side (4:2:2); they get the full size.
    """
    if details.small_colours is None:
        return quality >= _FULL_CHROMA_QUALITY
    return not details.small_colours
