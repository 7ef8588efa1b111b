"""Sound files and pipes opened: WAV read by its bytes, everything else by libsndfile."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from convcli.errors import InputError
from convcli.media.audio import wav
from convcli.media.audio.decoder import DecodedFile, is_decoded
from convcli.media.audio.reader import AudioDetails, AudioSource, reading
from convcli.media.audio.wav_reader import WavFile, WavStream
from convcli.media.scratch import keep_stream, scratch

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["AudioDetails", "AudioSource", "open_audio"]


def open_audio(
    path: Path | None, *, stdin: BinaryIO | None = None, strict: bool = False
) -> AudioSource:
    """Open a sound file, or standard input where `path` is None.

    InputError says why it cannot be opened.
    strict : a truncated file is an InputError, not a warning
    """
    if path is None:
        if stdin is None:
            raise InputError("standard input is not open")
        return _open_stdin(stdin, strict=strict)
    name = str(path)
    with reading(name):
        # libsndfile reads by the descriptor, past any buffer.
        raw = path.open("rb", buffering=0)
    try:
        if raw.seekable():
            return _open_file(cast("BinaryIO", raw), name, strict=strict)
        # Only a buffer makes a pipe return as many bytes as were asked for.
        pipe = cast("BinaryIO", io.BufferedReader(raw))
        return _open_pipe(pipe, name, strict=strict, owned=True)
    except BaseException:
        raw.close()
        raise


def _open_file(file: BinaryIO, name: str, *, strict: bool) -> AudioSource:
    with reading(name):
        header = _plain_wav_header(file, name)
        if header is not None:
            return WavFile(file, header, name, strict=strict)
        file.seek(0)
        prefix = file.read(12)
        if not prefix:
            raise InputError(f"{name}: is empty, expected a sound file")
    return _decoded(file, prefix, name, strict=strict)


def _decoded(file: BinaryIO, prefix: bytes, name: str, *, strict: bool) -> AudioSource:
    """A file that needs a library: FFmpeg for what libsndfile does not know."""
    if is_decoded(prefix):
        return DecodedFile(file, name, strict=strict)
    from convcli.media.audio.sndfile_reader import SndFile

    return SndFile(file, name, strict=strict)


def _plain_wav_header(file: BinaryIO, name: str) -> wav.WavHeader | None:
    """The header of a WAV that needs no codec, else None."""
    start = file.tell()
    prefix = file.read(12)
    file.seek(start)
    if not wav.is_wav(prefix):
        return None
    header = wav.read_header(file, name=name)
    return None if header.subtype is None else header


def _open_stdin(stdin: BinaryIO, *, strict: bool) -> AudioSource:
    name = "standard input"
    if stdin.seekable():  # `< file.wav`
        with reading(name):
            start = stdin.tell()
            header = _plain_wav_header(stdin, name)
            if header is not None:
                return WavFile(stdin, header, name, strict=strict, owned=False)
            stdin.seek(start)
    return _open_pipe(stdin, name, strict=strict, owned=False)


def _open_pipe(stream: BinaryIO, name: str, *, strict: bool, owned: bool) -> AudioSource:
    """Read a WAV without a codec as it comes; anything else goes to a temporary file first."""
    with reading(name):
        recorder = _Recorder(stream)
        if not recorder.prefix:
            raise InputError(f"{name}: is empty, expected a sound file")
        if wav.is_wav(recorder.prefix):
            header = wav.read_header(recorder, name=name)
            if header.subtype is not None:
                return WavStream(stream, header, name, strict=strict, owned=owned)
        spool, _ = scratch(buffering=0)
        try:
            keep_stream(stream, spool, name=name, first=recorder.seen)
            return _decoded(spool, recorder.prefix, name, strict=strict)
        except BaseException:
            spool.close()
            raise
        finally:
            if owned:
                stream.close()


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
