"""Which columns the results of a filter become, and how their numbers are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.media.tables.records import Dialect


@dataclass(frozen=True, eq=False, kw_only=True)
class WrittenColumns:
    """The columns that the channels of a result become.

    replaced : the channels of the source whose columns the first channels of the result take
    added : the names of new columns for the others
    """

    replaced: tuple[int, ...]
    added: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class OutputColumns:
    """Where and how new numbers are written.

    columns : the numbers of the filtered columns in the file, in the order of the channels
    append : write new cells at the end of the row, in place of replacing the old ones
    made : how many columns are written for all of the filtered ones together; None: one for each,
        in its place
    added : the names of further channels, which are written at the end of the row
    prefixes : what stands before each number at the end of the row; none: the delimiter
    missing : the text of a missing number
    """

    dialect: Dialect
    columns: tuple[int, ...]
    append: bool
    decimals: int | None
    made: int | None = None
    added: tuple[str, ...] = ()
    prefixes: tuple[bytes, ...] = ()
    missing: bytes = b""

    def prefixes_of(self, count: int) -> tuple[bytes, ...]:
        """The text before each of `count` numbers at the end of a row."""
        return self.prefixes or (self.dialect.delimiter,) * count

    @property
    def channels_in_row_order(self) -> list[int]:
        """The channels in the order in which their numbers are in a row."""
        if self.made is not None:
            return list(range(self.made))
        channels = list(range(len(self.columns)))
        if not self.append:
            channels.sort(key=lambda channel: self.columns[channel])
        return channels

    def arranged(self, old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
        """What belongs to the columns of the table, with that of new columns.

        New columns are behind all others, or in the place of those that were read. Of a header
        without rows it is not known which columns would be read.
        """
        if self.append or self.made is None or not self.columns:
            return [*old, *new]
        arranged: list[Any] = []
        for number, each in enumerate(old):
            if number == min(self.columns):
                arranged += new
            elif number not in self.columns:
                arranged.append(each)
        return arranged
