"""Inputs: whether there is a file or a folder, and what is wrong with one that cannot be read."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.errors import InputError, nearest
from convcli.places import local_path

if TYPE_CHECKING:
    from convcli.places import Place


def check_input(path: Path) -> None:
    """Raise InputError if `path` is missing, is a folder, or may not be read."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        if path.is_symlink():
            target = path.readlink()
            raise InputError(f"the link {path} leads to {target}, which does not exist") from error
        raise InputError(f"there is no file {path}", hint=similar_name(path)) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if stat.S_ISDIR(found.st_mode):
        pattern = str(path / "*")
        raise InputError(
            f"expected a file, but {path} is a folder", hint=f"name the files in it: {pattern}"
        )
    if not os.access(path, os.R_OK):
        raise InputError(f"cannot read {path}: Permission denied")


def similar_name(path: Path) -> str | None:
    """A hint with the name of the same suffix and folder that `path` misspells, or None."""
    suffix = path.suffix.lower()
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return None
    if suffix:
        names = [name for name in names if Path(name).suffix.lower() == suffix]
    # Suffixes are left out: they would make short names look alike.
    stems = {Path(name).stem: name for name in names[:10_000]}
    near = nearest(path.stem, list(stems))
    return f"did you mean {path.parent / stems[near]}?" if near else None


def is_folder(name: str | Path) -> bool:
    """Whether there is a folder of this name. No folder has a name that the system refuses."""
    with suppress(OSError, ValueError):
        return Path(name).is_dir()
    return False


def local_folder(place: Place) -> Path | None:
    """The place if it is a folder of this machine, else None."""
    path = local_path(place)
    return path if path is not None and is_folder(path) else None
