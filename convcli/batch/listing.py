"""The inputs of a command: files, folders, patterns and lists of names become one list of files.

Names may hold any characters: line ends, bytes that are not UTF-8 (`os.fsdecode` keeps them), a
minus at the start.
"""

from __future__ import annotations

import os
import re
import sys
from array import array
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import field, replace
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError, shell_word
from convcli.media.output_names import relative_path
from convcli.media.refusals import RealPaths, all_differ
from convcli.media.remote import RemotePlace
from convcli.places import is_folder, is_remote, place_of, refuse_no_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from convcli.media.files import Files
    from convcli.places import Place

STDIN = "-"
# The characters that make a name a pattern.
_WILDCARD = re.compile(r"[*?[]")
# Marks in a name where its {relative} part begins, as for `rsync --relative`.
_MARK = "/./"
_LONGEST_LIST = 1 << 30


@dataclass(frozen=True, slots=True)
class Listed:
    """An input as it was found.

    name : its path, `-` for standard input
    start : where the path below the folder or the fixed part of the pattern begins in `name`; -1
        for a file that was named itself
    """

    name: str
    start: int = -1

    @property
    def source(self) -> Place | None:
        """The file or the object; None is standard input."""
        return input_place(self.name)

    @property
    def nested(self) -> bool:
        """Whether a folder of outputs gets the subfolders that the input was found in."""
        return self.start >= 0

    @property
    def relative(self) -> str:
        """The path below the folder or the fixed part of the pattern that it was found by."""
        return self.name[self.start :] if self.nested else relative_path(self.name)


class ListedInputs(Sequence[Listed]):
    """Inputs that take little more memory than the bytes of their names."""

    def __init__(self, inputs: Iterable[Listed] = ()) -> None:
        self._names = bytearray()
        self._ends = array("Q")
        self._starts = array("q")
        self.extend(inputs)

    def extend(self, inputs: Iterable[Listed]) -> None:
        """Append inputs behind those that are listed."""
        for listed in inputs:
            self._names += os.fsencode(listed.name)
            self._ends.append(len(self._names))
            self._starts.append(listed.start)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, at: Any) -> Any:
        """The input at a position, or a list of those of a slice."""
        places = range(len(self))[at]
        if isinstance(places, range):
            return [self[place] for place in places]
        begin = self._ends[places - 1] if places else 0
        name = bytes(self._names[begin : self._ends[places]])
        return Listed(os.fsdecode(name), self._starts[places])


def input_place(name: str) -> Place | None:
    """The file or the object of a name; None is standard input."""
    return None if name == STDIN else place_of(name)


@dataclass(frozen=True, kw_only=True)
class InputWords:
    """Where the inputs of a command come from.

    words : files, `-`, folders and patterns as the user wrote them
    files_from : a file with one name a line, `-` for standard input; None if there is no list
    null : names in that file end with a NUL byte instead of a line end
    recursive : folders stand for the files in their subfolders too
    """

    words: Sequence[str] = ()
    files_from: str | None = None
    null: bool = False
    recursive: bool = False

    @property
    def several(self) -> bool:
        """Whether the words may stand for more than one input."""
        if self.files_from is not None or self.recursive or len(self.words) > 1:
            return True
        return any(_stands_for_several(word) for word in self.words)


@dataclass(frozen=True)
class Listing:
    """All inputs in their order, each once.

    duplicates : names that stood for an input that was listed before
    unreadable : for each folder below another one whose files could not be listed, its error
    """

    inputs: Sequence[Listed]
    duplicates: Sequence[str] = ()
    unreadable: Mapping[str, InputError] = field(default_factory=dict)

    def sources(self) -> Iterator[Place | None]:
        """The files; None is standard input."""
        for listed in self.inputs:
            yield listed.source

    @property
    def warnings(self) -> list[str]:
        """A sentence about the duplicates, if there are any."""
        if not self.duplicates:
            return []
        first = self.duplicates[0]
        more = len(self.duplicates) - 1
        others = f" and {more:,} more" if more else ""
        return [f"{first}{others}: named twice, taken once"]


