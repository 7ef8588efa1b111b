"""Reading and writing through libsndfile, whose errors are lost, printed or wrong without this."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import soundfile

from convcli.speakers import channels_are_speakers

if TYPE_CHECKING:
    from collections.abc import Iterator

# libsndfile says this of an MP3 in which no frame can be decoded.
_NO_FRAMES = "File does not exist or is not a regular file"
_UNEXPLAINED = "Unspecified internal error"
# Where Vorbis has the channels of a WAV, by their number (Vorbis I, section 4.3.9). In a WAV, 5.1
# is front left, front right, centre, low frequencies, back left, back right. In Vorbis the centre
# is between left and right, and the low frequencies come last. Opus takes this over (RFC 7845,
# section 5.1.1.2).
_PLACES_IN_VORBIS = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
_IN_VORBIS_ORDER = frozenset({"VORBIS", "OPUS"})
# The first page of an Ogg file is no longer, unless it is damaged.
_LONGEST_START = 512
# The beginning of a MIDI sample dump, whose packets libsndfile prints to standard output.
SAMPLE_DUMP = b"\xf0\x7e"


class WatchedFile:
    """A file that libsndfile reads or writes; it keeps the first error of the system.

    libsndfile takes a failed read for the end of the file, and forgets why a write failed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file: Any = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write, unless an error came before."""
        if self.error is None:
            try:
                return int(self._file.write(data))
            except OSError as error:
                self.error = error
        return 0

    def read(self, size: int = -1) -> bytes:
        """Read, unless an error came before."""
        if self.error is None:
            try:
                return bytes(self._file.read(size))
            except OSError as error:
                self.error = error
        return b""

    def readinto(self, space: Any) -> int:
        """Read into a buffer until it is full or the file ends."""
        view = memoryview(space).cast("B")
        done = 0
        while done < len(view) and self.error is None:
            try:
                count = self._file.readinto(view[done:])
            except OSError as error:
                self.error = error
                break
            if not count:
                break
            done += count
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, unless an error came before or the place is before the start."""
        if self.error is None:
            try:
                return int(self._file.seek(offset, whence))
            except OSError as error:
                # A damaged header may point to a place before the start; that is not a failure of
                # the system.
                if offset >= 0:
                    self.error = error
        return 0

    def tell(self) -> int:
        """Position in the file, in bytes from its start."""
        return int(self._file.tell()) if self.error is None else 0


class Sound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types for mypy
    """A SoundFile whose channels have the order of a WAV in every format.

    It does not seek after each block: at the end of a cut-off FLAC that fails.
    """

    def __init__(self, file: Any, mode: str = "r", *layout: Any, **settings: Any) -> None:
        super().__init__(file, mode, *layout, **settings)
        self._places: tuple[int, ...] | None = None
        in_vorbis_order = self.subtype in _IN_VORBIS_ORDER
        if in_vorbis_order and (mode == "w" or _has_speakers(file)):
            self._places = _PLACES_IN_VORBIS.get(self.channels)

    def read(self, *amount: Any, **options: Any) -> Any:
        """Read as SoundFile does, with the channels in the order of a WAV."""
        samples = super().read(*amount, **options)
        if self._places is not None:
            samples[:] = samples.take(self._places, axis=1)
        return samples

    def write(self, samples: Any) -> None:
        """Write samples whose channels have the order of a WAV."""
        if self._places is not None:
            channels = [self._places.index(place) for place in range(len(self._places))]
            samples = samples.take(channels, axis=1)
        super().write(samples)

    def seekable(self) -> bool:
        """Say no, so that `read` and `write` only go forward."""
        return False


def _has_speakers(file: Any) -> bool:
    """Whether an Ogg file has a channel for each speaker. The position is kept."""
    place = file.tell()
    file.seek(0)
    start = file.read(_LONGEST_START)
    file.seek(place)
    return channels_are_speakers(start)


def reason_of(error: Exception) -> str:
    """Why libsndfile failed, in its own words unless they are wrong."""
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else error
    reason = str(text).removeprefix("Error : ").rstrip(".")
    if reason.startswith(_NO_FRAMES):
        return "it is damaged, no part of it can be decoded"
    if reason == _UNEXPLAINED:
        return "it is damaged"
    return reason


class _Muting:
    """Standard error as the system knows it, closed while libraries in C would print to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._kept = -1

    def begin(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._kept = os.dup(2)
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, 2)
                os.close(null)

    def end(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                os.dup2(self._kept, 2)
                os.close(self._kept)


_MUTING = _Muting()


@contextmanager
def messages_muted() -> Iterator[None]:
    """Keep libmpg123 from printing, which libsndfile uses for MP3 and which has no switch for that.

    It writes past Python to file descriptor 2, which leads to the null device meanwhile. The
    command line prints by a descriptor of its own.
    """
    _MUTING.begin()
    try:
        yield
    finally:
        _MUTING.end()
