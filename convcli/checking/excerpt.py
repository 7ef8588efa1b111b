"""Small signals to look at: numbers, or an excerpt of a source."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.signals import ARRAY, Signal, blocks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from convcli.signals import Array, Source


@dataclass(frozen=True, kw_only=True)
class SmallSignal:
    """Samples, (n, channels) or (rows, columns, channels), and what they are."""

    samples: Array
    signal: Signal


def array_signal(channels: Sequence[npt.ArrayLike]) -> SmallSignal:
    """The signal of numbers, one (n,) or (rows, columns) for each channel, NaN where missing.

    ValueError if the channels are not of one shape.
    """
    samples = np.stack([np.asarray(channel, dtype=np.float64) for channel in channels], axis=-1)
    return SmallSignal(samples=samples, signal=array_description(samples))


def array_description(samples: Array) -> Signal:
    """Describe an array, (n, channels) or (rows, columns, channels), that knows no rate."""
    count = samples.shape[-1]
    names: tuple[str, ...] = ("x",)
    if count > 1:
        names = tuple(f"x{number + 1}" for number in range(count))
    return Signal(medium=ARRAY, shape=samples.shape[:-1], channels=names)


def read_excerpt(
    source: Source[Any], starts: tuple[int, ...], sizes: tuple[int, ...]
) -> SmallSignal:
    """Read `sizes` samples from `starts` on, along each axis; fewer where the signal ends.

    Nothing is read past the last of them.
    """
    rows = _rows_of(source, starts[0], sizes[0])
    sides = zip(starts[1:], sizes[1:], strict=True)
    across = [slice(start, start + size) for start, size in sides]
    samples = rows[(slice(None), *across)]
    part = replace(source.signal, shape=samples.shape[:-1], alpha=None)
    return SmallSignal(samples=samples, signal=part)


def _rows_of(source: Source[Any], start: int, count: int) -> Array:
    """Read the samples [start, start + count) along axis 0."""
    parts = []
    first = 0
    for block in blocks_of(source):
        low = max(0, start - first)
        high = max(low, start + count - first)
        parts.append(block.x[low:high])
        first += len(block.x)
        if first >= start + count:
            break
    if not parts:
        lengths = (0,) * source.signal.axes
        return np.empty((*lengths, len(source.signal.channels)))
    return np.concatenate(parts).astype(np.float64)
