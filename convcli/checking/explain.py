"""A FILTER computed step by step on a small signal, to teach what a convolution does.

Each operation of the chain becomes one stage, which lists for every output the window that it is
computed from, and for a convolution the products and their sum. The numbers come from the
operations that filter, so the page shows what the filters do and cannot drift from it.

`SmallSignal` is such a signal: numbers that were typed, or an excerpt of a file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.checking.explained_stage import (
    ExplainedStage,
    StageSamples,
    by_channel,
    refuse_wide_windows,
)
from convcli.checking.frameworks import NO_MISSING, NoLineError, equinox_text, torch_text
from convcli.core.extend import Bounds, Extent, without_incomplete
from convcli.core.task import OpTask
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.facts.explanation import BranchFacts, ExplanationFacts, StageFacts
from convcli.facts.nested import nested
from convcli.planning.plan import bind_chain, make_plan, rules_for
from convcli.running.arrays import Blocks, Collected
from convcli.running.run import run
from convcli.signals import ARRAY, Signal, blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from convcli.core.op import Op, Span
    from convcli.planning.plan import BoundStep, Plan
    from convcli.signals import Align, Array, Edge, Source


@dataclass(frozen=True, kw_only=True)
class SmallSignal:
    """Samples, (n, channels) or (rows, columns, channels), and what they are."""

    samples: Array
    signal: Signal


def array_signal(channels: Sequence[npt.ArrayLike]) -> SmallSignal:
    """The signal of numbers, one (n,) or (rows, columns) for each channel, NaN where missing.

    Raises ValueError if the channels are not of one shape.
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


# Where a model takes another number of channels than numbers have.
CHANNELS_HINT = "1,2,3/4,5,6 is a signal of two channels"


def explain_filter(plan: Plan, samples: Array, *, matrix: bool = False) -> ExplanationFacts:
    """Compute a filter on a small signal and record every stage.

    plan, samples : as from `small_plan`
    matrix : whether to add the filter as a matrix, which needs linear steps and one channel
    Raises RequestError for steps that see the whole signal, and for signals too large to read.
    """
    _refuse_steps_without_windows(plan)
    stages = _stages(plan, samples)
    result = filter_samples(plan, samples)
    as_matrix = None
    if matrix:
        as_matrix = nested(matrix_of(plan, samples))
    facts = ExplanationFacts(
        filter=plan.filter,
        edge=plan.rules.edge,
        align=plan.rules.align,
        channels=plan.result.channels,
        stages=stages,
        result=by_channel(result, several=result.shape[-1] > 1),
        matrix=as_matrix,
    )
    return _with_lines(facts, has_missing=bool(np.isnan(samples).any()))


def _with_lines(facts: ExplanationFacts, *, has_missing: bool) -> ExplanationFacts:
    """Add the lines of PyTorch and of Equinox, or why there are none."""
    if not facts.stages:
        return facts
    if has_missing:
        return replace(facts, no_lines=NO_MISSING)
    try:
        torch = torch_text(facts.stages, facts.edge)
        return replace(facts, torch=torch, equinox=equinox_text(facts.stages, facts.edge))
    except NoLineError as error:
        return replace(facts, no_lines=str(error))


def small_plan(
    filter: str,
    x: npt.ArrayLike,
    *,
    signal: Signal | None = None,
    axes: int | None = None,
    edge: Edge | None = None,
    align: Align | None = None,
) -> tuple[Plan, Array]:
    """Plan FILTER for samples in memory.

    x : (n,) or (rows, columns) for one channel, with another dimension for several channels, which
        come last; NaN where a sample is missing
    signal : what the samples are; by default an array without a rate, with channels x1, x2, ...
    axes : number of sample axes; by default those of `signal`, else every dimension is one
    edge, align : by default those of the medium; an array has zero and center
    Returns the plan and the samples, (n, channels) or (rows, columns, channels).
    """
    samples = np.asarray(x, dtype=np.float64)
    if signal is not None:
        axes = signal.axes
    if axes is None or samples.ndim == axes:
        samples = samples[..., None]
    if signal is None:
        signal = array_description(samples)
    medium = signal.medium
    hint = medium.channels_hint or CHANNELS_HINT
    # What is shown must follow from the samples of its window alone, which an FFT does not give.
    exact = medium.exact or signal.axes == 1
    signal = replace(signal, medium=replace(medium, channels_hint=hint, exact=exact))
    rules = rules_for(signal, filter, edge=edge, align=align)
    return make_plan(filter, signal, rules), samples


