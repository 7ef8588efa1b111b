"""What is known of a picture besides its pixels, and the formats that pictures are written in."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convcli.errors import RequestError, nearest

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format that can be written.

    kinds : the NumPy type codes it stores, the first being what other types become
    most : how many channels at most; alpha : whether one of them may be the opacity
    cmyk : whether colours may be inks; pages : whether a file holds several pictures
    """

    name: str
    suffixes: tuple[str, ...]
    kinds: tuple[str, ...]
    most: int = 4
    alpha: bool = True
    cmyk: bool = False
    pages: bool = False


_ANY = ("u2", "u1", "i1", "i2", "u4", "i4", "f4", "f8")
FORMATS = {
    each.name: each
    for each in (
        Format(name="png", suffixes=(".png",), kinds=("u2", "u1")),
        Format(
            name="jpeg",
            suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
            kinds=("u1",),
            alpha=False,
            cmyk=True,
        ),
        Format(
            name="tiff", suffixes=(".tif", ".tiff"), kinds=_ANY, most=10_000, cmyk=True, pages=True
        ),
        Format(name="webp", suffixes=(".webp",), kinds=("u1",), pages=True),
        Format(name="gif", suffixes=(".gif",), kinds=("u1",), pages=True),
        Format(name="avif", suffixes=(".avif",), kinds=("u1",), pages=True),
        Format(
            name="ppm",
            suffixes=(".ppm", ".pgm", ".pnm"),
            kinds=("u2", "u1"),
            alpha=False,
            pages=True,
        ),
        Format(name="pam", suffixes=(".pam",), kinds=("u2", "u1"), pages=True),
        Format(name="vips", suffixes=(".v", ".vips"), kinds=_ANY, most=10_000, cmyk=True),
    )
}
_ALIASES = {"jpg": "jpeg", "tif": "tiff", "pgm": "ppm", "pnm": "ppm", "v": "vips"}
_SUFFIXES = {suffix: each.name for each in FORMATS.values() for suffix in each.suffixes}


def format_of(path: Path) -> str | None:
    """The name of the format that the suffix of `path` stands for, or None."""
    return _SUFFIXES.get(path.suffix.lower())


def find_format(name: str) -> Format:
    """The format called `name` (`png`, `jpg`, `.tif`); RequestError lists the known ones."""
    wanted = name.lower().lstrip(".")
    wanted = _ALIASES.get(wanted, wanted)
    if wanted in FORMATS:
        return FORMATS[wanted]
    near = nearest(wanted, [*FORMATS, *_ALIASES])
    hint = f"did you mean {near}?" if near else "the formats are " + ", ".join(FORMATS)
    raise RequestError(f"pictures are not written in the format {name!r}", hint=hint)


@dataclass(frozen=True, kw_only=True)
class ImageDetails:
    """What is known of a picture file besides its pixels.

    format : its name (`png`, `jpeg`, `tiff`, ...); loader : who reads it; pages : how many pictures it holds
    bits : per stored sample; palette : whether the file stored indices into a list of colours
    resolution : pixels per millimetre, across and down; delays, loop : of an animation, in ms
    icc, exif, xmp, iptc : the blocks as stored, EXIF with its orientation already applied
    text : pairs of keyword and text; chunks : PNG's own ancillary chunks, type and body
    fields : what libvips knows, (name, type number, value); quality : of a JPEG, 1..100; lossless : of a WebP
    compression : of a TIFF, as its tag 259 has it
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
    fields: tuple[tuple[str, int, Any], ...] = ()
    quality: int | None = None
    lossless: bool | None = None
    compression: int | None = None
    orientation: int = 1

    def facts(self) -> dict[str, object]:
        """What a report says of the file: numbers and names, sizes in place of the blocks."""
        found: dict[str, object] = {
            "format": self.format,
            "bits": self.bits,
            "interpretation": self.interpretation,
            "pages": self.pages,
        }
        optional = {
            "palette": self.palette,
            "resolution_per_mm": list(self.resolution) if self.resolution else None,
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


def jpeg_quality(head: bytes) -> int | None:
    """The quality 1..100 whose luminance table is nearest to the first quantisation table of a JPEG, or None.

    The Independent JPEG Group scales the table K.1 of ITU-T T.81 by 5000/Q % below 50 and 200 - 2Q % from there
    on; the sum of the scaled table falls with Q, and so names it.
    """
    place = 2
    while head[:2] == b"\xff\xd8" and place + 4 <= len(head) and head[place] == 0xFF:
        kind, length = struct.unpack_from(">xBH", head, place)
        if kind == 0xDB and place + 5 + 64 <= len(head) and head[place + 4] == 0:
            total = sum(head[place + 5 : place + 5 + 64])
            return min(range(100, 0, -1), key=lambda quality: abs(_scaled_sum(quality) - total))
        place += 2 + length
    return None


_K1 = (
    *(
        16,
        11,
        10,
        16,
        24,
        40,
        51,
        61,
        12,
        12,
        14,
        19,
        26,
        58,
        60,
        55,
        14,
        13,
        16,
        24,
        40,
        57,
        69,
        56,
    ),
    *(
        14,
        17,
        22,
        29,
        51,
        87,
        80,
        62,
        18,
        22,
        37,
        56,
        68,
        109,
        103,
        77,
        24,
        35,
        55,
        64,
        81,
        104,
        113,
        92,
    ),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)


def _scaled_sum(quality: int) -> int:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(255, max(1, (entry * scale + 50) // 100)) for entry in _K1)
