"""Uncompressed pictures, which are written without a library that encodes them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.images.layout import stored_bytes
from convcli.media.replacing import reserve

if TYPE_CHECKING:
    from convcli.media.images.layout import ByteOrder, Layout, Pixels
    from convcli.media.images.picture_format import WriteRequest


class PlainWriter(ABC):
    """Writes uncompressed pictures one after the other to a path or a stream, strip by strip."""

    # Byte order of the samples in the file.
    order: ByteOrder = ">"

    def __init__(self, target: Path | BinaryIO, request: WriteRequest) -> None:
        self._own: BinaryIO | None = None
        self._part = request.part
        if isinstance(target, Path):
            is_begun = self._part is not None and not self._part.apart
            self._own = target.open("r+b" if is_begun else "wb")
            target = self._own
        self._file = target

    def pack(self, pixels: Pixels) -> memoryview:
        """The bytes of a strip as the file stores them."""
        return stored_bytes(pixels, self.order)

    def start(self, layout: Layout) -> None:
        """Write the header of a picture, or go to the first row of a part."""
        header = self._header(layout)
        self._row_bytes = self._bytes_of_row(layout)
        part = self._part
        if part is None or (part.apart and part.opens):
            self._file.write(header)
        elif not part.apart:
            self._file.seek(len(header) + part.first * self._row_bytes)

    @property
    def shared(self) -> PlainWriter:
        """The writer itself: every pixel has its place in the file."""
        return self

    @property
    def _is_last(self) -> bool:
        """Whether this writer writes the end of the file, after the pixels."""
        return self._part is None or (self._part.apart and self._part.ends)

    def reserve(self, layout: Layout) -> None:
        """Make room for all pixels, so that a full disk is known at once."""
        self._file.flush()
        reserve(self._file, self._file.tell() + layout.rows * self._row_bytes)

    def skip(self, rows: int) -> None:
        """Go over rows that were written from elsewhere."""
        self._file.seek(rows * self._row_bytes, os.SEEK_CUR)

    def _bytes_of_row(self, layout: Layout) -> int:
        """How many bytes a row of pixels has in the file."""
        return layout.columns * layout.pixel_bytes

    @abstractmethod
    def _header(self, layout: Layout) -> bytes:
        """The bytes before the pixels of a picture."""

    def append(self, packed: memoryview) -> None:
        """Write a strip that `pack` returned."""
        self._file.write(packed)

    def finish(self) -> None:
        """End the file, and close it if it was opened here."""
        self.discard()

    def discard(self) -> None:
        """Close the file if it was opened here."""
        if self._own is not None:
            self._own.close()
