"""Exact sums over a whole signal, whatever its blocks are; adaptive pools divide them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convcli.array_types import FloatArray
    from convcli.signals import Array


# Totals are Python integers that count multiples of 2**-UNIT; every float64 is such a multiple.
UNIT = 1130

# A float64 of 53 bits is split into whole numbers of at most HIGH and of LOW bits.
HIGH = 27
LOW = 26

# Samples that are added up at once: their parts of 27 bits have an exact sum in float64.
TOGETHER = 1 << 20


class ExactTotals:
    """The sum of each channel of the samples that came so far, without rounding."""

    def __init__(self, channels: int) -> None:
        self._totals = [0] * channels
        self._infinite = np.zeros(channels)

    def add(self, x: Array) -> None:
        """Add samples, (n, channels) without NaN."""
        finite = np.isfinite(x)
        if not finite.all():
            with np.errstate(invalid="ignore"):
                self._infinite += np.where(finite, 0.0, x).sum(axis=0)
            x = np.where(finite, x, 0.0)
        for first in range(0, len(x), TOGETHER):
            part = x[first : first + TOGETHER].astype(np.float64)
            for channel in range(part.shape[1]):
                self._totals[channel] += _total(part[:, channel])

    def joined(self, other: ExactTotals) -> ExactTotals:
        """Return the sums of the samples of both."""
        both = ExactTotals(len(self._totals))
        both._totals = [one + more for one, more in zip(self._totals, other._totals, strict=True)]
        both._infinite = self._infinite + other._infinite
        return both

    def mean(self, counts: FloatArray) -> FloatArray:
        """The sums divided by the counts of samples, correctly rounded."""
        means = []
        for total, count in zip(self._totals, counts.tolist(), strict=True):
            units = int(count) << UNIT
            means.append(total / units)
        return np.array(means) + self._infinite


def _total(x: FloatArray) -> int:
    """The sum of (n,) in units of 2**-UNIT.

    The mantissas of each exponent are added up by themselves.
    """
    mantissas, exponents = np.frexp(x)
    mantissas *= 2.0**HIGH
    high = np.rint(mantissas)
    low = (mantissas - high) * 2.0**LOW
    lowest = int(exponents.min())
    places = exponents - lowest
    highs = np.bincount(places, high)
    lows = np.bincount(places, low)
    total = 0
    is_used = (highs != 0) | (lows != 0)
    for place in np.flatnonzero(is_used).tolist():
        mantissa = (int(highs[place]) << LOW) + int(lows[place])
        shift = place + lowest - HIGH - LOW + UNIT
        total += mantissa << shift
    return total
