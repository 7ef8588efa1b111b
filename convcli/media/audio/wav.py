"""The bytes of a WAV file: header in, header out, samples packed and unpacked. Nothing here seeks.

Layouts: RIFF/WAVE (Microsoft, IBM 1991), WAVE_FORMAT_EXTENSIBLE (Microsoft 2001), RF64 (EBU Tech 3306).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convcli.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt


class Readable(Protocol):
    """Where bytes are read from: a file or a pipe."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        ...


# Bytes of one sample, for the codings that need no codec.
WIDTHS = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_PCM = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_FLOAT = {4: "FLOAT", 8: "DOUBLE"}
_TAG_PCM, _TAG_FLOAT, _TAG_EXTENSIBLE = 1, 3, 0xFFFE
# The last 14 bytes of KSDATAFORMAT_SUBTYPE_PCM and its sisters; the first two are the format tag.
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")

UNKNOWN = 0xFFFFFFFF
# Metadata beyond this is a damaged header, not a picture.
_LONGEST_CHUNK = 1 << 28
# A size beyond this is no size.
_LONGEST_DATA = 1 << 48
# Chunks that belong to the samples of the old file, or are only room to write in.
_NOT_METADATA = frozenset(
    {b"fmt ", b"fact", b"data", b"ds64", b"PEAK", b"levl", b"JUNK", b"junk", b"PAD ", b"FLLR"}
)
_DS64_BYTES = 28


@dataclass(frozen=True)
class Chunk:
    """A named piece of metadata as it stands in the file."""

    name: bytes
    body: bytes


@dataclass(frozen=True, kw_only=True)
class WavHeader:
    """What stands before (and, in a file, after) the samples.

    format : WAV, WAVEX (extensible) or RF64 · subtype : None where a codec is needed · mask : speaker positions
    data_bytes : None where the writer did not know · chunks : metadata, byte for byte
    """

    format: str
    subtype: str | None
    rate: int
    channels: int
    mask: int = 0
    data_bytes: int | None = None
    chunks: tuple[Chunk, ...] = ()

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return WIDTHS[self.subtype or "PCM_U8"] * self.channels


