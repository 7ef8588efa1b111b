"""How much later a target is than its input: the lag of the largest correlation, and whether it can be believed."""

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.core.correlate_lags import Numbers
    from convcli.core.fft import Sizes
    from convcli.running.workers import Workers
    from convcli.signals import Array, Signal

    Arrivals = Iterator[tuple[bytes, Array, Array]]

# How far apart input and target may lie: a second of sound, but not more than so many samples; rows; pixels.
MOST_SAMPLES, MOST_ROWS, MOST_PIXELS = 1 << 16, 256, 64
# The transform of what meets at a time has at least so many samples (rows of a picture), and three times the lags.
LEAST = {1: 1 << 16, 2: 512}
# A summit counts if it is so many standard deviations of chance high, or as high as that.
CERTAIN, HIGH = 5.0, 0.5
# What varies by less than this part of its power is constant but for the rounding of its level.
ROUNDING = 1e-24
# Spectra of signals with a larger sum of squares could overflow, in the numbers that they are computed in.
LARGEST = {np.float32: 1e30, np.float64: 1e290}
# Another summit of this part of the highest makes it ambiguous.
RIVAL = 0.9


@dataclass(frozen=True, kw_only=True)
class Delay:
    """How much later the target is than the input.

    lag : samples along each sample axis, negative where the target is earlier
    correlation : -1 ... 1 at that lag, None where the delay was given and not looked for; limit : how far was looked
    rival, rival_correlation : another lag that is all but as good, if there is one
    """

    lag: tuple[int, ...]
    correlation: float | None = None
    limit: tuple[int, ...] = ()
    rival: tuple[int, ...] | None = None
    rival_correlation: float | None = None

    @property
    def at_limit(self) -> bool:
        """Whether a larger one may lie beyond what was searched."""
        return any(abs(lag) == limit for lag, limit in zip(self.lag, self.limit, strict=False))


def limit_of(signal: Signal) -> Sizes:
    """The largest lag that is looked at, along each sample axis."""
    if signal.axes == 2:
        return (MOST_PIXELS,) * 2
    most = (
        MOST_ROWS
        if not signal.medium.in_seconds
        else min(MOST_SAMPLES, math.ceil(signal.rate or MOST_SAMPLES))
    )
    n = signal.shape[0]
    return (most if n is None else max(0, min(most, n - 1)),)


def find_delay(
    arrivals: Arrivals, signal: Signal, *, shared: bool, differences: bool, workers: Workers
) -> Delay:
    """The delay between inputs and targets that arrive side by side.

    shared : channel by channel; else the best of every input with every target
    differences : of the changes from sample to sample, as levels that drift go together at every lag
    Raises InputError where no lag stands out.
    """
    limit = limit_of(signal)
    # Sound and pictures are no larger than 1, and half the bytes are enough.
    kind = np.float64 if signal.medium.separate_channels else np.float32
    meetings = _Meetings(limit, shared=shared, differences=differences, kind=kind)
    sums: dict[tuple[int, int], LagSums] = {}
    jobs = meetings.jobs(arrivals)
    for pair, (size, spectra) in workers.map(lambda job: (job[0], job[1].spectra(limit)), jobs):
        sums.setdefault(pair, LagSums(limit)).add(size, spectra)
    found = [
        _judged(meetings.about_means(pair, each.totals()), meetings, pair)
        for pair, each in sums.items()
    ]
    known = [each for each in found if each is not None]
    if not known:
        raise InputError(
            "input or target is constant: no delay can be found",
            hint="--delay N, where it is known",
        )
    delay, doubt = max(known, key=lambda each: abs(each[0].correlation or 0.0))
    if abs(delay.correlation or 0.0) < min(HIGH, CERTAIN * doubt):
        lag = "x".join(map(str, delay.lag))
        best = f"the best correlation is {delay.correlation:.2g}, at {lag}"
        raise InputError(
            f"input and target have no delay that stands out: {best}, and chance alone gives {doubt:.2g}",
            hint="are these a pair? --delay N, where the delay is known",
        )
    return delay


def _judged(
    totals: Numbers, meetings: _Meetings, pair: tuple[int, int]
) -> tuple[Delay, float] | None:
    """The best lag of one pair of channels, and the correlation of chance; None where one of the two is constant."""
    (c, a, b), limit = totals, meetings.limit
    varies = [
        each[limit] > ROUNDING * meetings.power[side][pair[side]]
        for side, each in enumerate((a, b))
    ]
    if not all(varies):
        return None
    power = float(a[limit]) * float(b[limit])
    r = c / math.sqrt(power)
    at, rival = peak_and_rival(r)
    ambiguous = abs(r[rival]) >= RIVAL * abs(r[at])
    delay = Delay(
        lag=_centred(at, limit),
        correlation=float(np.clip(r[at], -1, 1)),
        limit=limit,
        rival=_centred(rival, limit) if ambiguous else None,
        rival_correlation=float(np.clip(r[rival], -1, 1)) if ambiguous else None,
    )
    return delay, chance_deviation(a / a[limit], b / b[limit], meetings.count)


