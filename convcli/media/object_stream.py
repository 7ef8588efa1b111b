"""An object in a store as a stream that can be opened again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable


def opener_of(stream: BinaryIO | None) -> Callable[[], BinaryIO] | None:
    """What opens the object of a stream at its start once more; None for other streams."""
    return stream.again if isinstance(stream, ObjectStream) else None


class ObjectStream(io.BufferedReader):
    """Reads ranges of an object.

    make_reader : makes a reader of the same version of the object, without a request
    buffer_size : bytes that are read at once at least
    """

    def __init__(self, make_reader: Callable[[], io.RawIOBase], buffer_size: int) -> None:
        super().__init__(make_reader(), buffer_size)
        self._make_reader = make_reader
        self._buffer_size = buffer_size

    def again(self) -> BinaryIO:
        """Open the same version of the object once more, at its start."""
        return cast("BinaryIO", ObjectStream(self._make_reader, self._buffer_size))
