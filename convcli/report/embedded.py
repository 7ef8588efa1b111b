"""Pictures and sounds as data URIs, for pages that load nothing from elsewhere."""

from __future__ import annotations

import base64
import io
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convcli.array_types import ByteArray
    from convcli.facts.preview import ExcerptFacts, Numbers


# The highest rate that FLAC has.
MOST_FLAC = 655_350
# The least gain of a spectrogram in dB below full scale, and the range of a difference.
LEAST_LEVEL, MOST_DIFFERENCE = -110.0, 30.0
# JPEG takes a thirtieth of the time of WebP, which has opacity.
JPEG_QUALITY, WEBP_QUALITY = 88, 82
# Rows of the picture of a spectrogram.
SPECTROGRAM_ROWS = 256


def data_uri(kind: str, content: bytes) -> str:
    """Encode content of a MIME type as a data URI (RFC 2397)."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture_uri(pixels: ByteArray, *, exact: bool = False) -> str:
    """A picture (rows, columns, 1 to 4), red first; `exact` pixels are stored without loss."""
    import cv2
    import numpy as np

    channels = pixels.shape[2]
    stored: Any = np.ascontiguousarray(pixels)
    if channels == 3:
        # A thirtieth of the time of an index for each channel.
        stored = cv2.cvtColor(stored, cv2.COLOR_RGB2BGR)
    elif channels == 4:
        stored = cv2.cvtColor(stored, cv2.COLOR_RGBA2BGRA)
    elif channels == 2:  # grey and opacity
        stored = np.ascontiguousarray(stored[..., [0, 0, 0, 1]])
    suffix, settings = _picture_format(stored, exact=exact)
    done, encoded = cv2.imencode(f".{suffix}", stored, settings)
    return data_uri(f"image/{suffix}", encoded.tobytes()) if done else ""


def _picture_format(stored: ByteArray, *, exact: bool) -> tuple[str, list[int]]:
    """The format of a picture as OpenCV takes it, and its settings."""
    import cv2

    if exact:
        return "png", []
    if stored.shape[2] == 4:
        return "webp", [int(cv2.IMWRITE_WEBP_QUALITY), WEBP_QUALITY]
    return "jpeg", [int(cv2.IMWRITE_JPEG_QUALITY), JPEG_QUALITY]


def enlarged_width(uri: str, most: tuple[int, int]) -> int:
    """The width at which the PNG of a data URI is as large as fits into a width and a height."""
    head = base64.b64decode(uri.partition(",")[2][:32])
    columns, rows = struct.unpack(">II", head[16:24])
    most_wide, most_high = most
    scale = min(most_wide / columns, most_high / rows)
    return max(1, int(scale * columns))


def sound_uri(excerpt: ExcerptFacts) -> str:
    """An excerpt as FLAC of 16 bits, which takes a fifteenth of the time of MP3."""
    import numpy as np
    import soundfile

    rate = max(1, round(excerpt.rate))
    samples = np.clip(np.nan_to_num(excerpt.samples), -1, 1)
    numbers = np.rint(samples * 32767).astype(np.int16)
    form = "FLAC" if rate <= MOST_FLAC else "WAV"
    buffer = io.BytesIO()
    soundfile.write(buffer, numbers, rate, format=form, subtype="PCM_16")
    return data_uri(f"audio/{form.lower()}", buffer.getvalue())


def levels_of(power: Numbers) -> Any:
    """Power as dB, (frames, frequencies)."""
    import numpy as np

    audible = np.maximum(power, 1e-30, dtype=np.float32, casting="same_kind")
    return np.maximum(10 * np.log10(audible), LEAST_LEVEL)


def spectrogram_uri(levels: Any, loudest: float) -> str:
    """Levels in dB as colours, from dark to bright; low frequencies are at the bottom.

    loudest : the level that is the brightest
    """
    import cv2
    import numpy as np

    least = max(LEAST_LEVEL, loudest - 90)
    share = np.clip((levels - least) / ((loudest - least) or 1.0), 0, 1)
    grey = np.rint(255 * _spectrogram_rows(share)).astype(np.uint8)
    colours = cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)
    return picture_uri(np.asarray(colours, np.uint8)[..., ::-1])


def difference_uri(change: Any) -> str:
    """Changes in dB as colours: less is blue, more is red."""
    import cv2
    import numpy as np

    share = np.clip(_spectrogram_rows(change) / MOST_DIFFERENCE, -1, 1)
    numbers = np.rint(127 * share + 127).astype(np.uint8)
    # A table of 255 colours takes a tenth of the time of computing each pixel's.
    table = np.zeros((256, 3), np.uint8)
    table[:255] = np.rint(_signed_colours(np.arange(-127, 128) / 127))
    of_each_colour = cv2.merge([numbers] * 3)
    colours = cv2.LUT(of_each_colour, table[None])
    return picture_uri(np.asarray(colours, np.uint8))


def _signed_colours(share: Any) -> Any:
    """Colours (..., 3) from 0 to 255 of numbers -1...1: less than 0 is blue, more is red."""
    import numpy as np

    less, none, more = np.array([[33, 90, 200], [245, 245, 245], [200, 40, 40]], float)
    size = np.abs(share)[..., None]
    ends = np.where(share[..., None] < 0, less, more)
    return none + size * (ends - none)


def _spectrogram_rows(values: Any) -> Any:
    """(frames, frequencies) as at most 256 rows, from the highest frequency to 0: means."""
    frequencies = values.shape[1]
    together = max(1, frequencies // SPECTROGRAM_ROWS)
    whole = frequencies // together * together
    # A mean over a short last axis would take ten times as long.
    parts = [values[:, first:whole:together] for first in range(together)]
    means = sum(parts[1:], parts[0]) / together
    return means.T[::-1]


def heat_uri(values: Any, low: float, high: float) -> str:
    """A grid of numbers as colours, each a pixel, the first row at the top."""
    import cv2
    import numpy as np

    share = np.clip((np.asarray(values) - low) / ((high - low) or 1.0), 0, 1)
    colours = cv2.applyColorMap(np.rint(255 * share).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return picture_uri(np.asarray(colours, np.uint8)[..., ::-1], exact=True)


def signed_uri(values: Any, scale: int = 1) -> str:
    """A grid of numbers as colours around 0: less is blue, more is red; NaN is transparent.

    scale : pixels of each side of a cell
    """
    import numpy as np

    grid = np.asarray(values, float)
    largest = float(np.nanmax(np.abs(grid), initial=0.0)) or 1.0
    colours = _signed_colours(np.nan_to_num(grid / largest))
    opaque = np.where(np.isnan(grid), 0, 255)[..., None]
    pixels = np.concatenate([colours, opaque], axis=-1)
    enlarged = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)
    return picture_uri(np.rint(enlarged).astype(np.uint8), exact=True)


def montage(tiles: Any, columns: int) -> Any:
    """Tiles (count, rows, columns) side by side in a grid, with a cell of NaN between them."""
    import numpy as np

    count, height, width = tiles.shape
    lines = -(-count // columns)
    grid = np.full((lines * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for place, tile in enumerate(tiles):
        top = place // columns * (height + 1)
        left = place % columns * (width + 1)
        grid[top : top + height, left : left + width] = tile
    return grid


def grey_montage_uri(tiles: Any, columns: int) -> str:
    """Tiles as grey pictures side by side, each from its least (black) to its largest value."""
    import numpy as np

    known = np.nan_to_num(np.asarray(tiles, float))
    low = known.min(axis=(1, 2), keepdims=True)
    extent = known.max(axis=(1, 2), keepdims=True) - low
    share = (known - low) / np.where(extent > 0, extent, 1.0)
    grid = montage(share, columns)
    grey = np.rint(255 * np.nan_to_num(grid))
    opaque = np.where(np.isnan(grid), 0, 255)
    return picture_uri(np.stack([grey, opaque], axis=-1).astype(np.uint8), exact=True)