def _centred(place: Sizes, limit: Sizes) -> tuple[int, ...]:
    return tuple(p - k for p, k in zip(place, limit, strict=True))


@dataclass
class _Kept:
    """The last samples of one signal, the level that is taken off, and the sums of what is left."""

    x: Array
    y: Array
    level: tuple[Any, Any]
    last: tuple[Array, Array]
    sums: tuple[Any, Any] = (0.0, 0.0)
    n: int = 0
    sides: tuple[int, ...] = ()


@dataclass
class _Meetings:
    """Blocks of both signals, channel by channel, each with the samples before it that it still meets."""

    limit: Sizes
    shared: bool
    differences: bool
    kind: type[np.floating[Any]]
    kept: dict[bytes, _Kept] = field(default_factory=dict)
    power: tuple[Any, Any] = (0.0, 0.0)
    count: int = 0

    def jobs(self, arrivals: Arrivals) -> Iterator[tuple[tuple[int, int], BlockPair]]:
        """A meeting for each pair of channels and each piece."""
        size = max(LEAST[len(self.limit)], 1 << (3 * self.limit[0]).bit_length())
        piece = size - 2 * self.limit[0]
        for group, x, y in arrivals:
            for first in range(0, len(x), piece):
                yield from self._meet(group, x[first : first + piece], y[first : first + piece])

    def _meet(
        self, group: bytes, x: Array, y: Array
    ) -> Iterator[tuple[tuple[int, int], BlockPair]]:
        now = self.kept.get(group)
        if now is None:
            level = (0.0, 0.0) if self.differences else (_level(x), _level(y))
            now = self.kept[group] = _Kept(x[:0], y[:0], level, (x[:0], y[:0]))
        self.power = self.power[0] + _energy(x), self.power[1] + _energy(y)
        if max(float(power.max(initial=0.0)) for power in self.power) > LARGEST[self.kind]:
            raise InputError(
                "the samples are so large that their squares overflow",
                hint="scale them first: gain:0.001",
            )
        x, y = self._settled(now, x, y)
        old = len(now.x)
        now.sums = now.sums[0] + x.sum(axis=0), now.sums[1] + y.sum(axis=0)
        now.n, now.sides = now.n + len(x), x.shape[1:-1]
        self.count += math.prod(x.shape[:-1])
        x, y = np.concatenate([now.x, x]), np.concatenate([now.y, y])
        lanes = (
            [(c, c) for c in range(x.shape[-1])]
            if self.shared
            else product(*map(range, (x.shape[-1], y.shape[-1])))
        )
        for i, o in lanes:
            yield (i, o), BlockPair(x[..., i].astype(self.kind), y[..., o].astype(self.kind), old)
        keep = max(0, len(x) - self.limit[0])
        now.x, now.y = x[keep:], y[keep:]

    def _settled(self, now: _Kept, x: Array, y: Array) -> tuple[Array, Array]:
        """Both about their levels, or their changes, with nothing where a sample is missing."""
        if self.differences:
            last, now.last = now.last, (x[-1:], y[-1:])
            with np.errstate(
                invalid="ignore"
            ):  # from one infinite number to the next nothing is known
                x, y = (
                    np.diff(np.concatenate([last[0], x]), axis=0),
                    np.diff(np.concatenate([last[1], y]), axis=0),
                )
        x, y = x - now.level[0], y - now.level[1]
        return np.nan_to_num(x, posinf=0.0, neginf=0.0), np.nan_to_num(y, posinf=0.0, neginf=0.0)

    def about_means(self, pair: tuple[int, int], totals: Numbers) -> Numbers:
        """The sums of what deviates from the means, given those of what deviates from the levels near them."""
        i, o = pair
        totals = totals.copy()
        for now in self.kept.values():
            shape = (now.n, *now.sides)
            part = overlap_share(self.limit, shape) / max(1, math.prod(shape))
            sums = float(np.sum(now.sums[0][..., i])), float(np.sum(now.sums[1][..., o]))
            products = np.array([sums[0] * sums[1], sums[0] ** 2, sums[1] ** 2])
            totals -= products.reshape(-1, *(1,) * part.ndim) * part
        return totals


def _level(x: Array) -> Array:
    """The mean of each channel, of what is there."""
    flat = x.reshape(-1, x.shape[-1])
    known = np.isfinite(flat)
    level: Array = np.where(known, flat, 0.0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    return level


def _energy(x: Array) -> Array:
    """The sum of squares of each channel, of what is there."""
    with np.errstate(over="ignore"):  # what overflows is seen in the sum
        squares = np.square(np.nan_to_num(x, posinf=0.0, neginf=0.0), dtype=np.float64)
        energy: Array = squares.reshape(-1, x.shape[-1]).sum(axis=0)
    return energy
