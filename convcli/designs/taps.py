"""Helpers of all designs: taps whose sum is exact, and the limit on their number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.kernel import MOST_TAPS
from convcli.errors import RequestError

if TYPE_CHECKING:
    from convcli.array_types import Taps


def with_exact_sum(taps: Taps, total: float, *, at: int | None = None) -> Taps:
    """`taps` whose sum is exactly `total`: weights of a mean, or else taps on a grid.

    taps : any shape, with a sum of `total` up to rounding; total : such as 0 or 1; at : of taps on
        a grid, the one that is corrected
    """
    if total == 1 and bool((taps >= 0).all()):
        return weights_of_mean(taps)
    return on_grid(taps, total, at=at)


def weights_of_mean(taps: Taps) -> Taps:
    """Weights in proportion to `taps`, whose correctly rounded sum is 1.

    Where only the smallest taps of a window meet known samples, the mean is one by these alone. So
    each weight is rounded for itself, in proportion to its own size. The largest one, or the two
    largest of symmetric taps, take up the rounding errors of all.

    taps : any shape, none negative, not all 0
    """
    weights = taps / math.fsum(taps.flat)
    largest = int(np.argmax(weights))
    corrected = [largest]
    mirrored = taps.size - 1 - largest
    if mirrored != largest and weights.flat[mirrored] == weights.flat[largest]:
        corrected.append(mirrored)
    rest = -math.fsum([-1.0, *weights.flat])
    for place in corrected:
        weights.flat[place] += rest / len(corrected)
    return np.asarray(weights, dtype=np.float64)


def on_grid(taps: Taps, total: float, *, at: int | None = None) -> Taps:
    """`taps` whose sum is exactly `total`, in whatever order they are added.

    The taps are rounded to a grid of about 2**-53 of the sum of their magnitudes, on which float64
    addition is exact. The difference to `total` is added to tap `at` (a flat index), by default to
    the middle one, or in equal parts to the two middle ones, so that symmetry is kept.

    taps : any shape, with a sum of `total` up to rounding; total : a multiple of the grid, such as
        0 or 1
    """
    size = float(np.abs(taps).sum())
    # A size of 1 must give the same grid however it was rounded.
    exponent = math.ceil(math.log2(size) - 1e-12)
    # Below the smallest number there is no finer grid.
    grid = max(math.ulp(0.0), 2.0 ** (exponent - 53))
    steps = np.round(taps / grid).astype(np.int64)
    rest = round(total / grid) - int(steps.sum())
    left = (taps.size - 1) // 2
    right = taps.size // 2
    if at is not None:
        left = right = at
    steps.flat[left] += rest - rest // 2
    steps.flat[right] += rest // 2
    return np.asarray(steps * grid, dtype=np.float64)


def refuse_huge(count: float, what: str, hint: str) -> None:
    """Raise RequestError when `what` would need more than MOST_TAPS taps."""
    if not count <= MOST_TAPS:
        needed = f"{count:,.0f}" if math.isfinite(count) else "infinitely many"
        message = f"{what} needs {needed} taps; at most {MOST_TAPS:,} are computed"
        raise RequestError(message, hint=hint)
