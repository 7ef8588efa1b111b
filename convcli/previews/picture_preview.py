"""The preview of a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli.facts.preview import PreviewFacts, SignalPreview
from convcli.previews.picture import PictureSums, likeness
from convcli.previews.preview import Preview, PreviewSize, first_row
from convcli.signals import blocks_of

if TYPE_CHECKING:
    from convcli.previews.picture import ReducedRows
    from convcli.signals import AnyRows, Array, Block, Signal, Source


class PicturePreview(Preview):
    """What is drawn of a picture before and after."""

    def __init__(self, signal: Signal, result: Signal, size: PreviewSize) -> None:
        self._signals = (signal, result)
        self._size = size
        self.restart()
        self._after = PictureSums(result, size.side, whole=not size.small)

    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""
        self.before = PictureSums(self._signals[0], self._size.side, whole=not self._size.small)

    def prepared_input(self, block: Block, position: int) -> ReducedRows:
        """The rows of a block, reduced."""
        return self.before.reduced(block.stored, position)

    def prepared_output(self, y: Array, rows: AnyRows) -> ReducedRows:
        """Rows of the result, reduced."""
        return self._after.reduced(y, first_row(rows))

    def add_input(self, prepared: ReducedRows) -> None:
        """Note the next rows of the input."""
        self.before.add(prepared)

    def add_output(self, prepared: ReducedRows) -> None:
        """Note the next rows of the result, which come in order."""
        self._after.add(prepared)

    @property
    def better_in_file(self) -> bool:
        """Whether what was noted is not rounded, clipped and perhaps scaled as in the file."""
        return not self.as_stored

    def read_input(self, source: Source[Any]) -> None:
        """Take the input from a file, in place of the rows that were noted."""
        self._signals = (source.signal, self._signals[1])
        super().read_input(source)

    def read_result(self, source: Source[Any]) -> None:
        """Take the result from the file that was written, in place of the rows that were noted."""
        self._after = PictureSums(source.signal, self._size.side, whole=not self._size.small)
        row = 0
        for block in blocks_of(source):
            self._after.add(self._after.reduced(block.stored, row))
            row += len(block.stored)

    def facts(self) -> PreviewFacts:
        """What is drawn of the input and of the output so far."""
        return PreviewFacts(
            before=SignalPreview(picture=self.before.facts()),
            after=SignalPreview(picture=self._after.facts()),
            likeness=None if self._size.small else likeness(self.before, self._after),
            small=self._size.small,
        )

    def compared_with(self, other: Preview) -> PreviewFacts:
        """What is drawn of two pictures that are compared, and how alike they are."""
        facts = super().compared_with(other)
        if self._size.small or not isinstance(other, PicturePreview):
            return facts
        return replace(facts, likeness=likeness(self.before, other.before))
