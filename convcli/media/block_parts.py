"""Parts of files whose samples lie in blocks of known length at known places."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from convcli.dataclass import dataclass
from convcli.media.division import FilePart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from convcli.media.division import PartNeeds, PartOfFile
    from convcli.media.files import FileSink
    from convcli.signals import Block, BlockRole, Signal


class BlockSource(Protocol):
    """A source that can be read from any block on."""

    @property
    def block_lengths(self) -> Sequence[int]:
        """How many samples each block has."""

    def blocks(self, wanted: range) -> Iterator[Any]:
        """Yield undecoded consecutive blocks by their numbers."""

    def decode(self, raw: Any) -> Block:
        """Return the samples of one block."""


@dataclass(frozen=True, kw_only=True)
class BlockRange:
    """The blocks of one part.

    settling : number of blocks before the part that are filtered too, to find the last known value
        before it (see `media/division.py`)
    """

    first: int
    stop: int
    settling: int = 0

    @property
    def length(self) -> int:
        """Number of blocks of the part."""
        return self.stop - self.first

    @property
    def settles_far(self) -> bool:
        """Whether the settling is longer than the part."""
        return self.settling > self.length

    def with_longer_settling(self) -> BlockRange:
        """Return these blocks with a settling four times as long, as far as the file allows."""
        return replace(self, settling=min(self.first, max(1, 4 * self.settling)))


class BlockPart(FilePart):
    """Some blocks of a source, as a part of its signal."""

    def __init__(self, source: BlockSource, wanted: BlockRange) -> None:
        self._source = source
        self._wanted = wanted
        self._lengths = source.block_lengths
        self._start = wanted.first - wanted.settling

    @property
    def before(self) -> Sequence[int]:
        """The lengths of the blocks before the first one whose outputs are computed here."""
        return self._lengths[: self._start]

    @property
    def ends(self) -> bool:
        """Whether the signal ends with this part."""
        return self._wanted.stop == len(self._lengths)

    def pieces_with_history(self, history: int) -> Iterator[tuple[BlockRole, Any]]:
        """Yield undecoded blocks, at least `history` samples before the part first."""
        first = self._start
        missing = history
        while missing > 0 and first > 0:
            first -= 1
            missing -= self._lengths[first]
        wanted = range(first, self._wanted.stop)
        for number, raw in zip(wanted, self._source.blocks(wanted), strict=True):
            yield self._role(number), raw

    def _role(self, number: int) -> BlockRole:
        if number < self._start:
            return "earlier"
        return "settling" if number < self._wanted.first else "filtered"

    @property
    def first_row(self) -> int:
        """How many samples come before the part, for messages."""
        return sum(self._lengths[: self._wanted.first])

    def decode(self, raw: tuple[BlockRole, Any]) -> Block:
        """Return the samples of one block."""
        role, stored = raw
        return replace(self._source.decode(stored), role=role)


def equal_lengths(total: int, each: int) -> list[int]:
    """The lengths of blocks of `each` samples, the last of which may be shorter."""
    whole, rest = divmod(total, each)
    return [each] * whole + [rest] * (rest > 0)


def block_ranges(lengths: Sequence[int], count: int) -> list[BlockRange]:
    """Cut blocks into at most `count` ranges of about equally many samples."""
    ends = list(accumulate(lengths))
    if not ends:
        return []
    wanted = [ends[-1] * part // count for part in range(1, count + 1)]
    stops = [bisect_right(ends, end) for end in wanted]
    stops[-1] = len(ends)
    ranges = []
    first = 0
    for stop in stops:
        if stop > first:
            ranges.append(BlockRange(first=first, stop=stop))
            first = stop
    return ranges


@dataclass(frozen=True, eq=False, kw_only=True)
class BlockDivision:
    """The division of a file whose samples lie in blocks.

    size : of all samples in bytes
    make_sink : the sink that writes a part of the result
    """

    source: BlockSource
    size: int
    make_sink: Callable[[Path, Sequence[Signal], PartOfFile], FileSink]

    apart: ClassVar[bool] = False

    @property
    def block_lengths(self) -> Sequence[int]:
        """How many samples each block has."""
        return self.source.block_lengths

    def surveys(self, count: int, needs: PartNeeds) -> Sequence[Any]:  # noqa: ARG002 -- as all divisions
        """Nothing: the places of all blocks are known."""
        return ()

    def cut(
        self,
        count: int,
        needs: PartNeeds,  # noqa: ARG002 -- as all divisions
        surveyed: Sequence[Any],  # noqa: ARG002
    ) -> Sequence[BlockRange]:
        """Ranges of about equally many samples."""
        return block_ranges(self.source.block_lengths, count)

    def part(self, stretch: BlockRange, pasts: object = None) -> BlockPart:  # noqa: ARG002 -- no groups
        """Return some blocks as a source of their own."""
        return BlockPart(self.source, stretch)

    def sink(
        self,
        place: Path,
        pages: Sequence[Signal],
        *,
        label: str,  # noqa: ARG002 -- for tables
        unchanged: bool,  # noqa: ARG002
        part: object,  # noqa: ARG002
        of_file: PartOfFile,
    ) -> FileSink:
        """The sink that writes a part."""
        return self.make_sink(place, pages, of_file)

    def note(self, noted: object) -> None:
        """Do nothing: blocks have no notes."""
