"""The preview of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.facts.preview import PreviewFacts, SignalPreview
from convcli.previews.preview import Preview, PreviewSize, group_text
from convcli.previews.table import ColumnOutlines, GroupRows
from convcli.signals import row_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.signals import AnyRows, Array, Block, Signal


class TablePreview(Preview):
    """What is drawn of the columns of a table before and after."""

    def __init__(
        self,
        signal: Signal,
        result: Signal,
        size: PreviewSize,
        group_name: Callable[[bytes], str] = group_text,
    ) -> None:
        self._signals = (signal, result)
        self._size = size
        self._group_name = group_name
        self._placed = signal.timed or size.over_rows
        self.restart()
        self._after = ColumnOutlines(result.channels, size.bins, placed=self._placed)

    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""
        self._groups = GroupRows(self._size.groups, of_file=self._size.over_rows)
        channels = self._signals[0].channels
        self._before = ColumnOutlines(channels, self._size.bins, placed=self._placed)

    @property
    def needs_input(self) -> bool:
        """Rows of the result have the groups and the places of rows of the input."""
        return True

    def add_input(self, prepared: Block) -> None:
        """Note the next block of the input."""
        rows = self._groups.number(prepared)
        self._before.add(prepared.x, rows)

    def add_output(self, prepared: tuple[Array, AnyRows]) -> None:
        """Note the next rows of the result."""
        y, rows = prepared
        if not len(y):
            return
        self._after.add(y, self._groups.of_rows(row_numbers(rows)))

    def facts(self) -> PreviewFacts:
        """What is drawn of the input and of the output so far."""
        names = {self._group_name(name): code for name, code in self._groups.names.items()}
        signal = self._signals[0]
        sides = []
        for outlines in (self._before.facts(names), self._after.facts(names)):
            side = SignalPreview(
                rate=signal.rate,
                outlines=outlines,
                more_groups=self._groups.more,
                dated=signal.dated and not self._size.over_rows,
            )
            sides.append(side)
        return PreviewFacts(before=sides[0], after=sides[1], small=self._size.small)
