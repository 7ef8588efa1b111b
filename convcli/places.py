"""What a place is that is read or written: a file of this machine, or an object in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import os


class Place(Protocol):
    """A file by its path, or an object by its URL: the part of `pathlib.Path` that both have.

    A `Path` is a place. So is a `media/remote.py: RemotePlace`, which the two doors of the program
    know: `cli/opening.py: read_input` and `media/replacing.py: atomic`. Everything between them
    only asks for names.
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
        """The folder."""
        ...

    def with_suffix(self, suffix: str, /) -> Place:
        """The place beside this one whose name ends otherwise."""
        ...

    def with_name(self, name: str, /) -> Place:
        """The place of another name in the same folder."""
        ...

    def stat(self) -> os.stat_result:
        """What the system knows of the file. OSError if there is none, as for every URL."""
        ...
