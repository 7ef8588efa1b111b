"""Pictures written by libvips, which encodes in a thread of its own while the filter works.

libvips pulls the pixels that it encodes, and the filter pushes its results. A custom source of
libvips joins the two in constant memory. It needs a file format around the pixels; of those that
libvips reads from such a source, TIFF alone is uncompressed. A small picture is encoded when all of
it is in memory.
"""

from __future__ import annotations

import errno
import os
import threading
import traceback
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from convcli.errors import OutputError
from convcli.media.images.layout import stored_bytes
from convcli.media.images.tiff import TiffVariant, build_directory, long8s_field, shorts_field
from convcli.media.images.vips import KEEP_ALL_BUT_EXIF, error_cause, vips, vips_format
from convcli.media.images.vips_fields import replace_metadata
from convcli.media.scratch import WRITE_FAILURES, scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.media.images.layout import ByteOrder, Layout, Pixels
    from convcli.media.images.picture_format import WriteRequest

    # Finds in the first bytes of a picture where its start ends and where the rest begins; None if
    # that is not known yet.
    HeadCut = Callable[[bytes], "tuple[int, int] | None"]


# The writing thread waits while this many bytes of strips are unread.
_MOST_WAITING = 4_000_000
# A picture of at most this many bytes is encoded from memory, in the thread that writes. Small
# pictures take 0.7 times the processor time of a feed that way.
_IN_MEMORY = 1 << 20
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


class FedImage:
    """An image of libvips that is encoded, in a thread of its own, while its pixels come.

    order : byte order of the pixels
    """

    order: ClassVar[ByteOrder] = "<"

    def __init__(self, layout: Layout, rows: int) -> None:
        header = tiff_header(rows, layout.columns, layout.pixel_bytes)
        self._feed = PixelFeed(header, rows * layout.columns * layout.pixel_bytes)
        source = vips().SourceCustom()
        source.on_read(self._feed.read)
        source.on_seek(self._feed.seek)
        # The image calls its source, which must live as long.
        self._source = source
        image = vips().Image.tiffload_source(source, access="sequential", fail_on="error")
        form = vips_format(layout.dtype)
        self.image = image.copy(format=form, bands=len(layout.channels), xres=1, yres=1)

    def begin(self, encode: Callable[[], None]) -> None:
        """Start the thread that encodes."""
        self.image = None
        self._thread = threading.Thread(
            target=self._run, args=(encode,), name="picture writer", daemon=True
        )
        self._thread.start()

    def _run(self, encode: Callable[[], None]) -> None:
        try:
            encode()
        finally:
            self._feed.close()

    def write(self, data: memoryview) -> None:
        """Pass pixels on to the thread that encodes."""
        self._feed.write(data)

    def finish(self) -> None:
        """Wait for the end of the encoder."""
        self._feed.end()
        self._thread.join()

    def discard(self) -> None:
        """Let the encoder run into the end of the pixels, and wait for it."""
        self.finish()


class HeldImage:
    """An image of libvips that is encoded when all of its pixels are in memory.

    order : byte order of the pixels
    """

    order: ClassVar[ByteOrder] = "="

    def __init__(self, layout: Layout, rows: int) -> None:
        self._pixels = bytearray(rows * layout.columns * layout.pixel_bytes)
        self._filled = 0
        columns, bands = layout.columns, len(layout.channels)
        form = vips_format(layout.dtype)
        self.image = vips().Image.new_from_memory(self._pixels, columns, rows, bands, form)
        self._encode: Callable[[], None] | None = None

    def begin(self, encode: Callable[[], None]) -> None:
        """Note the function that encodes the image, which `finish` calls."""
        self.image = None
        self._encode = encode

    def write(self, data: memoryview) -> None:
        """Copy pixels behind those that came before."""
        self._pixels[self._filled : self._filled + len(data)] = data
        self._filled += len(data)

    def finish(self) -> None:
        """Encode the image, the first time that this is called."""
        encode, self._encode = self._encode, None
        if encode is not None:
            encode()

    def discard(self) -> None:
        """Give the image up without encoding it."""
        self._encode = None


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


# Bytes of a finished picture that are passed on at once.
_COPIED_BYTES = 1 << 20


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


