"""Outputs: the path for each input, every refusal that is possible beforehand, and opening them."""

from __future__ import annotations

import os
import re
import stat
import sys
from array import array
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from convcli.dataclass import dataclass
from convcli.errors import InputError, OutputError, RequestError, nearest
from convcli.media.remote import RemotePlace, is_remote, place_of, shown
from convcli.media.replacing import (
    atomic,
    cannot_write,
    is_special,
    only_writing,
    refuse_full_disk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from convcli.places import Place
    from convcli.signals import Medium

__all__ = [
    "atomic",
    "check_input",
    "is_file",
    "is_folder",
    "is_special",
    "open_output",
    "plan_outputs",
    "stdout_binary",
]

FIELDS = ("stem", "suffix", "parent", "relative", "subfolder", "index")
_STDIN = "stdin"
STDOUT_NAMES = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_EXAMPLE = "-o 'out/{stem}_filtered{suffix}'"
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

# Device and inode of a file, the URL of an object.
Identity = tuple[int, int] | str


def plan_outputs(
    inputs: Sequence[Place | None],
    output: str | None,
    *,
    force: bool = False,
    in_place: bool = False,
    suffix: str | None = None,
) -> list[Place | None]:
    """The output of every input. Refuses whatever can be refused before the work; changes nothing.

    inputs : paths as the user wrote them; None is standard input
    output : the text of `-o`. None or `-` is standard output. `out/` is a folder, and so is the
        name of an existing folder if there are several inputs. A text with fields such as `{stem}`
        is a template, in which `{{` is a brace; see `OutputNames`. Anything else is a file
    suffix : replaces the suffix of the input in folders and templates (`.flac`); None keeps it

    Returns a path for each input, None for standard output. Folders of folder and template outputs
    may be missing: `atomic` makes them. Raises RequestError if a plan is refused, and OutputError
    if the folder of a file is missing.
    """
    if in_place and output is None:
        outputs: list[Place | None] = [in_place_output(source) for source in inputs]
    else:
        outputs = _name_outputs(inputs, output, suffix=suffix)
    _refuse_shared(inputs, outputs)
    sources = {_identity(source): source for source in inputs}
    sources.pop(None, None)
    for source, place in zip(inputs, outputs, strict=True):
        _refuse_input(source, place, sources, in_place=in_place)
        replaced = in_place and place is not None and _identity(place) == _identity(source)
        if place is not None and not replaced:
            refuse_existing(place, force=force)
    return outputs


def in_place_output(source: Place | None) -> Place:
    """The input as its own output. RequestError if it is no file."""
    if source is None:
        raise RequestError(
            "--in-place needs a file, but the input is standard input",
            hint="name the file, or use -o",
        )
    if is_special(source):
        raise RequestError(
            f"--in-place needs a file, but {source} is a device or a pipe", hint="use -o"
        )
    return source


def _name_outputs(
    inputs: Sequence[Place | None], output: str | None, *, suffix: str | None
) -> list[Place | None]:
    names = output_names(output, len(inputs), several=len(inputs) > 1, suffix=suffix)
    if isinstance(names, OutputNames):
        paths = [_STDIN if source is None else str(source) for source in inputs]
        named = enumerate(paths, start=1)
        return [place_of(names.of(number, path, relative_path(path))) for number, path in named]
    return [names] * len(inputs)


def output_names(
    output: str | None, count: int, *, several: bool, suffix: str | None
) -> OutputNames | Place | None:
    """How outputs are named: all of them, or the only one; None is standard output.

    output, suffix : as in `plan_outputs`
    count : number of inputs
    several : the inputs were named as many: by several words, a folder, a pattern or a list

    Raises RequestError if several inputs would share an output.
    """
    if output is None or output in STDOUT_NAMES:
        if count > 1:
            raise RequestError(
                f"{count} inputs cannot share standard output",
                hint=f"give a folder, -o out/, or a template, {_EXAMPLE}",
            )
        return None
    if output == "":
        raise RequestError(
            "-o needs the name of a file, a folder (out/) or a template, got an empty text"
        )
    is_template = "{" in output or "}" in output
    folder = output.endswith(("/", os.sep)) or (several and is_folder(output))
    if is_template or folder:
        return OutputNames(output, count, suffix=suffix, is_template=is_template)
    if count > 1:
        raise RequestError(
            f"{count} inputs cannot share the one output {output}",
            hint=f"give a folder, -o {output}/, or a template, {_EXAMPLE}",
        )
    place = place_of(output)
    refuse_missing_parent(place)
    return place


def relative_path(path: str) -> str:
    """The path of a file that was named itself, below the folder that it is relative to.

    It does not begin at the root and does not lead out of that folder. Of an object it is the key.
    """
    if is_remote(path):
        path = RemotePlace(path).plain_key
    inside = path.lstrip("/" + os.sep)
    parts = Path(inside).parts
    return parts[-1] if ".." in parts else inside


@dataclass(frozen=True)
class OutputNames:
    """Outputs that are named after their inputs, by a folder or a template.

    output : the folder or the template. Its fields are `{stem}` and `{suffix}` of the input's name,
        `{parent}`, the folder of its path, `{relative}`, its path below the folder or the fixed
        part of the pattern that it was found by, `{subfolder}`, the folder of that, and `{index}`,
        its number from 1, with zeros in front so that names sort
    count : number of inputs
    suffix : replaces the suffix of the input; None keeps it
    """

    output: str
    count: int
    suffix: str | None = None
    is_template: bool = True

    def of(self, number: int, path: str, relative: str, *, nested: bool = False) -> str:
        """The output of an input.

        number : of the input, from 1
        nested : a folder of outputs gets the subfolders of `relative`
        """
        subfolder, name = os.path.split(relative)
        stem, suffix = _split_suffix(name)
        if self.suffix is not None:
            suffix = self.suffix
        if not self.is_template:
            return os.path.join(self.output, subfolder if nested else "", stem + suffix)
        fields = {
            "stem": stem,
            "suffix": suffix,
            "parent": os.path.dirname(shown(path)) or ".",
            "relative": os.path.join(subfolder, stem + suffix),
            "subfolder": subfolder or ".",
            "index": f"{number:0{len(str(self.count))}}",
        }
        filled = _fill_template(self.output, fields)
        # In a store `.` is no folder.
        return filled.replace("/./", "/") if is_remote(filled) else filled


def _split_suffix(name: str) -> tuple[str, str]:
    """The stem and the suffix of a name, as `Path` has them."""
    dot = name.rfind(".")
    if 0 < dot < len(name) - 1:
        return name[:dot], name[dot:]
    return name, ""


def _fill_template(template: str, fields: Mapping[str, str]) -> str:
    """Replace the fields of a template in one pass, so that braces in their values are kept."""

    def value(match: re.Match[str]) -> str:
        text = match[0]
        name = match[1]
        if text in ("{{", "}}"):
            return text[0]
        if name in fields:
            return fields[name]
        raise _unknown_field(text, name, template)

    return _FIELD.sub(value, template)


def _unknown_field(text: str, name: str | None, template: str) -> RequestError:
    near = nearest(name, list(FIELDS)) if name else None
    hint = "write {{ or }} for a brace in the name itself"
    if near is not None:
        hint = f"did you mean {{{near}}}?"
    known = " ".join(f"{{{field}}}" for field in FIELDS)
    return RequestError(
        f"{text} in the output {template} is no field; the fields are {known}", hint=hint
    )


def refuse_missing_parent(path: Place) -> None:
    """Raise OutputError if the folder of `path` is missing. Object stores have no folders.

    Only `-o out/` and templates make folders.
    """
    if not isinstance(path, Path):
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
            f"cannot write {path}: there is no folder {parent}", hint=f"mkdir -p {parent}"
        )
    if not parent.is_dir():
        raise OutputError(f"cannot write {path}: {parent} is not a folder")


