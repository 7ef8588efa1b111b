"""BMP and HEIC pictures, which libvips does not read: decoded here, and handed on as a PNG.

OpenCV decodes a BMP. The optional package `pillow-heif` decodes HEIC, whose codec many builds of
libvips lack: bits, colour profile, EXIF and XMP are kept, and only the main picture of a file is
read, upright. The whole picture is in memory for that.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.errors import InputError
from convcli.losses import Loss
from convcli.media.images.exif import refresh_exif
from convcli.media.images.layout import too_many_pixels
from convcli.media.images.png import png_with_blocks
from convcli.media.images.vips import KEEP_NOTHING, vips, vips_format
from convcli.units import plural

if TYPE_CHECKING:
    from pathlib import Path

    from convcli.signals import Array

_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm"})


def is_heic(head: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is HEIC."""
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS


def heic_as_png(
    data: bytes | Path, name: str, *, max_pixels: int
) -> tuple[bytes | Path, list[str]]:
    """The main picture as a PNG, and a warning about what else is in the file.

    The file as it is where the package is not installed.

    Raises InputError if it is damaged or has too many pixels.
    """
    try:
        import pillow_heif
    except ImportError:
        return data, []
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        container = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
        picture = container[container.primary_index]
        columns, rows = picture.size
        if columns * rows > max_pixels:
            raise too_many_pixels(name, columns, rows, max_pixels)
        pixels = np.ascontiguousarray(picture)
    except (ValueError, RuntimeError, EOFError, SyntaxError) as error:
        raise InputError(
            f"cannot read the picture {name}: {error}", hint="the file is damaged or cut off"
        ) from error
    image = _vips_image(pixels)
    info: dict[str, Any] = picture.info
    # The PNG is read again at once, so compressing it would not pay.
    png = png_with_blocks(
        image.pngsave_buffer(compression=0, keep=KEEP_NOTHING),
        icc=info.get("icc_profile") or b"",
        exif=refresh_exif(info.get("exif") or b""),
        xmp=info.get("xmp") or b"",
    )
    return png, _warn_of_others(container, picture)


def _warn_of_others(container: Any, picture: Any) -> list[str]:
    """A warning about further pictures and about maps of the main one, if there are any."""
    auxiliary = sum(len(ids) for ids in picture.info.get("aux", {}).values())
    maps = len(picture.info.get("depth_images", ())) + auxiliary
    found = [(len(container) - 1, "other picture"), (maps, "map of depth or light")]
    listed = [plural(count, noun) for count, noun in found if count]
    if not listed:
        return []
    others = " and ".join(listed)
    return [Loss(f"only the main picture of the HEIC is read: {others} cannot be kept")]


def _vips_image(pixels: Array) -> Any:
    """The pixels, (rows, columns) or (rows, columns, bands), as an image of libvips."""
    rows, columns = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    image = vips().Image.new_from_memory(
        pixels.tobytes(), columns, rows, bands, vips_format(pixels.dtype)
    )
    interpretations = ("b-w", "grey16") if bands == 1 else ("srgb", "rgb16")
    is_16_bit = pixels.dtype.itemsize > 1
    return image.copy(interpretation=interpretations[is_16_bit])


BMP_MARK = b"BM"
# Bytes before the header of OS/2, which counts in 16 bits.
_OS2_HEADER = 12


def bmp_as_png(data: bytes | Path, name: str, *, max_pixels: int) -> bytes:
    """The pixels of a BMP as a PNG. InputError if it is damaged or has too many pixels."""
    import cv2

    content = data if isinstance(data, bytes) else data.read_bytes()
    columns, rows = _size(content, name)
    if columns * rows > max_pixels:
        raise too_many_pixels(name, columns, rows, max_pixels)
    # OpenCV would print to standard error what is wrong with a picture.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise _damaged(name)
    has_alpha = pixels.ndim == 3 and pixels.shape[2] == 4
    if has_alpha and not pixels[:, :, 3].any():
        # The fourth byte of a pixel is mostly padding.
        pixels = np.ascontiguousarray(pixels[:, :, :3])
    # It is read again at once.
    _, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    return png.tobytes()


def _size(content: bytes, name: str) -> tuple[int, int]:
    """Columns and rows according to the header."""
    try:
        (header_bytes,) = struct.unpack_from("<I", content, 14)
        if header_bytes == _OS2_HEADER:
            columns, rows = struct.unpack_from("<HH", content, 18)
        else:
            columns, rows = struct.unpack_from("<ii", content, 18)
    except struct.error as error:
        raise _damaged(name) from error
    if columns <= 0 or rows == 0:
        raise _damaged(name)
    # Of a negative height, the first row is the top one.
    return columns, abs(rows)


def _damaged(name: str) -> InputError:
    return InputError(f"cannot read the picture {name}", hint="the file is damaged or cut off")
