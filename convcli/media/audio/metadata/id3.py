"""MP3 files as places for metadata: ID3v2 first, APEv2 and ID3v1 last.

Layouts: id3.org/id3v2.4.0-structure, wiki.hydrogenaudio.org/index.php?title=APEv2_specification.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.audio.metadata.container import (
    ID3_HEAD_BYTES,
    Chunk,
    Container,
    decoded_text,
    id3_size,
    read_exactly,
    replace_head,
    with_all_values,
)
from convcli.media.audio.mp3_frames import (
    LAME_DELAY,
    counted_frames,
    mp3_start,
    tag_frame,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HAS_EXTENDED_HEADER = 0x40
_UNSYNCHRONISED = 0x80
_V1_BYTES = 128
_APE, _APE_MARK, _APE_END_BYTES = b"APEv2", b"APETAGEX", 32
_APE_HAS_HEADER = 1 << 31
# Frames of texts, of which version 2.4 lets one frame hold several.
_TEXT_FRAMES = {
    b"TIT2": "title", b"TPE1": "artist", b"TALB": "album", b"TDRC": "date", b"TYER": "date",
    b"TRCK": "tracknumber", b"TCON": "genre", b"TCOP": "copyright",
}  # fmt: skip
# Encodings by the first byte of a frame. A text of "utf-16" begins with a byte order mark.
_ENCODINGS = {1: "utf-16", 2: "utf-16-be", 3: "utf-8"}


class Mp3Container(Container):
    """MP3: an ID3v2 tag, the audio frames, an APEv2 tag, an ID3v1 tag."""

    def chunks(self, stream: BinaryIO) -> Iterator[Chunk]:
        """Yield the ID3v2, the APEv2 and the ID3v1 tag, each as one chunk."""
        size = id3_length(stream)
        if size:
            stream.seek(0)
            yield Chunk(b"ID3v2", read_exactly(stream, size))
        last = _v1_tag(stream)
        ape = _ape_tag(stream, behind=len(last))
        if ape:
            yield Chunk(_APE, ape)
        if last:
            yield Chunk(b"ID3v1", last)

    def convert(self, tags: Mapping[str, str], chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Keep the first ID3 tag of an AIFF or WAV file."""
        del tags
        return renamed_id3(b"ID3v2", chunks)[:1]

    def tags(self, chunks: tuple[Chunk, ...], found: Mapping[str, str]) -> Mapping[str, str]:
        """The common tags with all of their values, of which libsndfile gives the first."""
        texts = [text for chunk in chunks if chunk.is_id3 for text in _id3_texts(chunk.body)]
        return with_all_values(found, texts)

    def write(self, file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
        """Replace the ID3v2 and the ID3v1 tag, and put the APEv2 tag between sound and ID3v1."""
        bodies = {chunk.name: chunk.body for chunk in chunks}
        replace_head(file, id3_length(file), bodies.get(b"ID3v2", b""))
        if _v1_tag(file):
            file.seek(-_V1_BYTES, os.SEEK_END)
            file.truncate()
        file.seek(0, os.SEEK_END)
        file.write(bodies.get(_APE, b"") + bodies.get(b"ID3v1", b""))

    def correct(self, file: BinaryIO, frames: int) -> None:
        """Put a tag in front that tells delay and length, where LAME has no room for its own.

        Its own tag does not fit into a frame of a low bit rate. Without it the sound would begin
        1,105 samples late.
        """
        start = mp3_start(file)
        if start is None or start.tag is not None:
            return
        count = counted_frames(file, start)
        padding = count.frames * start.frame.samples - LAME_DELAY - frames
        if padding < 0:
            return
        tag = tag_frame(start.frame, count.frames, sound_bytes=count.size, padding=padding)
        file.seek(0)
        before = file.read(start.place)
        replace_head(file, start.place, before + tag)


def renamed_id3(name: bytes, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
    """Return the ID3v2 tags among `chunks` under the name that a container gives them."""
    return tuple(Chunk(name, chunk.body) for chunk in chunks if chunk.is_id3)


def id3_length(stream: BinaryIO) -> int:
    """Return the length of the ID3v2 tag at the start of a file, 0 if there is none."""
    stream.seek(0)
    return id3_size(stream.read(ID3_HEAD_BYTES))


def _v1_tag(stream: BinaryIO) -> bytes:
    """Return the ID3v1 tag at the end of a file, empty if there is none."""
    if stream.seek(0, os.SEEK_END) < _V1_BYTES:
        return b""
    stream.seek(-_V1_BYTES, os.SEEK_END)
    body = stream.read(_V1_BYTES)
    return body if body.startswith(b"TAG") else b""


def _ape_tag(stream: BinaryIO, *, behind: int) -> bytes:
    """Return the APEv2 tag that ends `behind` bytes before the end of a file, else empty."""
    end = stream.seek(0, os.SEEK_END) - behind
    if end < _APE_END_BYTES:
        return b""
    stream.seek(end - _APE_END_BYTES)
    footer = stream.read(_APE_END_BYTES)
    size = int.from_bytes(footer[12:16], "little")
    if int.from_bytes(footer[20:24], "little") & _APE_HAS_HEADER:
        size += _APE_END_BYTES
    if not footer.startswith(_APE_MARK) or not _APE_END_BYTES <= size <= end:
        return b""
    stream.seek(end - size)
    return read_exactly(stream, size)


def id3_frame_names(tag: bytes) -> list[bytes]:
    """Return the names of the frames of an ID3v2.3 or 2.4 tag; another layout has one name."""
    if not _has_plain_frames(tag):
        return [b"ID3 tags beyond the common ones"]
    return [frame.name for frame in _id3_frames(tag)]


def _has_plain_frames(tag: bytes) -> bool:
    """Whether a tag is of a version and a layout whose frames are read."""
    return len(tag) >= ID3_HEAD_BYTES and tag[3] in (3, 4) and not tag[5] & _HAS_EXTENDED_HEADER


def _id3_frames(tag: bytes) -> Iterator[Chunk]:
    """Yield the frames of an ID3v2.3 or 2.4 tag."""
    size_bits = 7 if tag[3] == 4 else 8
    place = ID3_HEAD_BYTES
    while place + ID3_HEAD_BYTES <= len(tag) and tag[place : place + 4].isalnum():
        size = 0
        for byte in tag[place + 4 : place + 8]:
            size = size << size_bits | byte
        start = place + ID3_HEAD_BYTES
        yield Chunk(tag[place : place + 4], tag[start : start + size])
        place = start + size


def _id3_texts(tag: bytes) -> Iterator[tuple[str, str]]:
    """Yield the names and values of common tags, each value of a frame by itself."""
    if not _has_plain_frames(tag) or tag[5] & _UNSYNCHRONISED:
        return
    for frame in _id3_frames(tag):
        name = _TEXT_FRAMES.get(frame.name)
        if name is None or not frame.body:
            continue
        for text in _decoded_values(frame.body):
            yield name, text


def _decoded_values(body: bytes) -> list[str]:
    """The texts of a frame, which zeros separate."""
    encoding = _ENCODINGS.get(body[0])
    if encoding is None:
        return [decoded_text(text) for text in body[1:].split(b"\0")]
    # Each text of UTF-16 begins with a byte order mark of its own.
    values = body[1:].decode(encoding, "replace").split("\0")
    return [value.lstrip("\ufeff") for value in values]