def _refuse_shared(inputs: Sequence[Place | None], outputs: Sequence[Place | None]) -> None:
    """Raise RequestError if two inputs have the same output, by any spelling or link."""

    def name_at(at: int) -> str | None:
        place = outputs[at]
        return None if place is None else str(place)

    refuse_shared_outputs(len(inputs), name_at, lambda at: _source_name(inputs[at]))


def refuse_shared_outputs(
    count: int, output_of: Callable[[int], str | None], input_of: Callable[[int], str]
) -> None:
    """Raise RequestError that names both inputs if two have the same output, by any spelling.

    output_of, input_of : the names of the output and of the input at a position; asked for again
        rather than kept, so that the outputs of 100,000 inputs take no memory
    """
    if count < 2:
        return
    import numpy as np

    real_paths = RealPaths()
    hashes = array("q")
    for at in range(count):
        key = real_paths.key(output_of(at))
        if key is not None:
            hashes.append(hash(key))
    # Sorted numbers take a tenth of the memory of a set.
    numbers = np.frombuffer(hashes, np.int64).copy()
    numbers.sort()
    if not np.any(numbers[1:] == numbers[:-1]):
        return
    taken: dict[object, int] = {}
    for at in range(count):
        place = output_of(at)
        key = real_paths.key(place)
        if key is None:
            continue
        other = taken.setdefault(key, at)
        if other != at:
            raise RequestError(
                f"{input_of(other)} and {input_of(at)} would both be written to {place}",
                hint="tell them apart with {index} or {relative}: -o 'out/{index}_{stem}{suffix}'",
            )


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
        place = output_of(at)
        found = _stdout_identity() if place is None else _identity(place_of(place))
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
        place = output_of(at)
        output = None if place is None else place_of(place)
        _refuse_input(source_of(at), output, sources, in_place=False)


def _refuse_input(
    source: Place | None,
    place: Place | None,
    sources: Mapping[Identity | None, Place | None],
    *,
    in_place: bool,
) -> None:
    """Raise RequestError if an output is an input: its own without --in-place, or another one."""
    here = _stdout_identity() if place is None else _identity(place)
    if here is None or here not in sources:
        return
    target = "standard output" if place is None else str(place)
    other = sources[here]
    if here != _identity(source):
        raise RequestError(
            f"the output {target} of {_source_name(source)} is another input, "
            f"{_source_name(other)}",
            hint="write it somewhere else",
        )
    if place is None or source is None or not in_place:
        raise RequestError(
            f"the output {target} is the input {_source_name(other)}",
            hint="write somewhere else, or use --in-place to replace the input",
        )


