"""The loudspeakers that the channels of a sound are for, as a mask with a bit for each.

Bits: WAVE_FORMAT_EXTENSIBLE (Microsoft 2001). Layouts: CAF (Apple 2006).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from convcli.media.audio.metadata.comments import COMMENTS, join_comments, split_comments
from convcli.media.audio.metadata.container import Chunk
from convcli.signals import USUAL_MASKS

if TYPE_CHECKING:
    from collections.abc import Iterable

# The bits in their order, by the names that FFmpeg has for the loudspeakers.
_LOUDSPEAKERS = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR",
    "TBL", "TBC", "TBR",
)  # fmt: skip
# A pair of surround channels is that at the side or at the back.
_BACK_PAIR, _SIDE_PAIR = 0x30, 0x600
# RFC 9639, section 8.6.2.
_MASK_COMMENT = b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK"
# The chunk of a CAF: a tag, a mask, and a number of descriptions. A tag is the number of a layout
# and that of channels; these layouts have the order of a mask.
LAYOUT = b"chan"
_LAYOUT = struct.Struct(">III")
_IS_MASK = 1 << 16
_LAYOUT_MASKS = {
    100 << 16 | 1: 0x4,
    101 << 16 | 2: 0x3,
    108 << 16 | 4: 0x33,
    113 << 16 | 3: 0x7,
    117 << 16 | 5: 0x37,
    121 << 16 | 6: 0x3F,
    126 << 16 | 8: 0xFF,
}
_HEXADECIMAL = re.compile(rb"\s*0[xX]([0-9a-fA-F]{1,8})\s*")


def usual_mask(channels: int) -> int:
    """What three and more channels are for where a file does not say; 0 where nothing is usual."""
    return USUAL_MASKS.get(channels, 0) if channels > 2 else 0


def named_mask(names: list[str]) -> int:
    """The mask of loudspeakers by FFmpeg's names; 0 if one has no bit, or they are not in order.

    >>> hex(named_mask(["FL", "FR", "FC", "LFE", "SL", "SR"]))
    '0x60f'
    """
    if not set(names) <= set(_LOUDSPEAKERS):
        return 0
    bits = [_LOUDSPEAKERS.index(name) for name in names]
    is_ordered = bits == sorted(set(bits))
    return sum(1 << bit for bit in bits) if is_ordered else 0


def commented_mask(chunks: Iterable[Chunk]) -> int | None:
    """The mask in the comments of a FLAC, None if there is none."""
    for chunk in chunks:
        if chunk.name != COMMENTS:
            continue
        for comment in split_comments(chunk.body)[1]:
            found = _HEXADECIMAL.fullmatch(comment.partition(b"=")[2])
            if _is_mask(comment) and found is not None:
                return int(found[1], 16)
    return None


def without_mask(chunk: Chunk) -> Chunk:
    """Comments without that about loudspeakers; any other chunk as it is."""
    if chunk.name != COMMENTS:
        return chunk
    vendor, comments = split_comments(chunk.body)
    others = [comment for comment in comments if not _is_mask(comment)]
    return chunk if others == comments else Chunk(COMMENTS, join_comments(vendor, others))


def with_mask(chunks: tuple[Chunk, ...], mask: int) -> tuple[Chunk, ...]:
    """The chunks of a FLAC with a comment about loudspeakers."""
    added = b"%b=0x%X" % (_MASK_COMMENT, mask)
    comments = [chunk for chunk in chunks if chunk.name == COMMENTS]
    if not comments:
        return (*chunks, Chunk(COMMENTS, join_comments(b"", [added])))
    vendor, texts = split_comments(comments[0].body)
    longer = Chunk(COMMENTS, join_comments(vendor, [*texts, added]))
    return tuple(longer if chunk is comments[0] else chunk for chunk in chunks)


def layout_mask(chunks: Iterable[Chunk]) -> int:
    """The mask that the layout in a CAF stands for; 0 if there is none, or another order."""
    for chunk in chunks:
        if chunk.name == LAYOUT and len(chunk.body) >= _LAYOUT.size:
            tag, mask, _ = _LAYOUT.unpack_from(chunk.body)
            return int(mask) if tag == _IS_MASK else _LAYOUT_MASKS.get(tag, 0)
    return 0


def layout_of(mask: int) -> Chunk:
    """The chunk of a CAF for these loudspeakers."""
    return Chunk(LAYOUT, _LAYOUT.pack(_IS_MASK, mask, 0))


def is_usual(mask: int, channels: int) -> bool:
    """Whether channels are for what they are for without a mask, at the side or at the back."""
    masks = {mask}
    if mask & (_SIDE_PAIR | _BACK_PAIR) == _SIDE_PAIR:
        masks.add(mask ^ _SIDE_PAIR ^ _BACK_PAIR)
    return USUAL_MASKS.get(channels) in masks


def _is_mask(comment: bytes) -> bool:
    return comment.partition(b"=")[0].upper() == _MASK_COMMENT
