"""Pictures written by libvips, which takes the pixels from a thread of its own as they come.

Also what libvips would say of a picture in a TIFF, for those that are written without it.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import threading
import traceback
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convcli.errors import OutputError
from convcli.media.images import tiff
from convcli.media.images.tiff_writer import LARGEST_CLASSIC, TiffWriter, numbered
from convcli.media.images.vips import DTYPES, exif_fields, reason, vips
from convcli.media.replacing import scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.media.images.details import Format, ImageDetails
    from convcli.media.images.layout import Layout, Pixels

_DEFAULT_QUALITY = 92
_TIFF_COMPRESSIONS = {
    5: "lzw",
    7: "lzw",
    8: "deflate",
    32946: "deflate",
    32773: "packbits",
    50000: "zstd",
}
# Bits of libvips' "keep": all metadata but EXIF, which it would otherwise make up.
_ALL_BUT_EXIF = 0b111110
# So many bytes of strips wait for libvips; then the filter waits.
_MOST_WAITING = 16_000_000
_OF_THE_PIXELS = {
    *(
        "width",
        "height",
        "bands",
        "format",
        "coding",
        "interpretation",
        "xres",
        "yres",
        "xoffset",
        "yoffset",
    ),
    "filename",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be written: the format, a layout per page, what is known of the input, and the quality asked for.

    same_colours : whether the channels mean what they meant in the input, so that its profile fits
    """

    format: Format
    layouts: Sequence[Layout]
    details: ImageDetails
    quality: int | None
    same_colours: bool


def is_plain(plan: Plan) -> bool:
    """Whether a TIFF holds the samples as they are: uncompressed, and not the integers of Lab, which it turns."""
    return _tiff_compression(plan.details) == "none" and plan.layouts[0].interpretation != "labs"


def tiff_pages(plan: Plan) -> list[tuple[dict[int, tiff.Entry], Layout]]:
    """Every page with the fields that libvips gives it in an uncompressed TIFF, and with the EXIF of the first."""
    count = len(plan.layouts)
    # A picture of one pixel a page is described like the large one.
    tall = _blank(plan.layouts[0], min(count, 2))
    image = _describe(plan, tall, 1)
    file = io.BytesIO(image.tiffsave_buffer(**_options(plan, image)))
    fields = _fields(file)
    if plan.details.exif:
        tiff.graft(file, plan.details.exif)
    first = _fields(file)
    if count == 1:
        return [(first, plan.layouts[0])]
    return [
        (numbered(fields if page else first, page, count), layout)
        for page, layout in enumerate(plan.layouts)
    ]


def _fields(file: io.BytesIO) -> dict[int, tiff.Entry]:
    file.seek(0)
    return tiff.read_directory(file, largest=file.getbuffer().nbytes)


def _blank(layout: Layout, rows: int) -> Any:
    """A column of black pixels."""
    black = vips().Image.black(1, rows, bands=len(layout.channels)).cast(_vips_format(layout.dtype))
    return black.copy(interpretation=layout.interpretation)


def _vips_format(dtype: np.dtype[Any]) -> str:
    """The name by which libvips calls a type."""
    return next(name for name, code in DTYPES.items() if np.dtype(code) == dtype)


