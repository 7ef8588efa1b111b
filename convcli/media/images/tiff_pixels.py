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
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from convcli.media.images.layout import Layout
    from convcli.media.images.picture_format import PictureWriter, WriteRequest

_KIND, _PAGE_NUMBER = 254, 297
_COLUMNS, _ROWS, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_PLACES, _ORIENTATION, _BAND_COUNT, _STRIP_ROWS, _SIZES = 273, 274, 277, 278, 279
_PLANAR, _TILE_COLUMNS, _EXTRA_BANDS, _SAMPLE_FORMAT = 284, 322, 338, 339
_TAGS = (_COLUMNS, _ROWS, _BITS, _COMPRESSION, _PHOTOMETRIC, _PLACES, _ORIENTATION, _BAND_COUNT,
         _STRIP_ROWS, _SIZES, _PLANAR, _TILE_COLUMNS, _EXTRA_BANDS, _SAMPLE_FORMAT)  # fmt: skip
# Values of these tags.
_ONE_OF_SEVERAL = 2
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
    """Bytes of each strip of `strip_rows` rows."""
    if strip_rows < 1:
        return ()
    tops = range(0, layout.rows, strip_rows)
    row_bytes = layout.columns * layout.pixel_bytes
    rows = [min(strip_rows, layout.rows - top) for top in tops]
    return tuple(count * row_bytes for count in rows)


def _strip_places(first: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The offsets of strips that follow each other without a gap."""
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
    if is_packed or "tile" in options:
        return VipsWriter(target, request)
    return PlainTiffWriter(target, request)


class PlainTiffWriter(PlainWriter):
    """Writes the header, then the pixels of all pages as they come, then all directories.

    The pixels of pages of one layout follow each other without a gap, as in a stack of ImageJ.
    """

    order = "<"

    def __init__(self, target: Path | BinaryIO, request: WriteRequest) -> None:
        super().__init__(target, request)
        is_big = bool(tiff_options(request)["bigtiff"])
        variant = TiffVariant(self.order, big=is_big)
        pages = list(_plain_pages(request, variant))
        place = len(variant.header(0))
        # The bytes before the pixels of each page.
        self._heads = []
        for page in pages:
            self._heads.append(bytes(page.padding(place)))
            page.place = place + page.padding(place)
            place = page.end
        for page in pages:
            page.directory_place = place + -place % _ALIGNMENT
            place = page.directory_place + len(page.directory(0))
        self._heads[0] = variant.header(pages[0].directory_place)
        padding = pages[0].directory_place - pages[-1].end
        self._tail = bytes(padding) + _joined_directories(pages)
        self._written = 0

    def _header(self, layout: Layout) -> bytes:  # noqa: ARG002 -- as all writers
        return self._heads[self._written]

    def start(self, layout: Layout) -> None:
        """Begin a page, behind the pixels of the one before."""
        super().start(layout)
        self._written += 1

    def finish(self) -> None:
        """Write the directories, and close the file if it was opened here."""
        if self._is_last:
            self._file.write(self._tail)
        super().finish()


def _plain_pages(request: WriteRequest, variant: TiffVariant) -> Iterator[_PlainPage]:
    """Yield the pages that are to be written."""
    request = replace(request, in_a_row=are_alike(request.layouts))
    requests = [_page_request(request, number) for number in range(len(request.layouts))]
    # Pages of one layout differ in what they say of themselves alone.
    of_layout = {each.layouts[0]: each for each in requests}
    written = {layout: _tiff_by_libvips(each) for layout, each in of_layout.items()}
    for number, each in enumerate(requests):
        fields = _completed_fields(written[each.layouts[0]], each)
        if len(requests) > 1:
            fields |= _numbered(number, len(requests))
        yield _PlainPage(each.layouts[0], fields, variant)


def _joined_directories(pages: list[_PlainPage]) -> bytes:
    """The directories of the pages, each at its place; the last one has no successor."""
    file = io.BytesIO()
    first = pages[0].directory_place
    links = [*(page.directory_place for page in pages[1:]), 0]
    for page, link in zip(pages, links, strict=True):
        file.seek(page.directory_place - first)
        file.write(page.directory(link))
    return file.getvalue()


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
    """A page of uncompressed pixels.

    layout : of its pixels
    fields : of its directory but those that say where the pixels are
    place : the offset of the first pixel
    directory_place : the offset of the directory
    """

    def __init__(self, layout: Layout, fields: TiffFields, variant: TiffVariant) -> None:
        self._layout = layout
        self._variant = variant
        self._fields = fields
        self.place = 0
        self.directory_place = 0

    def padding(self, place: int) -> int:
        """How many bytes to leave out from an offset on, so that samples have even places."""
        return -place % self._layout.dtype.itemsize

    @property
    def end(self) -> int:
        """The offset behind the pixels."""
        return self.place + self._layout.stored_bytes

    def directory(self, link: int) -> bytes:
        """The directory, with the offset of the next one or 0."""
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
        return build_directory(fields, self._variant, place=self.directory_place, link=link)


def _tiff_by_libvips(request: WriteRequest) -> bytes:
    """A TIFF of a single row that libvips writes of this picture."""
    layout = request.layouts[0]
    row = vips().Image.black(layout.columns, 1, bands=len(layout.channels))
    row = row.cast(vips_format(layout.dtype))
    row = row.copy(interpretation=layout.interpretation, xres=1, yres=1)
    described = replace_metadata(row, request)
    data: bytes = described.write_to_buffer(".tif", **saver_options(request))
    return data


def _numbered(page: int, pages: int) -> TiffFields:
    """The fields of one of several pages, counted from 0, by which it is known as one."""
    fields = {_KIND: longs_field(_ONE_OF_SEVERAL)}
    if pages <= _LARGEST_SHORT:
        fields[_PAGE_NUMBER] = shorts_field(page, pages)
    return fields


def _completed_fields(data: bytes, request: WriteRequest) -> TiffFields:
    """The fields of a TIFF of libvips after it was repaired for a page."""
    file = io.BytesIO(data)
    complete = request.format.writing.complete
    if complete is not None:
        complete(file, request)
    return read_directory(file)
