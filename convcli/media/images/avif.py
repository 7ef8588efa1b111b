"""AVIF: whether a file is lossless, and how many bits its samples have.

The colours of a lossless file are stored as they are: its item property `colr` names the identity
as its matrix (ISO/IEC 23091-2, matrix coefficients 0).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from convcli.media.images.jpeg import DEFAULT_QUALITY

if TYPE_CHECKING:
    from convcli.media.images.details import ImageDetails
    from convcli.media.images.picture_format import WriteRequest

# Properties are in the first bytes of a file.
_HEAD_BYTES = 1 << 16
_COLOURS = b"colrnclx"
# Bytes from there to the matrix, behind primaries and transfer.
_TO_MATRIX = 12
_IDENTITY = b"\0\0"
# Bits of a sample beyond 8, of which libvips makes 16.
_MANY_BITS, _MOST_BITS = (10, 12), 12


def inspect_avif(file: BinaryIO, details: ImageDetails) -> ImageDetails:
    """The details with the kind of compression."""
    head = file.read(_HEAD_BYTES)
    place = head.find(_COLOURS)
    if place < 0:
        return details
    matrix = head[place + _TO_MATRIX : place + _TO_MATRIX + len(_IDENTITY)]
    return replace(details, lossless=matrix == _IDENTITY)


def avif_options(request: WriteRequest) -> dict[str, object]:
    """Options of `heifsave`: bits as the input has, lossless as it is unless a quality is asked."""
    options: dict[str, object] = {"bitdepth": _bits_written(request)}
    if request.details.lossless and request.quality is None:
        return {**options, "lossless": True}
    return {**options, "Q": request.quality or DEFAULT_QUALITY}


def _bits_written(request: WriteRequest) -> int:
    bits = 8 * request.layouts[0].dtype.itemsize
    if bits == 8:
        return bits
    had = request.details.bits
    return had if had in _MANY_BITS else _MOST_BITS


def round_to_bits(image: Any, request: WriteRequest) -> Any:
    """The image with half a step added where libvips will cut off the lower bits of 16."""
    bits = _bits_written(request)
    if bits == 8:
        return image
    half = 1 << (15 - bits)
    return (image + half).cast("ushort").copy(interpretation=image.interpretation)


def avif_losses(request: WriteRequest) -> list[str]:
    """A warning about samples that have more bits than an AVIF."""
    bits = _bits_written(request)
    had = request.details.bits
    return [f"avif holds {bits} of the {had} bits of a sample"] if had > bits else []
