"""The pixels of an output on their way to libvips, which reads them as a TIFF.

libvips pulls the pixels that it encodes, and the filter pushes its results. A custom source of
libvips joins the two in constant memory. It needs a file format around the pixels; of those that
libvips reads from such a source, TIFF alone is uncompressed.
"""

from __future__ import annotations

import threading
from collections import deque

from convcli.media.images.tiff import TiffVariant, build_directory, long8s_field, shorts_field

# The writing thread waits while this many bytes of strips are unread.
_MOST_WAITING = 8_000_000
# libvips fetches strips of about this size, which stay in the cache of a processor: 0.6 times the
# time of strips of 2 MB.
_STRIP_BYTES = 1 << 17
_HEADER_BYTES = 16


class PixelFeed:
    """Bytes that one thread writes and another reads, front to back.

    The header can be read repeatedly.
    """

    def __init__(self, header: bytes, following: int) -> None:
        self._header = header
        self._length = len(header) + following
        self._changed = threading.Condition()
        self._waiting: deque[memoryview] = deque()
        self._bytes_waiting = 0
        # Where the next read is, and where the first byte of `_waiting` is.
        self._position = 0
        self._consumed = len(header)
        self._ended = False
        self._closed = False

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes; wait while too many are unread. After `close` they are dropped."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes_waiting < _MOST_WAITING or self._closed)
            if not self._closed:
                self._waiting.append(memoryview(data))
                self._bytes_waiting += len(data)
                self._changed.notify_all()

    def end(self) -> None:
        """Tell the reader that nothing more will be written."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Tell the writer that nothing more will be read."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def seek(self, offset: int, whence: int) -> int:
        """Go to a place counted from the start, from here or from the end (`whence` 0, 1, 2)."""
        bases = (0, self._position, self._length)
        self._position = bases[whence] + offset
        return self._position

    def read(self, length: int) -> bytes | memoryview:
        """Return the next `length` bytes; fewer at the end, and no pixel for a second time."""
        known = self._header[self._position : self._position + length]
        self._position += len(known)
        skipped = self._position - self._consumed
        if len(known) == length or skipped < 0:
            return known
        self._take(skipped)
        parts = self._take(length - len(known))
        self._position = max(self._position, self._consumed)
        if len(parts) == 1 and not known:
            return parts[0]  # without a copy
        return b"".join([known, *parts])

    def _take(self, wanted: int) -> list[memoryview]:
        """Consume the next bytes: as many as `wanted`, or all up to the end."""
        parts = []
        while wanted > 0:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    break
                first = self._waiting.popleft()
                if len(first) > wanted:
                    self._waiting.appendleft(first[wanted:])
                part = first[:wanted]
                self._bytes_waiting -= len(part)
                self._changed.notify_all()
            parts.append(part)
            self._consumed += len(part)
            wanted -= len(part)
        return parts


def tiff_header(rows: int, columns: int, pixel_bytes: int) -> bytes:
    """The start of a BigTIFF that its pixels follow, each as `pixel_bytes` channels of 8 bits.

    The channels are bytes and not samples, since libvips does not read every type from a TIFF.
    """
    start = len(_header_for(rows, columns, pixel_bytes, start=0))
    return _header_for(rows, columns, pixel_bytes, start=start)


def _header_for(rows: int, columns: int, pixel_bytes: int, *, start: int) -> bytes:
    """The header of a TIFF whose pixels begin at offset `start`."""
    row_bytes = columns * pixel_bytes
    strip_rows = max(1, _STRIP_BYTES // row_bytes)
    tops = range(0, rows, strip_rows)
    offsets = [start + top * row_bytes for top in tops]
    sizes = [min(strip_rows, rows - top) * row_bytes for top in tops]
    fields = {
        256: long8s_field(columns),
        257: long8s_field(rows),
        258: shorts_field(*[8] * pixel_bytes),
        259: shorts_field(1),  # no compression
        262: shorts_field(1),  # 0 is black
        273: long8s_field(*offsets),
        277: shorts_field(pixel_bytes),
        278: long8s_field(strip_rows),
        279: long8s_field(*sizes),
        284: shorts_field(1),  # channels side by side
    }
    if pixel_bytes > 1:
        fields[338] = shorts_field(*[0] * (pixel_bytes - 1))  # bands without a meaning
    variant = TiffVariant("<", big=True)
    directory = build_directory(fields, variant, place=_HEADER_BYTES, link=0)
    return variant.header(_HEADER_BYTES) + directory
