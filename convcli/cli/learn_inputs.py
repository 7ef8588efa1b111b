"""The files that `convcli learn` reads: inputs with their targets, from files, two folders, or pipes."""

from __future__ import annotations

import math
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcli.cli import tell
from convcli.cli.opening import Opening, medium_of
from convcli.cli.single import about, called, spooled
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.facts import InputFacts
from convcli.media.outputs import check_input, is_folder, is_special

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack

    from convcli.learning.pairs import Pair
    from convcli.signals import Medium, Source


@dataclass(frozen=True)
class InputFile:
    """A file, and the name that the user knows it by.

    path : where its bytes are; those of a pipe are kept in a temporary file, to be read twice
    """

    name: str
    path: Path


FilePair = tuple[InputFile, InputFile | None]


@dataclass(frozen=True)
class LearnInputs:
    """Inputs and targets, and the files that they were opened from."""

    files: Sequence[FilePair]
    pairs: Sequence[Pair]

    @property
    def size(self) -> int | None:
        """Number of input samples; None if it is not known before reading."""
        shapes = [pair.source.signal.shape for pair in self.pairs]
        total = 0
        for shape in shapes:
            known = [n for n in shape if n is not None]
            if len(known) < len(shape):
                return None
            total += math.prod(known)
        return total

    def facts(self) -> list[InputFacts]:
        """Facts of all files, each input followed by its target."""
        found = []
        for (source, target), pair in zip(self.files, self.pairs, strict=True):
            found.append(_facts(source, pair.source))
            if target is not None and pair.target is not None:
                found.append(_facts(target, pair.target))
        return found

    def length_warnings(self) -> Iterator[str]:
        """One warning for each pair whose input and target differ in length."""
        for (source, target), pair in zip(self.files, self.pairs, strict=True):
            if target is None or pair.target is None:
                continue
            lengths = (pair.source.signal.shape, pair.target.signal.shape)
            if lengths[0] != lengths[1] and None not in (*lengths[0], *lengths[1]):
                yield (
                    f"{source.name} and {target.name} differ in length: "
                    "what both have is learned from"
                )


def _facts(file: InputFile, source: Source[Any]) -> InputFacts:
    return InputFacts.of(file.name, source.signal)


# ------------------------------------------------------------------------------------------- files


def files_of(paths: Sequence[Path], held: ExitStack) -> list[FilePair]:
    """Files that belong together: one input alone, or inputs and targets in turn.

    Two folders give pairs of the same names. What comes through a pipe is kept until `held` closes.
    """
    if [str(path) for path in paths].count("-") > 1:
        raise RequestError(
            "standard input can be read only once", hint="name a file: convcli learn - clean.wav"
        )
    if len(paths) == 1:
        return [(_input_file(path, held), None) for path in _files_in(paths[0])]
    if len(paths) % 2:
        raise RequestError(
            f"{paths[-1]} has no target: inputs and targets stand in turn", hint="IN1 OUT1 IN2 OUT2"
        )
    found: list[FilePair] = []
    for source, target in zip(paths[::2], paths[1::2], strict=True):
        for one, other in _matched(source, target):
            found.append((_input_file(one, held), _input_file(other, held)))
    return found


def medium_of_files(files: Sequence[FilePair]) -> Medium:
    """The medium of the first file that says it."""
    return medium_of([file.path for pair in files for file in pair if file is not None])


def _matched(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Two files, or the files of two folders that have the same names."""
    if is_folder(source) != is_folder(target):
        folder, file = (source, target) if is_folder(source) else (target, source)
        raise RequestError(
            f"{folder} is a folder and {file} is none", hint="two files, or two folders"
        )
    if not is_folder(source):
        return [(source, target)]
    files = _files_in(source)
    missing = [path.name for path in files if not (target / path.name).is_file()]
    if missing:
        raise RequestError(
            f"{target} has no {missing[0]}, which is in {source}", hint="pairs have the same names"
        )
    return [(path, target / path.name) for path in files]


def _files_in(path: Path) -> list[Path]:
    """The visible files of a folder by name, or the file itself."""
    if not is_folder(path):
        return [path]
    visible = [each for each in path.iterdir() if not each.name.startswith(".")]
    files = sorted(each for each in visible if each.is_file())
    if not files:
        raise RequestError(f"the folder {path} holds no files")
    return files


def _input_file(path: Path, held: ExitStack) -> InputFile:
    if str(path) == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise RequestError(
                "no input", hint="name a file, or pipe one in: ... | convcli learn - clean.wav"
            )
        name = "standard input"
        return _kept(name, held.enter_context(spooled(sys.stdin.buffer, name)), held)
    check_input(path)
    if not is_special(path):
        return InputFile(str(path), path)
    stream = held.enter_context(path.open("rb"))
    return _kept(str(path), held.enter_context(spooled(stream, str(path))), held)


def _kept(name: str, path: Path, held: ExitStack) -> InputFile:
    if path.stat().st_size == 0:
        raise InputError(f"{name} is empty: expected a sound, a table or a picture")
    held.enter_context(called(name, path))
    return InputFile(name, path)


# ----------------------------------------------------------------------------------------- opening


def open_inputs(
    files: Sequence[FilePair], opening: Opening, held: ExitStack, *, quiet: bool
) -> LearnInputs:
    """Open all files. The first page of a picture is taken, and a warning says so."""
    from convcli.learning.pairs import Pair

    def source_of(file: InputFile) -> Source[Any]:
        sources, warnings = held.enter_context(_opened(file, opening))
        if len(sources) > 1:
            pages = f"{file.name}: of {len(sources)} pages the first is learned from"
            warnings = [*warnings, pages]
        if not quiet:
            for warning in warnings:
                tell(warning.replace(str(file.path), file.name), kind="warning")
        return sources[0]

    pairs = []
    for source, target in files:
        opened = source_of(source)
        opened_target = None if target is None else source_of(target)
        pairs.append(Pair(opened, opened_target, source.name))
    return LearnInputs(files, pairs)


@contextmanager
def _opened(file: InputFile, opening: Opening) -> Iterator[tuple[Sequence[Source[Any]], list[str]]]:
    """The sources of a file; an error while it is opened names the file."""
    try:
        context = opening.input(file.path)
        opened = context.__enter__()
    except ConvcliError as error:
        raise about(Path(file.name), error, read=file.path) from None
    try:
        yield opened
    finally:
        context.__exit__(None, None, None)