class VipsWriter:
    """Hands the pixels of all pages, which have one width and type, to libvips as one tall picture.

    libvips asks for pixels when it wants them, so it works in a thread of its own, on the strips as they come.
    """

    def __init__(self, target: Path | BinaryIO, plan: Plan) -> None:
        self._plan = plan
        self._stream = None if isinstance(target, Path) else target
        # Some formats are written back and forth, which a stream cannot do.
        self._scratch: BinaryIO | None = None
        if isinstance(target, Path):
            self._path = target
        else:
            self._scratch, self._path = scratch()
        tall = _as_bytes(plan.layouts)
        self._feed = Feed()
        self._pixels = TiffWriter(self._feed, [(_bare_fields(tall), tall)])
        self._pixels.start()
        self._feed.keep(tall.stored_bytes)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def pack(self, pixels: Pixels) -> Pixels:
        """As they are."""
        return np.ascontiguousarray(pixels)

    def start(self, layout: Layout) -> None:
        """Pages follow each other without a mark."""

    def append(self, packed: Pixels) -> None:
        """Hand a strip over."""
        self._pixels.append(packed)
        if self._failure is not None:
            raise self._failure

    def finish(self) -> None:
        """Wait for libvips, and hand on what it wrote."""
        self._join()
        try:
            if self._failure is not None:
                raise self._failure
            if self._stream is not None:
                with self._path.open("rb") as saved:
                    shutil.copyfileobj(saved, self._stream, 1 << 20)
        finally:
            self.discard()

    def discard(self) -> None:
        """Let libvips run into the end of the pixels, and wait until it has."""
        self._join()
        if self._scratch is not None:
            self._scratch.close()

    def _join(self) -> None:
        self._feed.end()
        self._thread.join()

    def _run(self) -> None:
        source = vips().SourceCustom()
        source.on_read(self._feed.read)
        source.on_seek(self._feed.seek)
        try:
            self._save(source)
        except Exception as error:  # noqa: BLE001 -- it is raised again in the thread that writes
            # A picture that outlived its source would call what is no longer there: none stays behind in the frames.
            for each in (error, error.__cause__):
                traceback.clear_frames(each.__traceback__ if each else None)
            self._failure = error
        finally:
            self._feed.refuse()

    def _save(self, source: Any) -> None:
        try:
            image = _describe(self._plan, self._open(source), self._plan.layouts[0].rows)
            options = _options(self._plan, image)
            target = vips().Target.new_to_file(str(self._path))
            image.write_to_target(target, self._plan.format.suffixes[0], **options)
            del target
        except vips().Error as error:
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            name = self._plan.format.name
            raise OutputError(f"cannot write the picture as {name}: {reason(error)}") from error
        if self._plan.format.name == "tiff" and self._plan.details.exif:
            with self._path.open("r+b") as file:
                tiff.graft(file, self._plan.details.exif)

    def _open(self, source: Any) -> Any:
        """The pixels as a picture of which nothing is known but its shape and what its numbers mean."""
        image = vips().Image.tiffload_source(source, access="sequential", fail_on="error")
        layout = self._plan.layouts[0]
        shape = {"format": _vips_format(layout.dtype), "bands": len(layout.channels)}
        image = image.copy(**shape, interpretation=layout.interpretation, xres=1, yres=1)
        for name in image.get_fields():
            if name not in _OF_THE_PIXELS:
                image.remove(name)
        return image


class Feed:
    """Bytes that one thread writes and another reads, front to back; the beginning may be read again and again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[memoryview] = deque()
        self._bytes_waiting = 0
        self._kept = b""
        self._length = 0
        self._at = 0
        self._passed = 0
        self._ended = self._refused = False

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes; waits while too many have not been read. What nobody will read is dropped."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes_waiting < _MOST_WAITING or self._refused)
            if not self._refused:
                self._waiting.append(memoryview(data))
                self._bytes_waiting += len(data)
                self._changed.notify_all()

    def keep(self, following: int) -> None:
        """What was written so far is the beginning; so many bytes are to follow."""
        self._kept = b"".join(self._waiting)
        self._waiting.clear()
        self._bytes_waiting = 0
        self._passed = len(self._kept)
        self._length = self._passed + following

    def end(self) -> None:
        """Nothing more will be written."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def refuse(self) -> None:
        """Nothing more will be read."""
        with self._changed:
            self._refused = True
            self._waiting.clear()
            self._changed.notify_all()

    def seek(self, offset: int, whence: int) -> int:
        """Go to a place counted from the front, from here or from the end (`whence` 0, 1, 2)."""
        self._at = offset + (0, self._at, self._length)[whence]
        return self._at

    def read(self, length: int) -> bytes:
        """As many bytes as asked for; fewer at the end, none of what has been read but was not kept."""
        parts: list[bytes | memoryview] = [self._kept[self._at : self._at + length]]
        self._at += len(parts[0])
        wanted = length - len(parts[0])
        if self._at >= len(self._kept) and self._at >= self._passed:
            self._take(self._at - self._passed)
            parts += self._take(wanted)
            self._at = max(self._at, self._passed)
        return b"".join(parts)

    def _take(self, wanted: int) -> list[memoryview]:
        """Pass over the next bytes, as many as `wanted` and there are."""
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
            self._passed += len(part)
            wanted -= len(part)
        return parts


