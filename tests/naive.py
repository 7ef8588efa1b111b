"""The slow truth: convolution by its definition, one sample after the other, in plain Python loops.

Written from the rules of the program and not from its code. A chain is a list of steps; the value
of a step at any index, inside the signal or outside, is found by asking the step before it, down to
the input, which the edge rule extends without end. Only the range of outputs that is asked for is
limited. NaN is a missing sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

Index = tuple[int, ...]
Samples = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Weighted:
    """A sum of `weights[offset] * x[k * stride + offset] / divisor`; `pool` steps stand for windows, not samples."""

    weights: tuple[tuple[Index, float], ...]
    stride: Index
    divisor: float = 1.0
    gaps: str = ""
    pool: bool = False


@dataclass(frozen=True)
class Fold:
    """`largest` or smallest of a window."""

    fold: Callable[[list[float]], float]
    offsets: tuple[Index, ...]
    stride: Index


@dataclass(frozen=True)
class Each:
    """A function of every sample."""

    function: Callable[[float], float]
    axes: int

    @property
    def stride(self) -> Index:
        return (1,) * self.axes

    @property
    def offsets(self) -> tuple[Index, ...]:
        return ((0,) * self.axes,)


Step = Weighted | Fold | Each


def kernel(
    taps: Any,
    *,
    align: str,
    flipped: bool,
    stride: Index | None = None,
    divisor: float = 1.0,
    gaps: str = "",
    first: int = -1,
) -> Weighted:
    """kernel: y[t] = sum g[j] x[t - j + c]; correlate: the reversed kernel; causal: rows up to t only.

    `first` : the tap that stands at t where that is not the middle (an EMA and a difference: 0).
    """
    g = np.asarray(taps, dtype=float)
    weights = []
    for j in np.ndindex(g.shape):
        offset = []
        for i, length in zip(j, g.shape, strict=True):
            c = (length - 1) // 2
            if align == "causal":
                offset.append(-i if flipped else i - (length - 1))
            elif first >= 0:
                offset.append(first - i)
            else:
                offset.append(c - i if flipped else i - length // 2)
        weights.append((tuple(offset), float(g[j])))
    total, size = g.sum(), np.abs(g).sum()
    rule = gaps or (
        "empty" if abs(total) <= 1e-12 * size else "renormalise" if (g >= 0).all() else "hold"
    )
    return Weighted(tuple(weights), stride or (1,) * g.ndim, divisor, rule)


def window(size: Index, stride: Index, align: str) -> tuple[Index, ...]:
    """The samples of a window that starts at k * stride; a causal one that overlaps ends before (k + 1) * stride."""
    first = [max(0, n - s) if align == "causal" else 0 for n, s in zip(size, stride, strict=True)]
    return tuple(product(*(range(-b, n - b) for n, b in zip(size, first, strict=True))))


def mean_pool(
    size: Index, stride: Index | None = None, *, total: bool = False, align: str = "center"
) -> Weighted:
    """The mean (or sum) of windows."""
    offsets = window(size, stride or size, align)
    divisor = 1.0 if total else float(len(offsets))
    return Weighted(
        tuple((o, 1.0) for o in offsets), stride or size, divisor, "renormalise", pool=True
    )


def fold_pool(
    fold: Callable[[list[float]], float],
    size: Index,
    stride: Index | None = None,
    *,
    align: str = "center",
) -> Fold:
    """The largest or smallest of windows."""
    return Fold(fold, window(size, stride or size, align), stride or size)


def outside(i: int, n: int, edge: str) -> int | None:
    """Which of n samples stands at index i; None where nothing does.

    Mirrors step by step, as one would walk.
    """
    if 0 <= i < n:
        return i
    if edge == "edge":
        return 0 if i < 0 else n - 1
    if edge == "wrap":
        while i < 0:
            i += n
        while i >= n:
            i -= n
        return i
    if edge in ("reflect", "symmetric"):
        if n == 1:
            return 0
        twice = 0 if edge == "reflect" else 1
        while not 0 <= i < n:
            i = -i - twice if i < 0 else 2 * (n - 1) - i + twice
        return i
    return None


def offsets_of(step: Step) -> tuple[Index, ...]:
    return tuple(o for o, _ in step.weights) if isinstance(step, Weighted) else step.offsets


def reads(steps: list[Step], axis: int, k: int) -> tuple[int, int]:
    """The first and the last input that output k of the chain reads."""
    low = high = k
    for step in reversed(steps):
        mine = [o[axis] for o in offsets_of(step)]
        low, high = low * step.stride[axis] + min(mine), high * step.stride[axis] + max(mine)
    return low, high


def lengths(steps: list[Step], shape: Index, edge: str) -> list[int]:
    """How many outputs there are along each axis, and for `valid` those whose every input exists."""
    counts = []
    for axis, n in enumerate(shape):
        if edge != "valid":
            count = n
            for step in steps:
                count = -(-count // step.stride[axis])
            counts.append(count)
            continue
        low, high = reads(steps, axis, 0)
        stride = math.prod(step.stride[axis] for step in steps)
        counts.append(max(0, (n - 1 - (high - low)) // stride + 1))
    return counts


def filtered(x: Samples, steps: list[Step], *, edge: str, missing: str = "keep") -> Samples:
    """All outputs of the chain on `x`, whose last axis is channels."""
    shape = x.shape[:-1]
    origin = [-reads(steps, axis, 0)[0] if edge == "valid" else 0 for axis in range(len(shape))]
    counts = lengths(steps, shape, edge)
    y = np.zeros((*counts, x.shape[-1]))
    for channel in range(x.shape[-1]):
        value = _chain(x[..., channel], steps, origin, edge, missing)
        for k in np.ndindex(*counts):
            y[(*k, channel)] = value(len(steps), k)
    return y


def _chain(
    x: Samples, steps: list[Step], origin: list[int], edge: str, missing: str
) -> Callable[[int, Index], float]:
    # What is held comes from the signal as it was extended once, by as much as the chain reads.
    earliest = [reads(steps[level:], 0, 0)[0] for level in range(len(steps) + 1)]

    @cache
    def value(level: int, k: Index) -> float:
        if level == 0:
            at = [outside(i + o, n, edge) for i, o, n in zip(k, origin, x.shape, strict=True)]
            if None in at:
                return math.nan if edge == "shrink" else 0.0
            return float(x[tuple(i for i in at if i is not None)])
        step = steps[level - 1]
        base = tuple(i * s for i, s in zip(k, step.stride, strict=True))

        def given(i: Index) -> float:
            return value(level - 1, i)

        if isinstance(step, Each):
            return step.function(given(base))
        if isinstance(step, Fold):
            window = [given(_plus(base, o)) for o in step.offsets]
            there = [v for v in window if not math.isnan(v)]
            if missing == "propagate" and len(there) < len(window):
                return math.nan
            return step.fold(there) if there else math.nan
        return _weighted(step, base, given, missing, earliest[level - 1])

    return value


def _plus(a: Index, b: Index) -> Index:
    return tuple(i + j for i, j in zip(a, b, strict=True))


def _weighted(
    step: Weighted, base: Index, given: Callable[[Index], float], missing: str, earliest: int
) -> float:
    window = [(_plus(base, o), w) for o, w in step.weights]
    values = [(given(i), w) for i, w in window]
    if not any(math.isnan(v) for v, _ in values):
        return sum(w * v for v, w in values) / step.divisor
    if missing == "propagate" and any(math.isnan(v) for v, w in values if w != 0):
        return math.nan
    if missing == "keep" and not step.pool and math.isnan(given(base)):
        return math.nan
    if step.gaps == "empty":
        return (
            math.nan
            if any(math.isnan(v) for v, w in values if w != 0)
            else _sum(values) / step.divisor
        )
    if step.gaps == "renormalise":
        there = [(v, w) for v, w in values if not math.isnan(v)]
        share = sum(w for _, w in there)
        total = sum(w for _, w in values)
        return _sum(there) * total / share / step.divisor if share else math.nan
    held = [(_held(i, window, given, earliest), w) for i, w in window]
    return math.nan if any(math.isnan(v) for v, _ in held) else _sum(held) / step.divisor


def _sum(values: list[tuple[float, float]]) -> float:
    return sum(w * v for v, w in values if w != 0)


def _held(
    i: Index, window: list[tuple[Index, float]], given: Callable[[Index], float], earliest: int
) -> float:
    """The value at i or the nearest earlier one; where there is none, the first one up to the window's end."""
    (at,) = i
    for j in range(at, earliest - 1, -1):
        if not math.isnan(v := given((j,))):
            return v
    for j in range(at + 1, max(k[0] for k, _ in window) + 1):
        if not math.isnan(v := given((j,))):
            return v
    return math.nan
