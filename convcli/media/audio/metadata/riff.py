"""WAV and RF64 files as places for metadata: INFO lists (Microsoft, IBM 1991), other chunks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.audio import wav
from convcli.media.audio.metadata.container import (
    Chunk,
    Container,
    append_chunks,
    chunk_heads,
    decoded_text,
    is_chunk_name,
    overwrite,
    with_all_values,
)
from convcli.media.audio.metadata.id3 import renamed_id3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INFO_CODES = {
    "title": b"INAM", "copyright": b"ICOP", "software": b"ISFT", "artist": b"IART",
    "comment": b"ICMT", "date": b"ICRD", "album": b"IPRD", "tracknumber": b"ITRK", "genre": b"IGNR",
}  # fmt: skip
# Where the format of a codec has the number of frames of a block.
_FORMAT_BYTES, _FRAMES_OF_BLOCK = 20, slice(18, 20)
INFO_NAMES = {code: name for name, code in _INFO_CODES.items()}


class WavContainer(Container):
    """WAV, extensible WAV and RF64: little-endian chunks before and after the samples."""

    own_tags = frozenset(_INFO_CODES)

    def chunks(self, stream: BinaryIO) -> Iterator[Chunk]:
        """Yield the metadata; nothing of a big-endian WAV (RIFX)."""
        prefix = stream.read(12)
        if not wav.is_wav(prefix):
            return
        stream.seek(0)
        header = wav.read_header(stream, name="")
        yield from header.chunks
        size = min(header.data_bytes or 0, os.fstat(stream.fileno()).st_size)
        if size:
            stream.seek(size, os.SEEK_CUR)
            yield from wav.read_trailing(stream, padded=bool(size & 1)).chunks

    def tags(self, chunks: tuple[Chunk, ...], found: Mapping[str, str]) -> Mapping[str, str]:
        """The common tags of the INFO lists."""
        return info_tags(chunks) if chunks else found

    def convert(self, tags: Mapping[str, str], chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Put the common tags into an INFO list, and keep the ID3 tags of an AIFF or MP3 file."""
        id3 = renamed_id3(b"id3 ", chunks)
        if any(name in _INFO_CODES for name in tags):
            return (_info_list(tags), *id3)
        return id3

    def correct(self, file: BinaryIO, frames: int) -> None:
        """Set the number of frames in the chunk `fact`, which libsndfile divides by channels."""
        file.seek(0)
        if not wav.is_wav(file.read(12)):
            return
        for name, _ in chunk_heads(file, "little"):
            if name == b"fact":
                overwrite(file, file.tell(), min(frames, wav.UNKNOWN).to_bytes(4, "little"))
            if name in (b"fact", b"data"):
                return

    def write(self, file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
        """Append the chunks and correct the size of the file in its header."""
        size = append_chunks(file, chunks, "little") - 8
        file.seek(0)
        if file.read(4) == b"RF64":
            overwrite(file, 20, size.to_bytes(8, "little"))
        else:
            overwrite(file, 4, size.to_bytes(4, "little"))


def frames_of_blocks(stream: BinaryIO, channels: int, decoded: int) -> int:
    """The frames of a WAV whose codec makes blocks, without those that fill up the last block.

    The chunk `fact` has their number. In a file of IMA ADPCM that libsndfile wrote, it is divided
    by the number of channels, and all frames are taken.

    decoded : frames of all blocks
    """
    counted = block = 0
    for name, size in chunk_heads(stream, "little"):
        body = stream.read(min(size, _FORMAT_BYTES)) if name in (b"fmt ", b"fact") else b""
        if name == b"fmt ":
            block = int.from_bytes(body[_FRAMES_OF_BLOCK], "little")
        elif name == b"fact":
            counted = int.from_bytes(body[:4], "little")
        elif name == b"data":
            break
    # libsndfile takes a byte of padding for one more block.
    most = 2 * block
    is_divided = channels > 1 and 0 <= decoded - counted * channels < most
    has_filling = 0 < decoded - counted < most
    return counted if counted and has_filling and not is_divided else decoded


def other_rifx_chunks(stream: BinaryIO) -> list[str]:
    """The names of chunks of a big-endian WAV that hold more than samples and common tags."""
    names = []
    for name, _ in chunk_heads(stream, "big"):
        if not is_chunk_name(name):
            break
        is_info = name == b"LIST" and stream.read(4) == b"INFO"
        if name not in wav.NOT_METADATA and not is_info:
            names.append(name.decode("ascii").strip())
    return names


def info_tags(chunks: tuple[Chunk, ...]) -> Mapping[str, str]:
    """Return the common tags in the INFO lists of a WAV."""
    texts: list[tuple[str, str]] = []
    for chunk in chunks:
        if chunk.full_name == b"LIST INFO":
            known = [item for item in info_items(chunk) if item.name in INFO_NAMES]
            texts += [(INFO_NAMES[item.name], _info_text(item.body)) for item in known]
    single = {name: text for name, text in texts if text}
    return with_all_values(single, texts)


def info_items(chunk: Chunk) -> Iterator[Chunk]:
    """Yield the entries of an INFO list."""
    body, place = chunk.body, 4
    while place + 8 <= len(body):
        name, start = body[place : place + 4], place + 8
        size = int.from_bytes(body[place + 4 : start], "little")
        yield Chunk(name, body[start : start + size])
        place = start + size + (size & 1)


def _info_text(body: bytes) -> str:
    """Decode an entry: UTF-8, else the code page of Western Windows."""
    return decoded_text(body.split(b"\0")[0])


def _info_list(tags: Mapping[str, str]) -> Chunk:
    """The LIST chunk with the tags that RIFF has a code for; each text ends with a zero byte."""
    entries: list[bytes] = []
    for name, code in _INFO_CODES.items():
        if name in tags:
            entry = Chunk(code, tags[name].encode() + b"\0")
            entries.append(entry.to_bytes("little"))
    return Chunk(b"LIST", b"INFO" + b"".join(entries))
