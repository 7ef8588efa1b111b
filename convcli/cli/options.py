"""Options that several commands share, with one spelling and one help text each."""

from __future__ import annotations

import csv
import re
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.places import Place, place_of

if TYPE_CHECKING:
    from convcli.batch.listing import InputWords
    from convcli.media.tables.table_options import TableOptions


def complete_filter(incomplete: str) -> list[str]:
    """Complete the name of a step at the end, and that of a recipe of the user after an @."""
    from convcli.designs import steps
    from convcli.planning.recipe_folder import known_recipes

    begun = re.search(r"(?:^|[\s|(])(@?\w*)$", incomplete)
    if begun is None:
        return []
    word = begun[1]
    head = incomplete[: begun.start(1)]
    known = list(steps())
    if word.startswith("@"):
        known = [f"@{name}" for name in known_recipes()]
    return [head + name for name in known if name.startswith(word)]


filter_argument = typer.Argument(
    metavar="FILTER",
    help="Steps split by |, such as 'gaussian:2 | downsample:2', combined by + - * / between "
    "spaces, such as 'x - gaussian:3' (x is the input), or @recipe.conv; `convcli filters` lists "
    "all.",
    autocompletion=complete_filter,
    show_default=False,
)
Filter = Annotated[str, filter_argument]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[INPUT]...",
        help="Files, folders, quoted patterns ('in/**/*.*') and URLs (s3://bucket/key); none or "
        "- is standard input.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUTPUT",
        help="A file, or for several inputs a folder (out/) or a template "
        "('out/{stem}_lp{suffix}'; also {parent} {relative} {subfolder} {index}); none or - is "
        "standard output.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
InPlace = Annotated[
    bool,
    typer.Option("--in-place", help="Replace the inputs themselves, each when it is complete."),
]
EdgeRule = (
    Literal["shrink", "missing", "zero", "edge", "reflect", "symmetric", "wrap", "valid"] | None
)
Alignment = Literal["center", "causal"] | None


def edge_option(default: str) -> Any:
    """`--edge`, with its default in words."""
    return typer.Option(help="What lies outside of the signal.", show_default=default)


def align_option(default: str) -> Any:
    """`--align`, with its default in words."""
    return typer.Option(
        help="center: delay compensated; causal: an output reads no later sample.",
        show_default=default,
    )


