"""Kinds of TIFF that libvips does not read: other numbers of bits, and CIELAB of 8 bits.

libvips fails on them with the words that it also has for damaged files. Tags after TIFF 6.0,
sections 8 and 23.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from convcli.media.images.tiff import tiff_pages

if TYPE_CHECKING:
    from convcli.media.images.tiff import TiffPage

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_READ_BITS = (1, 2, 4, 8, 16, 32)
_FLOATING, _CIELAB = 3, 8
# Directories that are looked at.
_MOST_PAGES = 1000


def unread_tiff(file: BinaryIO) -> tuple[str, str] | None:
    """What kind of picture a TIFF holds that is not read, and what to do; None if all are read."""
    for directory in tiff_pages(file, _MOST_PAGES):
        found = _unread_page(file, directory)
        if found is not None:
            return found
    return None


def _unread_page(file: BinaryIO, directory: TiffPage) -> tuple[str, str] | None:
    fields = directory.fields(file, (_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT))
    values = {tag: field.value for tag, field in fields.items()}
    bits = values.get(_BITS, 1)
    if values.get(_PHOTOMETRIC) == _CIELAB and bits == 8:
        return "colours in CIELAB of 8 bits", "convert it to RGB, or to CIELAB of 16 bits, first"
    if bits in _READ_BITS:
        return None
    kind = f"{bits}-bit floating" if values.get(_SAMPLE_FORMAT) == _FLOATING else f"{bits}-bit"
    enough = 16 if bits < 16 else 32
    return f"{kind} samples", f"store it with {enough}-bit samples first"
