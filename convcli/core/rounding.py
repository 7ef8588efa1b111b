"""In which type the bytes of a picture are filtered, so that they come out rounded as they do in float64.

Sums of bytes times fractions such as 0.3 fall upon halves again and again, and there float32 rounds to the other side
than float64 does. Where the sums are exact, where they are divided but once, and where the taps are no fractions of a
common small number (a Gaussian), float32 is as good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable

# What an operation does to whole numbers in float32: nothing is rounded (`exact`), one division is (`once`), halves may
# come out beside themselves (`fractions`), or halves do not occur (`irrational`).
Rounding = Literal["exact", "once", "fractions", "irrational"]

# Fractions of larger numbers fall upon a half less often than once in 10,000 times.
LARGEST_DENOMINATOR = 5000
# Parts of a power of two that float32 holds beside a byte and the sum of many, and up to where it holds whole numbers.
BINARY, LARGEST_WHOLE = 256, 1 << 24


def of_taps(taps: npt.NDArray[np.float64], divisor: float) -> Rounding:
    """What a convolution with these taps does."""
    parts = 1 if (taps == np.rint(taps)).all() else BINARY
    if (taps * parts == np.rint(taps * parts)).all():
        if 255 * np.abs(taps).sum() * parts > LARGEST_WHOLE:
            return "fractions"
        return "exact" if np.frexp(divisor)[0] == 0.5 else "once"
    return "fractions" if _share_a_denominator(taps / divisor) else "irrational"


def of_factor(factor: float) -> Rounding:
    """What a multiplication with, or an addition of, this number does."""
    return of_taps(np.array([factor]), 1.0)


def _share_a_denominator(taps: npt.NDArray[np.float64]) -> bool:
    """Whether all taps are fractions of one number up to LARGEST_DENOMINATOR."""
    candidates = np.arange(1, LARGEST_DENOMINATOR + 1)
    for tap in np.unique(np.abs(taps)):
        parts = tap * candidates
        candidates = candidates[np.abs(parts - np.rint(parts)) < 1e-9 * np.maximum(parts, 1)]
        if not candidates.size:
            return False
    return True


def float_type_for_bytes(roundings: Iterable[Rounding]) -> type[np.floating[Any]]:
    """Choose the type in which operations of these rounding classes, one after the other, filter bytes."""
    divided = False
    for rounding in roundings:
        if rounding == "irrational":
            return np.float32
        if rounding == "fractions" or divided:
            return np.float64
        divided = rounding == "once"
    return np.float32
