"""What a TIFF says of its bands, which libvips does not report: colours, opacity or data.

Tag 338 (ExtraSamples) gives the meaning of every band after the colours. libvips takes the first of
them for the opacity, whatever the tag says, and writes all of them as opacities. It also misreads
grey pictures whose bands are stored in separate planes; it reads them well if the file calls them
red, green and blue. Tags after TIFF 6.0, sections 8 and 18.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from convcli.dataclass import dataclass
from convcli.media.images.tiff import TiffPage, tiff_pages

if TYPE_CHECKING:
    from convcli.media.images.layout import Layout
    from convcli.media.images.picture_format import WriteRequest

_PHOTOMETRIC, _BAND_COUNT, _PLANAR, _EXTRA_BANDS = 262, 277, 284, 338
_TAGS = (_PHOTOMETRIC, _BAND_COUNT, _PLANAR, _EXTRA_BANDS)
# Values of these tags.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RED_GREEN_BLUE = 0, 1, 2
_SEPARATE_PLANES = 2
_DATA, _PREMULTIPLIED, _OPACITY = 0, 1, 2


@dataclass(frozen=True)
class PageBands:
    """The bands of a page.

    meanings : of each band after the colours, in the numbers of tag 338
    misread : whether libvips misreads the page unless `patch` is applied
    patch : offset and bytes that make the file call its grey bands red, green and blue
    inverted : whether 0 is white
    """

    meanings: tuple[int, ...]
    misread: bool = False
    patch: tuple[int, bytes] = (0, b"")
    inverted: bool = False

    @property
    def extra(self) -> tuple[bool, ...]:
        """Whether each band after the colours is an opacity."""
        return tuple(meaning in (_PREMULTIPLIED, _OPACITY) for meaning in self.meanings)


def read_bands(file: BinaryIO, pages: int) -> list[PageBands]:
    """The bands of each page, up to the first directory that cannot be read."""
    return [_page_bands(file, directory) for directory in tiff_pages(file, pages)]


def _page_bands(file: BinaryIO, directory: TiffPage) -> PageBands:
    fields = directory.fields(file, _TAGS)
    meanings = fields[_EXTRA_BANDS].numbers() if _EXTRA_BANDS in fields else ()
    values = {tag: field.value for tag, field in fields.items()}
    is_grey = values.get(_PHOTOMETRIC) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    in_planes = values.get(_PLANAR) == _SEPARATE_PLANES and values.get(_BAND_COUNT, 1) > 1
    if not (is_grey and in_planes):
        return PageBands(meanings)
    colours = struct.pack(directory.variant.order + "H", _RED_GREEN_BLUE)
    return PageBands(
        meanings,
        misread=True,
        patch=(directory.value_place(_PHOTOMETRIC), colours),
        inverted=values[_PHOTOMETRIC] == _WHITE_IS_ZERO,
    )


def mark_bands(file: BinaryIO, request: WriteRequest) -> None:
    """Write the meanings of the extra bands into every page of a TIFF that libvips has written."""
    layout = request.layouts[0]
    for directory in list(tiff_pages(file, len(request.layouts))):
        field = directory.fields(file, (_EXTRA_BANDS,)).get(_EXTRA_BANDS)
        if field is None:
            continue
        variant = directory.variant
        meanings = _written_meanings(layout, field.count, request.details.extra_bands)
        place = directory.value_place(_EXTRA_BANDS)
        if len(field.data) > variant.word.size:
            file.seek(place)
            (place,) = variant.word.unpack(file.read(variant.word.size))
        file.seek(place)
        file.write(struct.pack(f"{variant.order}{len(meanings)}H", *meanings))


def _written_meanings(layout: Layout, count: int, read: tuple[int, ...]) -> list[int]:
    """The meanings of the extra bands: the input's if there are as many, else by the layout."""
    if len(read) == count:
        # libvips has divided the colours by the opacity.
        return [_OPACITY if meaning == _PREMULTIPLIED else meaning for meaning in read]
    first = len(layout.channels) - count
    return [_OPACITY if first + index == layout.alpha else _DATA for index in range(count)]
