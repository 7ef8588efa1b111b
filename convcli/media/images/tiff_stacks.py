"""What ImageJ, OME and tifffile say of all pages of a TIFF in the description of the first one.

If a description of ImageJ has a number of images, ImageJ and tifffile expect the uncompressed
pixels of all pages without a gap between them, and do not look at the other directories. The XML of
OME has the size, number and type of the pages, the JSON of tifffile their size and number.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli.media.images.exif import EXIF_PREFIX
from convcli.media.images.tiff import PageChange, TiffField, TiffFields, read_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.images.details import ImageDetails
    from convcli.media.images.layout import Layout
    from convcli.media.images.picture_format import WriteRequest

_DESCRIPTION = 270
_IMAGEJ = b"ImageJ="
_TIFFFILE = b'{"shape": ['
_IMAGE_COUNT = re.compile(rb"^images=([0-9]{1,9})\s*\n?", re.MULTILINE)
# The pages as a hyperstack.
_DIMENSIONS = re.compile(rb"^(channels|slices|frames|hyperstack)=.*\n?", re.MULTILINE)
_UNIT = re.compile(rb"^unit=(.*)$", re.MULTILINE)
_OME = re.compile(rb"<(\w+:)?OME[\s>]")
_OME_TYPE = re.compile(rb"<(?:\w+:)?Pixels\s[^>]*\bType=[\"'](\w+)[\"']")
# Types of samples in the words of OME, by their code in NumPy.
_OME_NAMES = {
    "u1": b"uint8",
    "u2": b"uint16",
    "u4": b"uint32",
    "i1": b"int8",
    "i2": b"int16",
    "i4": b"int32",
    "f4": b"float",
    "f8": b"double",
}


def first_page_change(fields: TiffFields, request: WriteRequest) -> PageChange:
    """The change of the first page, with a description that holds for the pages of the output."""
    field = fields.get(_DESCRIPTION)
    if field is None:
        return PageChange(fields)
    text = _lasting_text(field.data, request)
    if not text:
        others = {tag: each for tag, each in fields.items() if tag != _DESCRIPTION}
        return PageChange(others, frozenset((_DESCRIPTION,)))
    return PageChange({**fields, _DESCRIPTION: replace(field, count=len(text), data=text)})


def _lasting_text(text: bytes, request: WriteRequest) -> bytes:
    """What a description says that holds for the output."""
    if _OME.search(text):
        return text if _ome_holds(text, request) else b""
    if text.startswith(_TIFFFILE):
        holds = _holds_pages(request) and _has_shape(text, request.layouts[0])
        return text if holds else _without_shape(text)
    if not text.startswith(_IMAGEJ):
        return text
    details = request.details
    if not _has_all_pages(details) or _count_images(text) not in {None, details.pages}:
        text = _DIMENSIONS.sub(b"", text)
    elif request.in_a_row:
        return text
    return _IMAGE_COUNT.sub(b"", text)


def _count_images(text: bytes) -> int | None:
    """How many images a description of ImageJ promises, None if it does not say so."""
    count = _IMAGE_COUNT.search(text)
    return None if count is None else int(count[1])


def _read_notes(text: bytes) -> dict[str, Any] | None:
    """What a description of tifffile says, None if it is no JSON or nested beyond reason."""
    try:
        notes: dict[str, Any] = json.loads(text.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return None
    return notes


def _has_shape(text: bytes, layout: Layout) -> bool:
    """Whether the shape in a description of tifffile ends with that of a written page.

    It does not if the file stored its bands in planes, or its colours in a palette.
    """
    notes = _read_notes(text)
    if notes is None or not isinstance(notes["shape"], list):
        return True
    shape = [layout.rows, layout.columns, len(layout.channels)]
    is_grey = len(layout.channels) == 1
    return notes["shape"][-3:] == shape or (is_grey and notes["shape"][-2:] == shape[:2])


def _without_shape(text: bytes) -> bytes:
    """A description of tifffile without the shape of all pages, empty if it says nothing else."""
    said = _read_notes(text)
    if said is None:
        return text
    others = {name: value for name, value in said.items() if name not in {"shape", "axes"}}
    if not others:
        return b""
    return json.dumps(others).encode() + b"\0"


def lost_descriptions(request: WriteRequest) -> Iterator[str]:
    """A warning about a description that the output does not hold."""
    details = request.details
    field = _description_of(details)
    if field is None or request.format.name != details.format:
        return
    if _OME.search(field.data) and not _ome_holds(field.data, request):
        yield (
            "the XML of OME, which has size, number and type of the pages of the input, does not "
            "hold for the result: it is dropped"
        )
    unit = _unit_of(field.data)
    if unit and not request.same_geometry:
        yield (
            f"the resolution in pixels per {unit}, by which ImageJ measures, stays that of the "
            "input, and the result has another size"
        )


def _unit_of(text: bytes) -> str:
    """The unit of length in a description of ImageJ, empty if there is none but the pixel."""
    found = _UNIT.search(text) if text.startswith(_IMAGEJ) else None
    unit = "" if found is None else found[1].decode("latin-1").strip("\0\r ")
    return "" if unit in {"pixel", "pixels"} else unit


def count_further_images(details: ImageDetails) -> int:
    """How many images of ImageJ lie behind the only directory of a TIFF, where none is found."""
    field = _description_of(details)
    if details.pages > 1 or field is None or not field.data.startswith(_IMAGEJ):
        return 0
    count = _count_images(field.data) or 1
    return max(count - 1, 0)


def _description_of(details: ImageDetails) -> TiffField | None:
    block = (details.exif or b"").removeprefix(EXIF_PREFIX)
    return read_directory(io.BytesIO(block)).get(_DESCRIPTION)


def _has_all_pages(details: ImageDetails) -> bool:
    """Whether all pages of the file are read, in their order."""
    return details.page_indices == tuple(range(details.pages))


def _ome_holds(text: bytes, request: WriteRequest) -> bool:
    """Whether the pages of the output are as the XML says."""
    dtype = request.layouts[0].dtype
    name = _OME_NAMES.get(f"{dtype.kind}{dtype.itemsize}")
    types = set(_OME_TYPE.findall(text))
    is_same_type = not types or types == {name}
    return is_same_type and _holds_pages(request)


def _holds_pages(request: WriteRequest) -> bool:
    """Whether the pages of the output are as many as those of the input, of the same shape."""
    is_same = request.same_geometry and request.same_colours
    return is_same and _has_all_pages(request.details)
