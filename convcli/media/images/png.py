"""PNG as a stream: its chunks as they stand in a file, and its pixels packed strip by strip in any thread.

Structure after the PNG specification, third edition (W3C), sections 5 (chunks), 9 (filters) and 10 (compression).
A strip is filtered and deflated on its own and ends on a byte (Z_SYNC_FLUSH), so that strips can be packed side by
side and joined; the check value of the whole is put together from theirs.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.images.details import ImageDetails
    from convcli.media.images.layout import Pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What says how the samples are to be seen (colour, size) and what people wrote into the file.
COLOUR_CHUNKS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI")
OTHER_CHUNKS = (b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt")
XMP_KEYWORD = b"XML:com.adobe.xmp"

# No chunk that describes a picture is larger; what claims to be is not read.
_LARGEST = 1 << 26

# How a strip may be deflated: runs only, which is as small for photographs and three times as fast, or with a search
# for repetitions, which is smaller for drawings and text. A sample of the strip decides. Level 4 is a tenth larger than
# 6 on what a Gaussian smoothed, within 1 % on a drawing, and four times as fast.
_WAYS = ((3, zlib.Z_RLE), (4, zlib.Z_DEFAULT_STRATEGY))
_SAMPLE = 1 << 15


def read_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG that are worth keeping, (type, body), wherever they stand; nothing else is read."""
    if file.read(8) != SIGNATURE:
        return
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind in COLOUR_CHUNKS + OTHER_CHUNKS + (b"acTL",) and length <= _LARGEST:
            body = file.read(length)
            if len(body) == length:
                yield kind, body
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)


def read_text(kind: bytes, body: bytes) -> tuple[str, str] | None:
    """Keyword and text of a tEXt, zTXt or iTXt chunk, or None for what cannot be read (section 11.3.3)."""
    keyword, _, rest = body.partition(b"\0")
    try:
        if kind == b"tEXt":
            return keyword.decode("latin-1"), rest.decode("latin-1")
        if kind == b"zTXt":
            return keyword.decode("latin-1"), _inflate(rest[1:]).decode("latin-1")
        compressed = rest[:1] == b"\1"
        text = rest[2:].split(b"\0", 2)[2]
        return keyword.decode("latin-1"), (_inflate(text) if compressed else text).decode("utf-8")
    except (zlib.error, UnicodeDecodeError, IndexError):
        return None


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, _LARGEST)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk as it stands in the file."""
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
    )


def describing_chunks(details: ImageDetails, *, same_colours: bool) -> list[tuple[bytes, bytes]]:
    """The chunks for a picture with these details: PNG's own as they were, others made from their blocks.

    same_colours : whether the channels are still those of the input, without which its colour chunks do not fit
    """
    if details.format == "png":
        kept = COLOUR_CHUNKS + OTHER_CHUNKS if same_colours else OTHER_CHUNKS
        chunks = [each for each in details.chunks if each[0] in kept]
        # An EXIF block was turned upright with the picture.
        chunks = [
            (kind, details.exif or body) if kind == b"eXIf" else (kind, body)
            for kind, body in chunks
        ]
        return sorted(chunks, key=lambda each: kept.index(each[0]))
    chunks = []
    if details.icc and same_colours:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(details.icc)))
    if details.resolution:
        across, down = (round(1000 * per_mm) for per_mm in details.resolution)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if details.exif:
        chunks.append((b"eXIf", details.exif.removeprefix(b"Exif\0\0")))
    if details.xmp:
        chunks.append((b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + details.xmp))
    for keyword, text in details.text:
        chunks.append(
            (b"iTXt", keyword.encode("latin-1", "replace")[:79] + b"\0\0\0\0\0" + text.encode())
        )
    return chunks


@dataclass(frozen=True)
class Packed:
    """A deflated strip: its bytes, and the Adler-32 and length of what they unpack to."""

    data: bytes
    adler: int
    length: int


def pack(pixels: Pixels) -> Packed:
    """Filter and deflate a strip of `(rows, columns, channels)` uint8 or uint16 pixels."""
    filtered = _filter(pixels)
    middle = max(0, len(filtered) - _SAMPLE) // 2
    fast, thorough = (len(_deflate(filtered[middle : middle + _SAMPLE], way)) for way in _WAYS)
    data = _deflate(filtered, _WAYS[thorough < 0.9 * fast])
    return Packed(data, zlib.adler32(filtered), len(filtered))


def _deflate(data: bytes, way: tuple[int, int]) -> bytes:
    level, strategy = way
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)


def _filter(pixels: Pixels) -> bytes:
    """Each row as its differences to the left (filter 1) or from above (filter 2), whichever are smaller in sum."""
    rows, columns, channels = pixels.shape
    step = channels * pixels.dtype.itemsize
    stored = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(">")).view(np.uint8)
    raw = stored.reshape(rows, columns * step)
    filtered = np.empty((rows, 1 + raw.shape[1]), np.uint8)
    left = filtered[:, 1:]
    left[:, :step] = raw[:, :step]
    np.subtract(raw[:, step:], raw[:, :-step], out=left[:, step:])
    up = np.empty_like(raw)
    up[:1] = 255  # the row above a strip belongs to another strip: never the better one
    np.subtract(raw[1:], raw[:-1], out=up[1:])
    better = _size(up) < _size(left)
    better[:1] = False
    left[better] = up[better]
    filtered[:, 0] = np.where(better, 2, 1)
    return filtered.tobytes()


def _size(differences: Pixels) -> Pixels:
    """The sum of every row's differences, taken as signed bytes; every fourth is enough to choose by."""
    size: Pixels = np.abs(differences[:, ::4].view(np.int8).astype(np.int16)).sum(
        axis=1, dtype=np.int64
    )
    return size


def adler_combine(first: int, second: int, length: int) -> int:
    """The Adler-32 (RFC 1950) of two pieces joined, from theirs and the length of the second."""
    base = 65521
    low, high = first & 0xFFFF, first >> 16
    low2, high2 = second & 0xFFFF, second >> 16
    a = (low + low2 - 1) % base
    b = (high + high2 + (low - 1) * length) % base
    return b << 16 | a


class PngWriter:
    """Writes one picture to a stream as its strips come; nothing is held."""

    def __init__(
        self, file: BinaryIO, *, rows: int, columns: int, channels: int, bits: int
    ) -> None:
        self._file = file
        self._adler = 1
        self._header = struct.pack(
            ">IIBBBBB", columns, rows, bits, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0
        )

    def start(self, chunks: list[tuple[bytes, bytes]]) -> None:
        """Write everything that stands before the pixels."""
        self._file.write(SIGNATURE + chunk(b"IHDR", self._header))
        for kind, body in chunks:
            self._file.write(chunk(kind, body))
        self._file.write(chunk(b"IDAT", b"\x78\x5e"))

    def append(self, packed: Packed) -> None:
        """Write a strip."""
        self._adler = adler_combine(self._adler, packed.adler, packed.length)
        self._file.write(chunk(b"IDAT", packed.data))

    def finish(self) -> None:
        """Write the end: an empty last block of deflate, the check value, the closing chunk."""
        self._file.write(
            chunk(b"IDAT", b"\x03\0" + struct.pack(">I", self._adler)) + chunk(b"IEND", b"")
        )
