"""Tags, pictures and marks of sound files: read as they stand, so that they can be written as they stood.

libsndfile knows ten common tags and drops the rest; what a container holds beyond them is kept here as bytes.
Layouts: FLAC (RFC 9639), Vorbis comments (xiph.org/vorbis/doc/v-comment.html), Ogg (RFC 3533), AIFF-C (Apple
1991), ID3v2 (id3.org/id3v2.4.0-structure), RIFF INFO (Microsoft, IBM 1991).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from convcli.media.audio.wav import Chunk, is_chunk_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Tags = MappingProxyType[str, str]
NAMES = (
    "title",
    "copyright",
    "software",
    "artist",
    "comment",
    "date",
    "album",
    "license",
    "tracknumber",
    "genre",
)
# What each container keeps of NAMES when libsndfile writes them: measured, libsndfile 1.2.2.
_KEPT_BY_LIBSNDFILE = {
    "AIFF": frozenset({"title", "copyright", "software", "artist", "comment"}),
    "CAF": frozenset(NAMES),
    "MP3": frozenset({"title", "artist", "comment", "date", "album", "tracknumber", "genre"}),
}
_INFO = {
    "title": b"INAM", "copyright": b"ICOP", "software": b"ISFT", "artist": b"IART", "comment": b"ICMT",
    "date": b"ICRD", "album": b"IPRD", "tracknumber": b"ITRK", "genre": b"IGNR",
}  # fmt: skip
_COMMENT_KEYS = {name: name.upper() for name in NAMES}
_ID3_COMMON = frozenset(b"TIT2 TPE1 TALB TDRC TYER TRCK TCON COMM TCOP TSSE TENC".split())
_FLAC_BLOCKS = {2: b"APPLICATION", 4: b"VORBIS_COMMENT", 5: b"CUESHEET", 6: b"PICTURE"}
_AIFF_STRINGS = frozenset({b"NAME", b"AUTH", b"(c) ", b"ANNO"})
_AIFF_OWN = frozenset({b"COMM", b"SSND", b"FVER", b"PEAK"})
# Marks counted in samples: wrong once the sampling rate has changed.
_COUNTED_IN_SAMPLES = frozenset(
    {b"cue ", b"smpl", b"plst", b"LIST adtl", b"CUESHEET", b"MARK", b"INST", b"COMT"}
)
WAV_KINDS = frozenset({"WAV", "WAVEX", "RF64"})
_LONGEST = 1 << 28


def no_tags() -> Tags:
    """An empty set of tags."""
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What of the input's metadata the output will hold.

    chunks : written as they are · tags : given to libsndfile · lost : names of what the output cannot hold
    """

    chunks: tuple[Chunk, ...] = ()
    tags: Tags = field(default_factory=no_tags)
    lost: tuple[str, ...] = ()


def read_chunks(stream: BinaryIO, format: str) -> tuple[Chunk, ...]:
    """The metadata of a FLAC, Ogg, MP3 or AIFF file as it stands; ValueError if it is damaged."""
    readers = {"FLAC": _flac_chunks, "OGG": _ogg_chunks, "MP3": _id3_chunks, "AIFF": _aiff_chunks}
    if format not in readers:
        return ()
    stream.seek(0)
    try:
        return tuple(readers[format](stream))
    except (struct.error, IndexError) as error:
        raise ValueError(str(error)) from error


def plan_metadata(
    *,
    source: str,
    target: str,
    tags: Mapping[str, str],
    chunks: tuple[Chunk, ...],
    resampled: float = 1.0,
) -> Metadata:
    """What goes from a `source` file to a `target` file. `resampled` is the new sampling rate over the old."""
    stale = (
        () if resampled == 1 else tuple(c for c in chunks if full_name(c) in _COUNTED_IN_SAMPLES)
    )
    chunks = tuple(_retimed(c, resampled) for c in chunks if c not in stale)
    carried, covered = _translated(source, target, tags, chunks)
    strings = (
        {}
        if covered
        else {k: v for k, v in tags.items() if v and k in _KEPT_BY_LIBSNDFILE.get(target, ())}
    )
    lost = [_shown(c) for c in stale]
    if not _same_family(source, target):
        lost += _lost_tags(target, tags, strings, carried)
        lost += [name for c in chunks if c not in carried for name in _beyond_common(c, carried)]
    return Metadata(chunks=carried, tags=MappingProxyType(strings), lost=tuple(dict.fromkeys(lost)))


def _same_family(source: str, target: str) -> bool:
    return source == target or (source in WAV_KINDS and target in WAV_KINDS)


