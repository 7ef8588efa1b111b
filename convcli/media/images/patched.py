"""A file some of whose bytes are read as others, without a copy of it."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Sequence

# Bytes that are read at an offset in place of those of the file.
Patch = tuple[int, bytes]


class PatchedFile:
    """A file for the callbacks of libvips, in which patches take the place of the file's bytes.

    Of a patch that goes beyond the end of the file, the rest is left out. The file is closed when
    this object is gone.
    """

    def __init__(self, file: BinaryIO, patches: Sequence[Patch]) -> None:
        self._file = file
        self._patches = patches
        self._position = 0
        self._length = file.seek(0, os.SEEK_END)
        weakref.finalize(self, file.close)

    def seek(self, offset: int, whence: int) -> int:
        """Go to a place counted from the start, from here or from the end (`whence` 0, 1, 2)."""
        bases = (0, self._position, self._length)
        self._position = bases[whence] + offset
        return self._position

    def read(self, length: int) -> bytes:
        """The next `length` bytes, or fewer at the end.

        libvips calls this from C, where no exception can pass: a file that cannot be read ends.
        """
        start = self._position
        try:
            self._file.seek(start)
            data = self._file.read(length)
        except OSError:
            return b""
        for place, patch in self._patches:
            if place < start + len(data) and start < place + len(patch):
                data = _overlay(data, place - start, patch)
        self._position += len(data)
        return data


def _overlay(data: bytes, place: int, patch: bytes) -> bytes:
    """The bytes with `patch` at `place`, as far as it covers them; it may begin before them."""
    if place < 0:
        patch, place = patch[-place:], 0
    patched = data[:place] + patch + data[place + len(patch) :]
    return patched[: len(data)]
