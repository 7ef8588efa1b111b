"""The lag of the largest correlation of two signals, found block by block in constant memory.

c[l] = sum over t of x[t] y[t + l], for |l| <= limit along each sample axis, by FFT. The signals
arrive in blocks along axis 0; a block needs only the last `limit` samples of those before it.

`learning/dataset.py` measures the delay of a target with it, `checking/compare.py` that between two
signals.
"""

from __future__ import annotations

import math
from dataclasses import field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolution.fft import at_lags, cross_spectrum, spectrum, transform_size
from convcli.core.missing import known_mean
from convcli.dataclass import dataclass
from convcli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from convcli.array_types import FloatArray, Sizes
    from convcli.core.convolution.fft import Complexes
    from convcli.signals import Array, Signal

    # Indices of an input channel and of a target channel, and a block of both.
    ChannelPair = tuple[int, int]

    ChannelBlock = tuple[ChannelPair, "BlockPair"]

    # The name of a group, and samples of both signals at the same places.
    GroupBlock = tuple[bytes, Array, Array]

    OrderedMap = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


# Largest lags: one second of sound, but not more than this many samples; rows; pixels.
MOST_SAMPLES, MOST_ROWS, MOST_PIXELS = 1 << 16, 256, 64
# Smallest length of a transform (sound, tables; each side of a picture). It is at least three
# times the largest lag.
SHORTEST_TRANSFORM = {1: 1 << 16, 2: 512}
# A correlation is believed if it is this many standard deviations above that of unrelated signals,
# or if it is as high as this.
SIGNIFICANT, HIGH = 5.0, 0.5
# A signal whose variance is less than this part of its power is constant but for rounding.
LEAST_VARIANCE = 1e-24
# Spectra of signals with a larger sum of squares could overflow. Below the least one, squares are
# rounded to 0.
LARGEST_POWER = {np.float32: 1e30, np.float64: 1e290}
LEAST_POWER = 1e-290
# A second lag with this part of the best correlation makes the delay ambiguous.
AMBIGUOUS = 0.9


def precision_for(signal: Signal) -> type[np.float32 | np.float64]:
    """The type in which the samples of a signal are correlated.

    Single precision is enough for sound and pictures that store samples of up to 24 bits.
    """
    return np.float32 if signal.bits <= 32 else np.float64


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
class LagCandidate:
    """The best lag between a channel of one signal and a channel of the other.

    pair : the indices of the two channels
    by_chance : standard deviation of the correlation between unrelated signals of this kind
    rival : another lag that is about as good
    fractional : the lag between samples at which the interpolated correlation is largest
    """

    pair: ChannelPair
    lag: Sizes
    correlation: float
    by_chance: float
    rival: Sizes | None
    fractional: tuple[float, ...]

    @property
    def stands_out(self) -> bool:
        """Whether the correlation is far above chance, or high in itself."""
        return abs(self.correlation) >= min(HIGH, SIGNIFICANT * self.by_chance)


class _SignalState:
    """What block-wise correlation remembers of one signal of one group.

    level : provisional mean that is subtracted from all samples
    tail : the last samples without the level, which later blocks still overlap with
    sum : sum of all samples without the level
    """

    def __init__(self, first: Array, *, differences: bool) -> None:
        self.differences = differences
        self.level: Any = 0.0
        if not differences:
            self.level = known_mean(first.reshape(-1, first.shape[-1]))
        self.tail = first[:0]
        self.sum: Any = 0.0
        self._last = first[:0]

    def extended(self, x: Array, limit: int) -> Array:
        """A block without its level (or its changes), behind at most `limit` samples before it."""
        if self.differences:
            with np.errstate(invalid="ignore"):  # the change between two infinities is unknown
                changes = np.diff(np.concatenate([self._last, x]), axis=0)
            self._last = x[-1:]
            x = changes
        x = _zero_for_missing(x - self.level)
        self.sum = self.sum + x.sum(axis=0)
        x = np.concatenate([self.tail, x])
        first_kept = max(0, len(x) - limit)
        self.tail = x[first_kept:]
        return x