def _as_bytes(layouts: Sequence[Layout]) -> Layout:
    """All pages below each other, every byte a channel of its own: libvips reads not every type from a TIFF."""
    first = layouts[0]
    channels = tuple(
        f"byte{number}" for number in range(len(first.channels) * first.dtype.itemsize)
    )
    rows = sum(layout.rows for layout in layouts)
    return replace(first, rows=rows, channels=channels, dtype=np.dtype(np.uint8))


def _bare_fields(layout: Layout) -> dict[int, tiff.Entry]:
    """The fields of a TIFF of which only the samples count."""
    sketch = _blank(layout, 1).copy(
        interpretation="b-w" if len(layout.channels) < 3 else "multiband"
    )
    return _fields(io.BytesIO(sketch.tiffsave_buffer(keep=0)))


def _describe(plan: Plan, image: Any, page_rows: int) -> Any:
    """The image with everything that is known of the input and still true; `page_rows` of it are a page."""
    details, values = plan.details, vips().GValue
    if details.resolution:
        image = image.copy(xres=details.resolution[0], yres=details.resolution[1])
    described = exif_fields(details.exif) if details.exif and details.format == "tiff" else ()
    for name, kind, value in (*details.fields, *described):
        if name != "icc-profile-data" or plan.same_colours:
            image.set_type(kind, name, value)
    if len(plan.layouts) > 1:
        image.set_type(values.gint_type, "page-height", page_rows)
        if details.delays:
            image.set_type(values.array_int_type, "delay", list(details.delays))
        if details.loop is not None:
            image.set_type(values.gint_type, "loop", details.loop)
    return image


def _options(plan: Plan, image: Any) -> dict[str, object]:
    """What libvips is to be asked for."""
    details, name = plan.details, plan.format.name
    # libvips writes the resolution of a JPEG together with EXIF only.
    told = details.resolution not in (
        None,
        (1.0, 1.0),
    )  # 1 is what libvips has where nothing is known
    needs_exif = details.exif or name == "vips" or (name == "jpeg" and told)
    options: dict[str, object] = {} if needs_exif else {"keep": _ALL_BUT_EXIF}
    if name in ("jpeg", "webp", "avif"):
        quality = details.quality if name == "jpeg" else None
        options["Q"] = plan.quality or quality or _DEFAULT_QUALITY
    if name == "jpeg":
        options["subsample_mode"] = (
            "off" if _full_chroma(details, int(str(options["Q"]))) else "auto"
        )
    if name == "webp" and details.lossless and plan.quality is None:
        options.update(lossless=True, exact=True)
    if name == "tiff":
        options.update(_tiff_options(plan, image))
    return options


def _tiff_options(plan: Plan, image: Any) -> dict[str, object]:
    compression = _tiff_compression(plan.details)
    size = sum(layout.stored_bytes for layout in plan.layouts)
    options: dict[str, object] = {"compression": compression, "bigtiff": size > LARGEST_CLASSIC}
    if compression in ("lzw", "deflate", "zstd"):
        options["predictor"] = "float" if image.format in ("float", "double") else "horizontal"
    if plan.details.resolution and ("resolution-unit", "in") in {
        field[::2] for field in plan.details.fields
    }:
        options["resunit"] = "inch"
    return options


def _tiff_compression(details: ImageDetails) -> str:
    """The compression of the input where it was a TIFF and libvips can write it without loss."""
    return _TIFF_COMPRESSIONS.get(details.compression or 0, "none")


def _full_chroma(details: ImageDetails, quality: int) -> bool:
    """Whether colour is to be stored at full size: as the input did, else from quality 90 on."""
    known = {name: value for name, _, value in details.fields}
    subsampling = known.get("jpeg-chroma-subsample")
    return quality >= 90 if subsampling is None else str(subsampling).startswith("4:4:4")
