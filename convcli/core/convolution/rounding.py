"""The type in which bytes are filtered, so that results are rounded as in float64.

A result near one half may be rounded to a different whole number in float32 than in float64. This
cannot happen where sums are exact or are divided only once. The sums of a Gaussian come near one
half now and then; if the chain is a single convolution, only those sums are computed in float64
(`near_halves.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.array_types import FloatArray

# What an operation does to whole numbers in float32:
#   exact     it rounds nothing
#   once      it rounds a single division
#   rounded   a result near one half may come out on the other side of it
#   refined   the same, but it computes such results of bytes in float64 by itself
#   single    float32 is all that is wanted: the weights of a network are float32
Rounding = Literal["exact", "once", "rounded", "refined", "single"]

# Fractions with a larger denominator come to one half less often than once in 10,000 times.
LARGEST_DENOMINATOR = 5000

# Taps that are multiples of 1 / BINARY are exact in float32 beside a byte and in the sum of many.
BINARY = 256

# float32 holds every whole number up to this one.
LARGEST_WHOLE = 1 << 24


@np.errstate(over="ignore")
def rounding_of_taps(taps: FloatArray, divisor: float) -> Rounding:
    """Return the rounding class of a convolution with these taps."""
    are_whole = np.array_equal(taps, np.rint(taps))
    parts = 1 if are_whole else BINARY
    whole = taps * parts
    if (whole == np.rint(whole)).all():
        if 255 * np.abs(taps).sum() * parts > LARGEST_WHOLE:
            return "rounded"
        is_power_of_two = np.frexp(divisor)[0] == 0.5
        return "exact" if is_power_of_two else "once"
    return "rounded"


def rounding_of_factor(factor: float) -> Rounding:
    """Return the rounding class of a multiplication by this number, or an addition of it."""
    return rounding_of_taps(np.array([factor]), 1.0)


def rounding_around(rounding: Rounding) -> Rounding:
    """Return the rounding class of an operation around one of this class."""
    return "rounded" if rounding == "refined" else rounding


def share_a_denominator(taps: FloatArray) -> bool:
    """Return whether all taps are fractions with one denominator up to LARGEST_DENOMINATOR.

    Sums of bytes times fractions such as 0.3 often come to exactly one half.
    """
    candidates = np.arange(1, LARGEST_DENOMINATOR + 1)
    # Most taps of a long filter are almost 0, which every denominator fits: the largest come first.
    sizes = set(np.abs(taps).ravel().tolist())
    for tap in sorted(sizes, reverse=True):
        parts = tap * candidates
        error = np.abs(parts - np.rint(parts))
        allowed = 1e-9 * np.maximum(parts, 1)
        candidates = candidates[error < allowed]
        if not candidates.size:
            return False
    return True


def float_type_for_bytes(roundings: Iterable[Rounding]) -> type[np.floating[Any]]:
    """Choose the type of the samples that successive operations make of bytes."""
    classes = list(roundings)
    if "single" in classes:
        return np.float32
    rounded_later = classes[:-1]
    if "once" in rounded_later:
        return np.float64
    return np.float32 if set(classes) <= {"exact", "once"} else np.float64


def refines_alone(roundings: Iterable[Rounding]) -> bool:
    """Return whether the chain is one operation, which computes results near one half again."""
    return list(roundings) == ["refined"]
