"""The bytes of a WAV file: headers read and written, samples packed and unpacked, without a seek.

Layouts: RIFF/WAVE (Microsoft, IBM 1991), WAVE_FORMAT_EXTENSIBLE (Microsoft 2001),
RF64 (EBU Tech 3306), BW64 (ITU-R BS.2088).
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.audio.metadata.container import LONGEST_CHUNK, Chunk, is_chunk_name

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.array_types import AnyArray


class Readable(Protocol):
    """Where bytes are read from: a file or a pipe."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, fewer only at the end."""


# Bytes of one sample, for the codings that need no codec.
WIDTHS = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_TAG_PCM, _TAG_FLOAT, _TAG_EXTENSIBLE = 1, 3, 0xFFFE
_SUBTYPES = {
    (_TAG_FLOAT if subtype in _FLOATS else _TAG_PCM, width): subtype
    for subtype, width in WIDTHS.items()
}
# The last 14 bytes of KSDATAFORMAT_SUBTYPE_PCM and its sisters; the first two are the format tag.
SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")

UNKNOWN = 0xFFFFFFFF
# The first four bytes of files with sizes of 64 bits.
RF64_MARK = b"RF64"
LONG_MARKS = (RF64_MARK, b"BW64")
# A size of samples beyond this is a damaged one.
_LONGEST_DATA = 1 << 48
# Chunks that belong to the samples of the old file, or that only leave room.
NOT_METADATA = frozenset(
    {b"fmt ", b"fact", b"data", b"ds64", b"PEAK", b"levl", b"JUNK", b"junk", b"PAD ", b"FLLR"}
)
_DS64_BYTES = 28
_PLAIN_FORMAT_BYTES = 16
_SKIPPED_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class WavHeader:
    """The facts before (and, in a file, after) the samples.

    format : WAV, WAVEX (extensible) or RF64
    long_mark : the first four bytes of a file with sizes of 64 bits
    subtype : None where a codec is needed
    bits : of a whole number that are valid, the upper ones of its bytes; None if all are
    mask : speaker positions
    kind_end : the last 14 bytes of the GUID that names the kind of samples; those of ambisonic
        sound are others
    data_bytes : None where the writer did not know
    chunks : metadata, byte for byte
    codec : the format tag of a file that is read
    block_bytes : of one block of a codec, in a file that is read
    """

    format: str
    subtype: str | None
    rate: int
    channels: int
    bits: int | None = None
    mask: int = 0
    kind_end: bytes = SUBFORMAT
    long_mark: bytes = RF64_MARK
    data_bytes: int | None = None
    chunks: tuple[Chunk, ...] = ()
    codec: int = 0
    block_bytes: int = 0

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return WIDTHS[self.subtype or "PCM_U8"] * self.channels

    @property
    def stored_bits(self) -> int:
        """Bits of the bytes of one sample."""
        return 8 * WIDTHS[self.subtype or "PCM_U8"]

    @property
    def is_float(self) -> bool:
        """Whether the samples are stored as floating-point numbers."""
        return self.subtype in _FLOATS

    def format_fields(self) -> bytes:
        """What describes the samples: 16 bytes, and an extension where more is to be said."""
        tag = _TAG_FLOAT if self.is_float else _TAG_PCM
        if not self._is_extensible:
            return _format_fields(self, tag, self._valid_bits)
        plain = _format_fields(self, _TAG_EXTENSIBLE, self.stored_bits)
        extension = struct.pack("<HHIH", 22, self._valid_bits, self.mask, tag)
        return plain + extension + self.kind_end

    @property
    def _valid_bits(self) -> int:
        """Bits of a sample that are not always 0."""
        return self.bits or self.stored_bits

    @property
    def _is_extensible(self) -> bool:
        """Whether 16 bytes do not say all of the samples."""
        # Without the extension, a reader cannot know of whole bytes that are not valid.
        has_unused_bytes = self.stored_bits - self._valid_bits >= 8
        fills_extension = self.mask != 0 or self.kind_end != SUBFORMAT
        return self.format == "WAVEX" or fills_extension or has_unused_bytes

    def to_bytes(self, data_bytes: int | None, *, room: bool = False) -> bytes:
        """The bytes before the first sample.

        data_bytes : None writes the sizes that say "until the end"
        room : leave space to become RF64 later
        """
        body = _format_chunk(self)
        if self.is_float:
            body += _fact_chunk(self, data_bytes)
        body += b"".join(chunk.to_bytes("little") for chunk in self.chunks)
        # Samples of an odd number of bytes are followed by a padding byte.
        padded = None if data_bytes is None else data_bytes + (data_bytes & 1)
        is_rf64 = self.format == "RF64"
        if padded is not None:
            file_bytes = padded + len(body) + 64
            is_rf64 = is_rf64 or file_bytes > UNKNOWN
        if is_rf64:
            body = _ds64_chunk(self, data_bytes, len(body)) + body
        elif room:
            junk = Chunk(b"JUNK", bytes(_DS64_BYTES))
            body = junk.to_bytes("little") + body
        riff_size = data_size = UNKNOWN
        if data_bytes is not None and padded is not None and not is_rf64:
            data_chunk = 8 + padded
            riff_size = 4 + len(body) + data_chunk
            data_size = data_bytes
        mark = self.long_mark if is_rf64 else b"RIFF"
        start = mark + struct.pack("<I", riff_size) + b"WAVE"
        return start + body + b"data" + struct.pack("<I", data_size)

    def padding(self, data_bytes: int) -> bytes:
        """What follows the samples: a byte if they have an odd number of bytes."""
        return bytes(data_bytes & 1)


