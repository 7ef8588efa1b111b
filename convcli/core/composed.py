"""Several convolutions as one: one after the other, or side by side and added up."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.core.ops import Convolve, gaps_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.core.chain import Chain

Numbers = npt.NDArray[np.float64]

# Products of taps that are computed to make one convolution of a chain.
MOST_PRODUCTS = 1 << 24
# Whole numbers up to this one are exact in sums of many products.
LARGEST_DIVISOR = 1 << 32


def composed(chain: Chain, *, most: int = MOST_PRODUCTS) -> Convolve | None:
    """The one convolution that a chain of convolutions is; without operations the identity.

    Taps that follow a stride are as far apart as the stride says. None for a chain with an
    operation that is no convolution, and where it takes more than `most` products of taps.
    """
    parts = [op.as_convolution for op in chain.ops]
    taps = np.ones((1,) * chain.axes)
    divisor = 1.0
    spacing = [1] * chain.axes
    for part in parts:
        if part is None:
            return None
        sides = [(k - 1) * every + 1 for k, every in zip(part.taps.shape, spacing, strict=True)]
        if taps.size * math.prod(sides) > most:
            return None
        spaced = np.zeros(sides)
        spaced[tuple(slice(None, None, every) for every in spacing)] = part.taps
        taps = full_convolution(taps, spaced)
        divisor *= part.divisor
        spacing = [every * step for every, step in zip(spacing, part.step, strict=True)]
    return _with_reach_of(chain, taps, divisor)


def _with_reach_of(chain: Chain, taps: Numbers, divisor: float) -> Convolve:
    """The convolution with these taps that reads what a chain reads."""
    return Convolve(
        taps=taps,
        divisor=divisor,
        before=tuple(reach.before for reach in chain.reach),
        after=tuple(reach.after for reach in chain.reach),
        step=tuple(reach.step for reach in chain.reach),
        anchor=tuple(reach.anchor for reach in chain.reach),
        gaps=gaps_of(taps),
    )


def full_convolution(x: Numbers, taps: Numbers) -> Numbers:
    """Every output of a convolution that reads at least one sample."""
    if x.ndim == 1:
        return np.convolve(x, taps)
    small, large = sorted((x, taps), key=np.size)
    y = np.zeros(np.array(x.shape) + taps.shape - 1)
    for place in np.ndindex(*small.shape):
        within = tuple(slice(at, at + n) for at, n in zip(place, large.shape, strict=True))
        y[within] += small[place] * large
    return y


def weighted_sum(parts: Sequence[Convolve], weights: Sequence[float]) -> Convolve:
    """The convolution whose outputs are the weighted sums of those of several convolutions.

    All have one step and one anchor.
    """
    axes = range(len(parts[0].step))
    before = tuple(max(part.before[axis] for part in parts) for axis in axes)
    after = tuple(max(part.after[axis] for part in parts) for axis in axes)
    sides = [low + high + 1 for low, high in zip(before, after, strict=True)]
    taps = np.zeros(sides)
    divisor = _common_divisor(parts)
    for part, weight in zip(parts, weights, strict=True):
        scaled = weight * (part.taps * (divisor / part.divisor))
        taps[_place_within(part, after)] += scaled
    return replace(
        parts[0],
        taps=taps,
        divisor=divisor,
        before=before,
        after=after,
        gaps=gaps_of(taps),
    )


def _place_within(part: Convolve, after: tuple[int, ...]) -> tuple[slice, ...]:
    """The place of taps among those of a convolution that reads `after` later samples."""
    places = []
    for count, own, latest in zip(part.taps.shape, part.after, after, strict=True):
        first = latest - own
        places.append(slice(first, first + count))
    return tuple(places)


def _common_divisor(parts: Sequence[Convolve]) -> float:
    """A divisor with which whole taps over whole divisors stay whole; 1 if it would be large."""
    divisors = [part.divisor for part in parts]
    if all(divisor == int(divisor) for divisor in divisors):
        common = math.lcm(*map(int, divisors))
        if common <= LARGEST_DIVISOR:
            return float(common)
    return 1.0
