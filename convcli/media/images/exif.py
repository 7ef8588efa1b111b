"""Blocks of EXIF and of IPTC as bytes.

EXIF: orientation, thumbnail and size are updated to match the filtered pixels. IPTC: bare records,
as a TIFF stores them, and in the container of Photoshop, as a JPEG does: a list of resources,
`8BIM`, a number, a name whose length is its first byte, and a body after its size; these are
padded to an even length (Adobe Photoshop File Formats).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EXIF_PREFIX = b"Exif\0\0"
_ORIENTATION, _THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0112, 0x0201, 0x0202
_EXIF_DIRECTORY, _WIDTH, _HEIGHT = 0x8769, 0xA002, 0xA003
_LONG = 4
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def refresh_exif(exif: bytes) -> bytes:
    """The block with orientation 1 and without the thumbnail of the unfiltered picture.

    Layout: TIFF 6.0, section 2 (header, directories of 12-byte entries); Exif 2.32, section 4.5.2.
    A block that is damaged is returned unchanged.
    """

    def refresh(data: bytearray, order: str, first: int) -> None:
        values, link = _directory_places(data, order, first)
        if _ORIENTATION in values:
            struct.pack_into(order + "H", data, values[_ORIENTATION], 1)
        (thumbnail,) = struct.unpack_from(order + "I", data, link)
        if thumbnail:
            _blank_thumbnail(data, order, thumbnail)
            struct.pack_into(order + "I", data, link, 0)

    return change_exif(exif, refresh)


def resize_exif(exif: bytes, columns: int, rows: int) -> bytes:
    """The block with the size of the filtered picture, if it has a size."""

    def resize(data: bytearray, order: str, first: int) -> None:
        values, _ = _directory_places(data, order, first)
        if _EXIF_DIRECTORY not in values:
            return
        (nested,) = struct.unpack_from(order + "I", data, values[_EXIF_DIRECTORY])
        places, _ = _directory_places(data, order, nested)
        for tag, size in ((_WIDTH, columns), (_HEIGHT, rows)):
            if tag in places:
                _store_size(data, order, places[tag], size)

    return change_exif(exif, resize)


def change_exif(exif: bytes, change: Callable[[bytearray, str, int], None]) -> bytes:
    """A block that `change` has changed, or the block itself if it is damaged.

    change : gets the block without its prefix, the byte order as `struct` writes it, and the place
        of the first directory
    """
    prefix = EXIF_PREFIX if exif.startswith(EXIF_PREFIX) else b""
    data = bytearray(exif[len(prefix) :])
    order = _ORDERS.get(bytes(data[:4]))
    if order is None:
        return exif
    try:
        (first,) = struct.unpack_from(order + "I", data, 4)
        change(data, order, first)
    except struct.error:
        return exif
    return prefix + bytes(data)


def _store_size(data: bytearray, order: str, place: int, size: int) -> None:
    """Store the one number of an entry, whose value is at `place`, as 32 bits."""
    struct.pack_into(order + "HI", data, place - 6, _LONG, 1)
    struct.pack_into(order + "I", data, place, size)


def _directory_places(data: bytearray, order: str, offset: int) -> tuple[dict[int, int], int]:
    """Where the value of each tag is, and where the offset of the next directory is."""
    (count,) = struct.unpack_from(order + "H", data, offset)
    places = {}
    for index in range(count):
        entry = offset + 2 + 12 * index
        (tag,) = struct.unpack_from(order + "H", data, entry)
        places[tag] = entry + 8
    return places, offset + 2 + 12 * count


def _blank_thumbnail(data: bytearray, order: str, offset: int) -> None:
    values, _ = _directory_places(data, order, offset)
    if _THUMBNAIL_OFFSET not in values or _THUMBNAIL_LENGTH not in values:
        return
    (start,) = struct.unpack_from(order + "I", data, values[_THUMBNAIL_OFFSET])
    (length,) = struct.unpack_from(order + "I", data, values[_THUMBNAIL_LENGTH])
    stop = min(start + length, len(data))
    data[start:stop] = bytes(max(0, stop - start))


_CONTAINER = b"Photoshop 3.0\0"
_MARK, _RECORDS = b"8BIM", 0x0404


def photoshop_block(iptc: bytes) -> bytes:
    """IPTC in the container, in which it may be already."""
    if iptc.startswith(_CONTAINER):
        return iptc
    head = _MARK + struct.pack(">HHI", _RECORDS, 0, len(iptc))
    return _CONTAINER + head + iptc + bytes(len(iptc) % 2)


def iptc_records(iptc: bytes) -> bytes:
    """The bare records of IPTC; empty if the container has none."""
    if not iptc.startswith(_CONTAINER):
        return iptc
    place = len(_CONTAINER)
    while iptc[place : place + 4] == _MARK and len(iptc) >= place + 12:
        (number,) = struct.unpack_from(">H", iptc, place + 4)
        name_bytes = 1 + iptc[place + 6]
        start = place + 6 + name_bytes + name_bytes % 2 + 4
        size = int.from_bytes(iptc[start - 4 : start], "big")
        if number == _RECORDS:
            return iptc[start : start + size]
        place = start + size + size % 2
    return b""
