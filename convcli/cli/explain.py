"""`convcli explain`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from convcli.cli import options
from convcli.cli.options import column_names, examples, one_character
from convcli.errors import InputError, RequestError

if TYPE_CHECKING:
    from convcli.facts.explanation import ExplanationFacts
    from convcli.media.tables.source import TableOptions

# Taps by themselves: `1,2,1`, `-1,0,1 | stride:2`, `@taps.csv`; everything else is FILTER.
_BARE = re.compile(r"\s*(?:[-+.\d]|@[^|]*\.(?:csv|txt|npy)\s*(?:\||$))")

_COLUMN = "-c COLUMN takes a column of a table"


def explain(
    signal: Annotated[
        str,
        typer.Argument(
            metavar="SIGNAL",
            help="Numbers such as 1,2,3,4; rows split by ;, @FILE, or - for standard input. With -c a table.",
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
    column: Annotated[
        str | None,
        typer.Option(
            "-c",
            "--column",
            metavar="COLUMN",
            help="This column of a table is the signal.",
            show_default=False,
        ),
    ] = None,
    edge: Annotated[options.EdgeRule, options.edge_option("zero; shrink with -c, as csv")] = None,
    align: Annotated[
        options.Alignment, options.align_option("center; causal with -c, as csv")
    ] = None,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Show the filter as a matrix too.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Outputs shown of each step; 0 for all.")
    ] = 12,
    format: Annotated[
        Literal["text", "json"], typer.Option(help="text, or json with every number.")
    ] = "text",
    delimiter: options.Delimiter = None,
    decimal: options.Decimal = ".",
    no_header: options.NoHeader = False,
    encoding: options.Encoding = "utf-8",
    debug: options.Debug = False,
) -> int:
    """Show a convolution being computed: the kernel under the signal, the products and their sum, for each output.

    The numbers are those of the filters themselves. Taps alone are convolved (flipped); --correlate leaves them as
    they are. For two axes the rows are split by ; and shown as blocks.
    """
    from convcli.explaining.explain import explain as explained
    from convcli.media.tables.source import TableOptions
    from convcli.signals import TABLE

    chain = kernel.strip()
    if _BARE.match(chain):
        chain = f"{'correlate' if correlate else 'kernel'}:{chain}"
    elif correlate:
        raise RequestError(
            "--correlate is for taps by themselves", hint="correlate:1,2,1 is a step like others"
        )
    if column is None:
        facts = explained(chain, _numbers(signal), edge=edge, align=align, matrix=matrix)
    else:
        table = TableOptions(
            columns=column_names([column]),
            delimiter=one_character(delimiter, "--delimiter"),
            decimal=decimal,
            header=not no_header,
            encoding=encoding,
        )
        facts = explained(
            chain, _column(signal, table), medium=TABLE, edge=edge, align=align, matrix=matrix
        )
    if format == "json":
        _put_json(facts)
    else:
        _put_text(facts, limit)
    return 0


def _numbers(text: str) -> Any:
    """The signal as an array, (n,) or (rows, columns)."""
    from convcli.explaining.explain import signal_of_text
    from convcli.media.outputs import check_input, is_file

    if text.strip() == "-":
        try:
            text = _stdin().read().decode("utf-8")
        except UnicodeDecodeError:
            raise InputError("standard input: expected numbers as text") from None
        error = InputError("standard input: expected numbers", hint=_COLUMN)
        return signal_of_text(",".join(text.split()).strip(","), error)
    if text.startswith("@"):
        from convcli.designs.tapfiles import read_tap_file

        path = Path(text[1:]).expanduser()
        check_input(path)
        try:
            found = read_tap_file(path)
        except InputError as error:
            error.hint = _COLUMN if "expected a number" in error.message else None
            raise
        return found.ravel() if min(found.shape) == 1 else found
    found_file = f"@{text} reads the numbers of a file; {_COLUMN}"
    hint = found_file if is_file(text) else "such as 1,2,3,4, or @FILE, or -"
    return signal_of_text(text, RequestError("SIGNAL expects numbers", hint=hint))


def _column(text: str, table: TableOptions) -> Any:
    """A column of a table, (rows,)."""
    from convcli.explaining.explain import column_of
    from convcli.media.outputs import check_input
    from convcli.media.tables.source import open_table

    if len(table.columns or ()) != 1:
        raise RequestError(f"-c expects one column here, got {', '.join(table.columns or ())}")
    if text.strip() == "-":
        return column_of(open_table(None, options=table, stdin=_stdin()))
    path = Path(text.removeprefix("@")).expanduser()
    check_input(path)
    return column_of(open_table(path, options=table))


def _stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        raise RequestError(
            "no input", hint="convcli explain 1,2,3,4 1,2,1 has its numbers in place"
        )
    return sys.stdin.buffer


def _put_json(facts: ExplanationFacts) -> None:
    import json

    from convcli.facts import to_plain

    print(json.dumps(to_plain(facts), indent=2, allow_nan=False))


def _put_text(facts: ExplanationFacts, limit: int) -> None:
    from convcli.report.explaining import lines

    if sys.stdout is not None and sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        for line in lines(facts, limit):
            console.print(Text.assemble(*line), soft_wrap=True)
        return
    for line in lines(facts, limit):
        print("".join(text for text, _ in line).rstrip())


def register(app: typer.Typer) -> None:
    """Add the command; a SIGNAL or KERNEL that begins with a minus is no option."""
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
