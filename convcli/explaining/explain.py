"""A convolution computed step by step, by the operations that filter: what lies under the kernel, products, sums."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.extend import OUTSIDE, filler, inside
from convcli.core.ops import Convolve
from convcli.errors import ConvcliError, RequestError
from convcli.facts.explanation import ExplanationFacts, StageFacts, SumFacts
from convcli.layers.conv import Conv
from convcli.planning.plan import Rules, make_plan
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, Signal, blocks_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.core.ops import Op
    from convcli.planning.plan import BoundStep, Plan
    from convcli.signals import Align, Array, Edge, Medium, Source

    Numbers = npt.NDArray[np.float64]

# More products than this are no longer read by anybody.
MOST_PRODUCTS = 1_000_000
# A matrix larger than this is not either.
LARGEST_MATRIX = 1024
# torch.nn.functional.pad by the names of edge rules; the others have no counterpart.
PADS = {
    "zero": "constant",
    "edge": "replicate",
    "reflect": "reflect",
    "wrap": "circular",
    "valid": "",
}


def explain(
    filter: str,
    x: Numbers,
    *,
    medium: Medium = ARRAY,
    edge: Edge | None = None,
    align: Align | None = None,
    matrix: bool = False,
) -> ExplanationFacts:
    """Every stage of FILTER on a signal of one channel.

    x : (n,) or (rows, columns), NaN is missing; edge, align : by default those of `medium`, of an array zero and center
    matrix : also as a matrix, where every step is linear
    Raises RequestError for a step that sees the whole signal first, and for what is too large to be looked at.
    """
    signal = Signal(medium=medium, shape=x.shape, channels=("x",))
    rules = Rules.of(signal, filter, edge=edge, align=align)
    plan = make_plan(filter, signal, rules)
    whole = next((step for step in plan.steps if step.whole is not None), None)
    if whole is not None:
        raise whole.call.error(
            f"{whole.call.name} sees the whole signal first; there are no windows to show"
        )
    if any(
        op.reach[a].phases > 1 or len(plan.result.channels) > 1
        for op in plan.chain.ops
        for a in range(x.ndim)
    ):
        raise RequestError(
            "a filter that interpolates has no single kernel to show", hint="kernel:1,2,1"
        )
    wide = next(
        (
            step
            for step in plan.steps
            for op in step.ops
            if isinstance(op, Conv) and op.weights.shape[:2] != (1, 1)
        ),
        None,
    )
    if wide is not None:
        raise wide.call.error(
            f"{wide.call.name} has several channels inside, and one is shown here"
        )
    stages = _stages(plan, x)
    return ExplanationFacts(
        filter=plan.filter,
        edge=rules.edge,
        align=rules.align,
        stages=stages,
        result=_nested(_filtered(plan, x)),
        matrix=_nested(_matrix(plan, x)) if matrix else None,
        torch="" if np.isnan(x).any() else _torch(stages, plan),
    )


def _filtered(plan: Plan, x: Numbers) -> Array:
    sink = Collected()
    run(plan, Blocks(plan.signal, [x[..., None]]), sink, threads=1)
    return (
        np.concatenate(sink.parts)[..., 0]
        if sink.parts
        else np.empty(tuple(n or 0 for n in plan.result.shape))
    )


# ---------------------------------------------------------------------------------------------------- stages


def _stages(plan: Plan, x: Numbers) -> tuple[StageFacts, ...]:
    """What goes into each operation and what comes out of it, the ends of the signal extended once."""
    chain, valid = plan.chain, plan.rules.edge == "valid"
    counts = [
        chain.valid_count(a, n) if valid else chain.count(a, n) for a, n in enumerate(x.shape)
    ]
    spans = [chain.needs(axis, 0, count) for axis, count in enumerate(counts)]
    if min(counts) == 0:
        return ()
    y = _extended(x, [span[0] for span in spans], plan.rules.edge)
    lengths, stages = x.shape, []
    steps = [step for step in plan.steps for _ in step.ops]
    for number, (op, step) in enumerate(zip(chain.ops, steps, strict=True)):
        before = [span[number] for span in spans]
        after = [span[number + 1] for span in spans]
        with np.errstate(all="ignore"):  # NaN is an answer here, not an accident
            given, y = y, op(y[..., None], tuple(after))[..., 0]
        if valid:  # the indices that count from the first sample there is
            lengths, before, after = (
                given.shape,
                [(0, n) for n in given.shape],
                [(0, n) for n in y.shape],
            )
        stages.append(_stage(op, step, given, y, before, after, lengths))
        lengths = tuple(r.count(n) for r, n in zip(op.reach, lengths, strict=True))
    return tuple(stages)


def _extended(x: Array, spans: list[tuple[int, int]], edge: Edge) -> Array:
    for axis, (low, high) in enumerate(spans):
        n = x.shape[axis]
        shift = -low if edge == "valid" else 0
        index = inside(np.arange(low + shift, high + shift), n, edge)
        x = np.take(x, np.maximum(index, 0), axis=axis)
        x[(slice(None),) * axis + (index == OUTSIDE,)] = filler(edge)
    return x


Span = list[tuple[int, int]]


def _stage(  # noqa: PLR0917 -- the two sides of one operation
    op: Op, step: BoundStep, x: Array, y: Array, before: Span, after: Span, length: tuple[int, ...]
) -> StageFacts:
    common: dict[str, Any] = {
        "text": step.call.text,
        "first": tuple(low for low, _ in before),
        "length": tuple(length),
        "inputs": _nested(x),
        "outputs": _nested(y),
        "stride": tuple(r.step for r in op.reach),
    }
    if not isinstance(op, Convolve):
        return StageFacts(**common)
    if y.size * op.taps.size > MOST_PRODUCTS:
        raise RequestError(
            f"{y.size:,} outputs of {op.taps.size:,} taps are too many to be looked at",
            hint="a shorter signal, such as convcli explain 1,2,3,4 KERNEL",
        )
    flipped = step.step.name not in ("correlate", "model")
    laid = np.flip(op.taps)
    return StageFacts(
        **common,
        flipped=flipped,
        taps=_nested(op.taps if flipped else laid),
        laid=_nested(laid),
        divisor=op.divisor,
        before=op.before,
        after=op.after,
        gaps=op.gaps,
        sums=tuple(_sum(op, laid, x, y, at, before, after, length) for at in np.ndindex(*y.shape)),
    )


def _sum(  # noqa: PLR0917 -- likewise
    op: Convolve,
    laid: Numbers,
    x: Array,
    y: Array,
    at: tuple[int, ...],
    before: Span,
    after: Span,
    length: Any,
) -> SumFacts:
    """The window of output number `at`: windows follow each other by the stride from the first sample that was read."""
    corner = [k * s for k, s in zip(at, op.step, strict=True)]
    window = x[tuple(slice(c, c + k) for c, k in zip(corner, laid.shape, strict=True))]
    first = tuple(c + low for c, (low, _) in zip(corner, before, strict=True))
    places = np.meshgrid(
        *(np.arange(f, f + k) for f, k in zip(first, laid.shape, strict=True)), indexing="ij"
    )
    outside = np.any(
        [(place < 0) | (place >= n) for place, n in zip(places, length, strict=True)], axis=0
    )
    with np.errstate(all="ignore"):
        products = window * laid
    return SumFacts(
        at=tuple(k + low for k, (low, _) in zip(at, after, strict=True)),
        first=first,
        x=_nested(window),
        outside=outside.tolist(),
        products=_nested(products),
        total=_total(products),
        y=_number(y[at]),
    )


def _total(products: Array) -> float:
    """The exact sum of what is there, or what is left of it beyond the largest number."""
    try:
        return math.fsum(products[~np.isnan(products)].tolist())
    except (OverflowError, ValueError):
        with np.errstate(all="ignore"):
            return float(np.nansum(products))


def _nested(array: Any) -> Any:
    """An array as lists, None where nothing is."""
    if array.ndim > 1:
        return tuple(_nested(row) for row in array)
    return tuple(_number(value) for value in array)


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


# ---------------------------------------------------------------------------------------- the same, otherwise


def _matrix(plan: Plan, x: Numbers) -> Array:
    """The filter as a matrix: its outputs for an impulse at each sample, side by side."""
    nonlinear = next(
        (step for step in plan.steps for op in step.ops if not isinstance(op, Convolve)), None
    )
    if nonlinear is not None:
        raise nonlinear.call.error(f"{nonlinear.call.name} is not linear, and so no matrix")
    if np.isnan(x).any():
        raise RequestError("a matrix needs a signal without missing values")
    if x.size**2 > LARGEST_MATRIX:
        raise RequestError(
            f"a matrix for {x.size} samples is too large to be looked at", hint="at most 32 samples"
        )
    if not x.size:
        return np.zeros((0, 0))
    columns = [_filtered(plan, impulse.reshape(x.shape)).ravel() for impulse in np.eye(x.size)]
    return np.stack(columns, axis=1)


def _torch(stages: tuple[StageFacts, ...], plan: Plan) -> str:
    """The call of torch.nn.functional that computes the same; empty for a chain of several operations."""
    if len(stages) != 1 or stages[0].flipped is None or plan.rules.edge not in PADS:
        return ""
    (stage,) = stages
    axes = len(stage.stride)
    weights = str(_listed(stage.laid)) + (f" / {stage.divisor:g}" if stage.divisor != 1 else "")
    x = "x"
    pads = [
        side
        for b, a in zip(reversed(stage.before), reversed(stage.after), strict=True)
        for side in (b, a)
    ]
    if plan.rules.edge != "valid" and any(pads):
        mode = PADS[plan.rules.edge]
        # torch mirrors or goes round once and no further
        most = [n - (mode == "reflect") for n in reversed(stage.length) for _ in range(2)]
        if mode in ("reflect", "circular") and any(
            pad > n for pad, n in zip(pads, most, strict=True)
        ):
            return ""
        x = f"pad(x, {tuple(pads)}" + (")" if mode == "constant" else f", {mode!r})")
    stride = (
        ""
        if set(stage.stride) == {1}
        else f", stride={stage.stride if axes > 1 else stage.stride[0]}"
    )
    return f"conv{axes}d({x}, w{stride}) with w = {weights}"


def _listed(taps: Any) -> Any:
    return [_listed(tap) if isinstance(tap, tuple) else _short(tap) for tap in taps]


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else float(f"{value:.6g}")


def column_of(source: Source[Any]) -> Numbers:
    """The first channel of a source, (n,); NaN where missing."""
    blocks = [block.x[:, 0] for block in blocks_of(source)]
    return np.concatenate(blocks) if blocks else np.empty(0)


def signal_of_text(text: str, error: ConvcliError) -> Numbers:
    """(n,) or, with rows split by `;`, (rows, columns) numbers; NaN and nothing are missing. Raises `error`."""
    try:
        rows = [
            [math.nan if not cell.strip() else float(cell) for cell in row.split(",")]
            for row in text.split(";")
        ]
    except ValueError as bad:
        error.message += f": {str(bad).removeprefix('could not convert string to float: ')} is none"
        raise error from None
    x = [value for row in rows for value in row]
    if (
        not text.strip()
        or any(math.isinf(value) for value in x)
        or len({len(row) for row in rows}) > 1
    ):
        error.message += ": " + (
            "got none" if not text.strip() else "finite ones, and as many in each row"
        )
        raise error
    return np.array(x).reshape(len(rows), -1) if len(rows) > 1 else np.array(x)
