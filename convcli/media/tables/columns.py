"""Columns of a table by their names, and which of them hold numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convcli.errors import InputError, RequestError, nearest
from convcli.media.tables.numerals import read_number

if TYPE_CHECKING:
    from convcli.media.tables.delimited import Cells

# Cells of a column that are read together in search of the first one that is not missing.
_PROBE = 50
_MOST_LISTED = 30
_LONGEST_SHOWN = 60


class ColumnNames:
    """The names of all columns of a table, which is called `table` in messages."""

    def __init__(self, table: str, names: tuple[str, ...]) -> None:
        self._table = table
        self.names = names

    def find(self, name: str) -> int:
        """The number of the column called `name`. RequestError if there is none, or several."""
        numbers = [i for i, other in enumerate(self.names, start=1) if other == name]
        if len(numbers) == 1:
            return numbers[0] - 1
        if numbers:
            listed = " and ".join(map(str, numbers))
            raise RequestError(
                f"{self._table}: column {name!r} is ambiguous: columns {listed} are called so",
                hint="rename one of them, or leave the header out and use --no-header with numbers",
            )
        near = nearest(name, list(self.names))
        hint = f"the columns are {self._listed()}"
        if near:
            hint = f"did you mean {near}? The columns are {self._listed()}"
        raise RequestError(
            f"{self._table}: unknown column {name!r}", hint=self._other_delimiter() or hint
        )

    def find_optional(self, name: str | None) -> int | None:
        """The number of a column that may not be asked for."""
        return None if name is None else self.find(name)

    def find_all(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """The numbers of several columns. RequestError also if one is named twice."""
        found = tuple(self.find(name) for name in names)
        for name in names:
            if names.count(name) > 1:
                raise RequestError(f"column {name!r} is asked for twice")
        return found

    def no_numbers(self) -> InputError:
        """The error that no column holds numbers."""
        return InputError(
            f"{self._table}: expected a column of numbers, found none among {self._listed()}",
            hint=self._other_delimiter()
            or "-c names the columns to filter, --decimal , reads decimal commas",
        )

    def _listed(self) -> str:
        listed = ", ".join(self.names[:_MOST_LISTED])
        more = len(self.names) - _MOST_LISTED
        return f"{listed} and {more} more" if more > 0 else listed

    def _other_delimiter(self) -> str | None:
        """Advice where the only name looks like several names with another delimiter."""
        if len(self.names) == 1:
            (name,) = self.names
            for sign in ";|\t ":
                if sign in name.strip():
                    return f"-d {sign!r} where that parts the cells of {name!r}"
        return None


def is_numeric(cells: Cells, decimal: str) -> bool:
    """Whether the first cell that is not missing is a number. No later cell changes the answer."""
    for start in range(0, len(cells), _PROBE):
        for text in cells[start : start + _PROBE].texts():
            try:
                number = read_number(text, decimal)
            except ValueError:
                return False
            if not math.isnan(number):
                return True
    return False


def shown_cell(cell: str) -> str:
    """A cell for a message, shortened."""
    if len(cell) > _LONGEST_SHOWN:
        cell = cell[: _LONGEST_SHOWN - 3] + "..."
    return repr(cell)