def _refuse_steps_without_windows(plan: Plan) -> None:
    """Raise RequestError for steps that see the whole signal before the first output."""
    for step in plan.steps:
        if step.sees_whole:
            raise step.call.error(
                f"{step.call.title} sees the whole signal first; there are no windows to show"
            )


def _stages(plan: Plan, x: Array) -> tuple[StageFacts, ...]:
    """Run the operations one after another; the edges of the signal are extended once, before."""
    chain = plan.chain
    valid = plan.extension == "valid"
    lengths = x.shape[:-1]
    count = chain.valid_count if valid else chain.count
    counts = [count(axis, n) for axis, n in enumerate(lengths)]
    if min(counts) == 0:
        return ()
    spans = _spans(chain.ops, lengths, tuple((0, outputs) for outputs in counts))
    inputs = _first_samples(x, spans[0], plan.extension, plan.signal.channels)
    bounds = Bounds(low=(0,) * len(lengths), high=lengths)
    return _computed_stages(plan, _placed(chain.ops, plan.steps), spans, inputs, bounds)


def _spans(ops: Sequence[Op], lengths: tuple[int, ...], outputs: Span) -> list[Span]:
    """For each operation, the inputs that it is given along every axis; at the end the outputs.

    lengths : of the input of the first operation
    A layer that pads its own input is given all of it, and nothing outside.
    """
    given = []
    for op in ops:
        given.append(lengths)
        sides = zip(op.reach, lengths, strict=True)
        lengths = tuple(reach.count(n) for reach, n in sides)
    spans = [outputs]
    for op, whole in zip(reversed(ops), reversed(given), strict=True):
        if op.padding is not None and op.padding.extends:
            spans.append(tuple((0, n) for n in whole))
            continue
        wanted = zip(op.reach, spans[-1], strict=True)
        spans.append(tuple(reach.needs(low, high) for reach, (low, high) in wanted))
    return spans[::-1]


@dataclass(frozen=True)
class _PlacedOp:
    """An operation, the step that it belongs to, and what the page calls it."""

    op: Op
    step: BoundStep
    text: str


def _placed(ops: Sequence[Op], steps: Sequence[BoundStep]) -> list[_PlacedOp]:
    """The operations of some steps with their texts."""
    places = [(step, text) for step in steps for text in _titles(step)]
    return [_PlacedOp(op, step, text) for op, (step, text) in zip(ops, places, strict=True)]


def _computed_stages(
    plan: Plan,
    placed: Sequence[_PlacedOp],
    spans: Sequence[Span],
    inputs: StageSamples,
    bounds: Bounds,
) -> tuple[StageFacts, ...]:
    """Run some operations one after another.

    spans : for each operation, the span it reads along every axis; at the end, that of the outputs
    inputs : the samples that the first operation reads
    bounds : the samples of the signal, where windows that reach beyond it have no output
    """
    stages: list[StageFacts] = []
    begun: ExplainedStage | None = None
    for place, span_in, span in zip(placed, spans, spans[1:], strict=False):
        op, step = place.op, place.step
        branches = tuple(_branches(plan, place, (span_in, span), inputs, bounds))
        refuse_wide_windows(op, span)
        inputs = _padded_inputs(op, inputs, span)
        outputs, bounds = _complete_results(plan, place, inputs, span, bounds)
        if op.formula.continues_layer and begun is not None:
            begun = begun.continued(op, outputs)
            stages[-1] = begun.facts()
        else:
            begun = ExplainedStage(place.text, op, step, inputs, outputs)
            stages.append(replace(begun.facts(), branches=branches))
        inputs = outputs
    return tuple(stages)


def _complete_results(
    plan: Plan, place: _PlacedOp, inputs: StageSamples, span: Span, bounds: Bounds
) -> tuple[StageSamples, Bounds]:
    """The outputs of an operation and their bounds; incomplete windows have none if so asked."""
    op = place.op
    outputs = _computed(op, place.step, inputs, span, valid=plan.extension == "valid")
    if plan.extension != "missing":
        return outputs, bounds
    bounds = op.complete_outputs(bounds, inputs.length)
    values = without_incomplete(outputs.values, span, bounds)
    return replace(outputs, values=values), bounds


