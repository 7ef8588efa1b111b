"""Outputs: the path for each input, every refusal that is possible beforehand, and opening them."""

from __future__ import annotations

import os
import re
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from convcli.errors import InputError, OutputError, RequestError, nearest
from convcli.media.replacing import (
    atomic,
    cannot_write,
    is_special,
    only_writing,
    refuse_full_disk,
    scratch,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    "scratch",
    "stdout_binary",
]

FIELDS = ("stem", "suffix", "parent", "index")
STDOUT_NAMES = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_EXAMPLE = "-o 'out/{stem}_filtered{suffix}'"
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

Identity = tuple[int, int]


def plan_outputs(
    inputs: Sequence[Path | None],
    output: str | None,
    *,
    force: bool = False,
    in_place: bool = False,
    suffix: str | None = None,
) -> list[Path | None]:
    """The output of every input. Refuses whatever can be refused before the work; changes nothing.

    inputs : paths as the user wrote them; None is standard input
    output : the text of `-o`. None or `-` is standard output. `out/` is a folder, and so is the
        name of an existing folder if there are several inputs. A text with `{stem}` `{suffix}`
        `{parent}` `{index}` is a template, in which `{{` is a brace. Anything else is a file
    suffix : replaces the suffix of the input in folders and templates (`.flac`); None keeps it

    Returns a path for each input, None for standard output. Folders of folder and template outputs
    may be missing: `atomic` makes them. Raises RequestError if a plan is refused, and OutputError
    if the folder of a file is missing.
    """
    if in_place and output is None:
        outputs: list[Path | None] = [_in_place(source) for source in inputs]
    else:
        outputs = _name_outputs(inputs, output, suffix=suffix)
    _refuse_shared(inputs, outputs)
    sources = {_identity(source): source for source in inputs}
    sources.pop(None, None)
    for source, place in zip(inputs, outputs, strict=True):
        _refuse_input(source, place, sources, in_place=in_place)
        replaced = in_place and place is not None and _identity(place) == _identity(source)
        if place is not None and not replaced:
            _refuse_existing(place, force=force)
    return outputs


def _in_place(source: Path | None) -> Path:
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
    inputs: Sequence[Path | None], output: str | None, *, suffix: str | None
) -> list[Path | None]:
    if output is None or output in STDOUT_NAMES:
        if len(inputs) > 1:
            raise RequestError(
                f"{len(inputs)} inputs cannot share standard output",
                hint=f"give a folder, -o out/, or a template, {_EXAMPLE}",
            )
        return [None] * len(inputs)
    if output == "":
        raise RequestError(
            "-o needs the name of a file, a folder (out/) or a template, got an empty text"
        )
    if "{" in output or "}" in output:
        return [Path(_fill_template(output, fields)) for fields in _fields(inputs, suffix)]
    folder = output.endswith(("/", os.sep))
    if folder or (len(inputs) > 1 and is_folder(output)):
        return [
            Path(output, fields["stem"] + fields["suffix"]) for fields in _fields(inputs, suffix)
        ]
    if len(inputs) > 1:
        raise RequestError(
            f"{len(inputs)} inputs cannot share the one output {output}",
            hint=f"give a folder, -o {output}/, or a template, {_EXAMPLE}",
        )
    refuse_missing_parent(Path(output))
    return [Path(output)] * len(inputs)


def _fields(inputs: Sequence[Path | None], suffix: str | None) -> Iterator[Mapping[str, str]]:
    """The values of the fields of a template, for each input.

    `{index}` counts from 1, with zeros in front so that names sort.
    """
    width = len(str(len(inputs)))
    for number, source in enumerate(inputs, start=1):
        path = Path("stdin") if source is None else source
        yield {
            "stem": path.stem,
            "suffix": path.suffix if suffix is None else suffix,
            "parent": str(path.parent),
            "index": f"{number:0{width}}",
        }


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


def refuse_missing_parent(path: Path) -> None:
    """Raise OutputError if the folder of `path` is missing.

    Only `-o out/` and templates make folders.
    """
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


def _refuse_shared(inputs: Sequence[Path | None], outputs: Sequence[Path | None]) -> None:
    """Raise RequestError if two inputs have the same output, by any spelling or link."""
    taken: dict[str | Identity, Path | None] = {}
    for source, place in zip(inputs, outputs, strict=True):
        if place is None or is_special(place):
            continue
        keys: list[str | Identity | None] = [os.path.realpath(place), _identity(place)]
        for key in keys:
            if key is None:
                continue
            if key in taken:
                one, other = _source_name(taken[key]), _source_name(source)
                raise RequestError(
                    f"{one} and {other} would both be written to {place}",
                    hint="tell them apart with {index} or {parent}: "
                    "-o 'out/{index}_{stem}{suffix}'",
                )
        taken.update({key: source for key in keys if key is not None})


def _refuse_input(
    source: Path | None,
    place: Path | None,
    sources: Mapping[Identity | None, Path | None],
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


def _refuse_existing(path: Path, *, force: bool) -> None:
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


def _identity(path: Path | None) -> Identity | None:
    """Device and inode of a file, whatever its name; None if there is no file to overwrite.

    A `path` of None is standard input.
    """
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


def _source_name(source: Path | None) -> str:
    return "standard input" if source is None else str(source)


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


def check_input(path: Path) -> None:
    """Raise InputError if `path` is missing, is a folder, or may not be read."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
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
def open_output(path: Place | None, *, medium: Medium) -> Iterator[Path | BinaryIO]:
    """Open the place of a result; None is standard output.

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
        with atomic(path) as temporary:
            yield temporary


def _open_for_writing(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise cannot_write(path, error) from error
