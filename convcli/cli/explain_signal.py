"""The SIGNAL of `convcli explain`: numbers, columns of a table, or an excerpt of a file."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from convcli.cli import print_message
from convcli.cli.opening import (
    FirstPage,
    files_by_suffix,
    read_input,
    sound_and_picture_files,
)
from convcli.cli.table_arguments import TableArguments, TextArguments
from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.units import UnitError, to_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.checking.explain import SmallSignal
    from convcli.media.files import Files
    from convcli.media.tables.table_options import TableOptions
    from convcli.places import Place
    from convcli.signals import Signal, Source

# How much of a sound and of each side of a picture is shown where nothing else is asked for.
SAMPLES_SHOWN = 16
PIXELS_SHOWN = 6
LARGEST_PICTURE = 10**9
# How lengths and frequencies of a table are written here, where no column holds the times.
_LENGTH_HELP = "a number of rows (20); durations need `convcli csv --time COLUMN`"
_FREQUENCY_HELP = "in cycles per row, 0 to 0.5 (Hz needs `convcli csv --time COLUMN`)"


@dataclass(frozen=True, kw_only=True)
class ExplainTable:
    """Which columns of a table are the signal, and how the text of the table is read."""

    columns: Annotated[
        list[str] | None,
        typer.Option(
            "-c",
            "--column",
            metavar="A,B",
            help="This column of a table is the signal; several are its channels.",
        ),
    ] = None
    text: TextArguments = TextArguments()

    def table_options(self) -> TableOptions:
        """Return the options with which the table is opened."""
        return TableArguments(columns=self.columns, text=self.text).options()


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Which part of a sound, a picture or a table is the signal."""

    at: Annotated[
        str | None,
        typer.Option(
            metavar="START",
            help="First sample of a file that is shown: 1.2s, a row, or X,Y in a picture.",
            show_default="the middle of a sound or picture, the first row of a table",
        ),
    ] = None
    size: Annotated[
        str | None,
        typer.Option(
            metavar="N|HxW",
            help="How much of a file is shown.",
            show_default=f"{SAMPLES_SHOWN} samples, {PIXELS_SHOWN}x{PIXELS_SHOWN} pixels, "
            "all of a table",
        ),
    ] = None

    @property
    def chosen(self) -> bool:
        """Whether a part was asked for."""
        return self.at is not None or self.size is not None


def opened_without_column(text: str) -> bool:
    """Whether a text names a file that is opened as it is: a sound or a picture."""
    from convcli.places import place_of

    known = sound_and_picture_files(max_pixels=LARGEST_PICTURE, strict=False)
    return files_by_suffix(place_of(text), known) is not None


def read_signal(
    text: str, table: ExplainTable, excerpt: Excerpt, with_column: Callable[[], str]
) -> SmallSignal:
    """Read SIGNAL: its own numbers, those of a file, or samples of a sound, table or picture.

    with_column : makes the command that takes a column, for hints
    """
    from convcli.media.inputs import check_input
    from convcli.media.tables.files import TableFiles
    from convcli.places import is_file, is_folder, place_of

    if table.columns is not None:
        return _from_table(text, table.table_options(), excerpt)
    bare = text.strip()
    if bare == "-":
        return _of_numbers(_numbers_of_stdin(with_column), excerpt)
    if text.startswith("@"):
        return _of_numbers([_numbers_in_file(bare[1:], with_column)], excerpt)
    if bare:
        place = place_of(text)
        known = sound_and_picture_files(max_pixels=LARGEST_PICTURE, strict=False)
        files = files_by_suffix(place, known)
        if files is not None:
            return _from_file(place, files, excerpt)
    hint = "such as 1,2,3,4, or @FILE, or -, or a sound or picture"
    if is_file(text):
        hint = _column_hint(with_column)
    elif TableFiles.has_suffix(Path(text)) or (bare and is_folder(text)):
        check_input(Path(text))
    try:
        channels = _parse_channels(text)
    except ValueError as problem:
        raise RequestError(f"SIGNAL expects numbers: {problem}", hint=hint) from None
    return _of_numbers(channels, excerpt)


# ---------------------------------------------------------------------------------------- numbers


def one_row_of_numbers(text: str) -> list[float]:
    """Read `1,2,3`: one channel along one axis, without missing samples."""
    expected = "expected numbers such as 1,2,3, or the name of a function"
    try:
        numbers = _parse_numbers(text)
    except ValueError as problem:
        raise RequestError(f"{expected}: {problem}") from None
    if isinstance(numbers[0], list):
        raise RequestError(f"{expected}: there is more than one row")
    if any(math.isnan(number) for number in numbers):
        raise RequestError(f"{expected}: a number is missing")
    return numbers


def _of_numbers(channels: list[Any], excerpt: Excerpt) -> SmallSignal:
    """The signal of numbers, one list for each channel."""
    from convcli.checking.explain import array_signal

    if excerpt.chosen:
        raise RequestError("--at and --size choose a part of a file, and these are numbers")
    return array_signal(channels)


def _column_hint(with_column: Callable[[], str]) -> str:
    return f"-c names a column of a table: {with_column()}"


def _numbers_of_stdin(with_column: Callable[[], str]) -> list[Any]:
    """Numbers from standard input, one list for each channel."""
    try:
        content = _stdin().read().decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("standard input: expected numbers as text") from None
    except OSError as error:
        raise InputError(f"standard input: cannot be read: {error.strerror}") from error
    cells = ",".join(content.split()).strip(",")
    try:
        return _parse_channels(cells)
    except ValueError as problem:
        message = f"standard input: expected numbers: {problem}"
        raise InputError(message, hint=_column_hint(with_column)) from None