def _branches(
    plan: Plan, place: _PlacedOp, spans: tuple[Span, Span], inputs: StageSamples, bounds: Bounds
) -> Iterator[BranchFacts]:
    """Yield each branch of a group, what it gives, and how it is computed.

    spans : what the group reads, and its outputs; inputs : the samples that it reads
    """
    group = place.step.call.group
    if group is None or len(place.step.ops) > 1:
        return
    tasks = place.op.branch_tasks(spans[1], inputs.length)
    for branch, task in zip(group.branches, tasks, strict=True):
        own_spans = _spans(task.ops, inputs.length, task.spans[-1])
        own = _read_by_branch(inputs, spans[0], own_spans[0])
        steps = bind_chain(branch.calls, place.step.before, plan.rules, in_branch=True)
        placed = _placed(task.ops, steps)
        stages = _computed_stages(plan, placed, own_spans, own, bounds)
        several = own.values.shape[-1] > 1
        results = by_channel(own.values, several=several)
        if stages:
            several, results = stages[-1].several, stages[-1].outputs
        yield BranchFacts(
            text=branch.text, first=own.first, several=several, results=results, stages=stages
        )


def _read_by_branch(inputs: StageSamples, given: Span, read: Span) -> StageSamples:
    """The samples `read` of the samples `given` that reach a group."""
    skipped = [low - first for (low, _), (first, _) in zip(read, given, strict=True)]
    places = []
    for start, (low, high) in zip(skipped, read, strict=True):
        places.append(slice(start, start + high - low))
    first = tuple(start + skip for start, skip in zip(inputs.first, skipped, strict=True))
    return replace(inputs, values=inputs.values[tuple(places)], first=first)


def _titles(step: BoundStep) -> list[str]:
    """The text of each operation of a step: of a network, that of each layer."""
    formulas = [op.formula for op in step.ops]
    own = step.stage.formula or step.call.text
    texts = [own] * len(formulas)
    if len(step.stage.layers) > 1:
        texts = [title or own for title in _layer_titles(step)]
    return [formula.text or text for formula, text in zip(formulas, texts, strict=True)]


def _layer_titles(step: BoundStep) -> Sequence[str]:
    """The text of each operation of a network; empty where it belongs to no one layer."""
    layers, titles = step.stage.layers, step.stage.titles
    if len(titles) == len(step.ops):
        return titles
    formulas = [op.formula for op in step.ops]
    begins = [not formula.text and not formula.continues_layer for formula in formulas]
    number_of_layer = np.cumsum(begins) - 1
    if number_of_layer[-1] == len(layers) - 1:
        return [layers[number].text for number in number_of_layer]
    return [""] * len(formulas)


def _first_samples(x: Array, span: Span, edge: Edge, names: tuple[str, ...]) -> StageSamples:
    """Extend the signal to the indices [low, high) of `span`; under `valid` nothing is extended."""
    lengths = x.shape[:-1]
    first = tuple(0 if edge == "valid" else low for low, _ in span)
    for axis, (low, high) in enumerate(span):
        extent = Extent(first[axis], first[axis] + high - low, lengths[axis], edge)
        x = extent.of(x, axis)
    if edge == "valid":
        lengths = x.shape[:-1]
    return StageSamples(values=x, names=names, first=first, length=lengths)


def _padded_inputs(op: Op, inputs: StageSamples, span: Span) -> StageSamples:
    """Extend the inputs of a layer by its own padding."""
    if op.padding is None or not op.padding.extends:
        return inputs
    task = OpTask.alone(op.reach, span, inputs.length)
    # A negative padding cuts the first samples off.
    starts = tuple(max(0, begin) for begin in task.begins)
    known = inputs.values[tuple(slice(start, None) for start in starts)]
    values = op.padding.extend(known, replace(task, starts=starts))
    return replace(inputs, values=values, first=task.begins)


def _computed(
    op: Op, step: BoundStep, inputs: StageSamples, span: Span, *, valid: bool
) -> StageSamples:
    """The outputs `span` of an operation; under `valid`, indices count from the first of them."""
    task = OpTask.alone(op.reach, span, inputs.length)
    with np.errstate(all="ignore"):  # NaN and infinity are results here
        values, _ = op.compute(inputs.values, task)
    names = inputs.names
    if len(names) != values.shape[-1]:
        names = step.after.channels
    if len(names) != values.shape[-1]:
        names = tuple(f"h{number + 1}" for number in range(values.shape[-1]))
    first = tuple(low for low, _ in span)
    length = tuple(r.count(n) for r, n in zip(op.reach, inputs.length, strict=True))
    if valid:
        first = (0,) * len(span)
        length = values.shape[:-1]
    return StageSamples(values=values, names=names, first=first, length=length)


# --------------------------------------------- other forms of the filter: its result and its matrix


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
