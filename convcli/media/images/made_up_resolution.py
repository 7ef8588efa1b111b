"""The resolution of 25.4 dpi that libvips puts into EXIF without one, taken out of WebP and AVIF.

The directory keeps its place and gets fewer entries, so that nothing else in the file moves.
Layouts after RFC 9649 (WebP), ISO/IEC 23008-12, annex A (EXIF in HEIF) and TIFF 6.0, section 2.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.images.exif import EXIF_PREFIX, change_exif
from convcli.media.images.tiff import read_directory
from convcli.media.images.webp import EXIF_CHUNK, find_chunk, put_background

if TYPE_CHECKING:
    from convcli.media.images.details import ImageDetails
    from convcli.media.images.picture_format import WriteRequest

_RESOLUTION = frozenset({282, 283, 296})
_ENTRY_BYTES, _LINK_BYTES = 12, 4
# The first directory of EXIF lies within this many bytes.
_MOST_BYTES = 1 << 20
# An item of EXIF in an AVIF begins with the number of bytes before the header of a TIFF.
_AVIF_MARK = b"\0\0\0\6" + EXIF_PREFIX


def complete_webp(file: BinaryIO, request: WriteRequest) -> None:
    """Repair a WebP that libvips has written.

    A resolution that the input does not have is taken out of the EXIF, and an animation gets the
    background of the input in place of white.
    """
    if _is_made_up(request.details):
        _drop_at(file, find_chunk(file, EXIF_CHUNK))
    put_background(file, request.details)


def complete_avif(file: BinaryIO, request: WriteRequest) -> None:
    """Take a resolution that the input does not have out of the EXIF of an AVIF."""
    if _is_made_up(request.details):
        mark = file.read().rfind(_AVIF_MARK)
        place = None
        if mark >= 0:
            place = mark + len(_AVIF_MARK) - len(EXIF_PREFIX)
        _drop_at(file, place)


def _is_made_up(details: ImageDetails) -> bool:
    """Whether the input has EXIF and no resolution."""
    if not details.exif or details.resolution is not None:
        return False
    block = details.exif.removeprefix(EXIF_PREFIX)
    return not _RESOLUTION & read_directory(io.BytesIO(block)).keys()


def _drop_at(file: BinaryIO, place: int | None) -> None:
    """Remove the resolution from the block of EXIF at an offset, if there is one."""
    if place is None:
        return
    file.seek(place)
    block = file.read(_MOST_BYTES)
    file.seek(place)
    file.write(change_exif(block, _drop_resolution))


def _drop_resolution(data: bytearray, order: str, first: int) -> None:
    """Remove the entries of the resolution from the directory at `first`."""
    (count,) = struct.unpack_from(order + "H", data, first)
    start = first + 2
    end = start + count * _ENTRY_BYTES
    entries = [data[place : place + _ENTRY_BYTES] for place in range(start, end, _ENTRY_BYTES)]
    kept = [entry for entry in entries if _tag_of(entry, order) not in _RESOLUTION]
    link = data[end : end + _LINK_BYTES]
    directory = struct.pack(order + "H", len(kept)) + b"".join([*kept, link])
    data[first : end + _LINK_BYTES] = directory.ljust(end + _LINK_BYTES - first, b"\0")


def _tag_of(entry: bytearray, order: str) -> int:
    (tag,) = struct.unpack_from(order + "H", entry)
    return int(tag)
