"""The delay between an input and its target: the lag of the largest correlation.

A lag counts only if its correlation is far above that of unrelated signals, or high in itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.correlate_lags import (
    BlockPair,
    LagSums,
    chance_deviation,
    overlap_share,
    peak_and_rival,
)
from convcli.errors import InputError
from convcli.facts.learning import DelayFacts
from convcli.learning.windows import known_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.correlate_lags import Numbers
    from convcli.core.fft import Sizes
    from convcli.learning.pairs import AlignedBlock, Channels, PairReader
    from convcli.running.workers import Workers
    from convcli.signals import Array, Signal

    # Indices of an input channel and of a target channel.
    ChannelPair = tuple[int, int]

# Largest lags: one second of sound, but not more than so many samples; rows; pixels.
MOST_SAMPLES, MOST_ROWS, MOST_PIXELS = 1 << 16, 256, 64
# Smallest length of a transform (sound, tables; each side of a picture). It is at least three
# times the largest lag.
SHORTEST_TRANSFORM = {1: 1 << 16, 2: 512}
# A correlation is believed if it is so many standard deviations above that of unrelated signals,
# or if it is as high as this.
SIGNIFICANT, HIGH = 5.0, 0.5
# A signal whose variance is less than this part of its power is constant but for rounding.
ROUNDING = 1e-24
# Spectra of signals with a larger sum of squares could overflow.
LARGEST_POWER = {np.float32: 1e30, np.float64: 1e290}
# A second lag with this part of the best correlation makes the delay ambiguous.
AMBIGUOUS = 0.9


def measure_delay(reader: PairReader, channels: Channels, workers: Workers) -> DelayFacts:
    """Measure by how much the target of a pair is later than its input.

    Each channel is correlated with its own target if the channels share a filter, otherwise every
    input with every target. Levels that drift correlate at every lag, so `differences` correlates
    the changes. Raises InputError if no lag stands out.
    """
    signal = reader.pair.source.signal
    limit = largest_lag(signal)
    # Samples of sound and pictures are at most 1, so single precision is enough for them.
    dtype = np.float64 if signal.medium.separate_channels else np.float32
    correlation = _BlockCorrelation(
        limit, shared=channels.shared > 0, differences=reader.task.differences, dtype=dtype
    )
    blocks = correlation.overlapping_blocks(reader.blocks(workers))
    sums: dict[ChannelPair, LagSums] = {}
    for pair, (size, spectra) in workers.map(lambda job: (job[0], job[1].spectra(limit)), blocks):
        sums.setdefault(pair, LagSums(limit)).add(size, spectra)
    candidates = []
    for pair, each in sums.items():
        candidate = correlation.best_lag(pair, each.totals())
        if candidate is not None:
            candidates.append(candidate)
    best = _most_certain(candidates)
    return delay_facts(
        signal, best.lag, correlation=best.correlation, limit=limit, rival=best.rival
    )


def largest_lag(signal: Signal) -> Sizes:
    """The largest lag that is examined, along each sample axis."""
    if signal.axes == 2:
        return (MOST_PIXELS, MOST_PIXELS)
    if signal.medium.separate_channels:
        most = MOST_ROWS
    else:
        most = min(MOST_SAMPLES, math.ceil(signal.rate or MOST_SAMPLES))
    length = signal.shape[0]
    if length is None:
        return (most,)
    return (max(0, min(most, length - 1)),)


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """The best lag between one input channel and one target channel.

    by_chance : standard deviation of the correlation between unrelated signals of this kind
    rival : another lag that is about as good
    """

    lag: Sizes
    correlation: float
    by_chance: float
    rival: Sizes | None


def _most_certain(candidates: list[_Candidate]) -> _Candidate:
    if not candidates:
        raise InputError(
            "input or target is constant: no delay can be found",
            hint="--delay N, where it is known",
        )
    best = max(candidates, key=lambda each: abs(each.correlation))
    if abs(best.correlation) < min(HIGH, SIGNIFICANT * best.by_chance):
        lag = "x".join(map(str, best.lag))
        found = f"the best correlation is {best.correlation:.2g}, at {lag}"
        raise InputError(
            f"input and target have no delay that stands out: {found}, "
            f"and chance alone gives {best.by_chance:.2g}",
            hint="are these a pair? --delay N, where the delay is known",
        )
    return best


def delay_facts(signal: Signal, lag: tuple[int, ...], **measured: Any) -> DelayFacts:
    """Facts of a delay of `lag` samples; `measured` are the fields that only a search knows."""
    seconds = None
    if signal.medium.in_seconds and signal.rate is not None:
        seconds = lag[0] / signal.rate
    return DelayFacts(input="", samples=lag, noun=signal.medium.sample, seconds=seconds, **measured)


@dataclass
class _History:
    """State of one group between blocks.

    x, y : the last samples, which the next block still overlaps with
    levels : provisional means of input and target, subtracted from all samples
    last : the last samples as they came, for the change to the next block
    sums : sums of the samples without their levels
    n : samples so far; sides : lengths of the other sample axes
    """

    x: Array
    y: Array
    levels: tuple[Any, Any]
    last: tuple[Array, Array]
    sums: tuple[Any, Any] = (0.0, 0.0)
    n: int = 0
    sides: tuple[int, ...] = ()


@dataclass
class _BlockCorrelation:
    """Correlates two signals block by block, each with the samples before it that lags reach.

    power : sums of squares of each input channel and of each target channel
    count : samples of all groups
    """

    limit: Sizes
    shared: bool
    differences: bool
    dtype: type[np.floating[Any]]
    groups: dict[bytes, _History] = field(default_factory=dict)
    power: tuple[Any, Any] = (0.0, 0.0)
    count: int = 0

    def overlapping_blocks(
        self, blocks: Iterator[AlignedBlock]
    ) -> Iterator[tuple[ChannelPair, BlockPair]]:
        """One block of one input channel and one target channel at a time."""
        rows = self.limit[0]
        transform = max(SHORTEST_TRANSFORM[len(self.limit)], 1 << (3 * rows).bit_length())
        size = transform - 2 * rows
        for group, x, y in blocks:
            for first in range(0, len(x), size):
                last = first + size
                yield from self._with_history(group, x[first:last], y[first:last])

    def _with_history(
        self, group: bytes, x: Array, y: Array
    ) -> Iterator[tuple[ChannelPair, BlockPair]]:
        history = self.groups.get(group)
        if history is None:
            history = self._begin(x, y)
            self.groups[group] = history
        self._add_power(x, y)
        x, y = self._centred(history, x, y)
        overlap = len(history.x)
        self._count(history, x, y)
        x = np.concatenate([history.x, x])
        y = np.concatenate([history.y, y])
        for i, o in self._channel_pairs(x, y):
            samples = x[..., i].astype(self.dtype)
            targets = y[..., o].astype(self.dtype)
            yield (i, o), BlockPair(samples, targets, overlap)
        keep = max(0, len(x) - self.limit[0])
        history.x = x[keep:]
        history.y = y[keep:]

    def _begin(self, x: Array, y: Array) -> _History:
        levels: tuple[Any, Any] = (0.0, 0.0)
        if not self.differences:
            levels = (_level(x), _level(y))
        return _History(x[:0], y[:0], levels, (x[:0], y[:0]))

    def _add_power(self, x: Array, y: Array) -> None:
        self.power = (self.power[0] + _power(x), self.power[1] + _power(y))
        largest = max(float(each.max(initial=0.0)) for each in self.power)
        if largest > LARGEST_POWER[self.dtype]:
            raise InputError(
                "the samples are so large that their squares overflow",
                hint="scale them first: gain:0.001",
            )

    def _count(self, history: _History, x: Array, y: Array) -> None:
        history.sums = (history.sums[0] + x.sum(axis=0), history.sums[1] + y.sum(axis=0))
        history.n += len(x)
        history.sides = x.shape[1:-1]
        self.count += math.prod(x.shape[:-1])

    def _channel_pairs(self, x: Array, y: Array) -> Iterator[ChannelPair]:
        if self.shared:
            return ((c, c) for c in range(x.shape[-1]))
        return product(range(x.shape[-1]), range(y.shape[-1]))

    def _centred(self, history: _History, x: Array, y: Array) -> tuple[Array, Array]:
        """Samples without their levels, or changes from sample to sample; 0 where one is missing."""
        if self.differences:
            last_x, last_y = history.last
            history.last = (x[-1:], y[-1:])
            with np.errstate(invalid="ignore"):  # the change between two infinities is unknown
                x = np.diff(np.concatenate([last_x, x]), axis=0)
                y = np.diff(np.concatenate([last_y, y]), axis=0)
        x = x - history.levels[0]
        y = y - history.levels[1]
        return _zero_for_missing(x), _zero_for_missing(y)

    def best_lag(self, pair: ChannelPair, totals: Numbers) -> _Candidate | None:
        """The best lag of one pair of channels; None if one of the two is constant."""
        products, squares_x, squares_y = self._about_means(pair, totals)
        power_x = float(squares_x[self.limit])
        power_y = float(squares_y[self.limit])
        i, o = pair
        constant_x = not power_x > ROUNDING * self.power[0][i]
        constant_y = not power_y > ROUNDING * self.power[1][o]
        if constant_x or constant_y:
            return None
        correlation = products / math.sqrt(power_x * power_y)
        best, rival = peak_and_rival(correlation)
        ambiguous = abs(correlation[rival]) >= AMBIGUOUS * abs(correlation[best])
        return _Candidate(
            lag=self._lag(best),
            correlation=float(np.clip(correlation[best], -1, 1)),
            by_chance=chance_deviation(squares_x / power_x, squares_y / power_y, self.count),
            rival=self._lag(rival) if ambiguous else None,
        )

    def _lag(self, index: Sizes) -> Sizes:
        return tuple(i - limit for i, limit in zip(index, self.limit, strict=True))

    def _about_means(self, pair: ChannelPair, totals: Numbers) -> Numbers:
        """Sums of products of deviations from the means, from those of deviations from the levels."""
        i, o = pair
        totals = totals.copy()
        for history in self.groups.values():
            shape = (history.n, *history.sides)
            part = overlap_share(self.limit, shape) / max(1, math.prod(shape))
            sum_x = float(np.sum(history.sums[0][..., i]))
            sum_y = float(np.sum(history.sums[1][..., o]))
            products = np.array([sum_x * sum_y, sum_x**2, sum_y**2])
            totals -= products.reshape(-1, *(1,) * part.ndim) * part
        return totals


def _level(x: Array) -> Array:
    return known_mean(x.reshape(-1, x.shape[-1]))


def _zero_for_missing(x: Array) -> Array:
    return np.nan_to_num(x, posinf=0.0, neginf=0.0)


def _power(x: Array) -> Array:
    """Sum of squares of each channel, without the missing values."""
    with np.errstate(over="ignore"):  # an overflow is noticed in the sum
        squares = np.square(_zero_for_missing(x), dtype=np.float64)
        power: Array = squares.reshape(-1, x.shape[-1]).sum(axis=0)
    return power
