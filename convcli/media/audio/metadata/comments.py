"""Vorbis comments, the tags of FLAC and Ogg files (xiph.org/vorbis/doc/v-comment.html)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from convcli.media.audio.metadata.container import (
    NAMES,
    Chunk,
    Container,
    decoded_text,
    with_all_values,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMENTS = b"VORBIS_COMMENT"
# Comment names, in lower case, that hold a common tag; some programs use a second name for a tag.
COMMON_COMMENTS = frozenset({*NAMES, "description", "encoder"})


class CommentContainer(Container):
    """A container whose tags are Vorbis comments."""

    own_tags = frozenset(NAMES)

    def tags(self, chunks: tuple[Chunk, ...], found: Mapping[str, str]) -> Mapping[str, str]:
        """The common tags with all of their values, of which libsndfile gives the first."""
        return with_all_values(found, _common_comments(chunks))

    def convert(self, tags: Mapping[str, str], chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Keep comments as they are, else make some of the common tags."""
        own = tuple(chunk for chunk in chunks if chunk.name == COMMENTS)
        if own or not tags:
            return own
        comments = [f"{name.upper()}={text}".encode() for name, text in tags.items()]
        return (Chunk(COMMENTS, join_comments(b"", comments)),)


def _common_comments(chunks: tuple[Chunk, ...]) -> Iterator[tuple[str, str]]:
    """The names and values of the comments that are common tags."""
    for chunk in chunks:
        if chunk.name != COMMENTS:
            continue
        _, comments = split_comments(chunk.body)
        for comment in comments:
            key, _, text = comment.partition(b"=")
            name = decoded_text(key).lower()
            if name in NAMES:
                yield name, decoded_text(text)


def split_comments(body: bytes) -> tuple[bytes, list[bytes]]:
    """Return the vendor and the `KEY=value` entries. ValueError if they do not fit the block."""
    vendor, place = _sized_text(body, 0)
    count = int.from_bytes(body[place : place + 4], "little")
    place += 4
    comments = []
    for _ in range(count):
        comment, place = _sized_text(body, place)
        comments.append(comment)
    return vendor, comments


def _sized_text(body: bytes, place: int) -> tuple[bytes, int]:
    """Return the text whose size is at `place`, and the place after it."""
    start = place + 4
    stop = start + int.from_bytes(body[place:start], "little")
    if stop > len(body):
        raise ValueError("a comment is longer than its block")
    return body[start:stop], stop


def join_comments(vendor: bytes, comments: list[bytes]) -> bytes:
    """Join comments to one block of bytes, the inverse of `split_comments`."""
    parts = [struct.pack("<I", len(vendor)), vendor, struct.pack("<I", len(comments))]
    for comment in comments:
        parts += [struct.pack("<I", len(comment)), comment]
    return b"".join(parts)


def with_vendor(vendor: bytes, body: bytes) -> bytes:
    """Return the comments in `body` under the name of another program that encoded the samples."""
    _, comments = split_comments(body)
    return join_comments(vendor, comments)
