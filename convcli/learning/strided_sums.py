"""Sums of products over windows that lie several samples apart, for layers with a stride."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.correlation.normal_equations import ProductSums, sums_over
from convcli.layers.phases import split_phases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import IntArray, Sizes
    from convcli.signals import Array


def strided_sums(x: Array, y: Array, shape: Sizes, step: Sizes) -> ProductSums:
    """The sums over the windows at 0, step, 2 * step, ... on each axis, and their targets.

    x, y : as `sums_over` takes them, with a target for every window
    The phases of the inputs become channels, in which such windows lie one sample apart.
    """
    if all(each == 1 for each in step):
        return sums_over(x, y, shape)
    every: Any = tuple(slice(None, None, each) for each in step)
    targets = y[every]
    blocks = _taps_of_phases(shape, step)
    lengths = []
    for count, taps, each in zip(targets.shape[:-1], blocks, step, strict=True):
        lengths.append((count + taps - 1) * each)
    inputs = _padded_to_lengths(x, lengths)

    sums = sums_over(split_phases(inputs, step), targets, blocks)
    kept = [*_places_of_taps(x.shape[-1], shape, step), len(sums.gram) - 1]
    return ProductSums(
        gram=sums.gram[np.ix_(kept, kept)], cross=sums.cross[kept], energy=sums.energy
    )


def _taps_of_phases(shape: Sizes, step: Sizes) -> Sizes:
    """How many taps each phase has along each axis; the last ones may have one less, and a 0."""
    return tuple(-(-taps // each) for taps, each in zip(shape, step, strict=True))


def _padded_to_lengths(x: Array, lengths: Sequence[int]) -> Array:
    """Samples (n..., channels), cut off or followed by zeros to have these lengths."""
    inside: Any = tuple(map(slice, lengths))
    kept = x[inside]
    rooms = zip(lengths, kept.shape[:-1], strict=True)
    after = [(0, length - there) for length, there in rooms]
    return np.pad(kept, [*after, (0, 0)])


@cache
def _places_of_taps(channels: int, shape: Sizes, step: Sizes) -> tuple[int, ...]:
    """Where each weight (in, k...) stands among those of the phases (in * phases, blocks...)."""
    taps: IntArray = np.indices(shape).reshape(len(shape), -1)
    steps = np.array(step)[:, None]
    blocks = _taps_of_phases(shape, step)
    phase = np.ravel_multi_index(tuple(taps % steps), step)
    block = np.ravel_multi_index(tuple(taps // steps), blocks)
    of_one_channel = phase * math.prod(blocks) + block
    size = math.prod(step) * math.prod(blocks)
    places = np.arange(channels)[:, None] * size + of_one_channel
    return tuple(places.ravel().tolist())