@dataclass
class _GroupState:
    """State of input and target of one group; shape : (samples so far, other sides...)."""

    x: _SignalState
    y: _SignalState
    shape: Sizes = (0,)


@dataclass
class BlockCorrelation:
    """Correlates two signals block by block, each with the samples before it that lags reach.

    limit : the largest lag along each sample axis
    shared : channels are compared one to one, not each input with each target
    differences : changes from sample to sample are correlated, not the samples
    dtype : of the samples that are transformed, float32 or float64
    power : sums of squares of each input channel and of each target channel
    """

    limit: Sizes
    shared: bool
    differences: bool
    dtype: type[np.floating[Any]]
    groups: dict[bytes, _GroupState] = field(default_factory=dict)
    power: tuple[Any, Any] = (0.0, 0.0)

    @property
    def count(self) -> int:
        """Number of samples of all groups."""
        return sum(math.prod(group.shape) for group in self.groups.values())

    def candidates(
        self, blocks: Iterable[GroupBlock], ordered_map: OrderedMap
    ) -> list[LagCandidate]:
        """The best lag of each pair of channels of which neither is constant.

        ordered_map : `map`, or one over threads that keeps the order
        """
        sums: dict[ChannelPair, LagSums] = {}
        overlapping = self._overlapping_blocks(blocks)
        for pair, size, spectra in ordered_map(self._transformed, overlapping):
            sums.setdefault(pair, LagSums(self.limit)).add(size, spectra)
        found = [self._best_lag(pair, each.totals()) for pair, each in sums.items()]
        return [candidate for candidate in found if candidate is not None]

    def _transformed(self, block: ChannelBlock) -> tuple[ChannelPair, Sizes, Complexes]:
        pair, samples = block
        return pair, *samples.spectra(self.limit)

    def _overlapping_blocks(self, blocks: Iterable[GroupBlock]) -> Iterator[ChannelBlock]:
        """One block of one input channel and one target channel at a time."""
        rows = self.limit[0]
        power_of_two = 1 << (3 * rows).bit_length()
        transform = max(SHORTEST_TRANSFORM[len(self.limit)], power_of_two)
        size = transform - 2 * rows
        for group, x, y in blocks:
            for first in range(0, len(x), size):
                last = first + size
                yield from self._channel_blocks(group, x[first:last], y[first:last])

    def _channel_blocks(self, name: bytes, x: Array, y: Array) -> Iterator[ChannelBlock]:
        group = self.groups.get(name)
        if group is None:
            state_x = _SignalState(x, differences=self.differences)
            state_y = _SignalState(y, differences=self.differences)
            group = _GroupState(state_x, state_y)
            self.groups[name] = group
        self._add_power(x, y)
        overlap = len(group.x.tail)
        x = group.x.extended(x, self.limit[0])
        y = group.y.extended(y, self.limit[0])
        group.shape = (group.shape[0] + len(x) - overlap, *x.shape[1:-1])
        for i, o in self._channel_pairs(x.shape[-1], y.shape[-1]):
            samples = x[..., i].astype(self.dtype)
            targets = y[..., o].astype(self.dtype)
            yield (i, o), BlockPair(samples, targets, overlap)

    def _channel_pairs(self, inputs: int, targets: int) -> list[ChannelPair]:
        if self.shared:
            return [(c, c) for c in range(inputs)]
        return list(product(range(inputs), range(targets)))

    def _add_power(self, x: Array, y: Array) -> None:
        with np.errstate(over="ignore"):
            power_x = self.power[0] + _channel_power(x)
            power_y = self.power[1] + _channel_power(y)
        self.power = (power_x, power_y)
        largest = max(power_x.max(initial=0.0), power_y.max(initial=0.0))
        if largest > LARGEST_POWER[self.dtype]:
            peak = max(_largest(x), _largest(y))
            power_of_ten = math.ceil(math.log10(peak))
            raise InputError(
                "the samples are so large that their squares overflow",
                hint=f"scale both first: gain:1e-{power_of_ten}",
            )

    def _best_lag(self, pair: ChannelPair, totals: FloatArray) -> LagCandidate | None:
        """The best lag of one pair of channels; None if one of the two is constant or nearly 0."""
        products, squares_x, squares_y = self._about_means(pair, totals)
        power_x = float(squares_x[self.limit])
        power_y = float(squares_y[self.limit])
        i, o = pair
        least_x = LEAST_VARIANCE * self.power[0][i]
        least_y = LEAST_VARIANCE * self.power[1][o]
        both_vary = power_x > least_x and power_y > least_y
        # Squares of tiny samples are rounded to 0.
        both_known = power_x > LEAST_POWER and power_y > LEAST_POWER
        if not (both_vary and both_known):
            return None
        correlation = products / (math.sqrt(power_x) * math.sqrt(power_y))
        best, rival = peak_and_rival(correlation)
        height = abs(correlation[best])
        is_ambiguous = abs(correlation[rival]) >= AMBIGUOUS * height
        autocorrelation_x = squares_x / power_x
        autocorrelation_y = squares_y / power_y
        return LagCandidate(
            pair=pair,
            lag=self._lag(best),
            correlation=float(np.clip(correlation[best], -1, 1)),
            by_chance=chance_deviation(autocorrelation_x, autocorrelation_y, self.count),
            rival=self._lag(rival) if is_ambiguous else None,
            fractional=self._fractional_lag(correlation, best),
        )

    def _fractional_lag(self, correlation: FloatArray, index: Sizes) -> tuple[float, ...]:
        found = []
        for axis, (place, lag) in enumerate(zip(index, self._lag(index), strict=True)):
            through_peak: Any = (*index[:axis], slice(None), *index[axis + 1 :])
            offset = peak_offset(correlation[through_peak], place)
            found.append(lag + offset)
        return tuple(found)

    def _lag(self, index: Sizes) -> Sizes:
        return tuple(i - limit for i, limit in zip(index, self.limit, strict=True))

    def _about_means(self, pair: ChannelPair, totals: FloatArray) -> FloatArray:
        """Sums of products about the means, from `totals` about the provisional levels."""
        i, o = pair
        totals = totals.copy()
        for group in self.groups.values():
            part = overlap_share(self.limit, group.shape) / max(1, math.prod(group.shape))
            sum_x = float(np.sum(group.x.sum[..., i]))
            sum_y = float(np.sum(group.y.sum[..., o]))
            products = np.array([sum_x * sum_y, sum_x**2, sum_y**2])
            totals -= products.reshape(-1, *(1,) * part.ndim) * part
        return totals


