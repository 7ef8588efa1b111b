"""Put the input's own metadata into a finished sound file, in its place and without a second file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Literal

from convcli.media.audio import ogg
from convcli.media.audio.tags import (
    WAV_KINDS,
    flac_blocks,
    flac_kind,
    join_comments,
    skip_id3,
    split_comments,
)

if TYPE_CHECKING:
    from convcli.media.audio.wav import Chunk

_MOVE_BYTES = 1 << 22
_LONGEST_FLAC_BLOCK = (1 << 24) - 1
_PADDING, _COMMENTS = 1, 4


def splice(file: BinaryIO, format: str, chunks: tuple[Chunk, ...]) -> None:
    """Replace the metadata of the FLAC, Ogg, MP3, AIFF or WAV in `file` (open for reading and writing) by `chunks`."""
    if not chunks:
        return
    writers = {
        "FLAC": _into_flac,
        "OGG": _into_ogg,
        "MP3": _into_mp3,
        "AIFF": _into_aiff,
    } | dict.fromkeys(WAV_KINDS, _into_wav)
    write = _into_wav if format in WAV_KINDS else writers[format]
    write(file, chunks)
    file.flush()


def replace_head(file: BinaryIO, end: int, head: bytes) -> None:
    """Put `head` in the place of the first `end` bytes, moving the rest of the file."""
    size = file.seek(0, os.SEEK_END)
    shift = len(head) - end
    starts = range(end, size, _MOVE_BYTES)
    for start in reversed(starts) if shift > 0 else starts if shift < 0 else ():
        file.seek(start)
        piece = file.read(min(_MOVE_BYTES, size - start))
        file.seek(start + shift)
        file.write(piece)
    file.seek(0)
    file.write(head)
    file.truncate(size + shift)


def _into_flac(file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
    old = list(flac_blocks(file))
    end = file.tell()
    vendor = next((split_comments(body)[0] for kind, body in old if kind == _COMMENTS), b"")
    blocks = [(kind, body) for kind, body in old if kind not in (_PADDING, _COMMENTS)]
    for chunk in chunks:
        kind, body = flac_kind(chunk), chunk.body
        blocks.append(
            (kind, join_comments(vendor, split_comments(body)[1]) if kind == _COMMENTS else body)
        )
    blocks = [block for block in blocks if len(block[1]) <= _LONGEST_FLAC_BLOCK]
    head = b"fLaC"
    for place, (kind, body) in enumerate(blocks, start=1):
        last = 0x80 if place == len(blocks) else 0
        head += bytes([kind | last]) + len(body).to_bytes(3, "big") + body
    replace_head(file, end, head)


def empty_flac(rate: int, channels: int, bits: int) -> bytes:
    """A FLAC file of 0 samples: the marker and STREAMINFO (RFC 9639, 8.2)."""
    facts = (rate << 44 | (channels - 1) << 41 | (bits - 1) << 36).to_bytes(8, "big")
    info = bytes.fromhex("10001000") + bytes(6) + facts + bytes(16)
    return b"fLaC" + bytes([0x80]) + len(info).to_bytes(3, "big") + info


def _into_ogg(file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
    serial, packets = ogg.read_header_packets(file)
    end = file.tell()
    page = ogg.read_page(file)
    mark, old, ending = ogg.split_comment_packet(packets[1])
    comments = split_comments(chunks[0].body)[1]
    packets[1] = mark + join_comments(split_comments(old)[0], comments) + ending
    pages = ogg.header_pages(serial, packets)
    head = b"".join(pages)
    replace_head(file, end, head)
    if page is not None and page.number != len(pages):
        _renumber(file, len(head), len(pages))


def _renumber(file: BinaryIO, start: int, number: int) -> None:
    """Count the audio pages on from `number`: players take a gap for a loss."""
    file.seek(start)
    place = start
    for page in ogg.renumbered(file, number):
        file.seek(place)
        file.write(page)
        place += len(page)
        file.seek(place)


def _into_mp3(file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
    tags = {chunk.name: chunk.body for chunk in chunks}
    replace_head(file, skip_id3(file), tags.get(b"ID3v2", b""))
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 128))
    if file.read(3) == b"TAG":
        file.truncate(size - 128)
    file.seek(0, os.SEEK_END)
    file.write(tags.get(b"ID3v1", b""))


def _into_aiff(file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
    size = _append(file, chunks, "big")
    _overwrite(file, 4, (size - 8).to_bytes(4, "big"))


def _into_wav(file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
    size = _append(file, chunks, "little")
    file.seek(0)
    if file.read(4) == b"RF64":
        _overwrite(file, 20, (size - 8).to_bytes(8, "little"))
    else:
        _overwrite(file, 4, (size - 8).to_bytes(4, "little"))


def _append(file: BinaryIO, chunks: tuple[Chunk, ...], order: Literal["big", "little"]) -> int:
    """Put the chunks behind the last one; the new length of the file."""
    file.write(b"\0" * (file.seek(0, os.SEEK_END) & 1))
    file.writelines(
        c.name + len(c.body).to_bytes(4, order) + c.body + b"\0" * (len(c.body) & 1) for c in chunks
    )
    return file.tell()


def _overwrite(file: BinaryIO, place: int, data: bytes) -> None:
    file.seek(place)
    file.write(data)
