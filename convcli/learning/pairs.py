"""Pairs of an input and its target: whether they fit each other, and both read side by side."""

from __future__ import annotations

import math
from dataclasses import field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import InputError, RequestError
from convcli.running.side_by_side import SideBySide
from convcli.signals import blocks_of
from convcli.units import describe_rate, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import IntArray
    from convcli.learning.target_rate import TargetRate
    from convcli.learning.task import Task
    from convcli.running.workers import Workers
    from convcli.signals import Array, Signal, Source

    # The group of a table, the input samples, and their targets.
    AlignedBlock = tuple[bytes, Array, Array]

    # An aligned block with the times of its samples, as in `core/in_time/reach.py`; None if they
    # have none.
    TimedBlock = tuple[bytes, Array, Array, IntArray | None]


@dataclass(frozen=True)
class Pair:
    """An input with its target; without a target, some channels of the input are the target.

    lengths : samples of each group, once they have been counted
    pieces : samples of each piece of an input without a target, once they have been counted
    target_rate : of a target that has more or fewer samples than the input; None of others
    """

    source: Source[Any]
    target: Source[Any] | None = None
    name: str = ""
    lengths: dict[bytes, int] = field(default_factory=dict)
    pieces: list[int] = field(default_factory=list)
    target_rate: TargetRate | None = None


@dataclass(frozen=True)
class Channels:
    """Number of channels that one filter reads and makes.

    shared : number of channels that are filtered one by one with the same taps; 0 if none are
    phases : outputs that are samples of one channel, where a target has more samples than the input
    """

    inputs: int
    outputs: int
    shared: int
    phases: int = 1

    @classmethod
    def of(cls, task: Task, pair: Pair) -> Channels:
        """Channels of the filter for `pair`. Raises RequestError if their numbers do not fit."""
        if pair.target is None and not task.blind:
            return cls(len(task.inputs), len(task.targets), 0)
        given = len(color_channels(pair.source.signal))
        wanted = given
        if pair.target is not None:
            wanted = len(color_channels(pair.target.signal))
        phases = 1 if pair.target_rate is None else pair.target_rate.phases
        if task.mix:
            return cls(given, wanted * phases, 0, phases)
        if given != wanted:
            raise RequestError(
                f"the input has {plural(given, 'channel')} and the target {wanted}",
                hint="--mix learns every output from every input channel",
            )
        return cls(1, phases, given, phases)

    def weights(self, taps: tuple[int, ...]) -> int:
        """Number of weights from windows of `taps` samples to one output."""
        return self.inputs * math.prod(taps)


def color_channels(signal: Signal) -> list[int]:
    """Indices of the channels that are learned from and for: all but the opacity."""
    return [c for c in range(len(signal.channels)) if c != signal.alpha]


# ------------------------------------------------------------------------------------------ checks


def check_pairs(pairs: Sequence[Pair], delay: tuple[int, ...] | None = ()) -> None:
    """Raise RequestError if an input does not fit the first input or its own target.

    delay : samples by which targets are later, per sample axis; () if input and target must have
        the same length, None if the delay is to be measured
    """
    first = pairs[0]
    for pair in pairs:
        try:
            _check_kind(pair.source.signal, first.source.signal)
            _check_target_rate(pair, first)
            if pair.target is not None and pair.target_rate is None:
                _check_target(pair.source.signal, pair.target.signal, delay)
        except RequestError as error:
            if len(pairs) == 1:
                raise
            raise RequestError(f"{pair.name}: {error.message}", hint=error.hint) from None


def _check_kind(signal: Signal, first: Signal) -> None:
    if len(signal.channels) != len(first.channels) or signal.rate != first.rate:
        raise RequestError(
            f"it has {_kind_words(signal)}, and the first input {_kind_words(first)}",
            hint="one filter is learned from all of them: bring them to one kind first",
        )


