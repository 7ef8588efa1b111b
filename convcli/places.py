"""A place that is read or written: a file of this machine, or an object in a store."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol, cast

if TYPE_CHECKING:
    import os

BUCKETS = ("s3", "gs", "az")
SERVERS = ("https", "http")
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
    """The place that a text names: a URL, or a path of this machine."""
    if not is_remote(text):
        return Path(text)
    return cast("Place", import_module(_OBJECTS).RemotePlace(text))


def local_path(place: Place | None) -> Path | None:
    """The path of a file of this machine; None for an object, and for a standard stream."""
    return place if isinstance(place, Path) else None


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
