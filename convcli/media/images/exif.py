"""EXIF as bytes: a picture that was turned upright says so, and does not carry its unfiltered miniature along."""

from __future__ import annotations

import struct

PREFIX = b"Exif\0\0"
_ORIENTATION, _THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0112, 0x0201, 0x0202
_SHORT, _LONG = 3, 4


def refresh(exif: bytes) -> bytes:
    """The same EXIF with orientation 1 and without the thumbnail, which shows the picture as it was.

    Layout: TIFF 6.0, section 2 (header, image file directories of 12-byte entries); Exif 2.32, section 4.5.2.
    What cannot be understood is returned as it came.
    """
    prefix = PREFIX if exif.startswith(PREFIX) else b""
    data = bytearray(exif[len(prefix) :])
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        return exif
    try:
        first = struct.unpack_from(order + "I", data, 4)[0]
        entries, link = _directory(data, order, first)
        if _ORIENTATION in entries:
            struct.pack_into(order + "H", data, entries[_ORIENTATION], 1)
        thumbnail = struct.unpack_from(order + "I", data, link)[0]
        if thumbnail:
            _blank_thumbnail(data, order, thumbnail)
            struct.pack_into(order + "I", data, link, 0)
    except struct.error:
        return exif
    return prefix + bytes(data)


def _directory(data: bytearray, order: str, offset: int) -> tuple[dict[int, int], int]:
    """Where the value of each tag stands, and where the offset of the next directory stands."""
    count = struct.unpack_from(order + "H", data, offset)[0]
    starts = [offset + 2 + 12 * index for index in range(count)]
    tags = {struct.unpack_from(order + "H", data, start)[0]: start + 8 for start in starts}
    return tags, offset + 2 + 12 * count


def _blank_thumbnail(data: bytearray, order: str, offset: int) -> None:
    tags, _ = _directory(data, order, offset)
    if _THUMBNAIL_OFFSET not in tags or _THUMBNAIL_LENGTH not in tags:
        return
    start = struct.unpack_from(order + "I", data, tags[_THUMBNAIL_OFFSET])[0]
    length = struct.unpack_from(order + "I", data, tags[_THUMBNAIL_LENGTH])[0]
    stop = min(start + length, len(data))
    data[start:stop] = bytes(max(0, stop - start))
