"""What a TIFF says of its bands, which libvips does not report: colours, opacity or data.

Tag 338 (ExtraSamples) gives the meaning of every band after the colours. libvips takes the first of
them for the opacity, whatever the tag says, and writes all of them as opacities. It also misreads
grey pictures whose bands are stored in separate planes; it reads them well if the file calls them
red, green and blue. Floating colours that are multiplied by the opacity it divides wrongly: grey
ones by 1/255 of it, and those of pixels that are almost transparent become 0. They are read as they
are, and divided by `straight`. Tags after TIFF 6.0, sections 8 and 18.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from convcli.dataclass import dataclass
from convcli.media.images.tiff import TiffPage, tiff_pages

if TYPE_CHECKING:
    from convcli.array_types import AnyArray
    from convcli.media.images.layout import Layout
    from convcli.media.images.patched import Patch
    from convcli.media.images.picture_format import WriteRequest

_PHOTOMETRIC, _BAND_COUNT, _PLANAR, _EXTRA_BANDS, _SAMPLE_FORMAT = 262, 277, 284, 338, 339
_TAGS = (_PHOTOMETRIC, _BAND_COUNT, _PLANAR, _EXTRA_BANDS, _SAMPLE_FORMAT)
# Values of these tags.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RED_GREEN_BLUE = 0, 1, 2
_SEPARATE_PLANES = 2
_DATA, _PREMULTIPLIED, _OPACITY = 0, 1, 2
_FLOATING = 3


@dataclass(frozen=True)
class PageBands:
    """The bands of a page.

    meanings : of each band after the colours, in the numbers of tag 338
    patches : offsets and bytes without which libvips misreads the page
    in_planes : whether the bands are grey, in separate planes, and called red, green and blue by a
        patch
    inverted : whether 0 is white
    premultiplied : whether the colours still have to be divided by the opacity
    """

    meanings: tuple[int, ...]
    patches: tuple[Patch, ...] = ()
    in_planes: bool = False
    inverted: bool = False
    premultiplied: bool = False

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
    is_misread = is_grey and in_planes
    premultiplied = values.get(_SAMPLE_FORMAT) == _FLOATING and _PREMULTIPLIED in meanings
    patches = []
    if is_misread:
        colours = struct.pack(directory.variant.order + "H", _RED_GREEN_BLUE)
        patches.append((directory.value_place(_PHOTOMETRIC), colours))
    if premultiplied:
        patches.append(_as_opacities(file, directory, meanings))
    return PageBands(
        meanings,
        patches=tuple(patches),
        in_planes=is_misread,
        inverted=is_misread and values[_PHOTOMETRIC] == _WHITE_IS_ZERO,
        premultiplied=premultiplied,
    )


def _as_opacities(file: BinaryIO, directory: TiffPage, meanings: tuple[int, ...]) -> Patch:
    """The patch by which premultiplied colours are called plain ones."""
    plain = [_OPACITY if meaning == _PREMULTIPLIED else meaning for meaning in meanings]
    data = struct.pack(f"{directory.variant.order}{len(plain)}H", *plain)
    return directory.values_place(file, _EXTRA_BANDS, len(data)), data


def straight(pixels: AnyArray, alpha: int) -> AnyArray:
    """Divide floating colours, (rows, columns, channels), by the opacity where it is not 0."""
    opacity = pixels[..., alpha, None]
    divided: AnyArray = np.array(pixels)
    np.divide(pixels, opacity, out=divided, where=opacity != 0)
    divided[..., alpha] = pixels[..., alpha]
    return divided


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
        return [_OPACITY if meaning == _PREMULTIPLIED else meaning for meaning in read]
    first = len(layout.channels) - count
    return [_OPACITY if first + index == layout.alpha else _DATA for index in range(count)]
