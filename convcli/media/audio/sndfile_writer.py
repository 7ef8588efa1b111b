"""Sound files written by libsndfile, with the errors of the system, which it forgets."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

import numpy as np
import soundfile

from convcli.errors import OutputError, RequestError
from convcli.media.audio.details import temporary_file
from convcli.media.audio.formats import bits_of, container_of
from convcli.media.audio.metadata.flac import empty_flac
from convcli.media.audio.sndfile import exchange_type
from convcli.sndfile import Sound, WatchedFile, reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.media.audio.formats import Coding
    from convcli.media.audio.metadata.carry import Metadata
    from convcli.media.audio.samples import Numbers
    from convcli.media.audio.wav_writer import Stored

# Beyond this rate the Vorbis encoder looks for its settings without end.
_HIGHEST_VORBIS_RATE = 200_000


class SndFileWriter:
    """Writes any format of libsndfile.

    A pipe gets the finished file, because the header is written last.
    OSError is an error of the system; RequestError says that the format cannot hold such a signal.
    """

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
        if coding.subtype == "VORBIS" and rate > _HIGHEST_VORBIS_RATE:
            raise RequestError(
                f"VORBIS holds at most {_HIGHEST_VORBIS_RATE} Hz, not {rate} Hz",
                hint="choose another --format",
            )
        self._target = target
        self._coding = coding
        self._chunks = metadata.chunks
        self._rate = rate
        self._channels = channels
        self._type = np.dtype(exchange_type(coding.subtype))
        if isinstance(target, Path):
            self._file = cast("BinaryIO", target.open("w+b"))
        else:
            self._file = temporary_file()
        self._watched = WatchedFile(self._file)
        try:
            self._sound = self._open(endian)
        except BaseException:
            with suppress(OSError):
                self._file.close()
            raise
        self._refused_tags = self._set_tags(metadata.tags)

    def _open(self, endian: str) -> Sound:
        coding = self._coding
        options = (self._rate, self._channels, coding.subtype)
        try:
            try:
                return Sound(self._watched, "w", *options, endian, coding.format)
            except ValueError:  # this byte order is not for this coding
                return Sound(self._watched, "w", *options, "FILE", coding.format)
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            self._raise_system_error()
            raise _cannot_hold(coding, self._rate, self._channels, error) from error

    def _set_tags(self, tags: Mapping[str, str]) -> list[str]:
        """Give libsndfile the common tags; return those that it does not take."""
        refused = []
        for key, text in tags.items():
            try:
                setattr(self._sound, key, text)
            except (soundfile.LibsndfileError, UnicodeEncodeError):
                refused.append(key)
        return refused

    def store(self, numbers: Numbers) -> Numbers:
        """Shift whole numbers to the upper bits of the type that libsndfile takes."""
        wide = numbers.astype(self._type, copy=False)
        if self._type.kind == "f":
            return wide
        shift = 8 * self._type.itemsize - bits_of(self._coding.subtype)
        return wide << shift if shift else wide

    def write(self, stored: Stored) -> None:
        """Encode samples and append them."""
        try:
            self._sound.write(stored)
        except (soundfile.LibsndfileError, AssertionError) as error:
            self._raise_failure("written", error)
        self._raise_system_error()

    def finish(self) -> str | None:
        """Complete the file, put the metadata in, and copy it to the pipe if the target is one."""
        try:
            self._sound.close()
        except soundfile.LibsndfileError as error:
            self._raise_failure("finished", error)
        self._raise_system_error()
        self._file.flush()
        if self._file.seek(0, os.SEEK_END) == 0:  # libsndfile begins with the first sample
            self._file.write(self._empty_file())
        warning = self._write_metadata()
        if not isinstance(self._target, Path):
            self._file.seek(0)
            shutil.copyfileobj(self._file, self._target, 1 << 20)
            self._target.flush()
        self._file.close()
        return warning

    def _write_metadata(self) -> str | None:
        form, warning = self._coding.format, None
        if self._refused_tags:
            warning = f"{form} did not take the tags {', '.join(self._refused_tags)}"
        if self._chunks:
            try:
                container_of(form).write(self._file, self._chunks)
                self._file.flush()
            except ValueError as error:
                warning = f"the tags of the input do not fit into {form} and are not kept: {error}"
        return warning

    def _empty_file(self) -> bytes:
        if self._coding.format != "FLAC":
            raise OutputError(
                f"{self._coding.format} cannot hold a sound without samples",
                hint="use --format wav",
            )
        return empty_flac(self._rate, self._channels, bits_of(self._coding.subtype))

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


def _cannot_hold(coding: Coding, rate: int, channels: int, error: Exception) -> RequestError:
    noun = "channel" if channels == 1 else "channels"
    reason = reason_of(error)
    message = f"{coding.format} with {coding.subtype} cannot hold {channels} {noun} at {rate} Hz"
    # This is all that libsndfile says of too many channels.
    if reason == "Format not recognised" and channels > 2:
        return RequestError(message, hint="choose another --format, which holds more channels")
    return RequestError(
        f"{message}: {reason}", hint="choose another --format or --subtype, or add a resample: step"
    )
