"""ICC profiles: whether one is complete, and whether it is that of sRGB."""

from __future__ import annotations

import struct

_PROFILE_HEADER_BYTES, _TAG_BYTES = 128, 12
_SIGNATURE_PLACE, _SIGNATURE = 36, b"acsp"
_MOST_TAGS = 1000


def is_intact_profile(profile: bytes) -> bool:
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