def list_inputs(words: InputWords, files: Files | None) -> Listing:
    """List the inputs in the order of the words; names below a folder or from a list are sorted.

    files : a folder stands for those of its files whose suffix belongs to this medium; None for all

    Raises InputError if a folder or a pattern stands for no file, or a list cannot be read. A
    folder below another one that cannot be read is left out, and its error is in the listing.
    """
    found = ListedInputs()
    unreadable: dict[str, InputError] = {}
    search = _Search(recursive=words.recursive, files=files, unreadable=unreadable)
    for word in words.words:
        found.extend(search.listed_by(word))
    if words.files_from is not None:
        if words.files_from == STDIN and STDIN in words.words:
            raise RequestError("standard input cannot be a list of names and an input")
        found.extend(map(_named, sorted(_read_names(words))))
    if len(words.words) == 1 and words.files_from is None:
        # A folder or a pattern names no file twice.
        return Listing(found, unreadable=unreadable)
    return replace(_without_duplicates(found), unreadable=unreadable)


def _stands_for_several(word: str) -> bool:
    if is_remote(word):
        place = RemotePlace(word)
        return place.is_folder or place.is_pattern
    return _stands_for_folder(word) or is_pattern(word)


def _stands_for_folder(word: str) -> bool:
    # An empty word is a mistake, such as an empty variable, and not the current folder.
    return word != "" and is_folder(word)


def is_pattern(word: str) -> bool:
    """Whether a word stands for all files whose names match it: no file has this very name."""
    return _WILDCARD.search(word) is not None and not os.path.lexists(word)


def _named(name: str) -> Listed:
    """A file that was named itself; `/./` in its name marks where {relative} begins."""
    mark = name.find(_MARK)
    if mark < 0 or ".." in name[mark:].split("/"):
        # A file called - is not standard input.
        return Listed(name)
    if is_remote(name):
        # In a key `.` is not a folder.
        return Listed(name.replace(_MARK, "/", 1), start=mark + 1)
    return Listed(name, start=mark + len(_MARK))


@dataclass(frozen=True, kw_only=True)
class _Search:
    """How the files are found that a word stands for.

    files : a folder stands for those of its files whose suffix belongs to this medium; None for all
    unreadable : gets the errors of folders that cannot be read, by their names
    """

    recursive: bool
    files: Files | None
    unreadable: dict[str, InputError]

    def listed_by(self, word: str) -> Iterable[Listed]:
        """The inputs that a word stands for."""
        if word == STDIN:
            return [Listed(STDIN)]
        if is_remote(word):
            return self._remote(RemotePlace(word))
        refuse_no_path(word)
        if _stands_for_folder(word):
            return self._in_folder(word)
        if is_pattern(word):
            return self._matching(word)
        return [_named(word)]

    def _remote(self, place: RemotePlace) -> list[Listed]:
        """The objects that a URL stands for."""
        if not place.is_folder and not place.is_pattern:
            return [Listed(place.url)]
        from convcli.media.remote_listing import objects_in, objects_like

        if place.is_pattern:
            found = objects_like(place)
            if not found:
                raise _nothing_matches(place.url)
        else:
            has_suffix = _suffix_test(self.files)
            below = objects_in(place, recursive=self.recursive)
            found = [listed for listed in below if has_suffix(listed[0])]
            if not found:
                raise self._empty_folder(place.url)
        return [Listed(url, start=start) for url, start in found]

    def _in_folder(self, folder: str) -> Iterator[Listed]:
        """The files of a folder that the medium reads, without hidden ones."""
        base = os.path.join(folder, "")
        has_suffix = _suffix_test(self.files)
        count = 0
        for name in files_below(base, recursive=self.recursive, unreadable=self.unreadable):
            if has_suffix(name):
                count += 1
                yield Listed(name, start=len(base))
        self._refuse_unreadable(base)
        if count == 0:
            raise self._empty_folder(folder)

    def _empty_folder(self, folder: str) -> InputError:
        hint = f"a pattern names files of any suffix: {shell_word(os.path.join(folder, '*'))}"
        if not self.recursive:
            hint = "--recursive looks into its subfolders too"
        things = "files" if self.files is None else self.files.medium.things
        return InputError(f"the folder {folder} holds no {things}", hint=hint)

    def _matching(self, pattern: str) -> list[Listed]:
        """The files that match a pattern. `**` stands for any number of folders.

        As in a shell, a name with a dot in front is matched by a pattern with a dot in front alone.
        """
        before = _WILDCARD.split(pattern, maxsplit=1)[0]
        fixed = before.rfind("/") + 1
        base = pattern[:fixed]
        parts = [part for part in pattern[fixed:].split("/") if part]
        names = sorted(set(_matches(base, parts, self.unreadable)))
        self._refuse_unreadable(base)
        if not names:
            raise _nothing_matches(pattern)
        return [Listed(name, start=len(base)) for name in names]

    def _refuse_unreadable(self, folder: str) -> None:
        """Raise the error of the folder that was asked for, if it cannot be read."""
        error = self.unreadable.get(folder)
        if error is not None:
            raise error


