"""Outputs that are refused before any work: existing ones, inputs, and those that two share."""

from __future__ import annotations

import os
import stat
from array import array
from functools import cache
from typing import TYPE_CHECKING

from convcli.errors import OutputError, RequestError, shell_word
from convcli.media.replacing import cannot_write
from convcli.places import input_name, is_remote, local_path, place_of, refuse_no_path

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from pathlib import Path

    from convcli.places import Place

# Device and inode of a file, the URL of an object.
Identity = tuple[int, int] | str


def refuse_missing_parent(place: Place) -> None:
    """Raise OutputError if the folder of `place` is missing. Object stores have no folders.

    Only `-o out/` and templates make folders.
    """
    path = local_path(place)
    if path is None:
        return
    parent = path.parent
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise cannot_write(path, error) from error
    if not parent.exists():
        raise OutputError(
            f"cannot write {path}: there is no folder {parent}",
            hint=f"mkdir -p {shell_word(parent)}",
        )
    if not parent.is_dir():
        raise OutputError(f"cannot write {path}: {parent} is not a folder")


def refuse_blocked_folder(output: str, folder: str) -> None:
    """Raise OutputError if a folder of outputs cannot be made, because a file is in its place.

    output : the folder or the template that was asked for; it may be a URL
    folder : the part of it that is the same for all inputs
    """
    if is_remote(output):
        return
    refuse_no_path(output)
    while folder and not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if folder and not os.path.isdir(folder):
        raise OutputError(f"cannot write {output}: {folder} is not a folder")


_FORCE = "--force replaces it"


def refuse_existing(place: Place, *, force: bool, hint: str = _FORCE) -> None:
    """Raise RequestError if an output exists and `force` is not set, or if it is a folder.

    hint : what to do where it exists
    """
    path = local_path(place)
    exists = False
    if path is not None:
        exists = _is_regular(path)
    elif not force:
        exists = place.exists()
    if exists and not force:
        raise RequestError(f"the output {place} exists already", hint=hint)


def refuse_shared_outputs(
    count: int,
    output_of: Callable[[int], str | None],
    input_of: Callable[[int], str],
    *,
    hint: str = "tell them apart with {index} or {relative}: -o 'out/{index}_{stem}{suffix}'",
) -> None:
    """Raise RequestError that names both inputs if two have the same output, by any spelling.

    Names that differ in case alone are one file where the file system takes them for one.

    output_of, input_of : the names of the output and of the input at a position; asked for again
        rather than kept, so that the outputs of 100,000 inputs take no memory
    """
    if count < 2:
        return
    real_paths = RealPaths()
    keys = (real_paths.key(output_of(at)) for at in range(count))
    if all_differ(_folded(key) for key in keys if key is not None):
        return
    folds_case = cache(ignores_case)
    taken: dict[object, int] = {}
    for at in range(count):
        place = output_of(at)
        key = real_paths.key(place)
        if key is None:
            continue
        if isinstance(key, str) and not is_remote(key) and folds_case(os.path.dirname(key)):
            key = _folded(key)
        other = taken.setdefault(key, at)
        if other != at:
            raise RequestError(
                f"{input_of(other)} and {input_of(at)} would both be written to {place}",
                hint=hint,
            )


def all_differ(keys: Iterable[Hashable]) -> bool:
    """Whether no two keys are equal; in rare cases False although they differ.

    Sorted hashes take a tenth of the memory of a set.
    """
    import numpy as np

    hashes = array("q", map(hash, keys))
    numbers = np.frombuffer(hashes, np.int64).copy()
    numbers.sort()
    return not np.any(numbers[1:] == numbers[:-1])


def _folded(key: str | Identity) -> str | Identity:
    """The real path of a file that does not exist, by which a disk without case knows it."""
    if not isinstance(key, str):
        return key
    if key.isascii():
        return key.lower()
    import unicodedata

    return unicodedata.normalize("NFC", key.casefold())


def ignores_case(folder: str) -> bool:
    """Whether the file system takes names that differ in case alone for one, as on a Mac.

    A folder that does not exist is on the disk of the folder above it. Nothing is written to find
    out: the name of the folder, or of one above it, is looked up with its case swapped.
    """
    while True:
        above, name = os.path.split(folder)
        swapped = os.path.join(above, name.swapcase())
        if above == folder:
            return False
        if name.swapcase() != name and os.path.lexists(folder):
            try:
                return os.path.samefile(folder, swapped)
            except OSError:
                return False
        folder = above


