"""Uncompressed pixels of a TIFF, which are read and written byte for byte.

libvips copies pixels several times on their way: it takes 8 times the processor time to read 24
megapixels of RGB, and 7 times to write them. What a TIFF says of its picture is still read and
written by libvips.
"""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.images.layout import are_alike
from convcli.media.images.plain_writer import PlainWriter
from convcli.media.images.tiff import (
    TiffFields,
    TiffVariant,
    build_directory,
    long8s_field,
    longs_field,
    read_directory,
    shorts_field,
    tiff_options,
    tiff_pages,
)
from convcli.media.images.vips import vips, vips_format
from convcli.media.images.vips_fields import replace_metadata
from convcli.media.images.vips_writer import VipsWriter, saver_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from convcli.media.images.layout import Layout
    from convcli.media.images.picture_format import PictureWriter, WriteRequest

_COLUMNS, _ROWS, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_PLACES, _ORIENTATION, _BAND_COUNT, _STRIP_ROWS, _SIZES = 273, 274, 277, 278, 279
_PLANAR, _TILE_COLUMNS, _EXTRA_BANDS, _SAMPLE_FORMAT = 284, 322, 338, 339
_TAGS = (_COLUMNS, _ROWS, _BITS, _COMPRESSION, _PHOTOMETRIC, _PLACES, _ORIENTATION, _BAND_COUNT,
         _STRIP_ROWS, _SIZES, _PLANAR, _TILE_COLUMNS, _EXTRA_BANDS, _SAMPLE_FORMAT)  # fmt: skip
# Values of these tags.
_PREMULTIPLIED = 1
_BLACK_IS_ZERO, _RED_GREEN_BLUE = 1, 2
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}

_LARGEST_SHORT = 0xFFFF
# Rows of a strip of a file, as libvips writes them.
_ROWS_WRITTEN = 128
_ALIGNMENT = 8


def plain_pixels(file: BinaryIO, layouts: Mapping[int, Layout]) -> dict[int, int]:
    """Where the pixels of each page begin that are stored as its layout says.

    Layouts and places are named by the index of their page in the file. A page is left out if its
    pixels are compressed, in tiles or planes or in another byte order, if libvips computes with
    them, or if the file ends before they do.
    """
    length = file.seek(0, io.SEEK_END)
    places = {}
    for page, directory in enumerate(tiff_pages(file, max(layouts) + 1)):
        layout = layouts.get(page)
        if layout is None:
            continue
        fields = directory.fields(file, _TAGS)
        is_native = directory.variant.order == "<" and sys.byteorder == "little"
        if not is_native and layout.dtype.itemsize > 1:
            continue
        if _is_plain(fields, layout):
            place = fields[_PLACES].value
            if place + layout.stored_bytes <= length:
                places[page] = place
    return places


def _is_plain(fields: TiffFields, layout: Layout) -> bool:
    """Whether a page has the layout's samples, one strip behind the other."""
    values = {tag: field.value for tag, field in fields.items()}
    bands = len(layout.channels)
    expected = {
        _COLUMNS: layout.columns,
        _ROWS: layout.rows,
        _BAND_COUNT: bands,
        _COMPRESSION: 1,
        _ORIENTATION: 1,
        _PLANAR: 1,
        _SAMPLE_FORMAT: _SAMPLE_FORMATS[layout.dtype.kind],
    }
    if any(values.get(tag, 1) != value for tag, value in expected.items()):
        return False
    if values.get(_PHOTOMETRIC) not in (_BLACK_IS_ZERO, _RED_GREEN_BLUE):
        return False
    if _TILE_COLUMNS in fields or not {_BITS, _PLACES, _SIZES} <= fields.keys():
        return False
    if _EXTRA_BANDS in fields and _PREMULTIPLIED in fields[_EXTRA_BANDS].numbers():
        return False
    if fields[_BITS].numbers() != (8 * layout.dtype.itemsize,) * bands:
        return False
    return _are_in_a_row(fields, layout)


def _are_in_a_row(fields: TiffFields, layout: Layout) -> bool:
    """Whether each strip is full and begins where the last one ends."""
    starts = fields[_PLACES].numbers()
    strip_rows = fields[_STRIP_ROWS].value if _STRIP_ROWS in fields else layout.rows
    sizes = _strip_sizes(layout, strip_rows)
    return fields[_SIZES].numbers() == sizes and starts == _strip_places(starts[0], sizes)


def _strip_sizes(layout: Layout, strip_rows: int) -> tuple[int, ...]:
    """Bytes of each strip of so many rows."""
    if strip_rows < 1:
        return ()
    tops = range(0, layout.rows, strip_rows)
    row_bytes = layout.columns * layout.pixel_bytes
    rows = [min(strip_rows, layout.rows - top) for top in tops]
    return tuple(count * row_bytes for count in rows)