Missing = Annotated[
    Literal["keep", "fill", "propagate", "error"] | None,
    typer.Option(
        help="Missing values stay missing (keep), are estimated (fill), make every output that "
        "reads them missing (propagate), or are an error.",
        show_default="keep",
    ),
]
Report = Annotated[
    Place | None,
    typer.Option(
        parser=place_of,
        metavar="FILE",
        help="Write the facts of the run to FILE.json, .html or .md.",
        show_default=False,
    ),
]
Plot = Annotated[
    Place | None,
    typer.Option(
        parser=place_of,
        metavar="FILE",
        help="Draw the result into FILE.png, .svg or .pdf; needs convcli[plot].",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and touch nothing.")]
# More processes or threads than this are a mistake, and would exhaust most machines.
MOST_JOBS = 1024
Jobs = Annotated[
    int | None,
    typer.Option(
        "-j",
        "--jobs",
        min=1,
        max=MOST_JOBS,
        help="Inputs filtered at once, or parts of one large input.",
        show_default="as many as cores",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads for one input.", show_default="as many as cores"),
]


Parts = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Cut one large WAV, uncompressed picture or plain table into N parts, which --jobs "
        "processes filter at once, with the same bytes; 1: do not cut.",
        show_default="with --jobs, by size",
    ),
]


class Condition(StrEnum):
    """Conditions of `--fail-on`; an enumeration because Typer has no lists of literals."""

    CLIP = "clip"
    MISSING = "missing"
    LOOKAHEAD = "lookahead"


FailOn = Annotated[
    list[Condition] | None,
    typer.Option(
        help="Exit with 1 if samples were clipped, values were or became missing, or the filter "
        "looks ahead (then nothing is run). May be given several times.",
        show_default=False,
    ),
]


def columns_option(default: str) -> Any:
    """`--columns`, with its default in words."""
    return typer.Option(
        "-c",
        "--columns",
        metavar="A,B",
        help="Columns of a table to work on; 'Close*' takes all that begin with Close.",
        show_default=default,
    )


Columns = Annotated[
    list[str] | None, columns_option("every one whose first known cell is a number")
]
By = Annotated[
    list[str] | None,
    typer.Option(
        metavar="A,B",
        help="Group the rows of a table by these columns: each group is a signal of its own.",
        show_default=False,
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of a table with sorted times. Lengths may then be durations (20d) and pools "
        "bins of the calendar (1mo); regular times set the unit of frequencies.",
        show_default=False,
    ),
]
TimeUnit = Annotated[
    Literal["s", "ms", "us", "ns"] | None,
    typer.Option(
        help="Unit of times that are numbers.",
        show_default="by their size: 1577836800 s, 1577836800000 ms are 2020-01-01",
    ),
]
DateFormat = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help="How dates are written, such as %d.%m.%Y or '%m/%d/%Y %H:%M'.",
        show_default="as the first one looks; 1/2/2024 has the month first, 1.2.2024 the day",
    ),
]
TimeZone = Annotated[
    str | None,
    typer.Option(
        metavar="ZONE",
        help="Time zone of the calendar bins, such as Europe/Berlin, for times that are numbers or "
        "name their offset.",
        show_default="as the times are written; numbers are in UTC",
    ),
]
Every = Annotated[
    str | None,
    typer.Option(
        metavar="LENGTH",
        help="Make rows regular first: one for each 15min, 1h, 1d, 1w, 1mo, 1q or 1y, with the "
        "mean of its rows or a missing value, and the time at which it begins. FILTER may then be "
        "left out.",
        show_default=False,
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "-d",
        "--delimiter",
        help=r"Separator of the cells of a table: , ; \t",
        show_default="as in the header",
    ),
]
Decimal = Annotated[str, typer.Option(help="Decimal mark of a table: . or ,")]
Thousands = Annotated[
    str,
    typer.Option(
        metavar="CHAR",
        help="Separator of thousands in a table, such as , in 1,234,567.",
        show_default="nothing",
    ),
]
MissingWords = Annotated[
    list[str] | None,
    typer.Option(
        "--na",
        metavar="WORD",
        help="Another word for a missing value in a table, such as '.' or '***', exactly as "
        "written; a number such as -999 however it is written. May be given several times.",
        show_default="none, na, nan, null, n/a, and empty cells",
    ),
]
Comment = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help="Lines of a table that begin with TEXT are comments, which stay as they are.",
        show_default="nothing",
    ),
]
SkipRows = Annotated[
    int,
    typer.Option(
        min=0,
        max=1_000_000,
        metavar="N",
        help="Number of lines before the header of a table (with --no-header: before its first "
        "row), which stay as they are.",
    ),
]
NoHeader = Annotated[
    bool,
    typer.Option("--no-header", help="The table has no header: columns are called 1, 2, 3, ..."),
]
Encoding = Annotated[str, typer.Option(help="Encoding of a table.")]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", help="Take the files in the subfolders of folders too, but no hidden ones."
    ),
]
FilesFrom = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Read names of more inputs from LIST, one on each line; - is standard input.",
        show_default=False,
    ),
]
NullNames = Annotated[
    bool, typer.Option("-0", "--null", help="Names in LIST end with NUL, as `find -print0` writes.")
]
ShardText = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Take only part I of N of the inputs, so that N machines share the work.",
        show_default=False,
    ),
]
Retries = Annotated[
    int,
    typer.Option(
        min=0,
        max=1000,
        help="How often an input is tried again after a passing error, such as a lost connection.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Filter the inputs on the workers of the Dask cluster at tcp://HOST:8786; local "
        "starts --jobs workers here. Needs convcli[cluster].",
        show_default=False,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Skip inputs that an earlier run of this command finished, unless the input or the "
        "options have changed.",
    ),
]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Skip inputs whose output exists.")
]
LedgerFile = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="FILE",
        help="Write a line of JSON for each input as it ends; --resume reads it.",
        show_default="a record in ~/.local/state",
    ),
]
FailedFile = Annotated[
    Place | None,
    typer.Option(
        "--failed",
        parser=place_of,
        metavar="FILE",
        help="Write the names of inputs that failed, for --files-from.",
        show_default="failed.txt beside the ledger, or LEDGER.failed.txt if there is one already",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Print more: a table of the steps as they were designed."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of a defect of convcli.")]


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """A filter, the files that it is applied to, and where the results go."""

    filter: Filter
    inputs: Inputs = None
    output: Output = None


