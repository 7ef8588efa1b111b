"""Containers of sound as places for metadata: what all of them have in common."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, BinaryIO, Literal

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# The common tags, by the names that libsndfile gives them.
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
_MOVE_BYTES = 1 << 22
# A longer piece of metadata is a sign of a damaged size field.
LONGEST_CHUNK = 1 << 28
ID3_HEAD_BYTES = 10
_HAS_ID3_FOOTER = 0x10


@dataclass(frozen=True)
class Chunk:
    """A named piece of metadata, byte for byte as in the file."""

    name: bytes
    body: bytes

    @property
    def full_name(self) -> bytes:
        """The name, followed by the kind of a LIST: `LIST INFO`."""
        if self.name == b"LIST":
            return b"LIST " + self.body[:4]
        return self.name

    @property
    def is_id3(self) -> bool:
        """Whether the chunk holds an ID3v2 tag, whatever the container calls it."""
        return self.name.upper() in (b"ID3V2", b"ID3 ")

    def to_bytes(self, order: Literal["little", "big"]) -> bytes:
        """Name, size, body and padding to an even length, as in RIFF (little) and AIFF (big)."""
        size = len(self.body).to_bytes(4, order)
        padding = b"\0" * (len(self.body) & 1)
        return self.name + size + self.body + padding


class Container:
    """A kind of sound file as a place for metadata.

    This base class leaves metadata to libsndfile; a subclass overrides what it knows better.

    libsndfile_tags : common tags that libsndfile 1.2.2 stores; used where no chunks hold them
    """

    # Common tags that chunks from `convert` can hold.
    own_tags: frozenset[str] = frozenset()
    # Whether chunks from `convert` make the tags of libsndfile superfluous.
    chunks_replace_tags = True

    def __init__(self, libsndfile_tags: tuple[str, ...] = ()) -> None:
        self.libsndfile_tags = libsndfile_tags

    def read(self, stream: BinaryIO) -> tuple[Chunk, ...]:
        """Read the metadata of a seekable file. ValueError if it is damaged."""
        stream.seek(0)
        try:
            return tuple(self.chunks(stream))
        except (struct.error, IndexError) as error:
            raise ValueError(str(error)) from error

    def chunks(self, stream: BinaryIO) -> Iterator[Chunk]:
        """Yield the metadata of a file that is at its start."""
        del stream
        return iter(())

    def write(self, file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
        """Replace the metadata of a finished file, open for reading and writing, by `chunks`."""

    def tags(self, chunks: tuple[Chunk, ...], found: Mapping[str, str]) -> Mapping[str, str]:
        """The common tags in `chunks`, or those that libsndfile has found."""
        del chunks
        return found

    def tags_of_libsndfile(self, tags: Mapping[str, str]) -> Mapping[str, str]:
        """The tags that libsndfile can store in such a file."""
        return {name: text for name, text in tags.items() if text and name in self.libsndfile_tags}

    def speaker_mask(self, stream: BinaryIO, chunks: tuple[Chunk, ...], channels: int) -> int:
        """The mask of the speakers, as in `speakers.py`; 0 if they are not known."""
        del stream, chunks, channels
        return 0

    # Whether a file can say that a sample has fewer bits than its bytes.
    tells_bits = False

    def sample_bits(self, stream: BinaryIO) -> int | None:
        """The bits of a sample as the header tells them, or None if it does not."""
        del stream
        return None

    def write_sample_bits(self, file: BinaryIO, bits: int) -> None:
        """Put the bits of a sample into the header of a finished file, if it can tell them."""

    def correct(self, file: BinaryIO, frames: int) -> None:
        """Correct a file that libsndfile has finished, and that holds `frames` frames.

        Wrong sizes and numbers are corrected. Times and random numbers, which differ from run to
        run, are replaced.
        """

    def convert(self, tags: Mapping[str, str], chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Return chunks of this container that hold the common tags and chunks of another one."""
        del tags, chunks
        return ()


def with_all_values(tags: Mapping[str, str], texts: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """`tags` in which a tag that occurs several times has all of its values, joined by "; ".

    texts : the names and values of a file, of which `tags` may have only the first ones
    """
    values: dict[str, list[str]] = {}
    for name, text in texts:
        known = values.setdefault(name, [])
        if text and text not in known:
            known.append(text)
    several = {name: "; ".join(known) for name, known in values.items() if len(known) > 1}
    return {**tags, **several}


def decoded_text(raw: bytes) -> str:
    """Decode text that ought to be UTF-8, else is of the code page of Western Windows."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def is_chunk_name(name: bytes) -> bool:
    """Whether four bytes can be the name of a RIFF or AIFF chunk."""
    if len(name) < 4 or name.startswith(b" "):
        return False
    return all(32 <= letter < 127 for letter in name)


def chunk_heads(stream: BinaryIO, order: Literal["little", "big"]) -> Iterator[tuple[bytes, int]]:
    """Yield the name and size of each chunk of a RIFF or AIFF file, with the stream at its body."""
    place = 12
    while True:
        stream.seek(place)
        head = stream.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], order)
        yield head[:4], size
        place += 8 + size + (size & 1)


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes of metadata. ValueError if the file ends before."""
    if size > LONGEST_CHUNK:
        raise ValueError(f"a block of {size} bytes")
    body = stream.read(size)
    if len(body) < size:
        raise ValueError("the file ends within its metadata")
    return body


def id3_size(head: bytes) -> int:
    """The length of the ID3v2 tag that begins with these ten bytes, 0 if they begin none."""
    if head[:3] != b"ID3" or len(head) < ID3_HEAD_BYTES:
        return 0
    footer = ID3_HEAD_BYTES if head[5] & _HAS_ID3_FOOTER else 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return ID3_HEAD_BYTES + size + footer


def replace_head(file: BinaryIO, end: int, head: bytes) -> None:
    """Replace the first `end` bytes of a file by `head`, moving the rest in place."""
    size = file.seek(0, os.SEEK_END)
    shift = len(head) - end
    starts = list(range(end, size, _MOVE_BYTES))
    if shift > 0:
        starts.reverse()  # so that no piece overwrites one that is still to move
    if shift != 0:
        for start in starts:
            file.seek(start)
            piece = file.read(min(_MOVE_BYTES, size - start))
            file.seek(start + shift)
            file.write(piece)
    file.seek(0)
    file.write(head)
    file.truncate(size + shift)


def overwrite(file: BinaryIO, place: int, data: bytes) -> None:
    """Write `data` at byte `place`."""
    file.seek(place)
    file.write(data)


def append_chunks(
    file: BinaryIO, chunks: tuple[Chunk, ...], order: Literal["little", "big"]
) -> int:
    """Append RIFF or AIFF chunks to a file and return its new length."""
    size = file.seek(0, os.SEEK_END)
    file.write(b"\0" * (size & 1))
    file.writelines(chunk.to_bytes(order) for chunk in chunks)
    return file.tell()
