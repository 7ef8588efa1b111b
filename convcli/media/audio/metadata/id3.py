"""MP3 files as places for metadata: ID3v2 first, ID3v1 last (id3.org/id3v2.4.0-structure)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.audio.metadata.container import Chunk, Container, read_exactly, replace_head

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEAD_BYTES = 10
_HAS_FOOTER, _HAS_EXTENDED_HEADER = 0x10, 0x40
_V1_BYTES = 128


class Mp3Container(Container):
    """MP3: an ID3v2 tag, the audio frames, an ID3v1 tag."""

    def chunks(self, stream: BinaryIO) -> Iterator[Chunk]:
        """Yield the ID3v2 and the ID3v1 tag, each as one chunk."""
        size = id3_length(stream)
        if size:
            stream.seek(0)
            yield Chunk(b"ID3v2", read_exactly(stream, size))
        last = _v1_tag(stream)
        if last:
            yield Chunk(b"ID3v1", last)

    def convert(self, tags: Mapping[str, str], chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Keep the first ID3 tag of an AIFF or WAV file."""
        del tags
        return renamed_id3(b"ID3v2", chunks)[:1]

    def write(self, file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
        """Replace the ID3v2 and the ID3v1 tag."""
        bodies = {chunk.name: chunk.body for chunk in chunks}
        replace_head(file, id3_length(file), bodies.get(b"ID3v2", b""))
        if _v1_tag(file):
            file.seek(-_V1_BYTES, os.SEEK_END)
            file.truncate()
        file.seek(0, os.SEEK_END)
        file.write(bodies.get(b"ID3v1", b""))


def renamed_id3(name: bytes, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
    """Return the ID3v2 tags among `chunks` under the name that a container gives them."""
    return tuple(Chunk(name, chunk.body) for chunk in chunks if chunk.is_id3)


def id3_length(stream: BinaryIO) -> int:
    """Return the length of the ID3v2 tag at the start of a file, 0 if there is none."""
    stream.seek(0)
    head = stream.read(_HEAD_BYTES)
    if head[:3] != b"ID3" or len(head) < _HEAD_BYTES:
        return 0
    footer = _HEAD_BYTES if head[5] & _HAS_FOOTER else 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return _HEAD_BYTES + size + footer


def _v1_tag(stream: BinaryIO) -> bytes:
    """Return the ID3v1 tag at the end of a file, empty if there is none."""
    if stream.seek(0, os.SEEK_END) < _V1_BYTES:
        return b""
    stream.seek(-_V1_BYTES, os.SEEK_END)
    body = stream.read(_V1_BYTES)
    return body if body.startswith(b"TAG") else b""


def id3_frame_names(tag: bytes) -> list[bytes]:
    """Return the names of the frames of an ID3v2.3 or 2.4 tag; another layout has one name."""
    if len(tag) < _HEAD_BYTES or tag[3] not in (3, 4) or tag[5] & _HAS_EXTENDED_HEADER:
        return [b"ID3 tags beyond the common ones"]
    size_bits = 7 if tag[3] == 4 else 8
    names, place = [], _HEAD_BYTES
    while place + _HEAD_BYTES <= len(tag) and tag[place : place + 4].isalnum():
        names.append(tag[place : place + 4])
        size = 0
        for byte in tag[place + 4 : place + 8]:
            size = size << size_bits | byte
        place += _HEAD_BYTES + size
    return names
