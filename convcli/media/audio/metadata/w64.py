"""Wave64 files (Sony 2006), of whose metadata only the speakers are kept."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.audio import wav
from convcli.media.audio.metadata.container import Chunk, Container

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD, _FIRST_CHUNK = struct.Struct("<4s12sQ"), 40
# Larger chunks are damaged ones.
_LONGEST, _LONGEST_FORMAT = 1 << 60, 1 << 16


class Wave64Container(Container):
    """Wave64: chunks as in a WAV, with names of 16 and sizes of 8 bytes, padded to 8 bytes."""

    def speaker_mask(self, stream: BinaryIO, chunks: tuple[Chunk, ...], channels: int) -> int:
        """What the header says, as that of an extensible WAV."""
        del chunks, channels
        for name, size in wave64_chunk_heads(stream):
            if name == b"fmt " and size < _LONGEST_FORMAT:
                return wav.read_format(stream.read(size), name="").mask
        return 0


def wave64_chunk_heads(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the first four letters and the bytes of each chunk, with the stream at its body."""
    place = _FIRST_CHUNK
    while True:
        stream.seek(place)
        head = stream.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        name, _, size = _HEAD.unpack(head)
        if not _HEAD.size <= size < _LONGEST:
            return
        yield name, size - _HEAD.size
        place += size + -size % 8
