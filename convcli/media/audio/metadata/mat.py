"""MATLAB files of sound, whose first 116 bytes are a text with the time of day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.media.audio.metadata.container import Container, overwrite

if TYPE_CHECKING:
    from typing import BinaryIO

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
