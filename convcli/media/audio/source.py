"""Sound files and pipes as sources of samples: WAV by its bytes, everything else by libsndfile."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self, cast

from convcli.errors import InputError
from convcli.media.audio import wav
from convcli.media.audio.details import AudioDetails, channel_names, reading
from convcli.media.audio.formats import FLOATS
from convcli.media.audio.medium import AUDIO
from convcli.media.audio.wav_reader import WavFile, WavStream
from convcli.signals import Block, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from convcli.media.audio.details import Odd
    from convcli.signals import Array

    Raw = bytes | npt.NDArray[Any]

__all__ = ["AudioDetails", "AudioSource", "open_audio"]


class _Reader(Protocol):
    """One way to get samples out of a file."""

    details: AudioDetails

    def blocks(self) -> Iterator[Raw]: ...
    def decode(self, raw: Any) -> Array: ...
    def close(self) -> None: ...


class AudioSource:
    """The samples of one sound file or pipe, in -1..1: a Source of `(n, channels)` blocks.

    `details` says what the file is, `warnings` what was odd about it; both may gain by reading to the end.
    """

    def __init__(
        self, reader: _Reader, warnings: list[str], *, owned: BinaryIO | None = None
    ) -> None:
        self._reader = reader
        self._owned = owned
        self.details = reader.details
        self.warnings = warnings
        self.signal = Signal(
            medium=AUDIO,
            shape=(self.details.frames,),
            channels=channel_names(self.details.channels),
            rate=float(self.details.rate),
            # Whole numbers end one step below 1: what is normalised to their largest is not clipped.
            full_scale=1.0
            if self.details.subtype in FLOATS
            else 1 - 2.0 ** (1 - self.details.bits),
        )

    def chunks(self) -> Iterator[Raw]:
        """Undecoded blocks. A second call starts over; on a WAV from a pipe it raises InputError."""
        return self._reader.blocks()

    def decode(self, raw: Raw) -> Block:
        """One block as samples in -1..1, whole numbers as they are stored."""
        return Block(self._reader.decode(raw))

    def close(self) -> None:
        """Let go of the file; standard input stays the caller's."""
        self._reader.close()
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_audio(
    path: Path | None, *, stdin: BinaryIO | None = None, strict: bool = False
) -> AudioSource:
    """Open a sound file, or standard input where `path` is None. InputError says why it cannot be.

    strict : a truncated file is an InputError, not a warning
    """
    warnings: list[str] = []

    def odd(message: str) -> None:
        if strict:
            raise InputError(
                message, hint="without --strict this is a warning, and what is there is filtered"
            )
        warnings.append(message)

    if path is None:
        if stdin is None:
            raise InputError("standard input is not open")
        return AudioSource(_open_stream(stdin, odd), warnings)
    name = str(path)
    with reading(name):
        raw = path.open("rb", buffering=0)
    # Whole pieces from a pipe take a buffer; what libsndfile reads by its descriptor must have none.
    file = cast("BinaryIO", raw) if raw.seekable() else cast("BinaryIO", io.BufferedReader(raw))
    try:
        return AudioSource(_open_file(file, name, odd), warnings, owned=file)
    except BaseException:
        file.close()
        raise


def _open_file(file: BinaryIO, name: str, odd: Odd) -> _Reader:
    if not file.seekable():
        return _open_stream(file, odd, name=name)
    with reading(name):
        prefix = file.read(12)
        file.seek(0)
        if not prefix:
            raise InputError(f"{name}: is empty, expected a sound file")
        if wav.is_wav(prefix):
            header = wav.read_header(file, name=name)
            if header.subtype is not None:
                return WavFile(file, header, name, odd)
    from convcli.media.audio.sndfile import SndFileReader

    return SndFileReader(file, name, odd)


def _open_stream(stream: BinaryIO, odd: Odd, *, name: str = "standard input") -> _Reader:
    """A plain WAV is read as it comes; anything else goes to a temporary file first."""
    if stream.seekable():  # `< file.wav`
        return _open_stream_of_a_file(stream, odd, name)
    return _open_pipe(stream, odd, name)


def _open_stream_of_a_file(stream: BinaryIO, odd: Odd, name: str) -> _Reader:
    start = stream.tell()
    prefix = stream.read(12)
    stream.seek(start)
    if wav.is_wav(prefix):
        header = wav.read_header(stream, name=name)
        if header.subtype is not None:
            return WavFile(stream, header, name, odd)
        stream.seek(start)
    return _open_pipe(stream, odd, name)


def _open_pipe(stream: BinaryIO, odd: Odd, name: str) -> _Reader:
    recorder = _Recorder(stream)
    with reading(name):
        prefix = recorder.peek(12)
        if not prefix:
            raise InputError(f"{name}: is empty, expected a sound file")
        if wav.is_wav(prefix):
            header = wav.read_header(recorder, name=name)
            if header.subtype is not None:
                return WavStream(stream, header, name, odd)
        import tempfile

        from convcli.media.audio.sndfile import SndFileReader

        spool = cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 the reader closes it
        try:
            spool.write(recorder.seen)
            shutil.copyfileobj(stream, spool, 1 << 20)
            spool.flush()
            return SndFileReader(spool, name, odd)
        except BaseException:
            spool.close()
            raise


class _Recorder:
    """Reads a pipe and remembers what was read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = b""
        self.seen = b""

    def peek(self, size: int) -> bytes:
        self._ahead = self._stream.read(size)
        self.seen = self._ahead
        return self._ahead

    def read(self, size: int, /) -> bytes:
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        if len(data) < size:
            more = self._stream.read(size - len(data))
            self.seen += more
            data += more
        return data