def _translated(
    source: str, target: str, tags: Mapping[str, str], chunks: tuple[Chunk, ...]
) -> tuple[tuple[Chunk, ...], bool]:
    """The chunks for the target, and whether they hold all common tags already."""
    if _same_family(source, target):
        return chunks, bool(chunks) or target in WAV_KINDS
    id3 = tuple(c for c in chunks if c.name.upper() in (b"ID3V2", b"ID3 "))
    if target in WAV_KINDS:
        info = (_info_chunk(tags),) if any(k in _INFO for k in tags) else ()
        return info + tuple(Chunk(b"id3 ", c.body) for c in id3), True
    if target in ("FLAC", "OGG"):
        own = tuple(c for c in chunks if c.name == b"VORBIS_COMMENT")
        return own or ((_comment_chunk(tags),) if tags else ()), True
    if target == "MP3" and id3:
        return (Chunk(b"ID3v2", id3[0].body),), True
    if target == "AIFF" and id3:
        return (Chunk(b"ID3 ", id3[0].body),), False
    return (), False


def _lost_tags(
    target: str, tags: Mapping[str, str], strings: Mapping[str, str], carried: tuple[Chunk, ...]
) -> list[str]:
    if target in ("FLAC", "OGG") or any(c.name.upper() in (b"ID3V2", b"ID3 ") for c in carried):
        return []
    kept = _INFO if target in WAV_KINDS else strings
    return [name for name, text in tags.items() if text and name not in kept and name != "software"]


def _beyond_common(chunk: Chunk, carried: tuple[Chunk, ...]) -> list[str]:
    """What a chunk holds that is not among the common tags."""
    if chunk.name.upper() in (b"ID3V2", b"ID3 "):
        held = any(c.body == chunk.body for c in carried)
        return [] if held else [_text(f) for f in _id3_frames(chunk.body) if f not in _ID3_COMMON]
    if chunk.name in (b"ID3v1", *_AIFF_STRINGS):
        return []
    if full_name(chunk) == b"LIST INFO":
        return [_text(c.name) for c in _info_items(chunk.body) if c.name not in _INFO.values()]
    if chunk.name == b"VORBIS_COMMENT":
        common = {key.lower() for key in (*_COMMENT_KEYS.values(), "DESCRIPTION", "ENCODER")}
        keys = [c.partition(b"=")[0] for c in split_comments(chunk.body)[1]]
        return [_text(key) for key in keys if _text(key).lower() not in common]
    return [_shown(chunk)]


def full_name(chunk: Chunk) -> bytes:
    """The chunk's name, with the kind of a LIST."""
    return b"LIST " + chunk.body[:4] if chunk.name == b"LIST" else chunk.name


def _shown(chunk: Chunk) -> str:
    return _text(full_name(chunk)).strip()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _retimed(chunk: Chunk, ratio: float) -> Chunk:
    """A broadcast extension counts its time of day in samples at byte 338 (EBU Tech 3285): put it at the new rate."""
    if ratio == 1 or chunk.name != b"bext" or len(chunk.body) < 346:
        return chunk
    time = round(int.from_bytes(chunk.body[338:346], "little") * ratio)
    return Chunk(
        b"bext", chunk.body[:338] + min(time, 2**64 - 1).to_bytes(8, "little") + chunk.body[346:]
    )


# RIFF INFO


def info_tags(chunks: tuple[Chunk, ...]) -> Tags:
    """The common tags among the INFO lists of a WAV."""
    names = {code: name for name, code in _INFO.items()}
    items = [item for c in chunks if full_name(c) == b"LIST INFO" for item in _info_items(c.body)]
    found = {names[i.name]: _info_text(i.body) for i in items if i.name in names}
    return MappingProxyType({name: text for name, text in found.items() if text})


def _info_text(body: bytes) -> str:
    raw = body.split(b"\0")[0]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _info_items(body: bytes) -> Iterator[Chunk]:
    at = 4
    while at + 8 <= len(body):
        size = int.from_bytes(body[at + 4 : at + 8], "little")
        yield Chunk(body[at : at + 4], body[at + 8 : at + 8 + size])
        at += 8 + size + (size & 1)


def _info_chunk(tags: Mapping[str, str]) -> Chunk:
    body = b"INFO"
    for name, code in _INFO.items():
        if name in tags:
            text = tags[name].encode() + b"\0"
            body += code + struct.pack("<I", len(text)) + text + b"\0" * (len(text) & 1)
    return Chunk(b"LIST", body)


