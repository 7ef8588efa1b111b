"""Sums over the samples of two signals, from which `compare` computes how they differ."""

from __future__ import annotations

import math
from dataclasses import replace
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


# The standard deviation of a channel whose samples differ by rounding alone, as a part of its mean:
# two units in the last place.
ROUNDING = 2.0**-51
# Units of samples that are all 0, and of differences of which one is infinite.
_LEAST_EXPONENT, _LARGEST_EXPONENT = -1000, 1000
LEAST_UNIT, LARGEST_UNIT = 2.0**_LEAST_EXPONENT, 2.0**_LARGEST_EXPONENT
# Sums of squares between these are what they should be; others may have rounded to 0 or infinity.
LEAST_SUM, LARGEST_SUM = 1e-200, 1e250


@dataclass(eq=False, kw_only=True)
class Moments:
    """Counts, means and sums of squares of the samples that both signals have, per channel.

    The means and the sums about them are merged block by block (Chan, Golub & LeVeque, Updating
    formulae and a pairwise algorithm for computing sample variances, 1979).

    origin : a sample of A and of B, from which the means are counted, (2, channels): where all
        samples are near it, as in 1e15, 1e15 + 1, ..., nothing is rounded away
    unit : of A, of B and of B - A, (3, channels): powers of two by which samples are divided, so
        that squares of tiny ones do not become 0
    mean : of A and of B, (2, channels)
    power, error : sums of A^2 and of (B - A)^2
    spread : sums of (A - mean)^2, (B - mean)^2 and of the product of both, (3, channels)
    """

    origin: FloatArray
    unit: FloatArray
    count: FloatArray
    mean: FloatArray
    spread: FloatArray
    power: FloatArray
    error: FloatArray

    @classmethod
    def none(cls, origin: FloatArray) -> Moments:
        """Moments of an empty pair of signals: all zero."""
        channels = origin.shape[1]
        zeros = np.zeros(channels)
        return cls(
            origin=origin,
            unit=np.full((3, channels), LEAST_UNIT),
            count=zeros,
            mean=np.zeros((2, channels)),
            spread=np.zeros((3, channels)),
            power=zeros,
            error=zeros,
        )

    @classmethod
    def of(cls, a: FloatArray, b: FloatArray, origin: FloatArray) -> Moments:
        """Moments of samples (channels, n); where one of the two is not finite, both are left out.

        An infinite sample that differs makes the error infinite.
        """
        channels = [
            _moments_of_channel(one, other, (float(first_a), float(first_b)))
            for one, other, first_a, first_b in zip(a, b, *origin, strict=True)
        ]
        columns = np.array(channels).T.reshape(11, -1)
        return cls(
            origin=origin,
            count=columns[0],
            unit=columns[1:4],
            mean=columns[4:6],
            spread=columns[6:9],
            power=columns[9],
            error=columns[10],
        )

    def merged(self, other: Moments) -> Moments:
        """Moments of the samples of both, which have the same origin."""
        unit = np.maximum(self.unit, other.unit)
        one, other = self._in_unit(unit), other._in_unit(unit)
        count = one.count + other.count
        some = np.maximum(count, 1.0)
        step = other.mean - one.mean
        share = one.count * other.count / some
        step_a, step_b = step
        products = np.stack([step_a**2, step_b**2, step_a * step_b])
        other_share = other.count / some
        return Moments(
            origin=one.origin,
            unit=unit,
            count=count,
            mean=one.mean + step * other_share,
            spread=one.spread + other.spread + products * share,
            power=one.power + other.power,
            error=one.error + other.error,
        )

    def _in_unit(self, unit: FloatArray) -> Moments:
        """Return these moments in larger units."""
        of_a, of_b, of_error = self.unit / unit
        # One factor after the other: the square of a small ratio would be 0.
        return replace(
            self,
            unit=unit,
            mean=self.mean * np.stack([of_a, of_b]),
            spread=self.spread * np.stack([of_a, of_b, of_a]) * np.stack([of_a, of_b, of_b]),
            power=self.power * of_a * of_a,
            error=self.error * of_error * of_error,
        )

    def together(self) -> Moments:
        """Moments of the samples of all channels, as one channel."""
        origin = self.origin[:, :1]
        total = Moments.none(origin)
        for channel in range(len(self.count)):
            one = slice(channel, channel + 1)
            further = self.origin[:, one] - origin
            moments = Moments(
                origin=origin,
                unit=self.unit[:, one],
                count=self.count[one],
                mean=self.mean[:, one] + further / self.unit[:2, one],
                spread=self.spread[:, one],
                power=self.power[one],
                error=self.error[one],
            )
            total = total.merged(moments)
        return total

    def correlation(self, channel: int) -> float | None:
        """The correlation coefficient; None where one of the two channels is constant."""
        of_a, of_b, product = map(float, self.spread[:, channel])
        levels = self.origin / self.unit[:2] + self.mean
        mean_a, mean_b = levels[:, channel].tolist()
        rounding = ROUNDING**2 * self.count[channel]
        both_vary = of_a > rounding * mean_a**2 and of_b > rounding * mean_b**2
        if not both_vary or not (math.isfinite(of_a) and math.isfinite(of_b)):
            return None
        # In this order the coefficient of equal signals is 1 to the last bit.
        slope = product / of_a
        coefficient = slope * (math.sqrt(of_a) / math.sqrt(of_b))
        return max(-1.0, min(1.0, coefficient))

    def root_mean_square_error(self, channel: int) -> float:
        """The root mean square of B - A."""
        mean_square = float(self.error[channel]) / max(1.0, float(self.count[channel]))
        return math.sqrt(mean_square) * float(self.unit[2, channel])

    def root_mean_square(self, channel: int) -> float:
        """The root mean square of the samples of A."""
        mean_square = float(self.power[channel]) / max(1.0, float(self.count[channel]))
        return math.sqrt(mean_square) * float(self.unit[0, channel])


