"""The SIGNAL of `convcli explain`: numbers, columns of a table, or an excerpt of a file."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from convcli.cli import options
from convcli.cli.opening import first_page, read_input
from convcli.cli.options import TableArguments
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, InputError, RequestError
from convcli.units import UnitError, to_samples

if TYPE_CHECKING:
    from convcli.checking.excerpt import SmallSignal
    from convcli.media.files import Files
    from convcli.media.tables.table_options import TableOptions
    from convcli.places import Place
    from convcli.signals import Signal, Source

_COLUMN_HINT = "-c COLUMN takes a column of a table"
# How much of a sound and of each side of a picture is shown where nothing else is asked for.
SAMPLES_SHOWN = 16
PIXELS_SHOWN = 6
LARGEST_PICTURE = 10**9


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
            show_default=False,
        ),
    ] = None
    delimiter: options.Delimiter = None
    decimal: options.Decimal = "."
    no_header: options.NoHeader = False
    encoding: options.Encoding = "utf-8"

    def table_options(self) -> TableOptions:
        """Return the options with which the table is opened."""
        arguments = TableArguments(
            columns=self.columns,
            delimiter=self.delimiter,
            decimal=self.decimal,
            no_header=self.no_header,
            encoding=self.encoding,
        )
        return arguments.options()


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


def read_signal(text: str, table: ExplainTable, excerpt: Excerpt) -> SmallSignal:
    """Read SIGNAL: its own numbers, those of a file, or samples of a sound, table or picture."""
    from convcli.media.inputs import is_file
    from convcli.places import place_of

    if table.columns is not None:
        return _from_table(text, table.table_options(), excerpt)
    bare = text.strip()
    if bare == "-" or text.startswith("@"):
        return _of_numbers(_numbers_of_input(bare), excerpt)
    place = place_of(text)
    files = _sound_or_picture(place)
    if files is not None:
        return _from_file(place, files, excerpt)
    hint = "such as 1,2,3,4, or @FILE, or -, or a sound or picture"
    if is_file(text):
        hint = f"@{text} reads the numbers of a file; {_COLUMN_HINT}"
    error = RequestError("SIGNAL expects numbers", hint=hint)
    return _of_numbers(_parse_channels(text, error), excerpt)


# ---------------------------------------------------------------------------------------- numbers


def one_row_of_numbers(text: str) -> list[float]:
    """Read `1,2,3`: one channel along one axis, without missing samples."""
    error = RequestError("expected numbers such as 1,2,3, or the name of a function")
    numbers = _parse_numbers(text, error)
    if isinstance(numbers[0], list) or any(math.isnan(number) for number in numbers):
        error.message += ": one row, and none missing"
        raise error
    return numbers


def _of_numbers(channels: list[Any], excerpt: Excerpt) -> SmallSignal:
    """The signal of numbers, one list for each channel."""
    from convcli.checking.excerpt import array_signal

    if excerpt.chosen:
        raise RequestError("--at and --size choose a part of a file, and these are numbers")
    return array_signal(channels)


def _numbers_of_input(text: str) -> list[Any]:
    """Numbers from standard input, `-`, or from a file, `@FILE`; one list for each channel."""
    if text != "-":
        return [_numbers_in_file(Path(text[1:]).expanduser())]
    try:
        content = _stdin().read().decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("standard input: expected numbers as text") from None
    error = InputError("standard input: expected numbers", hint=_COLUMN_HINT)
    return _parse_channels(",".join(content.split()).strip(","), error)


def _numbers_in_file(path: Path) -> Any:
    from convcli.designs.tapfiles import read_tap_file
    from convcli.media.inputs import check_input

    check_input(path)
    try:
        numbers = read_tap_file(path)
    except InputError as error:
        error.hint = _COLUMN_HINT if "expected a number" in error.message else None
        raise
    return numbers.ravel() if min(numbers.shape) == 1 else numbers


def _parse_channels(text: str, error: ConvcliError) -> list[Any]:
    """Parse numbers; channels are split by `/`."""
    channels = [_parse_numbers(channel, error) for channel in text.split("/")]
    if len({_shape(channel) for channel in channels}) > 1:
        error.message += ": as many in each channel"
        raise error
    return channels


def _shape(numbers: list[Any]) -> tuple[int, ...]:
    first = numbers[0]
    if isinstance(first, list):
        return len(numbers), len(first)
    return (len(numbers),)


def _parse_numbers(text: str, error: ConvcliError) -> list[Any]:
    """Parse `1,2,3` or, with rows split by `;`, `1,2;3,4`; an empty cell or NaN is missing.

    Raises `error` with what is wrong added to its message.
    """
    try:
        rows = [[_parse_number(cell) for cell in row.split(",")] for row in text.split(";")]
    except ValueError as bad:
        cell = str(bad).removeprefix("could not convert string to float: ")
        error.message += f": {cell} is none"
        raise error from None
    if not text.strip():
        error.message += ": got none"
        raise error
    lengths = {len(row) for row in rows}
    infinite = any(math.isinf(value) for row in rows for value in row)
    if infinite or len(lengths) > 1:
        error.message += ": finite ones, and as many in each row"
        raise error
    return rows if len(rows) > 1 else rows[0]


def _parse_number(cell: str) -> float:
    return float(cell) if cell.strip() else math.nan


def _stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        raise RequestError(
            "no input", hint="convcli explain 1,2,3,4 1,2,1 has its numbers in place"
        )
    return sys.stdin.buffer


# ------------------------------------------------------------------------------------------ files


def _sound_or_picture(path: Place) -> Files | None:
    """How a sound or a picture is opened; None for any other file."""
    from convcli.media.audio.files import AudioFiles
    from convcli.media.images.files import ImageFiles

    candidates: tuple[Files, ...] = (
        AudioFiles(strict=False),
        ImageFiles(max_pixels=LARGEST_PICTURE),
    )
    return next((files for files in candidates if files.has_suffix(path)), None)


def _from_table(text: str, table: TableOptions, excerpt: Excerpt) -> SmallSignal:
    """Read columns of a table as a signal."""
    from convcli.media.tables.files import TableFiles
    from convcli.places import is_remote, place_of

    path: Place | None = None
    if is_remote(text):
        path = place_of(text)
    elif text.strip() != "-":
        path = Path(text.removeprefix("@")).expanduser()
    return _from_file(path, TableFiles(options=table), excerpt)


def _from_file(path: Place | None, files: Files, excerpt: Excerpt) -> SmallSignal:
    """Open a file and read an excerpt of it."""
    with ExitStack() as held:
        given = read_input(path, held, example="convcli explain - 1,2,1 -c COLUMN")
        opened = held.enter_context(given.opened(files))
        source, _ = first_page(opened, given.name, "shown")
        return _excerpt_of(source, excerpt)


def _excerpt_of(source: Source[Any], excerpt: Excerpt) -> SmallSignal:
    """Read the part of a source that was asked for."""
    from convcli.checking.excerpt import read_excerpt

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
