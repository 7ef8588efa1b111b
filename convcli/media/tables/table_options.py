"""The options with which a table is read and written, and what is wrong with some of them."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.units import UnitError, to_calendar_bins

if TYPE_CHECKING:
    from convcli.calendar_bins import CalendarBins


@dataclass(frozen=True, eq=False, kw_only=True)
class ColumnOptions:
    """Which columns of a table are read.

    names : the columns to filter; None for all whose first cell that is not missing is a number,
        except whole numbers with leading zeros, which are identifiers
    also : further columns to read, which come after these
    by : the columns that together name the group of a row
    takes_empty : in a table without any number, all columns are filtered, and all their values are
        missing; else such a table has no columns to filter, and rows in it are an error
    """

    names: tuple[str, ...] | None = None
    also: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    takes_empty: bool = field(default=False, metadata={"set by": "a command"})


@dataclass(frozen=True, eq=False, kw_only=True)
class TimeOptions:
    """How the times of a table are read, and what they are used for.

    column : the column that sets the rate
    unit : s, ms, us or ns, in which times are written as numbers; None to infer it
    date_format : how dates are written, in the directives of strptime; None to infer it
    zone : the zone whose calendar bins follow, for times that are numbers or name an offset
    irregular : rows may come at irregular times; without it they are refused
    integrate : windows in time weigh each row also by the time between its neighbours
    every : the length of the calendar bins into which rows are gathered, such as 1d; None: the
        rows stay as they are
    """

    column: str | None = None
    unit: str | None = None
    date_format: str | None = None
    zone: str | None = None
    irregular: bool = False
    integrate: bool = False
    every: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class TextOptions:
    """How the text of a table is read.

    delimiter : one character, or None to infer it from the suffix (.tsv) or the first line
    thousands : what may come between groups of digits; empty: nothing
    na : texts of a missing value besides the usual ones
    comment : what a line begins with that is passed on as it is; empty: nothing
    skip_rows : lines before the header that are passed on as they are
    header : whether the first line names the columns; if not, they are called 1, 2, 3, ...
    """

    delimiter: str | None = None
    decimal: str = "."
    thousands: str = ""
    na: tuple[str, ...] = ()
    comment: str = ""
    skip_rows: int = 0
    header: bool = True
    encoding: str = "utf-8"


@dataclass(frozen=True, eq=False, kw_only=True)
class OutputOptions:
    """How a table is written.

    append : write new columns at the end of the row, in place of replacing the old cells
    decimals : fixed decimals of the numbers written; None for the shortest that read back the same
    format : csv, jsonl, parquet, feather or arrows: how an output is written whose name has no
        suffix; None for the format of the input
    """

    append: bool = False
    decimals: int | None = None
    format: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class TableOptions:
    """How a table is read and written.

    follow : write each row as soon as it is known
    """

    columns: ColumnOptions = ColumnOptions()
    times: TimeOptions = TimeOptions()
    text: TextOptions = TextOptions()
    output: OutputOptions = OutputOptions()
    follow: bool = False

    def of_columns(self, names: tuple[str, ...] | None) -> TableOptions:
        """The options for a table of which these columns are filtered."""
        return replace(self, columns=replace(self.columns, names=names))

    def with_irregular_rows(self) -> TableOptions:
        """The options for a table whose rows may come at irregular times."""
        return replace(self, times=replace(self.times, irregular=True))

    def without_groups(self, time: str | None = None) -> TableOptions:
        """The options for a table without groups, whose times are in the column `time` if any."""
        times = self.times
        if time is None:
            times = TimeOptions(irregular=times.irregular)
        return replace(self, columns=replace(self.columns, by=()), times=times)


def bin_length(every: str) -> CalendarBins:
    """The calendar bins of `--every`. RequestError for a text that names none."""
    try:
        return to_calendar_bins(every)
    except UnitError as error:
        raise RequestError(f"--every: {error}") from None


def refuse_options(options: TableOptions, reason: str, *, allowed: tuple[str, ...]) -> None:
    """Raise RequestError for options that only the reader of delimited text knows.

    reason : why they have no meaning here · allowed : options that have one
    """
    given = {
        "-d": options.text.delimiter is not None,
        "--decimal": options.text.decimal != ".",
        "--thousands": bool(options.text.thousands),
        "--na": bool(options.text.na),
        "--comment": bool(options.text.comment),
        "--skip-rows": options.text.skip_rows > 0,
        "--no-header": not options.text.header,
        "--encoding": options.text.encoding != "utf-8",
        "--follow": options.follow,
    }
    for option, is_given in given.items():
        if is_given and option not in allowed:
            raise RequestError(
                f"{option} is for tables of text, and {reason}",
                hint="`convcli csv x TABLE -o TABLE.csv` writes one as text",
            )


def check_options(options: TableOptions) -> None:
    """Raise RequestError for options with impossible values, or that contradict each other."""
    sign = options.text.delimiter
    if sign is not None and (len(sign.encode()) != 1 or sign in '"\r\n'):
        raise RequestError(
            f"expected a delimiter of one character, got {sign!r}", hint="for example , ; or \\t"
        )
    _check_number_options(options)
    _check_time_options(options)


def _check_number_options(options: TableOptions) -> None:
    sign = options.text.thousands
    if sign and (len(sign) != 1 or sign.isalnum() or sign in '+-"\r\n'):
        raise RequestError(
            f"--thousands expects one character such as , . ' or a space, got {sign!r}"
        )
    if sign == options.text.decimal:
        raise RequestError(
            f"--thousands and --decimal are both {sign!r}",
            hint="--thousands . --decimal , reads 1.234,5",
        )
    if any(not word.strip() for word in options.text.na):
        raise RequestError("--na expects a word; an empty cell is a missing value anyway")
    comment = options.text.comment
    if comment.strip() != comment or '"' in comment or len(comment) > 16:
        raise RequestError(
            f"--comment expects what such lines begin with, as # or //, got {comment!r}"
        )


def _check_time_options(options: TableOptions) -> None:
    given = {
        "--time-unit": options.times.unit,
        "--date-format": options.times.date_format,
        "--time-zone": options.times.zone,
        "--integrate": options.times.integrate or None,
        "--every": options.times.every,
    }
    names = [name for name, value in given.items() if value is not None]
    if options.times.every is not None:
        bin_length(options.times.every)
    if options.times.unit is not None and options.times.date_format is not None:
        raise RequestError(
            "--time-unit and --date-format contradict each other",
            hint="--time-unit is for times written as numbers, --date-format for dates",
        )
    if names and options.times.column is None:
        raise RequestError(f"{names[0]} needs --time COLUMN, the column of the times")