def _check_target_rate(pair: Pair, first: Pair) -> None:
    """Raise RequestError unless the target has as many samples as the layers make."""
    if pair.target_rate != first.target_rate:
        raise RequestError("its target has another size beside its input than the first target")
    if pair.target_rate is None or pair.target is None:
        return
    signal, target = pair.source.signal, pair.target.signal
    if not pair.target_rate.fits(signal.shape, target.shape):
        sizes = f"the input has {_size_words(signal)} and the target {_size_words(target)}"
        made = "x".join(map(str, pair.target_rate.more))
        raise RequestError(
            f"{sizes}, and the layers make {made} samples of each one",
            hint="the target has to have as many samples as the layers make of the input",
        )


def _check_target(signal: Signal, target: Signal, delay: tuple[int, ...] | None) -> None:
    if signal.rate != target.rate:
        rates = [describe_rate(each.rate, each.medium.sample) for each in (signal, target)]
        hint = "convcli audio resample:RATE brings one to the rate of the other"
        if signal.medium.carries_cells:
            hint = "without --time, rows are taken in their order"
        raise RequestError(f"the input has {rates[0]} and the target {rates[1]}", hint=hint)
    known = None not in (*signal.shape, *target.shape)
    if delay == () and known and signal.shape != target.shape:
        raise RequestError(
            f"the input has {_size_words(signal)} and the target {_size_words(target)}",
            hint=_hint_for_sizes(signal, target),
        )
    if not delay:
        return
    for lag, length in zip(delay, signal.shape, strict=True):
        if length is not None and abs(lag) >= length:
            text = "x".join(f"{each:,}" for each in delay)
            raise RequestError(
                f"a delay of {text} leaves nothing of {_size_words(signal)}",
                hint="--delay auto finds it",
            )


def _hint_for_sizes(signal: Signal, target: Signal) -> str:
    """How an input and a target of different sizes are learned from."""
    larger = _whole_factor(signal, target)
    if larger is not None:
        return (
            f"--layers that make {larger} samples of each one (upsample:{larger}, conv_transpose, "
            f"pixel_shuffle) learn from such a target; "
            f"a filter learns from an input of its size (upsample:{larger})"
        )
    smaller = _whole_factor(target, signal)
    if smaller is not None:
        return (
            f"--layers that make one sample of {smaller} (stride={smaller}, avg_pool:{smaller}) "
            f"learn from such a target; "
            f"a filter learns from an input of its size (avg_pool:{smaller})"
        )
    return "cut them to one length; --delay auto takes the part that both have"