# ------------------------------------------------------------------------------------------ folders


def _suffix_test(files: Files | None) -> Callable[[str], bool]:
    """Whether the suffix of a name belongs to a medium; each suffix is looked up once."""

    @cache
    def known(ending: str) -> bool:
        return files is None or files.has_suffix(Path(f"x{ending}"))

    def has_suffix(name: str) -> bool:
        # Two suffixes, because tables may be compressed: .csv.gz.
        _, *suffixes = os.path.basename(name).rsplit(".", 2)
        return known("".join(f".{suffix}" for suffix in suffixes))

    return has_suffix


def files_below(
    base: str, *, recursive: bool, unreadable: dict[str, InputError] | None = None
) -> Iterator[str]:
    """The visible files in a folder, and in those below it, in the order of their names.

    Links to folders are not followed.

    base : the folder, with a separator at the end; names begin with it
    unreadable : gets the errors of folders that cannot be read; None to raise the first one
    """
    open_folders = [(base, _visible_names(base, recursive, unreadable))]
    while open_folders:
        folder, names = open_folders[-1]
        name = next(names, None)
        if name is None:
            open_folders.pop()
        elif name.endswith(os.sep):
            inner = folder + name
            open_folders.append((inner, _visible_names(inner, recursive, unreadable)))
        else:
            yield folder + name


def _visible_names(
    folder: str,
    recursive: bool,  # noqa: FBT001 -- as `files_below` is asked
    unreadable: dict[str, InputError] | None,
) -> Iterator[str]:
    """The visible files in a folder and, where asked for, its folders, which end with a separator.

    With the separator a folder comes where the paths of its files do in the order of letters.
    """
    names = []
    for entry in _entries(folder, unreadable):
        if entry.name.startswith("."):
            continue
        if _is_input(entry):
            names.append(entry.name)
        elif recursive and entry.is_dir(follow_symlinks=False):
            names.append(entry.name + os.sep)
    names.sort()
    return iter(names)


