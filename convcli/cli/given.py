"""The examples that `convcli learn` is given: pairs of files, of two folders, or of pipes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcli.cli import tell
from convcli.cli.opening import Input, first_page, name_input, read_input
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.facts import InputFacts
from convcli.media.outputs import is_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from convcli.media.files import Files
    from convcli.signals import Source


Pair = tuple[Input, Input | None]


def pairs_of(paths: Sequence[Path], held: ExitStack) -> list[Pair]:
    """The files that belong together: inputs and targets in turn, or one input alone; those of two folders by name."""
    if [str(path) for path in paths].count("-") > 1:
        raise RequestError(
            "standard input can be read only once", hint="name a file: convcli learn - clean.wav"
        )
    if len(paths) == 1:
        return [(_given(path, held), None) for path in _files(paths[0])]
    if len(paths) % 2:
        raise RequestError(
            f"{paths[-1]} has no target: inputs and targets stand in turn", hint="IN1 OUT1 IN2 OUT2"
        )
    pairs = [
        pair
        for source, clean in zip(paths[::2], paths[1::2], strict=True)
        for pair in _paired(source, clean)
    ]
    return [(_given(source, held), _given(clean, held)) for source, clean in pairs]


def _paired(source: Path, clean: Path) -> list[tuple[Path, Path]]:
    """Two files, or those with the same names in two folders."""
    if is_folder(source) != is_folder(clean):
        folder, file = (source, clean) if is_folder(source) else (clean, source)
        raise RequestError(
            f"{folder} is a folder and {file} is none", hint="two files, or two folders"
        )
    if not is_folder(source):
        return [(source, clean)]
    files = _files(source)
    missing = [path.name for path in files if not (clean / path.name).is_file()]
    if missing:
        raise RequestError(
            f"{clean} has no {missing[0]}, which is in {source}", hint="pairs have the same names"
        )
    return [(path, clean / path.name) for path in files]


def _files(path: Path) -> list[Path]:
    """The files of a folder by name, or the file itself."""
    if not is_folder(path):
        return [path]
    files = sorted(
        each for each in path.iterdir() if each.is_file() and not each.name.startswith(".")
    )
    if not files:
        raise RequestError(f"the folder {path} holds no files")
    return files


def _given(path: Path, held: ExitStack) -> Input:
    named = None if str(path) == "-" else path
    given = read_input(named, held, twice=True, example="convcli learn - clean.wav")
    kept = given.path
    if kept is not None and kept != named and kept.stat().st_size == 0:
        raise InputError(f"{given.name} is empty: expected a sound, a table or a picture")
    return given


def opened_pairs(
    pairs: Sequence[Pair], files: Files, held: ExitStack, *, quiet: bool
) -> list[tuple[Source[Any], Source[Any] | None]]:
    """The sources of all pairs. Of a picture of several pages the first is taken, and that is said."""

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

    return [
        (source_of(given), None if clean is None else source_of(clean)) for given, clean in pairs
    ]


def check_pairs(
    pairs: Sequence[Pair],
    opened: Sequence[tuple[Source[Any], Source[Any] | None]],
    delay: tuple[int, ...] | None,
) -> None:
    """Refuse pairs that do not fit, before any work; of several it is said which."""
    from convcli.learning.pairs import check_pair

    for (given, _), (source, target) in zip(pairs, opened, strict=True):
        try:
            check_pair(opened[0][0].signal, source, target, delay=delay)
        except ConvcliError as error:
            raise (name_input(error, given.name) if len(pairs) > 1 else error) from None


def input_facts(
    pairs: Sequence[Pair], opened: Sequence[tuple[Source[Any], Source[Any] | None]]
) -> list[InputFacts]:
    """What was read, inputs and targets in turn."""
    both = zip(
        [one for pair in pairs for one in pair if one is not None],
        [one for pair in opened for one in pair if one is not None],
        strict=True,
    )
    return [
        InputFacts(
            path=given.name,
            medium=own.medium.name,
            shape=own.shape,
            channels=own.channels,
            rate=own.rate,
        )
        for given, source in both
        for own in [source.signal]
    ]


def size_of(opened: Sequence[tuple[Source[Any], Source[Any] | None]]) -> int | None:
    """How many samples there are to learn from; None where that is not known beforehand."""
    shapes = [source.signal.shape for source, _ in opened]
    return (
        sum(math.prod(n or 0 for n in shape) for shape in shapes)
        if all(None not in s for s in shapes)
        else None
    )
