"""AU files as places for metadata: the annotation between header and samples (Sun, 1992)."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from convcli.media.audio.metadata.container import Chunk, Container, read_exactly, replace_head

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
