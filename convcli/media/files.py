"""What the three media say of their files: how they are recognised, opened and written.

`media/audio/files.py`, `media/tables/files.py` and `media/images/files.py` each hold one class that
does this. Its fields are the options with which files are read and written.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Protocol, Self, TypeVar

from convcli.errors import RequestError
from convcli.signals import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from convcli.calendar_bins import CalendarBins
    from convcli.media.division import Division
    from convcli.places import Place
    from convcli.signals import Array, LearnedRules, Medium, Signal, Source


def format_contradiction(asked: str, output: Place) -> RequestError:
    """The error for an output whose suffix is that of another format than was asked for."""
    return RequestError(
        f"--format {asked} and the output {output} contradict each other",
        hint="leave --format out, or choose another suffix",
    )


class UndividedError(Exception):
    """An input is filtered as one unit; the text says why."""


class FileSink(Sink[Any], Protocol):
    """A sink that writes a file. Read `warnings` and `facts` after `close`."""

    warnings: list[str]

    def next_page(self) -> None:
        """Begin the next page; every page has been written to its end. By default there is one."""
        return  # the body that mypy asks for in a method that is not abstract

    def close(self) -> None:
        """Complete the file after the last sample."""

    def discard(self) -> None:
        """Release everything after an error; the file stays incomplete."""

    def facts(self) -> Mapping[str, object]:
        """What was written, for reports."""

    def stored(self, encoded: Any) -> Array | None:
        """The samples of an encoded block as whole numbers, for what is drawn of a result.

        None, by default, where those that were encoded are as good.
        """
        return None

    # --- a result whose parts other sinks write ---

    def parted(self) -> FileSink:
        """The sink itself, if other sinks may write parts. UndividedError says why they may not."""

    def reserve(self) -> None:
        """Prepare the file for the parts."""
        return  # the body that mypy asks for in a method that is not abstract

    @property
    def written_part(self) -> object:
        """What the sink of a part has written; it can be pickled."""
        return None

    def add_part(self, written: Any, place: Path) -> None:
        """Add the next part, in the order of the parts, to the whole file.

        written : `written_part` of the sink of the part
        place : the file that this sink wrote
        """
        return  # the body that mypy asks for in a method that is not abstract


class _Completable(Protocol):
    def close(self) -> None: ...

    def discard(self) -> None: ...


SinkOfFile = TypeVar("SinkOfFile", bound=_Completable)


@contextmanager
def closed_or_discarded(sink: SinkOfFile) -> Iterator[SinkOfFile]:
    """Yield a sink; close it at the end, or discard it after an error, also one of `close`."""
    try:
        yield sink
        sink.close()
    except BaseException:
        sink.discard()
        raise


class OpenedFile(Protocol):
    """An open input file. Only pictures can have several pages, each of which is a source."""

    @property
    def sources(self) -> Sequence[Source[Any]]:
        """The pages, in the order of the file."""

    @property
    def warnings(self) -> Sequence[str]:
        """Everything that is odd about the file, as far as it was read."""

    @property
    def roundings(self) -> Sequence[str]:
        """What numbers were read with a loss, as far as the file was read."""
        return ()

    @property
    def doubts(self) -> Sequence[str]:
        """What was taken for granted in reading the file, and may be the cause of an error."""
        return ()

    def details(self) -> Mapping[str, object]:
        """What is known of the file besides its signal, for reports."""

    def check(self, result: Signal, *, keeps_shape: bool) -> None:
        """Raise RequestError if a result such as this cannot be written; by default every one can.

        keeps_shape : every output sample belongs to one input sample
        """
        return  # the body that mypy asks for in a method that is not abstract

    def check_times(self, *, in_time: bool, bins: Sequence[CalendarBins]) -> None:
        """Raise RequestError for options about times that have no effect on a filter.

        in_time : some window of the filter is bounded by times
        bins : the calendar bins that the filter has outputs for
        """
        return  # the body that mypy asks for in a method that is not abstract

    @property
    def known(self) -> object:
        """What was decided when the file was opened, for those who open it again; None: nothing."""
        return None

    @property
    def grouped(self) -> bool:
        """Whether the samples belong to several interleaved signals."""
        return False

    def division(self) -> Division:
        """How the file is cut into parts. UndividedError says why it is not."""

    def sink(
        self, place: Path | BinaryIO, pages: Sequence[Signal], *, label: str, unchanged: bool
    ) -> FileSink:
        """The sink for results of this file; make it before the samples are read.

        place : file or stream to write to
        pages : the result, one signal for each page
        label : the filter in a few characters (`sma20`), for the names of new columns
        unchanged : the filter changes nothing, so that stored values can be copied
        """


class Files(Protocol):
    """The files of one medium, with the options for reading and writing them.

    medium : what their signals are
    command : the command that filters them
    """

    medium: ClassVar[Medium]
    command: ClassVar[str]
    # Whether a template is read once more to know which columns to search: see `for_template`.
    inspects_template: ClassVar[bool] = False

    def for_model(self, learned: LearnedRules) -> Self:
        """How files are read for a model that was learned so; by default as any others."""
        return self

    @staticmethod
    def has_suffix(path: Place) -> bool:
        """Whether the suffix of `path` belongs to this medium."""

    @staticmethod
    def begins_with(head: bytes) -> bool:
        """Whether the first 512 bytes of a file look like this medium."""

    def open(
        self, path: Path | None, *, stdin: BinaryIO | None, output: Place | None = None
    ) -> AbstractContextManager[OpenedFile]:
        """Open `path`, or `stdin` if that is None.

        output : the file that the result goes to, None for standard output; its suffix may choose
            the format
        """

    def reopen(
        self,
        path: Path,
        *,
        output: Place | None,
        known: object,
    ) -> AbstractContextManager[OpenedFile]:
        """Open a file that was opened before.

        known : what was decided then, `OpenedFile.known`
        """
        return self.open(path, stdin=None, output=output)

    def for_viewing(self) -> Self | None:
        """How files are read to show them, where that is not how they are read for the filter."""
        return None

    def for_results(self) -> Self:
        """How outputs are read to show them; by default as the inputs."""
        return self

    def for_template(self, path: Path) -> tuple[Files, Files]:
        """How to read the template at `path`, and the files searched for it; by default alike."""
        return self, self
