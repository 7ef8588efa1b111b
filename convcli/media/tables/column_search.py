"""Finding the columns of numbers of a table: by the first rows, then by all of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.media.tables.columns import NumericColumns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.media.tables.columns import ColumnNames
    from convcli.media.tables.records import Records
    from convcli.media.tables.text_source import TextSource

# Bytes of a pipe that are held until each column has shown a cell that is not missing.
MAX_HELD_UNDECIDED = 16 << 20


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
        unsure = sorted(numeric - self._found.numbers)
        if unsure:
            listed = ", ".join(source.header[column] for column in unsure)
            source.warnings.append(
                f"{source.name}: no number was seen in {listed} when its first rows had to be "
                "written, and numbers are expected; -c names the columns to filter"
            )
