"""What is wrong with an input that cannot be read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from convcli.errors import InputError, nearest


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
