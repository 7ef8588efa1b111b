"""VOC: no place for metadata."""

from __future__ import annotations

from typing import BinaryIO

from convcli.media.audio.metadata.container import Container, overwrite
from convcli.media.audio.voc import true_voc_size


class VocContainer(Container):
    """VOC: a list of blocks with sizes of 24 bits."""

    def correct(self, file: BinaryIO, frames: int) -> None:  # noqa: ARG002 -- as all containers
        """Leave the last byte of the file out of the block of samples."""
        found = true_voc_size(file)
        if found is not None:
            overwrite(file, *found)
