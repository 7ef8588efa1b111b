"""The speakers that the channels of a sound are for.

A mask has a bit for each speaker, as in the header of an extensible WAV (Microsoft,
WAVEFORMATEXTENSIBLE, 2001). The channels of a file come in the order of their bits. A mask of 0
means that the speakers are not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convcli.signals import Signal

# The speakers in the order of their bits, by the names of FFmpeg: front left, front right, front
# centre, low frequencies, back left, and so on.
SPEAKERS = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR",
    "TBL", "TBC", "TBR",
)  # fmt: skip
FRONT_PAIR, FRONT_CENTRE, LOW_FREQUENCIES = 0x3, 0x4, 0x8
BACK_PAIR, SIDE_PAIR = 0x30, 0x600
# The mask of 1 to 8 channels where a file does not say: that of FLAC (RFC 9639, section 9.1.3),
# Vorbis and Opus.
_USUAL_MASKS = {1: 0x4, 2: 0x3, 3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
# Byte 18 of the first packet of Opus says what the channels are: of speakers in the families 0 and
# 1, ambisonic or without a meaning in others (RFC 7845, section 5.1.1).
OPUS_HEAD = b"OpusHead"
_OPUS_FAMILY, _FAMILIES_OF_SPEAKERS = 18, (0, 1)


def usual_mask(channels: int) -> int:
    """The usual mask of a number of channels, for files that have none; 0 if none is usual."""
    return _USUAL_MASKS.get(channels, 0)


def speakers_of(mask: int, channels: int) -> tuple[int, ...]:
    """The bit of each channel; empty if the mask has another number of speakers.

    >>> speakers_of(0x33, 4)
    (1, 2, 16, 32)
    """
    bits = [1 << place for place in range(mask.bit_length())]
    speakers = tuple(bit for bit in bits if mask & bit)
    return speakers if len(speakers) == channels else ()


def named_mask(names: list[str]) -> int:
    """The mask of speakers by FFmpeg's names; 0 if one has no bit, or they are not in order.

    >>> hex(named_mask(["FL", "FR", "FC", "LFE", "SL", "SR"]))
    '0x60f'
    """
    if not set(names) <= set(SPEAKERS):
        return 0
    bits = [SPEAKERS.index(name) for name in names]
    is_ordered = bits == sorted(set(bits))
    return sum(1 << bit for bit in bits) if is_ordered else 0


def mask_of(result: Signal, mask: int, channels: int) -> int:
    """The mask of a result, 0 if its speakers are not known or the input has no mask.

    One channel is mono, which comes from the centre (as SoX and FFmpeg write it). Several picked
    channels keep their speakers. Two that were mixed are left and right.

    mask, channels : of the input
    """
    count = len(result.channels)
    if mask == 0 or count == channels:
        return mask
    if count == 1:
        return FRONT_CENTRE
    speakers = result.speakers
    # In a file, channels come in the order of their bits.
    if len(speakers) == count and list(speakers) == sorted(set(speakers)):
        return sum(speakers)
    return FRONT_PAIR if count == 2 else 0


def is_usual(mask: int, channels: int) -> bool:
    """Whether a mask is the usual one, save that the surround pair may be at the side."""
    masks = {mask}
    if mask & (SIDE_PAIR | BACK_PAIR) == SIDE_PAIR:
        masks.add(mask ^ SIDE_PAIR ^ BACK_PAIR)
    return usual_mask(channels) in masks


def channels_are_speakers(ogg_start: bytes) -> bool:
    """Whether an Ogg file has a channel for each speaker, by its first packet or page."""
    head = ogg_start.find(OPUS_HEAD)
    family = ogg_start[head + _OPUS_FAMILY : head + _OPUS_FAMILY + 1]
    return head < 0 or not family or family[0] in _FAMILIES_OF_SPEAKERS
