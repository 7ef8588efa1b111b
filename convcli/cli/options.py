"""The options that several commands share: one spelling and one help text for each."""

from __future__ import annotations

import csv
import inspect
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.media.tables.source import TableOptions

RULES, FILES, RUN = "What the filter does", "Files", "The run"


def complete_filter(incomplete: str) -> list[str]:
    """Names of steps for the shell, after the last `|`."""
    from convcli.designs import steps

    head, bar, last = incomplete.rpartition("|")
    space = " " if bar and last.startswith(" ") else ""
    return [f"{head}{bar}{space}{name}" for name in steps() if name.startswith(last.strip())]


Filter = Annotated[
    str,
    typer.Argument(
        metavar="FILTER",
        help="Steps split by |, such as 'lowpass:3.4k | downsample:2', or @recipe.conv; `convcli filters` lists all.",
        autocompletion=complete_filter,
        show_default=False,
    ),
]
Inputs = Annotated[
    Optional[list[Path]],  # noqa: UP045 -- Typer reads it at run time
    typer.Argument(
        metavar="[INPUT]...",
        help="Files to filter; none or - is standard input.",
        show_default=False,
    ),
]
Output = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "-o",
        "--output",
        metavar="OUTPUT",
        help="A file, or for several inputs a folder (out/) or a template ('out/{stem}_lp{suffix}'; also {parent} "
        "{index}); none or - is standard output.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
InPlace = Annotated[
    bool,
    typer.Option("--in-place", help="Replace the inputs themselves, each when it is complete."),
]
EdgeRule = Optional[Literal["shrink", "zero", "edge", "reflect", "symmetric", "wrap", "valid"]]  # noqa: UP045
Alignment = Optional[Literal["center", "causal"]]  # noqa: UP045


def edge_option(default: str) -> Any:
    """`--edge`, with what is said of its default."""
    return typer.Option(help="What lies outside of the signal.", show_default=default)


def align_option(default: str) -> Any:
    """`--align`, with what is said of its default."""
    return typer.Option(
        help="center: delay compensated; causal: an output reads no later sample.",
        show_default=default,
    )


Edge = Annotated[
    EdgeRule,
    edge_option("shrink for csv; zero for audio, edge where its rate changes; edge for image"),
]
Align = Annotated[Alignment, align_option("causal for csv, else center")]
Missing = Annotated[
    Literal["keep", "fill", "propagate", "error"],
    typer.Option(help="Missing values: stay missing, are estimated, spread, or are an error."),
]
Report = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        metavar="FILE",
        help="Write the facts of the run to FILE.json, .html or .md.",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and touch nothing.")]
Jobs = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "-j", "--jobs", min=1, help="Inputs filtered at once.", show_default="as many as cores"
    ),
]
Threads = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="Threads for one input.", show_default="as many as cores"),
]


class Condition(StrEnum):
    """What `--fail-on` can name; an enumeration, as Typer has no lists of literals."""

    CLIP = "clip"
    MISSING = "missing"
    LOOKAHEAD = "lookahead"


FailOn = Annotated[
    Optional[list[Condition]],  # noqa: UP045
    typer.Option(
        help="Exit with 1 if samples were clipped, values were or became missing, or the filter looks ahead (then "
        "nothing is run). May be given several times.",
        show_default=False,
    ),
]


def _columns(default: str) -> Any:
    return typer.Option(
        "-c",
        "--columns",
        metavar="A,B",
        help="Columns of a table to work on.",
        show_default=default,
    )


