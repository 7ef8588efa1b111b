"""Bytes that are inserted after the header of a picture while libvips writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

    # The end of the header and the beginning of the rest, or None if they are not known yet.
    HeadCut = Callable[[bytes], "tuple[int, int] | None"]


class HeadInserter:
    """Passes an encoded picture on to a file, with other bytes between its start and its pixels.

    cut : finds where the start ends and where the rest begins, in the first bytes
    """

    def __init__(self, file: BinaryIO, inserted: bytes, cut: HeadCut) -> None:
        self._file = file
        self._inserted = inserted
        self._cut = cut
        self._head: bytes | None = b""
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        """Take the next bytes of the picture; -1 after an error, which `failure` keeps.

        libvips calls this from C, where no exception can pass.
        """
        if self.failure is not None:
            return -1
        try:
            self._pass_on(data)
        except OSError as error:
            self.failure = error
            return -1
        return len(data)

    def check(self) -> None:
        """Raise the error of a write, which some savers of libvips forget."""
        if self.failure is not None:
            raise self.failure from None

    def _pass_on(self, data: bytes) -> None:
        if self._head is None:
            self._file.write(data)
            return
        self._head += bytes(data)
        found = self._cut(self._head)
        if found is not None:
            start, rest = found
            self._file.write(self._head[:start] + self._inserted + self._head[rest:])
            self._head = None
