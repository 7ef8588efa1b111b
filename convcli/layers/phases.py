"""Phases of a signal that are channels, and phases that are neighbouring samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convcli.array_types import Sizes
    from convcli.signals import Array


def interleaved_phases(x: Array, factors: Sizes) -> Array:
    """Turn phases that are channels, (..., samples, out * phases), into samples, (..., out)."""
    axes = len(factors)
    lead = x.ndim - 1 - axes
    batch, lengths = x.shape[:lead], x.shape[lead:-1]
    made = x.shape[-1] // math.prod(factors)
    phases = x.reshape(*batch, *lengths, made, *factors)
    # (rows, columns, out, phase of row, phase of column) -> (rows, phase, columns, phase, out)
    order = [lead + place for axis in range(axes) for place in (axis, axes + 1 + axis)]
    sides = [n * factor for n, factor in zip(lengths, factors, strict=True)]
    return phases.transpose(*range(lead), *order, lead + axes).reshape(*batch, *sides, made)


def split_phases(x: Array, factors: Sizes) -> Array:
    """Turn neighbouring samples, (..., samples, channels), into channels; the inverse."""
    axes = len(factors)
    channels = x.shape[-1]
    lead = x.ndim - 1 - axes
    counts = [n // factor for n, factor in zip(x.shape[lead:-1], factors, strict=True)]
    pairs = [side for pair in zip(counts, factors, strict=True) for side in pair]
    split = x.reshape(*x.shape[:lead], *pairs, channels)
    samples = range(lead, lead + 2 * axes, 2)
    phases = range(lead + 1, lead + 2 * axes, 2)
    ordered = split.transpose(*range(lead), *samples, lead + 2 * axes, *phases)
    return ordered.reshape(*x.shape[:lead], *counts, channels * math.prod(factors))
