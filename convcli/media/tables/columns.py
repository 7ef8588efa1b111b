"""Columns of a table by their names, and the search for those that hold numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from convcli.errors import InputError, RequestError, nearest, shell_word
from convcli.media.tables.cells import cells_by_row
from convcli.media.tables.numerals import advice_on_notation, reads_as_number

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from convcli.media.tables.cells import Cells
    from convcli.media.tables.numerals import NumberStyle
    from convcli.media.tables.records import Records
    from convcli.media.tables.rows import RowSpans
    from convcli.media.tables.text_source import TextSource

# Cells of a column that are read together in search of the first one that is not missing.
_PROBE = 200
# A whole number with leading zeros: an article, a postal code, an account.
_IDENTIFIER = re.compile(rb"0\d+")
# Addresses such as 192.168.100.200, and telephone numbers.
_NAMES_SOMETHING = re.compile(rb"\d+(?:\.\d+){2,}|[\d ]+")
_ZERO, _NINE = b"09"
# What makes a name of columns a pattern.
_GLOB = re.compile(r"[*?\[]")
# Bytes of a pipe that are held until each column has shown a cell that is not missing.
MAX_HELD_UNDECIDED = 16 << 20
_MOST_LISTED = 30
_LONGEST_SHOWN = 60


class ColumnNames:
    """The names of all columns of a table.

    table : the name of the table in messages
    first_line : the cells of the first line, which is a row if the names are 1, 2, 3, ...
    decimal : the decimal point or comma
    """

    def __init__(
        self, table: str, names: tuple[str, ...], first_line: Sequence[bytes], decimal: str
    ) -> None:
        self._table = table
        self._first_line = first_line
        self._decimal = decimal
        self.names = names

    def find(self, name: str) -> int:
        """The number of the column called `name`. RequestError if there is none, or several."""
        numbers = [i for i, other in enumerate(self.names, start=1) if other == name]
        if len(numbers) == 1:
            return numbers[0] - 1
        if numbers:
            listed = " and ".join(map(str, numbers))
            raise RequestError(
                f"{self._table}: column {name!r} is ambiguous: columns {listed} have this name",
                hint="rename one of them, or leave the header out and use --no-header with numbers",
            )
        near = nearest(name, list(self.names))
        hint = f"the columns are {self._listed()}"
        if near:
            hint = f"did you mean {as_asked(near)}? The columns are {self._listed()}"
        raise RequestError(
            f"{self._table}: unknown column {name!r}", hint=self._advice_on_first_line() or hint
        )

    def find_optional(self, name: str | None) -> int | None:
        """The number of a column, or None if no column is asked for."""
        return None if name is None else self.find(name)

    def find_all(self, names: tuple[str, ...], *, but: Container[int] = ()) -> tuple[int, ...]:
        """The numbers of several columns, each once. RequestError also if one is named twice.

        A name that no column has may be a pattern such as `Close*`. It stands for all columns that
        match, in the order of the table.

        but : columns that no pattern matches
        """
        for name in names:
            if names.count(name) > 1:
                raise RequestError(f"column {name!r} is asked for twice", hint="name it once")
        found: list[int] = []
        for name in names:
            numbers = self._fitting(name, but) if self._is_pattern(name) else [self.find(name)]
            found += [number for number in numbers if number not in found]
        return tuple(found)

    def _is_pattern(self, name: str) -> bool:
        return name not in self.names and _GLOB.search(name) is not None

    def _fitting(self, pattern: str, but: Container[int]) -> list[int]:
        """The columns besides `but` that match a pattern. RequestError if there is none."""
        from fnmatch import fnmatchcase

        fitting = [i for i, name in enumerate(self.names) if fnmatchcase(name, pattern)]
        fitting = [number for number in fitting if number not in but]
        if not fitting:
            raise RequestError(
                f"{self._table}: expected columns that match {pattern!r}, found none",
                hint=f"the columns are {self._listed()}",
            )
        return fitting

    def no_numbers(self, found: NumericColumns) -> InputError:
        """The error that no column holds numbers."""
        hint = self._advice_on_first_line() or "-c names the columns to filter"
        if found.identifiers:
            column, cell = next(iter(found.identifiers.items()))
            name = self.names[column]
            hint = (
                f"-c {shell_word(as_asked(name))} filters numbers with leading zeros such as {cell}"
            )
        elif found.other_style:
            _, hint = next(iter(found.other_style.values()))
        return InputError(
            f"{self._table}: expected a column of numbers, found none among {self._listed()}",
            hint=hint,
        )

    def _listed(self) -> str:
        listed = listed_names(map(shortened_cell, self.names[:_MOST_LISTED]))
        more = len(self.names) - _MOST_LISTED
        return f"{listed} and {more} more" if more > 0 else listed

    def _advice_on_first_line(self) -> str | None:
        """Advice if the first line names a delimiter, or looks like several cells and is one."""
        if self._first_line and self._first_line[0].lower().startswith(b"sep="):
            return "--skip-rows 1 leaves out the first line, which is for spreadsheets"
        if len(self._first_line) == 1:
            (cell,) = self._first_line
            line = cell.decode("utf-8", "replace").strip()
            if line.startswith("#"):
                return "--comment '#' leaves out lines that begin with #"
            for sign in ";|\t, ":
                if sign in line and sign != self._decimal:
                    return f"-d {sign!r} if that splits the cells of {shown_cell(line)}"
        return None


class NumericColumns:
    """Which columns of a table hold numbers: the first cell that is not missing decides.

    undecided : columns without such a cell so far
    numbers : columns of numbers
    identifiers : columns of whole numbers with leading zeros, each with its first one: as numbers
        they would lose the zeros
    other_style : columns of numbers in another style, each with its first one and with advice
    """

    def __init__(self, columns: Iterable[int], style: NumberStyle) -> None:
        self.style = style
        self.undecided = set(columns)
        self.numbers: set[int] = set()
        self.identifiers: dict[int, str] = {}
        self.other_style: dict[int, tuple[str, str]] = {}

    def look_at(self, spans: RowSpans, *, rows: int | None = None) -> None:
        """Look at the next rows of the table, or at the first `rows` of them."""
        self._look_at_first_row(spans)
        for column in sorted(self.undecided):
            cells = spans.cells[column][:rows].numerals()
            cell = _first_given(cells, self.style)
            if cell is not None:
                self.undecided.remove(column)
                self._decide(column, cell)

    def _look_at_first_row(self, spans: RowSpans) -> None:
        """Decide columns by the first row alone; of thousands of columns few stay undecided."""
        columns = sorted(self.undecided)
        if not spans.count or not columns:
            return
        first_row = cells_by_row([spans.cells[column][:1] for column in columns])
        for column, text in zip(columns, first_row.numerals().texts(), strict=True):
            cell = text.strip()
            if not self.style.is_missing(cell):
                self.undecided.remove(column)
                self._decide(column, cell)

    def _decide(self, column: int, cell: bytes) -> None:
        if _IDENTIFIER.fullmatch(cell):
            self.identifiers[column] = cell.decode()
        elif reads_as_number(cell, self.style):
            self.numbers.add(column)
        elif not _NAMES_SOMETHING.fullmatch(cell):
            advice = advice_on_notation(cell, self.style)
            if advice is not None:
                self.other_style[column] = (cell.decode(), advice)


def _first_given(cells: Cells, style: NumberStyle) -> bytes | None:
    """The first cell that is not missing."""
    filled = cells[cells.stop > cells.start]
    for start in range(0, len(filled), _PROBE):
        texts = filled[start : start + _PROBE].texts()
        given = {text for text in set(texts) if not style.is_missing(text.strip())}
        if given:
            return next(text for text in texts if text in given).strip()
    return None


def first_identifier(cells: Cells) -> int | None:
    """The first row whose cell is a whole number with leading zeros."""
    octets = np.frombuffer(cells.data, np.uint8)
    # Few numbers begin with 0 and another digit.
    first, second = octets[cells.start], octets[np.minimum(cells.start + 1, cells.stop - 1)]
    zeros = (first == _ZERO) & (second >= _ZERO) & (second <= _NINE)
    for row in np.flatnonzero(zeros).tolist():
        if _IDENTIFIER.fullmatch(cells.data, cells.start[row], cells.stop[row]):
            return int(row)
    return None


def as_asked(name: str) -> str:
    """The name of a column as `-c` takes it: in double quotes if it holds a comma or quotes."""
    if not set(',"') & set(name):
        return name
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def listed_names(names: Iterable[str], separator: str = ", ") -> str:
    """Names of columns as `-c` takes them, one after the other."""
    return separator.join(map(as_asked, names))


def shown_cell(cell: str) -> str:
    """A cell for a message, shortened."""
    return repr(shortened_cell(cell))


def shortened_cell(text: str) -> str:
    """A cell without what makes it too long for a message."""
    if len(text) <= _LONGEST_SHOWN:
        return text
    kept = text[: _LONGEST_SHOWN - 3]
    return f"{kept}..."


class ColumnSearch:
    """The search for the columns of numbers in a table of text that is being opened.

    seen : the first records; those that the search takes are appended
    coming : the records that follow
    """

    def __init__(self, source: TextSource, seen: list[Records], coming: Iterator[Records]) -> None:
        self._source = source
        self._seen = seen
        self._coming = coming
        self._found = NumericColumns(source.value_columns, source.dialect.numbers)

    def columns(self, names: ColumnNames) -> tuple[int, ...]:
        """The numbers of the columns of numbers. InputError if there are none.

        Warnings are added to those of the source.
        """
        source = self._source
        takes_empty = source.options.columns.takes_empty
        if not self._seen or not source.has_rows(self._seen[0]):
            return tuple(source.value_columns) if takes_empty else ()
        numeric = self._search()
        undecided = self._found.undecided
        if not numeric and undecided and takes_empty:
            return tuple(sorted(undecided))
        if not numeric:
            raise names.no_numbers(self._found)
        self._warn(numeric)
        return tuple(sorted(numeric))

    def _search(self) -> set[int]:
        """The columns of numbers, and those that showed none before the first output is due."""
        found = self._found
        if self._source.repeatable:
            self._look_at_file()
            return found.numbers
        if self._source.options.follow:
            # Which rows come together is chance: the first one alone decides.
            self._look_at(self._seen[0], rows=1)
        elif self._look_at_pipe():
            return found.numbers
        return found.numbers | found.undecided

    def _look_at(self, records: Records, *, rows: int | None = None) -> None:
        """Decide columns by the next rows, or by the first `rows` of them."""
        spans = self._source.rows_to_search(records, self._found.undecided)
        self._found.look_at(spans, rows=rows)

    def _look_at_file(self) -> None:
        """Read a file up to the first cell with a value in each column, or to its end."""
        for records in self._source.all_records():
            self._look_at(records)
            if not self._found.undecided:
                return

    def _look_at_pipe(self) -> bool:
        """Do the same with a pipe, whose text is held meanwhile. Return False if it is too long."""
        records: Records | None = self._seen[0]
        held = 0
        while records is not None:
            if self._source.has_rows(records):
                self._look_at(records)
            held += records.size
            if not self._found.undecided:
                return True
            if held > MAX_HELD_UNDECIDED:
                return False
            records = next(self._coming, None)
            if records is not None:
                self._seen.append(records)
        return True

    def _warn(self, numeric: set[int]) -> None:
        """Warn of columns that are left out as identifiers, or filtered before a number came."""
        source = self._source
        for column, cell in self._found.identifiers.items():
            source.warnings.append(
                f"{source.name}: column {source.header[column]} is left as it is, for {cell} with "
                "its leading zeros is an identifier; -c names the columns to filter"
            )
        for column, (cell, advice) in self._found.other_style.items():
            source.warnings.append(
                f"{source.name}: column {source.header[column]} is left as it is, "
                f"for {cell} is no number as numbers are read: {advice}"
            )
        unsure = sorted(numeric - self._found.numbers)
        if unsure:
            listed = ", ".join(source.header[column] for column in unsure)
            source.warnings.append(
                f"{source.name}: no number was seen in {listed} when its first rows had to be "
                "written, and numbers are expected; -c names the columns to filter"
            )
