"""WAV and Wave64 files and pipes written by their bytes, without a codec."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from convcli.dataclass import dataclass
from convcli.errors import OutputError
from convcli.media.audio import wav
from convcli.media.audio.wav import WavHeader
from convcli.media.replacing import reserve

if TYPE_CHECKING:
    from convcli.array_types import AnyArray
    from convcli.media.division import PartOfFile

    Stored = bytes | memoryview | AnyArray

_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
# What follows the four letters of the other names.
_WAVE_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")
# A GUID and the size of the chunk, this head included.
_CHUNK_HEAD_BYTES = 16 + 8


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
        content = b"wave" + _WAVE_GUID + body + data_head
        file_bytes = _CHUNK_HEAD_BYTES + len(content) + known
        return _RIFF + struct.pack("<Q", file_bytes) + content

    def padding(self, data_bytes: int) -> bytes:  # noqa: ARG002 -- as of other headers
        """Nothing: the samples are the last chunk."""
        return b""


def _chunk_head(name: bytes, content_bytes: int) -> bytes:
    return name + _WAVE_GUID + struct.pack("<Q", _CHUNK_HEAD_BYTES + content_bytes)


def _chunk(name: bytes, content: bytes) -> bytes:
    return _chunk_head(name, len(content)) + content


# Above this many bytes of samples, and where the number is not known, the header leaves room to
# become RF64.
_SURELY_SHORT = 1 << 31


class WavWriter:
    """Writes a header, the samples, and the header again where their number was not known.

    part : the part of the file that is written; None for the whole
    """

    def __init__(
        self,
        target: Path | BinaryIO,
        header: wav.WavHeader,
        *,
        frames: int | None,
        part: PartOfFile | None = None,
    ) -> None:
        self._owned = isinstance(target, Path)
        mode = "w+b" if part is None or part.apart else "r+b"
        self._file = cast("BinaryIO", target.open(mode)) if isinstance(target, Path) else target
        self._promised = None if frames is None else frames * header.frame_bytes
        self._part = part
        self._written = 0
        try:
            self._begin(header)
        except BaseException:
            self.discard()
            raise

    def _begin(self, header: wav.WavHeader) -> None:
        """Write the header, with room for an RF64 one where it can be written again."""
        self._patchable = self._owned or _can_seek_back(self._file)
        self._start = self._file.tell() if self._patchable else 0
        if header.format == "RF64" and self._promised is None and not self._patchable:
            header = replace(header, format="WAV")
        may_be_long = self._promised is None or self._promised > _SURELY_SHORT
        self._room = self._patchable and may_be_long
        self._header = header
        self._head = header.to_bytes(self._promised, room=self._room)
        part = self._part
        if part is None or (part.apart and part.opens):
            self._file.write(self._head)
        elif not part.apart:
            self._file.seek(len(self._head) + part.first * header.frame_bytes)

    def store(self, numbers: AnyArray) -> bytes | memoryview:
        """Turn numbers into the bytes of the file."""
        header = self._header
        return wav.pack(numbers, header.subtype or "PCM_16", bits=header.bits)

    def write(self, stored: Stored) -> None:
        """Append the bytes of samples; on a pipe they leave at once."""
        self._file.write(cast("bytes | memoryview", stored))
        self._written += len(stored)
        if not self._patchable:
            self._file.flush()

    def finish(self) -> list[str]:
        """Pad to an even length, and put the true sizes into the header where that can be done."""
        warnings: list[str] = []
        if self._part is not None:
            self._end_part(self._part)
            return warnings
        if self._patchable or self._promised is not None:
            self._file.write(self._header.padding(self._written))
        if self._written != self._promised:
            if self._patchable:
                self._patch()
            elif self._promised is not None:
                warnings.append(self._broken_promise(self._promised))
        self._close()
        return warnings

    def _broken_promise(self, promised_bytes: int) -> str:
        """The warning about a wrong header in a pipe, where it cannot be written again."""
        promised = promised_bytes // self._header.frame_bytes
        written = self._written // self._header.frame_bytes
        return f"the WAV header on the pipe promised {promised} frames, {written} were written"

    def _end_part(self, part: PartOfFile) -> None:
        if part.apart and part.ends:
            self._file.write(self._header.padding(self._promised or 0))
        self._close()

    def _close(self) -> None:
        self._file.flush()
        if self._owned:
            self._file.close()

    @property
    def shared(self) -> WavWriter:
        """The writer itself: every sample has its place in the file."""
        return self

    def reserve(self) -> None:
        """Make room for all samples, so that a full disk is known at once."""
        self._file.flush()
        reserve(self._file, len(self._head) + (self._promised or 0))

    def skip(self, frames: int) -> None:
        """Go over samples that were written from elsewhere."""
        self._written += frames * self._header.frame_bytes
        self._file.seek(len(self._head) + self._written)

    def _patch(self) -> None:
        header = self._header
        if self._head.startswith(wav.LONG_MARKS):
            header = replace(header, format="RF64")
        head = header.to_bytes(self._written, room=self._room)
        if len(head) != len(self._head):
            raise OutputError(
                f"{self._written} bytes of samples are more than a WAV can hold",
                hint="use --format rf64 or w64",
            )
        self._file.flush()
        self._file.seek(self._start)
        self._file.write(head)
        self._file.seek(0, os.SEEK_END)

    def discard(self) -> None:
        """Close the file if it was opened here."""
        if self._owned:
            with suppress(OSError):
                self._file.close()


def _can_seek_back(file: BinaryIO) -> bool:
    """Whether written bytes can be overwritten: in a regular file not opened for appending."""
    if not file.seekable():
        return False
    try:
        import fcntl

        return not fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND
    except (ImportError, OSError):
        return True
