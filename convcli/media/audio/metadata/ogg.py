"""Ogg files as places for metadata: pages and header packets (RFC 3533), Vorbis and Opus."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, BinaryIO

from convcli.dataclass import dataclass
from convcli.media.audio.metadata.channel_masks import implied_mask
from convcli.media.audio.metadata.comments import (
    COMMENTS,
    CommentContainer,
    join_comments,
    split_comments,
    with_vendor,
)
from convcli.media.audio.metadata.container import Chunk, overwrite, replace_head
from convcli.speakers import OPUS_HEAD, channels_are_speakers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEAD = struct.Struct("<4sBBqIIIB")
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_LONGEST_PAGE = 1 << 16
# A packet is cut into segments of this size, and a shorter one ends it. A page holds at most as
# many segments.
_SEGMENT = 255
# The closing byte of a comment packet, by the mark at its start: of Vorbis and of Opus.
_CLOSING_BYTES = {b"\x03vorbis": b"\x01", b"OpusTags": b""}
# Where the first packet of Opus says how many frames precede the sound.
_FRAMES_BEFORE = slice(10, 12)
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Page:
    """One page: its header fields, the sizes of its segments, and the segments."""

    flags: int
    granule: int
    serial: int
    number: int
    lacing: bytes
    body: bytes

    def to_bytes(self) -> bytes:
        """Return the page as in a file, with its checksum."""
        fields = (b"OggS", 0, self.flags, self.granule, self.serial, self.number)
        count = len(self.lacing)
        content = self.lacing + self.body
        checksum = _checksum(_HEAD.pack(*fields, 0, count) + content)
        return _HEAD.pack(*fields, checksum, count) + content


class OggContainer(CommentContainer):
    """Ogg: numbered pages, of which the first few hold the header packets."""

    def chunks(self, stream: BinaryIO) -> Iterator[Chunk]:
        """Yield the comments without what follows them in their packet."""
        _, packets = _read_header_packets(stream)
        _, body = _split_mark(packets[1])
        vendor, comments = split_comments(body)
        yield Chunk(COMMENTS, join_comments(vendor, comments))

    def speaker_mask(self, stream: BinaryIO, chunks: tuple[Chunk, ...], channels: int) -> int:
        """What the number of channels says, unless those of an Opus are not for speakers."""
        del chunks
        _, packets = _read_header_packets(stream)
        return implied_mask(channels) if channels_are_speakers(packets[0]) else 0

    def write(self, file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
        """Replace the comments; the vendor stays the encoder's."""
        serial, packets = _read_header_packets(file)
        end = file.tell()
        first_audio_page = read_page(file)
        mark, body = _split_mark(packets[1])
        vendor, _ = split_comments(body)
        packets[1] = mark + with_vendor(vendor, chunks[0].body) + _CLOSING_BYTES[mark]
        pages = _header_pages(serial, packets)
        head = b"".join(page.to_bytes() for page in pages)
        replace_head(file, end, head)
        if first_audio_page is not None and first_audio_page.number != len(pages):
            # Players take a gap between the numbers of pages for a loss.
            numbers = count(len(pages))
            _rewrite(file, len(head), lambda page: replace(page, number=next(numbers)))

    def correct(self, file: BinaryIO, frames: int) -> None:  # noqa: ARG002 -- as all containers
        """Replace the random serial number by one that depends on the content alone."""
        serial = 0
        file.seek(0)
        while (page := read_page(file)) is not None:
            serial = zlib.crc32(page.body, serial)
        _rewrite(file, 0, lambda page: replace(page, serial=serial))


def read_page(stream: BinaryIO) -> Page | None:
    """Read the next page, None at the end of the file. ValueError if it is not a whole page."""
    head = stream.read(_HEAD.size)
    if not head:
        return None
    if len(head) < _HEAD.size or not head.startswith(b"OggS"):
        raise ValueError("no Ogg page where one must begin")
    _, _, flags, granule, serial, number, _, count = _HEAD.unpack(head)
    lacing = stream.read(count)
    size = sum(lacing)
    body = stream.read(size)
    if len(lacing) < count or len(body) < size:
        raise ValueError("the last Ogg page is cut off")
    return Page(flags, granule, serial, number, lacing, body)


def _checksum(data: bytes) -> int:
    """The CRC of Ogg: polynomial 0x04c11db7, initial value 0, bits not reversed."""
    # The CRC of zlib has the same polynomial and reverses the bits of every byte and of the result.
    reversed_crc = zlib.crc32(data.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reversed_crc:032b}"[::-1], 2)


