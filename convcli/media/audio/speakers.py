"""The speakers of a sound: the channel mask of an extensible WAV.

Microsoft, WAVEFORMATEXTENSIBLE: bit 0 of the mask is the front left speaker, bit 1 the front right,
bit 2 the front centre, and so on; channels come in the order of their bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convcli.signals import Signal

FRONT_LEFT, FRONT_RIGHT, FRONT_CENTRE = 1, 2, 4


def speakers_of(mask: int, channels: int) -> tuple[int, ...]:
    """The bit of each channel; empty if the mask has another number of speakers.

    >>> speakers_of(0x33, 4)
    (1, 2, 16, 32)
    """
    bits = tuple(1 << place for place in range(mask.bit_length()) if mask >> place & 1)
    return bits if len(bits) == channels else ()


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
    return FRONT_LEFT | FRONT_RIGHT if count == 2 else 0