def _strip_places(first: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The offsets of strips one behind the other."""
    places = [first]
    for size in sizes[:-1]:
        places.append(places[-1] + size)
    return tuple(places)


def open_tiff_writer(target: Path | BinaryIO, request: WriteRequest) -> PictureWriter:
    """A writer of uncompressed pages in strips where libvips has nothing to add, else of libvips.

    libvips writes pages only if they are alike.
    """
    if not are_alike(request.layouts):
        return PlainTiffWriter(target, request)
    options = tiff_options(request)
    is_packed = options["compression"] != "none" or request.bits is not None
    if is_packed or "tile" in options or len(request.layouts) > 1:
        return VipsWriter(target, request)
    return PlainTiffWriter(target, request)


class PlainTiffWriter(PlainWriter):
    """Writes the header, then of each page the pixels as they come, and its directory."""

    order = "<"

    def __init__(self, target: Path | BinaryIO, request: WriteRequest) -> None:
        super().__init__(target, request)
        is_big = bool(tiff_options(request)["bigtiff"])
        variant = TiffVariant(self.order, big=is_big)
        requests = [_page_request(request, number) for number in range(len(request.layouts))]
        pages = [_PlainPage(each, variant) for each in requests]
        place = len(variant.header(0))
        for page in pages:
            page.place = place
            place = page.end
        self._head = variant.header(pages[0].directory_place)
        # The bytes behind the pixels of each page; the last directory has no successor.
        links = [*(page.directory_place for page in pages[1:]), 0]
        self._tails = [page.tail(link) for page, link in zip(pages, links, strict=True)]
        self._written = 0

    def _header(self, layout: Layout) -> bytes:  # noqa: ARG002 -- as all writers
        if self._written == 0:
            return self._head
        return self._tails[self._written - 1]

    def start(self, layout: Layout) -> None:
        """Begin a page, behind the directory of the one before."""
        super().start(layout)
        self._written += 1

    def finish(self) -> None:
        """Write the last directory, and close the file if it was opened here."""
        if self._is_last:
            self._file.write(self._tails[-1])
        super().finish()


def _page_request(request: WriteRequest, number: int) -> WriteRequest:
    """The request for a page alone, in strips without compression."""
    layout = request.layouts[number]
    has_colours_of_first = layout.colour_names == request.layouts[0].colour_names
    return replace(
        request,
        layouts=[layout],
        details=replace(request.details, compression=None, tile=None),
        same_colours=request.same_colours and has_colours_of_first,
        first_page=number,
    )


class _PlainPage:
    """A page whose pixels are followed by its directory.

    request : with this page alone
    place : the offset of the first pixel
    """

    def __init__(self, request: WriteRequest, variant: TiffVariant) -> None:
        self._layout = request.layouts[0]
        self._variant = variant
        self._fields = _fields_by_libvips(request)
        self.place = 0

    @property
    def directory_place(self) -> int:
        """The offset of the directory."""
        end = self.place + self._layout.stored_bytes
        return end + -end % _ALIGNMENT

    @property
    def end(self) -> int:
        """The offset behind the directory."""
        return self.place + self._layout.stored_bytes + len(self.tail(0))

    def tail(self, link: int) -> bytes:
        """The bytes behind the pixels, with the offset of the next directory or 0."""
        layout = self._layout
        sizes = _strip_sizes(layout, _ROWS_WRITTEN)
        make_field = long8s_field if self._variant.big else longs_field
        are_few = layout.rows <= _LARGEST_SHORT
        fields = {
            **self._fields,
            _ROWS: (shorts_field if are_few else longs_field)(layout.rows),
            _STRIP_ROWS: shorts_field(_ROWS_WRITTEN),
            _PLACES: make_field(*_strip_places(self.place, sizes)),
            _SIZES: make_field(*sizes),
        }
        start = self.directory_place
        padding = start - self.place - layout.stored_bytes
        directory = build_directory(fields, self._variant, place=start, link=link)
        return bytes(padding) + directory


def _fields_by_libvips(request: WriteRequest) -> TiffFields:
    """The fields that libvips writes for this picture, taken from one of a single row."""
    layout = request.layouts[0]
    row = vips().Image.black(layout.columns, 1, bands=len(layout.channels))
    row = row.cast(vips_format(layout.dtype))
    row = row.copy(interpretation=layout.interpretation, xres=1, yres=1)
    described = replace_metadata(row, request)
    file = io.BytesIO(described.write_to_buffer(".tif", **saver_options(request)))
    complete = request.format.writing.complete
    if complete is not None:
        complete(file, request)
    return read_directory(file)