Columns = Annotated[Optional[list[str]], _columns("every one that begins with a number")]  # noqa: UP045
By = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="COLUMN",
        help="Each value of this column of a table is a signal of its own.",
        show_default=False,
    ),
]
Time = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="COLUMN",
        help="Times of a table, which set the rate for lengths such as 20d and for frequencies; sorted and regular.",
        show_default=False,
    ),
]
Delimiter = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "-d",
        "--delimiter",
        help=r"Between the cells of a table: , ; \t",
        show_default="as in the header",
    ),
]
Decimal = Annotated[str, typer.Option(help="Decimal mark of a table: . or ,")]
NoHeader = Annotated[
    bool,
    typer.Option("--no-header", help="The table has no header: columns are called 1, 2, 3, ..."),
]
Encoding = Annotated[str, typer.Option(help="Encoding of a table.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Say more: a table of the steps as designed.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback where a defect is met.")]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, as far as it is the same for sound, tables and pictures."""

    filter: str
    inputs: tuple[Path | None, ...]
    output: str | None = None
    force: bool = False
    in_place: bool = False
    edge: str | None = None
    align: str | None = None
    missing: str = "keep"
    suffix: str | None = None
    report: Path | None = None
    dry_run: bool = False
    jobs: int | None = None
    threads: int | None = None
    fail_on: tuple[str, ...] = ()
    quiet: bool = False
    verbose: bool = False

    @property
    def tells(self) -> bool:
        """Whether somebody hears or reads how the steps were designed."""
        return not self.quiet or self.dry_run or self.report is not None


def _request(
    filter: Filter,
    inputs: Inputs = None,
    *,
    output: Output = None,
    edge: Edge = None,
    align: Align = None,
    force: Force = False,
    in_place: InPlace = False,
    report: Report = None,
    dry_run: DryRun = False,
    jobs: Jobs = None,
    threads: Threads = None,
    fail_on: FailOn = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> Request:
    """The signature is what the command line shows."""
    return Request(
        filter=filter,
        inputs=tuple(None if str(path) == "-" else path for path in inputs or [Path("-")]),
        output=output,
        edge=edge,
        align=align,
        force=force,
        in_place=in_place,
        report=report,
        dry_run=dry_run,
        jobs=jobs,
        threads=threads,
        fail_on=tuple(fail_on or ()),
        quiet=quiet,
        verbose=verbose,
    )


def with_request(command: Callable[..., int]) -> Callable[..., int]:
    """`command(request, *, its own options)` as Typer sees it: with the shared words and options as parameters too."""
    shared = inspect.signature(_request, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    first = [
        parameter for name, parameter in shared.items() if name in ("filter", "inputs", "output")
    ]
    rest = [parameter for parameter in shared.values() if parameter not in first]

    def run(**values: Any) -> int:
        common = {name: values.pop(name) for name in shared}
        return command(_request(**common), **values)

    return _shown_as(run, command, [*first, *own, *rest])


def with_table(*, columns: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """`command(..., table)` as Typer sees it: with the options of tables in the place of `table`, the TableOptions.

    columns : what is said of the default of `--columns`
    """
    known = {"TableOptions": object}  # what Typer does not see need not be imported
    shared = dict(inspect.signature(_table, eval_str=True, locals=known).parameters)
    shared["columns"] = shared["columns"].replace(
        annotation=Annotated[list[str] | None, _columns(columns)]
    )

    def decorated(command: Callable[..., int]) -> Callable[..., int]:
        own = inspect.signature(command, eval_str=True, locals=known).parameters.values()
        parameters = [
            each for one in own for each in (shared.values() if one.name == "table" else [one])
        ]

        def run(*given: Any, **values: Any) -> int:
            common = {name: values.pop(name) for name in shared}
            return command(*given, table=_table(**common), **values)

        return _shown_as(run, command, parameters)

    return decorated


def _table(
    *,
    columns: Columns = None,
    by: By = None,
    time: Time = None,
    delimiter: Delimiter = None,
    decimal: Decimal = ".",
    no_header: NoHeader = False,
    encoding: Encoding = "utf-8",
) -> TableOptions:
    """The signature is what the command line shows."""
    from convcli.media.tables.source import TableOptions

    if decimal not in (".", ","):
        raise RequestError(f"--decimal expects . or , got {decimal!r}")
    return TableOptions(
        columns=column_names(columns),
        by=by,
        time=time,
        delimiter=one_character(delimiter, "--delimiter"),
        decimal=decimal,
        header=not no_header,
        encoding=encoding,
    )


def _shown_as(
    run: Callable[..., int], command: Callable[..., int], parameters: list[inspect.Parameter]
) -> Callable[..., int]:
    """`run` under the name of `command`, with the parameters that Typer is to see."""
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def column_names(texts: list[str] | None) -> tuple[str, ...] | None:
    """The names in `-c A,B -c C`; a name with a comma stands in double quotes, as in the table."""
    if not texts:
        return None
    names = [name for text in texts for name in next(csv.reader([text]), [])]
    if not names or not all(names):
        raise RequestError("-c expects names of columns split by commas, such as -c Open,Close")
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
