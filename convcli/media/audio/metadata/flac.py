"""FLAC files as places for metadata (RFC 9639, section 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from convcli.media.audio.metadata.channel_masks import commented_mask, implied_mask
from convcli.media.audio.metadata.comments import (
    COMMENTS,
    CommentContainer,
    split_comments,
    with_vendor,
)
from convcli.media.audio.metadata.container import Chunk, read_exactly, replace_head
from convcli.media.audio.metadata.id3 import id3_length

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKER = b"fLaC"
_STREAMINFO, _PADDING, _COMMENTS_KIND = 0, 1, 4
_NAMES = {2: b"APPLICATION", _COMMENTS_KIND: COMMENTS, 5: b"CUESHEET", 6: b"PICTURE"}
_KINDS = {name: kind for kind, name in _NAMES.items()}
_LONGEST_BLOCK = (1 << 24) - 1
_LAST = 0x80


class FlacContainer(CommentContainer):
    """FLAC: a marker, metadata blocks, then the audio frames."""

    def chunks(self, stream: BinaryIO) -> Iterator[Chunk]:
        """Yield the blocks that libsndfile would not write by itself."""
        for kind, body in flac_blocks(stream):
            if kind == _COMMENTS_KIND:
                split_comments(body)  # raises ValueError if damaged
            if kind in _NAMES:
                yield Chunk(_NAMES[kind], body)

    def speaker_mask(self, stream: BinaryIO, chunks: tuple[Chunk, ...], channels: int) -> int:
        """The mask in a comment, else the one that the format implies by the number of channels."""
        del stream
        mask = commented_mask(chunks)
        return implied_mask(channels) if mask is None else mask

    def write(self, file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
        """Replace the comments and padding that libsndfile wrote; the vendor stays libsndfile."""
        blocks, vendor = [], b""
        for kind, body in flac_blocks(file):
            if kind == _COMMENTS_KIND:
                vendor, _ = split_comments(body)
            elif kind != _PADDING:
                blocks.append((kind, body))
        end = file.tell()
        for chunk in chunks:
            body = with_vendor(vendor, chunk.body) if chunk.name == COMMENTS else chunk.body
            blocks.append((_KINDS[chunk.name], body))
        fitting = [(kind, body) for kind, body in blocks if len(body) <= _LONGEST_BLOCK]
        replace_head(file, end, _flac_head(fitting))


def flac_blocks(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of each metadata block, and leave the stream at the first audio frame."""
    stream.seek(id3_length(stream))
    if stream.read(4) != _MARKER:
        raise ValueError("no FLAC marker")
    last = False
    while not last:
        head = read_exactly(stream, 4)
        last = bool(head[0] & _LAST)
        size = int.from_bytes(head[1:], "big")
        yield head[0] & ~_LAST, read_exactly(stream, size)


def _flac_head(blocks: list[tuple[int, bytes]]) -> bytes:
    parts = [_MARKER]
    for place, (kind, body) in enumerate(blocks, start=1):
        last = _LAST if place == len(blocks) else 0
        parts += [bytes([kind | last]), len(body).to_bytes(3, "big"), body]
    return b"".join(parts)


def empty_flac(rate: int, channels: int, bits: int) -> bytes:
    """Return a FLAC file without samples: the marker and STREAMINFO (RFC 9639, section 8.2)."""
    block_sizes = bytes.fromhex("10001000")
    frame_sizes = bytes(6)
    facts = rate << 44 | (channels - 1) << 41 | (bits - 1) << 36  # the low 36 bits count samples
    checksum = bytes(16)
    info = block_sizes + frame_sizes + facts.to_bytes(8, "big") + checksum
    return _flac_head([(_STREAMINFO, info)])