def _zero_for_missing(x: Array) -> Array:
    return np.nan_to_num(x, posinf=0.0, neginf=0.0)


def _largest(x: Array) -> float:
    """The largest magnitude of a block, without the missing values."""
    return float(np.abs(_zero_for_missing(x)).max())


def _channel_power(x: Array) -> Array:
    """Sum of squares of each channel, without the missing values."""
    with np.errstate(over="ignore"):  # an overflow is noticed in the sum
        squares = np.square(_zero_for_missing(x), dtype=np.float64)
        power: Array = squares.reshape(-1, x.shape[-1]).sum(axis=0)
    return power


# ------------------------------------------------------------------------- correlation at some lags


# A peak extends as far as |r| stays above this part of its height.
PEAK_EDGE = 0.9
# The correlation between two lags is interpolated from this many lags on each side.
SIDE = 256
# It is computed at this many places between two lags, before a parabola finds the largest.
PLACES = 64


@dataclass(frozen=True, eq=False)
class BlockPair:
    """One block of one channel of each signal, (n, ...).

    old : how many of the first samples are repeated from the block before; their products are
        counted there
    """

    x: Array
    y: Array
    old: int

    def spectra(self, limit: Sizes) -> tuple[Sizes, Complexes]:
        """The size of the transform, and the spectra of x with y, x with x and y with y.

        The products of old samples with each other are taken off.
        """
        size = transform_size(self.x.shape, limit)
        spectra = _all_spectra(self.x, self.y, size)
        if self.old:
            spectra -= _all_spectra(self.x[: self.old], self.y[: self.old], size)
        return size, spectra


