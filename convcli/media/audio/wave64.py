"""The header of a Sony Wave64 file, whose sizes have 64 bits.

Layout: Sony, Wave64 File Format (2003). A chunk is named by a GUID, and its size counts its head.
libsndfile 1.2.2 writes the same bytes.
"""

from __future__ import annotations

import struct

from convcli.dataclass import dataclass
from convcli.media.audio.wav import WavHeader

_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
# What follows the four letters of the other names.
_WAVE_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_CHUNK_HEAD_BYTES = 24


@dataclass(frozen=True, kw_only=True)
class Wave64Header(WavHeader):
    """The facts before the samples of a Wave64 file, which holds no metadata."""

    def to_bytes(self, data_bytes: int | None, *, room: bool = False) -> bytes:  # noqa: ARG002 -- its sizes always have room
        """The bytes before the first sample; sizes that are not known are those of no samples."""
        known = data_bytes or 0
        body = _chunk(b"fmt ", self.format_fields())
        if self.is_float:
            body += _chunk(b"fact", struct.pack("<Q", known // self.frame_bytes))
        data_head = _chunk_head(b"data", known)
        file_bytes = _CHUNK_HEAD_BYTES + 16 + len(body) + len(data_head) + known
        start = _RIFF + struct.pack("<Q", file_bytes) + b"wave" + _WAVE_GUID
        return start + body + data_head

    def padding(self, data_bytes: int) -> bytes:  # noqa: ARG002 -- as of other headers
        """Nothing: the samples are the last chunk."""
        return b""


def _chunk_head(name: bytes, content_bytes: int) -> bytes:
    return name + _WAVE_GUID + struct.pack("<Q", _CHUNK_HEAD_BYTES + content_bytes)


def _chunk(name: bytes, content: bytes) -> bytes:
    return _chunk_head(name, len(content)) + content
