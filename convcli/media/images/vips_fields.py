"""The metadata fields of libvips: those kept of an input, and set on an output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.media.images.exif import refresh_exif
from convcli.media.images.png import pixel_with_exif
from convcli.media.images.vips import raw_text, vips

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convcli.media.images.details import VipsField
    from convcli.media.images.picture_format import WriteRequest

# Fields that every image has.
_GEOMETRY = {
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
    "filename",
}
# The beginning of the names of all fields of a gain map.
GAIN_MAP = "gainmap-"
# Fields that describe the file or the way it was stored, not the picture.
_STORAGE = {
    "vips-loader",
    "vips-sequential",
    "n-pages",
    "page-height",
    "bits-per-sample",
    "palette",
    "interlaced",
    "jpeg-multiscan",
    "jpeg-thumbnail-data",
    "gif-palette",
    "n-subifds",
    "tile-width",
    "tile-height",
    "orientation",
    "exif-ifd0-Orientation",
    "heif-primary",
    "heif-bitdepth",
    "heif-compression",
    "concurrency",
}
# Fields of the EXIF thumbnail, of the text chunks of a PNG, and of animations, which are kept by
# other means.
_KEPT_ELSEWHERE = ("exif-ifd1-", "png-comment-", "delay", "loop", "gif-")
# libvips takes no higher resolution.
_MOST_PIXELS_PER_MM = 1e6


def metadata_of(image: Any) -> dict[str, Any]:
    """The values of the fields of an image, but of those that every image has."""
    names = [name for name in image.get_fields() if name not in _GEOMETRY]
    return {name: image.get(raw_text(name)) for name in names}


def kept_fields(image: Any, metadata: Mapping[str, Any]) -> tuple[VipsField, ...]:
    """The fields of an upright image that a filtered picture keeps."""
    kept = []
    for name, value in metadata.items():
        if name in _STORAGE or name.startswith(_KEPT_ELSEWHERE):
            continue
        stored = refresh_exif(value) if name == "exif-data" else value
        is_list = name.startswith(GAIN_MAP) and isinstance(stored, list)
        if is_list or isinstance(stored, int | float | str | bytes):
            kept.append((name, int(image.get_typeof(raw_text(name))), stored))
    return tuple(kept)


def replace_metadata(image: Any, request: WriteRequest) -> Any:
    """The image with the metadata of the input that still holds, in place of its own."""
    for name in image.get_fields():
        if name not in _GEOMETRY:
            image.remove(raw_text(name))
    details, types = request.details, vips().GValue
    if details.resolution:
        across, down = (min(each, _MOST_PIXELS_PER_MM) for each in details.resolution)
        image = image.copy(xres=across, yres=down)
    for name, kind, value in _written_fields(request):
        stored = raw_text(value) if isinstance(value, str) else value
        image.set_type(kind, raw_text(name), stored)
    if len(request.layouts) > 1:
        image.set_type(types.gint_type, "page-height", request.layouts[0].rows)
        if details.delays:
            image.set_type(types.array_int_type, "delay", list(details.delays))
        if details.loop is not None:
            image.set_type(types.gint_type, "loop", details.loop)
    elif request.format.pages.animated:
        # Without the field libvips writes an endless loop.
        was_single = details.pages == 1 and details.loop is not None
        image.set_type(types.gint_type, "loop", details.loop if was_single else 1)
    return image


def _written_fields(request: WriteRequest) -> Iterator[VipsField]:
    """The fields of the input that fit the output."""
    details = request.details
    fields = details.fields
    if details.exif and details.field("exif-data") is None:
        fields += _exif_fields(details.exif)
    left_out = []
    if not request.same_colours:
        left_out.append("icc-profile-data")
    if not request.keeps_gain_map:
        left_out.append(GAIN_MAP)
    for field in fields:
        if not field[0].startswith(tuple(left_out)):
            yield field


def _exif_fields(block: bytes) -> tuple[VipsField, ...]:
    """The fields that libvips makes of a block of EXIF, which it parses only in a picture."""
    image = vips().Image.new_from_buffer(pixel_with_exif(block), "")
    return tuple(
        each for each in kept_fields(image, metadata_of(image)) if each[0].startswith("exif")
    )