def is_wav(prefix: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is a little-endian WAV."""
    return prefix[:4] in (b"RIFF", *LONG_MARKS) and prefix[8:12] == b"WAVE"


def read_header(stream: Readable, *, name: str) -> WavHeader:
    """Read from the start of a WAV up to its first sample. InputError says what is wrong."""
    prefix = stream.read(12)
    if not is_wav(prefix):
        raise InputError(f"{name}: not a WAV file")
    header: WavHeader | None = None
    long_size: int | None = None
    chunks: list[Chunk] = []
    while True:
        tag, size = _read_chunk_head(stream, name)
        if tag == b"data":
            break
        body = _read_chunk_body(stream, tag, size, name)
        if tag == b"fmt ":
            header = read_format(body, name)
        elif tag == b"ds64" and len(body) >= 16:
            long_size = int.from_bytes(body[8:16], "little")
        elif tag not in NOT_METADATA:
            chunks.append(Chunk(tag, body))
    if header is None:
        raise InputError(f"{name}: the WAV header has no 'fmt ' chunk before the samples")
    if not prefix.startswith(b"RIFF"):
        header = replace(header, format="RF64", long_mark=prefix[:4])
    return replace(header, data_bytes=_data_bytes(size, long_size), chunks=tuple(chunks))


@dataclass(frozen=True)
class Trailing:
    """What comes after the samples: metadata, and how many bytes are in further data chunks."""

    chunks: tuple[Chunk, ...]
    data_bytes: int


def read_trailing(stream: Readable, *, padded: bool) -> Trailing:
    """Read what comes after the samples up to the first chunk that is damaged or cut off.

    padded : a byte should precede the first chunk, which some writers forget
    """
    chunks = []
    data_bytes = 0
    head = stream.read(8)
    if padded and not is_chunk_name(head[:4]):
        head = head[1:] + stream.read(1)
    while len(head) == 8:
        tag, size = head[:4], int.from_bytes(head[4:], "little")
        if not is_chunk_name(tag):
            break
        if tag == b"data":
            data_bytes += _skip(stream, size)
        elif size > LONGEST_CHUNK:
            break
        else:
            body = stream.read(size)
            if len(body) < size:
                break
            if tag not in NOT_METADATA:
                chunks.append(Chunk(tag, body))
        stream.read(size & 1)
        head = stream.read(8)
    return Trailing(tuple(chunks), data_bytes)


def _skip(stream: Readable, size: int) -> int:
    """Skip `size` bytes, or up to the end; return how many there were."""
    left = size
    while left > 0:
        piece = stream.read(min(left, _SKIPPED_AT_ONCE))
        if not piece:
            break
        left -= len(piece)
    return size - left


def _read_chunk_head(stream: Readable, name: str) -> tuple[bytes, int]:
    head = stream.read(8)
    if len(head) < 8:
        raise InputError(
            f"{name}: the WAV header ends before the samples",
            hint="the file is cut off or damaged",
        )
    return head[:4], int.from_bytes(head[4:], "little")


def _read_chunk_body(stream: Readable, tag: bytes, size: int, name: str) -> bytes:
    if size > LONGEST_CHUNK or not is_chunk_name(tag):
        raise InputError(f"{name}: the WAV header is damaged at chunk {tag!r} of {size} bytes")
    body = stream.read(size)
    stream.read(size & 1)
    return body


def _data_bytes(size: int, long_size: int | None) -> int | None:
    """The length of the samples; None for the sizes that writers leave if they cannot seek back."""
    if size == UNKNOWN and long_size is not None:
        return long_size if 0 < long_size < _LONGEST_DATA else None
    if size >= 0xFFFFFF00 or 0x7FFF0000 <= size <= 0x80000000:
        return None
    return size


def read_format(body: bytes, name: str) -> WavHeader:
    """What a chunk `fmt ` says of the samples. InputError if it is damaged."""
    if len(body) < 16:
        raise InputError(
            f"{name}: the WAV header has a 'fmt ' chunk of {len(body)} bytes, expected 16 or more"
        )
    tag, channels, rate, _, align, bits_stored = struct.unpack_from("<HHIIHH", body)
    mask, form, bits, kind_end = 0, "WAV", bits_stored, SUBFORMAT
    if tag == _TAG_EXTENSIBLE and len(body) >= 26:
        bits, mask, tag = struct.unpack_from("<HIH", body, 18)
        form, kind_end = "WAVEX", body[26:40].ljust(len(SUBFORMAT), b"\0")
    if channels == 0 or rate == 0:
        raise InputError(
            f"{name}: the WAV header says {channels} channels at {rate} Hz, "
            "expected at least 1 of each"
        )
    # Other programs go by the bits, too, where the bytes of a frame contradict them.
    width = -(-bits_stored // 8)
    subtype = _SUBTYPES.get((tag, width))
    has_fewer_bits = tag == _TAG_PCM and 1 < bits < 8 * width
    return WavHeader(
        format=form,
        subtype=subtype,
        rate=rate,
        channels=channels,
        bits=bits if has_fewer_bits else None,
        mask=mask,
        kind_end=kind_end,
        codec=tag,
        block_bytes=align,
    )


def _fact_chunk(header: WavHeader, data_bytes: int | None) -> bytes:
    frames = UNKNOWN
    if data_bytes is not None:
        frames = min(data_bytes // header.frame_bytes, UNKNOWN)
    return Chunk(b"fact", struct.pack("<I", frames)).to_bytes("little")


def _ds64_chunk(header: WavHeader, data_bytes: int | None, other_bytes: int) -> bytes:
    """The sizes of an RF64 file, 0 if not known; other chunks in the header take `other_bytes`."""
    riff_size = size = 0
    if data_bytes is not None:
        size = data_bytes
        padded = size + (size & 1)
        data_chunk = 8 + padded
        ds64_chunk = 8 + _DS64_BYTES
        riff_size = 4 + ds64_chunk + other_bytes + data_chunk
    body = struct.pack("<QQQI", riff_size, size, size // header.frame_bytes, 0)
    return Chunk(b"ds64", body).to_bytes("little")


def _format_chunk(header: WavHeader) -> bytes:
    body = header.format_fields()
    is_extended = len(body) > _PLAIN_FORMAT_BYTES
    if header.is_float and not is_extended:
        body += b"\0\0"
    return Chunk(b"fmt ", body).to_bytes("little")


def _format_fields(header: WavHeader, tag: int, bits: int) -> bytes:
    align = header.frame_bytes
    byte_rate = min(header.rate * align, UNKNOWN)
    return struct.pack("<HHIIHH", tag, header.channels, header.rate, byte_rate, align, bits)


def unpack(raw: bytes | memoryview, header: WavHeader) -> AnyArray:
    """Turn bytes into samples `(n, channels)`: int16 or int32 that mean -1..1, or float64.

    >>> unpack(bytes([0, 64]), WavHeader(format="WAV", subtype="PCM_16", rate=8000, channels=1))
    array([[16384]], dtype=int16)
    """
    x: AnyArray
    if header.subtype == "PCM_24":
        x = _unpack_24(raw)
    elif header.subtype == "PCM_U8":
        octets = np.frombuffer(raw, np.uint8)
        x = np.subtract(octets, 128, dtype=np.int16) << 8
    elif header.is_float:
        with np.errstate(invalid="ignore"):  # a NaN that signals; it is refused where it is written
            x = np.frombuffer(raw, _stored_type(header.subtype)).astype(np.float64)
    else:
        x = np.frombuffer(raw, _stored_type(header.subtype))
    return x.reshape(-1, header.channels)


def _unpack_24(raw: bytes | memoryview) -> npt.NDArray[np.int32]:
    """Put the three bytes of each sample into the upper bytes of an int32."""
    narrow = np.frombuffer(raw, np.uint8).reshape(-1, 3)
    wide = np.zeros((len(narrow), 4), np.uint8)
    for byte in range(3):  # three times as fast as all columns at once
        wide[:, byte + 1] = narrow[:, byte]
    return wide.reshape(-1).view("<i4")


def pack(samples: AnyArray, subtype: str, *, bits: int | None = None) -> bytes | memoryview:
    """Turn whole numbers in units of the last bit, or floats, into bytes. Any shape; C order.

    bits : of a whole number that are valid, the upper ones; None for all
    """
    unused = 0 if bits is None else 8 * WIDTHS[subtype] - bits
    if unused > 0:
        samples = samples.astype(np.int32) << unused
    if subtype == "PCM_U8":
        return (samples + 128).astype(np.uint8).tobytes()
    if subtype == "PCM_24":
        wide = np.ascontiguousarray(samples, "<i4").reshape(-1, 1).view(np.uint8)
        narrow = np.empty((len(wide), 3), np.uint8)
        for byte in range(3):
            narrow[:, byte] = wide[:, byte]
        return narrow.tobytes()
    stored = np.ascontiguousarray(samples, _stored_type(subtype))
    return stored.reshape(-1).view(np.uint8).data


def _stored_type(subtype: str | None) -> str:
    """The NumPy type of little-endian samples of 2, 4 or 8 bytes."""
    kind = "f" if subtype in _FLOATS else "i"
    return f"<{kind}{WIDTHS[subtype or 'PCM_16']}"
