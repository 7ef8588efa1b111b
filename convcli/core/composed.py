"""One convolution that equals several: in series, or in parallel and added up.

Branches run as one convolution where that takes fewer products, and descriptions of a plan draw the
taps of a whole chain.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.ops import Convolve, default_on_missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convcli.array_types import FloatArray
    from convcli.core.chain import Chain


# Products of taps that are computed to make one convolution of a chain.
MOST_PRODUCTS = 1 << 24
# Whole numbers up to this one are exact in sums of many products.
LARGEST_DIVISOR = 1 << 32


def composed(chain: Chain, *, most: int = MOST_PRODUCTS) -> Convolve | None:
    """The single convolution that equals a chain of convolutions; without any, the identity.

    Taps that follow a stride are as far apart as the stride says. Returns None for a chain with an
    operation that is not a convolution, and where more than `most` products of taps are needed.
    """
    parts = [op.formula.as_convolution for op in chain.ops]
    taps = np.ones((1,) * chain.axes)
    divisor = 1.0
    spacing = [1] * chain.axes
    for part in parts:
        if part is None:
            return None
        lengths = zip(part.taps.shape, spacing, strict=True)
        sides = [(count - 1) * every + 1 for count, every in lengths]
        if taps.size * math.prod(sides) > most:
            return None
        spaced = np.zeros(sides)
        tap_places = tuple(slice(None, None, every) for every in spacing)
        spaced[tap_places] = part.taps
        taps = full_convolution(taps, spaced)
        divisor *= part.divisor
        spacing = [every * step for every, step in zip(spacing, part.step, strict=True)]
    return Convolve(
        taps=taps,
        divisor=divisor,
        before=tuple(reach.before for reach in chain.reach),
        after=tuple(reach.after for reach in chain.reach),
        step=tuple(reach.step for reach in chain.reach),
        anchor=tuple(reach.anchor for reach in chain.reach),
        on_missing=default_on_missing(taps),
    )


def full_convolution(x: FloatArray, taps: FloatArray) -> FloatArray:
    """Every output of a convolution that reads at least one sample."""
    if x.ndim == 1:
        return np.convolve(x, taps)
    small, large = sorted((x, taps), key=np.size)
    lengths = np.add(x.shape, taps.shape) - 1
    y = np.zeros(lengths)
    for place in np.ndindex(*small.shape):
        sides = zip(place, large.shape, strict=True)
        within = tuple(slice(first, first + length) for first, length in sides)
        y[within] += small[place] * large
    return y


def weighted_sum(parts: Sequence[Convolve], weights: Sequence[float]) -> Convolve:
    """The convolution whose outputs are the weighted sums of those of several convolutions.

    All have one step and one anchor.
    """
    before = _largest_of_each_axis(part.before for part in parts)
    after = _largest_of_each_axis(part.after for part in parts)
    sides = [low + high + 1 for low, high in zip(before, after, strict=True)]
    taps = np.zeros(sides)
    divisor = _common_divisor(parts)
    for part, weight in zip(parts, weights, strict=True):
        at_common_divisor = part.taps * (divisor / part.divisor)
        taps[_place_within(part, after)] += weight * at_common_divisor
    return replace(
        parts[0],
        taps=taps,
        divisor=divisor,
        before=before,
        after=after,
        on_missing=default_on_missing(taps),
    )


def _largest_of_each_axis(counts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """The largest number on each axis."""
    by_axis = zip(*counts, strict=True)
    return tuple(max(numbers) for numbers in by_axis)


def _place_within(part: Convolve, after: tuple[int, ...]) -> tuple[slice, ...]:
    """The place of a part's taps in the taps of a sum that reads `after` later samples."""
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
