"""Opening an output: standard output, a device, or a file or object that appears complete."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from convcli.errors import RequestError
from convcli.media.replacing import (
    atomic,
    cannot_write,
    is_special,
    only_writing,
    refuse_full_disk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.places import Place
    from convcli.signals import Medium


@contextmanager
def open_output(
    path: Place | None, *, medium: Medium, replace: bool = True, aside: Path | None = None
) -> Iterator[Path | BinaryIO]:
    """Open the place of a result; None is standard output.

    replace, aside : see `atomic`

    Standard output and devices are yielded as open streams, a file or an object as the path of a
    temporary file that becomes `path` at the end. A sink that gets a `Path` may seek and reopen it,
    and must have closed it when the context ends.
    """
    if path is None:
        stream = stdout_binary(medium)
        with refuse_full_disk(Path("standard output")):
            yield stream
        with only_writing(None):
            stream.flush()
    elif is_special(path):
        with refuse_full_disk(path), _open_for_writing(path) as stream:
            if medium.binary:
                refuse_terminal(stream, medium.thing)
            yield stream
    else:
        with atomic(path, replace=replace, aside=aside) as temporary:
            yield temporary


def _open_for_writing(path: Place) -> BinaryIO:
    try:
        return Path(str(path)).open("wb")
    except OSError as error:
        raise cannot_write(path, error) from error


def stdout_binary(medium: Medium) -> BinaryIO:
    """Standard output as a stream of bytes. RequestError refuses binary data on a terminal."""
    stream = sys.stdout.buffer
    if medium.binary:
        refuse_terminal(stream, medium.thing)
    return stream


def refuse_terminal(stream: BinaryIO, thing: str) -> None:
    """Raise RequestError if `stream` is a terminal, which cannot show the bytes of `thing`."""
    if stream.isatty():
        raise RequestError(
            f"{thing} is not written to a terminal",
            hint="give a file, -o FILE, or pipe it into a program",
        )
