"""AU, MAT5 and VOC files as places for metadata.

An AU has an annotation between header and samples (Sun, 1992); the others hold no metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from convcli.media.audio.metadata.container import (
    Chunk,
    Container,
    overwrite,
    read_exactly,
    replace_head,
)
from convcli.media.audio.voc import true_voc_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

_HEAD_BYTES = 24


class AuContainer(Container):
    """AU: a header of 24 bytes, an annotation, and the samples at a place that the header gives."""

    def chunks(self, stream: BinaryIO) -> Iterator[Chunk]:
        """Yield the annotation if there is one."""
        start = _data_start(stream.read(_HEAD_BYTES))
        if start > _HEAD_BYTES:
            body = read_exactly(stream, start - _HEAD_BYTES)
            if body.strip(b"\0"):
                yield Chunk(b"annotation", body)

    def write(self, file: BinaryIO, chunks: tuple[Chunk, ...]) -> None:
        """Put the annotation before the samples."""
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        body = chunks[0].body
        start = (_HEAD_BYTES + len(body)).to_bytes(4, _order(head))
        new_head = head[:4] + start + head[8:]
        replace_head(file, _data_start(head), new_head + body)


def _order(head: bytes) -> Literal["little", "big"]:
    return "little" if head.startswith(b"dns.") else "big"


def _data_start(head: bytes) -> int:
    return int.from_bytes(head[4:8], _order(head))


# Bytes of the text at the start of a MAT5, which ends with the time of day.
_TEXT_BYTES = 116


class MatContainer(Container):
    """MAT5: no place for metadata."""

    def correct(self, file: BinaryIO, frames: int) -> None:  # noqa: ARG002 -- as all containers
        """Leave the time of day out of the text."""
        file.seek(0)
        text = file.read(_TEXT_BYTES).split(b"\0")[0]
        program = text.rpartition(b",")[0]
        # libsndfile reads no file whose text does not end in a zero.
        overwrite(file, 0, (program + b"\0").ljust(_TEXT_BYTES))


class VocContainer(Container):
    """VOC: a list of blocks with sizes of 24 bits."""

    def correct(self, file: BinaryIO, frames: int) -> None:  # noqa: ARG002 -- as all containers
        """Leave the last byte of the file out of the block of samples."""
        found = true_voc_size(file)
        if found is not None:
            overwrite(file, *found)
