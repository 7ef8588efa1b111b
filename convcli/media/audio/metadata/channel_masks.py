"""How files other than WAV say which speakers their channels are for, as masks of `speakers.py`.

FLAC has a comment (RFC 9639, section 8.6.2), CAF a channel layout (Apple 2006). In Vorbis and Opus,
and in a FLAC without that comment, the number of channels says it.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from convcli.media.audio.metadata.comments import COMMENTS, join_comments, split_comments
from convcli.media.audio.metadata.container import Chunk
from convcli.speakers import usual_mask

if TYPE_CHECKING:
    from collections.abc import Iterable

_MASK_COMMENT = b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK"
# The chunk of a CAF: a tag, a mask, and a number of descriptions. The upper 16 bits of a tag are
# the number of a layout, the lower ones that of its channels. These layouts have the order of a
# mask.
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


def implied_mask(channels: int) -> int:
    """The mask that a number of channels implies in FLAC and Ogg; 0 for mono and stereo."""
    return usual_mask(channels) if channels > 2 else 0


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
    """Comments without that about speakers; any other chunk as it is."""
    if chunk.name != COMMENTS:
        return chunk
    vendor, comments = split_comments(chunk.body)
    others = [comment for comment in comments if not _is_mask(comment)]
    return chunk if others == comments else Chunk(COMMENTS, join_comments(vendor, others))


def with_mask(chunks: tuple[Chunk, ...], mask: int) -> tuple[Chunk, ...]:
    """The chunks of a FLAC with a comment about speakers."""
    added = b"%b=0x%X" % (_MASK_COMMENT, mask)
    comments = [chunk for chunk in chunks if chunk.name == COMMENTS]
    if not comments:
        body = join_comments(b"", [added])
        return (*chunks, Chunk(COMMENTS, body))
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
    """The chunk of a CAF for these speakers."""
    return Chunk(LAYOUT, _LAYOUT.pack(_IS_MASK, mask, 0))


def _is_mask(comment: bytes) -> bool:
    return comment.partition(b"=")[0].upper() == _MASK_COMMENT