def _is_input(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file, or a broken link: its error is reported when it is opened."""
    if entry.is_symlink():
        return os.path.isfile(entry.path) or _is_broken_link(entry.path)
    return entry.is_file()


def _is_broken_link(path: str) -> bool:
    return os.path.lexists(path) and not os.path.exists(path)


def _entries(folder: str, unreadable: dict[str, InputError] | None) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder. If it cannot be read: none, and its error in `unreadable`."""
    try:
        with os.scandir(folder or ".") as entries:
            yield from entries
    except OSError as cause:
        error = InputError(f"cannot read the folder {folder}: {cause.strerror}")
        if unreadable is None:
            raise error from cause
        unreadable[folder] = error


# ----------------------------------------------------------------------------------------- patterns


def _nothing_matches(pattern: str) -> InputError:
    return InputError(
        f"no file matches {pattern}", hint="** stands for any number of folders: 'in/**/*.wav'"
    )


def _matches(base: str, parts: list[str], unreadable: dict[str, InputError]) -> Iterator[str]:
    """The files below a folder whose path matches the parts of a pattern."""
    part, *rest = parts
    if part == "**":
        if not rest:
            yield from files_below(base, recursive=True, unreadable=unreadable)
            return
        for folder in _folders_below(base, unreadable):
            yield from _matches(folder, rest, unreadable)
        return
    for name in _names_like(base, part, unreadable):
        path = base + name
        if rest and os.path.isdir(path):
            yield from _matches(path + "/", rest, unreadable)
        elif not rest and (os.path.isfile(path) or _is_broken_link(path)):
            yield path


def _folders_below(base: str, unreadable: dict[str, InputError]) -> Iterator[str]:
    """A folder and all visible folders below it. Links to folders are not followed."""
    folders = [base]
    while folders:
        folder = folders.pop()
        yield folder
        folders += [
            os.path.join(folder, entry.name, "")
            for entry in _entries(folder, unreadable)
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        ]


def _names_like(folder: str, pattern: str, unreadable: dict[str, InputError]) -> Iterable[str]:
    """The names in a folder that match a part of a pattern."""
    if _WILDCARD.search(pattern) is None:
        return [pattern]
    if not os.path.isdir(folder or "."):
        return []
    matches = _compiled(pattern).match
    hidden = pattern.startswith(".")
    names = [entry.name for entry in _entries(folder, unreadable)]
    return [name for name in names if matches(name) and (hidden or not name.startswith("."))]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


# -------------------------------------------------------------------------------------------- lists


def _read_names(words: InputWords) -> Iterator[str]:
    """The names in a list, bytes that are not UTF-8 included. RequestError if it holds none.

    Lines may all end with CR LF, and a byte order mark may precede the first.
    """
    data = _read_list(words.files_from or "")
    separator = b"\0" if words.null else b"\n"
    if not words.null and data.count(b"\r\n") == data.count(b"\n") > 0:
        separator = b"\r\n"
        data = data.removeprefix(BOM_UTF8)
    if not words.null and b"\0" in data:
        raise RequestError(
            f"the list {words.files_from} holds NUL bytes", hint="-0 reads names that end with NUL"
        )
    begin = 0
    count = 0
    while begin < len(data):
        end = data.find(separator, begin)
        if end < 0:
            end = len(data)
        if end > begin:
            count += 1
            text = os.fsdecode(data[begin:end])
            yield os.path.join(".", text) if text == STDIN else text
        begin = end + len(separator)
    if count == 0:
        raise RequestError(f"the list {words.files_from} holds no names")


def _read_list(name: str) -> bytes:
    if name == STDIN and sys.stdin is None:
        raise RequestError(
            "no list: standard input is closed",
            hint="pipe names in: find ... -print0 | convcli ... --files-from - -0",
        )
    try:
        if name == STDIN:
            return _read_all(sys.stdin.buffer, "standard input")
        with place_of(name).open("rb") as file:
            return _read_all(file, name)
    except OSError as error:
        raise InputError(f"cannot read the list {name}: {error.strerror}") from error


def _read_all(file: BinaryIO, name: str) -> bytes:
    data = file.read(_LONGEST_LIST)
    if len(data) == _LONGEST_LIST:
        raise RequestError(f"the list {name} is longer than {_LONGEST_LIST:,} bytes")
    return data


# --------------------------------------------------------------------------------------- duplicates


def _without_duplicates(found: Sequence[Listed]) -> Listing:
    """Leave out inputs that are the same file as an earlier one, however its name is spelt."""
    real_paths = RealPaths()

    def key(listed: Listed) -> str:
        # Two names in one folder are two inputs, even if one is a link to the other.
        return STDIN if listed.name == STDIN else real_paths.of_name(listed.name)

    if all_differ(map(key, found)):
        return Listing(found)
    seen: set[str] = set()
    inputs = ListedInputs()
    duplicates = []
    for listed in found:
        own = key(listed)
        if own in seen:
            duplicates.append(listed.name)
            continue
        seen.add(own)
        inputs.extend([listed])
    return Listing(inputs, duplicates)
