"""AIFF and AIFF-C files as places for metadata (Apple 1991)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.audio.metadata.container import (
    Chunk,
    Container,
    append_chunks,
    chunk_heads,
    decoded_text,
    is_chunk_name,
    overwrite,
    read_exactly,
    with_all_values,
)
from convcli.media.audio.metadata.id3 import renamed_id3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Chunks that libsndfile writes by itself.
_SAMPLE_CHUNKS = frozenset({b"COMM", b"SSND", b"FVER", b"PEAK"})
# The number of channels and of frames.
_BEFORE_SAMPLE_SIZE = 6
_TEXTS = {b"NAME": "title", b"AUTH": "artist", b"(c) ": "copyright", b"ANNO": "comment"}


class AiffContainer(Container):
    """AIFF: big-endian chunks in any order."""

    chunks_replace_tags = False

    def chunks(self, stream: BinaryIO) -> Iterator[Chunk]:
        """Yield the chunks that libsndfile would not write by itself."""
        for name, size in chunk_heads(stream, "big"):
            if not is_chunk_name(name):
                return
            if name not in _SAMPLE_CHUNKS:
                yield Chunk(name, read_exactly(stream, size))

    def tags(self, chunks: tuple[Chunk, ...], found: Mapping[str, str]) -> Mapping[str, str]:
        """The common tags, also those that libsndfile could not read and further values."""
        read = dict(found)
        texts = []
        for chunk in chunks:
            name = _TEXTS.get(chunk.name)
            if name is None:
                continue
            text = decoded_text(chunk.body.rstrip(b"\0"))
            texts.append((name, text))
            if "\ufffd" in read.get(name, ""):
                read[name] = text
        return with_all_values(read, texts)

    tells_bits = True

    def sample_bits(self, stream: BinaryIO) -> int | None:
        """The sample size in the COMM chunk."""
        if not _go_to_sample_size(stream):
            return None
        return int.from_bytes(stream.read(2), "big") or None

    def write_sample_bits(self, file: BinaryIO, bits: int) -> None:
        """Set the sample size in the COMM chunk."""
        if _go_to_sample_size(file):
            file.write(bits.to_bytes(2, "big"))

    def correct(self, file: BinaryIO, frames: int) -> None:  # noqa: ARG002 -- as all containers
        """Set the time in the PEAK chunk, which floating-point samples have, to 0."""
        for name, _ in chunk_heads(file, "big"):
            if name == b"PEAK":
                overwrite(file, file.tell() + 4, bytes(4))
            if name in (b"PEAK", b"SSND"):
                return

    def convert(self, tags: Mapping[str, str], chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Keep the first ID3 tag of an MP3 or WAV file."""
        del tags
        return renamed_id3(b"ID3 ", chunks)[:1]

    def write(self, file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
        """Append the chunks and correct the size of the file in its header."""
        size = append_chunks(file, chunks, "big")
        overwrite(file, 4, (size - 8).to_bytes(4, "big"))


def _go_to_sample_size(stream: BinaryIO) -> bool:
    """Move to the sample size in the COMM chunk; False if there is no such chunk."""
    for name, _ in chunk_heads(stream, "big"):
        if name == b"COMM":
            stream.seek(_BEFORE_SAMPLE_SIZE, os.SEEK_CUR)
            return True
    return False
