"""Ogg pages (RFC 3533): header packets out, and back in with other comments."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = struct.Struct("<4sBBqIIIB")
_CONTINUED, _LAST = 1, 4
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_COMMENT_MARKS = (b"\x03vorbis", b"OpusTags")


@dataclass(frozen=True)
class Page:
    """One page: its header fields and the sizes of its segments."""

    flags: int
    granule: int
    serial: int
    number: int
    lacing: bytes
    body: bytes


def read_page(stream: BinaryIO) -> Page | None:
    """The next page, None at the end; ValueError if it is no whole page."""
    head = stream.read(_HEAD.size)
    if not head:
        return None
    if len(head) < _HEAD.size or head[:4] != b"OggS":
        raise ValueError("no Ogg page where one must begin")
    _, _, flags, granule, serial, number, _, count = _HEAD.unpack(head)
    lacing = stream.read(count)
    body = stream.read(sum(lacing))
    if len(lacing) < count or len(body) < sum(lacing):
        raise ValueError("the last Ogg page is cut off")
    return Page(flags, granule, serial, number, lacing, body)


def page_bytes(page: Page) -> bytes:
    """The page as it stands in a file, with its checksum."""
    fields = (b"OggS", 0, page.flags, page.granule, page.serial, page.number)
    rest = page.lacing + page.body
    checksum = _checksum(_HEAD.pack(*fields, 0, len(page.lacing)) + rest)
    return _HEAD.pack(*fields, checksum, len(page.lacing)) + rest


def _checksum(data: bytes) -> int:
    """The Ogg CRC (0x04c11db7, not reflected, from 0) by way of zlib's, which is the same one mirrored."""
    mirrored = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def read_header_packets(stream: BinaryIO) -> tuple[int, list[bytes]]:
    """The serial number and the header packets (Vorbis 3, Opus 2); the stream then stands at the first audio page."""
    stream.seek(0)
    packets: list[bytes] = []
    partial, serial, wanted = b"", None, 2
    while len(packets) < wanted:
        page = read_page(stream)
        if page is None or (serial is not None and page.serial != serial):
            raise ValueError("several Ogg streams in one file, or no audio")
        serial, at = page.serial, 0
        for size in page.lacing:
            partial, at = partial + page.body[at : at + size], at + size
            if size < 255:
                packets.append(partial)
                partial = b""
        wanted = 3 if packets and packets[0][:7] == b"\x01vorbis" else 2
    if len(packets) > wanted or partial:
        raise ValueError("audio begins within the Ogg headers")
    return serial or 0, packets


def split_comment_packet(packet: bytes) -> tuple[bytes, bytes, bytes]:
    """Mark, comments, and what ends the packet."""
    for mark in _COMMENT_MARKS:
        if packet.startswith(mark):
            end = b"\x01" if mark[0] == 3 else b""
            return mark, packet[len(mark) :], end
    raise ValueError("no comment packet")


def header_pages(serial: int, packets: list[bytes]) -> list[bytes]:
    """The header packets as pages: the first alone, the others together."""
    first = Page(2, 0, serial, 0, _lacing(packets[0]), packets[0])
    lacing = b"".join(_lacing(packet) for packet in packets[1:])
    body = b"".join(packets[1:])
    pages, at, continued = [page_bytes(first)], 0, False
    for number, start in enumerate(range(0, len(lacing), 255), start=1):
        part = lacing[start : start + 255]
        # A page on which no packet ends has no position.
        granule = 0 if any(size < 255 for size in part) else -1
        flags = _CONTINUED if continued else 0
        pages.append(
            page_bytes(Page(flags, granule, serial, number, part, body[at : at + sum(part)]))
        )
        at, continued = at + sum(part), part[-1] == 255
    return pages


def _lacing(packet: bytes) -> bytes:
    return b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255])


def renumbered(stream: BinaryIO, number: int) -> Iterator[bytes]:
    """The remaining pages, counted on from `number`."""
    while (page := read_page(stream)) is not None:
        yield page_bytes(
            Page(page.flags, page.granule, page.serial, number, page.lacing, page.body)
        )
        number += 1


def is_complete(stream: BinaryIO) -> bool:
    """Whether the last page is whole and says that it is the last."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 2 * 65536))
    tail = stream.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) - at < _HEAD.size:
        return False
    flags, count = tail[at + 5], tail[at + 26]
    lacing = tail[at + _HEAD.size : at + _HEAD.size + count]
    return bool(flags & _LAST) and len(tail) - at - _HEAD.size - count >= sum(lacing)
