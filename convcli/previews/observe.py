"""The observer of a run: a source and a sink that pass everything on and note what is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convcli.dataclass import dataclass
from convcli.facts.preview import PreviewFacts, SignalPreview
from convcli.previews.outline import FoldedSamples, OutlineCollector
from convcli.signals import Sink, blocks_of, row_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.facts.preview import ExcerptFacts, OutlineFacts
    from convcli.previews.picture import ReducedRows
    from convcli.signals import AnyRows, Array, Block, Signal, Source

    FoldedBlock = tuple[Array, FoldedSamples | None]

# Groups of a table that are drawn.
MOST_GROUPS = 6
# What two signals are called that are compared.
COMPARED = ("A", "B")
# Seconds of sound that can be listened to.
EXCERPT = 5.0


@dataclass(frozen=True, kw_only=True)
class PreviewSize:
    """How much is collected.

    bins : of an outline, at least; columns : frames of a spectrogram, at least
    side : the longer side of a reduced picture
    sounds : collect spectrogram, loudness and an excerpt of a sound
    lossless : a page keeps every sample of the excerpt
    over_rows : tables lie over the rows of the file, not over their times
    """

    bins: int = 1000
    columns: int = 300
    side: int = 800
    groups: int = MOST_GROUPS
    sounds: bool = True
    lossless: bool = True
    over_rows: bool = False

    @property
    def small(self) -> bool:
        """Whether this is no more than a thumbnail."""
        return not self.sounds


FULL = PreviewSize()
# What is drawn of the first inputs of a batch.
FULL_OF_MANY = PreviewSize(lossless=False)
# What is drawn of an input that is only looked at.
OUTLINE = PreviewSize(sounds=False, over_rows=True)
# This many inputs of a batch are drawn in full, which keeps a page below 20 MB.
MOST_FULL = 12
THUMBNAIL = PreviewSize(bins=60, columns=1, side=120, groups=1, sounds=False)


def size_of_input(number: int | None) -> PreviewSize:
    """How much is collected of an input.

    number : of an input of a page of several, counted from 1; None of a page of its own
    """
    if number is None:
        return FULL
    return FULL_OF_MANY if number <= MOST_FULL else THUMBNAIL


class Preview(ABC):
    """Collects what is drawn of the input and of the output of one run."""

    @abstractmethod
    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""

    def prepared_input(self, block: Block, position: int) -> Any:  # noqa: ARG002 -- see below
        """What `add_input` takes of a block. Any thread may call this.

        It is called in the thread that has decoded the block, with its samples in the cache.
        Most of the work on sounds and pictures is done here.
        position : where the block probably begins
        """
        return block

    def prepared_output(self, y: Array, rows: AnyRows) -> Any:
        """What `add_output` takes of samples and their rows. Any thread may call this."""
        return y, rows

    @abstractmethod
    def add_input(self, prepared: Any) -> None:
        """Note the next block of the input."""

    @abstractmethod
    def add_output(self, prepared: Any) -> None:
        """Note the next samples of the result and the rows that they are aligned with."""

    @abstractmethod
    def facts(self) -> PreviewFacts:
        """What is drawn of the input and of the output so far."""

    def compared_with(self, other: Preview) -> PreviewFacts:
        """What is drawn of two inputs that are compared, each of which has a preview of its own."""
        first, second = self.facts(), other.facts()
        return replace(first, after=second.before, names=COMPARED)

    def read_input(self, source: Source[Any]) -> None:
        """Take the input from a file, in place of what was noted."""
        self.restart()
        position = 0
        for block in blocks_of(source):
            self.add_input(self.prepared_input(block, position))
            position += len(block.stored)

    @property
    def better_in_file(self) -> bool:
        """Whether the file that was written shows the result better than what was noted."""
        return False

    def read_result(self, source: Source[Any]) -> None:  # noqa: ARG002 -- see below
        """Take the result from the file that was written, in place of what was noted.

        Sound and tables are drawn as they were noted.
        """
        return


def group_text(name: bytes) -> str:
    """The name of a group as it is in the file."""
    return name.decode("utf-8", "replace")


def first_row(rows: AnyRows) -> int:
    """The first of the rows of a result, which are counted from its first sample."""
    return int(rows[0]) if len(rows) else 0


def preview_of(
    signal: Signal,
    result: Signal,
    size: PreviewSize,
    group_name: Callable[[bytes], str] = group_text,
) -> Preview:
    """The preview for a run that makes `result` of `signal`.

    group_name : what a group of a table is called
    """
    if signal.axes == 2:
        return PicturePreview(signal, result, size)
    if signal.medium.in_seconds:
        return SoundPreview(signal, result, size)
    return TablePreview(signal, result, size, group_name)


class ObservedSource:
    """A source whose blocks are noted as they arrive."""

    def __init__(self, source: Source[Any], preview: Preview) -> None:
        self.signal = source.signal
        self._source = source
        self._preview = preview

    def pieces(self) -> Iterator[Any]:
        """Yield the undecoded pieces of the source with their numbers."""
        self._preview.restart()
        yield from enumerate(self._source.pieces())

    def decode(self, raw: Any) -> Block:
        """Decode a piece to a block that is noted when it arrives."""
        number, piece = raw
        block = self._source.decode(piece)
        # Of most files, all blocks but the last one have the same length.
        position = number * len(block.stored)
        prepared = self._preview.prepared_input(block, position)
        return replace(block, on_arrival=partial(self._arrived, block, prepared))

    def _arrived(self, block: Block, prepared: Any) -> None:
        block.on_arrival()
        self._preview.add_input(prepared)


class StoringSink(Sink[Any], Protocol):
    """A sink that knows the samples of an encoded block as they are stored."""

    def stored(self, encoded: Any) -> Array | None:
        """The samples of a block; None where those that were encoded are as good."""
        ...


def _not_stored(encoded: Any) -> Array | None:  # noqa: ARG001 -- see below
    """Say that samples are to be noted as they were before they were encoded."""
    return None


class ObservedSink:
    """A sink whose samples are noted as they are written.

    stored : finds in an encoded block the samples as they are stored; None where those that were
        encoded are noted
    """

    def __init__(
        self,
        sink: Sink[Any],
        preview: Preview,
        stored: Callable[[Any], Array | None] = _not_stored,
    ) -> None:
        self._sink = sink
        self._preview = preview
        self._stored = stored

    def encode(self, y: Array, rows: AnyRows) -> Any:
        """Encode samples, and keep them until they are written."""
        encoded = self._sink.encode(y, rows)
        stored = self._stored(encoded)
        kept = y if stored is None else stored
        return self._preview.prepared_output(kept, rows), encoded

    def write(self, encoded: Any) -> None:
        """Write encoded samples and note them."""
        prepared, content = encoded
        self._sink.write(content)
        self._preview.add_output(prepared)


# ------------------------------------------------------------------------------------------- sounds


class SoundPreview(Preview):
    """What is drawn of a sound before and after."""

    def __init__(self, signal: Signal, result: Signal, size: PreviewSize) -> None:
        self._signals = (signal, result)
        self._size = size
        self.restart()
        self._after = _SoundSums(result, size, signal.rate)

    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""
        self._before = _SoundSums(self._signals[0], self._size)

    def prepared_input(self, block: Block, position: int) -> FoldedBlock:
        """A block with its extremes."""
        return self._before.folded(block.stored, position)

    def prepared_output(self, y: Array, rows: AnyRows) -> FoldedBlock:
        """Samples of the result with their extremes."""
        return self._after.folded(y, first_row(rows))

    def add_input(self, prepared: FoldedBlock) -> None:
        """Note the next block of the input."""
        self._before.add(prepared)

    def add_output(self, prepared: FoldedBlock) -> None:
        """Note the next samples of the result, which come in order."""
        self._after.add(prepared)

    def facts(self) -> PreviewFacts:
        """What is drawn of the input and of the output so far."""
        signal, result = self._signals
        spacing = 1.0
        if signal.rate and result.rate:
            spacing = signal.rate / result.rate
        before = self._before.facts()
        after = self._after.facts(spacing=spacing, start=float(result.skipped))
        difference = None
        if not result.skipped and before.excerpt is not None and after.excerpt is not None:
            difference = sound_difference(before.excerpt, after.excerpt, signal.channels)
        return PreviewFacts(
            before=before, after=after, difference=difference, small=self._size.small
        )

    def compared_with(self, other: Preview) -> PreviewFacts:
        """What is drawn of two sounds that are compared, and of their difference."""
        facts = super().compared_with(other)
        before, after = facts.before.excerpt, facts.after.excerpt
        if before is None or after is None:
            return facts
        difference = sound_difference(before, after, self._signals[0].channels)
        return replace(facts, difference=difference)


def sound_difference(
    before: ExcerptFacts, after: ExcerptFacts, channels: tuple[str, ...]
) -> OutlineFacts | None:
    """The outline of what two excerpts differ by; None where their samples do not correspond."""
    same_place = before.rate == after.rate and before.start == after.start
    if not same_place or before.samples.shape != after.samples.shape:
        return None
    count, width = before.samples.shape
    outline = OutlineCollector(channels[:width], FULL.bins, count, level=True)
    with np.errstate(invalid="ignore"):  # the difference of two infinities is unknown
        difference = after.samples - before.samples
    outline.add(difference)
    return outline.facts(start=before.start * before.rate)


class _SoundSums:
    """The collectors of one sound.

    reference : the rate of the sound that it is drawn beside
    """

    def __init__(self, signal: Signal, size: PreviewSize, reference: float | None = None) -> None:
        from convcli.previews.sound import (
            ExcerptSamples,
            LoudnessSums,
            SpectrogramSums,
            frame_length,
        )

        length = signal.shape[0]
        self.rate = signal.rate or 1.0
        self.outline = OutlineCollector(signal.channels, size.bins, length, level=True)
        # In a sound of unknown length, bins become long only in time.
        self.grain = 0 if length is None else self.outline.grain
        self.collectors: list[Any] = []
        self.spectrogram: SpectrogramSums | None = None
        if not size.sounds:
            return
        frame = frame_length(self.rate, reference or self.rate)
        self.spectrogram = SpectrogramSums(size.columns, length, frame)
        self.loudness = LoudnessSums(self.rate, len(signal.channels), length)
        # The excerpt is in the middle of the sound, where it is likely to be under way.
        start = 0.0
        if length is not None:
            seconds = length / self.rate
            start = max(0.0, (seconds - EXCERPT) / 2)
        first = round(start * self.rate)
        last = first + round(EXCERPT * self.rate)
        self.excerpt = ExcerptSamples(first, last, lossless=size.lossless)
        self.collectors += [self.spectrogram, self.loudness, self.excerpt]

    def folded(self, x: Array, position: int) -> FoldedBlock:
        """Samples from a position on, folded if that is of use. Any thread may call this."""
        folded = None
        if self.grain and len(x) and x.flags.c_contiguous:
            folded = FoldedSamples.of(x, position, self.grain)
        return x, folded

    def add(self, block: FoldedBlock) -> None:
        x, folded = block
        self.outline.add(x, folded)
        for collector in self.collectors:
            collector.add(x)

    def facts(self, *, spacing: float = 1.0, start: float = 0.0) -> SignalPreview:
        outlines = (self.outline.facts(spacing=spacing, start=start),)
        if self.spectrogram is None:
            return SignalPreview(rate=self.rate, outlines=outlines)
        return SignalPreview(
            rate=self.rate,
            outlines=outlines,
            spectrogram=self.spectrogram.facts(self.rate),
            loudness=self.loudness.loudness(),
            loudness_seconds=self.loudness.seconds,
            excerpt=self.excerpt.facts(self.rate),
        )


# ------------------------------------------------------------------------------------------- tables


class TablePreview(Preview):
    """What is drawn of the columns of a table before and after."""

    def __init__(
        self,
        signal: Signal,
        result: Signal,
        size: PreviewSize,
        group_name: Callable[[bytes], str] = group_text,
    ) -> None:
        from convcli.previews.table import ColumnOutlines

        self._signals = (signal, result)
        self._size = size
        self._group_name = group_name
        self._placed = signal.timed or size.over_rows
        self.restart()
        self._after = ColumnOutlines(result.channels, size.bins, placed=self._placed)

    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""
        from convcli.previews.table import ColumnOutlines, GroupRows

        self._groups = GroupRows(self._size.groups, of_file=self._size.over_rows)
        channels = self._signals[0].channels
        self._before = ColumnOutlines(channels, self._size.bins, placed=self._placed)

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


# ----------------------------------------------------------------------------------------- pictures


class PicturePreview(Preview):
    """What is drawn of a picture before and after."""

    def __init__(self, signal: Signal, result: Signal, size: PreviewSize) -> None:
        from convcli.previews.picture import PictureSums

        self._signals = (signal, result)
        self._size = size
        self.restart()
        self._after = PictureSums(result, size.side)

        self._as_stored = True

    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""
        from convcli.previews.picture import PictureSums

        self.before = PictureSums(self._signals[0], self._size.side)

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
        self._as_stored = self._as_stored and prepared.x.dtype == np.uint8
        self._after.add(prepared)

    @property
    def better_in_file(self) -> bool:
        """Whether what was noted is not rounded, clipped and perhaps scaled as in the file."""
        return not self._as_stored

    def read_input(self, source: Source[Any]) -> None:
        """Take the input from a file, in place of the rows that were noted."""
        self._signals = (source.signal, self._signals[1])
        super().read_input(source)

    def read_result(self, source: Source[Any]) -> None:
        """Take the result from the file that was written, in place of the rows that were noted."""
        from convcli.previews.picture import PictureSums

        self._after = PictureSums(source.signal, self._size.side)
        row = 0
        for block in blocks_of(source):
            self._after.add(self._after.reduced(block.stored, row))
            row += len(block.stored)

    def facts(self) -> PreviewFacts:
        """What is drawn of the input and of the output so far."""
        from convcli.previews.picture import likeness

        return PreviewFacts(
            before=SignalPreview(picture=self.before.facts()),
            after=SignalPreview(picture=self._after.facts()),
            likeness=None if self._size.small else likeness(self.before, self._after),
            small=self._size.small,
        )

    def compared_with(self, other: Preview) -> PreviewFacts:
        """What is drawn of two pictures that are compared, and how alike they are."""
        from convcli.previews.picture import likeness

        facts = super().compared_with(other)
        if self._size.small or not isinstance(other, PicturePreview):
            return facts
        return replace(facts, likeness=likeness(self.before, other.before))
