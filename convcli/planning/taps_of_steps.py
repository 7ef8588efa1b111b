"""The taps of bound steps and of chains, and their delays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.chain import Chain
from convcli.planning.responses import group_delay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import FloatArray
    from convcli.core.op import Op
    from convcli.core.ops import Convolve
    from convcli.planning.plan import BoundStep

# Products of taps that are computed for an export.
MOST_PRODUCTS = 1 << 32


def weights_of(step: BoundStep) -> FloatArray | None:
    """The taps of a step divided by their divisor, (k,) or (height, width).

    Several sets of taps are a stack; None for a step without taps. A network that is one learned
    layer has a set for each pair of an input and an output channel.
    """
    stage = step.stage
    if stage.network:
        return None if stage.learned is None else stage.learned.taps
    convolutions = [convolution for op in stage.ops for convolution in op.formula.convolutions]
    weights = [_weights(convolution) for convolution in convolutions]
    if not weights:
        return None
    return weights[0] if len(weights) == 1 else np.stack(weights)


def chain_taps(steps: Sequence[BoundStep], most: int = MOST_PRODUCTS) -> FloatArray:
    """The taps of one convolution that equals several in series, (k,) or (height, width).

    Taps that follow a stride are as far apart as the stride says. Raises RequestError for a step
    that is not a convolution, and for more than `most` products, by default a minute's work.
    """
    from convcli.core.composed import composed

    ops = tuple(op for step in steps for op in _linear_operations(step))
    found = composed(Chain(ops, steps[0].before.axes), most=most)
    if found is None:
        raise steps[-1].call.error("the taps of the chain are too many to be exported")
    return _weights(found)


def _linear_operations(step: BoundStep) -> tuple[Op, ...]:
    """The operations of a step that is a series of convolutions; RequestError for any other."""
    if step.sees_whole or any(op.formula.as_convolution is None for op in step.ops):
        message = f"{step.call.title} is not a convolution, and a chain with it has no taps"
        raise step.call.error(message, hint="a chain of kernels, smoothing and frequency steps has")
    return step.ops


def bias_of(step: BoundStep) -> FloatArray | None:
    """The constants that a network of one layer adds to its outputs, (out,); None if none."""
    learned = step.stage.learned
    return None if learned is None else learned.bias


def taps_text(step: BoundStep) -> str:
    """The taps as text if they are few, else "": `1, 2, 1 (/ 4)`; rows are separated by `;`."""
    stage = step.stage
    if stage.network:
        weights = weights_of(step)
        taps = [] if weights is None else [(weights, 1.0)]
    else:
        taps = [(each.taps, each.divisor) for op in stage.ops for each in op.formula.convolutions]
    if not taps or taps[0][0].size > 49:
        return ""
    return " and ".join(_taps_and_divisor(each, divisor) for each, divisor in taps)


def _taps_and_divisor(taps: FloatArray, divisor: float) -> str:
    rows = [", ".join(f"{tap:.6g}" for tap in row) for row in np.atleast_2d(taps)]
    text = "; ".join(rows)
    return text if divisor == 1 else f"{text} (/ {divisor:g})"


def first_taps(step: BoundStep) -> FloatArray | None:
    """The taps that describe a step: of its first convolution, or of its only layer.

    None for a step without taps, and for a layer with several sets of taps.
    """
    if step.stage.network:
        weights = weights_of(step)
        one_set = weights is not None and weights.ndim == step.before.axes
        return weights if one_set else None
    convolution = first_convolution(step.ops)
    return None if convolution is None else _weights(convolution)


def first_convolution(ops: tuple[Op, ...]) -> Convolve | None:
    """The first convolution among some operations; None if there is none."""
    for op in ops:
        if op.formula.convolutions:
            return op.formula.convolutions[0]
    return None


def _weights(convolution: Convolve) -> FloatArray:
    return convolution.taps / convolution.divisor


def step_delay(step: BoundStep) -> float | None:
    """The delay of a step in samples of its input; None where it is unknown."""
    learned = step.stage.learned
    if step.stage.network:
        weights = first_taps(step)
        if weights is None or learned is None or learned.position is None:
            return None
        return group_delay(weights, learned.position)
    return total_delay(step.ops)


def total_delay(ops: tuple[Op, ...]) -> float | None:
    """The delays of operations added up, in samples of the input of the first.

    None where the delay of one of them is unknown.
    """
    total, scale = 0.0, 1.0
    for op in ops:
        own = _delay_of(op)
        if own is None:
            return None
        total += scale * own
        along = op.reach[0]
        scale *= along.step / along.phases
    return total


def _delay_of(op: Op) -> float | None:
    """The delay of an operation in samples of its input; None where it is unknown."""
    formula = op.formula
    if not formula.convolutions:
        return formula.delay
    first = formula.convolutions[0]
    return group_delay(first.taps, first.reach[0])
