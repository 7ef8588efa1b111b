"""Outputs whose window is complete: all others are missing under `--edge missing`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.core.ops import Op, Span
    from convcli.core.reach import Indices
    from convcli.signals import Array

    # One index, or one for each of several signals side by side.
    Bound = int | Indices


@dataclass(frozen=True, eq=False)
class Bounds:
    """The inputs [low, high) of a chain that lie on the signal, along each axis.

    Of several signals that are filtered side by side, each has its own: (signals,).
    """

    low: tuple[Bound, ...]
    high: tuple[Bound, ...]


def without_incomplete(y: Array, ops: Sequence[Op], span: Span, bounds: Bounds) -> Array:
    """Return outputs of a chain; those with a window that reaches beyond the signal are missing.

    y : the outputs `span` of the last of `ops`, (n, channels) or (rows, columns, channels)
    """
    for axis, outputs in enumerate(span):
        found = _incomplete(ops, axis, outputs, bounds)
        if not found.any():
            continue
        if found.ndim == 2:
            of_signals = np.repeat(found, y.shape[-1] // found.shape[1], axis=1)
            y = np.where(of_signals, np.nan, y).astype(y.dtype)
            continue
        y = np.array(y)
        y[(slice(None),) * axis + (found,)] = np.nan
    return y


def _incomplete(
    ops: Sequence[Op], axis: int, outputs: tuple[int, int], bounds: Bounds
) -> npt.NDArray[np.bool_]:
    """Mark outputs along an axis: (outputs,), or (outputs, signals) side by side."""
    low = np.arange(*outputs)
    high = low + 1
    lengths = _input_lengths(ops, axis, bounds)
    for op, length in zip(reversed(ops), reversed(lengths), strict=True):
        low, high = op.windows[axis].needs(low, high)
        if length is not None:
            low = np.maximum(low, 0)
            high = np.minimum(high, length)
    if isinstance(bounds.low[axis], np.ndarray):
        low = low[:, None]
        high = high[:, None]
    beyond: npt.NDArray[np.bool_] = (low < bounds.low[axis]) | (high > bounds.high[axis])
    return beyond


def _input_lengths(ops: Sequence[Op], axis: int, bounds: Bounds) -> list[int | None]:
    """The length of the input of each operation that pads it, None for every other operation."""
    if not any(op.pads for op in ops):
        return [None] * len(ops)
    length = int(bounds.high[axis])
    found: list[int | None] = []
    for op in ops:
        found.append(length if op.pads else None)
        length = op.reach[axis].count(length)
    return found
