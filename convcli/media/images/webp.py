"""WebP: what libvips does not report: compression, quality, the background of an animation.

Containers after RFC 9649; the header of a lossy frame after RFC 6386, sections 9 and 19.2.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from convcli.dataclass import dataclass
from convcli.media.images.jpeg import DEFAULT_QUALITY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.images.details import ImageDetails
    from convcli.media.images.picture_format import WriteRequest

_HEADER = struct.Struct("<4sI")
_RIFF_BYTES = 12
_ANIMATION_FRAME, _FRAME_BYTES = b"ANMF", 16
_ANIMATION, _BACKGROUND_BYTES = b"ANIM", 4
EXIF_CHUNK = b"EXIF"
_LOSSLESS, _LOSSY = b"VP8L", b"VP8 "
# The start of a lossy frame, with its quantisers.
_HEAD_BYTES = 128
_FRAME_TAG_BYTES = 10
_START_CODE = b"\x9d\x01\x2a"
_LARGEST_QUANTISER = 127


def inspect_webp(file: BinaryIO, details: ImageDetails) -> ImageDetails:
    """The details with the background, the kind of compression and the quality of a lossy frame."""
    details = replace(details, background=_background(file))
    lossless, quality = None, None
    for kind, head in _frame_heads(file):
        if kind == _LOSSY:
            return replace(details, lossless=False, quality=frame_quality(head))
        lossless = True
    return replace(details, lossless=lossless, quality=quality)


def _background(file: BinaryIO) -> bytes:
    """The colour behind the frames of an animation: blue, green, red, opacity; else no bytes."""
    place = find_chunk(file, _ANIMATION)
    if place is None:
        return b""
    file.seek(place)
    return file.read(_BACKGROUND_BYTES)


def put_background(file: BinaryIO, details: ImageDetails) -> None:
    """Give an animation the background of the input, if that has one."""
    place = find_chunk(file, _ANIMATION)
    if place is not None and len(details.background) == _BACKGROUND_BYTES:
        file.seek(place)
        file.write(details.background)


def find_chunk(file: BinaryIO, wanted: bytes) -> int | None:
    """The offset of the body of the first chunk of a kind."""
    for kind, place in _chunks(file):
        if kind == wanted:
            return place
    return None


def _frame_heads(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The kind of every frame of a WebP, and its first bytes."""
    for kind, place in _chunks(file):
        if kind in (_LOSSLESS, _LOSSY):
            file.seek(place)
            yield kind, file.read(_HEAD_BYTES)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The kind of every chunk and the offset of its body, also of those inside a frame."""
    place = _RIFF_BYTES
    while True:
        file.seek(place)
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return
        kind, size = _HEADER.unpack(head)
        place += _HEADER.size
        yield kind, place
        if kind == _ANIMATION_FRAME:
            place += _FRAME_BYTES
        else:
            place += size + size % 2


def frame_quality(head: bytes) -> int | None:
    """The quality 1..100 at which libwebp chooses the quantisers of a lossy frame, or None.

    libwebp maps a quality c in 0..1 to the quantiser 127 (1 - v), where v is the cube root of 2/3 c
    below c = 3/4, and of 2 c - 1 from there on. In the segments of a picture v is raised to powers
    whose mean over the picture is 1.
    """
    if head[3:6] != _START_CODE:
        return None
    header = _BoolDecoder(head[_FRAME_TAG_BYTES:])
    linear = math.exp(3 * _mean_logarithm(header))
    quality = 1.5 * linear if linear < 0.5 else (linear + 1) / 2
    nearest = round(100 * quality)
    return min(100, max(1, nearest))


class _BoolDecoder:
    """The arithmetic decoder of VP8, for bits that are 0 and 1 equally often (section 7.3)."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)
        self._value = self._next_byte() << 8 | self._next_byte()
        self._range = 255
        self._shift = 0

    def _next_byte(self) -> int:
        return next(self._data, 0)

    def bit(self) -> int:
        """Read and return the next bit, 0 or 1."""
        split = 1 + ((self._range - 1) >> 1)
        found = int(self._value >= split << 8)
        if found:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._shift += 1
            if self._shift == 8:
                self._shift = 0
                self._value |= self._next_byte()
        return found

    def number(self, bits: int) -> int:
        """A number of `bits` bits, the highest first."""
        value = 0
        for _ in range(bits):
            value = 2 * value + self.bit()
        return value

    def optional(self, bits: int) -> int | None:
        """A number with a sign behind it, if a flag says that there is one."""
        if not self.bit():
            return None
        value = self.number(bits)
        return -value if self.bit() else value


def _mean_logarithm(header: _BoolDecoder) -> float:
    """The mean of ln(1 - quantiser / 127) over the segments of a frame."""
    header.number(2)  # colour space and clamping
    segments = _Segments()
    if header.bit():
        segments = _read_segment_header(header)
    header.number(10)  # the loop filter
    if header.bit() and header.bit():
        for _ in range(8):
            header.optional(6)
    header.number(2)  # partitions
    base = header.number(7)
    total = 0.0
    for value, share in zip(segments.quantisers, segments.shares(), strict=True):
        quantiser = value if segments.absolute else base + value
        if quantiser > 0:
            # The middle of the values that become this quantiser, away from the logarithm of 0.
            middle = min(quantiser, _LARGEST_QUANTISER - 1) + 0.5
            total += share * math.log(1 - middle / _LARGEST_QUANTISER)
    return total


@dataclass(frozen=True)
class _Segments:
    """The segments of a frame.

    absolute : whether their quantisers stand alone, and are not added to that of the frame
    tree : probabilities, of 256, that a block is in the first two segments, in the first of these,
        and in the first of the others
    """

    absolute: bool = False
    quantisers: tuple[int, ...] = (0, 0, 0, 0)
    tree: tuple[int, int, int] = (255, 255, 255)

    def shares(self) -> tuple[float, ...]:
        """The share of each segment in the blocks."""
        first, left, right = (each / 256 for each in self.tree)
        other = 1 - first
        return first * left, first * (1 - left), other * right, other * (1 - right)


def _read_segment_header(header: _BoolDecoder) -> _Segments:
    has_map, has_values = header.bit(), header.bit()
    segments = _Segments()
    if has_values:
        absolute = bool(header.bit())
        quantisers = tuple(header.optional(7) or 0 for _ in range(4))
        for _ in range(4):
            header.optional(6)
        segments = _Segments(absolute, quantisers)
    if has_map:
        first, left, right = (header.number(8) if header.bit() else 255 for _ in range(3))
        segments = replace(segments, tree=(first, left, right))
    return segments


def webp_options(request: WriteRequest) -> dict[str, object]:
    """Options of `webpsave`: lossless as the input, or its quality, unless another is asked for."""
    if request.details.lossless and request.quality is None:
        return {"lossless": True, "exact": True}
    return {"Q": request.quality or request.details.quality or DEFAULT_QUALITY}
