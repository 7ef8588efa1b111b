"""What a picture file says besides its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# A field as libvips keeps it: name, number of its GLib type, value.
VipsField = tuple[str, int, Any]


@dataclass(frozen=True, kw_only=True)
class ImageDetails:
    """What a picture file says besides its pixels.

    format : its name (`png`, `jpeg`, `tiff`, ...)
    loader : the operation of libvips that reads it, or `netpbm`
    pages : number of pictures in the file
    bits : per stored sample
    interpretation : meaning of the samples in the words of libvips
    palette : whether the file stores indices into a list of colours
    resolution : pixels per millimetre, across and down
    delays, loop : of an animation, in milliseconds and repetitions
    icc, exif, xmp, iptc : metadata blocks as stored; EXIF with its orientation already applied
    text : pairs of keyword and text
    chunks : ancillary chunks of a PNG, pairs of type and body
    fields : metadata that libvips read and can write
    quality : of a JPEG, 1..100
    lossless : whether a WebP is
    compression : of a TIFF, the value of its tag 259
    orientation : EXIF orientation of the file, 1..8; the pixels are handed out upright
    """

    format: str
    loader: str
    pages: int
    bits: int
    interpretation: str
    palette: bool = False
    resolution: tuple[float, float] | None = None
    delays: tuple[int, ...] = ()
    loop: int | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    fields: tuple[VipsField, ...] = ()
    quality: int | None = None
    lossless: bool | None = None
    compression: int | None = None
    orientation: int = 1

    @property
    def has_chunk_text(self) -> bool:
        """Whether the text comes from chunks of a PNG, which other formats have no place for."""
        return bool(self.chunks and self.text)

    @property
    def has_metadata_blocks(self) -> bool:
        """Whether there is a colour profile, EXIF or XMP."""
        return bool(self.icc or self.exif or self.xmp)

    def has_chunk(self, kind: bytes) -> bool:
        """Whether a PNG has a chunk of this type, if it is one that describes pictures."""
        return any(known == kind for known, _ in self.chunks)

    def field(self, name: str) -> Any:
        """The value of a field of libvips, or None."""
        return next((value for known, _, value in self.fields if known == name), None)

    def facts(self) -> dict[str, object]:
        """Facts for a report: numbers and names, and the sizes of the metadata blocks."""
        found: dict[str, object] = {
            "format": self.format,
            "bits": self.bits,
            "interpretation": self.interpretation,
            "pages": self.pages,
        }
        optional = {
            "palette": self.palette,
            "resolution_per_mm": list(self.resolution or ()),
            "orientation_applied": self.orientation if self.orientation > 1 else None,
            "icc_bytes": len(self.icc or b""),
            "exif_bytes": len(self.exif or b""),
            "xmp_bytes": len(self.xmp or b""),
            "iptc_bytes": len(self.iptc or b""),
            "text": dict(self.text),
            "delays_ms": list(self.delays),
            "jpeg_quality": self.quality,
            "lossless": self.lossless,
        }
        found.update({name: value for name, value in optional.items() if value})
        return found