# Vorbis comments, in FLAC and Ogg


def split_comments(body: bytes) -> tuple[bytes, list[bytes]]:
    """The vendor and the `KEY=value` entries; ValueError if they do not fit the block."""

    def take(at: int) -> tuple[bytes, int]:
        size = int.from_bytes(body[at : at + 4], "little")
        if at + 4 + size > len(body):
            raise ValueError("a comment is longer than its block")
        return body[at + 4 : at + 4 + size], at + 4 + size

    vendor, at = take(0)
    count, at = int.from_bytes(body[at : at + 4], "little"), at + 4
    comments = []
    for _ in range(count):
        comment, at = take(at)
        comments.append(comment)
    return vendor, comments


def join_comments(vendor: bytes, comments: list[bytes]) -> bytes:
    """The inverse of `split_comments`."""
    parts = [struct.pack("<I", len(vendor)), vendor, struct.pack("<I", len(comments))]
    for comment in comments:
        parts += [struct.pack("<I", len(comment)), comment]
    return b"".join(parts)


def _comment_chunk(tags: Mapping[str, str]) -> Chunk:
    comments = [f"{_COMMENT_KEYS[name]}={text}".encode() for name, text in tags.items()]
    return Chunk(b"VORBIS_COMMENT", join_comments(b"", comments))


# The containers


def _exactly(stream: BinaryIO, size: int) -> bytes:
    if size > _LONGEST:
        raise ValueError(f"a block of {size} bytes")
    body = stream.read(size)
    if len(body) < size:
        raise ValueError("the file ends within its metadata")
    return body


def skip_id3(stream: BinaryIO) -> int:
    """Where the file goes on behind an ID3v2 tag at its start."""
    stream.seek(0)
    head = stream.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


def flac_blocks(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The metadata blocks of a FLAC file (type, body); afterwards the stream stands at the first frame."""
    stream.seek(skip_id3(stream))
    if stream.read(4) != b"fLaC":
        raise ValueError("no FLAC marker")
    last = False
    while not last:
        head = _exactly(stream, 4)
        last = bool(head[0] & 0x80)
        yield head[0] & 0x7F, _exactly(stream, int.from_bytes(head[1:], "big"))


def _flac_chunks(stream: BinaryIO) -> Iterator[Chunk]:
    for kind, body in flac_blocks(stream):
        if kind in _FLAC_BLOCKS:
            if kind == 4:
                split_comments(body)
            yield Chunk(_FLAC_BLOCKS[kind], body)


def flac_kind(chunk: Chunk) -> int:
    """The number of the FLAC block that a chunk is."""
    return next(kind for kind, name in _FLAC_BLOCKS.items() if name == chunk.name)


def _id3_chunks(stream: BinaryIO) -> Iterator[Chunk]:
    size = skip_id3(stream)
    if size:
        stream.seek(0)
        yield Chunk(b"ID3v2", _exactly(stream, size))
    end = stream.seek(0, 2)
    if end >= 128:
        stream.seek(end - 128)
        body = stream.read(128)
        if body[:3] == b"TAG":
            yield Chunk(b"ID3v1", body)


def _id3_frames(body: bytes) -> Iterator[bytes]:
    """The names of the frames of an ID3v2.3 or 2.4 tag; an unknown layout is named whole."""
    if len(body) < 10 or body[3] not in (3, 4) or body[5] & 0x40:
        yield b"ID3 tags beyond the common ones"
        return
    shift, at = (7 if body[3] == 4 else 8), 10
    while at + 10 <= len(body) and body[at : at + 4].isalnum():
        yield body[at : at + 4]
        size = 0
        for byte in body[at + 4 : at + 8]:
            size = size << shift | byte
        at += 10 + size


def _aiff_chunks(stream: BinaryIO) -> Iterator[Chunk]:
    """The chunks that libsndfile would not write by itself."""
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        size = int.from_bytes(head[4:], "big")
        if head[:4] in _AIFF_OWN:
            stream.seek(size + (size & 1), 1)
        elif is_chunk_name(head[:4]):
            yield Chunk(head[:4], _exactly(stream, size))
            stream.seek(size & 1, 1)
        else:
            return


def _ogg_chunks(stream: BinaryIO) -> Iterator[Chunk]:
    from convcli.media.audio.ogg import read_header_packets, split_comment_packet

    _, packets = read_header_packets(stream)
    _, body, _ = split_comment_packet(packets[1])
    yield Chunk(b"VORBIS_COMMENT", join_comments(*split_comments(body)))
