"""How an answer changes if the same signal begins one sample later (a picture: one column)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.facts.learning import MovedFacts
from convcli.layers.conv_path import ConvSums
from convcli.layers.conv_paths import cheapest_conv_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convcli.array_types import BoolArray
    from convcli.learning.dataset import TrainingSignal
    from convcli.learning.least_squares import LinearFit
    from convcli.learning.task import Task
    from convcli.signals import Array

    # A function of the samples and of which of them are known; it gives NaN where it has no answer.
    AnswerFunction = Callable[[Array, BoolArray], Array]

# Answers that differ by less than this part of their errors are equal but for rounding.
EQUAL_WITHIN = 1e-9
# All samples but the first, or all columns of a picture but the first.
LATER: Any = (..., slice(1, None), slice(None))


def shift_facts(
    name: str, parameters: int, signals: Sequence[TrainingSignal], answer: AnswerFunction
) -> MovedFacts:
    """Errors of an answer before and after each signal loses its first sample."""
    change = _MeanSquare()
    before: list[float | None] = []
    after: list[float | None] = []
    for held_out in (False, True):
        error = _MeanSquare()
        moved_error = _MeanSquare()
        for x, y, mask in known_parts(signals, held_out=held_out):
            first = answer(x, mask)
            moved = answer(x[LATER], mask[..., 1:])
            error.add(first - y)
            moved_error.add(moved - y[LATER])
            change.add(first[LATER] - moved)
        before.append(error.root)
        after.append(moved_error.root)
    train_before = before[0] or 0.0
    train_after = after[0] or 0.0
    differs = change.root or 0.0
    if differs <= EQUAL_WITHIN * max(train_before, train_after):
        differs = 0.0
    return MovedFacts(
        name=name,
        parameters=parameters,
        before=(train_before, before[1]),
        after=(train_after, after[1]),
        differs=differs,
    )


def known_parts(
    signals: Sequence[TrainingSignal], *, held_out: bool
) -> Iterator[tuple[Array, Array, BoolArray]]:
    """Samples, targets and mask of the held-out (or training) rows of each signal."""
    for each in signals:
        mask = each.mask(held_out=held_out)
        rows = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
        if len(rows):
            part = slice(rows[0], rows[-1] + 1)
            x = np.asarray(each.x[part], np.float64)
            y = np.asarray(each.y[part], np.float64)
            yield x, y, mask[part]


def filter_answer(x: Array, mask: BoolArray, *, linear: LinearFit, task: Task) -> Array:
    """Outputs of a linear layer, (samples..., out); NaN where a window is not complete."""
    y = np.full((*x.shape[:-1], len(linear.weights)), np.nan)
    if any(n < k for n, k in zip(x.shape, task.taps, strict=False)):
        return y
    ones: Any = (1,) * len(task.taps)
    filtering = ConvSums(weights=linear.weights, bias=linear.bias, step=ones, dilation=ones)
    outputs = cheapest_conv_path(filtering, x.dtype)(x)
    unknown: Any = (~mask[..., None]).astype(np.float64)
    window = np.ones((1, 1, *task.taps))
    counting = ConvSums(weights=window, bias=None, step=ones, dilation=ones)
    missing = cheapest_conv_path(counting, np.float64)(unknown)
    inside = tuple(slice(b, b + n) for b, n in zip(task.before, outputs.shape, strict=False))
    y[inside] = np.where(missing > 0.5, np.nan, outputs)
    return y


class _MeanSquare:
    """Mean square of all finite values."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.count = 0

    def add(self, x: Array) -> None:
        known = x[np.isfinite(x)]
        self.sum += float(np.vdot(known, known))
        self.count += known.size

    @property
    def root(self) -> float | None:
        """Root mean square, or None if there are no values."""
        return math.sqrt(self.sum / self.count) if self.count else None
