"""Files that FILTER names: taps, responses and models, on this machine or in an object store."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from convcli.errors import InputError
from convcli.file_stamps import note_read, note_untraceable
from convcli.places import is_remote, local_path, place_of, refuse_no_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.places import Place


def named_place(text: str) -> Place:
    """The file or the object that a text names; `~` is the home of the user."""
    if is_remote(text):
        return place_of(text)
    refuse_no_path(text)
    return Path(text).expanduser()


@contextmanager
def opened_named(
    place: Place, *, expected: str, most: int, hint: str | None = None
) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file that FILTER names; yield it with its size in bytes.

    expected : what it should be, for the error where there is none
    most : the largest size
    hint : what to do where there is no such file

    InputError says why it cannot be read, also for an error while it is read.
    """
    try:
        path = local_path(place)
        if path is not None:
            note_read(path)
            if not path.is_file():
                problem = "is not a file" if path.exists() else "no such file"
                raise InputError(f"{place}: {problem}; expected {expected}", hint=hint)
        else:
            note_untraceable()
        with place.open("rb") as opened:
            file = _seekable(opened, most)
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            if size > most:
                limit = f"{most >> 20:,} MB"
                raise InputError(f"{place}: larger than {limit}, too large for {expected}")
            yield file, size
    except OSError as error:
        raise InputError(f"{place}: cannot be read: {error.strerror or error}") from error


def _seekable(file: BinaryIO, most: int) -> BinaryIO:
    """The file itself, or its content where a web server sends it in order alone."""
    return file if file.seekable() else io.BytesIO(file.read(most + 1))
