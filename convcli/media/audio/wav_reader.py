"""WAV files and pipes read by their bytes: no codec, no temporary file, decoding in any thread."""

from __future__ import annotations

import io
from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from convcli.errors import InputError
from convcli.media.audio import wav
from convcli.media.audio.formats import bits_of
from convcli.media.audio.metadata.container import is_chunk_name
from convcli.media.audio.metadata.riff import info_tags
from convcli.media.audio.piped import Piece, ReadBlock, bytes_as_they_come, whole_blocks
from convcli.media.audio.reader import AudioDetails, AudioSource, reading
from convcli.media.block_parts import equal_lengths
from convcli.signals import Block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import AnyArray
    from convcli.media.audio.wav import WavHeader


def _wav_details(header: WavHeader, frames: int | None) -> AudioDetails:
    subtype = header.subtype or "PCM_16"
    return AudioDetails(
        format=header.format,
        subtype=subtype,
        rate=header.rate,
        channels=header.channels,
        frames=frames,
        bits=header.bits or bits_of(subtype),
        mask=header.mask,
        kind_end=header.kind_end,
        long_mark=header.long_mark,
        tags=info_tags(header.chunks),
        chunks=header.chunks,
    )


class _PlainWav(AudioSource):
    """A WAV whose samples need no codec."""

    def __init__(
        self, file: BinaryIO, header: WavHeader, name: str, *, strict: bool, owned: bool = True
    ) -> None:
        super().__init__(file, name, strict=strict, owned=owned)
        self._header = header
        self._start_reading()

    @abstractmethod
    def _start_reading(self) -> None:
        """Move to the first sample of the file."""

    def _report_further_samples(self, trailing: wav.Trailing) -> None:
        """Count the samples behind those of the first data chunk, which alone are read."""
        frames = trailing.data_bytes // self._header.frame_bytes
        if frames:
            self._report(
                f"has {frames} more frames in another 'data' chunk, which are left out: "
                "a WAV has one"
            )

    @property
    def _block_bytes(self) -> int:
        return self._block_frames * self._header.frame_bytes

    def _samples(self, raw: bytes | memoryview) -> AnyArray:
        return wav.unpack(raw, self._header)


class WavFile(_PlainWav):
    """A WAV that can be read again, its length compared with the promise of its header."""

    def _start_reading(self) -> None:
        file, header = self._file, self._header
        self._start = file.tell()
        frame_bytes = header.frame_bytes
        present = file.seek(0, io.SEEK_END) - self._start
        file.seek(self._start)
        promised = _promised_bytes(header, file, present)
        frames = min(present, promised) // frame_bytes
        self._bytes = frames * frame_bytes
        if promised > present:
            self._report_truncated(promised // frame_bytes, frames, header.rate)
        file.seek(self._start + min(promised, present))
        trailing = wav.read_trailing(file, padded=bool(promised & 1))
        self._report_further_samples(trailing)
        chunks = header.chunks + trailing.chunks
        self._describe(_wav_details(replace(header, chunks=chunks), frames))

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of whole frames, from the first one each time."""
        return self.blocks(range(len(self.block_lengths)))

    @property
    def seekable(self) -> WavFile:
        """The file itself, whose blocks can be read in any order."""
        return self

    @property
    def block_lengths(self) -> Sequence[int]:
        """How many frames each block has."""
        return equal_lengths(self._bytes // self._header.frame_bytes, self._block_frames)

    def blocks(self, wanted: range) -> Iterator[bytes]:
        """Yield the bytes of consecutive blocks."""
        size = self._block_bytes
        left = self._bytes - wanted.start * size
        with reading(self._name):
            self._file.seek(self._start + wanted.start * size)
            for _ in wanted:
                length = min(size, left)
                raw = self._file.read(length)
                if len(raw) < length:
                    raise InputError(f"{self._name}: became shorter while it was read")
                left -= length
                yield raw


def _promised_bytes(header: WavHeader, file: BinaryIO, present: int) -> int:
    """The bytes of samples that the header promises, or all bytes if it was never completed."""
    if header.data_bytes is None:
        return present
    if header.data_bytes == 0 and present > 0:
        head = file.read(8)
        size = int.from_bytes(head[4:], "little")
        chunk_follows = is_chunk_name(head[:4]) and size + 8 <= present
        return 0 if chunk_follows else present
    return header.data_bytes


class WavStream(_PlainWav):
    """A WAV from a pipe, read once, in constant memory."""

    def _start_reading(self) -> None:
        self._spent = False
        # Some writers leave a 0 where they cannot seek back: then the length is not known.
        self._size = self._header.data_bytes or None
        frames = None
        if self._size is not None:
            frames = self._size // self._header.frame_bytes
        self._describe(_wav_details(self._header, frames))

    def pieces(self) -> Iterator[Piece]:
        """Return the bytes of whole frames. InputError the second time."""
        return self._pieces(whole_blocks)

    def pieces_as_they_come(self) -> Iterator[Piece]:
        """Return the bytes of whole frames, which came within `PATIENCE` or fill a block."""
        return self._pieces(bytes_as_they_come)

    def last_for_now(self, raw: Piece) -> bool:
        """Whether the pipe is slow, so that the next piece may be long in coming."""
        return raw.last_for_now

    def decode(self, raw: Piece) -> Block:
        """Turn one piece into samples."""
        return Block(self._samples(raw.content), last_for_now=raw.last_for_now)

    def _pieces(self, read: ReadBlock) -> Iterator[Piece]:
        if self._spent:
            raise InputError(
                f"{self._name}: a second pass is needed, and a pipe can be read only once",
                hint="name a file instead",
            )
        self._spent = True
        return self._read(read)

    def _read(self, read: ReadBlock) -> Iterator[Piece]:
        frame_bytes = self._header.frame_bytes
        done = 0
        begun = b""  # of a frame whose other bytes have not come
        with reading(self._name):
            while self._size is None or done < self._size:
                wanted = self._block_bytes - len(begun)
                if self._size is not None:
                    wanted = min(wanted, self._size - done)
                piece = read(self._file, wanted)
                done += len(piece.content)
                raw = begun + piece.content if begun else piece.content
                whole = len(raw) // frame_bytes * frame_bytes
                begun = bytes(raw[whole:])
                if whole:
                    yield replace(piece, content=raw[:whole])
                if len(piece.content) < wanted and not piece.last_for_now:
                    self._report_end(done)
                    return
            self._drain()

    def _report_end(self, done: int) -> None:
        """Say what is missing at the end of the pipe."""
        frames, rest = divmod(done, self._header.frame_bytes)
        if self._size is not None:
            promised = self._size // self._header.frame_bytes
            self._report_truncated(promised, frames, self._header.rate)
        elif rest:
            self._report(f"is truncated: it ends within a frame, after {frames} whole ones")

    def _drain(self) -> None:
        """Read on to the end, because the writer of the pipe would fail if its reader went away."""
        trailing = wav.read_trailing(self._file, padded=bool((self._size or 0) & 1))
        while self._file.read(1 << 20):
            pass
        self._report_further_samples(trailing)
        if trailing.chunks:
            names = [chunk.name.decode("ascii").strip() for chunk in trailing.chunks]
            listed = ", ".join(names)
            self._report(f"metadata behind the samples came too late to be kept: {listed}")