class VipsWriter:
    """Hands the pixels of all pages, which have one width and type, to libvips as one image."""

    def __init__(self, target: Path | BinaryIO, request: WriteRequest) -> None:
        self._request = request
        self._stream: BinaryIO | None = None
        self._scratch: BinaryIO | None = None
        if isinstance(target, Path):
            self._path = target
        else:
            # libvips writes some formats back and forth, which a stream cannot do.
            self._stream = target
            self._scratch, self._path = scratch()
        first = request.layouts[0]
        rows = sum(layout.rows for layout in request.layouts)
        is_small = rows * first.columns * first.pixel_bytes <= _IN_MEMORY
        self._pixels = HeldImage(first, rows) if is_small else FedImage(first, rows)
        self._failure: Exception | None = None
        # The image is opened before a thread starts: libvips keeps the errors of all threads in
        # one buffer, and opening would clear those of the thread that reads the input.
        image = self._pixels.image.copy(interpretation=first.interpretation)
        # libvips itself writes what belongs to a gain map.
        self._inserts = request.format.writing.insert is not None and not request.keeps_gain_map
        if request.format.writing.prepare is not None:
            image = request.format.writing.prepare(image, request)
        if not self._inserts:
            image = replace_metadata(image, request)
        self._pixels.begin(partial(self._run, image))

    def pack(self, pixels: Pixels) -> memoryview:
        """The bytes of a strip as libvips takes them."""
        return stored_bytes(pixels, self._pixels.order)

    def start(self, layout: Layout) -> None:
        """Begin a page; pages follow each other without a mark."""

    # libvips encodes a picture from its first row to its last.
    shared: ClassVar[None] = None

    def append(self, packed: memoryview) -> None:
        """Hand a strip to libvips. Raises what stopped libvips."""
        self._pixels.write(packed)
        if self._failure is not None:
            raise self._failure

    def finish(self) -> None:
        """Wait for libvips, and copy what it wrote to the stream if there is one."""
        self._pixels.finish()
        try:
            if self._failure is not None:
                raise self._failure
            if self._stream is not None:
                with self._path.open("rb") as saved:
                    _copy_to_stream(saved, self._stream)
        finally:
            self.discard()

    def discard(self) -> None:
        """Wait until libvips writes no more, and close the temporary file."""
        self._pixels.discard()
        if self._scratch is not None:
            self._scratch.close()

    def _run(self, image: Any) -> None:
        try:
            self._save(image)
        except Exception as error:  # noqa: BLE001 -- it is raised again in the thread that writes
            # The traceback must keep no image: it would outlive its source and call it once more.
            del image
            for each in (error, error.__cause__):
                if each is not None:
                    traceback.clear_frames(each.__traceback__)
            self._failure = error

    def _save(self, image: Any) -> None:
        rules = self._request.format.writing
        options = saver_options(self._request)
        if rules.insert is not None and rules.cut is not None and self._inserts:
            self._encode_inserting(image, rules.insert(self._request), rules.cut, options)
        elif rules.forgets_failures:
            self._encode_inserting(image, b"", _before_all, options)
        else:
            self._encode(image, vips().Target.new_to_file(os.fsencode(self._path)), options)
        if rules.complete is not None:
            with self._path.open("r+b") as file:
                rules.complete(file, self._request)

    def _encode(self, image: Any, target: Any, options: dict[str, object]) -> None:
        form = self._request.format
        try:
            if form.writing.by_name:
                self._write_by_name(image, options)
            else:
                image.write_to_target(target, form.marks.suffixes[0], **options)
        except vips().Error as error:
            if os.strerror(errno.ENOSPC) in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            cause = error_cause(error)
            raise OutputError(f"cannot write the picture as {form.name}: {cause}") from error

    def _write_by_name(self, image: Any, options: dict[str, object]) -> None:
        """Write through a link with the right suffix, since the output may be without a name."""
        import tempfile

        suffix = self._request.format.marks.suffixes[0]
        with tempfile.TemporaryDirectory(prefix="convcli-") as folder:
            link = Path(folder, f"output{suffix}")
            link.symlink_to(self._path.absolute())
            image.write_to_file(str(link), **options)

    def _encode_inserting(
        self, image: Any, inserted: bytes, cut: HeadCut, options: dict[str, object]
    ) -> None:
        """Encode into a file with bytes after its header that libvips does not write."""
        target = vips().TargetCustom()
        try:
            with self._path.open("wb") as file:
                inserter = HeadInserter(file, inserted, cut)
                target.on_write(inserter.write)
                try:
                    self._encode(image, target, options)
                finally:
                    inserter.check()
        except OSError as error:
            if error.errno in WRITE_FAILURES:  # named outside
                raise
            raise OutputError(f"cannot write the output: {error.strerror or error}") from None


def saver_options(request: WriteRequest) -> dict[str, object]:
    """The options for the saver of libvips."""
    form = request.format
    options: dict[str, object] = {}
    if not request.details.exif:
        # libvips would make up a block of EXIF.
        options["keep"] = KEEP_ALL_BUT_EXIF
    options |= form.writing.options
    if request.bits is not None:
        options["bitdepth"] = request.bits
    is_same_format = request.details.format == form.name
    if form.samples.interlaces and request.details.interlaced and is_same_format:
        options["interlace"] = True
    if form.writing.options_for is not None:
        options |= form.writing.options_for(request)
    return options


def _before_all(_: bytes) -> tuple[int, int]:
    """The place before the first byte."""
    return 0, 0


def _copy_to_stream(saved: BinaryIO, stream: BinaryIO) -> None:
    """Write a finished picture to a pipe or a device. OutputError says why that fails."""
    while data := saved.read(_COPIED_BYTES):
        try:
            stream.write(data)
        except OSError as error:
            is_named_outside = error.errno in (errno.EPIPE, *WRITE_FAILURES)
            if is_named_outside:
                raise
            place = "standard output" if stream.name == "<stdout>" else "the output"
            raise OutputError(f"cannot write {place}: {error.strerror or error}") from error
