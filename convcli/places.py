"""A place that is read or written: a file of this machine, or an object in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import os


class Place(Protocol):
    """A file by its path, or an object by its URL: the part of `pathlib.Path` that both have.

    `Path` and `media/remote.py: RemotePlace` are places. Objects are read in
    `cli/opening.py: read_input` and written in `media/replacing.py: atomic`; all other code uses
    only the names of a place.
    """

    @property
    def name(self) -> str:
        """The last part of the path."""
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
