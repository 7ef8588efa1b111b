"""Options by which commands read tables."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from convcli.dataclass import dataclass
from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.media.tables.table_options import TableOptions, TextOptions


def columns_option(default: str) -> Any:
    """`--columns`, with its default in words."""
    return typer.Option(
        "-c",
        "--columns",
        metavar="A,B",
        help="Columns of a table to work on; 'Close*' takes all that begin with Close.",
        show_default=default,
    )


def time_option(use: str) -> Any:
    """`--time`, with what a command does with the times."""
    return typer.Option(metavar="COLUMN", help=f"Column of a table with sorted times. {use}")


@dataclass(frozen=True, kw_only=True)
class TextArguments:
    """How the text of a table is read."""

    delimiter: Annotated[
        str | None,
        typer.Option(
            "-d",
            "--delimiter",
            help=r"Separator of the cells of a table: , ; \t",
            show_default="as in the header",
        ),
    ] = None
    decimal: Annotated[str, typer.Option(help="Decimal mark of a table: . or ,")] = "."
    thousands: Annotated[
        str,
        typer.Option(
            metavar="CHAR",
            help="Separator of thousands in a table, such as , in 1,234,567.",
            show_default="nothing",
        ),
    ] = ""
    na: Annotated[
        list[str] | None,
        typer.Option(
            "--na",
            metavar="WORD",
            help="Another word for a missing value in a table, such as '.' or '***', exactly as "
            "written; a number such as -999 however it is written. May be given several times.",
            show_default="none, na, nan, null, n/a, and empty cells",
        ),
    ] = None
    comment: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="Lines of a table that begin with TEXT are comments, not rows; csv keeps them.",
            show_default="nothing",
        ),
    ] = ""
    skip_rows: Annotated[
        int,
        typer.Option(
            min=0,
            max=1_000_000,
            metavar="N",
            help="Number of lines before the header of a table (with --no-header: before its "
            "first row) that are not read; csv keeps them.",
        ),
    ] = 0
    no_header: Annotated[
        bool,
        typer.Option(
            "--no-header", help="The table has no header: columns are called 1, 2, 3, ..."
        ),
    ] = False
    encoding: Annotated[str, typer.Option(help="Encoding of a table.")] = "utf-8"

    def options(self) -> TextOptions:
        """The options with which the text is read. RequestError if one cannot be read."""
        from convcli.media.tables.table_options import TextOptions

        if self.decimal not in (".", ","):
            raise RequestError(f"--decimal expects . or , got {self.decimal!r}")
        return TextOptions(
            delimiter=one_character(self.delimiter, "--delimiter"),
            decimal=self.decimal,
            thousands=self.thousands,
            na=tuple(self.na or ()),
            comment=self.comment,
            skip_rows=self.skip_rows,
            header=not self.no_header,
            encoding=self.encoding,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class TableArguments:
    """Which columns of a table are read, and how."""

    columns: Annotated[
        list[str] | None, columns_option("every one whose first known cell is a number")
    ] = None
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Group the rows of a table by these columns: each group is a signal of its own.",
        ),
    ] = None
    time: Annotated[
        str | None,
        time_option(
            "Lengths may then be durations (20d) and pools bins of the calendar (1mo); regular "
            "times set the unit of frequencies."
        ),
    ] = None
    time_unit: Annotated[
        Literal["s", "ms", "us", "ns"] | None,
        typer.Option(
            help="Unit of times that are numbers.",
            show_default="by their size: 1577836800 s, 1577836800000 ms are 2020-01-01",
        ),
    ] = None
    date_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="How dates are written, such as %d.%m.%Y or '%m/%d/%Y %H:%M'.",
            show_default="as the first one looks; 1/2/2024 has the month first, 1.2.2024 the day",
        ),
    ] = None
    time_zone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Time zone of the calendar bins, such as Europe/Berlin, for times that are "
            "numbers or name their offset.",
            show_default="as the times are written; numbers are in UTC",
        ),
    ] = None
    every: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH",
            help="Make rows regular first: one for each 15min, 1h, 1d, 1w, 1mo, 1q or 1y, with the "
            "mean of its rows or a missing value, and the time at which it begins.",
        ),
    ] = None
    text: TextArguments = TextArguments()

    def options(self) -> TableOptions:
        """The options with which the table is opened. RequestError if one cannot be read."""
        from convcli.media.tables.table_options import ColumnOptions, TableOptions, TimeOptions

        text = self.text.options()
        columns = ColumnOptions(
            names=column_names(self.columns, "-c"), by=column_names(self.by, "--by") or ()
        )
        times = TimeOptions(
            column=self.time,
            unit=self.time_unit,
            date_format=self.date_format,
            zone=self.time_zone,
            every=self.every,
        )
        return TableOptions(columns=columns, times=times, text=text)


def column_names(texts: list[str] | None, option: str) -> tuple[str, ...] | None:
    """The names in `-c A,B -c C`; a name with a comma is in double quotes, as in the table.

    option : how the option is written
    """
    if not texts:
        return None
    try:
        names = [name for text in texts for name in next(csv.reader([text]), [""])]
    except csv.Error:  # a line end outside quotes
        names = []
    if not names or not all(names):
        raise RequestError(
            f"{option} expects names of columns split by commas, such as {option} Open,Close"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"{option}: column {twice!r} is asked for twice", hint="name it once")
    return tuple(names)


def one_character(text: str | None, option: str) -> str | None:
    r"""`;`, `\t` or `tab` as one character."""
    meant = {"\\t": "\t", "tab": "\t"}.get(text or "", text)
    if meant is not None and (
        len(meant) != 1 or not meant.isascii() or meant in '"\r\n' or meant.isalnum()
    ):
        raise RequestError(f"{option} expects one character such as , ; or \\t, got {text!r}")
    return meant
