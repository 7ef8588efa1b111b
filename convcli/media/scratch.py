"""Temporary files that leave nothing behind."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from convcli.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Errors that only a write can cause.
WRITE_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

_LARGER_PLACE = "let TMPDIR name a larger place"

# Bytes that are copied at once.
_BLOCK = 1 << 20


def scratch(folder: Path | None = None, *, buffering: int = -1) -> tuple[BinaryIO, Path]:
    """A temporary file and a path by which it can be opened again; closing it removes both.

    On systems that have files without a name it has none, so that even a SIGKILL leaves nothing.

    folder : where it takes room; None for that of temporary files
    buffering : see `open`
    """
    import tempfile

    if Path("/proc/self/fd").is_dir():
        file = tempfile.TemporaryFile(buffering=buffering, dir=folder)  # noqa: SIM115 -- the caller closes it
        return cast("BinaryIO", file), Path(f"/proc/self/fd/{file.fileno()}")
    named = tempfile.NamedTemporaryFile(buffering=buffering, prefix=".convcli-", dir=folder)  # noqa: SIM115 -- likewise
    return cast("BinaryIO", named), Path(named.name)


def keep_stream(stream: BinaryIO, file: BinaryIO, *, name: str, first: bytes = b"") -> None:
    """Append everything that comes through a stream to a temporary file, which may be unbuffered.

    name : of the stream, for the InputError where it cannot be read or there is no room
    first : what was read of the stream before, which comes first
    """
    try:
        block = first or stream.read(_BLOCK)
        while block:
            left = memoryview(block)
            while left:
                left = left[file.write(left) :]  # a disk may take a part before it is full
            block = stream.read(_BLOCK)
        file.flush()
    except OSError as error:
        full = error.errno in WRITE_FAILURES
        raise InputError(
            f"{name} cannot be kept in a file: {error.strerror or error}",
            hint=_LARGER_PLACE if full else None,
        ) from error


def append_array(file: BinaryIO, pixels: Any) -> None:
    """Append the bytes of an array to a temporary file. OutputError if there is no room."""
    import numpy as np

    try:
        file.write(np.ascontiguousarray(pixels).reshape(-1).view(np.uint8).data)
    except OSError as error:
        raise _cannot_keep("intermediate pixels", error) from error


@contextmanager
def refuse_full_scratch(what: str) -> Iterator[None]:
    """Turn errors that only a write can cause, here into a temporary file, into OutputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in WRITE_FAILURES:
            raise
        raise _cannot_keep(what, error) from error


def _cannot_keep(what: str, error: OSError) -> OutputError:
    import tempfile

    return OutputError(
        f"cannot keep {what} in {tempfile.gettempdir()}: {error.strerror}", hint=_LARGER_PLACE
    )
