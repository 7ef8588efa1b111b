"""Sound files written by libsndfile, with the errors of the system, which it forgets."""

from __future__ import annotations

import io
import os
import shutil
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, NoReturn, cast

import numpy as np
import soundfile

from convcli.dataclass import dataclass
from convcli.digests import blake2b
from convcli.errors import OutputError, RequestError
from convcli.losses import Loss
from convcli.media.audio.formats import bits_of, container_of, exchange_type, longest_of
from convcli.media.audio.metadata.flac import empty_flac
from convcli.media.scratch import scratch
from convcli.sndfile import Sound, WatchedFile, reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.array_types import AnyArray
    from convcli.media.audio.formats import Coding
    from convcli.media.audio.metadata.carry import Metadata
    from convcli.media.audio.wav_writer import Stored

# Beyond this rate the Vorbis encoder looks for its settings without end, or crashes.
_HIGHEST_VORBIS_RATE = 200_000
# Its header has one byte for the number of channels; with more of them the encoder crashes.
_MOST_VORBIS_CHANNELS = 255
# The header of a frame of FLAC has 16 bits for the rate in Hz or in tens of Hz.
_HIGHEST_ANY_FLAC_RATE = 65535
# The Vorbis encoder keeps all frames of one call on its stack.
_PIECE_FRAMES = 1 << 16
_PROBE_FRAMES = 512
# Lossless codings whose frames that cannot be compressed libsndfile 1.2.2 writes wrongly (ALAC of
# 20 bits and more), so that the file is read again.
_VERIFIED = frozenset({"ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32"})
_OTHER_FORMAT = "choose another --format, or add a resample: step"
# Formats whose headers hold every sampling rate that they take, and RAW, which has no header.
_EXACT_RATES = frozenset({"FLAC", "OGG", "MP3", "WAV", "WAVEX", "RF64", "W64", "AU", "RAW"})
# A rate that is farther away changes the pitch by a quarter tone or more.
_NEAR_RATE = 0.03
_REFUSALS = (soundfile.LibsndfileError, ValueError, TypeError, OverflowError)


@dataclass(frozen=True, kw_only=True)
class SoundLayout:
    """What libsndfile is asked to write.

    bits : of a sample that are valid, the upper ones; None for all
    endian : byte order, by libsndfile's name
    settings : of a lossy encoder
    """

    coding: Coding
    rate: int
    channels: int
    bits: int | None = None
    endian: str = "FILE"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def open(self, file: Any) -> Sound:
        """Begin a sound in `file`. The errors of soundfile say that the format cannot hold it."""
        coding = self.coding
        options = (self.rate, self.channels, coding.subtype)
        try:
            return Sound(file, "w", *options, self.endian, coding.format, **self.settings)
        except ValueError:  # this byte order is not for this coding
            return Sound(file, "w", *options, "FILE", coding.format, **self.settings)

    def stored_rate(self) -> int:
        """The sampling rate that a file has which is written like this."""
        file = io.BytesIO()
        with self.open(file) as sound:
            sound.write(np.zeros((_PROBE_FRAMES, self.channels), np.int16))
        file.seek(0)
        with Sound(file) as sound:
            return int(sound.samplerate)


