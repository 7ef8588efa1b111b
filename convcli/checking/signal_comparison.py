"""The sums of a comparison, made while both signals are read once, side by side.

Among them are the mean power spectra of both (Welch's method).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.checking.differences import Differences
from convcli.core.alpha import seen_samples
from convcli.core.correlation.lags import BlockCorrelation, largest_lag, precision_for
from convcli.core.ssim import StructuralSimilarity
from convcli.dataclass import dataclass
from convcli.facts import InputFacts
from convcli.facts.comparison import ChannelComparison
from convcli.running.side_by_side import SideBySide
from convcli.signals import blocks_of
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import FloatArray
    from convcli.checking.differences import LargestDifference, Moments
    from convcli.core.correlation.lags import GroupBlock, LagCandidate
    from convcli.running.workers import Workers
    from convcli.signals import Array, Medium, Signal, Source


# Samples of a frame whose spectrum is computed: sound, rows of tables, and pixels of a row.
SOUND_FRAME, TABLE_FRAME, PICTURE_FRAME = 4096, 256, 64
SHORTEST_FRAME = 8
# Of this many frames the mean is smooth even if they do not overlap, which takes half the time.
MANY_FRAMES = 256
ALL = "all"


@dataclass(frozen=True)
class ComparedSignal:
    """One of two signals that are compared: its name in messages, and its source.

    page : its number, from 1; None of an input without pages
    """

    name: str
    source: Source[Any]
    page: int | None = None

    @property
    def signal(self) -> Signal:
        """The signal, as far as it is known before any sample is read."""
        return self.source.signal


class SignalComparison:
    """Everything that is summed while two signals are read.

    channels : the indices of each compared channel in A and in B
    """

    def __init__(
        self, a: ComparedSignal, b: ComparedSignal, channels: list[tuple[int, int]]
    ) -> None:
        self.sides = (a, b)
        self.medium: Medium = a.signal.medium
        self.count = len(channels)
        self._places = tuple(list(places) for places in zip(*channels, strict=True))
        self.names = [a.signal.channels[place] for place in self._places[0]]
        self.differences = Differences(self.count)
        self.frame = _frame_size(a.signal, b.signal)
        length = a.signal.shape[0]
        is_long = length is not None and length > MANY_FRAMES * self.frame
        hop = self.frame if is_long else self.frame // 2
        self.spectra = [PowerSpectrum(self.frame, self.count, hop) for _ in self.sides]
        self.similarity: StructuralSimilarity | None = None
        if a.signal.axes == 2:
            self.similarity = StructuralSimilarity(self.count, a.signal.full_scale)
        self._rescale = a.signal.full_scale / b.signal.full_scale
        self._rows = 0
        self._left_over = (0, 0)

    def read(self, workers: Workers) -> list[LagCandidate]:
        """Read both signals; returns the best lag of each channel that is not constant."""
        signal = self.sides[0].signal
        correlation = BlockCorrelation(
            largest_lag(signal),
            shared=True,
            differences=self.medium.separate_channels,
            dtype=precision_for(signal),
        )
        return correlation.candidates(self._blocks(workers), workers.map)

    def _blocks(self, workers: Workers) -> Iterator[GroupBlock]:
        """Add each pair of blocks to the sums and pass it on to the correlation."""
        of_a, of_b = self._places
        a_blocks = self._samples(self.sides[0], of_a, workers)
        b_blocks = self._samples(self.sides[1], of_b, workers)
        both = SideBySide(a_blocks, b_blocks)
        for a, stored_b in both:
            b = self._on_scale_of_a(stored_b)
            self._add(a, b)
            yield b"", *_in_unit_scale(a, b, self.sides[0].signal)
        self._left_over = both.left_over()

    def _on_scale_of_a(self, b: Array) -> Array:
        """Samples of B on the scale of A, such as 8 bit values of a picture of 16 bits."""
        if self._rescale == 1:
            return b
        with np.errstate(over="ignore", invalid="ignore"):
            return b * self._rescale

    @staticmethod
    def _samples(side: ComparedSignal, places: list[int], workers: Workers) -> Iterator[Array]:
        signal = side.signal
        for block in blocks_of(side.source, workers.map):
            yield seen_samples(block.x, signal.alpha, signal.full_scale)[..., places]

    # Squares of huge samples overflow; the correlation says so in an error.
    @np.errstate(over="ignore", invalid="ignore")
    def _add(self, a: Array, b: Array) -> None:
        """Add the samples of two blocks, one of each signal, to all sums."""
        self.differences.add(a, b)
        for spectrum, x in zip(self.spectra, _known_in_both(a, b), strict=True):
            if x.ndim == 2:
                spectrum.add(x)
            else:
                spectrum.add_frames(_row_frames(x, self.frame))
        if self.similarity is not None:
            self.similarity.add(a, b)
        self._rows += len(a)

    # --- results ---

    def facts_of(self, side: int) -> InputFacts:
        """The facts of one of the two signals, with the length that was read."""
        one = self.sides[side]
        shape = (self._rows + self._left_over[side], *one.signal.shape[1:])
        details = {} if one.page is None else {"page": one.page}
        return InputFacts.of(one.name, one.signal, shape=shape, details=details)

    def length_remarks(self) -> list[str]:
        """A remark about the signal that is longer than the other, if one is."""
        remarks = []
        for side, count in zip(self.sides, self._left_over, strict=True):
            if count:
                samples = plural(count, self.medium.sample)
                remarks.append(f"{side.name} is longer by {samples}: its end is not compared")
        return remarks

    def channel_rows(self, delays: Sequence[LagCandidate]) -> tuple[ChannelComparison, ...]:
        """The comparison of each channel."""
        lags = {each.pair[0]: each for each in delays}
        power = [spectrum.mean() for spectrum in self.spectra]
        similarity = None if self.similarity is None else self.similarity.mean()
        rows = []
        for channel, name in enumerate(self.names):
            row = self._row(name, channel)
            row = self._with_delay(row, lags.get(channel))
            row = self._with_spectrum(row, power[0][channel], power[1][channel])
            if similarity is not None and math.isfinite(similarity[channel]):
                row = replace(row, ssim=float(similarity[channel]))
            rows.append(row)
        return tuple(rows)

    def together(
        self, rows: Sequence[ChannelComparison], delays: Sequence[LagCandidate]
    ) -> ChannelComparison | None:
        """All channels as one; None where they are several unrelated quantities."""
        if self.medium.separate_channels:
            return rows[0] if len(rows) == 1 else None
        row = self._row(ALL, None)
        clearest = max(delays, key=lambda each: abs(each.correlation), default=None)
        row = self._with_delay(row, clearest)
        power = [spectrum.mean().sum(axis=0) for spectrum in self.spectra]
        row = self._with_spectrum(row, power[0], power[1])
        known = [each.ssim for each in rows if each.ssim is not None]
        if known:
            row = replace(row, ssim=sum(known) / len(known))
        return row

    def _row(self, name: str, channel: int | None) -> ChannelComparison:
        """The comparison of one channel by the sums; `channel` None takes all together."""
        differences = self.differences
        moments = differences.moments
        past_end = sum(self._left_over)
        if channel is None:
            moments = moments.together()
            largest = differences.largest_of_all()
            unmatched = int(differences.unmatched.sum()) + past_end * self.count
            matched = int(differences.matched.sum())
        else:
            largest = differences.largest[channel]
            unmatched = int(differences.unmatched[channel]) + past_end
            matched = int(differences.matched[channel])
        place = channel or 0
        row = ChannelComparison(
            channel=name,
            samples=matched,
            unmatched=unmatched,
            equal=largest is None and unmatched == 0,
            correlation=moments.correlation(place),
        )
        if largest is not None:
            value_a, value_b = largest.values
            row = replace(row, at=largest.at, value_a=value_a, value_b=value_b)
        return self._with_errors(row, moments, place, largest)

    def _with_errors(
        self,
        row: ChannelComparison,
        moments: Moments,
        place: int,
        largest: LargestDifference | None,
    ) -> ChannelComparison:
        """The comparison with the measures that follow from the squared errors."""
        error = moments.root_mean_square_error(place)
        if not moments.count[place] and error == 0:
            return row
        level = moments.root_mean_square(place)
        row = replace(
            row,
            rms=error,
            largest=0.0 if largest is None else largest.size,
            snr=_decibels(level, error),
        )
        if self.similarity is None:
            return row
        return replace(row, psnr=_decibels(self.sides[0].signal.full_scale, error))

    def _with_delay(self, row: ChannelComparison, lag: LagCandidate | None) -> ChannelComparison:
        if lag is None or not lag.stands_out:
            return row
        rounded = [round(each, 6) for each in lag.fractional]
        delay = tuple(each + 0.0 for each in rounded)  # adding 0 turns -0 into 0
        return replace(row, delay=delay, delay_correlation=lag.correlation)

    def _with_spectrum(self, row: ChannelComparison, a: Any, b: Any) -> ChannelComparison:
        decibels = decibels_between(a, b)
        if decibels is None or not np.isfinite(decibels).all():
            return row
        place = int(np.abs(decibels).argmax())
        mean_square = float(np.mean(np.square(decibels)))
        signal = self.sides[0].signal
        unit = 1.0 if signal.rate is None else signal.rate * signal.cycle
        return replace(
            row,
            spectrum=math.sqrt(mean_square),
            spectrum_largest=float(decibels[place]),
            spectrum_at=place / self.frame * unit,
        )


def _decibels(level: float, error: float) -> float:
    """20 log10(level / error), infinite for no error."""
    if error == 0:
        return math.inf
    if level == 0 or math.isinf(error):
        return -math.inf
    return 20 * (math.log10(level) - math.log10(error))


def _known_in_both(a: Array, b: Array) -> tuple[Array, Array]:
    """Two blocks, each missing a sample where the other one is not finite."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.all():
        return a, b
    return np.where(known, a, np.nan), np.where(known, b, np.nan)


def _frame_size(a: Signal, b: Signal) -> int:
    """The samples of a frame: a power of two that fits twice into the shorter signal."""
    most = TABLE_FRAME if a.medium.separate_channels else SOUND_FRAME
    length = a.shape[0]
    if a.axes == 2:
        most = PICTURE_FRAME
        length = a.shape[1]
    elif length is not None and b.shape[0] is not None:
        length = min(length, b.shape[0])
    if length is None:
        return most
    half = length // 2
    power = max(0, half.bit_length() - 1)
    fitting = 1 << power
    return max(SHORTEST_FRAME, min(most, fitting))


def _row_frames(x: Array, size: int) -> Array:
    """Frames along the rows of a picture, (frames, channels, size).

    They lie at equal distances and reach from edge to edge, so that no column is left out. A
    picture that is narrower than a frame has none.
    """
    rows, columns, channels = x.shape
    if columns < size:
        return np.empty((0, channels, size))
    count = -(-columns // size)
    starts = np.linspace(0, columns - size, count).astype(int)
    frames = sliding_window_view(x, size, axis=1)[:, starts]
    return frames.reshape(rows * count, channels, size)


def _in_unit_scale(a: Array, b: Array, signal: Signal) -> tuple[Array, Array]:
    """Samples whose sums of squares fit single precision."""
    if signal.full_scale == 1 or signal.medium.separate_channels:
        return a, b
    return a / signal.full_scale, b / signal.full_scale


# ------------------------------- mean power spectra of signals that come in blocks (Welch's method)


# Samples that are transformed together.
TOGETHER = 1 << 20
# Powers below this part of the largest, -120 dB, count as that.
LEAST_POWER = 1e-12


class PowerSpectrum:
    """The mean power spectrum of each channel over Hann-windowed frames.

    Welch, The use of fast Fourier transform for the estimation of power spectra, 1967. Frames with
    a missing sample are left out. A signal shorter than a frame is one frame, filled with zeros.

    size : samples of a frame
    hop : samples from the start of a frame to that of the next; half a frame gives all samples the
        same weight
    """

    def __init__(self, size: int, channels: int, hop: int) -> None:
        self.hop = hop
        self.size = size
        self.frames = np.zeros(channels)
        self.power = np.zeros((channels, size // 2 + 1))
        turns = (np.arange(size) + 0.5) / size
        angles = 2 * np.pi * turns
        self._window = 0.5 - 0.5 * np.cos(angles)
        self._tail: Array = np.empty((0, channels))
        self._tail_used = False

    def add(self, x: Array) -> None:
        """Add the next samples of the signal, (n, channels)."""
        x = np.concatenate([self._tail, x])
        hop = self.hop
        complete = (len(x) - self.size) // hop + 1
        count = max(0, complete)
        many = max(1, TOGETHER // self.size)
        for first in range(0, count, many):
            last = min(count, first + many)
            part = x[first * hop : (last - 1) * hop + self.size]
            self.add_frames(sliding_window_view(part, self.size, axis=0)[::hop])
        self._tail_used = self._tail_used or count > 0
        self._tail = x[count * hop :]

    def add_frames(self, frames: Array) -> None:
        """Add frames, (n, channels, size)."""
        windowed = frames * self._window
        # The sum of a frame is finite if all its samples are, and here none can overflow it.
        whole: Any = np.isfinite(windowed.sum(axis=-1))
        if not whole.all():
            windowed[~whole] = 0.0
        spectra = np.fft.rfft(windowed)
        self.power += (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=0)
        self.frames += whole.sum(axis=0)

    def mean(self) -> FloatArray:
        """The mean power at each frequency, (channels, size // 2 + 1)."""
        if not self._tail_used and len(self._tail):
            filled = np.zeros((self.size, self._tail.shape[1]))
            filled[: len(self._tail)] = self._tail
            self.add_frames(filled.T[None])
            self._tail_used = True
        return self.power / np.maximum(1.0, self.frames)[:, None]


def decibels_between(a: FloatArray, b: FloatArray) -> FloatArray | None:
    """The difference of two power spectra in dB, b over a; None where both are silent."""
    largest = max(float(a.max(initial=0.0)), float(b.max(initial=0.0)))
    if largest == 0:
        return None
    least = LEAST_POWER * largest
    ratio = np.maximum(b, least) / np.maximum(a, least)
    return 10 * np.log10(ratio)