def _numbers_in_file(name: str, with_column: Callable[[], str]) -> Any:
    """The numbers in a file, @FILE."""
    from convcli.designs.tapfiles import read_tap_file
    from convcli.media.inputs import check_input
    from convcli.places import path_of

    path = path_of(name).expanduser()
    check_input(path)
    try:
        numbers = read_tap_file(path)
    except InputError as error:
        hint = None
        if "expected a number" in error.message:
            hint = _column_hint(with_column)
        raise error.reworded(error.message, hint) from error.__cause__
    return numbers.ravel() if min(numbers.shape) == 1 else numbers


def _parse_channels(text: str) -> list[Any]:
    """Parse numbers of channels that are split by `/`. ValueError says what is wrong with them."""
    channels = [_parse_numbers(channel) for channel in text.split("/")]
    if len({_shape(channel) for channel in channels}) > 1:
        raise ValueError("each channel must have as many as the first")
    return channels


def _shape(numbers: list[Any]) -> tuple[int, ...]:
    first = numbers[0]
    if isinstance(first, list):
        return len(numbers), len(first)
    return (len(numbers),)


def _parse_numbers(text: str) -> list[Any]:
    """Parse `1,2,3` or, with rows split by `;`, `1,2;3,4`; an empty cell or NaN is missing.

    ValueError says what is wrong with the text.
    """
    if not text.strip():
        raise ValueError("got none")
    rows = [[_parse_number(cell) for cell in row.split(",")] for row in text.split(";")]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("each row must have as many as the first")
    return rows if len(rows) > 1 else rows[0]


def _parse_number(cell: str) -> float:
    """Parse a finite number; an empty cell is NaN. ValueError says what is wrong with it."""
    bare = cell.strip()
    if not bare:
        return math.nan
    try:
        number = float(bare)
    except ValueError:
        raise ValueError(f"{bare!r} is not a number") from None
    if math.isinf(number):
        raise ValueError(f"{bare!r} is infinite")
    return number


def _stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        raise RequestError(
            "no input", hint="convcli explain 1,2,3,4 1,2,1 has its numbers in place"
        )
    return sys.stdin.buffer


# ------------------------------------------------------------------------------------------ files


def _from_table(text: str, table: TableOptions, excerpt: Excerpt) -> SmallSignal:
    """Read columns of a table as a signal."""
    from convcli.media.tables.files import TableFiles
    from convcli.named_files import named_place

    path: Place | None = None
    if text.strip() != "-":
        path = named_place(text.removeprefix("@"))
    shown = _from_file(path, TableFiles(options=table), excerpt)
    signal = shown.signal
    medium = replace(signal.medium, length_help=_LENGTH_HELP, frequency_help=_FREQUENCY_HELP)
    return replace(shown, signal=replace(signal, medium=medium))


def _from_file(path: Place | None, files: Files, excerpt: Excerpt) -> SmallSignal:
    """Open a file and read an excerpt of it."""
    with ExitStack() as held:
        given = read_input(path, held, example="convcli explain - 1,2,1 -c COLUMN")
        opened = held.enter_context(given.opened(files))
        page = FirstPage.of(given, opened, "shown")
        shown = _excerpt_of(page.source, excerpt)
        for text in page.all_warnings:
            print_message(text, kind="warning")
        return shown


def _excerpt_of(source: Source[Any], excerpt: Excerpt) -> SmallSignal:
    """Read the part of a source that was asked for."""
    from convcli.checking.explain import read_excerpt

    starts, sizes = _part(source.signal, excerpt)
    part = read_excerpt(source, starts, sizes)
    if part.samples.size == 0 and excerpt.at is not None:
        raise RequestError(f"--at {excerpt.at}: the {source.signal.medium.thing} ends before")
    return part


def _part(signal: Signal, excerpt: Excerpt) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The first sample of a part and its lengths, along each axis."""
    whole = signal.medium.carries_cells
    shown = PIXELS_SHOWN if signal.axes == 2 else SAMPLES_SHOWN
    sizes = (sys.maxsize if whole else shown,) * signal.axes
    if excerpt.size is not None:
        sizes = _numbers_of(excerpt.size, signal, option="--size", separator="x", least=1)
    if excerpt.at is not None:
        # Columns come first in X,Y, and rows first in a picture.
        at = _numbers_of(excerpt.at, signal, option="--at", separator=",", least=0)
        return at[::-1], sizes
    if whole:
        return (0,) * signal.axes, sizes
    starts = [_middle(n, size) for n, size in zip(signal.shape, sizes, strict=True)]
    return tuple(starts), sizes


def _middle(length: int | None, size: int) -> int:
    """The first sample of a part in the middle; 0 where the length is not known."""
    if length is None:
        return 0
    return max(0, (length - size) // 2)


def _numbers_of(
    text: str, signal: Signal, *, option: str, separator: str, least: int
) -> tuple[int, ...]:
    """A position or a size, with one number for each sample axis."""
    parts = text.lower().split(separator)
    if len(parts) == 1:
        parts *= signal.axes
    try:
        numbers = tuple(round(to_samples(part, signal)) for part in parts)
    except UnitError as error:
        raise RequestError(f"{option}: {error}") from None
    if len(numbers) != signal.axes or min(numbers) < least:
        expected = "a number" if signal.axes == 1 else f"two numbers split by {separator}"
        raise RequestError(f"{option} expects {expected} from {least} on, got {text!r}")
    return numbers
