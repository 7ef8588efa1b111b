"""Which files something was made from, and whether they are still the same.

Readers of files that FILTER names call `note_read` before they open one. Whoever keeps what was
made of them (`running/kept_plans.py`) asks later whether a file has changed.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A file that was changed so few nanoseconds ago may be changed again without a change of its time:
# times on some disks are whole seconds, and even.
RECENT = 3_000_000_000


class FileStamp(NamedTuple):
    """A stamp that differs between two contents of a file, found without reading it."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


@dataclass
class FilesRead:
    """The files that were read while something was made.

    stamps : of each, as it was just before it was read
    traceable : whether these files alone say what was made
    """

    stamps: dict[Path, FileStamp | None] = field(default_factory=dict)
    traceable: bool = True

    @property
    def size(self) -> int:
        """The size of all files together, in bytes."""
        return sum(stamp.size for stamp in self.stamps.values() if stamp is not None)

    @property
    def shows_changes(self) -> bool:
        """Whether a later change of a file will show in its stamp."""
        now = time.time_ns()
        for stamp in self.stamps.values():
            if stamp is None or now - max(stamp.modified, stamp.changed) < RECENT:
                return False
        return self.traceable

    @property
    def unchanged(self) -> bool:
        """Whether every file is as it was when it was read."""
        return {path: stamp_of(path) for path in self.stamps} == self.stamps


_WATCHED: ContextVar[tuple[FilesRead, ...]] = ContextVar("watched", default=())


@contextmanager
def files_noted() -> Iterator[FilesRead]:
    """Take note of the files that are read in a `with` block."""
    found = FilesRead()
    token = _WATCHED.set((*_WATCHED.get(), found))
    try:
        yield found
    finally:
        _WATCHED.reset(token)


def note_read(path: Path) -> None:
    """Note that a file is going to be read."""
    for found in _WATCHED.get():
        found.stamps.setdefault(path, stamp_of(path))


def note_untraceable() -> None:
    """Note that something is read that is looked for in several places."""
    for found in _WATCHED.get():
        found.traceable = False


def stamp_of(path: Path) -> FileStamp | None:
    """The stamp of a file, None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return FileStamp(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )
