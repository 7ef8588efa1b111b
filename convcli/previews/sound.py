"""The preview of a sound: spectrogram, loudness, excerpt, in one pass and constant memory."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolution.fft import line_powers
from convcli.facts.preview import ExcerptFacts, PreviewFacts, SignalPreview, SpectrogramFacts
from convcli.previews.outline import FoldedSamples, OutlineCollector, sum_of_squares
from convcli.previews.preview import FULL, Preview, PreviewOfSums, PreviewSize
from convcli.samples import as_samples, in_type, is_stored, value_of_one
from convcli.speakers import BACK_PAIR, LOW_FREQUENCIES, SIDE_PAIR, speakers_of, usual_mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import AnyArray, Float32Array, FloatArray
    from convcli.facts.preview import OutlineFacts
    from convcli.signals import Array, Signal

    FoldedBlock = tuple[Array, FoldedSamples | None]


# Samples of a frame of the spectrogram.
FRAME = 1024
SHORTEST_FRAME, LONGEST_FRAME = 32, 1 << 16
# Frames that are transformed at once, which takes half of the time.
TOGETHER = 32
# Parts of a long sound whose loudness is measured at once.
PARTS_TOGETHER = 8
# Loudness is measured in blocks of 0.4 s that overlap by three quarters (ITU-R BS.1770-5): in steps
# of this many seconds.
STEP = 0.1
# Samples beyond this are drawn like it; full scale is 1.
MOST_OUTSIDE_SCALE = 1e9
STEPS_OF_BLOCK = 4
# Of a sound longer than LONGEST_WHOLE seconds, parts all over it are measured. Each part is one
# block, and together they last SECONDS_OF_PARTS.
LONGEST_WHOLE = 60.0
SECONDS_OF_PARTS = 20.0
# The frequency and the quality of the high-pass of the K filter.
HIGH_PASS, QUALITY = 38.13547087602444, 0.5003270373238773
# Its gain, 0.043 dB: at 48 kHz the numerator 1, -2, 1 of the standard is not normalised. Programs
# that keep the numerator at other rates raise 8 kHz by 0.2 dB more.
HIGH_PASS_GAIN = 1.0049949
# The loudness gates: absolute in LUFS, and relative to what passes the first.
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0


def frame_length(rate: float, reference: float) -> int:
    """The samples of a frame at a rate that last as long as a frame at the reference rate.

    The levels of noise in two spectra can be compared if their frames last equally long.
    """
    frame = 2 * round(FRAME / 2 * rate / reference)
    return min(max(frame, SHORTEST_FRAME), LONGEST_FRAME)


class RegularFrames:
    """Cuts frames that begin at regular distances out of a sound whose samples come in order.

    frame : samples of a frame; spacing : samples from the start of a frame to that of the next
    """

    def __init__(self, frame: int, spacing: int) -> None:
        self.frame = frame
        self.spacing = spacing
        self.count = 0
        self._tail: Array | None = None
        self._seen = 0

    def cut(self, x: Array) -> Iterator[Array]:
        """Yield copies of the frames that end in x (n, channels), (frame, channels)."""
        before = self._seen
        self._seen += len(x)
        while self._start + self.frame <= self._seen:
            start = self._start - before
            self.count += 1
            yield self._samples(x, start, self.frame)
        # The samples of the next frame so far; of a long sound, most begin in a later block.
        begun = self._seen - self._start
        self._tail = self._samples(x, len(x) - begun, begun) if begun > 0 else None

    @property
    def _start(self) -> int:
        """Where the next frame begins."""
        return self.count * self.spacing

    def _samples(self, x: Array, start: int, count: int) -> Array:
        """A copy of `count` samples from `start` in x on; those before x are in the tail."""
        if start >= 0 or self._tail is None:
            return x[start : start + count].copy()
        return np.concatenate([self._tail[start:], x[: start + count]])

    def double_the_spacing(self) -> None:
        """Let every second frame go, of those so far and of those that come."""
        self.count = -(-self.count // 2)
        self.spacing *= 2


class SpectrogramSums:
    """Power of frames at regular distances; of a long sound, most samples are in no frame.

    columns : how many frames there are at least, once the sound is long enough; at most twice as
        many
    length : number of samples, None if it is not known: then every second frame is dropped as they
        become too many
    frame : samples of a frame, even
    """

    def __init__(self, columns: int, length: int | None = None, frame: int = FRAME) -> None:
        self.capacity = 2 * columns
        self.frame = frame
        spacing = frame // 2
        if length is not None:
            spacing = max(spacing, -(-length // self.capacity))
        self._regular = RegularFrames(frame, spacing)
        self._powers_of_frames: list[FloatArray] = []
        self._waiting: list[Array] = []
        self._window = _hann(frame)

    @property
    def spacing(self) -> int:
        """Samples from the start of a frame to that of the next."""
        return self._regular.spacing

    def add(self, x: Array) -> None:
        """Add the next samples, (n, channels)."""
        for frame in self._regular.cut(x):
            self._waiting.append(frame)
            full = self._regular.count == self.capacity
            if full or len(self._waiting) == TOGETHER:
                self._transform()
            if full:
                self._powers_of_frames = self._powers_of_frames[::2]
                self._regular.double_the_spacing()

    def _transform(self) -> None:
        """Replace the frames that wait by their powers."""
        if self._waiting:
            self._powers_of_frames.extend(self._powers(np.stack(self._waiting)))
            self._waiting.clear()

    def _powers(self, frames: Array) -> FloatArray:
        """The mean power of all channels of each frame, (frames, samples, channels)."""
        samples = _audible(frames).swapaxes(1, 2)
        lines = np.multiply(samples, self._window, dtype=np.float32).reshape(-1, self.frame)
        powers = line_powers(lines).reshape(len(frames), -1, self.frame // 2 + 1)
        return np.asarray(powers.mean(axis=1, dtype=np.float64))

    def facts(self, rate: float) -> SpectrogramFacts | None:
        """The spectrogram, None of a sound that is shorter than a frame.

        A sine of full scale has a power of 1.
        """
        self._transform()
        if not self._powers_of_frames:
            return None
        full_scale = (self._window.sum() / 2) ** 2
        power = np.array(self._powers_of_frames) / full_scale
        first = self.frame / 2 / rate
        return SpectrogramFacts(power=power, first=first, seconds=self.spacing / rate)


class LoudnessSums:
    """Integrated loudness of a sound (ITU-R BS.1770-5), of a long one measured in parts.

    The energy of each step of 0.1 s is summed over its spectrum, weighted by the K filter. This is
    fifty times as fast as the recursive filters, and differs from them by less than 0.1 LU.

    The loudness of parts is raised by as much as the mean power of the whole sound is above that of
    the parts (a ratio estimate: Cochran, Sampling Techniques, 1977, chapter 6). Levels vary more
    than spectra do, so this takes away most of the error, and some 0.5 LU are left in an hour of
    speech or music. Up to 4 LU are left in a sound that is loud for a fiftieth of the time.
    """

    def __init__(
        self,
        rate: float,
        channels: int,
        length: int | None = None,
        *,
        speakers: tuple[int, ...] = (),
    ) -> None:
        self.rate = rate
        self.size = 2 * max(4, round(STEP * rate / 2))
        self._weights = _loudness_weights(rate, self.size)
        self._gains = channel_gains(channels, speakers)
        self._blocks: list[FloatArray] = []
        self._tail: Array | None = None
        self._energies: FloatArray = np.empty(0)
        self._measured = 0
        self._squares = 0.0
        self._parts: RegularFrames | None = None
        self._waiting: list[Array] = []
        if length is not None and length > LONGEST_WHOLE * rate:
            part = STEPS_OF_BLOCK * self.size
            spacing = math.floor(length / (SECONDS_OF_PARTS * rate) * part)
            self._parts = RegularFrames(part, spacing)

    def add(self, x: Array) -> None:
        """Add the next samples, (n, channels)."""
        if self._parts is None:
            self._measure(x)
            return
        for part in self._parts.cut(x):
            self._waiting.append(part)
            self._measured += len(part)
            if len(self._waiting) == PARTS_TOGETHER:
                self._measure_parts()

    def _measure_parts(self) -> None:
        """Measure the parts that wait, each of which is one block."""
        if not self._waiting:
            return
        x = np.concatenate(self._waiting)
        self._squares += sum_of_squares(x) * value_of_one(x) ** 2
        energies = self._step_energies(x, STEPS_OF_BLOCK * len(self._waiting))
        self._blocks.append(energies.reshape(-1, STEPS_OF_BLOCK).mean(axis=1))
        self._waiting.clear()

    def _measure(self, x: Array) -> None:
        """Measure the next samples, each step in up to four blocks."""
        self._measured += len(x)
        if self._tail is not None:
            x = np.concatenate([self._tail, x])
        count = len(x) // self.size
        self._tail = x[count * self.size :].copy()
        if not count:
            return
        self._energies = np.concatenate([self._energies, self._step_energies(x, count)])
        if len(self._energies) >= STEPS_OF_BLOCK:
            blocks = len(self._energies) - STEPS_OF_BLOCK + 1
            steps = [self._energies[step : step + blocks] for step in range(STEPS_OF_BLOCK)]
            self._blocks.append(np.mean(steps, axis=0))
            self._energies = self._energies[1 - STEPS_OF_BLOCK :]

    def _step_energies(self, x: Array, count: int) -> FloatArray:
        """The weighted energy of the first `count` steps of 0.1 s."""
        part = _audible(x[: count * self.size])
        steps = part.reshape(count, self.size, x.shape[1]).swapaxes(1, 2)
        lines = np.ascontiguousarray(steps).reshape(-1, self.size)
        energy = (line_powers(lines) @ self._weights).reshape(count, -1)
        energy = energy.astype(np.float64) / self.size**2
        weighted: FloatArray = energy @ self._gains
        return weighted

    @property
    def seconds(self) -> float:
        """How much of the sound was measured."""
        return self._measured / self.rate

    def loudness(self, rms: float | None = None) -> float | None:
        """The loudness in LUFS; None for silence and for less than 0.4 s.

        rms : of all samples of the sound, from which the level of its parts may differ
        """
        self._measure_parts()
        if not self._blocks:
            return None
        blocks = np.concatenate(self._blocks)
        kept = blocks[blocks > _power_of(ABSOLUTE_GATE)]
        if not kept.size:
            return None
        loudness = _loudness_of(float(kept.mean()))
        gate = _power_of(loudness + RELATIVE_GATE)
        kept = kept[kept > gate]
        loudness = _loudness_of(float(kept.mean()))
        return loudness + self._level_above_parts(rms)

    def _level_above_parts(self, rms: float | None) -> float:
        """By how many decibels the whole sound is above its measured parts."""
        if not rms or not self._squares:
            return 0.0
        power = self._squares / (self._measured * len(self._gains))
        level = 20 * math.log10(rms) - 10 * math.log10(power)
        return level if math.isfinite(level) else 0.0


@lru_cache(maxsize=2)
def _hann(frame: int) -> Float32Array:
    """The periodic Hann window of a frame."""
    return np.hanning(frame + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=2)
def _loudness_weights(rate: float, size: int) -> Float32Array:
    """The share of each frequency of a transform in the loudness."""
    weights = k_weighting(rate, size).astype(np.float32)
    # Both sides of the spectrum count, save for frequency 0.
    weights[1:] *= 2
    return weights


def _audible(x: Array) -> Array:
    """Samples in float32, cut off far beyond full scale: sums of their squares are finite."""
    if is_stored(x):
        return np.multiply(x, value_of_one(x), dtype=np.float32)
    bounded = np.clip(x, -MOST_OUTSIDE_SCALE, MOST_OUTSIDE_SCALE)
    return in_type(bounded, np.float32)


def _loudness_of(power: float) -> float:
    """The loudness in LUFS of a weighted mean square (ITU-R BS.1770-5, annex 1)."""
    return -0.691 + 10 * math.log10(power)


def _power_of(loudness: float) -> float:
    """The weighted mean square of a loudness in LUFS."""
    return float(10 ** ((loudness + 0.691) / 10))


def channel_gains(channels: int, speakers: tuple[int, ...] = ()) -> FloatArray:
    """The weights of the channels: in front and behind 1, at the side 1.41, low frequencies 0.

    A surround pair alone is at 110 degrees, and counts as at the side.

    speakers : of each channel, as in `Signal`; empty for the usual ones of this number of channels
    """
    speakers = speakers or speakers_of(usual_mask(channels), channels)
    has_sides = any(speaker & SIDE_PAIR for speaker in speakers)
    sides = SIDE_PAIR if has_sides else BACK_PAIR
    gains = np.ones(channels)
    for channel, speaker in enumerate(speakers):
        if speaker & sides:
            gains[channel] = 1.41
        elif speaker == LOW_FREQUENCIES:
            gains[channel] = 0.0
    return gains


def k_weighting(rate: float, size: int) -> FloatArray:
    """The power response of the K filter of ITU-R BS.1770-5 at the frequencies of a transform.

    It is that of the standard at 48 kHz for every rate.

    Its analogue prototypes are those of libebur128, whose bilinear transforms are the coefficients
    of the standard at 48 kHz.
    """
    s = 1j * np.fft.rfftfreq(size, 1 / rate)
    high_pass = _high_pass(s) * HIGH_PASS_GAIN
    return _power(_shelf(s)) * _power(high_pass)


def _shelf(s: AnyArray) -> AnyArray:
    """A shelf of 4 dB at 1,682 Hz; s = jf."""
    frequency, gain, quality = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    high = 10 ** (gain / 20)
    band = high**0.4996667741545416
    s = s / frequency
    numerator: AnyArray = high * s**2 + band / quality * s + 1
    denominator = s**2 + s / quality + 1
    return numerator / denominator


def _high_pass(s: AnyArray) -> AnyArray:
    """A high-pass at 38 Hz; s = jf."""
    s = s / HIGH_PASS
    denominator = s**2 + s / QUALITY + 1
    response: AnyArray = s**2 / denominator
    return response


def _power(response: AnyArray) -> FloatArray:
    power: FloatArray = np.square(np.abs(response))
    return power


class ExcerptSamples:
    """The samples between two positions of a sound, at most its first two channels."""

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self._parts: list[Array] = []
        self._seen = 0

    def add(self, x: Array) -> None:
        """Add the next samples of the sound, (n, channels)."""
        first = max(0, self.start - self._seen)
        last = min(len(x), self.stop - self._seen)
        if first < last:
            stereo = x[first:last, :2]
            self._parts.append(as_samples(stereo.copy()))
        self._seen += len(x)

    def facts(self, rate: float) -> ExcerptFacts | None:
        """The excerpt; None where the sound ends before it."""
        if not self._parts:
            return None
        samples = _audible(np.concatenate(self._parts))
        return ExcerptFacts(samples=samples, rate=rate, start=self.start / rate)


# -------------------------------------------------------------------------------------- the preview


# Seconds of sound that can be listened to, and channels.
EXCERPT, HEARD = 5.0, 2


class SoundPreview(PreviewOfSums["_SoundSums"]):
    """What is drawn of a sound before and after."""

    def __init__(self, signal: Signal, result: Signal, size: PreviewSize) -> None:
        self._signals = (signal, result)
        self._size = size
        self._seconds = min(_seconds_heard(each, size) for each in self._signals)
        self.restart()
        self.after = _SoundSums(result, size, self._seconds, signal.rate)

    def restart(self) -> None:
        """Forget the input, which is read once more from its start."""
        self.before = _SoundSums(self._signals[0], self._size, self._seconds)

    def facts(self) -> PreviewFacts:
        """What is drawn of the input and of the output so far."""
        signal, result = self._signals
        spacing = 1.0
        if signal.rate and result.rate:
            spacing = signal.rate / result.rate
        before = self.before.facts()
        after = self.after.facts(spacing=spacing, start=float(result.skipped))
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
        # A thumbnail shows the first channel alone.
        self._first_channel = size.first_channel
        channels = signal.channels[:1] if size.first_channel else signal.channels
        self.outline = OutlineCollector(channels, size.bins, length, level=size.sounds)
        # In a sound of unknown length, bins become long only in time.
        self.grain = 0 if length is None else self.outline.grain
        self.collectors: list[Any] = []
        self.spectrogram: SpectrogramSums | None = None
        if not size.sounds:
            return
        frame = frame_length(self.rate, reference or self.rate)
        self.spectrogram = SpectrogramSums(size.columns, length, frame)
        speakers = signal.speakers
        self.loudness = LoudnessSums(self.rate, len(signal.channels), length, speakers=speakers)
        # The excerpt is in the middle of the sound, where it is likely to be under way.
        start = 0.0
        if length is not None:
            seconds = length / self.rate
            start = max(0.0, (seconds - heard) / 2)
        first = round(start * self.rate)
        last = first + round(heard * self.rate)
        self.excerpt = ExcerptSamples(first, last)
        self.collectors += [self.spectrogram, self.loudness, self.excerpt]

    def prepared(self, x: Array, position: int) -> FoldedBlock:
        """Samples from a position on, folded if that is of use. Any thread may call this."""
        if self._first_channel and x.shape[1] > 1:
            x = np.ascontiguousarray(x[:, :1])
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
        if self._first_channel and not self.outline.count:
            return SignalPreview(rate=self.rate)
        outline = self.outline.facts(spacing=spacing, start=start)
        if self.spectrogram is None:
            return SignalPreview(rate=self.rate, outlines=(outline,))
        return SignalPreview(
            rate=self.rate,
            outlines=(outline,),
            spectrogram=self.spectrogram.facts(self.rate),
            loudness=self.loudness.loudness(outline.rms),
            loudness_seconds=self.loudness.seconds,
            excerpt=self.excerpt.facts(self.rate),
        )