def refuse_existing(path: Place, *, force: bool) -> None:
    """Raise RequestError if an output exists and `force` is not set, or if it is a folder."""
    if not isinstance(path, Path):
        if not force and place_exists(path):
            raise RequestError(f"the output {path} exists already", hint="--force replaces it")
        return
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_write(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        inside = f"{path}/".replace("//", "/")
        raise RequestError(
            f"expected an output file, but {path} is a folder",
            hint=f"-o {inside} writes into it under the input's name",
        )
    if stat.S_ISREG(found.st_mode) and not force:
        raise RequestError(f"the output {path} exists already", hint="--force replaces it")


def _identity(path: Place | None) -> Identity | None:
    """Device and inode of a file, whatever its name; None if there is no file to overwrite.

    An object is the one of its URL, whether there is one or not. A `path` of None is standard
    input.
    """
    if path is not None and not isinstance(path, Path):
        return str(path)
    try:
        found = os.fstat(0) if path is None else path.stat()
    except OSError:
        return None
    if stat.S_ISCHR(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return None
    return (found.st_dev, found.st_ino)


def _stdout_identity() -> Identity | None:
    """The regular file that standard output is redirected to, or None."""
    try:
        found = os.fstat(1)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _source_name(source: Place | None) -> str:
    return "standard input" if source is None else str(source)


def same_place(one: Place, other: Place) -> bool:
    """Whether two places are one file or one object, by any spelling or link."""
    identity = _identity(one)
    return identity is not None and identity == _identity(other)


def place_exists(place: Place) -> bool:
    """Whether there is a file, a link or an object. OutputError if a store cannot be asked."""
    if isinstance(place, Path):
        return os.path.lexists(place)
    from convcli.media.remote_writer import object_exists

    return object_exists(cast("RemotePlace", place))


def remove_place(place: Place) -> None:
    """Remove a file or an object, if there is one. OSError or OutputError if it stays."""
    if isinstance(place, Path):
        place.unlink(missing_ok=True)
        return
    from convcli.media.remote_writer import remove_object

    remove_object(cast("RemotePlace", place))


def is_file(name: str | Path) -> bool:
    """Whether there is a file of this name. A text that cannot be a name is none."""
    with suppress(OSError, ValueError):
        return Path(name).is_file()
    return False


def is_folder(name: str | Path) -> bool:
    """Whether there is a folder of this name. A text that cannot be a name is none."""
    with suppress(OSError, ValueError):
        return Path(name).is_dir()
    return False


def local_folder(place: Place) -> Path | None:
    """The place if it is a folder of this machine, else None."""
    return place if isinstance(place, Path) and is_folder(place) else None


def check_input(path: Path) -> None:
    """Raise InputError if `path` is missing, is a folder, or may not be read."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        if path.is_symlink():
            target = os.readlink(path)
            raise InputError(f"the link {path} leads to {target}, which does not exist") from error
        raise InputError(f"there is no file {path}", hint=_similar(path)) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if stat.S_ISDIR(found.st_mode):
        pattern = str(path / "*")
        raise InputError(
            f"expected a file, but {path} is a folder", hint=f"name the files in it: {pattern}"
        )
    if not os.access(path, os.R_OK):
        raise InputError(f"cannot read {path}: Permission denied")


def _similar(path: Path) -> str | None:
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


def stdout_binary(medium: Medium) -> BinaryIO:
    """Standard output as a stream of bytes. RequestError refuses binary data on a terminal."""
    if sys.stdout is None:
        raise OutputError("cannot write to standard output: it is closed")
    _refuse_terminal(sys.stdout.buffer, medium)
    return sys.stdout.buffer


def _refuse_terminal(stream: BinaryIO, medium: Medium) -> None:
    if medium.binary and stream.isatty():
        raise RequestError(
            f"{medium.thing} is not written to a terminal",
            hint="give a file, -o FILE, or pipe it into a program",
        )


@contextmanager
def open_output(
    path: Place | None, *, medium: Medium, replace: bool = True
) -> Iterator[Path | BinaryIO]:
    """Open the place of a result; None is standard output.

    replace : as of `atomic`

    Standard output and devices are yielded as open streams, a file or an object as the path of a
    temporary file that becomes `path` at the end. A sink that gets a `Path` may seek and reopen it,
    and must have closed it when the context ends.
    """
    if path is None:
        stream = stdout_binary(medium)
        with refuse_full_disk(Path("standard output")):
            yield stream
        with only_writing(None):
            stream.flush()
    elif isinstance(path, Path) and is_special(path):
        with refuse_full_disk(path), _open_for_writing(path) as stream:
            _refuse_terminal(stream, medium)
            yield stream
    else:
        with atomic(path, replace=replace) as temporary:
            yield temporary


def _open_for_writing(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise cannot_write(path, error) from error
