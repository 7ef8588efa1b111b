"""`convcli csv`."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from convcli.cli import options
from convcli.cli.batch import Batch
from convcli.cli.options import Request, examples, with_request, with_table
from convcli.errors import RequestError
from convcli.signals import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convcli.media.tables.sink import TableSink
    from convcli.media.tables.source import TableOptions, TableSource
    from convcli.planning.grammar import Call
    from convcli.planning.plan import Plan
    from convcli.signals import Medium, Source


@dataclass(frozen=True, kw_only=True)
class TableAdapter:
    """How tables are opened and written."""

    options: TableOptions
    stepwise: bool
    medium: Medium = TABLE
    command: str = "csv"
    tail: bool = False

    @contextmanager
    def open(
        self, path: Path | None, output: Path | None, calls: tuple[Call, ...]
    ) -> Iterator[OpenedTable]:
        """The table in `path`, or on standard input."""
        from convcli.media.tables.source import open_table

        stdin = sys.stdin.buffer if path is None else None
        source = open_table(path, options=self.options, stdin=stdin)
        yield OpenedTable(source, _suffix(calls))


@dataclass
class OpenedTable:
    """A table."""

    source: TableSource
    suffix: str

    @property
    def warnings(self) -> list[str]:
        return self.source.warnings

    @property
    def sources(self) -> Sequence[Source[Any]]:
        return [self.source]

    def details(self) -> Mapping[str, object]:
        return self.source.facts()

    def check(self, plan: Plan) -> None:
        """A table has a row for every output, so that there can be no more of them than rows."""
        for step in plan.steps:
            if any(reach.phases > reach.step for op in step.ops for reach in op.reach):
                raise step.call.error("a table cannot get more rows than it has")

    def sink(self, place: Path | BinaryIO, plans: Sequence[Plan], name: str) -> RowsOut:
        (plan,) = plans
        return RowsOut(place, self.source, self.suffix, plan)

    def next_page(self, sink: Any) -> None:
        """A table has but one."""


class RowsOut:
    """A TableSink on a path or a stream. Where the chain changes nothing, cells keep their bytes."""

    def __init__(
        self, place: Path | BinaryIO, source: TableSource, suffix: str, plan: Plan
    ) -> None:
        from convcli.media.tables.sink import TableSink

        self.warnings: list[str] = []
        self._identity = plan.identity
        self._held = ExitStack()
        target = self._held.enter_context(place.open("wb")) if isinstance(place, Path) else place
        self._sink: TableSink = TableSink(
            target, source=source, suffix=suffix, channels=plan.result.channels
        )
        if source.options.follow:
            self._sink.start()

    def encode(self, y: Any, rows: Any) -> Any:
        return self._sink.encode(None if self._identity else y, rows)

    def write(self, encoded: Any) -> None:
        self._sink.write(encoded)

    def close(self) -> None:
        self._sink.close()
        self._held.close()

    def discard(self) -> None:
        self._held.close()

    def facts(self) -> Mapping[str, object]:
        return self._sink.facts()


def _suffix(calls: tuple[Call, ...]) -> str:
    """What is appended to the name of a column: `sma20`, `lowpass0.1_diff1`."""
    from convcli.designs import find

    words = []
    for call in calls:
        values = [f"{a.key or ''}{a.text}" for a in call.arguments]
        if find(call.name).runs_model:  # `model_next`, and not where the file lies
            values = ["", Path(values[0]).stem]
        words.append(call.name + "_".join(values))
    return re.sub(r"[^\w.%+-]+", "_", "_".join(words)).strip("_")


@with_request
@with_table(columns="every one that begins with a number")
def filter_table(
    request: Request,
    *,
    table: TableOptions,
    append: Annotated[
        bool,
        typer.Option("--append", help="Keep the column and add a new one, such as Close_sma20."),
    ] = False,
    decimals: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=30,
            help="Decimals of new numbers.",
            show_default="as few as read back the same",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Write each row as soon as it is known.")
    ] = False,
    missing: options.Missing = "keep",
    causal_check: Annotated[
        bool,
        typer.Option(
            "--causal-check",
            help="Write no data; filter prefixes of the table too, and tell which row changes: exit 1 if any does.",
        ),
    ] = False,
) -> int:
    """Filter numeric columns of CSV and TSV files, above all in a pipe.

    Nothing looks ahead unless --align center. Cells that are not filtered stay byte for byte, rows in their order.
    Empty cells, NaN and NA are missing. Lengths are rows (20), or with --time durations (20d); frequencies are cycles
    per row, or with --time per unit of time.
    """
    given = replace(table, append=append, decimals=decimals, follow=follow)
    adapter = TableAdapter(options=given, stepwise=follow)
    if causal_check:
        return _checking(follow=follow)(replace(request, missing=missing), adapter).run()
    return Batch(replace(request, missing=missing), adapter).run()


def _checking(*, follow: bool) -> type[Batch]:
    from convcli.cli.causality import CausalCheck

    if follow:
        raise RequestError(
            "--causal-check needs the whole table, and --follow does not wait for it"
        )
    return CausalCheck


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        name="csv",
        epilog=examples(
            "convcli csv sma:20 prices.csv -c Close --by Ticker --append -o smooth.csv",
            "convcli csv 'ema:halflife=5 | diff:1' < rows.csv | head",
            "convcli csv model:next.safetensors prices.csv -c Open,Close --causal-check",
            "tail -f log.csv | convcli csv gaussian:2 --align causal --follow",
        ),
    )(filter_table)