class RealPaths:
    """The real paths of many files; those of their folders are looked up once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: str) -> str:
        """The absolute path without links."""
        place = self.of_name(path)
        return os.path.realpath(place) if os.path.islink(place) else place

    def of_name(self, path: str) -> str:
        """The name in the real path of its folder; the name itself may be a link.

        The name of an object is its URL.
        """
        if is_remote(path):
            return path
        folder, name = os.path.split(path)
        if name in ("", ".", ".."):
            return os.path.realpath(path)
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.realpath(folder)
        return os.path.join(real, name)

    def key(self, path: str | None) -> str | Identity | None:
        """What two paths of one file have in common: that file if it exists, else its real path.

        None for standard output and for devices, which several may share.
        """
        if path is None:
            return None
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return self.of(path)
        if stat.S_ISREG(found.st_mode):
            return (found.st_dev, found.st_ino)
        return self.of(path) if stat.S_ISDIR(found.st_mode) else None


def refuse_inputs_as_outputs(
    count: int,
    output_of: Callable[[int], str | None],
    source_of: Callable[[int], Place | None],
) -> None:
    """Raise RequestError if an output is an input, its own or another one, by any spelling or link.

    output_of, source_of : the output and the input at a position; None are the standard streams
    """
    outputs: dict[Identity, int] = {}
    for at in range(count):
        found = _identity_of_output(_optional_place(output_of(at)))
        if found is not None:
            outputs[found] = at
    if not outputs:  # of outputs that do not exist yet none is an input
        return
    sources: dict[Identity | None, Place | None] = {}
    for at in range(count):
        source = source_of(at)
        found = _identity(source)
        if found in outputs:
            sources[found] = source
    for at in sorted(outputs[found] for found in sources if found is not None):
        source = source_of(at)
        place = _optional_place(output_of(at))
        if is_same(source, place):
            raise output_is_input(source, place)
        other = sources[_identity_of_output(place)]
        raise RequestError(
            f"the output {_target_name(place)} of {input_name(source)} is another input, "
            f"{input_name(other)}",
            hint="write it somewhere else",
        )


def is_same(source: Place | None, place: Place | None) -> bool:
    """Whether an output is its input, by any spelling or link; None are the standard streams."""
    found = _identity_of_output(place)
    return found is not None and found == _identity(source)


def output_is_input(source: Place | None, place: Place | None) -> RequestError:
    """The error for an output that is its own input without --in-place."""
    return RequestError(
        f"the output {_target_name(place)} is the input {input_name(source)}",
        hint="write somewhere else, or use --in-place to replace the input",
    )


def _optional_place(name: str | None) -> Place | None:
    return None if name is None else place_of(name)


def _is_regular(path: Path) -> bool:
    """Whether there is a file, and no device or pipe. RequestError for a folder."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise cannot_write(path, error) from error
    if stat.S_ISDIR(mode):
        inside = f"{path}/".replace("//", "/")
        raise RequestError(
            f"expected an output file, but {path} is a folder",
            hint=f"-o {shell_word(inside)} writes into it under the input's name",
        )
    return stat.S_ISREG(mode)


def _identity(path: Place | None) -> Identity | None:
    """Device and inode of a file, whatever its name; None if there is no file to overwrite.

    An object is the one of its URL, whether there is one or not. A `path` of None is standard
    input.
    """
    if path is not None and local_path(path) is None:
        return str(path)
    try:
        found = os.fstat(0) if path is None else path.stat()
    except OSError:
        return None
    if stat.S_ISCHR(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return None
    return (found.st_dev, found.st_ino)


def _identity_of_output(place: Place | None) -> Identity | None:
    """Device and inode of an output; None if it is not a file.

    A `place` of None is standard output, which may be redirected to a file.
    """
    if place is not None:
        return _identity(place)
    try:
        found = os.fstat(1)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _target_name(place: Place | None) -> str:
    return "standard output" if place is None else str(place)


def same_place(one: Place, other: Place) -> bool:
    """Whether two places are one file or one object, by any spelling or link."""
    identity = _identity(one)
    return identity is not None and identity == _identity(other)


def place_exists(place: Place) -> bool:
    """Whether there is a file, a link or an object. OutputError if a store cannot be asked."""
    path = local_path(place)
    return place.exists() if path is None else os.path.lexists(path)
