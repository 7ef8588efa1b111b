"""TIFF without compression as a stream: each page is its directory and its pixels behind it, front to back.

All lengths are known beforehand, so that nothing is held, nothing is written twice and a pipe will do (TIFF 6.0,
section 2, and BigTIFF).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convcli.media.images.tiff import Entry, Shape, build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.media.images.layout import Layout, Pixels

    Fields = dict[int, Entry]

WIDTH, LENGTH, STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTES, PAGE_NUMBER = (
    256,
    257,
    273,
    278,
    279,
    297,
)
_SHORT, _LONG, _LONG8 = 3, 4, 16

# Rows of a strip of the file, as libvips has it.
STRIP_ROWS = 128
# Past so many bytes of pixels offsets have 64 bits; what is left below 2**32 is for what is said of them.
LARGEST_CLASSIC = 4_000_000_000
_ALIGNED = 16


class Writable(Protocol):
    """What takes bytes."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Add them."""
        ...


class TiffWriter:
    """Writes pages to a stream as their strips come.

    pages : how each page is to be described; where it stands and how large it is, is worked in here
    """

    def __init__(self, file: Writable, pages: Sequence[tuple[Fields, Layout]]) -> None:
        self._file = file
        self._pages = pages
        # What describes the pages may be as long as they are: thousands of small ones with a profile each.
        words = sum(len(entry.data) + 64 for fields, _ in pages for entry in fields.values())
        self._shape = Shape(
            "<", big=words + sum(layout.stored_bytes for _, layout in pages) > LARGEST_CLASSIC
        )
        self._page = -1
        self._place = 0

    def start(self) -> None:
        """Write the directory of the next page, which its pixels are to follow."""
        self._page += 1
        fields, layout = self._pages[self._page]
        lead = _header(self._shape) if self._page == 0 else bytes(-self._place % _ALIGNED)
        self._place += len(lead)
        last = self._page + 1 == len(self._pages)
        directory = _directory(fields, layout, self._shape, place=self._place, last=last)
        self._file.write(lead + directory)
        self._place += len(directory) + layout.stored_bytes

    def append(self, pixels: Pixels) -> None:
        """Write a strip of contiguous pixels."""
        stored = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
        self._file.write(stored.reshape(-1).view(np.uint8).data)


def _header(shape: Shape) -> bytes:
    """What a TIFF begins with when its first directory follows."""
    return (
        struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
        if shape.big
        else struct.pack("<2sHIQ", b"II", 42, 16, 0)
    )


def _directory(fields: Fields, layout: Layout, shape: Shape, *, place: int, last: bool) -> bytes:
    """The directory of a page that stands at `place`, filled up to where the pixels begin."""
    blank = build(fields | _geometry(layout, shape, 0), shape, place=place, link=0)
    pixels = place + len(blank) + -(place + len(blank)) % _ALIGNED
    end = pixels + layout.stored_bytes
    link = 0 if last else end + -end % _ALIGNED
    directory = build(fields | _geometry(layout, shape, pixels), shape, place=place, link=link)
    return directory.ljust(pixels - place, b"\0")


def _geometry(layout: Layout, shape: Shape, pixels: int) -> Fields:
    """The fields that say how large a page is and where its `pixels` stand."""
    per_row = layout.stored_bytes // layout.rows
    strips = range(0, layout.rows, STRIP_ROWS)
    return {
        WIDTH: _number(layout.columns),
        LENGTH: _number(layout.rows),
        ROWS_PER_STRIP: _number(STRIP_ROWS),
        STRIP_OFFSETS: _offsets([pixels + row * per_row for row in strips], shape),
        STRIP_BYTES: _offsets(
            [min(STRIP_ROWS, layout.rows - row) * per_row for row in strips], shape
        ),
    }


def _number(value: int) -> Entry:
    return (
        Entry(_SHORT, 1, struct.pack("<H", value))
        if value < 65536
        else Entry(_LONG, 1, struct.pack("<I", value))
    )


def _offsets(values: list[int], shape: Shape) -> Entry:
    kind, code = (_LONG8, "Q") if shape.big else (_LONG, "I")
    return Entry(kind, len(values), struct.pack(f"<{len(values)}{code}", *values))


def numbered(fields: Fields, page: int, pages: int) -> Fields:
    """The fields of one page of several: the same but for its number."""
    return fields | {
        PAGE_NUMBER: Entry(_SHORT, 2, struct.pack("<HH", page & 0xFFFF, pages & 0xFFFF))
    }