def is_wav(prefix: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is a little-endian WAV."""
    return prefix[:4] in (b"RIFF", b"RF64", b"BW64") and prefix[8:12] == b"WAVE"


def read_header(stream: Readable, *, name: str) -> WavHeader:
    """Read from the start of a WAV up to its first sample. InputError says what is wrong."""
    prefix = stream.read(12)
    if not is_wav(prefix):
        raise InputError(f"{name}: not a WAV file")
    header: WavHeader | None = None
    long_size: int | None = None
    chunks: list[Chunk] = []
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise InputError(
                f"{name}: the WAV header ends before the samples",
                hint="the file is cut off or damaged",
            )
        tag, size = head[:4], int.from_bytes(head[4:], "little")
        if tag == b"data":
            break
        body = _chunk_body(stream, tag, size, name)
        if tag == b"fmt ":
            header = _read_format(body, name)
        elif tag == b"ds64" and len(body) >= 16:
            long_size = int.from_bytes(body[8:16], "little")
        elif tag not in _NOT_METADATA:
            chunks.append(Chunk(tag, body))
    if header is None:
        raise InputError(f"{name}: the WAV header has no 'fmt ' chunk before the samples")
    if prefix[:4] != b"RIFF":
        header = replace(header, format="RF64")
    return replace(header, data_bytes=_data_bytes(size, long_size), chunks=tuple(chunks))


def read_trailing(stream: Readable) -> tuple[Chunk, ...]:
    """The metadata after the samples, as far as it is whole."""
    chunks = []
    while len(head := stream.read(8)) == 8:
        size = int.from_bytes(head[4:], "little")
        if size > _LONGEST_CHUNK or not is_chunk_name(head[:4]):
            break
        body = stream.read(size)
        if len(body) < size:
            break
        stream.read(size & 1)
        if head[:4] not in _NOT_METADATA:
            chunks.append(Chunk(head[:4], body))
    return tuple(chunks)


def is_chunk_name(name: bytes) -> bool:
    """Whether four bytes look like the name of a chunk."""
    return len(name) == 4 and all(32 <= letter < 127 for letter in name) and name[:1] != b" "


def _chunk_body(stream: Readable, tag: bytes, size: int, name: str) -> bytes:
    if size > _LONGEST_CHUNK or not is_chunk_name(tag):
        raise InputError(f"{name}: the WAV header is damaged at chunk {tag!r} of {size} bytes")
    body = stream.read(size)
    stream.read(size & 1)
    return body


def _data_bytes(size: int, long_size: int | None) -> int | None:
    """The length of the samples, or None for what writers put there when they cannot seek back."""
    if size == UNKNOWN and long_size is not None:
        return long_size if 0 < long_size < _LONGEST_DATA else None
    if size >= 0xFFFFFF00 or 0x7FFF0000 <= size <= 0x80000000:
        return None
    return size


def _read_format(body: bytes, name: str) -> WavHeader:
    if len(body) < 16:
        raise InputError(
            f"{name}: the WAV header has a 'fmt ' chunk of {len(body)} bytes, expected 16 or more"
        )
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", body)
    mask, form = 0, "WAV"
    if tag == _TAG_EXTENSIBLE and len(body) >= 26:
        mask, tag = struct.unpack_from("<IH", body, 20)
        form = "WAVEX"
    if channels == 0 or rate == 0:
        raise InputError(
            f"{name}: the WAV header says {channels} channels at {rate} Hz, expected at least 1 of each"
        )
    subtype = None
    if align % channels == 0 and tag in (_TAG_PCM, _TAG_FLOAT) and bits:
        subtype = (_PCM if tag == _TAG_PCM else _FLOAT).get(align // channels)
    return WavHeader(format=form, subtype=subtype, rate=rate, channels=channels, mask=mask)


def write_header(header: WavHeader, *, data_bytes: int | None, room: int = 0) -> bytes:
    """The bytes before the first sample. `header.chunks` are written as they are.

    data_bytes : None writes the sizes that say "until the end" · room : 1 leaves space to become RF64 later
    """
    body = _format_chunk(header)
    if header.subtype in _FLOAT.values():
        frames = UNKNOWN if data_bytes is None else min(data_bytes // header.frame_bytes, UNKNOWN)
        body += b"fact" + struct.pack("<II", 4, frames)
    for chunk in header.chunks:
        body += (
            chunk.name
            + struct.pack("<I", len(chunk.body))
            + chunk.body
            + b"\0" * (len(chunk.body) & 1)
        )
    size = None if data_bytes is None else data_bytes + (data_bytes & 1)
    long = header.format == "RF64" or (size is not None and size + len(body) + 64 > UNKNOWN)
    if long:
        body = _ds64(header, data_bytes, len(body)) + body
    elif room:
        body = b"JUNK" + struct.pack("<I", _DS64_BYTES) + bytes(_DS64_BYTES) + body
    unknown = long or size is None or data_bytes is None
    riff = UNKNOWN if unknown or size is None else 4 + len(body) + 8 + size
    samples = UNKNOWN if unknown or data_bytes is None else data_bytes
    return (
        (b"RF64" if long else b"RIFF")
        + struct.pack("<I", riff)
        + b"WAVE"
        + body
        + b"data"
        + _u32(samples)
    )


def _u32(value: int) -> bytes:
    return struct.pack("<I", value)


def _ds64(header: WavHeader, data_bytes: int | None, rest: int) -> bytes:
    known = data_bytes or 0
    riff = 4 + 8 + _DS64_BYTES + rest + 8 + known + (known & 1) if data_bytes is not None else 0
    return b"ds64" + struct.pack("<IQQQI", _DS64_BYTES, riff, known, known // header.frame_bytes, 0)


def _format_chunk(header: WavHeader) -> bytes:
    subtype = header.subtype or "PCM_16"
    bits, align = 8 * WIDTHS[subtype], header.frame_bytes
    tag = _TAG_FLOAT if subtype in _FLOAT.values() else _TAG_PCM
    extensible = header.format == "WAVEX" or header.mask != 0
    shown = _TAG_EXTENSIBLE if extensible else tag
    rate = header.rate
    body = struct.pack(
        "<HHIIHH", shown, header.channels, rate, min(rate * align, UNKNOWN), align, bits
    )
    if extensible:
        body += struct.pack("<HHIH", 22, bits, header.mask, tag) + _SUBFORMAT
    elif tag == _TAG_FLOAT:
        body += b"\0\0"
    return b"fmt " + struct.pack("<I", len(body)) + body


def unpack(raw: bytes | memoryview, header: WavHeader) -> npt.NDArray[Any]:
    """Bytes to (n, channels) samples: int16 or int32 whose range is -1..1 (`samples.py`), or float64.

    >>> unpack(bytes([0, 64]), WavHeader(format="WAV", subtype="PCM_16", rate=8000, channels=1))
    array([[16384]], dtype=int16)
    """
    x: npt.NDArray[Any]
    if header.subtype == "PCM_24":
        narrow, wide = (
            np.frombuffer(raw, np.uint8).reshape(-1, 3),
            np.zeros((len(raw) // 3, 4), np.uint8),
        )
        for byte in range(3):  # a column at a time: three times as fast as all at once
            wide[:, byte + 1] = narrow[:, byte]
        x = wide.reshape(-1).view("<i4")
    elif header.subtype == "PCM_U8":
        x = np.subtract(np.frombuffer(raw, np.uint8), 128, dtype=np.int16) << 8
    elif header.subtype in ("PCM_16", "PCM_32"):
        x = np.frombuffer(raw, f"<i{WIDTHS[header.subtype]}")
    else:
        x = np.frombuffer(raw, f"<f{header.frame_bytes // header.channels}").astype(np.float64)
    return x.reshape(-1, header.channels)


def pack(samples: npt.NDArray[Any], subtype: str) -> bytes | memoryview:
    """Whole numbers in units of the last bit (or floats) to the bytes of a WAV. Any shape; C order."""
    if subtype == "PCM_U8":
        return (samples + 128).astype(np.uint8).tobytes()
    if subtype == "PCM_24":
        wide = np.ascontiguousarray(samples, "<i4").reshape(-1, 1).view(np.uint8)
        narrow = np.empty((len(wide), 3), np.uint8)
        for byte in range(3):
            narrow[:, byte] = wide[:, byte]
        return narrow.tobytes()
    kind = "f" if subtype in _FLOAT.values() else "i"
    stored = np.ascontiguousarray(samples, f"<{kind}{WIDTHS[subtype]}")
    return stored.reshape(-1).view(np.uint8).data
