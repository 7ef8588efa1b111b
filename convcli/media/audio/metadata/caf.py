"""CAF files as places for metadata (Apple Core Audio Format Specification 1.0)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.audio.metadata.channel_masks import layout_mask
from convcli.media.audio.metadata.container import (
    NAMES,
    Chunk,
    Container,
    decoded_text,
    is_chunk_name,
    read_exactly,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEAD_BYTES = 8
# Chunks that describe the samples, which libsndfile writes by itself, or that only leave room.
_OF_SAMPLES = frozenset({b"desc", b"data", b"pakt", b"kuki", b"free", b"peak", b"ovvw", b"regn"})
# The size of samples that go on to the end of the file.
UNTIL_END = -1


class CafContainer(Container):
    """CAF: chunks with sizes of 64 bits."""

    own_tags = frozenset(NAMES)

    def chunks(self, stream: BinaryIO) -> Iterator[Chunk]:
        """Yield the chunks that do not describe the samples."""
        stream.seek(_HEAD_BYTES)
        while len(head := stream.read(12)) == 12:
            name, size = head[:4], int.from_bytes(head[4:], "big", signed=True)
            if size == UNTIL_END or not is_chunk_name(name):
                return
            if size < 0:
                raise ValueError(f"a block of {size} bytes")
            if name in _OF_SAMPLES:
                stream.seek(size, os.SEEK_CUR)
            else:
                yield Chunk(name, read_exactly(stream, size))

    def speaker_mask(self, stream: BinaryIO, chunks: tuple[Chunk, ...], channels: int) -> int:
        """What the channel layout says, unless its channels have another order than a mask."""
        del stream, channels
        return layout_mask(chunks)

    def tags(self, chunks: tuple[Chunk, ...], found: Mapping[str, str]) -> Mapping[str, str]:
        """The common tags, where libsndfile could not read their letters."""
        read = dict(found)
        for chunk in chunks:
            if chunk.name == b"info":
                read |= {
                    name: decoded_text(text)
                    for name, text in info_entries(chunk.body)
                    if "\ufffd" in read.get(name, "")
                }
        return read

    def write(self, file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
        """Append the metadata chunks to the file."""
        file.seek(0, os.SEEK_END)
        for chunk in chunks:
            size = len(chunk.body).to_bytes(8, "big")
            file.write(chunk.name + size + chunk.body)


def info_entries(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the keys and texts of an information chunk."""
    words = body[4:].split(b"\0")
    for key, text in zip(words[::2], words[1::2], strict=False):
        yield decoded_text(key), text
