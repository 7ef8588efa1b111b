"""Frame headers of FLAC files (RFC 9639, section 9.1), which reveal wrong file headers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_LONGEST_HEADER = 16
_BLOCK_SIZES = {1: 192, **{code: 576 << code - 2 for code in range(2, 6)}}
_BLOCK_SIZES |= {code: 256 << code - 8 for code in range(8, 16)}
# Codes of block sizes and sampling rates that are stored behind the number of the frame.
_STORED_SIZES = {6: 1, 7: 2}
_STORED_RATES = {12: (1, 1000), 13: (2, 1), 14: (2, 10)}
_RATES = dict(
    enumerate((88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000), 1)
)
_BITS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}


@dataclass(frozen=True)
class FlacLayout:
    """What the samples of a FLAC file look like."""

    rate: int
    channels: int
    bits: int

    def __str__(self) -> str:
        noun = "channel" if self.channels == 1 else "channels"
        return f"{self.channels} {noun} of {self.bits} bits at {self.rate} Hz"


@dataclass(frozen=True)
class StreamInfo:
    """The file header: STREAMINFO (RFC 9639, section 8.2).

    block : the size of every block but the last, where it does not vary
    frames : the number of samples of each channel, 0 if it is not known
    """

    layout: FlacLayout
    block: int
    frames: int

    @classmethod
    def from_bytes(cls, body: bytes) -> StreamInfo:
        """Read the body of the block. ValueError if it is too short."""
        if len(body) < 18:
            raise ValueError("STREAMINFO is too short")
        facts = int.from_bytes(body[10:18], "big")
        channels = (facts >> 41 & 7) + 1
        bits = (facts >> 36 & 31) + 1
        frames = facts & (1 << 36) - 1
        layout = FlacLayout(facts >> 44, channels, bits)
        return cls(layout, int.from_bytes(body[:2], "big"), frames)

    def facts(self) -> bytes:
        """The 8 bytes of STREAMINFO, from byte 10 on, that hold rate, channels, bits and frames."""
        layout = self.layout
        channels = layout.channels - 1
        bits = layout.bits - 1
        facts = layout.rate << 44 | channels << 41 | bits << 36 | self.frames
        return facts.to_bytes(8, "big")


@dataclass(frozen=True)
class FlacFrame:
    """A frame: the place of its header, what its samples look like, and which they are."""

    place: int
    layout: FlacLayout
    start: int
    size: int

    @property
    def stop(self) -> int:
        """The sample after the last one."""
        return self.start + self.size


def frames_in(data: bytes, info: StreamInfo) -> Iterator[FlacFrame]:
    """Yield every place in `data` that is a valid frame header."""
    for match in _SYNC.finditer(data):
        frame = frame_at(data, match.start(), info)
        if frame is not None:
            yield frame


def frame_at(data: bytes, place: int, info: StreamInfo) -> FlacFrame | None:
    """The frame whose header is at `place`, None if there is no valid one."""
    head = data[place : place + _LONGEST_HEADER]
    if len(head) < 6 or not _SYNC.match(head) or head[3] & 1:
        return None
    number, place_of_size = _coded_number(head)
    size, place_of_rate = _block_size(head, place_of_size)
    rate, end = _sampling_rate(head, place_of_rate, info)
    channels = _channels(head[3] >> 4)
    if 0 in (place_of_size, size, channels) or end >= len(head):
        return None
    if _crc8(head[:end]) != head[end]:
        return None
    bits_code = head[3] >> 1 & 7
    bits = _BITS.get(bits_code, info.layout.bits)
    varies = bool(head[1] & 1)
    start = number if varies else number * info.block
    return FlacFrame(place, FlacLayout(rate, channels, bits), start, size)


def _block_size(head: bytes, place: int) -> tuple[int, int]:
    """The number of samples in a block, which may be stored at `place`, and the place after it."""
    code = head[2] >> 4
    after = place + _STORED_SIZES.get(code, 0)
    if after > place:
        return int.from_bytes(head[place:after], "big") + 1, after
    return _BLOCK_SIZES.get(code, 0), after


def _sampling_rate(head: bytes, place: int, info: StreamInfo) -> tuple[int, int]:
    """The sampling rate, which may be stored at `place`, and the place after it."""
    code = head[2] & 15
    count, unit = _STORED_RATES.get(code, (0, 1))
    if count:
        after = place + count
        stored = int.from_bytes(head[place:after], "big")
        return stored * unit, after
    return _RATES.get(code, info.layout.rate), place


def _channels(code: int) -> int:
    """The number of channels; 0 for a code that is not in use. Codes from 8 on are joint stereo."""
    if code < 8:
        return code + 1
    return 2 if code <= 10 else 0


def _coded_number(head: bytes) -> tuple[int, int]:
    """The number of the frame or sample, coded as UTF-8 is, and the place after it; 0 if none."""
    first = head[4]
    if first < 0x80:
        return first, 5
    length = 8 - (first ^ 0xFF).bit_length()
    rest = head[5 : 4 + length]
    if not 2 <= length <= 7 or any(byte >> 6 != 2 for byte in rest):
        return 0, 0
    number = first & (1 << 7 - length) - 1
    for byte in rest:
        number = number << 6 | byte & 63
    return number, 4 + length


def _table(polynomial: int, bits: int) -> list[int]:
    """The remainders of all bytes, by which a checksum is computed a byte at a time."""
    top, mask = 1 << bits - 1, (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value & top else 0)
        table.append(value & mask)
    return table


_CRC8 = _table(0x07, 8)
_CRC16 = _table(0x8005, 16)


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def is_whole_frame(data: bytes) -> bool:
    """Whether `data` is one frame with its checksum, which makes the remainder 0."""
    value = 0
    for byte in data:
        remainder = _CRC16[value >> 8 ^ byte]
        value = value << 8 & 0xFF00 ^ remainder
    return value == 0
