"""A preview: what is collected of the input and of the output of a run, to be drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from convcli.dataclass import dataclass
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from convcli.facts.preview import PreviewFacts
    from convcli.signals import AnyRows, Array, Block, Source


# Groups of a table that are drawn.
MOST_GROUPS = 6
# What two signals are called that are compared.
COMPARED = ("A", "B")


@dataclass(frozen=True, kw_only=True)
class PreviewSize:
    """How much is collected.

    bins : of an outline, at least; columns : frames of a spectrogram, at least
    side : the longer side of a reduced picture
    sounds : collect spectrogram, loudness and an excerpt of a sound
    excerpt : bytes of 16-bit samples that the excerpt takes, at most
    notes_rows : of a table, note the rows of the file that lie in each bin
    first_channel : of a sound, collect only the first channel
    """

    bins: int = 1000
    columns: int = 300
    side: int = 800
    groups: int = MOST_GROUPS
    sounds: bool = True
    excerpt: int = 1_000_000
    notes_rows: bool = False
    first_channel: bool = False

    @property
    def small(self) -> bool:
        """Whether only a thumbnail is collected."""
        return not self.sounds


FULL = PreviewSize()
# What is drawn of the first inputs of a batch.
FULL_OF_MANY = PreviewSize(excerpt=350_000)
# What is drawn of an input that is only looked at.
OUTLINE = PreviewSize(sounds=False, notes_rows=True)
# This many inputs of a batch are drawn in full, which keeps a page below 20 MB. In a batch of 500
# sounds of a second, each of these inputs adds 1 % to the time.
MOST_FULL = 8
THUMBNAIL = PreviewSize(bins=60, columns=1, side=120, groups=1, sounds=False, first_channel=True)


def size_of_input(number: int | None) -> PreviewSize:
    """How much is collected of an input.

    number : of one of several inputs, counted from 1; None for a single input
    """
    if number is None:
        return FULL
    return FULL_OF_MANY if number <= MOST_FULL else THUMBNAIL


class Preview(ABC):
    """Collects what is drawn of the input and of the output of one run.

    as_stored : whether all results were noted as the samples that are in the file
    """

    as_stored = True

    @abstractmethod
    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""

    def prepared_input(self, block: Block, position: int) -> Any:  # noqa: ARG002 -- see below
        """What `add_input` takes of a block. Any thread may call this.

        It is called in the thread that has decoded the block, with its samples in the cache.
        Most of the work on sounds and pictures is done here.
        position : where the block probably begins
        """
        return block

    def prepared_output(self, y: Array, rows: AnyRows) -> Any:
        """What `add_output` takes of samples and their rows. Any thread may call this."""
        return y, rows

    @abstractmethod
    def add_input(self, prepared: Any) -> None:
        """Note the next block of the input."""

    @abstractmethod
    def add_output(self, prepared: Any) -> None:
        """Note the next samples of the result and the rows that they are aligned with."""

    @abstractmethod
    def facts(self) -> PreviewFacts:
        """What is drawn of the input and of the output so far."""

    def compared_with(self, other: Preview) -> PreviewFacts:
        """What is drawn of two compared inputs, each with its preview."""
        first, second = self.facts(), other.facts()
        return replace(first, after=second.before, names=COMPARED)

    def read_input(self, source: Source[Any]) -> None:
        """Take the input from a file, in place of what was noted."""
        self.restart()
        position = 0
        for block in blocks_of(source):
            self.add_input(self.prepared_input(block, position))
            position += len(block.stored)

    @property
    def needs_input(self) -> bool:
        """Whether the result cannot be drawn without the input."""
        return False

    @property
    def better_in_file(self) -> bool:
        """Whether the file that was written shows the result better than what was noted."""
        return False

    def read_result(self, source: Source[Any]) -> None:  # noqa: ARG002 -- see below
        """Take the result from the file that was written, in place of what was noted.

        Sound and tables are drawn as they were noted.
        """
        return


class SideSums(Protocol):
    """What is collected of the input, or of the output, whose samples come in order."""

    def prepared(self, x: Array, position: int) -> Any:
        """What `add` takes of the samples from a position on. Any thread may call this."""
        ...

    def add(self, prepared: Any) -> None:
        """Note the samples that come next."""
        ...


Sums = TypeVar("Sums", bound=SideSums)


class PreviewOfSums(Preview, Generic[Sums]):
    """A preview whose input and output are each noted in sums of their own."""

    before: Sums
    after: Sums

    def prepared_input(self, block: Block, position: int) -> Any:
        """A block of the input, summed up by itself."""
        return self.before.prepared(block.stored, position)

    def prepared_output(self, y: Array, rows: AnyRows) -> Any:
        """Samples of the result, summed up by themselves; rows count from its first sample."""
        return self.after.prepared(y, int(rows[0]) if len(rows) else 0)

    def add_input(self, prepared: Any) -> None:
        """Note the next block of the input."""
        self.before.add(prepared)

    def add_output(self, prepared: Any) -> None:
        """Note the next samples of the result."""
        self.after.add(prepared)


def group_text(name: bytes) -> str:
    """The name of a group as it is in the file."""
    return name.decode("utf-8", "replace")
