"""Sound files and pipes as sources of samples: WAV read by its bytes, the rest by libsndfile."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self, cast

from convcli.errors import InputError
from convcli.media.audio import wav
from convcli.media.audio.details import AudioDetails, reading, temporary_file
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

    details : what the file says of itself
    warnings : what is odd about it; may grow until the end is read
    """

    def __init__(
        self, reader: _Reader, warnings: list[str], *, owned: BinaryIO | None = None
    ) -> None:
        self._reader = reader
        self._owned = owned
        self.details = reader.details
        self.warnings = warnings
        self.signal = _signal_of(reader.details)

    def chunks(self) -> Iterator[Raw]:
        """Undecoded blocks. A second call starts over; on a WAV pipe it raises InputError."""
        return self._reader.blocks()

    def decode(self, raw: Raw) -> Block:
        """One block as samples in -1..1, or as the whole numbers that are stored. Pure."""
        return Block(self._reader.decode(raw))

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._reader.close()
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _signal_of(details: AudioDetails) -> Signal:
    full_scale = 1.0
    if details.subtype not in FLOATS:
        # Whole numbers end one step below 1: what is normalised to their largest is not clipped.
        full_scale -= 2.0 ** (1 - details.bits)
    return Signal(
        medium=AUDIO,
        shape=(details.frames,),
        channels=AUDIO.names_of(details.channels),
        rate=float(details.rate),
        full_scale=full_scale,
    )


def open_audio(
    path: Path | None, *, stdin: BinaryIO | None = None, strict: bool = False
) -> AudioSource:
    """Open a sound file, or standard input where `path` is None.

    InputError says why it cannot be opened.
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
        return AudioSource(_open_stdin(stdin, odd), warnings)
    name = str(path)
    with reading(name):
        # libsndfile reads by the descriptor, past any buffer.
        raw = path.open("rb", buffering=0)
    try:
        if raw.seekable():
            file = cast("BinaryIO", raw)
            return AudioSource(_open_file(file, name, odd), warnings, owned=file)
        # Only a buffer makes a pipe return as many bytes as were asked for.
        pipe = cast("BinaryIO", io.BufferedReader(raw))
        return AudioSource(_open_pipe(pipe, name, odd), warnings, owned=pipe)
    except BaseException:
        raw.close()
        raise


def _open_file(file: BinaryIO, name: str, odd: Odd) -> _Reader:
    with reading(name):
        prefix = file.read(12)
        file.seek(0)
        if not prefix:
            raise InputError(f"{name}: is empty, expected a sound file")
        reader = _plain_wav(file, prefix, name, odd)
    if reader is not None:
        return reader
    from convcli.media.audio.sndfile_reader import SndFileReader

    return SndFileReader(file, name, odd)


def _plain_wav(file: BinaryIO, prefix: bytes, name: str, odd: Odd) -> WavFile | None:
    """Open a file that begins with `prefix` if it is a WAV without a codec."""
    if not wav.is_wav(prefix):
        return None
    header = wav.read_header(file, name=name)
    if header.subtype is None:
        return None
    return WavFile(file, header, name, odd)


def _open_stdin(stdin: BinaryIO, odd: Odd) -> _Reader:
    name = "standard input"
    if stdin.seekable():  # `< file.wav`
        start = stdin.tell()
        prefix = stdin.read(12)
        stdin.seek(start)
        reader = _plain_wav(stdin, prefix, name, odd)
        if reader is not None:
            return reader
        stdin.seek(start)
    return _open_pipe(stdin, name, odd)


def _open_pipe(stream: BinaryIO, name: str, odd: Odd) -> _Reader:
    """Read a WAV without a codec as it comes; anything else goes to a temporary file first."""
    with reading(name):
        recorder = _Recorder(stream)
        if not recorder.prefix:
            raise InputError(f"{name}: is empty, expected a sound file")
        if wav.is_wav(recorder.prefix):
            header = wav.read_header(recorder, name=name)
            if header.subtype is not None:
                return WavStream(stream, header, name, odd)
        from convcli.media.audio.sndfile_reader import SndFileReader

        spool = temporary_file(buffered=False)
        try:
            spool.write(recorder.seen)
            shutil.copyfileobj(stream, spool, 1 << 20)
            return SndFileReader(spool, name, odd)
        except BaseException:
            spool.close()
            raise


class _Recorder:
    """Reads the header of a pipe and keeps every byte of it; `prefix` is the first 12."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.prefix = stream.read(12)
        self.seen = self.prefix
        self._unread = self.prefix

    def read(self, size: int, /) -> bytes:
        data = self._unread[:size]
        self._unread = self._unread[size:]
        missing = size - len(data)
        if missing:
            more = self._stream.read(missing)
            self.seen += more
            data += more
        return data
