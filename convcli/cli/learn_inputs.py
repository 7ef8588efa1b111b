"""The files that `convcli learn` reads: inputs and targets, from files, folders or pipes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcli.batch.listing import STDIN, InputWords, list_inputs
from convcli.cli import print_message
from convcli.cli.opening import FirstPage, Input, read_input
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.facts import InputFacts
from convcli.media.remote import remote_place, text_of
from convcli.places import Place, local_folder, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack

    from convcli.cli.learn_options import LearnOptions
    from convcli.learning.pairs import Pair
    from convcli.learning.partial_sums import ShareOfInputs
    from convcli.media.files import Files
    from convcli.signals import Source


InputPair = tuple[Input, Input | None]


@dataclass(frozen=True)
class LearnInputs:
    """Inputs and targets, and the files that they were opened from.

    pages : the pages of these files that are learned from
    share : which inputs of a longer list they are
    """

    files: Sequence[InputPair]
    pairs: Sequence[Pair]
    pages: Sequence[FirstPage]
    share: ShareOfInputs | None = None

    @property
    def size(self) -> int | None:
        """Number of input samples; None if it is not known before reading."""
        shapes = [pair.source.signal.shape for pair in self.pairs]
        if any(None in shape for shape in shapes):
            return None
        total = 0
        for shape in shapes:
            known = [n or 0 for n in shape]
            total += math.prod(known)
        return total

    def facts(self) -> list[InputFacts]:
        """Facts of all files, each input followed by its target."""
        found = []
        for (source, target), pair in zip(self.files, self.pairs, strict=True):
            found.append(InputFacts.of(source.name, pair.source.signal))
            if target is not None and pair.target is not None:
                found.append(InputFacts.of(target.name, pair.target.signal))
        return found

    def late_warnings(self) -> Iterator[str]:
        """Warnings about what was found while the files were read, their lengths among it."""
        for page in self.pages:
            yield from page.late_warnings
        yield from self._length_warnings()

    def all_warnings(self) -> Iterator[str]:
        """Everything that is odd about the files, after they were read."""
        for page in self.pages:
            yield from page.warnings
        yield from self.late_warnings()

    def _length_warnings(self) -> Iterator[str]:
        """One warning for each pair whose input and target differ in length."""
        for (source, target), pair in zip(self.files, self.pairs, strict=True):
            if target is None or pair.target is None or pair.target_rate is not None:
                continue
            lengths = (pair.source.signal.shape, pair.target.signal.shape)
            if lengths[0] != lengths[1] and None not in (*lengths[0], *lengths[1]):
                yield (
                    f"{source.name} and {target.name} differ in length: "
                    "what both have is learned from"
                )


# ------------------------------------------------------------------------------------------- files


# Names of an input and of its target; None for an input that has none.
PlacePair = tuple[Place, Place | None]


def named_pairs(options: LearnOptions) -> list[PlacePair]:
    """The inputs, each alone or with the target that belongs to it.

    A folder or a pattern of inputs goes with a folder of targets that have the same names, below
    the folder or below the fixed part of the pattern.
    """
    paths = options.paths
    if [str(path) for path in paths].count("-") > 1:
        raise RequestError(
            "standard input can be read only once", hint="name a file: convcli learn - clean.wav"
        )
    if options.files_from is not None:
        words = InputWords(
            files_from=options.files_from, null=options.null, recursive=options.recursive
        )
        return _listed_pairs(words, paths)
    if len(paths) == 1:
        return _listed_pairs(_input_words(paths[0], options), [])
    if len(paths) % 2:
        raise RequestError(
            f"{paths[-1]} has no target: inputs and targets take turns", hint="IN1 OUT1 IN2 OUT2"
        )
    found: list[PlacePair] = []
    for source, target in zip(paths[::2], paths[1::2], strict=True):
        words = _input_words(source, options)
        if words.several or _is_folder(target):
            found += _listed_pairs(words, [target])
        else:
            found.append((source, target))
    return found


def _input_words(source: Place, options: LearnOptions) -> InputWords:
    return InputWords(words=[text_of(source)], recursive=options.recursive)


def _is_folder(place: Place) -> bool:
    remote = remote_place(place)
    if remote is not None:
        return remote.is_folder
    return local_folder(place) is not None


def _listed_pairs(words: InputWords, targets: Sequence[Place]) -> list[PlacePair]:
    """The inputs that some words stand for, with the files of the same names in a folder.

    targets : the folder; none where inputs have no targets
    """
    listing = list_inputs(words, None)
    for error in listing.unreadable.values():
        raise error
    listed = listing.inputs
    places = [each.source or Path(STDIN) for each in listed]
    if not targets:
        return [(place, None) for place in places]
    if len(targets) > 1:
        raise RequestError("a list of inputs has one folder of targets", hint="INPUTS FOLDER")
    (target,) = targets
    given = words.words[0] if words.words else str(words.files_from)
    several = words.files_from is not None or all(each.nested for each in listed)
    if not (several and _is_folder(target)):
        folder, file = (given, target) if several else (target, given)
        raise RequestError(
            f"{folder} is a folder and {file} is a file", hint="two files, or two folders"
        )
    pairs: list[PlacePair] = []
    for each, place in zip(listed, places, strict=True):
        pairs.append((place, _target_of(each.relative, target, given)))
    return pairs


def _target_of(relative: str, folder: Place, given: str) -> Place:
    """The file of a name in the folder of targets. RequestError if there is none.

    given : what the inputs were named by
    """
    target = place_of(f"{text_of(folder).rstrip('/')}/{relative}")
    if not target.exists():
        raise RequestError(
            f"{folder} has no {relative}, which is in {given}", hint="pairs have the same names"
        )
    return target


def opened_pair(pair: PlacePair, held: ExitStack) -> InputPair:
    """An input and its target as files; what comes through a pipe is kept until `held` closes."""
    source, target = pair
    return _input_file(source, held), None if target is None else _input_file(target, held)


def _input_file(path: Place, held: ExitStack) -> Input:
    named = None if str(path) == "-" else path
    given = read_input(named, held, twice=True, example="convcli learn - clean.wav")
    kept = given.path
    if kept is not None and kept != named and kept.stat().st_size == 0:
        raise InputError(f"{given.name} is empty: expected a sound, a table or a picture")
    return given


# ----------------------------------------------------------------------------------------- opening


def files_of_pairs(options: LearnOptions, pairs: Sequence[InputPair]) -> Files:
    """How the files are opened. RequestError if nothing can be learned from such files."""
    from convcli.cli.learn_task import check_mode, table_with_target
    from convcli.cli.opening import files_for

    paths = [given.path for pair in pairs for given in pair if given is not None]
    files = files_for(
        paths,
        table_with_target(options),
        max_pixels=options.max_pixels,
        strict=options.strict,
    )
    check_mode(options, files.medium)
    return files


def open_inputs(
    inputs: Sequence[InputPair], files: Files, held: ExitStack, *, quiet: bool
) -> LearnInputs:
    """Open all files. The first page of a picture is taken, and a warning says so."""
    from convcli.learning.pairs import Pair

    pages: list[FirstPage] = []

    def source_of(given: Input) -> Source[Any]:
        try:
            opened = held.enter_context(given.opened(files))
        except ConvcliError as error:
            raise given.explain(error) from None
        page = FirstPage.of(given, opened, "learned from")
        if not quiet:
            for warning in page.warnings:
                print_message(warning, kind="warning")
        pages.append(page)
        return page.source

    pairs = []
    for source, target in inputs:
        opened = source_of(source)
        opened_target = None if target is None else source_of(target)
        pairs.append(Pair(opened, opened_target, source.name))
    return LearnInputs(inputs, pairs, pages)
