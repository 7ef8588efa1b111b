"""The state of a file, to find out whether it has changed since it was read or written."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass
from convcli.errors import ConvcliError
from convcli.media.remote import remote_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.media.remote import RemotePlace
    from convcli.media.remote_reader import ObjectVersion
    from convcli.places import Place


# Stores give the time of an object in whole seconds.
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FileState:
    """The state of a file. Two states of a file that has not changed are equal.

    size : in bytes
    mtime_ns : when it was changed last, in nanoseconds; None for an object in a store
    etag : what the store calls this version of the object; None for a file
    """

    size: int
    mtime_ns: int | None = None
    etag: str | None = None

    @classmethod
    def of(cls, place: Place | None) -> FileState | None:
        """The state of a file or an object; None for standard streams, devices and what is missing.

        None also if its store cannot be asked.
        """
        if place is None:
            return None
        remote = remote_place(place)
        if remote is not None:
            return cls._of_object(remote)
        try:
            found = place.stat()
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return cls(found.st_size, found.st_mtime_ns)

    @classmethod
    def _of_object(cls, place: RemotePlace) -> FileState | None:
        version = _object_version(place)
        if version is None:
            return None
        if version.tag is not None:
            return cls(version.size, etag=version.tag)
        return cls(version.size, mtime_ns=int(version.modified * _SECOND))

    def to_plain(self) -> dict[str, Any]:
        """The fields that are known, for JSON."""
        known = {"size": self.size, "mtime_ns": self.mtime_ns, "etag": self.etag}
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> FileState | None:
        """Read the fields; None if there are none. TypeError for values of other types."""
        if "size" not in plain:
            return None
        mtime = plain.get("mtime_ns")
        etag = plain.get("etag")
        return cls(
            int(plain["size"]),
            None if mtime is None else int(mtime),
            None if etag is None else str(etag),
        )


def changed_ns(place: Place | None) -> int | None:
    """The latest time at which a file or an object may have been changed; None if unknown.

    In nanoseconds, by the clock of its file system or store.
    """
    if place is None:
        return None
    remote = remote_place(place)
    if remote is not None:
        version = _object_version(remote)
        return None if version is None else int(version.modified * _SECOND) + _SECOND
    try:
        return place.stat().st_mtime_ns
    except (OSError, ValueError):
        return None


def _object_version(place: RemotePlace) -> ObjectVersion | None:
    """Size, time and tag of an object; None if the store cannot be asked."""
    from convcli.media.remote_reader import version_of

    try:
        return version_of(place)
    except ConvcliError:
        return None