def _all_spectra(x: Array, y: Array, size: Sizes) -> Complexes:
    """The spectra of x with y, of x with itself and of y with itself, (3, ...)."""
    of_x = spectrum(x, size)
    of_y = spectrum(y, size)
    products = (cross_spectrum(of_x, of_y), cross_spectrum(of_x, of_x), cross_spectrum(of_y, of_y))
    return np.stack(products)


@dataclass(eq=False)
class LagSums:
    """Spectra of cross-correlations, summed over blocks, by the size of their transform."""

    limit: Sizes
    spectra: dict[Sizes, Complexes] = field(default_factory=dict)

    def add(self, size: Sizes, spectra: Complexes) -> None:
        """Add the spectra of another block."""
        known = self.spectra.get(size)
        if known is None:
            self.spectra[size] = spectra.astype(np.complex128)
        else:
            self.spectra[size] = known + spectra

    def totals(self) -> FloatArray:
        """The correlations of x with y, x with x and y with y: (3, 2 limit + 1, ...)."""
        lags = [np.arange(-k, k + 1) for k in self.limit]
        total = np.zeros((3, *(lag.size for lag in lags)))
        for size, spectra in self.spectra.items():
            total += at_lags(spectra, size, lags)
        return total


def overlap_share(limit: Sizes, shape: Sizes) -> FloatArray:
    """The share of all samples that have a partner at each lag: (2 limit + 1, ...)."""
    share = np.ones(())
    for k, n in zip(limit, shape, strict=True):
        distance = np.abs(np.arange(-k, k + 1))
        along = np.maximum(0.0, 1 - distance / max(1, n))
        share = np.multiply.outer(share, along)
    return share


def chance_deviation(a: FloatArray, b: FloatArray, count: int) -> float:
    """The standard deviation of the correlation of `count` samples of two unrelated signals.

    a, b : their autocorrelations, 1 at lag 0. The variance is the sum of a b over all lags, over
        count (Bartlett, 1946).
    """
    samples_as_one = float((a * b).sum())
    variance = max(samples_as_one, 1.0) / max(1, count)
    return math.sqrt(variance)


def peak_and_rival(r: FloatArray) -> tuple[Sizes, Sizes]:
    """The index of the largest |r|, and of the largest |r| outside that peak.

    The peak extends along each axis as far as |r| stays above PEAK_EDGE of the largest.
    """
    height = np.abs(r)
    peak = np.unravel_index(int(np.argmax(height)), r.shape)
    box = []
    for axis, place in enumerate(peak):
        through_peak: Any = (*peak[:axis], slice(None), *peak[axis + 1 :])
        line = height[through_peak]
        is_low = line < PEAK_EDGE * height[peak]
        low = np.flatnonzero(is_low)
        last_before = low[low < place].max(initial=-1)
        first_after = low[low > place].min(initial=len(line))
        box.append(slice(last_before + 1, first_after))
    elsewhere = height.copy()
    elsewhere[tuple(box)] = 0
    rival = np.unravel_index(int(np.argmax(elsewhere)), r.shape)
    return tuple(map(int, peak)), tuple(map(int, rival))


def peak_offset(r: FloatArray, peak: int) -> float:
    """How far from the index `peak` the interpolated |r| is largest, -1 to 1.

    r : (n,), band-limited as the correlation of sampled signals is; it is interpolated by a sinc
    """
    first = max(0, peak - SIDE)
    stop = min(len(r), peak + SIDE + 1)
    near = np.arange(first, stop)
    places = np.arange(-PLACES, PLACES + 1) / PLACES
    distance = places[:, None] - (near - peak)
    weights = np.sinc(distance)
    height = np.abs(weights @ r[near])
    top = int(np.argmax(height))
    if top in (0, len(places) - 1):  # the largest lag that was examined, where nothing is beyond
        return 0.0
    left, middle, right = height[top - 1 : top + 2]
    curvature = left - 2 * middle + right
    if curvature >= 0:
        return float(places[top])
    # The peak of the parabola through the three values, in steps between places.
    beside = (left - right) / (2 * curvature)
    return float(places[top] + beside / PLACES)
