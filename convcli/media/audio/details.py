"""What is known of a sound file."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.media.audio.bitrate import BitRate
    from convcli.media.audio.metadata.container import Chunk


@dataclass(frozen=True, kw_only=True)
class AudioDetails:
    """What a sound file says of itself, which its output keeps where nothing else is asked.

    format, subtype, endian : libsndfile's names (`WAV`, `PCM_24`, `FILE`)
    frames : None where a pipe has not said; of a truncated file the frames that are there
    bits : precision of one sample
    mask : speaker positions (WAV)
    kind_end : as in `WavHeader`, of an extensible WAV; None of other formats
    tags : the common ones, by libsndfile's names
    chunks : all metadata, byte for byte
    bit_rate : of a lossy coding, if it is known
    """

    format: str
    subtype: str
    rate: int
    channels: int
    frames: int | None
    bits: int
    endian: str = "FILE"
    mask: int = 0
    kind_end: bytes | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[Chunk, ...] = ()
    bit_rate: BitRate | None = None
