"""Units of work: each input of a command with its number and its output.

Every machine that sees the same files makes the same list of units, so that machines can share the
list without talking to each other (`Shard`).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from convcli.batch.listing import STDIN, input_place
from convcli.dataclass import dataclass
from convcli.digests import blake2b
from convcli.errors import RequestError
from convcli.media.output_names import STDIN_NAME, in_place_output
from convcli.media.refusals import refuse_inputs_as_outputs, refuse_shared_outputs
from convcli.media.remote import without_secrets
from convcli.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from convcli.batch.listing import Listed
    from convcli.media.output_names import OneOutput, OutputNames
    from convcli.places import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One input of a command, which is worked on without any other.

    number : in the list of all units, from 1
    name : the input as it was found, `-` for standard input
    relative : its path below the folder or the fixed part of the pattern that it was found by
    nested : a folder of outputs gets the subfolders of `relative`
    place : path or URL of the output; None for standard output or where nothing is written
    replaces : an existing output may be replaced, because an earlier run of the command wrote it
    joined_into : the output that this part of the input is joined into; None for a whole input
    aside : where the complete output is kept until it replaces the input, see `ResultsAside`
    """

    number: int
    name: str
    relative: str
    nested: bool = False
    place: str | None = None
    replaces: bool = False
    joined_into: str | None = None
    aside: Path | None = None

    @property
    def replaces_input(self) -> bool:
        """Whether the output takes the place of the input."""
        return self.place == self.name

    @property
    def written(self) -> Place | None:
        """Where the complete output is when the unit has ended; None is standard output."""
        return self.aside or self.output

    @property
    def source(self) -> Place | None:
        """The input; None is standard input."""
        return input_place(self.name)

    @property
    def output(self) -> Place | None:
        """Where the result goes; None is standard output."""
        return None if self.place is None else place_of(self.place)

    @property
    def below(self) -> str | None:
        """`relative` of an input that was found in a folder or by a pattern, else None."""
        return self.relative if self.nested else None

    @property
    def input_label(self) -> str:
        """What the input is called in messages."""
        return "standard input" if self.name == STDIN else without_secrets(self.name)

    @property
    def part_label(self) -> str:
        """Words about the part, which follow the name of the input; empty for a whole input."""
        return ""

    @property
    def label(self) -> str:
        """What the unit is called in messages."""
        return self.input_label + self.part_label

    @property
    def noted(self) -> tuple[str, str | None]:
        """The names of input and output in a ledger, without the secrets of URLs."""
        output = None if self.place is None else without_secrets(self.place)
        return without_secrets(self.name), output


@dataclass(frozen=True)
class Shard:
    """The part of a list that one of several machines works on.

    index : of the part, from 1
    count : number of parts
    """

    index: int = 1
    count: int = 1

    def positions(self, total: int) -> range:
        """The positions in a list, from 0, of the units in this part; each unit is in one part."""
        return range(self.index - 1, total, self.count)

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `I/N`. RequestError for another text."""
        index, slash, count = text.partition("/")
        numbers = (index, count)
        if not slash or not all(word.isascii() and word.isdigit() for word in numbers):
            raise _bad_shard(text)
        if len(count) > 9 or not 1 <= int(index) <= int(count):
            raise _bad_shard(text)
        return cls(int(index), int(count))


def _bad_shard(text: str) -> RequestError:
    return RequestError(f"--shard expects I/N with I from 1 to N, got {text!r}", hint="--shard 2/8")


class Units(ABC):
    """All units of a command, by their positions from 0.

    noun : what a unit is called in messages
    listed_again : a list of the names of units, given to the same command, runs these units again
    """

    noun: ClassVar[str] = "input"
    listed_again: ClassVar[bool] = True

    @abstractmethod
    def __len__(self) -> int:
        """Count the units of the whole list."""

    @abstractmethod
    def __getitem__(self, at: int) -> Unit:
        """The unit at a position; its number is one more."""

    @abstractmethod
    def _names_of_files(self) -> Iterator[str]:
        """The names of all inputs and outputs."""

    def __iter__(self) -> Iterator[Unit]:
        """Yield all units in their order."""
        return self.of_shard(Shard())

    def of_shard(self, shard: Shard) -> Iterator[Unit]:
        """Yield the units of one part of the list."""
        for at in shard.positions(len(self)):
            yield self[at]

    @property
    def identity(self) -> str:
        """A short text that two lists of the same inputs and outputs have in common."""
        digest = blake2b(digest_size=8)
        for text in self._names_of_files():
            digest.update(os.fsencode(text) + b"\0")
        return digest.hexdigest()


class InputUnits(Units):
    """A unit for each input. Only the names are kept; a unit is made when it is asked for.

    inputs : in their order
    names : how the outputs are named
    in_place : each input is its own output
    """

    def __init__(
        self,
        inputs: Sequence[Listed],
        names: OutputNames | OneOutput,
        *,
        in_place: bool = False,
    ) -> None:
        self._inputs = inputs
        self._names = names
        self._in_place = in_place

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, at: int) -> Unit:
        """The unit at a position from 0; its number is one more."""
        listed = self._inputs[at]
        return Unit(
            number=at + 1,
            name=listed.name,
            relative=listed.relative,
            nested=listed.nested,
            place=self._place(at),
        )

    def _place(self, at: int) -> str | None:
        listed = self._inputs[at]
        if self._in_place:
            return listed.name
        path = listed.name
        relative = listed.relative
        if path == STDIN:
            path = relative = STDIN_NAME
        return self._names.of(at + 1, path, relative, nested=listed.nested)

    def check(self) -> None:
        """Raise RequestError if two units have one output, or an output is an input of another."""
        if self._in_place:
            self._check_in_place()
            return
        refuse_shared_outputs(len(self), self._place, lambda at: self[at].label)
        refuse_inputs_as_outputs(len(self), self._place, lambda at: self._inputs[at].source)

    def _check_in_place(self) -> None:
        for listed in self._inputs:
            in_place_output(listed.source)
        refuse_shared_outputs(
            len(self),
            self._place,
            lambda at: self[at].label,
            hint="they are links to one file: name one of them",
        )

    def _names_of_files(self) -> Iterator[str]:
        """The names of all inputs and outputs."""
        for at in range(len(self)):
            yield self._inputs[at].name
            yield self._place(at) or ""
