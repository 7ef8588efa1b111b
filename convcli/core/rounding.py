"""The type in which bytes are filtered, so that results are rounded as in float64.

Sums of bytes times fractions such as 0.3 often come to exactly one half, and there float32 rounds
to the other side than float64. float32 is as good where the sums are exact, where they are divided
only once, and where the taps are not fractions with a common small denominator (a Gaussian).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable

# What an operation does to whole numbers in float32:
#   exact       it rounds nothing
#   once        it rounds a single division
#   fractions   a result of one half may come out beside it
#   irrational  results of one half do not occur
Rounding = Literal["exact", "once", "fractions", "irrational"]

# Fractions with a larger denominator come to one half less often than once in 10,000 times.
LARGEST_DENOMINATOR = 5000

# Taps that are multiples of 1 / BINARY are exact in float32 beside a byte and in the sum of many.
BINARY = 256

# float32 holds every whole number up to this one.
LARGEST_WHOLE = 1 << 24


@np.errstate(over="ignore")
def of_taps(taps: npt.NDArray[np.float64], divisor: float) -> Rounding:
    """Return the rounding class of a convolution with these taps."""
    parts = 1 if (taps == np.rint(taps)).all() else BINARY
    whole = taps * parts
    if (whole == np.rint(whole)).all():
        if 255 * np.abs(taps).sum() * parts > LARGEST_WHOLE:
            return "fractions"
        is_power_of_two = np.frexp(divisor)[0] == 0.5
        return "exact" if is_power_of_two else "once"
    return "fractions" if _share_a_denominator(taps / divisor) else "irrational"


def of_factor(factor: float) -> Rounding:
    """Return the rounding class of a multiplication by this number, or an addition of it."""
    return of_taps(np.array([factor]), 1.0)


def _share_a_denominator(taps: npt.NDArray[np.float64]) -> bool:
    """Return whether all taps are fractions with one denominator up to LARGEST_DENOMINATOR."""
    candidates = np.arange(1, LARGEST_DENOMINATOR + 1)
    # Most taps of a long filter are almost 0, which every denominator fits: the largest come first.
    for tap in np.unique(np.abs(taps))[::-1]:
        parts = tap * candidates
        error = np.abs(parts - np.rint(parts))
        candidates = candidates[error < 1e-9 * np.maximum(parts, 1)]
        if not candidates.size:
            return False
    return True


def float_type_for_bytes(roundings: Iterable[Rounding]) -> type[np.floating[Any]]:
    """Choose the type in which successive operations filter bytes."""
    divided = False
    for rounding in roundings:
        if rounding == "irrational":
            return np.float32
        if rounding == "fractions" or divided:
            return np.float64
        divided = rounding == "once"
    return np.float32
