"""VOC files (Creative Voice File): their blocks, where libsndfile misreads them.

A block has a type of one byte, a size of three and a body. Types 1 and 9 begin a sound, type 2
continues it, type 3 is silence, and type 0, which is a byte alone, ends the file. Others are text,
markers and loops.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_BLOCK = 20  # the place of its offset
_END, _PLAIN, _MORE, _SILENCE, _EXTENSIBLE = 0, 1, 2, 3, 9
_TEXT = 5
# Markers, text, and the beginning and the end of a loop.
_DESCRIBING = frozenset({4, _TEXT, 6, 7})
_SIZE_BYTES = 3
_MOST_BLOCKS = 10_000
_OF_SOUND = frozenset({_PLAIN, _MORE, _SILENCE, _EXTENSIBLE})
# Where the coding stands in the body of a block, and the codings of 8 bits.
_CODING_PLACES = {_PLAIN: 1, _EXTENSIBLE: 6}
_EIGHT_BITS, _ALAW, _ULAW = 0, 6, 7


@dataclass(frozen=True)
class VocBlock:
    """A block.

    kind : its type · start, stop : offsets of its body · coding : of its samples
    """

    kind: int
    start: int
    stop: int
    coding: int

    @property
    def is_sound(self) -> bool:
        """Whether the block holds samples or silence."""
        return self.kind in _OF_SOUND

    @property
    def is_read(self) -> bool:
        """Whether libsndfile knows the coding; a block of type 1 it takes for plain 8 bits."""
        return self.kind != _PLAIN or self.coding == _EIGHT_BITS

    @property
    def is_companded(self) -> bool:
        """Whether the samples are stored by mu-law or A-law."""
        return self.kind == _EXTENSIBLE and self.coding in (_ALAW, _ULAW)


def voc_blocks(file: BinaryIO) -> Iterator[VocBlock]:
    """The blocks of a VOC up to its end, or to where it is cut off."""
    file.seek(_FIRST_BLOCK)
    place = int.from_bytes(file.read(2), "little")
    for _ in range(_MOST_BLOCKS):
        file.seek(place)
        head = file.read(4)
        if len(head) < 4 or head[0] == _END:
            return
        kind, start = head[0], place + 4
        place = start + int.from_bytes(head[1:], "little")
        body = file.read(8)
        coding_place = _CODING_PLACES.get(kind, 0)
        coding = int.from_bytes(body[coding_place : coding_place + 1], "little")
        yield VocBlock(kind, start, place, coding)


def sound_block(file: BinaryIO) -> VocBlock | None:
    """The first block with sound, None if there is none."""
    return next((block for block in voc_blocks(file) if block.is_sound), None)


def unread_voc(file: BinaryIO) -> str | None:
    """What kind of VOC it is if libsndfile would read noise or nothing, else None."""
    everything = list(voc_blocks(file))
    blocks = [block for block in everything if block.is_sound]
    if len(blocks) > 1:
        return f"a VOC of {len(blocks)} blocks of sound"
    if everything and everything[0].kind in _DESCRIBING - {_TEXT}:
        return "a VOC that begins with a marker or a loop"
    if any(not block.is_read for block in blocks):
        return "a VOC with the ADPCM of Creative"
    return None


def others_in_voc(file: BinaryIO) -> int:
    """The number of blocks that hold no sound, but text, markers and loops."""
    blocks = [block for block in voc_blocks(file) if block.kind in _DESCRIBING]
    return len(blocks)


def true_voc_size(file: BinaryIO) -> tuple[int, bytes] | None:
    """Place and value of the size of a block that counts the byte after its samples, else None.

    libsndfile writes such a size where samples of one channel are companded.
    """
    block = sound_block(file)
    if block is None or not block.is_companded:
        return None
    length = file.seek(0, os.SEEK_END)
    file.seek(length - 1)
    if block.stop != length or file.read(1) != bytes([_END]):
        return None
    size = block.stop - 1 - block.start
    return block.start - _SIZE_BYTES, size.to_bytes(_SIZE_BYTES, "little")
