"""The files that `convcli learn` reads: inputs and targets, from files, folders or pipes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcli.cli import tell
from convcli.cli.opening import Input, first_page, read_input
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.facts import InputFacts
from convcli.media.inputs import local_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack

    from convcli.learning.pairs import Pair
    from convcli.media.files import Files
    from convcli.places import Place
    from convcli.signals import Source


InputPair = tuple[Input, Input | None]


@dataclass(frozen=True)
class LearnInputs:
    """Inputs and targets, and the files that they were opened from."""

    files: Sequence[InputPair]
    pairs: Sequence[Pair]

    @property
    def size(self) -> int | None:
        """Number of input samples; None if it is not known before reading."""
        shapes = [pair.source.signal.shape for pair in self.pairs]
        if any(None in shape for shape in shapes):
            return None
        return sum(math.prod(n or 0 for n in shape) for shape in shapes)

    def facts(self) -> list[InputFacts]:
        """Facts of all files, each input followed by its target."""
        found = []
        for (source, target), pair in zip(self.files, self.pairs, strict=True):
            found.append(InputFacts.of(source.name, pair.source.signal))
            if target is not None and pair.target is not None:
                found.append(InputFacts.of(target.name, pair.target.signal))
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


# ------------------------------------------------------------------------------------------- files


def pairs_of(paths: Sequence[Place], held: ExitStack) -> list[InputPair]:
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
            f"{paths[-1]} has no target: inputs and targets take turns", hint="IN1 OUT1 IN2 OUT2"
        )
    found: list[InputPair] = []
    for source, target in zip(paths[::2], paths[1::2], strict=True):
        for one, other in _folder_pairs(source, target):
            found.append((_input_file(one, held), _input_file(other, held)))
    return found


def _folder_pairs(source: Place, target: Place) -> Sequence[tuple[Place, Place]]:
    """Two files, or the files of two folders that have the same names."""
    sources = local_folder(source)
    targets = local_folder(target)
    if sources is None and targets is None:
        return [(source, target)]
    if sources is None or targets is None:
        folder, file = (target, source) if sources is None else (source, target)
        raise RequestError(
            f"{folder} is a folder and {file} is none", hint="two files, or two folders"
        )
    files = _files_in_folder(sources)
    missing = [path.name for path in files if not (targets / path.name).is_file()]
    if missing:
        raise RequestError(
            f"{targets} has no {missing[0]}, which is in {sources}",
            hint="pairs have the same names",
        )
    return [(path, targets / path.name) for path in files]


def _files_in(place: Place) -> Sequence[Place]:
    """The visible files of a folder by name, or the file itself."""
    folder = local_folder(place)
    return [place] if folder is None else _files_in_folder(folder)


def _files_in_folder(folder: Path) -> list[Path]:
    from convcli.batch.listing import files_below

    files = [Path(name) for name in sorted(files_below(f"{folder}/", recursive=False))]
    if not files:
        raise RequestError(f"the folder {folder} holds no files")
    return files


def _input_file(path: Place, held: ExitStack) -> Input:
    named = None if str(path) == "-" else path
    given = read_input(named, held, twice=True, example="convcli learn - clean.wav")
    kept = given.path
    if kept is not None and kept != named and kept.stat().st_size == 0:
        raise InputError(f"{given.name} is empty: expected a sound, a table or a picture")
    return given


# ----------------------------------------------------------------------------------------- opening


def open_inputs(
    inputs: Sequence[InputPair], files: Files, held: ExitStack, *, quiet: bool
) -> LearnInputs:
    """Open all files. The first page of a picture is taken, and a warning says so."""
    from convcli.learning.pairs import Pair

    def source_of(given: Input) -> Source[Any]:
        try:
            opened = held.enter_context(given.opened(files))
        except ConvcliError as error:
            raise given.explain(error) from None
        source, warnings = first_page(opened, given.name, "learned from")
        if not quiet:
            for warning in warnings:
                tell(given.message(warning), kind="warning")
        return source

    pairs = []
    for source, target in inputs:
        opened = source_of(source)
        opened_target = None if target is None else source_of(target)
        pairs.append(Pair(opened, opened_target, source.name))
    return LearnInputs(inputs, pairs)
