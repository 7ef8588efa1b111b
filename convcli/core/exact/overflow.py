"""Finite results of operations whose intermediate sums exceed the largest float64.

The mean of 1e308 and 1e308 is 1e308. Where a homogeneous operation (c x gives c y) returns infinity
or NaN, it is computed again on scaled down samples, and the result is scaled up.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convcli.core.op import Op
    from convcli.core.task import HeldEarlier, HeldPlace, OpTask
    from convcli.signals import Array

# Sums of samples below this do not overflow.
_HUGE = 2.0**900
# What huge samples are multiplied by: their squares do not overflow either, and whatever is lost of
# small ones beside them is far below the rounding of their sum.
_SCALE = 2.0**-600


def without_overflow(op: Op, x: Array, task: OpTask, y: Array) -> Array:
    """Return the outputs `y` of a task, with numbers where sums of finite samples overflowed."""
    if not op.numbers.homogeneous or x.dtype != np.float64 or y.dtype != np.float64:
        return y
    with np.errstate(all="ignore"):
        if np.isfinite(y.sum()) or not _has_huge(x):
            return y
        smaller = replace(task, earlier=partial(_scaled_down, task.earlier))
        again, _ = op.compute(x * _SCALE, smaller)
        return np.where(np.isfinite(y), y, again / _SCALE)


def _has_huge(x: Array) -> bool:
    """Return whether a finite sample is so large that a sum with it may overflow."""
    size = np.abs(x)
    is_huge = (size > _HUGE) & (size < np.inf)
    return bool(is_huge.any())


def _scaled_down(earlier: HeldEarlier, place: HeldPlace) -> Array | None:
    """Return the value held at a place, scaled as the samples are."""
    held = earlier(place)
    return None if held is None else held * _SCALE
