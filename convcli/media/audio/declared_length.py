"""Where the samples of a sound file end according to its header, which may promise too much.

libsndfile reads what is there and says nothing of what is missing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Literal

from convcli.errors import InputError
from convcli.media.audio import wav
from convcli.media.audio.metadata import w64
from convcli.media.audio.metadata.caf import UNTIL_END
from convcli.media.audio.metadata.container import chunk_heads, is_chunk_name
from convcli.media.audio.voc import sound_block

if TYPE_CHECKING:
    from collections.abc import Callable

# A size from here on is the mark of a writer that could not seek back; SoX has its own for AIFF.
_UNFINISHED_RIFF, _UNFINISHED_AIFF = 0x7FFFF000, 0x7F000000
_UNKNOWN = 0xFFFFFFFF
# Larger chunks are damaged ones; a place behind them could not be sought.
_LONGEST = 1 << 60
# Bytes between the beginning of a chunk and its first sample.
_BEFORE_AIFF_SAMPLES, _BEFORE_CAF_SAMPLES = 16, 16
_AVR_HEAD_BYTES, _AVR_FRAMES = 128, 26
# The beginning of a NIST file, which holds the length of its header.
_NIST_HEAD_BYTES, _LONGEST_NIST_HEAD = 16, 1 << 16
_MAT_HEAD_BYTES, _MAT_ORDER, _MAT_ARRAY = 128, 126, 14


def file_end(head: bytes) -> int:
    """The length of a file by its first 24 bytes, 0 where they do not give it."""
    mark = head[:4]
    if mark == b"FORM":  # AIFF and 8SVX
        size = int.from_bytes(head[4:8], "big")
        return size + 8 if size < _UNFINISHED_AIFF else 0
    if mark == b"RIFF":
        size = int.from_bytes(head[4:8], "little")
        return size + 8 if size < _UNFINISHED_RIFF else 0
    if mark == b"riff":  # W64
        return int.from_bytes(head[16:24], "little")
    return 0


def samples_end(file: BinaryIO, frame_bytes: int) -> int:
    """The offset at which the samples end by the header, 0 where it does not give it.

    frame_bytes : of one sample of all channels; 0 if a codec makes them
    """
    file.seek(0)
    head = file.read(12)
    for mark, find_end in _BY_MARK.items():
        if head.startswith(mark):
            file.seek(0)
            return find_end(file, frame_bytes)
    return 0


def _end_in_wav(file: BinaryIO, _: int) -> int:
    try:
        header = wav.read_header(file, name="")
    except InputError:  # libsndfile reads more kinds of header
        return 0
    return 0 if header.data_bytes is None else file.tell() + header.data_bytes


def _end_in_aiff(file: BinaryIO, frame_bytes: int) -> int:
    """The end by the size of the samples, or by the number of frames if that is more."""
    frames = start = size = 0
    for name, length in chunk_heads(file, "big"):
        if not is_chunk_name(name):
            break
        place = file.tell()
        if name == b"COMM":
            frames = int.from_bytes(file.read(6)[2:], "big")
        if name == b"SSND":
            offset = int.from_bytes(file.read(4), "big")
            start = place - 8 + _BEFORE_AIFF_SAMPLES + offset
            size = length - 8 - offset
    longest = max(size, frames * frame_bytes)
    return start + longest if start and longest < _UNFINISHED_AIFF else 0


def _end_in_au(file: BinaryIO, _: int) -> int:
    head = file.read(12)
    order: Literal["little", "big"] = "little" if head.startswith(b"dns.") else "big"
    size = int.from_bytes(head[8:], order)
    return 0 if size == _UNKNOWN else int.from_bytes(head[4:8], order) + size


def _end_in_caf(file: BinaryIO, _: int) -> int:
    start, size = caf_samples(file) or (0, UNTIL_END)
    return 0 if size == UNTIL_END else start + size


def caf_samples(file: BinaryIO) -> tuple[int, int] | None:
    """The place of the data chunk of a CAF after its head, and its size; None if not known.

    The size is UNTIL_END if the program that wrote the file could not seek back.
    """
    file.seek(8)
    while is_chunk_name((head := file.read(12))[:4]):
        size = int.from_bytes(head[4:], "big", signed=True)
        is_data = head.startswith(b"data")
        if is_data and size == UNTIL_END:
            return file.tell(), size
        if not 0 <= size < _LONGEST:
            return None
        if is_data:
            return file.tell(), size
        file.seek(size, os.SEEK_CUR)
    return None


def _end_in_w64(file: BinaryIO, _: int) -> int:
    for name, size in w64.wave64_chunk_heads(file):
        if name == b"data":
            return file.tell() + size
    return 0


def _end_in_avr(file: BinaryIO, frame_bytes: int) -> int:
    file.seek(_AVR_FRAMES)
    frames = int.from_bytes(file.read(4), "big")
    return _AVR_HEAD_BYTES + frames * frame_bytes


def _end_in_nist(file: BinaryIO, frame_bytes: int) -> int:
    words = file.read(_NIST_HEAD_BYTES).split()
    if len(words) < 2 or not words[1].isdigit():
        return 0
    length = int(words[1])
    text = file.read(min(length, _LONGEST_NIST_HEAD))
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == b"sample_count" and words[2].isdigit():
            return length + int(words[2]) * frame_bytes
    return 0


def _end_in_mat5(file: BinaryIO, _: int) -> int:
    """The end of the last numbers of a MAT5, whose arrays hold elements as the file does."""
    file.seek(_MAT_ORDER)
    order: Literal["little", "big"] = "little" if file.read(2) == b"IM" else "big"
    end = _MAT_HEAD_BYTES
    while len(head := file.read(8)) == 8:
        kind, size = int.from_bytes(head[:4], order), int.from_bytes(head[4:], order)
        if kind == 0:
            break
        is_short = kind >> 16 > 0  # its four bytes stand in the head
        if kind != _MAT_ARRAY and not is_short:
            end = file.tell() + size
            file.seek(end + -end % 8)
    return end


def _end_in_voc(file: BinaryIO, _: int) -> int:
    block = sound_block(file)
    return 0 if block is None else block.stop


# By the first bytes of a file: the offset at which the samples end.
_BY_MARK: dict[bytes, Callable[[BinaryIO, int], int]] = {
    b"RIFF": _end_in_wav,
    b"RF64": _end_in_wav,
    b"BW64": _end_in_wav,
    b"FORM": _end_in_aiff,
    b".snd": _end_in_au,
    b"dns.": _end_in_au,
    b"caff": _end_in_caf,
    b"riff": _end_in_w64,
    b"2BIT": _end_in_avr,
    b"NIST": _end_in_nist,
    b"MATL": _end_in_mat5,
    b"Crea": _end_in_voc,
}
