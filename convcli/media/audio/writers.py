"""Where stored samples go: a WAV by its bytes to a file or a pipe, any other format through libsndfile."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

import numpy as np

from convcli.errors import OutputError
from convcli.media.audio import wav
from convcli.media.audio.formats import FLOATS, bits_of
from convcli.media.audio.splice import empty_flac, splice

if TYPE_CHECKING:
    from convcli.media.audio.formats import Coding
    from convcli.media.audio.samples import Numbers
    from convcli.media.audio.tags import Metadata

    Stored = bytes | memoryview | Numbers

# Beyond this promise, and where nothing is promised, room is left in the header to become RF64.
_SURELY_SHORT = 1 << 31


class Writer(Protocol):
    """A place for stored samples. `store` is pure; the others are called by one thread, in order."""

    def store(self, numbers: Numbers) -> Stored:
        """Numbers of the coding as `write` takes them."""
        ...

    def write(self, stored: Stored) -> None:
        """Append."""
        ...

    def finish(self) -> str | None:
        """The last bytes; a warning, if there is one. The target is closed if it was a path."""
        ...

    def discard(self) -> None:
        """Let go of the target without another byte."""
        ...


class WavWriter:
    """RIFF/WAVE with a header of our own: errors of the system are seen, and pipes are served."""

    def __init__(
        self, target: Path | BinaryIO, header: wav.WavHeader, *, frames: int | None
    ) -> None:
        self._owned = isinstance(target, Path)
        self._file = cast("BinaryIO", target.open("w+b")) if isinstance(target, Path) else target
        try:
            self._begin(header, frames)
        except BaseException:
            self.discard()
            raise

    def _begin(self, header: wav.WavHeader, frames: int | None) -> None:
        self._patchable = self._owned or _can_seek_back(self._file)
        self._start = self._file.tell() if self._patchable else 0
        self._promised = None if frames is None else frames * header.frame_bytes
        if header.format == "RF64" and self._promised is None and not self._patchable:
            header = replace(header, format="WAV")
        self._room = (
            1
            if self._patchable and (self._promised is None or self._promised > _SURELY_SHORT)
            else 0
        )
        self._header, self._written = header, 0
        self._head = wav.write_header(header, data_bytes=self._promised, room=self._room)
        self._file.write(self._head)

    def store(self, numbers: Numbers) -> bytes | memoryview:
        """The bytes of the samples."""
        return wav.pack(numbers, self._header.subtype or "PCM_16")

    def write(self, stored: Stored) -> None:
        """Append the bytes."""
        self._file.write(cast("bytes | memoryview", stored))
        self._written += len(stored)

    def finish(self) -> str | None:
        """Pad to an even length, and put the true sizes into the header where that can be done."""
        warning = None
        if self._written & 1 and (self._patchable or self._promised is not None):
            self._file.write(b"\0")
        if self._written != self._promised and self._patchable:
            self._patch()
        elif self._promised is not None and self._written != self._promised:
            frame = self._header.frame_bytes
            warning = (
                f"the WAV header on the pipe promised {self._promised // frame} frames, "
                f"{self._written // frame} were written"
            )
        self._file.flush()
        if self._owned:
            self._file.close()
        return warning

    def _patch(self) -> None:
        long = self._head[:4] == b"RF64"
        header = replace(self._header, format="RF64") if long else self._header
        head = wav.write_header(header, data_bytes=self._written, room=self._room)
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
        """Close a file of our own."""
        if self._owned:
            with suppress(OSError):
                self._file.close()


def _can_seek_back(file: BinaryIO) -> bool:
    """Whether what was written can be written over: a regular file not opened for appending."""
    if not file.seekable():
        return False
    try:
        import fcntl

        return not fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND
    except (ImportError, OSError):
        return True


class CodecWriter:
    """Any format of libsndfile. To a pipe it goes by way of a temporary file: its header is written last."""

    def __init__(
        self,
        target: Path | BinaryIO,
        coding: Coding,
        *,
        rate: int,
        channels: int,
        endian: str,
        metadata: Metadata,
    ) -> None:
        from convcli.media.audio.sndfile import SndFileEncoder, exchange_type

        self._target, self._coding, self._metadata = target, coding, metadata
        import tempfile

        opened = target.open("w+b") if isinstance(target, Path) else tempfile.TemporaryFile()  # noqa: SIM115
        self._file = cast("BinaryIO", opened)
        self._size = (rate, channels)
        self._type = np.dtype(exchange_type(coding.subtype))
        try:
            self._encoder = SndFileEncoder(
                self._file, coding, rate=rate, channels=channels, endian=endian, tags=metadata.tags
            )
        except BaseException:
            with suppress(OSError):
                self._file.close()
            raise

    def store(self, numbers: Numbers) -> Numbers:
        """Left-justified in the number type that libsndfile takes."""
        if self._coding.subtype in FLOATS or self._type.kind == "f":
            return numbers.astype(self._type, copy=False)
        shift = 8 * self._type.itemsize - bits_of(self._coding.subtype)
        wide = numbers.astype(self._type, copy=False)
        return wide << shift if shift else wide

    def write(self, stored: Stored) -> None:
        """Encode and append."""
        self._encoder.write(cast("Numbers", stored))

    def finish(self) -> str | None:
        """Finish the file, put the metadata in, and send it on if a pipe waits for it."""
        self._encoder.finish()
        if self._file.seek(0, os.SEEK_END) == 0:  # libsndfile begins with the first sample
            self._file.write(self._empty())
        refused = self._encoder.refused
        warning = (
            f"{self._coding.format} did not take the tags {', '.join(refused)}" if refused else None
        )
        try:
            splice(self._file, self._coding.format, self._metadata.chunks)
        except ValueError as error:
            warning = f"the tags of the input do not fit into {self._coding.format} and are not kept: {error}"
        if not isinstance(self._target, Path):
            self._file.seek(0)
            shutil.copyfileobj(self._file, self._target, 1 << 20)
            self._target.flush()
        self._file.close()
        return warning

    def _empty(self) -> bytes:
        """A file without samples."""
        if self._coding.format != "FLAC":
            raise OutputError(
                f"{self._coding.format} cannot hold a sound without samples",
                hint="use --format wav",
            )
        return empty_flac(*self._size, bits_of(self._coding.subtype))

    def discard(self) -> None:
        """Close the file of our own."""
        self._encoder.discard()
        with suppress(OSError):
            self._file.close()