def _moments_of_channel(
    a: FloatArray, b: FloatArray, origin: tuple[float, float]
) -> tuple[float, ...]:
    """Count, three units, two means, three sums about them, power and error of a channel, (n,)."""
    infinite = False
    known = np.isfinite(a) & np.isfinite(b)
    if not known.all():
        with np.errstate(invalid="ignore"):
            difference = np.where(a == b, 0.0, b - a)
        infinite = bool(np.isinf(difference).any())
        a = a[known]
        b = b[known]
    with np.errstate(over="ignore"):
        unit_a, power = _sum_of_squares(a, origin[0])
        unit_b, _ = _sum_of_squares(b, origin[1])
        unit, error = _sum_of_squares(b - a)
        mean_a, about_a = _about_mean(a, origin[0], unit_a)
        mean_b, about_b = _about_mean(b, origin[1], unit_b)
        spread = (about_a @ about_a, about_b @ about_b, about_a @ about_b)
    if infinite:
        unit, error = LARGEST_UNIT, math.inf
    sums = (*map(float, spread), power, error)
    return (float(len(a)), unit_a, unit_b, unit, mean_a, mean_b, *sums)


def _sum_of_squares(x: FloatArray, further: float = 0.0) -> tuple[float, float]:
    """A unit in which no square of x (n,) or of a further number is too large, and the sum of x^2.

    The unit is 1 unless squares are so large or so small that it would matter.
    """
    total = float(x @ x)
    if LEAST_SUM < total < LARGEST_SUM and further * further < LARGEST_SUM:
        return 1.0, total
    largest = float(np.abs(x).max(initial=abs(further)))
    _, exponent = math.frexp(largest)
    if not largest:
        exponent = _LEAST_EXPONENT
    exponent = min(max(exponent, _LEAST_EXPONENT), _LARGEST_EXPONENT)
    unit = 2.0**exponent
    in_unit = x / unit
    return unit, float(in_unit @ in_unit)


def _about_mean(x: FloatArray, origin: float, unit: float) -> tuple[float, FloatArray]:
    """The mean of samples, from an origin and in a unit, and the samples less it."""
    if not len(x):
        return 0.0, x
    from_origin = x - origin
    if unit != 1:
        from_origin = from_origin / unit
    mean = float(from_origin.mean())
    return mean, from_origin - mean


class Differences:
    """The moments of two signals, their unmatched samples and their largest differences.

    matched : samples that both have or that both lack, per channel
    unmatched : samples of which one of the two is missing, per channel
    largest : per channel; None while all samples are equal
    """

    def __init__(self, channels: int) -> None:
        self.moments = Moments.none(np.zeros((2, channels)))
        self.matched = np.zeros(channels, np.int64)
        self.unmatched = np.zeros(channels, np.int64)
        self.largest: list[LargestDifference | None] = [None] * channels
        self._rows = 0

    def add(self, a: Array, b: Array) -> None:
        """Add the next samples of both, (n, ..., channels); NaN is missing."""
        by_channel_a = _channels_first(a)
        by_channel_b = _channels_first(b)
        if not self._rows:
            self.moments = Moments.none(_first_known_pair(by_channel_a, by_channel_b))
        further = Moments.of(by_channel_a, by_channel_b, self.moments.origin)
        self.moments = self.moments.merged(further)
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


def _first_known_pair(a: FloatArray, b: FloatArray) -> FloatArray:
    """The first samples of each channel that both have, (2, channels); 0 where there is none."""
    known = np.isfinite(a) & np.isfinite(b)
    channels = np.arange(len(a))
    first = known.argmax(axis=1) if a.shape[1] else np.zeros(len(a), int)
    found = np.stack([a[channels, first], b[channels, first]])
    return np.where(known[channels, first], found, 0.0)


def _channels_first(x: Array) -> FloatArray:
    """(n, ..., channels) as (channels, samples)."""
    return np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T, dtype=np.float64)
