"""The column of times of some rows, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.media.tables.group_names import group_name
from convcli.time_rules import HINT

if TYPE_CHECKING:
    from convcli.media.tables.cells import Cells
    from convcli.media.tables.rows import RowSpans


@dataclass(frozen=True, kw_only=True)
class TimeColumn:
    """The time column of some rows.

    table, name : names of the table and of the column, for messages · column : its number
    decimal : the decimal point or comma
    zone : the time zone of a column whose cells are written in UTC, without a word of that
    """

    table: str
    name: str
    column: int
    decimal: str
    rows: RowSpans
    cells: Cells
    zone: str | None = None

    def error(
        self,
        row: int,
        expected: str,
        *,
        group: bytes | None = None,
        hint: str = HINT,
        remark: str = "",
    ) -> InputError:
        """The error that the time in `row` is not the one expected; `remark` ends the message."""
        owner = "" if group is None else f" of {group_name(group)}"
        found = self.cells.text(row).strip() or "an empty cell"
        place = self.rows.place_of_cell(row, self.column)
        return InputError(
            f"{self.table}, {place}, column {self.name}: expected {expected}{owner}, got {found}"
            f"{remark}",
            hint=hint,
        )
