"""WAV files and pipes by their bytes: no codec, no temporary file, decoding in any thread."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from convcli.errors import InputError
from convcli.media.audio import wav
from convcli.media.audio.details import AudioDetails, block_frames, reading, truncated
from convcli.media.audio.formats import bits_of
from convcli.media.audio.tags import info_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from convcli.media.audio.details import Odd
    from convcli.media.audio.wav import WavHeader


def _wav_details(header: WavHeader, frames: int | None) -> AudioDetails:
    subtype = header.subtype or "PCM_16"
    return AudioDetails(
        format=header.format,
        subtype=subtype,
        rate=header.rate,
        channels=header.channels,
        frames=frames,
        bits=bits_of(subtype),
        mask=header.mask,
        tags=info_tags(header.chunks),
        chunks=header.chunks,
    )


class WavFile:
    """A WAV that can be read again: what the header promises is held against what is there."""

    def __init__(self, file: BinaryIO, header: WavHeader, name: str, odd: Odd) -> None:
        self._file, self._header, self._name = file, header, name
        self._start = file.tell()
        present = os.fstat(file.fileno()).st_size - self._start
        promised = _promised(header, file, present)
        self._bytes = min(present, promised) // header.frame_bytes * header.frame_bytes
        if promised > present:
            odd(
                truncated(
                    name, promised // header.frame_bytes, present // header.frame_bytes, header.rate
                )
            )
        file.seek(self._start + min(promised + (promised & 1), present))
        trailing = wav.read_trailing(file)
        whole = replace(header, chunks=header.chunks + trailing)
        self.details = _wav_details(whole, self._bytes // header.frame_bytes)

    def blocks(self) -> Iterator[bytes]:
        """The bytes of whole frames, from the first one each time."""
        size = block_frames(self._header.channels, self.details.frames) * self._header.frame_bytes
        left = self._bytes
        with reading(self._name):
            self._file.seek(self._start)
            while left > 0:
                raw = self._file.read(min(size, left))
                if len(raw) < min(size, left):
                    raise InputError(f"{self._name}: became shorter while it was read")
                left -= len(raw)
                yield raw

    def decode(self, raw: bytes) -> npt.NDArray[Any]:
        """Samples as they are stored."""
        return wav.unpack(raw, self._header)

    def close(self) -> None:
        """Nothing to let go: the file is the caller's."""


def _promised(header: WavHeader, file: BinaryIO, present: int) -> int:
    """The bytes of samples in a file: as the header says, or to the end where nobody finished the header."""
    if header.data_bytes is None:
        return present
    if header.data_bytes == 0 and present > 0:
        head = file.read(8)
        follows = wav.is_chunk_name(head[:4]) and int.from_bytes(head[4:], "little") + 8 <= present
        return 0 if follows else present
    return header.data_bytes


class WavStream:
    """A WAV from a pipe, read once, in constant memory."""

    def __init__(self, stream: BinaryIO, header: WavHeader, name: str, odd: Odd) -> None:
        self._stream, self._header, self._name, self._odd = stream, header, name, odd
        self._spent = False
        # Some writers leave a 0 behind where they cannot seek back.
        self._size = header.data_bytes or None
        frames = None if self._size is None else self._size // header.frame_bytes
        self.details = _wav_details(header, frames)

    def blocks(self) -> Iterator[bytes]:
        """The bytes of whole frames, once."""
        if self._spent:
            raise InputError(
                f"{self._name}: a second pass is needed, and a pipe can be read only once",
                hint="name a file instead",
            )
        self._spent = True
        return self._read()

    def _read(self) -> Iterator[bytes]:
        frame, done = self._header.frame_bytes, 0
        size = block_frames(self._header.channels, self.details.frames) * frame
        with reading(self._name):
            while self._size is None or done < self._size:
                wanted = size if self._size is None else min(size, self._size - done)
                raw = self._stream.read(wanted)
                done += len(raw)
                if len(raw) >= frame:
                    yield raw[: len(raw) // frame * frame]
                if len(raw) < wanted:
                    self._ended(done)
                    return
            self._drain()

    def _ended(self, done: int) -> None:
        """Say what is missing at the end of the pipe."""
        frame = self._header.frame_bytes
        if self._size is not None:
            self._odd(truncated(self._name, self._size // frame, done // frame, self._header.rate))
        elif done % frame:
            self._odd(
                f"{self._name}: is truncated: it ends within a frame, after {done // frame} whole ones"
            )

    def _drain(self) -> None:
        """Take what follows the samples, so that the writer of the pipe does not break."""
        chunks = wav.read_trailing(self._stream)
        while self._stream.read(1 << 20):
            pass
        if chunks:
            names = ", ".join(chunk.name.decode("ascii").strip() for chunk in chunks)
            self._odd(
                f"{self._name}: metadata behind the samples came too late to be kept: {names}"
            )

    def decode(self, raw: bytes) -> npt.NDArray[Any]:
        """Samples as they are stored."""
        return wav.unpack(raw, self._header)

    def close(self) -> None:
        """Nothing to let go: the pipe is the caller's."""