def _whole_factor(signal: Signal, target: Signal) -> int | None:
    """How many times as large the target is on each axis, if that is a whole number above 1."""
    factors = set()
    for length, wanted in zip(signal.shape, target.shape, strict=True):
        if not length or not wanted or wanted % length:
            return None
        factors.add(wanted // length)
    if len(factors) > 1 or 1 in factors:
        return None
    return factors.pop()


def _kind_words(signal: Signal) -> str:
    """Channels and rate in words, such as `2 channels at 44100 Hz`."""
    channels = plural(len(signal.channels), "channel")
    if signal.medium.in_seconds:
        return f"{channels} at {signal.rate:g} Hz"
    return channels


def _size_words(signal: Signal) -> str:
    """Size in words, such as `12,000 samples` or, width first, `640 x 480 pixels`."""
    sides = [f"{n:,}" for n in reversed(signal.shape) if n is not None]
    return f"{' x '.join(sides)} {signal.medium.sample}s"


# ----------------------------------------------------------------------------------------- reading


class PairReader:
    """Reads input and target of one pair, sample beside sample.

    length : number of samples along axis 0; None if it is not known before reading
    """

    def __init__(self, task: Task, pair: Pair) -> None:
        self.task = task
        self.pair = pair
        self.length = self._known_length()

    def _known_length(self) -> int | None:
        lengths = [self.pair.source.signal.shape[0]]
        if self.pair.target is not None and self.pair.target_rate is None:
            lengths.append(self.pair.target.signal.shape[0])
        known = [n for n in lengths if n is not None]
        return min(known) if len(known) == len(lengths) else None

    def lengths(self, workers: Workers) -> dict[bytes, int]:
        """Samples of each group; a table or a pipe is read once to count them."""
        if self.length is not None:
            return {b"": self.length}
        counts = self.pair.lengths
        if not counts:
            for group, count in self._counted(workers):
                counts[group] = counts.get(group, 0) + count
        return counts

    def _counted(self, workers: Workers) -> Iterator[tuple[bytes, int]]:
        """Yield groups and how many samples of them come next; note the lengths of pieces."""
        if self.pair.target is not None:
            for group, x, _ in self.blocks(workers):
                yield group, len(x)
            return
        for block in blocks_of(self.pair.source, workers.map):
            self.pair.pieces.append(len(block.stored))
            for group, x, _ in block.by_group():
                yield group, len(x)

    def later(self, first: int) -> tuple[PairReader, int]:
        """A reader that skips pieces which end before a sample, and how many samples it skips.

        Pieces are skipped undecoded where their lengths are known, in a signal of one group.
        """
        ends = np.cumsum(self.pair.pieces, dtype=np.int64)
        skipped = int(np.searchsorted(ends, first, side="right"))
        if not skipped or len(self.pair.lengths) > 1:
            return self, 0
        source = _LaterPieces(self.pair.source, skipped)
        return PairReader(self.task, replace(self.pair, source=source)), int(ends[skipped - 1])

    def blocks(self, workers: Workers) -> Iterator[AlignedBlock]:
        """Blocks of inputs and targets with the same number of samples, each of one group."""
        for group, x, y, _ in self.timed_blocks(workers):
            yield group, x, y

    def timed_blocks(self, workers: Workers) -> Iterator[TimedBlock]:
        """Blocks as `blocks` yields them, each with the times of its samples."""
        if self.pair.target is None:
            yield from self._within_source(workers)
            return
        xs = _scaled_blocks(self.pair.source, workers)
        ys = _scaled_blocks(self.pair.target, workers)
        if self.pair.target_rate is not None:
            ys = self.pair.target_rate.at_inputs(ys)
        both = SideBySide(xs, ys)
        for x, y in both:
            yield b"", x, y, None
        # With a delay, the end of the longer signal is not used.
        if self.task.delay == () and not both.ended_together:
            raise InputError(
                "input and target differ in length",
                hint="--delay auto takes the part that both have",
            )

    def _within_source(self, workers: Workers) -> Iterator[TimedBlock]:
        source = self.pair.source
        inputs, targets = list(self.task.inputs), list(self.task.targets)
        for block in blocks_of(source, workers.map):
            for group, x, places in block.by_group():
                stamps = block.stamps
                if stamps is not None and block.groups is not None:
                    stamps = stamps[places]
                if self.task.blind:
                    scaled = _in_model_units(x, source.signal)
                    yield group, scaled, scaled, stamps
                else:
                    yield group, x[..., inputs], x[..., targets], stamps


class _LaterPieces:
    """A source without its first pieces."""

    def __init__(self, source: Source[Any], skipped: int) -> None:
        self.signal = source.signal
        self.decode = source.decode
        self._source = source
        self._skipped = skipped

    def pieces(self) -> Iterator[Any]:
        """Yield the later pieces, undecoded."""
        return islice(self._source.pieces(), self._skipped, None)


def _scaled_blocks(source: Source[Any], workers: Workers) -> Iterator[Array]:
    for block in blocks_of(source, workers.map):
        yield _in_model_units(block.x, source.signal)


def _in_model_units(x: Array, signal: Signal) -> Array:
    """Samples in the units of models: the colours of a picture from 0 to 1, others unchanged."""
    if signal.alpha is not None:
        x = x[..., color_channels(signal)]
    if signal.medium.unit_scale and signal.full_scale != 1:
        return x / signal.full_scale
    return x
