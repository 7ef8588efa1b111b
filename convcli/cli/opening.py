"""Inputs of every command: what they are called, which medium they are, and how they are opened."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.losses import Loss, reworded
from convcli.places import input_name
from convcli.signals import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.media.files import Files, OpenedFile
    from convcli.media.tables.table_options import TableOptions
    from convcli.places import Place
    from convcli.signals import Medium, Source

# Options of tables that are written differently from the field that they set.
_SPELLING = {
    "names": "-c",
    "column": "--time",
    "unit": "--time-unit",
    "zone": "--time-zone",
    "header": "--no-header",
}


def name_input(error: ConvcliError, name: str, part: str = "") -> ConvcliError:
    """The error, with the name of the input in front if the message does not hold it.

    part : which part of the input it is about, such as ", part 2 of 8"
    """
    message = error.message
    for spelling in (name, os.path.normpath(name)):
        if not part and spelling in message:
            return error
        if part and message.startswith((f"{spelling}, ", f"{spelling}: ")):
            rest = message.removeprefix(spelling)
            return error.reworded(f"{name}{part}{rest}", error.hint)
    return error.reworded(f"{name}{part}: {message}", error.hint)


@dataclass(frozen=True, eq=False)
class Input:
    """An input as the user names it, and where its bytes come from.

    name : in messages
    path : the file that holds them; None where they come as a stream
    stream : None for standard input
    """

    name: str
    path: Path | None
    stream: BinaryIO | None = None

    def explain(self, error: ConvcliError) -> ConvcliError:
        """The error under the name of the input, instead of that of a temporary file."""
        return name_input(self.renamed(error), self.name)

    def renamed(self, error: ConvcliError) -> ConvcliError:
        """The error with the name of the input in place of that of a temporary file."""
        return error.reworded(self.message(error.message), error.hint)

    def message(self, text: str) -> str:
        """A message that names the input instead of a temporary file or of standard input."""
        read = input_name(self.path)
        if read == self.name:
            return text
        return reworded(text, text.replace(read, self.name))

    @contextmanager
    def opened(self, files: Files, output: Place | None = None) -> Iterator[OpenedFile]:
        """The input, open. Errors bear its name.

        output : where the result goes, None for standard output
        """
        stream = self.stream
        if stream is None and self.path is None:
            stream = sys.stdin.buffer
        with ExitStack() as held:
            try:
                opening = files.open(self.path, stdin=stream, output=output)
                opened = held.enter_context(opening)
            except InputError as error:
                renamed = self._of_other_medium(error, files)
                if renamed is None:
                    raise
                raise renamed from error.__cause__
            yield opened

    def _of_other_medium(self, error: InputError, files: Files) -> InputError | None:
        """The error for a file that another command reads, by its suffix; None for other files."""
        from convcli.media.tables.files import TableFiles
        from convcli.media.tables.table_options import TableOptions

        if self.path is None or files.has_suffix(self.path):
            return None
        candidates = (
            *sound_and_picture_files(max_pixels=1, strict=False),
            TableFiles(options=TableOptions()),
        )
        found = files_by_suffix(self.path, candidates)
        if found is None or found.medium is files.medium:
            return None
        hint = f"`convcli {found.command}` filters such files"
        return error.reworded(error.message, hint)


def read_input(
    path: Place | None, held: ExitStack, *, twice: bool = False, example: str = "..."
) -> Input:
    """The input at `path`, which is refused here if it cannot be read.

    path : None or a pipe can be read once; of an object in a store as much is read as is needed
    twice : the input is read again, so that a pipe is kept in a temporary file until `held` closes
    example : a command that reads a pipe, for the hint
    """
    from convcli.media.inputs import check_input
    from convcli.media.replacing import is_special, stream_in_file
    from convcli.places import local_path

    name = input_name(path)
    if path is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise RequestError("no input", hint=f"name a file, or pipe one in: ... | {example}")
        stream = sys.stdin.buffer
    else:
        local = local_path(path)
        if local is not None:
            check_input(local)
            if not twice or not is_special(local):
                return Input(name, local)
        stream = held.enter_context(path.open("rb"))
    if not twice and path is None:
        return Input(name, None)
    if not twice:
        read = Input(name, None, stream)
        held.enter_context(_errors_name_input(read))
        return read
    kept = Input(name, held.enter_context(stream_in_file(stream, name)))
    held.enter_context(_errors_name_input(kept))
    return kept


@contextmanager
def _errors_name_input(given: Input) -> Iterator[None]:
    """Errors name the input instead of a temporary file, which the user has never seen."""
    try:
        yield
    except ConvcliError as error:
        raise given.renamed(error) from error.__cause__


# --------------------------------------------------------------------------- inputs of any medium


def files_for(
    paths: Sequence[Place | None], table: TableOptions, *, max_pixels: int, strict: bool
) -> Files:
    """How files are opened that may be sound, tables or pictures.

    The first path whose suffix or first bytes are known decides; None is standard input, which is
    not read for that. Raises RequestError if none is known, or for options of tables with another
    medium.
    """
    from convcli.media.tables.files import TableFiles

    sound_and_pictures = sound_and_picture_files(max_pixels=max_pixels, strict=strict)
    candidates = (*sound_and_pictures, TableFiles(options=table))
    for path in paths:
        found = None if path is None else _recognised(path, candidates)
        if found is not None:
            if found.medium is not TABLE:
                _refuse_table_options(table, found.medium)
            return found
    raise RequestError(
        "nothing says whether this is sound, a table or a picture",
        hint="a suffix says it: .wav, .csv, .png",
    )


def sound_and_picture_files(*, max_pixels: int, strict: bool) -> tuple[Files, ...]:
    """How files of sound and of pictures are opened."""
    from convcli.media.audio.files import AudioFiles
    from convcli.media.images.files import ImageFiles

    return AudioFiles(strict=strict), ImageFiles(max_pixels=max_pixels)


def files_by_suffix(path: Place, candidates: Sequence[Files]) -> Files | None:
    """The first of some ways to open files that knows the suffix of a path; None if none does."""
    return next((files for files in candidates if files.has_suffix(path)), None)


def _recognised(path: Place, candidates: Sequence[Files]) -> Files | None:
    from convcli.media.inputs import check_input
    from convcli.places import local_path

    found = files_by_suffix(path, candidates)
    if found is not None:
        return found
    local = local_path(path)
    if local is not None:
        check_input(local)
        if not local.is_file():
            return None
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return next((files for files in candidates if files.begins_with(head)), None)


def _refuse_table_options(table: TableOptions, medium: Medium) -> None:
    if table.follow:
        raise RequestError(f"--follow is for tables, and these are {medium.things}")
    for group in (table.columns, table.times, table.text, table.output):
        for option in fields(group):
            if not option.metadata and vars(group)[option.name] != option.default:
                spelling = _SPELLING.get(option.name, f"--{option.name.replace('_', '-')}")
                raise RequestError(f"{spelling} is for tables, and these are {medium.things}")


@dataclass(frozen=True, eq=False)
class FirstPage:
    """The first page of an open file, which is the only one that is read.

    warnings : what is odd about the file, as far as it was known when the file was opened
    """

    given: Input
    opened: OpenedFile
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, given: Input, opened: OpenedFile, purpose: str) -> FirstPage:
        """The first page of a file that was just opened.

        purpose : what the first of several pages is used for, for the warning
        """
        warnings = [given.message(text) for text in opened.warnings]
        pages = len(opened.sources)
        if pages > 1:
            warnings.append(Loss(f"{given.name}: of {pages} pages the first is {purpose}"))
        return cls(given, opened, tuple(warnings))

    @property
    def source(self) -> Source[Any]:
        """The signal of the first page."""
        return self.opened.sources[0]

    @property
    def late_warnings(self) -> tuple[str, ...]:
        """What was found while the page was read."""
        found = warnings_after_reading(self.given, self.opened)
        return tuple(text for text in found if text not in self.warnings)

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """Everything that is odd about the file, after the page was read."""
        return self.warnings + self.late_warnings


@contextmanager
def open_template(path: Place | None, files: Files) -> Iterator[tuple[FirstPage, Files]]:
    """A template, and how to open the inputs that are searched for it.

    A table is searched in the columns that its first template has, unless -c names them.
    """
    with ExitStack() as held:
        twice = files.inspects_template
        given = read_input(path, held, twice=twice, example="convcli detect - INPUT")
        own = files
        if twice and given.path is not None:
            own, files = files.for_template(given.path)
        opened = held.enter_context(given.opened(own))
        yield FirstPage.of(given, opened, "the template"), files


def warnings_after_reading(given: Input, opened: OpenedFile) -> list[str]:
    """What is odd about an input that was read, with the numbers that were rounded."""
    return [given.message(text) for text in (*opened.warnings, *opened.roundings)]


class RowText:
    """A column of a table as text, which is kept while the table is read."""

    def __init__(self, source: Any, column: str) -> None:
        self._recent = source.keep_text()
        self._column = source.header.index(column)
