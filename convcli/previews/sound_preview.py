"""The preview of a sound."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.facts.preview import PreviewFacts, SignalPreview
from convcli.previews.outline import FoldedSamples, OutlineCollector
from convcli.previews.preview import FULL, Preview, PreviewSize, first_row
from convcli.previews.sound import ExcerptSamples, LoudnessSums, SpectrogramSums, frame_length

if TYPE_CHECKING:
    from convcli.facts.preview import ExcerptFacts, OutlineFacts
    from convcli.signals import AnyRows, Array, Block, Signal

    FoldedBlock = tuple[Array, FoldedSamples | None]


# Seconds of sound that can be listened to, and channels.
EXCERPT, HEARD = 5.0, 2


class SoundPreview(Preview):
    """What is drawn of a sound before and after."""

    def __init__(self, signal: Signal, result: Signal, size: PreviewSize) -> None:
        self._signals = (signal, result)
        self._size = size
        self._seconds = min(_seconds_heard(each, size) for each in self._signals)
        self.restart()
        self._after = _SoundSums(result, size, self._seconds, signal.rate)

    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""
        self._before = _SoundSums(self._signals[0], self._size, self._seconds)

    def prepared_input(self, block: Block, position: int) -> FoldedBlock:
        """A block of the input with its extremes."""
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


def _seconds_heard(signal: Signal, size: PreviewSize) -> float:
    """Seconds of the excerpt, which a page keeps without loss."""
    channels = min(HEARD, max(1, len(signal.channels)))
    bytes_per_second = 2 * channels * (signal.rate or 1.0)
    return min(EXCERPT, size.excerpt / bytes_per_second)


class _SoundSums:
    """The collectors of one sound.

    heard : seconds of the excerpt
    reference : the rate of the sound that it is drawn beside
    """

    def __init__(
        self, signal: Signal, size: PreviewSize, heard: float, reference: float | None = None
    ) -> None:
        length = signal.shape[0]
        self.rate = signal.rate or 1.0
        self.outline = OutlineCollector(signal.channels, size.bins, length, level=size.sounds)
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
            start = max(0.0, (seconds - heard) / 2)
        first = round(start * self.rate)
        last = first + round(heard * self.rate)
        self.excerpt = ExcerptSamples(first, last)
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