def _read_header_packets(stream: BinaryIO) -> tuple[int, list[bytes]]:
    """Read the serial number and the header packets: three of Vorbis, two of Opus."""
    stream.seek(0)
    packets: list[bytes] = []
    partial, serial, wanted = b"", None, 2
    while len(packets) < wanted:
        page = read_page(stream)
        if page is None or (serial is not None and page.serial != serial):
            raise ValueError("several Ogg streams in one file, or no audio")
        serial = page.serial
        place = 0
        for size in page.lacing:
            partial += page.body[place : place + size]
            place += size
            if size < _SEGMENT:
                packets.append(partial)
                partial = b""
        if packets and packets[0].startswith(b"\x01vorbis"):
            wanted = 3
    if len(packets) > wanted or partial:
        raise ValueError("audio begins within the Ogg headers")
    return serial or 0, packets


def _split_mark(packet: bytes) -> tuple[bytes, bytes]:
    """Split the second header packet, which holds the comments, into its mark and the rest."""
    for mark in _CLOSING_BYTES:
        if packet.startswith(mark):
            return mark, packet[len(mark) :]
    raise ValueError("no comment packet")


def _header_pages(serial: int, packets: list[bytes]) -> list[Page]:
    """Divide the header packets into pages: the first packet alone, the others together."""
    pages = [Page(_FIRST, 0, serial, 0, _lacing(packets[0]), packets[0])]
    lacing = b"".join(_lacing(packet) for packet in packets[1:])
    body = b"".join(packets[1:])
    place, flags = 0, 0
    for start in range(0, len(lacing), _SEGMENT):
        sizes = lacing[start : start + _SEGMENT]
        # A page on which no packet ends has no position in the signal.
        granule = -1 if min(sizes) == _SEGMENT else 0
        stop = place + sum(sizes)
        pages.append(Page(flags, granule, serial, len(pages), sizes, body[place:stop]))
        place = stop
        flags = _CONTINUED if sizes[-1] == _SEGMENT else 0
    return pages


def _lacing(packet: bytes) -> bytes:
    """The sizes of the segments of a packet."""
    whole, rest = divmod(len(packet), _SEGMENT)
    return bytes([_SEGMENT] * whole + [rest])


def _rewrite(file: BinaryIO, start: int, change: Callable[[Page], Page]) -> None:
    """Change the head of every page from the place `start` on; pages keep their sizes."""
    file.seek(start)
    while (page := read_page(file)) is not None:
        data = change(page).to_bytes()
        overwrite(file, start, data)
        start += len(data)
        file.seek(start)


@dataclass(frozen=True)
class LaterStreams:
    """What follows the first stream of a file, which alone libsndfile reads."""

    frames: int
    size: int


def later_streams(stream: BinaryIO) -> LaterStreams | None:
    """The frames and bytes of the streams that follow the first one, None if there are none.

    All pages are read only if the last one belongs to another stream than the first one.
    """
    stream.seek(0)
    first = stream.read(_HEAD.size)
    last = _last_page(stream)
    if len(first) < _HEAD.size or len(last) < _HEAD.size or _serial(first) == _serial(last):
        return None
    frames: dict[int, int] = {}
    skipped: dict[int, int] = {}
    size = 0
    stream.seek(0)
    while (page := read_page(stream)) is not None:
        if page.serial == _serial(first):
            continue
        frames[page.serial] = max(page.granule, frames.get(page.serial, 0))
        size += len(page.to_bytes())
        if page.body.startswith(OPUS_HEAD):
            skipped[page.serial] = int.from_bytes(page.body[_FRAMES_BEFORE], "little")
    found = sum(frames.values()) - sum(skipped.values())
    return LaterStreams(max(0, found), size)


def _serial(page: bytes) -> int:
    """The number of the stream that a page belongs to."""
    return int(_HEAD.unpack_from(page)[4])


def _last_page(stream: BinaryIO) -> bytes:
    """The bytes from where the last page begins; empty if there is none."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 2 * _LONGEST_PAGE))
    tail = stream.read()
    start = tail.rfind(b"OggS")
    return tail[start:] if start >= 0 else b""


def is_complete(stream: BinaryIO) -> bool:
    """Whether the last page is whole and marked as the last."""
    page = _last_page(stream)
    if len(page) < _HEAD.size:
        return False
    flags, count = page[5], page[26]
    lacing = page[_HEAD.size : _HEAD.size + count]
    expected = _HEAD.size + count + sum(lacing)
    return bool(flags & _LAST) and len(page) >= expected