class SndFileWriter:
    """Writes any format of libsndfile.

    A pipe gets the finished file, because the header is written last.
    OSError is an error of the system; RequestError says that the format cannot hold such a signal.
    """

    # libsndfile encodes a sound from its beginning to its end.
    shared: ClassVar[None] = None

    def __init__(self, target: Path | BinaryIO, layout: SoundLayout, metadata: Metadata) -> None:
        self._warnings = _check_layout(layout)
        self._target = target
        self._layout = layout
        self._coding = layout.coding
        self._chunks = metadata.chunks
        self._type = np.dtype(exchange_type(layout.coding.subtype))
        if isinstance(target, Path):
            self._file = cast("BinaryIO", target.open("w+b"))
        else:
            self._file, _ = scratch()
        self._written = blake2b() if layout.coding.subtype in _VERIFIED else None
        self._watched = WatchedFile(self._file)
        self._frames = 0
        self._longest = longest_of(layout.coding.format)
        try:
            self._sound = self._open()
        except BaseException:
            with suppress(OSError):
                self._file.close()
            raise
        self._refused_tags = self._set_tags(metadata.tags)

    def _open(self) -> Sound:
        try:
            return self._layout.open(self._watched)
        except _REFUSALS as error:
            self._raise_system_error()
            raise _cannot_hold(self._layout, error) from error

    def _set_tags(self, tags: Mapping[str, str]) -> list[str]:
        """Give libsndfile the common tags; return those that it does not take."""
        refused = []
        for key, text in tags.items():
            try:
                setattr(self._sound, key, text)
            except (soundfile.LibsndfileError, UnicodeEncodeError):
                refused.append(key)
        return refused

    def store(self, numbers: AnyArray) -> AnyArray:
        """Shift whole numbers to the upper bits of the type that libsndfile takes."""
        wide = numbers.astype(self._type, copy=False)
        if self._type.kind == "f":
            return wide
        bits = self._layout.bits or bits_of(self._coding.subtype)
        shift = 8 * self._type.itemsize - bits
        return wide << shift if shift else wide

    def write(self, stored: Stored) -> None:
        """Encode samples and append them."""
        numbers = cast("AnyArray", stored)
        self._frames += len(numbers)
        if self._written is not None:
            self._written.update(np.ascontiguousarray(numbers).data)
        try:
            for start in range(0, len(numbers), _PIECE_FRAMES):
                self._sound.write(numbers[start : start + _PIECE_FRAMES])
        except (soundfile.LibsndfileError, AssertionError) as error:
            self._raise_failure("written", error)
        self._raise_system_error()
        if self._longest is not None and self._file.tell() >= self._longest:
            raise OutputError(
                f"{self._coding.format} holds less than {self._longest >> 20} MiB",
                hint="choose another --format, such as wav or w64",
            )

    def finish(self) -> list[str]:
        """Complete the file, put the metadata in, and copy it to the pipe if the target is one."""
        try:
            self._sound.close()
        except soundfile.LibsndfileError as error:
            self._raise_failure("finished", error)
        self._raise_system_error()
        self._file.flush()
        if self._file.seek(0, os.SEEK_END) == 0:  # libsndfile begins with the first sample
            self._file.write(self._empty_file())
        self._verify()
        self._write_metadata()
        container = container_of(self._coding.format)
        if self._layout.bits is not None:
            container.write_sample_bits(self._file, self._layout.bits)
        container.correct(self._file, self._frames)
        self._file.flush()
        if not isinstance(self._target, Path):
            self._file.seek(0)
            shutil.copyfileobj(self._file, self._target, 1 << 20)
            self._target.flush()
        self._file.close()
        return self._warnings

    def _verify(self) -> None:
        """Compare the samples in the file with those that were written, if the encoder may fail."""
        if self._written is None:
            return
        found = blake2b()
        self._file.seek(0)
        with Sound(self._file) as sound:
            while len(block := sound.read(_PIECE_FRAMES, self._type.name, always_2d=True)):
                found.update(block.data)
        if found.digest() != self._written.digest():
            coding = self._coding
            raise OutputError(
                f"the {coding.subtype} encoder of libsndfile has damaged the sound (it does so "
                "where a sound can hardly be compressed)",
                hint="--subtype pcm_32 or --format flac holds it as it is",
            )

    def _write_metadata(self) -> None:
        form = self._coding.format
        if self._refused_tags:
            refused = ", ".join(self._refused_tags)
            self._warnings.append(Loss(f"{form} did not take the tags {refused}"))
        if self._chunks:
            try:
                container_of(form).write(self._file, self._chunks)
            except ValueError as error:
                text = f"the tags of the input do not fit into {form} and are not kept: {error}"
                self._warnings.append(Loss(text))

    def _empty_file(self) -> bytes:
        if self._coding.format != "FLAC":
            raise OutputError(
                f"{self._coding.format} cannot hold a sound without samples",
                hint="use --format wav",
            )
        bits = bits_of(self._coding.subtype)
        return empty_flac(self._layout.rate, self._layout.channels, bits)

    def discard(self) -> None:
        """Close the file without writing another byte."""
        self._watched.error = self._watched.error or OSError("discarded")
        with suppress(soundfile.LibsndfileError):
            self._sound.close()
        with suppress(OSError):
            self._file.close()

    def _raise_failure(self, action: str, error: Exception) -> NoReturn:
        self._raise_system_error()
        message = f"{self._coding.format} cannot be {action}: {reason_of(error)}"
        raise OutputError(message) from error

    def _raise_system_error(self) -> None:
        if self._watched.error is not None:
            raise self._watched.error


def _check_layout(layout: SoundLayout) -> list[str]:
    """Warn of a format that holds another sampling rate.

    Raises RequestError if that is far away, or if the encoder would crash.
    """
    coding, rate = layout.coding, layout.rate
    if coding.subtype == "VORBIS" and layout.channels > _MOST_VORBIS_CHANNELS:
        raise RequestError(
            f"VORBIS holds at most {_MOST_VORBIS_CHANNELS} channels, not {layout.channels}",
            hint="choose another --format, which holds more channels",
        )
    if coding.subtype == "VORBIS" and rate > _HIGHEST_VORBIS_RATE:
        raise RequestError(
            f"VORBIS holds at most {_HIGHEST_VORBIS_RATE} Hz, not {rate} Hz", hint=_OTHER_FORMAT
        )
    if coding.format == "FLAC" and rate > _HIGHEST_ANY_FLAC_RATE and rate % 10:
        raise RequestError(
            f"FLAC holds rates beyond {_HIGHEST_ANY_FLAC_RATE} Hz in tens, not {rate} Hz",
            hint=_OTHER_FORMAT,
        )
    if coding.format in _EXACT_RATES:
        return []
    try:
        stored = layout.stored_rate()
    except _REFUSALS as error:
        raise _cannot_hold(layout, error) from error
    if stored == rate:
        return []
    if abs(stored - rate) > _NEAR_RATE * rate:
        raise RequestError(
            f"{coding.format} would turn {rate} Hz into {stored} Hz", hint=_OTHER_FORMAT
        )
    return [Loss(f"{coding.format} cannot hold {rate} Hz: written as {stored} Hz")]


def _cannot_hold(layout: SoundLayout, error: Exception) -> RequestError:
    coding, channels = layout.coding, layout.channels
    noun = "channel" if channels == 1 else "channels"
    held = f"{channels} {noun} at {layout.rate} Hz"
    message = f"{coding.format} with {coding.subtype} cannot hold {held}"
    reason = reason_of(error)
    # This is all that libsndfile says of too many channels.
    if reason == "Format not recognised" and channels > 2:
        return RequestError(message, hint="choose another --format, which holds more channels")
    if isinstance(error, OverflowError):
        return RequestError(message, hint=_OTHER_FORMAT)
    return RequestError(
        f"{message}: {reason}", hint="choose another --format or --subtype, or add a resample: step"
    )
