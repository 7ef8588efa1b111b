"""BMP pictures, which libvips does not read: decoded by OpenCV, and handed on as a PNG.

The whole picture is in memory for that.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from convcli.errors import InputError
from convcli.media.images.layout import too_many_pixels

if TYPE_CHECKING:
    from pathlib import Path

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
