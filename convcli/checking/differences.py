"""Sums over the samples of two signals, from which `compare` computes how they differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import FloatArray
    from convcli.signals import Array


@dataclass(frozen=True, kw_only=True)
class LargestDifference:
    """The largest |B - A| of a channel: its size, its place, and the samples of A and B there."""

    size: float
    at: tuple[int, ...]
    values: tuple[float, float]


@dataclass(eq=False)
class Moments:
    """Counts, means and sums of squares of the samples that both signals have, per channel.

    The means and the sums about them are merged block by block (Chan, Golub & LeVeque, Updating
    formulae and a pairwise algorithm for computing sample variances, 1979).

    power, error : sums of A^2 and of (B - A)^2
    spread : sums of (A - mean)^2, (B - mean)^2 and of the product of both, (3, channels)
    """

    count: FloatArray
    mean: FloatArray
    spread: FloatArray
    power: FloatArray
    error: FloatArray

    @classmethod
    def none(cls, channels: int) -> Moments:
        """Moments of an empty pair of signals: all zero."""
        zeros = np.zeros(channels)
        return cls(zeros, np.zeros((2, channels)), np.zeros((3, channels)), zeros, zeros)

    @classmethod
    def of(cls, a: FloatArray, b: FloatArray) -> Moments:
        """Moments of samples (channels, n); where one of the two is not finite, both are left out.

        An infinite sample that differs makes the error infinite.
        """
        channels = [_moments_of_channel(one, other) for one, other in zip(a, b, strict=True)]
        count, mean_a, mean_b, *sums, power, error = np.array(channels).T.reshape(8, -1)
        return cls(count, np.stack([mean_a, mean_b]), np.stack(sums), power, error)

    def merged(self, other: Moments) -> Moments:
        """Moments of the samples of both."""
        count = self.count + other.count
        some = np.maximum(count, 1.0)
        step = other.mean - self.mean
        share = self.count * other.count / some
        step_a, step_b = step
        products = np.stack([step_a**2, step_b**2, step_a * step_b])
        other_share = other.count / some
        return Moments(
            count=count,
            mean=self.mean + step * other_share,
            spread=self.spread + other.spread + products * share,
            power=self.power + other.power,
            error=self.error + other.error,
        )

    def together(self) -> Moments:
        """Moments of the samples of all channels, as one channel."""
        total = Moments.none(1)
        for channel in range(len(self.count)):
            one = slice(channel, channel + 1)
            total = total.merged(
                Moments(
                    count=self.count[one],
                    mean=self.mean[:, one],
                    spread=self.spread[:, one],
                    power=self.power[one],
                    error=self.error[one],
                )
            )
        return total

    def correlation(self, channel: int) -> float | None:
        """The correlation coefficient; None where one of the two channels is constant."""
        of_a, of_b, product = map(float, self.spread[:, channel])
        mean_a, mean_b = self.mean[:, channel].tolist()
        rounding = 1e-24 * self.count[channel]
        both_vary = of_a > rounding * mean_a**2 and of_b > rounding * mean_b**2
        if not both_vary or not (math.isfinite(of_a) and math.isfinite(of_b)):
            return None
        # In this order the coefficient of equal signals is 1 to the last bit.
        slope = product / of_a
        coefficient = slope * (math.sqrt(of_a) / math.sqrt(of_b))
        return max(-1.0, min(1.0, coefficient))


def _moments_of_channel(a: FloatArray, b: FloatArray) -> tuple[float, ...]:
    """Count, two means, three sums about them, power and error of one channel, (n,)."""
    error = None
    known = np.isfinite(a) & np.isfinite(b)
    if not known.all():
        with np.errstate(invalid="ignore"):
            difference = np.where(a == b, 0.0, b - a)
        if np.isinf(difference).any():
            error = math.inf
        a = a[known]
        b = b[known]
    count = len(a)
    if not count:
        return (0.0,) * 7 + (error or 0.0,)
    with np.errstate(over="ignore"):
        if error is None:
            difference = b - a
            error = float(difference @ difference)
        mean_a = float(a.mean())
        mean_b = float(b.mean())
        about_a = a - mean_a
        about_b = b - mean_b
        spread = (about_a @ about_a, about_b @ about_b, about_a @ about_b)
        return (float(count), mean_a, mean_b, *map(float, spread), float(a @ a), error)


class Differences:
    """The moments of two signals, their unmatched samples and their largest differences.

    matched : samples that both have or that both lack, per channel
    unmatched : samples of which one of the two is missing, per channel
    largest : per channel; None while all samples are equal
    """

    def __init__(self, channels: int) -> None:
        self.moments = Moments.none(channels)
        self.matched = np.zeros(channels, np.int64)
        self.unmatched = np.zeros(channels, np.int64)
        self.largest: list[LargestDifference | None] = [None] * channels
        self._rows = 0

    def add(self, a: Array, b: Array) -> None:
        """Add the next samples of both, (n, ..., channels); NaN is missing."""
        by_channel_a = _channels_first(a)
        by_channel_b = _channels_first(b)
        self.moments = self.moments.merged(Moments.of(by_channel_a, by_channel_b))
        pairs = zip(by_channel_a, by_channel_b, strict=True)
        for channel, (one, other) in enumerate(pairs):
            only_one_missing = np.isnan(one) != np.isnan(other)
            alone = int(np.count_nonzero(only_one_missing))
            self.unmatched[channel] += alone
            self.matched[channel] += one.size - alone
            self._note_largest(channel, one, other, a.shape[:-1])
        self._rows += len(a)

    def _note_largest(
        self, channel: int, a: FloatArray, b: FloatArray, shape: tuple[int, ...]
    ) -> None:
        with np.errstate(invalid="ignore"):
            size = np.abs(b - a)
        place = int(size.argmax()) if size.size else 0
        if size.size and math.isnan(size[place]):
            # Missing, or two infinite samples that are equal.
            np.copyto(size, 0.0, where=np.isnan(size))
            place = int(size.argmax())
        known = self.largest[channel]
        found = float(size[place]) if size.size else 0.0
        if found <= (0.0 if known is None else known.size):
            return
        row, *others = np.unravel_index(place, shape)
        self.largest[channel] = LargestDifference(
            size=found,
            at=(self._rows + int(row), *map(int, others)),
            values=(float(a[place]), float(b[place])),
        )

    def largest_of_all(self) -> LargestDifference | None:
        """The largest difference of all channels."""
        found = [each for each in self.largest if each is not None]
        return max(found, key=lambda each: each.size) if found else None


def _channels_first(x: Array) -> FloatArray:
    """(n, ..., channels) as (channels, samples)."""
    return np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T, dtype=np.float64)
