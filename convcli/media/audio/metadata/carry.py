"""Which metadata of the input goes into the output, and what is lost."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.media.audio.formats import WAV_KINDS, container_of
from convcli.media.audio.metadata.caf import info_entries
from convcli.media.audio.metadata.comments import COMMENTS, COMMON_COMMENTS, split_comments
from convcli.media.audio.metadata.id3 import id3_frame_names
from convcli.media.audio.metadata.positions import Shift, moved
from convcli.media.audio.metadata.riff import INFO_NAMES, info_items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.media.audio.details import AudioDetails
    from convcli.media.audio.metadata.container import Chunk

# What these hold are common tags, however the target stores them.
_COMMON_CHUNKS = frozenset({b"ID3v1", b"NAME", b"AUTH", b"(c) ", b"ANNO"})
_COMMON_FRAMES = frozenset(b"TIT2 TPE1 TALB TDRC TYER TRCK TCON COMM TCOP TSSE TENC".split())


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The metadata of the input that the output will hold.

    chunks : chunks that are written unchanged
    tags : tags that libsndfile writes
    lost : names of metadata that the output cannot hold
    """

    chunks: tuple[Chunk, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def carry_metadata(details: AudioDetails, target: str, shift: Shift) -> Metadata:
    """Choose the metadata for an output in the format `target`, with positions moved by `shift`."""
    lost, chunks = [], []
    for chunk in details.chunks:
        try:
            chunks.append(moved(chunk, shift))
        except ValueError:  # it is damaged
            lost.append(_shown(chunk))
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
    # The name of the program that wrote the input is not a loss.
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
    keys = _keys(chunk)
    if keys is None:
        return [_shown(chunk)]
    return [key for key in keys if key.lower() not in COMMON_COMMENTS]


def _keys(chunk: Chunk) -> list[str] | None:
    """The keys of a chunk that holds keys and texts, None of another one."""
    if chunk.name == b"info":
        return [key for key, _ in info_entries(chunk.body)]
    if chunk.name == COMMENTS:
        _, comments = split_comments(chunk.body)
        keys = [comment.partition(b"=")[0] for comment in comments]
        return [_text(key) for key in keys]
    return None


def _shown(chunk: Chunk) -> str:
    return _text(chunk.full_name).strip()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
