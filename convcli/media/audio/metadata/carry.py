"""Which metadata of the input goes into the output, and what is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from convcli.media.audio.formats import WAV_KINDS, container_of
from convcli.media.audio.metadata.comments import COMMENTS, COMMON_COMMENTS, split_comments
from convcli.media.audio.metadata.container import Chunk
from convcli.media.audio.metadata.id3 import id3_frame_names
from convcli.media.audio.metadata.riff import INFO_NAMES, info_items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.media.audio.details import AudioDetails

# What these hold are common tags, however the target stores them.
_COMMON_CHUNKS = frozenset({b"ID3v1", b"NAME", b"AUTH", b"(c) ", b"ANNO"})
_COMMON_FRAMES = frozenset(b"TIT2 TPE1 TALB TDRC TYER TRCK TCON COMM TCOP TSSE TENC".split())
# Marks counted in samples are wrong once the sampling rate has changed.
_COUNTED_IN_SAMPLES = frozenset(
    {b"cue ", b"smpl", b"plst", b"LIST adtl", b"CUESHEET", b"MARK", b"INST", b"COMT"}
)
# A broadcast extension holds its time of day in samples here (EBU Tech 3285).
_BEXT_TIME = slice(338, 346)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The metadata of the input that the output will hold.

    chunks : written as they are
    tags : given to libsndfile
    lost : names of what the output cannot hold
    """

    chunks: tuple[Chunk, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def carry_metadata(details: AudioDetails, target: str, *, rate: int) -> Metadata:
    """Choose the metadata for an output in the format `target` with the sampling rate `rate`."""
    ratio = rate / details.rate
    lost, chunks = [], []
    for chunk in details.chunks:
        if ratio != 1 and chunk.full_name in _COUNTED_IN_SAMPLES:
            lost.append(_shown(chunk))
        else:
            chunks.append(_retimed(chunk, ratio))
    container = container_of(target)
    same_kind = details.format == target or {details.format, target} <= WAV_KINDS
    if same_kind:
        carried, replaces_tags = tuple(chunks), True
    else:
        carried = container.convert(details.tags, tuple(chunks))
        replaces_tags = container.chunks_replace_tags
    tags = {}
    if not (carried and replaces_tags):
        tags = {
            name: text
            for name, text in details.tags.items()
            if text and name in container.libsndfile_tags
        }
    if not same_kind:
        if not any(chunk.is_id3 for chunk in carried):
            lost += _lost_tags(details.tags, container.own_tags.union(tags))
        for chunk in chunks:
            if chunk not in carried:
                lost += _beyond_common(chunk, carried)
    unique = tuple(dict.fromkeys(lost))
    return Metadata(chunks=carried, tags=tags, lost=unique)


def _lost_tags(tags: Mapping[str, str], kept: frozenset[str]) -> list[str]:
    # The name of the program that wrote the input is no loss.
    return [name for name, text in tags.items() if text and name not in {*kept, "software"}]


def _beyond_common(chunk: Chunk, carried: tuple[Chunk, ...]) -> list[str]:
    """Name what a chunk that is not carried holds besides common tags."""
    if chunk.is_id3:
        if any(other.body == chunk.body for other in carried):
            return []
        names = id3_frame_names(chunk.body)
        return [_text(name) for name in names if name not in _COMMON_FRAMES]
    if chunk.name in _COMMON_CHUNKS:
        return []
    if chunk.full_name == b"LIST INFO":
        return [_text(item.name) for item in info_items(chunk) if item.name not in INFO_NAMES]
    if chunk.name == COMMENTS:
        _, comments = split_comments(chunk.body)
        keys = [_text(comment.partition(b"=")[0]) for comment in comments]
        return [key for key in keys if key.lower() not in COMMON_COMMENTS]
    return [_shown(chunk)]


def _shown(chunk: Chunk) -> str:
    return _text(chunk.full_name).strip()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _retimed(chunk: Chunk, ratio: float) -> Chunk:
    """Count the time of day in a broadcast extension at the new sampling rate."""
    body = chunk.body
    if ratio == 1 or chunk.name != b"bext" or len(body) < _BEXT_TIME.stop:
        return chunk
    time = round(int.from_bytes(body[_BEXT_TIME], "little") * ratio)
    field_bytes = min(time, 2**64 - 1).to_bytes(8, "little")
    return Chunk(chunk.name, body[: _BEXT_TIME.start] + field_bytes + body[_BEXT_TIME.stop :])
