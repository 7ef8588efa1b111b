"""How one large file is cut into parts that are read and written by themselves.

A medium offers a `Division` of an open file. Whoever runs the filter asks it for surveys, if any
are needed, for the stretches of the parts, and for the source and the sink of each part. Stretches
and surveys can be pickled: another process that opens the same file understands them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from convcli.dataclass import dataclass
from convcli.media.files import FileSink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from convcli.signals import PartSource, Signal, SignalPast


@dataclass(frozen=True, kw_only=True)
class PartNeeds:
    """What a filter needs to know of the samples before a part.

    samples : how many of the last ones it reads
    numbered : whether it matters how many there were (a stride counts them)
    """

    samples: int
    numbered: bool


@dataclass(frozen=True, kw_only=True)
class PartOfFile:
    """Which part of a file a sink writes.

    first : the number of the first sample of the result in it; 0 for files whose parts are put one
        behind the other
    opens, ends : whether the file begins or ends with the part
    apart : the part is a file of its own, with all bytes that it has in the whole; else its samples
        are written to their place in a file that another sink has begun
    """

    first: int
    opens: bool
    ends: bool
    apart: bool


class Stretch(Protocol):
    """The place of one part in a file."""

    @property
    def first(self) -> int:
        """The number of its first block; 0 for files without blocks of known length."""
        ...

    @property
    def length(self) -> int:
        """Its length, in blocks or in bytes."""
        ...

    @property
    def settling(self) -> int:
        """How many places before the part the filter begins; 0 if it begins with the part."""
        ...

    @property
    def settles_far(self) -> bool:
        """Whether the filter begins by more than the length of the part before it."""
        ...

    def settled_longer(self) -> Stretch:
        """The same part, where the filter begins earlier for the values that it holds."""
        ...


class FilePart(Protocol):
    """A part of a file as a source."""

    @property
    def first_row(self) -> int:
        """How many samples come before the part, for messages."""
        ...

    @property
    def noted(self) -> object:
        """What was noted of the samples of the part while they were read."""
        ...

    def located(self) -> Any:
        """The stretch with all that messages need; None if it has that already."""
        ...


class PartSink(FileSink, Protocol):
    """A sink for the whole of a result, or for a part of it."""

    @property
    def undivided(self) -> str | None:
        """Why the file is written in one piece; None if others may write parts of it."""
        ...

    def reserve(self) -> None:
        """Prepare the file for parts that are written by others."""
        ...

    @property
    def written_part(self) -> object:
        """What was written of a part; it can be pickled."""
        ...

    def add_part(self, written: Any, place: Path) -> None:
        """Take the next part into the whole.

        written : `written_part` of its sink · place : where that sink wrote to
        """
        ...


class Division(Protocol):
    """An open file that can be cut.

    size : of the samples in bytes
    apart : parts are files of their own, which `add_part` puts one behind the other; else they are
        written to their places in the one output
    """

    @property
    def size(self) -> int:
        """Bytes of all samples."""
        ...

    @property
    def apart(self) -> bool:
        """Whether parts are files of their own."""
        ...

    @property
    def block_lengths(self) -> Sequence[int]:
        """How many samples each block has; nothing for files that are not read in such blocks."""
        ...

    def surveys(self, count: int, needs: PartNeeds) -> Sequence[Any]:
        """What has to be surveyed before `count` parts are cut; each can be done by itself."""
        ...

    def survey(self, task: Any, needs: PartNeeds) -> Any:
        """Do one of these surveys."""
        ...

    def cut(self, count: int, needs: PartNeeds, surveyed: Sequence[Any]) -> Sequence[Any]:
        """The stretches of at most `count` parts, in their order.

        surveyed : the results of all surveys in their order
        """
        ...

    def part(self, stretch: Any, pasts: Mapping[bytes, SignalPast] | None) -> Any:
        """A part as a source, which is a `PartSource` and a `FilePart`.

        pasts : of the groups before it, where there are groups
        """
        ...

    def sink(
        self,
        place: Path,
        pages: Sequence[Signal],
        *,
        label: str,
        unchanged: bool,
        part: PartSource[Any],
        of_file: PartOfFile,
    ) -> PartSink:
        """The sink of a part; the arguments are those of `OpenedFile.sink` for the whole file."""
        ...

    def joined_pasts(
        self,
        first: Mapping[bytes, SignalPast],
        second: Mapping[bytes, SignalPast],
        needs: PartNeeds,
    ) -> Mapping[bytes, SignalPast]:
        """The pasts of groups after two consecutive stretches. The operation is associative."""
        ...

    def note(self, noted: Any) -> None:
        """Take note of what the source of a part has noted."""
        ...
