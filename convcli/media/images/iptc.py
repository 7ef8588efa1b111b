"""IPTC: bare records, as a TIFF stores them, and in the container of Photoshop, as a JPEG does.

The container is a list of resources: `8BIM`, a number, a name whose length is its first byte, and
a body after its size; names and bodies are padded to an even length (Adobe Photoshop File Formats).
"""

from __future__ import annotations

import struct

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
