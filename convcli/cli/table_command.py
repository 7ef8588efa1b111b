"""The command that filters tables: FILTER, `--add` and `--set` in one pass over each table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from convcli.cli.filter_command import FilterCommand
from convcli.cli.options import Inputs, Output, Request, filter_argument
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.planning.calls import INPUT

if TYPE_CHECKING:
    from convcli.media.files import OpenedFile
    from convcli.media.tables.files import OpenedTable
    from convcli.media.tables.source import TableSource
    from convcli.media.tables.table_options import TableOptions
    from convcli.planning.calls import Call
    from convcli.planning.column_filters import ColumnFilters
    from convcli.signals import Signal


@dataclass(frozen=True, eq=False, kw_only=True)
class TableRequest:
    """A filter, which --add and --set make unnecessary, the tables, and where the results go."""

    filter: Annotated[str | None, filter_argument] = None
    inputs: Inputs = None
    output: Output = None


@dataclass(frozen=True, eq=False, kw_only=True)
class NamedFilterOptions:
    """Filters of new columns and of single ones."""

    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            metavar="NAME=FILTER",
            help="Add a column NAME, filtered from the column of -c. With several columns, "
            "{column} in NAME stands for the name of each; a filter with several outputs makes "
            "NAME_upper, NAME_lower and so on. Put a NAME that holds = in double quotes. May be "
            "given several times; FILTER may then be left out.",
        ),
    ] = None
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="COLUMN=FILTER",
            help="Filter this column by a filter of its own; COLUMN may be a pattern such as "
            "'Close*'. May be given several times; FILTER may then be left out.",
        ),
    ] = None

    def read(self) -> ColumnFilters | None:
        """The filters; None if there are none. RequestError if one cannot be read."""
        if not self.add and not self.set:
            return None
        from convcli.planning.column_filters import ColumnFilters, read_named_filter

        filters = ColumnFilters(
            added=tuple(read_named_filter(text, "--add") for text in self.add or ()),
            own=tuple(read_named_filter(text, "--set") for text in self.set or ()),
        )
        filters.check()
        return filters


def plain_request(
    request: TableRequest, named: ColumnFilters | None, *, every: bool, append: bool
) -> Request:
    """The request, in which an empty FILTER leaves its columns as they are.

    named : further filters, if there are any, so that the first word may be a table already
    every : --every changes the rows, likewise
    append : the results of FILTER are to be new columns
    """
    words = list(request.inputs or ())
    text = request.filter
    if append and _is_no_filter(text) and (every or named is not None):
        _refuse_append(named)
    if every and named is None and _is_no_filter(text):
        words = words if text is None else [text, *words]
        text = INPUT
    if text is None:
        if named is None:
            raise RequestError(
                "expected a FILTER, got none", hint="for example: convcli csv sma:20 prices.csv"
            )
        text = ""
    elif named is not None and _is_table(text):
        words.insert(0, text)
        text = ""
    elif named is not None and text.strip() == INPUT:
        text = ""
    return Request(filter=text, inputs=words or None, output=request.output)


def _refuse_append(named: ColumnFilters | None) -> None:
    """Raise RequestError for --append where no filter makes columns that it would keep apart."""
    if named is None or not named.added:
        raise RequestError(
            "--append keeps the columns beside the results of a FILTER, and there is none",
            hint="leave --append out; --add NAME=FILTER adds a column",
        )


def _is_no_filter(text: str | None) -> bool:
    """Whether the first word is a table, or there is no word."""
    return text is None or _is_table(text)


def _is_table(text: str) -> bool:
    """Whether a word is a table and not a FILTER: standard input, a file, or a name like one."""
    from convcli.media.replacing import is_special
    from convcli.media.tables.files import TableFiles
    from convcli.places import is_file, is_folder

    if text == "-" or is_file(text) or is_folder(text):
        return True
    has_steps = "|" in text or " " in text
    return not has_steps and (TableFiles.has_suffix(Path(text)) or is_special(Path(text)))


def options_with(options: TableOptions, filters: ColumnFilters, *, filtered: bool) -> TableOptions:
    """The options of a table of which columns with a filter of their own are read too.

    filtered : there is a FILTER
    """
    columns = options.columns.names
    if not filtered and not filters.added:
        columns = ()
    return replace(options, columns=replace(options.columns, names=columns, also=filters.own_names))


@dataclass(eq=False, kw_only=True)
class TableCommand(FilterCommand):
    """A filter of tables with further filters for new columns and for single ones."""

    named: ColumnFilters | None = None

    def read_filter(self) -> tuple[Call, ...]:
        """The steps of FILTER, which --add and --set make unnecessary."""
        if self.named is not None and not self.request.filter:
            return ()
        return super().read_filter()

    def filters(self) -> tuple[Call, ...]:
        """The steps of FILTER, --add and --set."""
        return self.calls if self.named is None else tuple(self.named.calls(self.calls))

    def reads_twice(self) -> bool:
        """Whether the table is read before the first row; all filters run side by side."""
        from convcli.planning.plan import reads_twice

        return reads_twice(self.filters(), in_branches=self.named is not None)

    def options_of_results(self) -> tuple[object, ...]:
        """What the results depend on besides the filters, as the names of new columns."""
        options = super().options_of_results()
        if self.named is None:
            return options
        return (*options, *(each.written for each in (*self.named.added, *self.named.own)))

    def planned_calls(self, opened: OpenedFile) -> tuple[Call, ...]:
        """The steps that an open table is filtered by: all filters as one.

        The first rows of a stream do not show whether the next ones come at equal steps of time.
        So these may come at any time, unless a filter needs equal steps.
        """
        source = cast("OpenedTable", opened).source
        if not (self.follow and source.may_expect_equal_steps):
            return self._calls_of(source)
        source.expect_equal_steps(equal=False)
        calls = self._calls_of(source)
        if self._fits(calls, source.signal):
            return calls
        source.expect_equal_steps(equal=True)
        return self._calls_of(source)

    def _fits(self, calls: tuple[Call, ...], signal: Signal) -> bool:
        """Whether a signal can be filtered by these steps."""
        try:
            self.plan_of(calls, signal)
        except RequestError:
            return False
        return True

    def _calls_of(self, source: TableSource) -> tuple[Call, ...]:
        """All filters as the steps of one FILTER."""
        calls = self.calls
        if self.named is None:
            return calls
        from convcli.cli.planned_input import label_of
        from convcli.media.tables.sink import WrittenColumns
        from convcli.planning.column_filters import outputs_of

        outputs = outputs_of(
            self.named,
            calls,
            source.signal,
            base=source.base,
            own=source.also,
            label=label_of(calls) if source.options.output.append else None,
        )
        source.written = WrittenColumns(replaced=outputs.replaced, added=outputs.new)
        return (outputs.call,)
