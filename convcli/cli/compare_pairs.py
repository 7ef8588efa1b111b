"""What `convcli compare` compares: two files, or the files that two folders have in common."""

from __future__ import annotations

import os
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Pairs:
    """What is compared with what; None is standard input.

    alone : files that only one of the two folders has
    of_folders : whether two folders are compared
    """

    files: list[tuple[Place | None, Place | None]]
    alone: list[Path] = field(default_factory=list)
    of_folders: bool = False

    @property
    def alone_texts(self) -> list[str]:
        """A sentence for each file that has no partner."""
        return [f"{path} is in one of the folders alone" for path in self.alone]

    def paths(self) -> Iterator[Place | None]:
        for pair in self.files:
            yield from pair


def pairs_of(a: Place, b: Place) -> Pairs:
    """The two files, or the files of two folders that have the same name."""
    from convcli.places import local_folder

    folder_a = local_folder(a)
    folder_b = local_folder(b)
    if folder_a is not None and folder_b is not None:
        return _pairs_of_folders(folder_a, folder_b)
    folder = folder_a or folder_b
    if folder is not None:
        other = b if folder_b is None else a
        raise _not_a_folder(folder, other)
    paths = [None if str(path) == "-" else path for path in (a, b)]
    if paths == [None, None]:
        raise RequestError("standard input can be read only once", hint="name one of the files")
    return Pairs([(paths[0], paths[1])])


def _not_a_folder(folder: Path, other: Place) -> ConvcliError:
    """The error for a folder that is compared with something else, or with nothing."""
    from convcli.media.inputs import similar_name
    from convcli.places import local_path

    path = local_path(other)
    if path is not None and str(path) != "-" and not os.path.lexists(path):
        message = f"{path} does not exist; {folder} is a folder, to be compared with another"
        return InputError(message, hint=similar_name(path))
    if path is not None and str(path) == "-":
        return RequestError(f"{folder} is a folder, and standard input holds one file")
    return RequestError(
        f"{folder} is a folder and {other} is a file",
        hint=f"name the file in the folder: {folder / other.name}",
    )


def _pairs_of_folders(a: Path, b: Path) -> Pairs:
    """The files at the same place in both, with another suffix if no other has their stem."""
    in_a = _signals_below(a)
    in_b = _signals_below(b)
    stems_a = _unique_stems(in_a)
    stems_b = _unique_stems(in_b)
    pairs: list[tuple[Place | None, Place | None]] = []
    matched: set[Path] = set()
    for place, path in in_a.items():
        other = in_b.get(place)
        stem = place.with_suffix("")
        if other is None and stems_a.get(stem) == path:
            other = stems_b.get(stem)
        if other is not None:
            pairs.append((path, other))
            matched |= {path, other}
    alone = [path for path in (*in_a.values(), *in_b.values()) if path not in matched]
    if not pairs:
        raise RequestError(
            f"{a} and {b} have no file in common",
            hint="sounds, tables and pictures at the same place in both folders are compared",
        )
    return Pairs(pairs, alone, of_folders=True)


def _signals_below(folder: Path) -> dict[Path, Path]:
    """The sounds, tables and pictures in a folder and those below it, by their place in it."""
    from convcli.batch.listing import files_below
    from convcli.media.audio.files import AudioFiles
    from convcli.media.images.files import ImageFiles
    from convcli.media.tables.files import TableFiles

    kinds = (AudioFiles, ImageFiles, TableFiles)
    found = {}
    for name in sorted(files_below(f"{folder}/", recursive=True)):
        path = Path(name)
        if any(kind.has_suffix(path) for kind in kinds):
            found[path.relative_to(folder)] = path
    return found


def _unique_stems(files: dict[Path, Path]) -> dict[Path, Path]:
    """The files by their place without the suffix; places of several files are left out."""
    places: dict[Path, list[Path]] = {}
    for place, path in files.items():
        places.setdefault(place.with_suffix(""), []).append(path)
    return {stem: paths[0] for stem, paths in places.items() if len(paths) == 1}
