"""libsndfile, with its silences broken: errors of the system keep their reason, short reads and writes are told."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import soundfile

from convcli.errors import InputError, OutputError, RequestError
from convcli.media.audio import ogg
from convcli.media.audio.details import AudioDetails, block_frames, reading, truncated
from convcli.media.audio.formats import FLOATS, LOSSY, SUFFIXES, bits_of
from convcli.media.audio.tags import Tags, info_tags, read_chunks
from convcli.media.audio.wav import is_wav, read_header, read_trailing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from convcli.media.audio.details import Odd
    from convcli.media.audio.formats import Coding
    from convcli.media.audio.wav import Chunk

# The kinds of numbers in which libsndfile takes and gives samples, and what full scale is in them.
EXCHANGE = {"int16": 2.0**15, "int32": 2.0**31, "float32": 1.0, "float64": 1.0}

# Frames in a piece of a block that failed as a whole.
_SALVAGE_FRAMES = 1024
# Beyond it the encoder looks for its settings without end.
_FASTEST_VORBIS = 200_000


def exchange_type(subtype: str) -> str:
    """The number type in which a coding passes libsndfile unharmed."""
    if subtype in FLOATS:
        return "float64"
    if subtype in LOSSY:
        return "float32"
    return "int16" if bits_of(subtype) <= 16 else "int32"


class _Sound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types for mypy
    """A SoundFile that goes forward: it does not seek after each block, which fails at the end of a cut-off FLAC."""

    def seekable(self) -> bool:
        return False


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return str(text).removeprefix("Error : ").rstrip(".")


def _cannot_hold(coding: Coding, rate: int, channels: int, error: Exception) -> RequestError:
    signal, reason = f"{channels} channel{'s' * (channels != 1)} at {rate} Hz", _reason(error)
    message = f"{coding.format} with {coding.subtype} cannot hold {signal}"
    if (
        reason == "Format not recognised" and channels > 2
    ):  # that is all libsndfile says of too many channels
        return RequestError(message, hint="choose another --format, which holds more channels")
    return RequestError(
        f"{message}: {reason}", hint="choose another --format or --subtype, or add a resample: step"
    )


class SndFileReader:
    """Everything that needs a codec, or that only libsndfile knows.

    `file` is unbuffered: libsndfile reads by its descriptor, and they share one place in the file.
    """

    def __init__(self, file: BinaryIO, name: str, odd: Odd) -> None:
        self._file, self._name, self._odd = file, name, odd
        file.seek(0)
        prefix = file.read(12)
        self._sound, self._spent = self._opened(), False
        self._type = exchange_type(self._sound.subtype)
        with reading(name):
            self.details = self._describe(prefix)
            for message in _cut_off(file, prefix, name):
                odd(message)

    def _opened(self) -> _Sound:
        self._file.seek(0)
        try:
            return _Sound(self._file.fileno(), closefd=False)
        except (soundfile.LibsndfileError, TypeError) as error:
            known = " ".join(dict.fromkeys(s.lower() for s in SUFFIXES.values() if s != "RAW"))
            message = f"{self._name}: is not a sound file that can be read: {_reason(error)}"
            raise InputError(message, hint=f"known: {known}") from error

    def _describe(self, prefix: bytes) -> AudioDetails:
        sound = self._sound
        frames = None if sound.frames >= 1 << 62 else sound.frames
        tags, chunks = Tags(sound.copy_metadata()), self._metadata(prefix)
        return AudioDetails(
            format=sound.format,
            subtype=sound.subtype,
            rate=sound.samplerate,
            channels=sound.channels,
            frames=frames,
            bits=bits_of(sound.subtype),
            endian=sound.endian,
            tags=info_tags(chunks) if is_wav(prefix) else tags,
            chunks=chunks,
        )

    def _metadata(self, prefix: bytes) -> tuple[Chunk, ...]:
        with _place_kept(self._file):
            self._file.seek(0)
            try:
                if is_wav(prefix):
                    header = read_header(self._file, name=self._name)
                    size = min(header.data_bytes or 0, os.fstat(self._file.fileno()).st_size)
                    self._file.seek(size + (size & 1), os.SEEK_CUR)
                    return header.chunks + (read_trailing(self._file) if size else ())
                return read_chunks(self._file, self._sound.format)
            except ValueError as error:
                self._odd(f"{self._name}: its tags are damaged and are not kept: {error}")
                return ()

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        """Whole-number or floating samples as libsndfile gives them, `(n, channels)`."""
        channels, rate, done = self.details.channels, self.details.rate, 0
        if self._spent:  # opened anew: some codecs cannot seek
            self._shut()
            self._sound = self._opened()
        self._spent = True
        while True:
            space = np.empty((block_frames(channels, self.details.frames), channels), self._type)
            try:
                block = self._sound.read(out=space)
            except soundfile.LibsndfileError as error:
                block = self._salvage(done, space)
                if self._goes_on():
                    place = (done + len(block)) / rate
                    raise InputError(
                        f"{self._name}: is damaged at {place:.6g} s: {_reason(error)}"
                    ) from error
            done += len(block)
            if len(block):
                yield block
            if len(block) < len(space):
                break
        promised = self.details.frames
        if promised is not None and done < promised:
            self._odd(truncated(self._name, promised, done, rate))

    def _salvage(self, start: int, space: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What can be read of a block that failed as a whole: small pieces, up to the first that fails."""
        done = 0
        with suppress(soundfile.LibsndfileError):
            self._shut()
            self._sound = self._opened()
            self._sound.seek(start)
            while done < len(space):
                piece = self._sound.read(out=space[done : done + _SALVAGE_FRAMES])
                done += len(piece)
                if len(piece) == 0:
                    break
        return space[:done]

    def _goes_on(self) -> bool:
        """Whether the last sample can be read: then the file is damaged, not cut off."""
        with suppress(soundfile.LibsndfileError):
            self._sound.seek(max(0, (self.details.frames or 1) - 1))
            return len(self._sound.read(1, "int16", always_2d=True)) == 1
        return False

    def _shut(self) -> None:
        with suppress(
            soundfile.LibsndfileError
        ):  # an error of reading, told already or without consequence
            self._sound.close()

    def decode(self, raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Whole numbers as they are, floating samples in float64."""
        return raw if raw.dtype.kind == "i" else raw.astype(np.float64, copy=False)

    def close(self) -> None:
        """Let go of the file."""
        self._shut()
        self._file.close()


@contextmanager
def _place_kept(file: BinaryIO) -> Iterator[None]:
    """The place in the file belongs to libsndfile."""
    place = file.tell()
    try:
        yield
    finally:
        file.seek(place)


def _cut_off(file: BinaryIO, prefix: bytes, name: str) -> list[str]:
    """What the container's own sizes say of the length of the file: libsndfile does not compare them."""
    with _place_kept(file):
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(24)
        promised = 0
        if prefix[:4] == b"FORM" or (
            prefix[:4] == b"RIFF" and int.from_bytes(head[4:8], "little") < 0x7FFFF000
        ):
            promised = int.from_bytes(head[4:8], "big" if prefix[:4] == b"FORM" else "little") + 8
        elif prefix[:4] == b".snd" and head[8:12] != b"\xff\xff\xff\xff":
            promised = int.from_bytes(head[4:8], "big") + int.from_bytes(head[8:12], "big")
        elif prefix[:4] == b"riff":
            promised = int.from_bytes(head[16:24], "little")
        incomplete = prefix[:4] == b"OggS" and not ogg.is_complete(file)
    if incomplete:
        return [f"{name}: is truncated: its last Ogg page is missing"]
    if promised > size:
        return [f"{name}: is truncated: its header promises {promised} bytes, {size} are there"]
    return []


class _Watched:
    """The file that libsndfile writes to. It keeps the error of the system, which libsndfile forgets."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is not None:
            return 0
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            return 0

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size) if self.error is None else b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0

    def tell(self) -> int:
        return self._file.tell() if self.error is None else 0


class SndFileEncoder:
    """Samples in, the bytes of a sound file out, into a seekable file that the caller opened and will close.

    OSError is what the system said; RequestError that the format cannot hold such a signal.
    """

    def __init__(
        self,
        file: BinaryIO,
        coding: Coding,
        *,
        rate: int,
        channels: int,
        endian: str,
        tags: Mapping[str, str],
    ) -> None:
        self._file, self._watched, self._coding = file, _Watched(file), coding
        self._frames = 0
        if coding.subtype == "VORBIS" and rate > _FASTEST_VORBIS:
            raise RequestError(
                f"VORBIS holds at most {_FASTEST_VORBIS} Hz, not {rate} Hz",
                hint="choose another --format",
            )
        options = (rate, channels, coding.subtype)
        try:
            try:
                self._sound = _Sound(self._watched, "w", *options, endian, coding.format)
            except ValueError:  # this byte order is not for this coding
                self._sound = _Sound(self._watched, "w", *options, "FILE", coding.format)
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            self._raise_system_error()
            raise _cannot_hold(coding, rate, channels, error) from error
        self.refused = [key for key, text in tags.items() if not self._set_tag(key, text)]

    def _set_tag(self, key: str, text: str) -> bool:
        try:
            setattr(self._sound, key, text)
        except (soundfile.LibsndfileError, UnicodeEncodeError):
            return False
        return True

    def write(self, samples: npt.NDArray[Any]) -> None:
        """Append `(n, channels)` samples of the exchange type."""
        try:
            self._sound.write(samples)
        except (soundfile.LibsndfileError, AssertionError) as error:
            self._raise_system_error()
            raise OutputError(
                f"{self._coding.format} cannot be written: {_reason(error)}"
            ) from error
        self._raise_system_error()
        self._frames += len(samples)

    def finish(self) -> None:
        """Write the header's last words, and make sure that all of it arrived."""
        try:
            self._sound.close()
        except soundfile.LibsndfileError as error:
            self._raise_system_error()
            raise OutputError(
                f"{self._coding.format} cannot be finished: {_reason(error)}"
            ) from error
        self._raise_system_error()
        self._file.flush()

    def discard(self) -> None:
        """Let go without another byte."""
        self._watched.error = self._watched.error or OSError("discarded")
        with suppress(soundfile.LibsndfileError):
            self._sound.close()

    def _raise_system_error(self) -> None:
        if self._watched.error is not None:
            raise self._watched.error
