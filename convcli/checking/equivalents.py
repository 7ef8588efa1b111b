"""Other forms of a filter of a small signal: its result and its matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.errors import RequestError
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run

if TYPE_CHECKING:
    from convcli.planning.plan import Plan
    from convcli.signals import Array

# A matrix with more elements than this is too large to read.
LARGEST_MATRIX = 1024


def filter_samples(plan: Plan, x: Array) -> Array:
    """Filter a signal, (n, channels) or (rows, columns, channels)."""
    sink = Collected()
    source = Blocks(plan.signal, [x])
    run(plan, source, sink, threads=1)
    if not sink.parts:
        lengths = [n or 0 for n in plan.result.shape]
        return np.empty((*lengths, len(plan.result.channels)))
    return np.concatenate(sink.parts)


def matrix_of(plan: Plan, x: Array) -> Array:
    """Return the matrix M of a linear filter, so that its outputs are M @ x.ravel().

    x : (n, 1) or (rows, columns, 1)
    Column i holds the outputs for an impulse at sample i. Raises RequestError for steps that are
    not linear, for several channels or missing samples, and for more samples than a page can show.
    """
    if x.shape[-1] > 1 or len(plan.result.channels) > 1:
        raise RequestError(
            "a matrix is shown for one channel", hint="choose one, or leave --matrix out"
        )
    for step in plan.steps:
        if any(op.formula.as_convolution is None for op in step.ops):
            raise step.call.error(f"{step.call.title} is not linear, and so no matrix")
    if np.isnan(x).any():
        raise RequestError("a matrix needs a signal without missing values")
    if x.size**2 > LARGEST_MATRIX:
        raise RequestError(
            f"a matrix for {x.size} samples is too large to be shown", hint="at most 32 samples"
        )
    if not x.size:
        return np.zeros((0, 0))
    impulses = np.eye(x.size).reshape(x.size, *x.shape)
    columns = [filter_samples(plan, impulse).ravel() for impulse in impulses]
    return np.stack(columns, axis=1)
