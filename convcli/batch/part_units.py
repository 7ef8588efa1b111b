"""The parts of one large input as units of a list, for machines that share nothing but files.

Each part becomes a file, `NAME.part2-of-8`, which holds exactly the bytes of the part in the whole
result. So `convcli merge` or `cat` makes the whole by appending all parts in order.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from convcli.batch.file_state import FileState
from convcli.batch.units import Unit, Units
from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.media.inputs import check_input
from convcli.media.replacing import append_file, atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.batch.earlier_runs import EarlierRuns
    from convcli.batch.ledger_line import Line
    from convcli.batch.parts import PartedRun, PartOfRun
    from convcli.batch.units import Shard

_MADE_AGAIN = "the same command with --resume makes again the parts that differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPart(Unit):
    """One part of the only input as a unit of a list.

    run, part : how it is filtered, in any process
    count : of all parts
    """

    run: PartedRun
    part: PartOfRun
    count: int

    @property
    def part_label(self) -> str:
        """Which part of the input this is."""
        return f", part {self.number} of {self.count}"


class PartUnits(Units):
    """All parts of the only input of a command.

    whole : the input and its output · run, parts : how they are filtered
    """

    noun = "part"
    listed_again = False

    def __init__(self, whole: Unit, run: PartedRun, parts: Sequence[PartOfRun]) -> None:
        self.whole = whole
        self._run = run
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, at: int) -> InputPart:
        """The unit at a position from 0; its number is one more."""
        return InputPart(
            number=at + 1,
            name=self.whole.name,
            relative=self.whole.relative,
            nested=self.whole.nested,
            place=self._place(at),
            run=self._run,
            part=self._parts[at],
            count=len(self),
            joined_into=self.whole.place,
        )

    def _place(self, at: int) -> str:
        return part_name(self.whole.place or "", at + 1, len(self))

    def _names_of_files(self) -> Iterator[str]:
        """The names of the input and of all parts."""
        yield self.whole.name
        for at in range(len(self)):
            yield self._place(at)

    @property
    def places(self) -> list[Path]:
        """The paths of the files of all parts, in order."""
        return [Path(self._place(at)) for at in range(len(self))]


def part_name(whole: str, number: int, count: int) -> str:
    """The name of the file of one part; parts are numbered from 1."""
    width = len(str(count))
    return f"{whole}.part{number:0{width}}-of-{count}"


class RelationToWhole(Enum):
    """What the ledger records of a whole output that exists.

    UNKNOWN : another program may have written it
    OUTDATED : the parts of an earlier run became it, and input or request have changed since
    UP_TO_DATE : parts that the same request would make again became it
    """

    UNKNOWN = auto()
    OUTDATED = auto()
    UP_TO_DATE = auto()


def relation_to_whole(parts: PartUnits, shard: Shard, earlier: EarlierRuns) -> RelationToWhole:
    """Compare the output with what the ledger records of the parts of a shard.

    Parts are deleted after joining, so the whole is recognised by its size. With shards, only a
    lower bound is known: the size of the parts in this ledger.
    """
    whole = FileState.of(Path(parts.whole.place or ""))
    lines = earlier.lines_of(parts.of_shard(shard))
    if whole is None or not lines:
        return RelationToWhole.UNKNOWN
    read = FileState.of(parts.whole.source)
    size = 0
    up_to_date = True
    for line in lines:
        if line is None or line.wrote is None:
            return RelationToWhole.UNKNOWN
        size += line.wrote.size
        up_to_date = up_to_date and line.read == read and earlier.is_of_this_request(line)
    if whole.size < size or (shard.count == 1 and whole.size != size):
        return RelationToWhole.UNKNOWN
    return RelationToWhole.UP_TO_DATE if up_to_date else RelationToWhole.OUTDATED


def join_parts(places: Sequence[Path], whole: Path) -> None:
    """Append all parts in order, and remove them when the whole is complete."""
    with atomic(whole) as temporary, temporary.open("wb") as target:
        for place in places:
            append_file(place, target)
    for place in places:
        with suppress(OSError):
            os.unlink(place)


@dataclass(frozen=True, eq=False)
class NotedParts:
    """All parts of one input, as the lines of ledgers describe them.

    lines : of the parts, in their order
    whole : the output that the parts become
    """

    lines: Sequence[Line]
    whole: Path

    @property
    def places(self) -> list[Path]:
        """The file of each part, in the order of the parts."""
        return [Path(line.output or "") for line in self.lines]

    @property
    def joined_before(self) -> bool:
        """Whether an earlier merge has joined the parts and removed them."""
        return self.whole.exists() and not any(place.exists() for place in self.places)

    def check(self) -> None:
        """Refuse parts that do not belong together, or that are not what was written.

        Raises RequestError where they differ in FILTER, options or version; InputError where the
        input has changed between them, and where the file of a part is missing or has changed.
        """
        first = self.lines[0]
        for line in self.lines:
            self._refuse_other_request(first, line)
            if line.read != first.read:
                raise InputError(
                    f"{line.input} has changed between the parts {first.output} and {line.output}",
                    hint=_MADE_AGAIN,
                )
        for line in self.lines:
            _refuse_changed_part(line)

    def _refuse_other_request(self, first: Line, line: Line) -> None:
        what = ""
        if line.version != first.version:
            what = "versions of convcli"
        elif line.request != first.request:
            what = "FILTER or options"
        if what:
            raise RequestError(
                f"the parts of {self.whole} were made by different {what}: "
                f"{first.output} and {line.output}",
                hint=f"give all machines the same command; {_MADE_AGAIN}",
            )


def _refuse_changed_part(line: Line) -> None:
    """Raise InputError for a part whose file is missing, or has another size than was written."""
    place = Path(line.output or "")
    check_input(place)
    found = FileState.of(place)
    if found is None or line.wrote is None or found.size != line.wrote.size:
        size = 0 if found is None else found.size
        written = 0 if line.wrote is None else line.wrote.size
        raise InputError(
            f"{place} has {size:,} bytes, and {written:,} were written", hint=_MADE_AGAIN
        )


def parts_of_lines(lines: Iterable[Line]) -> NotedParts | None:
    """The parts that the lines of merged ledgers describe, one line for each part, in their order.

    None if the lines are of several inputs, or if a part is missing or has failed.
    """
    parts = list(lines)
    first = parts[0]
    whole = first.joined_into
    if whole is None or len(parts) != first.units or not all(line.done for line in parts):
        return None
    return NotedParts(parts, Path(whole))
