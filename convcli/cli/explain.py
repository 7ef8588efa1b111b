"""`convcli explain`."""

from __future__ import annotations

import math
import re
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from convcli.cli import options
from convcli.cli.groups import with_option_groups
from convcli.cli.opening import read_input
from convcli.cli.options import TableArguments, examples
from convcli.cli.results import write_result
from convcli.errors import ConvcliError, InputError, RequestError

if TYPE_CHECKING:
    from convcli.facts.explanation import ExplanationFacts
    from convcli.media.tables.source import TableOptions

# A KERNEL that is taps alone: `1,2,1`, `-1,0,1 | stride:2`, `@taps.csv`. Anything else is a FILTER.
_TAPS_ALONE = re.compile(r"\s*(?:[-+.\d]|@[^|]*\.(?:csv|txt|npy)\s*(?:\||$))")

_COLUMN_HINT = "-c COLUMN takes a column of a table"


@dataclass(frozen=True, kw_only=True)
class ExplainTable:
    """Which column of a table is the signal, and how the text of the table is read."""

    column: Annotated[
        str | None,
        typer.Option(
            "-c",
            "--column",
            metavar="COLUMN",
            help="This column of a table is the signal.",
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
            columns=[self.column or ""],
            delimiter=self.delimiter,
            decimal=self.decimal,
            no_header=self.no_header,
            encoding=self.encoding,
        )
        table = arguments.options()
        names = table.columns or ()
        if len(names) != 1:
            raise RequestError(f"-c expects one column here, got {', '.join(names)}")
        return table


@dataclass(frozen=True, kw_only=True)
class ExplainRules:
    """Edge rule, alignment and rule for missing samples."""

    edge: Annotated[options.EdgeRule, options.edge_option("zero; shrink with -c, as csv")] = None
    align: Annotated[options.Alignment, options.align_option("center; causal with -c, as csv")] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class ExplainPage:
    """How much of the computation is shown, and in which format."""

    matrix: Annotated[bool, typer.Option("--matrix", help="Show the filter as a matrix too.")] = (
        False
    )
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Outputs shown of each step; 0 for all.")
    ] = 12
    format: Annotated[
        Literal["text", "json"], typer.Option(help="text, or json with every number.")
    ] = "text"
    debug: options.Debug = False


@with_option_groups
def explain(
    signal: Annotated[
        str,
        typer.Argument(
            metavar="SIGNAL",
            help="Numbers such as 1,2,3,4; rows split by ;, @FILE, or - for standard input. "
            "With -c a table.",
        ),
    ],
    kernel: Annotated[
        str,
        typer.Argument(
            metavar="KERNEL", help="Taps such as 1,2,1, or a FILTER such as 'box:3 | stride:2'."
        ),
    ],
    *,
    correlate: Annotated[
        bool, typer.Option("--correlate", help="Do not flip the taps, as Conv1d does not.")
    ] = False,
    table: ExplainTable,
    rules: ExplainRules,
    page: ExplainPage,
) -> int:
    """Show a convolution being computed: the kernel under the signal, the products and their sum.

    The numbers are those of the filters themselves. Taps alone are convolved (flipped); --correlate
    leaves them as they are. For two axes the rows are split by ; and shown as blocks.
    """
    from convcli.checking.explain import explain_filter
    from convcli.signals import ARRAY, TABLE

    text = _filter_text(kernel.strip(), correlate=correlate)
    if table.column is None:
        x, medium = _signal_numbers(signal), ARRAY
    else:
        x, medium = _table_column(signal, table.table_options()), TABLE
    facts = explain_filter(
        text, x, medium=medium, edge=rules.edge, align=rules.align, matrix=page.matrix
    )
    if page.format == "json":
        from convcli.report.as_json import json_text

        write_result(json_text(facts))
    else:
        _print_page(facts, page.limit)
    return 0


def _filter_text(kernel: str, *, correlate: bool) -> str:
    """Return KERNEL as a FILTER: taps alone become a step."""
    if _TAPS_ALONE.match(kernel):
        step = "correlate" if correlate else "kernel"
        return f"{step}:{kernel}"
    if correlate:
        raise RequestError(
            "--correlate is for taps by themselves", hint="correlate:1,2,1 is a step like others"
        )
    return kernel


def _signal_numbers(text: str) -> Any:
    """Read SIGNAL: numbers, (n,) or (rows, columns), from its text, a file or standard input."""
    from convcli.media.outputs import is_file

    if text.strip() == "-":
        try:
            text = _stdin().read().decode("utf-8")
        except UnicodeDecodeError:
            raise InputError("standard input: expected numbers as text") from None
        error: ConvcliError = InputError("standard input: expected numbers", hint=_COLUMN_HINT)
        return _parse_numbers(",".join(text.split()).strip(","), error)
    if text.startswith("@"):
        return _numbers_in_file(Path(text[1:]).expanduser())
    hint = "such as 1,2,3,4, or @FILE, or -"
    if is_file(text):
        hint = f"@{text} reads the numbers of a file; {_COLUMN_HINT}"
    return _parse_numbers(text, RequestError("SIGNAL expects numbers", hint=hint))


def _numbers_in_file(path: Path) -> Any:
    from convcli.designs.tapfiles import read_tap_file
    from convcli.media.outputs import check_input

    check_input(path)
    try:
        numbers = read_tap_file(path)
    except InputError as error:
        error.hint = _COLUMN_HINT if "expected a number" in error.message else None
        raise
    return numbers.ravel() if min(numbers.shape) == 1 else numbers


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


def _table_column(text: str, table: TableOptions) -> Any:
    """Read a column of the table SIGNAL, (rows,)."""
    from convcli.checking.explain import first_channel
    from convcli.media.tables.files import TableFiles

    path = None if text.strip() == "-" else Path(text.removeprefix("@")).expanduser()
    with ExitStack() as held:
        given = read_input(path, held, example="convcli explain - 1,2,1 -c COLUMN")
        opened = held.enter_context(given.opened(TableFiles(options=table)))
        return first_channel(opened.sources[0])


def _stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        raise RequestError(
            "no input", hint="convcli explain 1,2,3,4 1,2,1 has its numbers in place"
        )
    return sys.stdin.buffer


def _print_page(facts: ExplanationFacts, limit: int) -> None:
    """Print the page, with colours if standard output is a terminal."""
    from convcli.report.explanation import explanation_lines

    lines = explanation_lines(facts, limit)
    if sys.stdout is not None and sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        for line in lines:
            console.print(Text.assemble(*line), soft_wrap=True)
        return
    for line in lines:
        print("".join(text for text, _ in line).rstrip())


def register(app: typer.Typer) -> None:
    """Add the command. A SIGNAL or KERNEL that begins with a minus is no option."""
    app.command(
        name="explain",
        context_settings={"ignore_unknown_options": True},
        epilog=examples(
            "convcli explain 1,2,3,4 1,2,1",
            "convcli explain 1,2,3,4,5,6 'box:3 | stride:2' --align causal --edge edge",
            "head -9 prices.csv | convcli explain - 'sma:3 | diff' -c Close",
            "convcli explain '1,2,3;4,5,6;7,8,9' '0,-1,0;-1,5,-1;0,-1,0' --matrix",
        ),
    )(explain)
