"""What tells whether a file is still the one that was read or written."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileState:
    """The state of a file: two states are equal if nobody has changed it between them.

    size : in bytes
    mtime_ns : when it was changed last, in nanoseconds; None for an object in a store
    etag : what the store calls this version of the object; None for a file
    """

    size: int
    mtime_ns: int | None = None
    etag: str | None = None

    @classmethod
    def of(cls, path: Path | None) -> FileState | None:
        """The state of a file; None for standard streams, devices, pipes and what is missing."""
        if path is None:
            return None
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return cls(found.st_size, found.st_mtime_ns)

    def to_plain(self) -> dict[str, Any]:
        """The fields that are known, for JSON."""
        known = {"size": self.size, "mtime_ns": self.mtime_ns, "etag": self.etag}
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> FileState | None:
        """Read the fields; None if there are none. TypeError if they are no state."""
        if "size" not in plain:
            return None
        mtime = plain.get("mtime_ns")
        etag = plain.get("etag")
        return cls(
            int(plain["size"]),
            None if mtime is None else int(mtime),
            None if etag is None else str(etag),
        )
