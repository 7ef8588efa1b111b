"""Bytes of a pipe in blocks: whole ones, or what is there where the bytes come slowly."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BufferedReader
from select import select
from typing import BinaryIO

from convcli.dataclass import dataclass

# Seconds for which a block waits to become full. A program that writes 64 KB a millisecond fills
# whole blocks in this time, and a block of whatever else has come costs less than a hundredth of
# it.
PATIENCE = 0.05


@dataclass(frozen=True)
class Piece:
    """Some bytes of a pipe.

    last_for_now : the pipe is slow, so that the next bytes may be long in coming; if it is not, a
        piece that is not full is the last one
    """

    content: bytes | memoryview
    last_for_now: bool = False


# Reads a number of bytes from a pipe.
ReadBlock = Callable[[BinaryIO, int], Piece]


def whole_blocks(stream: BinaryIO, wanted: int) -> Piece:
    """Read `wanted` bytes, fewer only at the end."""
    begun = time.monotonic()
    content = stream.read(wanted)
    is_slow = time.monotonic() - begun > PATIENCE
    return Piece(content, last_for_now=is_slow and len(content) == wanted)


def bytes_as_they_come(stream: BinaryIO, wanted: int) -> Piece:
    """Read at most `wanted` bytes: what comes within `PATIENCE`, at least one byte.

    Where the system cannot say whether a stream has bytes, a whole block is read.
    """
    if not isinstance(stream, BufferedReader) or not _can_be_polled(stream):
        return whole_blocks(stream, wanted)
    deadline = time.monotonic() + PATIENCE
    # `readinto1` would wait for more where some bytes are in the buffer.
    first = stream.read1(wanted)
    done = len(first)
    space = memoryview(bytearray(wanted))
    space[:done] = first
    while 0 < done < wanted:
        if not _is_ready(stream, deadline - time.monotonic()):
            # A copy takes no more memory than the bytes that came.
            return Piece(bytes(space[:done]), last_for_now=True)
        more = stream.readinto1(space[done:])
        if more == 0:
            break
        done += more
    return Piece(space[:done])


def _can_be_polled(stream: BufferedReader) -> bool:
    """Whether the system can say that bytes are there; some systems only know it of sockets."""
    try:
        select([stream], [], [], 0)
    except (OSError, ValueError):
        return False
    return True


def _is_ready(stream: BufferedReader, seconds: float) -> bool:
    """Whether a stream whose buffer is empty gets a byte, or ends, in time."""
    ready, _, _ = select([stream], [], [], max(seconds, 0.0))
    return bool(ready)
