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

    A patch may lie behind the end of the file; bytes between the two are 0. The file is closed when
    this object is gone.
    """

    def __init__(self, file: BinaryIO, patches: Sequence[Patch]) -> None:
        self._file = file
        self._patches = patches
        self._position = 0
        ends = [place + len(data) for place, data in patches]
        self._length = max(file.seek(0, os.SEEK_END), *ends)
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
            if place < start + length and start < place + len(patch):
                data = _overlay(data, place - start, patch)[:length]
        self._position += len(data)
        return data


def _overlay(data: bytes, place: int, patch: bytes) -> bytes:
    """The bytes with `patch` at `place`, which may lie before their start or behind their end."""
    if place < 0:
        patch, place = patch[-place:], 0
    before = data[:place].ljust(place, b"\0")
    return before + patch + data[place + len(patch) :]
