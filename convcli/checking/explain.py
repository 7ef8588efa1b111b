"""A FILTER computed step by step on a small signal, to teach what a convolution does.

Each operation of the chain becomes one stage. A stage of a convolution lists for every output the
window under the kernel, the products and their sum. The numbers come from the operations that
filter, so the page shows what the filters do and cannot drift from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.checking.equivalents import filter_samples, matrix_of, torch_expression
from convcli.core.extend import OUTSIDE, filler, inside
from convcli.core.ops import Convolve
from convcli.errors import RequestError
from convcli.facts.explanation import ExplanationFacts, StageFacts, SumFacts
from convcli.planning.plan import make_plan, rules_for
from convcli.signals import ARRAY, Signal, blocks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from convcli.core.ops import Op, Span
    from convcli.planning.plan import BoundStep, Plan
    from convcli.signals import Align, Array, Edge, Medium, Source

# With more products than this in one stage, nobody reads them.
MOST_PRODUCTS = 1_000_000
# Where a model takes several channels.
ONE_CHANNEL = "one channel is shown here; `convcli filters model:FILE` shows the layers of others"


def explain_filter(
    filter: str,
    x: npt.ArrayLike,
    *,
    medium: Medium = ARRAY,
    edge: Edge | None = None,
    align: Align | None = None,
    matrix: bool = False,
) -> ExplanationFacts:
    """Compute FILTER on a signal of one channel and record every stage.

    x : (n,) or (rows, columns), NaN where a sample is missing
    edge, align : by default those of `medium`; an array has zero and center
    matrix : whether to add the filter as a matrix, which needs linear steps
    Raises RequestError for steps that have no windows to show, and for signals too large to read.
    """
    samples = np.asarray(x, dtype=np.float64)
    shown = replace(medium, channels_hint=ONE_CHANNEL, one_channel_hint=None)
    signal = Signal(medium=shown, shape=samples.shape, channels=("x",))
    rules = rules_for(signal, filter, edge=edge, align=align)
    plan = make_plan(filter, signal, rules)
    _refuse_without_windows(plan)
    stages = _stages(plan, samples)
    result = filter_samples(plan, samples)
    as_matrix = None
    if matrix:
        as_matrix = _nested(matrix_of(plan, samples))
    torch = ""
    if len(stages) == 1 and not np.isnan(samples).any():
        torch = torch_expression(stages[0], rules.edge)
    return ExplanationFacts(
        filter=plan.filter,
        edge=rules.edge,
        align=rules.align,
        stages=stages,
        result=_nested(result),
        matrix=as_matrix,
        torch=torch,
    )


def first_channel(source: Source[Any]) -> Array:
    """Read the first channel of a source, (n,), NaN where a sample is missing."""
    blocks = [block.x[:, 0] for block in blocks_of(source)]
    return np.concatenate(blocks) if blocks else np.empty(0)


def _refuse_without_windows(plan: Plan) -> None:
    """Raise RequestError for steps that see the whole signal, interpolate or have many channels."""
    for step in plan.steps:
        if step.whole is not None:
            raise step.call.error(
                f"{step.call.name} sees the whole signal first; there are no windows to show"
            )
    ops = plan.chain.ops
    interpolates = any(reach.phases > 1 for op in ops for reach in op.reach)
    if interpolates or len(plan.result.channels) > 1:
        raise RequestError(
            "a filter that interpolates has no single kernel to show", hint="kernel:1,2,1"
        )
    for step in plan.steps:
        if any(op.output_channels(1) > 1 for op in step.ops):
            raise step.call.error(
                f"{step.call.name} has several channels inside, and one is shown here"
            )


@dataclass(frozen=True, kw_only=True)
class _StageSamples:
    """Samples between two operations.

    first : index of the first of them along each axis; below 0 it lies before the signal
    length : length of the signal along each axis, without the extension at its edges
    """

    values: Array
    first: tuple[int, ...]
    length: tuple[int, ...]

    @classmethod
    def of(
        cls, values: Array, span: Span, length: tuple[int, ...], *, valid: bool
    ) -> _StageSamples:
        """Return the samples of `span`; under `valid`, indices count from the first of them."""
        if valid:
            return cls(values=values, first=(0,) * values.ndim, length=values.shape)
        return cls(values=values, first=tuple(low for low, _ in span), length=length)


def _stages(plan: Plan, x: Array) -> tuple[StageFacts, ...]:
    """Run the operations one after another; the edges of the signal are extended once, before."""
    chain = plan.chain
    valid = plan.extension == "valid"
    count = chain.valid_count if valid else chain.count
    counts = [count(axis, n) for axis, n in enumerate(x.shape)]
    if min(counts) == 0:
        return ()
    needed = [chain.needs(axis, 0, outputs) for axis, outputs in enumerate(counts)]
    # For each operation, the span it reads along every axis; at the end, the span of the outputs.
    spans = list(zip(*needed, strict=True))
    inputs = _StageSamples.of(
        _extended(x, spans[0], plan.extension), spans[0], x.shape, valid=valid
    )
    steps = [step for step in plan.steps for _ in step.ops]
    stages = []
    for op, step, span in zip(chain.ops, steps, spans[1:], strict=True):
        with np.errstate(all="ignore"):  # NaN and infinity are results here
            values = op(inputs.values[..., None], span)[..., 0]
        length = tuple(r.count(n) for r, n in zip(op.reach, inputs.length, strict=True))
        outputs = _StageSamples.of(values, span, length, valid=valid)
        stages.append(_stage(op, step, inputs, outputs))
        inputs = outputs
    return tuple(stages)


def _extended(x: Array, span: Span, edge: Edge) -> Array:
    """Extend `x` to the indices [low, high) of `span`; under `valid`, shorten it to as many."""
    for axis, (low, high) in enumerate(span):
        first = 0 if edge == "valid" else low
        wanted = np.arange(first, first + high - low)
        index = inside(wanted, x.shape[axis], edge)
        x = np.take(x, np.maximum(index, 0), axis=axis)
        outside = (slice(None),) * axis + (index == OUTSIDE,)
        x[outside] = filler(edge)
    return x


def _stage(op: Op, step: BoundStep, inputs: _StageSamples, outputs: _StageSamples) -> StageFacts:
    """Record one operation; for a convolution, every window too."""
    common: dict[str, Any] = {
        "text": step.call.text,
        "first": inputs.first,
        "length": inputs.length,
        "inputs": _nested(inputs.values),
        "outputs": _nested(outputs.values),
        "stride": tuple(reach.step for reach in op.reach),
    }
    if not isinstance(op, Convolve):
        return StageFacts(**common)
    count, taps = outputs.values.size, op.taps.size
    if count * taps > MOST_PRODUCTS:
        raise RequestError(
            f"{count:,} outputs of {taps:,} taps are too many to be looked at",
            hint="a shorter signal, such as convcli explain 1,2,3,4 KERNEL",
        )
    # Taps are stored in the order of a convolution, so they always lie flipped over the signal.
    laid = np.flip(op.taps)
    flipped = not step.step.correlates
    indices = np.ndindex(*outputs.values.shape)
    sums = [_sum(op, inputs, outputs, index) for index in indices]
    return StageFacts(
        **common,
        flipped=flipped,
        taps=_nested(op.taps if flipped else laid),
        laid=_nested(laid),
        divisor=op.divisor,
        before=op.before,
        after=op.after,
        gaps=op.gaps,
        sums=tuple(sums),
    )


def _sum(
    op: Convolve, inputs: _StageSamples, outputs: _StageSamples, index: tuple[int, ...]
) -> SumFacts:
    """Record how the output at `index` of the array of outputs is computed."""
    laid = np.flip(op.taps)
    window = inputs.values
    first = []
    at = []
    for axis, k in enumerate(index):
        start = k * op.step[axis]
        window = window.take(range(start, start + laid.shape[axis]), axis=axis)
        first.append(start + inputs.first[axis])
        at.append(k + outputs.first[axis])
    with np.errstate(all="ignore"):
        products = window * laid
    outside = _outside(first, laid.shape, inputs.length)
    return SumFacts(
        at=tuple(at),
        first=tuple(first),
        x=_nested(window),
        outside=outside.tolist(),
        products=_nested(products),
        total=_exact_sum(products),
        y=_none_if_missing(outputs.values[index]),
    )


def _outside(
    first: Sequence[int], size: tuple[int, ...], length: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """Mark the samples of a window of `size` from `first` on that lie outside of [0, length)."""
    outside = np.zeros(size, bool)
    for offsets, start, n in zip(np.indices(size), first, length, strict=True):
        index = start + offsets
        outside |= (index < 0) | (index >= n)
    return outside


def _exact_sum(products: Array) -> float:
    """Add up the products that are not missing, rounded once; an overflow gives infinity or NaN."""
    present = products[~np.isnan(products)].tolist()
    try:
        return math.fsum(present)
    except (OverflowError, ValueError):
        with np.errstate(all="ignore"):
            return float(np.sum(present))


def _nested(array: Any) -> Any:
    """Convert an array to nested tuples, NaN to None."""
    if array.ndim > 1:
        return tuple(_nested(row) for row in array)
    return tuple(_none_if_missing(value) for value in array)


def _none_if_missing(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
