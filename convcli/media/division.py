"""How one large file is cut into parts that are read and written by themselves.

A medium offers a `Division` of an open file. A run asks the division for surveys, if any are
needed, for the stretches of the parts, and for the source and the sink of each part. Stretches
and surveys can be pickled, so that any process that opens the same file can use them.

A filter may hold the last known value over a gap. A part that begins in a gap needs a value from
before it, so that its filter begins some blocks or rows earlier: they are its *settling*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from convcli.dataclass import dataclass
from convcli.signals import PartSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from convcli.media.files import FileSink
    from convcli.signals import Signal, SignalPast


@dataclass(frozen=True, kw_only=True)
class PartNeeds:
    """What a filter needs to know of the samples before a part.

    samples : how many of the last samples the filter reads
    numbered : whether the filter needs the number of all earlier samples, as a stride does
    in_time : whether windows are bounded by times. Then some samples before the part are taken as
        if they were the first ones of the signal
    waits : whether outputs of interleaved signals wait for later samples than their own
    """

    samples: int
    numbered: bool
    in_time: bool = False
    waits: bool = False


@dataclass(frozen=True, kw_only=True)
class PartOfFile:
    """Which part of a file a sink writes.

    first : position in the result of the first sample of the part; 0 for files whose parts are
        concatenated
    opens, ends : whether the file begins or ends with the part
    apart : the part is written to a file of its own, with all bytes that it has in the whole file;
        otherwise its samples are written to their positions in a file that another sink has begun
    """

    first: int
    opens: bool
    ends: bool
    apart: bool


class FilePart(PartSource[Any], Protocol):
    """A part of a file as a source."""

    @property
    def noted(self) -> object:
        """Counts and findings of the source about the part, for `Division.note`; None: none."""
        return None

    def located(self) -> Any:
        """The stretch with the line and row numbers that errors name; None if it has them."""
        return None

    @property
    def pasts(self) -> Mapping[bytes, SignalPast] | None:
        """The past of each group before the part; None where there are no groups."""
        return None


class Division(Protocol):
    """An open file that is cut into parts."""

    @property
    def size(self) -> int:
        """How many bytes all samples take."""

    @property
    def apart(self) -> bool:
        """Whether parts are written to files of their own, which `add_part` concatenates.

        Otherwise each part is written to its position in the one output.
        """

    @property
    def block_lengths(self) -> Sequence[int]:
        """How many samples each block has; empty for files without blocks of known length."""

    def surveys(self, count: int, needs: PartNeeds) -> Sequence[Any]:
        """What has to be found out before `count` parts are cut, each in any process.

        The method `of` of each makes a survey of the division. All of them can be pickled.
        """

    def cut(self, count: int, needs: PartNeeds, surveyed: Sequence[Any]) -> Sequence[Any]:
        """The stretches of at most `count` parts, in their order: `BlockRange` or `RowRange`.

        surveyed : the results of all surveys in their order
        """

    def part(self, stretch: Any, pasts: Mapping[bytes, SignalPast] | None) -> FilePart:
        """A part as a source.

        pasts : last samples of each group before the part; None where there are no groups
        """

    def sink(
        self,
        place: Path,
        pages: Sequence[Signal],
        *,
        label: str,
        unchanged: bool,
        part: Any,
        of_file: PartOfFile,
    ) -> FileSink:
        """The sink of a part; the arguments are those of `OpenedFile.sink` for the whole file."""

    def note(self, noted: Any) -> None:
        """Add the counts and findings of a part (`FilePart.noted`) to those of the open file."""
