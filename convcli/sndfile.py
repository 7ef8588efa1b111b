"""Reading and writing through libsndfile, whose errors are lost, printed or wrong without this."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import soundfile

if TYPE_CHECKING:
    from collections.abc import Iterator

# libsndfile says this of an MP3 in which no frame can be decoded.
_NO_FRAMES = "File does not exist or is not a regular file"
_UNEXPLAINED = "Unspecified internal error"
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
    """A SoundFile that does not seek after each block: at the end of a cut-off FLAC that fails."""

    def seekable(self) -> bool:
        """Say no, so that `read` and `write` only go forward."""
        return False


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
