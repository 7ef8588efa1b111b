"""What each page of a TIFF says of itself, kept from one TIFF to another.

libvips writes what the first page says into all pages, gives a page without a unit of resolution
25.4 dpi, writes all bands after the colours as opacities, and knows neither the tags of maps nor
the private ones. Tags after TIFF 6.0, GeoTIFF 1.1 (OGC 19-008) and GDAL.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.images.tiff import (
    DESCRIPTIVE_TAGS,
    NESTED,
    PageChange,
    TiffField,
    TiffFields,
    described_fields,
    shorts_field,
    tiff_pages,
)
from convcli.media.images.tiff_reading import OPACITY, PREMULTIPLIED
from convcli.media.images.tiff_stacks import first_page_change

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convcli.media.images.layout import Layout
    from convcli.media.images.picture_format import WriteRequest

_ACROSS, _DOWN, _UNIT = 282, 283, 296
_EXTRA_BANDS, _DATA = 338, 0
_RATIONAL = 5
_ONE = TiffField(_RATIONAL, 1, struct.pack("<II", 1, 1))
# One pixel for one pixel, in no unit: the resolution of a picture that has none.
_WITHOUT_RESOLUTION = {_ACROSS: _ONE, _DOWN: _ONE, _UNIT: shorts_field(1)}
# Where the pixels are on the map.
_MAP = {
    33550: "ModelPixelScale",
    33922: "ModelTiepoint",
    34264: "ModelTransformation",
    34735: "GeoKeyDirectory",
    34736: "GeoDoubleParams",
    34737: "GeoAsciiParams",
}
# White point and primaries.
_COLOURS = frozenset({318, 319})
# Notes of GDAL, which sample stands for a missing one, and those of Micro-Manager.
MISSING = 42113
_NOTES = frozenset({42112, MISSING, 51123})
_KEPT = frozenset({_ACROSS, _DOWN, _UNIT, *_MAP, *_COLOURS, *_NOTES})
# Tags from here on are registered by companies or private.
_FIRST_PRIVATE = 32768
# Private tags that say how pixels are stored, and metadata that libvips knows.
_KNOWN = frozenset({32995, 32996, 32997, 32998, 33723, 34377, 34675, 50674})
_NAMES = {**_MAP, 37724: "layers of Photoshop", 50838: "ImageJ", 50839: "ImageJ", 50706: "DNG"}
_MOST_NAMED = 8


def read_page_fields(
    file: BinaryIO, pages: tuple[int, ...]
) -> tuple[tuple[TiffFields, ...], tuple[int, ...]]:
    """The fields of each page that are kept, and the private tags of all pages that are not.

    The descriptions of the first page are left out, which are kept as EXIF.
    """
    found: dict[int, TiffFields] = {}
    private: set[int] = set()
    chosen = set(pages)
    for number, directory in enumerate(tiff_pages(file, max(pages) + 1)):
        if number in chosen:
            fields = directory.all_fields(file)
            private |= {tag for tag in fields if _is_lost(tag)}
            wanted = _KEPT if number == pages[0] else _KEPT | DESCRIPTIVE_TAGS | NESTED
            found[number] = {tag: each for tag, each in fields.items() if tag in wanted}
    return tuple(found.get(page, {}) for page in pages), tuple(sorted(private))


def _is_lost(tag: int) -> bool:
    return tag >= _FIRST_PRIVATE and tag not in _KEPT | _KNOWN | DESCRIPTIVE_TAGS | NESTED


def page_changes(request: WriteRequest) -> list[PageChange]:
    """What is put into the pages of a TIFF in place of what libvips has written."""
    details = request.details
    described = described_fields(request.exif, details.iptc)
    changes = []
    for number in range(request.first_page, request.first_page + len(request.layouts)):
        fields = _fields_of_page(request, number)
        if number == 0:
            changes.append(first_page_change({**fields, **described}, request))
        else:
            removed = DESCRIPTIVE_TAGS | NESTED if details.page_fields else frozenset()
            changes.append(PageChange(fields, removed))
    return changes


def _fields_of_page(request: WriteRequest, number: int) -> TiffFields:
    """The kept fields of a page that still hold, with a resolution if libvips makes one up."""
    details = request.details
    fields = dict(details.page_fields[number]) if details.page_fields else {}
    if not request.same_geometry:
        fields = _without(fields, _MAP)
    if not request.same_colours:
        fields = _without(fields, dict.fromkeys(_COLOURS))
    if details.turns_sides and {_ACROSS, _DOWN} <= fields.keys():
        fields[_ACROSS], fields[_DOWN] = fields[_DOWN], fields[_ACROSS]
    if details.resolution is None and _UNIT not in fields:
        fields = {**_WITHOUT_RESOLUTION, **fields}
    return fields


def _without(fields: TiffFields, tags: Mapping[int, object]) -> TiffFields:
    return {tag: each for tag, each in fields.items() if tag not in tags}


def lost_tags(request: WriteRequest) -> Iterator[str]:
    """Warnings about tags of a TIFF that the output does not hold."""
    details = request.details
    lost = set(details.private_tags)
    in_file = {tag for fields in details.page_fields for tag in fields}
    is_tiff = request.format.name == details.format
    if not is_tiff:
        lost |= in_file & _NOTES
    if not (is_tiff and request.same_geometry):
        lost |= in_file & _MAP.keys()
    if lost:
        yield f"tags of the TIFF that are not kept: {_list_tags(sorted(lost))}"


def _list_tags(tags: list[int]) -> str:
    shown = [f"{tag} ({_NAMES[tag]})" if tag in _NAMES else str(tag) for tag in tags]
    rest = ", ..." if len(shown) > _MOST_NAMED else ""
    return ", ".join(shown[:_MOST_NAMED]) + rest


def mark_bands(file: BinaryIO, request: WriteRequest) -> None:
    """Write the meanings of the extra bands into every page of a TIFF that libvips has written."""
    layout = request.layouts[0]
    for directory in list(tiff_pages(file, len(request.layouts))):
        field = directory.fields(file, (_EXTRA_BANDS,)).get(_EXTRA_BANDS)
        if field is None:
            continue
        order = directory.variant.order
        meanings = _written_meanings(layout, field.count, request.details.extra_bands)
        file.seek(directory.values_place(file, _EXTRA_BANDS, len(field.data)))
        file.write(struct.pack(f"{order}{len(meanings)}H", *meanings))


def _written_meanings(layout: Layout, count: int, read: tuple[int, ...]) -> list[int]:
    """The meanings of the extra bands: the input's if there are as many, else by the layout."""
    if len(read) == count:
        # libvips has divided the colours by the opacity.
        return [OPACITY if meaning == PREMULTIPLIED else meaning for meaning in read]
    first = len(layout.channels) - count
    return [OPACITY if first + index == layout.alpha else _DATA for index in range(count)]
