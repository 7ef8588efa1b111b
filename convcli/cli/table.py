"""The command `convcli csv`: filter columns of tables. `convcli/cli/app.py` adds it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from convcli.cli import options
from convcli.cli.groups import command
from convcli.cli.options import RunOptions, suffix_of
from convcli.cli.table_arguments import TableArguments
from convcli.cli.table_command import (
    NamedFilterOptions,
    TableCommand,
    TableRequest,
    options_with,
    plain_request,
)
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.media.tables.files import TableFiles
from convcli.signals import Align, Edge

if TYPE_CHECKING:
    from convcli.media.tables.table_options import TableOptions


@dataclass(frozen=True, eq=False, kw_only=True)
class RowOptions:
    """How rows are filtered and written."""

    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Keep each column and add the result as a new one, such as Close_sma20.",
        ),
    ] = False
    decimals: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=30,
            help="Decimals of new numbers.",
            show_default="as few as give the same number back",
        ),
    ] = None
    format: Annotated[
        Literal["csv", "jsonl", "parquet", "feather", "arrows"] | None,
        typer.Option(help="Format of outputs without a suffix.", show_default="that of the input"),
    ] = None
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Write each row as soon as it and those before it are known."
        ),
    ] = False
    missing: options.Missing = None
    integrate: Annotated[
        bool,
        typer.Option(
            "--integrate",
            help="Windows in time take the integral of the line through the rows in place of a sum "
            "over rows.",
        ),
    ] = False
    causal_check: Annotated[
        bool,
        typer.Option(
            "--causal-check",
            help="Check that no output reads later rows: filter prefixes of the table too and tell "
            "which row changes. Writes no data; exit 1 if a row changes.",
        ),
    ] = False

    def completed(self, table: TableOptions) -> TableOptions:
        """The options of a table with those of its rows; a filter takes rows at any times."""
        from convcli.media.tables.table_options import OutputOptions

        output = OutputOptions(append=self.append, decimals=self.decimals, format=self.format)
        times = replace(table.times, irregular=True, integrate=self.integrate)
        return replace(table, output=output, times=times, follow=self.follow)


@dataclass(frozen=True, eq=False, kw_only=True)
class TableRun(RunOptions):
    """How a filter is applied to tables."""

    edge: Annotated[Edge | None, options.edge_option("shrink")] = None
    align: Annotated[Align | None, options.align_option("causal")] = None


@command(
    "csv",
    "convcli csv sma:20 prices.csv -c Close --by Ticker --append -o smooth.csv",
    "convcli csv 'ema:halflife=5 | diff:1' < rows.csv | head",
    "convcli csv prices.csv -c Close --by Ticker --add macd=macd:12,26 "
    "--add rsi=rsi:14 --add 'z=(x - sma:20) / std:20'",
    "convcli csv last_pool:1w daily.csv --time Date -c Close --set Open=first_pool:1w "
    "--set High=max_pool:1w --set Low=min_pool:1w --set Volume=sum_pool:1w",
    "convcli csv model:next.safetensors prices.csv -c Open,Close --causal-check",
    "tail -f log.csv | convcli csv gaussian:2 --align causal --follow",
)
def filter_table(
    request: TableRequest,
    table: TableArguments,
    rows: RowOptions,
    named: NamedFilterOptions,
    run: TableRun,
) -> int:
    """Filter numeric columns of CSV, TSV, JSON Lines, Parquet and Feather tables, and of pipes.

    A row is filtered from the rows up to it, unless --align center. Cells that are not filtered
    stay byte for byte, and rows keep their order. Empty cells, NaN and NA are missing values.
    Lengths are numbers of rows (20). With --time they may be durations (20d), also where rows are
    irregular, and pools take bins of the calendar (1mo); --every 1d, which needs no FILTER, makes
    rows regular. Frequencies are cycles per row, or with regular --time cycles per unit of time.
    """
    table_options = rows.completed(table.options())
    filters = named.read()
    every = table_options.times.every is not None
    plain = plain_request(request, filters, every=every, append=rows.append)
    if filters is not None:
        table_options = options_with(table_options, filters, filtered=bool(plain.filter))
    command = TableCommand
    if rows.causal_check:
        command = _causal_check(rows)
    return command(
        request=plain,
        named=filters,
        options=run,
        files=TableFiles(options=table_options),
        missing=rows.missing,
        suffix=suffix_of(rows.format),
        follow=rows.follow,
    ).run()


def _causal_check(rows: RowOptions) -> type[TableCommand]:
    from convcli.cli.causality import CausalCheck

    if rows.follow:
        raise RequestError(
            "--causal-check needs the whole table, and --follow does not wait for it"
        )
    if rows.format is not None:
        raise RequestError("--causal-check writes no data", hint="leave --format out")
    return CausalCheck