@dataclass(frozen=True, eq=False, kw_only=True)
class InputListOptions:
    """Where further inputs come from."""

    recursive: Recursive = False
    files_from: FilesFrom = None
    null: NullNames = False

    def words(self, inputs: list[str] | None) -> InputWords:
        """The words that stand for the inputs; `-` if there are none."""
        from convcli.batch.listing import STDIN, InputWords

        if not inputs:
            inputs = [] if self.files_from is not None else [STDIN]
        return InputWords(
            words=inputs,
            files_from=self.files_from,
            null=self.null,
            recursive=self.recursive,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class WorkOptions(InputListOptions):
    """Options of commands that work on many inputs, one by one."""

    shard: ShardText = None
    resume: Resume = False
    ledger: LedgerFile = None
    failed: FailedFile = None
    retries: Retries = 0
    cluster: Cluster = None

    @property
    def asked(self) -> bool:
        """Whether any of these options is set."""
        return any(value not in (None, False, 0) for value in vars(self).values())


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchOptions(WorkOptions):
    """Options of commands that write an output for each input."""

    skip_existing: SkipExisting = False


@dataclass(frozen=True, eq=False, kw_only=True)
class RunOptions:
    """Options of all commands that apply a filter.

    Each command defines `edge` and `align` again, so that its help shows the defaults of its own
    medium.
    """

    edge: EdgeRule = None
    align: Alignment = None
    force: Force = False
    in_place: InPlace = False
    report: Report = None
    plot: Plot = None
    dry_run: DryRun = False
    jobs: Jobs = None
    threads: Threads = None
    parts: Parts = None
    batch: BatchOptions = BatchOptions()
    fail_on: FailOn = None
    quiet: Quiet = False
    verbose: Verbose = False
    debug: Debug = False

    def fails_on(self, condition: Condition) -> bool:
        """Whether the run fails if `condition` holds."""
        return condition in (self.fail_on or ())

    @property
    def draws(self) -> bool:
        """Whether the responses of the steps are drawn or reported."""
        shown = self.verbose and sys.stderr is not None and sys.stderr.isatty()
        return shown or self.report is not None or self.plot is not None

    @property
    def prints_design(self) -> bool:
        """Whether the design of the steps is printed or reported."""
        return not self.quiet or self.dry_run or self.report is not None or self.plot is not None


@dataclass(frozen=True, eq=False, kw_only=True)
class TableArguments:
    """How the text of a table is read, and which of its columns."""

    columns: Columns = None
    by: By = None
    time: Time = None
    time_unit: TimeUnit = None
    date_format: DateFormat = None
    time_zone: TimeZone = None
    every: Every = None
    delimiter: Delimiter = None
    decimal: Decimal = "."
    thousands: Thousands = ""
    na: MissingWords = None
    comment: Comment = ""
    skip_rows: SkipRows = 0
    no_header: NoHeader = False
    encoding: Encoding = "utf-8"

    def options(self) -> TableOptions:
        """The options with which the table is opened. RequestError if one cannot be read."""
        from convcli.media.tables.table_options import (
            ColumnOptions,
            TableOptions,
            TextOptions,
            TimeOptions,
        )

        if self.decimal not in (".", ","):
            raise RequestError(f"--decimal expects . or , got {self.decimal!r}")
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
        text = TextOptions(
            delimiter=one_character(self.delimiter, "--delimiter"),
            decimal=self.decimal,
            thousands=self.thousands,
            na=tuple(self.na or ()),
            comment=self.comment,
            skip_rows=self.skip_rows,
            header=not self.no_header,
            encoding=self.encoding,
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
    return tuple(names)


def one_character(text: str | None, option: str) -> str | None:
    r"""`;`, `\t` or `tab` as one character."""
    meant = {"\\t": "\t", "tab": "\t"}.get(text or "", text)
    if meant is not None and (
        len(meant) != 1 or not meant.isascii() or meant in '"\r\n' or meant.isalnum()
    ):
        raise RequestError(f"{option} expects one character such as , ; or \\t, got {text!r}")
    return meant


def suffix_of(format: str | None) -> str | None:
    """The suffix of files of a format, for outputs that are named after their inputs."""
    return None if format is None else f".{format.lower()}"


def examples(*lines: str) -> str:
    """The examples at the end of a command's help, one a line."""
    return "\n\n".join(["Examples:", *(f"\b\n  {line}" for line in lines)])
