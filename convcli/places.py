"""A place that is read or written: a file of this machine, or an object in a store."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, cast

from convcli.errors import RequestError

BUCKETS = ("s3", "gs", "az")
SERVERS = ("https", "http")
# Schemes by which other programs call the same stores.
_OTHER_NAMES = {"gcs": "gs", "s3a": "s3", "s3n": "s3", "abfs": "az", "abfss": "az", "azure": "az"}
# The module with the places that URLs name. It is imported when there is a URL.
_OBJECTS = "convcli.media.remote"


def is_remote(text: str) -> bool:
    """Whether a text is the URL of an object or of a file on a web server.

    >>> is_remote("s3://bucket/a.wav"), is_remote("s3/a.wav")
    (True, False)
    """
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.lower() in BUCKETS + SERVERS


def place_of(text: str) -> Place:
    """The place that a text names: a URL, or a path of this machine.

    Raises RequestError for an empty text, and for a URL of another scheme.
    """
    if not is_remote(text):
        refuse_no_path(text)
        return Path(text)
    return cast("Place", import_module(_OBJECTS).RemotePlace(text))


def refuse_no_path(text: str) -> None:
    """Raise RequestError for a text that names no path: an empty one, or a URL of another scheme.

    The URL itself is not shown, because it may hold a password.
    """
    if not text:
        raise RequestError(
            "expected the name of a file or a URL, got an empty text",
            hint="a variable of the shell may be empty",
        )
    scheme, separator, path = text.partition("://")
    if not separator or not _is_scheme(scheme) or os.path.lexists(f"{scheme}:"):
        return
    known = ", ".join(f"{each}://" for each in (*BUCKETS, *SERVERS))
    hint = "work on a copy on this machine"
    if scheme.lower() == "file":
        hint = f"write the path alone: {path}"
    elif scheme.lower() in _OTHER_NAMES:
        hint = f"write {_OTHER_NAMES[scheme.lower()]}://"
    raise RequestError(
        f"URLs of {scheme}:// are neither read nor written; those of {known} are", hint=hint
    )


def path_of(text: str) -> Path:
    """The path that a text names, where only files of this machine will do.

    Raises RequestError for a URL and for an empty text.
    """
    if is_remote(text):
        scheme, _, _ = text.partition("://")
        raise RequestError(
            f"expected a file of this machine, got a URL of {scheme}://",
            hint="work on a copy on this machine",
        )
    refuse_no_path(text)
    return Path(text)


def is_file(name: str | Path) -> bool:
    """Whether there is a file of this name; False, too, for a name that the system refuses."""
    with suppress(OSError, ValueError):
        return Path(name).is_file()
    return False


def is_folder(name: str | Path) -> bool:
    """Whether there is a folder of this name; False, too, for a name that the system refuses."""
    with suppress(OSError, ValueError):
        return Path(name).is_dir()
    return False


def _is_scheme(text: str) -> bool:
    """Whether a text is the scheme of a URL, such as `ftp` or `git+ssh`."""
    letters = text.translate(str.maketrans("", "", "+.-"))
    return len(text) > 1 and letters.isascii() and letters.isalnum() and text[0].isalpha()


def input_name(place: Place | None) -> str:
    """What an input is called in messages; None is standard input."""
    return "standard input" if place is None else str(place)


def local_path(place: Place | None) -> Path | None:
    """The path of a file of this machine; None for an object, and for a standard stream."""
    return place if isinstance(place, Path) else None


def local_folder(place: Place) -> Path | None:
    """The place if it is a folder of this machine, else None."""
    path = local_path(place)
    return path if path is not None and is_folder(path) else None


class Place(Protocol):
    """A file by its path, or an object by its URL: the part of `pathlib.Path` that both have.

    `Path` and `media/remote.py: RemotePlace` are places. A place is written in
    `media/replacing.py: atomic`.
    """

    @property
    def name(self) -> str:
        """The last part of the path, with its suffix."""
        ...

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        ...

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on."""
        ...

    @property
    def parent(self) -> Place:
        """The folder that holds the place."""
        ...

    def with_suffix(self, suffix: str, /) -> Place:
        """Return this place with another suffix."""
        ...

    def with_name(self, name: str, /) -> Place:
        """The place of another name in the same folder."""
        ...

    def stat(self) -> os.stat_result:
        """What the system knows of the file. OSError if there is none, as for every URL."""
        ...

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """The content as a stream of bytes. InputError if an object cannot be read."""
        ...

    def exists(self) -> bool:
        """Whether there is a file or an object. OutputError if a store cannot be asked."""
        ...

    def unlink(self, *, missing_ok: Literal[True]) -> None:
        """Remove a file or an object, if there is one. OSError or OutputError if it stays."""
        ...
