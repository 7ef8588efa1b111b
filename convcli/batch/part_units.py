"""The parts of one large input as units of a list, for machines that share nothing but files.

Each part becomes a file of its own, `NAME.part2-of-8`, which holds exactly the bytes that the part
has in the whole result. So the whole is all parts put one behind the other, by `convcli merge` or
by `cat`.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcli.batch.units import Unit, Units
from convcli.dataclass import dataclass
from convcli.media.replacing import append_file, atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convcli.batch.ledger_line import Line
    from convcli.batch.parts import PartedRun, PartOfRun

_PART = re.compile(r"(?P<whole>.+)\.part(?P<number>\d+)-of-(?P<count>\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPart(Unit):
    """One part of the only input as a unit of a list.

    run, part : how it is filtered, in any process
    """

    run: PartedRun
    part: PartOfRun


class PartUnits(Units):
    """All parts of the only input of a command.

    whole : the input and its output · run, parts : how they are filtered
    """

    def __init__(self, whole: Unit, run: PartedRun, parts: Sequence[PartOfRun]) -> None:
        super().__init__([], None)
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
        )

    def _place(self, at: int) -> str:
        return part_name(self.whole.place or "", at + 1, len(self))

    def check(self) -> None:
        """Do nothing: the whole was checked."""

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


def join_parts(places: Sequence[Path], whole: Path) -> None:
    """Put parts one behind the other, and remove them when the whole is complete."""
    with atomic(whole) as temporary, temporary.open("wb") as target:
        for place in places:
            append_file(place, target)
    for place in places:
        with suppress(OSError):
            os.unlink(place)


def whole_of_lines(lines: Iterable[Line]) -> tuple[list[Path], Path] | None:
    """The files of all parts and the whole, if the lines are of all parts of one input.

    None if they are of several inputs, or if a part is missing or has failed.
    """
    places: list[Path] = []
    wholes = set()
    for line in lines:
        found = None if line.output is None else _PART.fullmatch(line.output)
        if found is None or not line.done:
            return None
        numbers = (int(found["number"]), int(found["count"]))
        if numbers != (line.number, line.units) or line.number != len(places) + 1:
            return None
        places.append(Path(line.output or ""))
        wholes.add((line.input, found["whole"]))
    if len(wholes) != 1 or not places or len(places) != _count(places[-1]):
        return None
    ((_, whole),) = wholes
    return places, Path(whole)


def _count(place: Path) -> int:
    found: Any = _PART.fullmatch(str(place))
    return int(found["count"])
