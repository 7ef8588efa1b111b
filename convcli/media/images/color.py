"""Light and luma, by the curve of sRGB and the weights of BT.709; and colour profiles."""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from convcli.signals import LUMA, LUMA_SUM

if TYPE_CHECKING:
    from convcli.array_types import AnyArray
    from convcli.signals import Array


_PROFILE_HEADER_BYTES, _TAG_BYTES = 128, 12
_SIGNATURE_PLACE, _SIGNATURE = 36, b"acsp"
_MOST_TAGS = 1000


def to_light(values: Array) -> Array:
    """Linear light 0..1 from sRGB values 0..1 (IEC 61966-2-1, section 5.2).

    The curve is odd about 0, so that values outside the range are kept.

    >>> to_light(np.array([0.0, 0.5, 1.0])).round(4).tolist()
    [0.0, 0.214, 1.0]
    """
    size = np.abs(values)
    curved = ((size + 0.055) / 1.055) ** 2.4
    light = np.where(size <= 0.04045, size / 12.92, curved)
    return np.copysign(light, values)


def from_light(light: Array) -> Array:
    """Convert linear light to sRGB values: the inverse of `to_light`.

    >>> from_light(np.array([0.0, 0.214041, 1.0])).round(4).tolist()
    [0.0, 0.5, 1.0]
    """
    size = np.abs(light)
    curved = 1.055 * size ** (1 / 2.4) - 0.055
    values = np.where(size <= 0.0031308, size * 12.92, curved)
    return np.copysign(values, light)


@cache
def light_table(full: int) -> Array:
    """The linear light 0..full of every stored value 0..full."""
    values = np.arange(full + 1) / full
    light = to_light(values)
    table: Array = light * full
    table.flags.writeable = False
    return table


def luma(colours: AnyArray) -> Array:
    """Y of (rows, columns, 3) colours, as (rows, columns, 1).

    Element by element, so that strips do not matter.
    """
    red, green, blue = (colours.dtype.type(part / LUMA_SUM) for part in LUMA)
    y: Array = colours[..., 0:1] * red
    y += colours[..., 1:2] * green
    y += colours[..., 2:3] * blue
    return y


def is_sound_profile(profile: bytes) -> bool:
    """Whether a profile has its signature, its whole length, and tags of known form within it.

    Layout after ICC.1:2022, section 7.
    """
    if len(profile) < _PROFILE_HEADER_BYTES + 4 or profile[_SIGNATURE_PLACE:][:4] != _SIGNATURE:
        return False
    (size,) = struct.unpack_from(">I", profile)
    (tags,) = struct.unpack_from(">I", profile, _PROFILE_HEADER_BYTES)
    end_of_tags = _PROFILE_HEADER_BYTES + 4 + _TAG_BYTES * tags
    if size > len(profile) or tags > _MOST_TAGS or end_of_tags > size:
        return False
    for index in range(tags):
        place = _PROFILE_HEADER_BYTES + 4 + _TAG_BYTES * index
        offset, length = struct.unpack_from(">4xII", profile, place)
        kind = profile[offset : offset + 4]
        is_inside = end_of_tags <= offset and offset + length <= size
        if not is_inside or len(kind) < 4 or not all(0x20 <= byte < 0x7F for byte in kind):
            return False
    return True


def is_srgb_profile(profile: bytes) -> bool:
    """Whether an ICC profile calls itself sRGB, in its description or its header."""
    return b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile
