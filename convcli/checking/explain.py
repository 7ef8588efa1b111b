"""A FILTER computed step by step on a small signal, to teach what a convolution does.

Each operation of the chain becomes one stage, which lists for every output the window that it is
computed from, and for a convolution the products and their sum. The numbers come from the
operations that filter, so the page shows what the filters do and cannot drift from it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.checking.equivalents import filter_samples, matrix_of
from convcli.checking.excerpt import array_description
from convcli.checking.frameworks import equinox_text, torch_text
from convcli.checking.spreading import spread_facts
from convcli.core.complete import Bounds, without_incomplete
from convcli.core.extend import Extent
from convcli.core.task import OpTask
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.facts.explanation import BranchFacts, ExplanationFacts, StageFacts, SumFacts
from convcli.facts.nested import nested, none_if_missing
from convcli.planning.plan import bind_chain, make_plan, rules_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from convcli.array_types import BoolArray
    from convcli.core.op import Op, Span
    from convcli.core.op_formula import Spread, WindowWeights
    from convcli.planning.plan import BoundStep, Plan
    from convcli.signals import Align, Array, Edge, Signal

# With more products than this in one stage, nobody reads them.
MOST_PRODUCTS = 1_000_000
# A window may be this many times as large as the kernel in it, where a filter only delays.
_FEWER = 16
# Where a model takes another number of channels than numbers have.
CHANNELS_HINT = "1,2,3/4,5,6 is a signal of two channels"


def explain_filter(
    filter: str,
    x: npt.ArrayLike,
    *,
    signal: Signal | None = None,
    axes: int | None = None,
    edge: Edge | None = None,
    align: Align | None = None,
    matrix: bool = False,
) -> ExplanationFacts:
    """Compute FILTER on a small signal and record every stage.

    x : (n,) or (rows, columns) for one channel, with another dimension for several channels, which
        come last; NaN where a sample is missing
    signal : what the samples are; by default an array without a rate, with channels x1, x2, ...
    axes : number of sample axes; by default those of `signal`, else every dimension is one
    edge, align : by default those of the medium; an array has zero and center
    matrix : whether to add the filter as a matrix, which needs linear steps and one channel
    Raises RequestError for steps that see the whole signal, and for signals too large to read.
    """
    plan, samples = small_plan(filter, x, signal=signal, axes=axes, edge=edge, align=align)
    _refuse_steps_without_windows(plan)
    stages = _stages(plan, samples)
    result = filter_samples(plan, samples)
    as_matrix = None
    if matrix:
        as_matrix = nested(matrix_of(plan, samples))
    shown = stages
    if np.isnan(samples).any():
        shown = ()  # frameworks have no missing values
    return ExplanationFacts(
        filter=plan.filter,
        edge=plan.rules.edge,
        align=plan.rules.align,
        channels=plan.result.channels,
        stages=stages,
        result=_by_channel(result, several=result.shape[-1] > 1),
        matrix=as_matrix,
        torch=torch_text(shown, plan.rules.edge),
        equinox=equinox_text(shown, plan.rules.edge),
    )


def small_plan(
    filter: str,
    x: npt.ArrayLike,
    *,
    signal: Signal | None,
    axes: int | None = None,
    edge: Edge | None,
    align: Align | None,
) -> tuple[Plan, Array]:
    """Plan FILTER for samples in memory.

    Returns the plan and the samples, (n, channels) or (rows, columns, channels).
    """
    samples = np.asarray(x, dtype=np.float64)
    if signal is not None:
        axes = signal.axes
    if axes is None or samples.ndim == axes:
        samples = samples[..., None]
    if signal is None:
        signal = array_description(samples)
    if signal.medium.channels_hint is None:
        shown = replace(signal.medium, channels_hint=CHANNELS_HINT)
        signal = replace(signal, medium=shown)
    rules = rules_for(signal, filter, edge=edge, align=align)
    return make_plan(filter, signal, rules), samples


def _by_channel(values: Array, *, several: bool) -> Any:
    """Convert samples to nested tuples, the channels first where there are several."""
    if several:
        return nested(np.moveaxis(values, -1, 0))
    return nested(values[..., 0])


def _refuse_steps_without_windows(plan: Plan) -> None:
    """Raise RequestError for steps that see the whole signal before the first output."""
    for step in plan.steps:
        if step.sees_whole:
            raise step.call.error(
                f"{step.call.title} sees the whole signal first; there are no windows to show"
            )


@dataclass(frozen=True, kw_only=True)
class _StageSamples:
    """Samples between two operations.

    values : (n, channels) or (rows, columns, channels)
    names : of the channels
    first : index of the first sample along each axis; below 0 it lies before the signal
    length : length of the signal along each axis, without the extension at its edges
    """

    values: Array
    names: tuple[str, ...]
    first: tuple[int, ...]
    length: tuple[int, ...]

    @property
    def span(self) -> Span:
        """The indices [low, high) of the samples along each axis."""
        sides = zip(self.first, self.values.shape, strict=False)
        return tuple((low, low + n) for low, n in sides)


def _stages(plan: Plan, x: Array) -> tuple[StageFacts, ...]:
    """Run the operations one after another; the edges of the signal are extended once, before."""
    chain = plan.chain
    valid = plan.extension == "valid"
    lengths = x.shape[:-1]
    count = chain.valid_count if valid else chain.count
    counts = [count(axis, n) for axis, n in enumerate(lengths)]
    if min(counts) == 0:
        return ()
    needed = [chain.needs(axis, 0, outputs, lengths[axis]) for axis, outputs in enumerate(counts)]
    # For each operation, the span it reads along every axis; at the end, the span of the outputs.
    spans = list(zip(*needed, strict=True))
    inputs = _first_samples(x, spans[0], plan.extension, plan.signal.channels)
    bounds = Bounds(low=(0,) * len(lengths), high=lengths)
    return _computed_stages(plan, _placed(chain.ops, plan.steps), spans, inputs, bounds)


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
    inputs: _StageSamples,
    bounds: Bounds,
) -> tuple[StageFacts, ...]:
    """Run some operations one after another.

    spans : for each operation, the span it reads along every axis; at the end, that of the outputs
    inputs : the samples that the first operation reads
    bounds : the samples of the signal, where windows that reach beyond it have no output
    """
    stages: list[StageFacts] = []
    begun: _Stage | None = None
    for place, span_in, span in zip(placed, spans, spans[1:], strict=False):
        op, step = place.op, place.step
        branches = tuple(_branches(plan, place, (span_in, span), inputs, bounds))
        _refuse_wide_windows(op, span)
        inputs = _padded_inputs(op, inputs, span)
        outputs, bounds = _complete_results(plan, place, inputs, span, bounds)
        if op.formula.continues_layer and begun is not None:
            begun = begun.continued(op, outputs)
            stages[-1] = begun.facts()
        else:
            begun = _Stage(place.text, op, step, inputs, outputs)
            stages.append(replace(begun.facts(), branches=branches))
        inputs = outputs
    return tuple(stages)


def _complete_results(
    plan: Plan, place: _PlacedOp, inputs: _StageSamples, span: Span, bounds: Bounds
) -> tuple[_StageSamples, Bounds]:
    """The outputs of an operation and their bounds; incomplete windows have none if so asked."""
    op = place.op
    outputs = _computed(op, place.step, inputs, span, valid=plan.extension == "valid")
    if plan.extension != "missing":
        return outputs, bounds
    bounds = op.work.complete_outputs(bounds, inputs.length)
    values = without_incomplete(outputs.values, span, bounds)
    return replace(outputs, values=values), bounds


def _branches(
    plan: Plan, place: _PlacedOp, spans: tuple[Span, Span], inputs: _StageSamples, bounds: Bounds
) -> Iterator[BranchFacts]:
    """Yield each branch of a group, what it gives, and how it is computed.

    spans : what the group reads, and its outputs; inputs : the samples that it reads
    """
    group = place.step.call.group
    if group is None or len(place.step.ops) > 1:
        return
    tasks = place.op.work.branch_tasks(spans[1], inputs.length)
    for branch, task in zip(group.branches, tasks, strict=True):
        own = _read_by_branch(inputs, spans[0], task.spans[0])
        steps = bind_chain(branch.calls, place.step.before, plan.rules, in_branch=True)
        placed = _placed(task.ops, steps)
        stages = _computed_stages(plan, placed, task.spans, own, bounds)
        several = own.values.shape[-1] > 1
        results = _by_channel(own.values, several=several)
        if stages:
            several, results = stages[-1].several, stages[-1].outputs
        yield BranchFacts(
            text=branch.text, first=own.first, several=several, results=results, stages=stages
        )


def _read_by_branch(inputs: _StageSamples, given: Span, read: Span) -> _StageSamples:
    """The samples `read` of the samples `given` that reach a group."""
    skipped = [low - first for (low, _), (first, _) in zip(read, given, strict=True)]
    places = []
    for start, (low, high) in zip(skipped, read, strict=True):
        places.append(slice(start, start + high - low))
    first = tuple(start + skip for start, skip in zip(inputs.first, skipped, strict=True))
    return replace(inputs, values=inputs.values[tuple(places)], first=first)


def _titles(step: BoundStep) -> list[str]:
    """The text of each operation of a step: of a network, that of each layer."""
    layers = step.stage.layers
    number_of_layer = np.cumsum([not op.formula.continues_layer for op in step.ops]) - 1
    if len(layers) > 1 and number_of_layer[-1] == len(layers) - 1:
        return [layers[number].text for number in number_of_layer]
    text = step.stage.formula or step.call.text
    return [text for _ in step.ops]


def _first_samples(x: Array, span: Span, edge: Edge, names: tuple[str, ...]) -> _StageSamples:
    """Extend the signal to the indices [low, high) of `span`; under `valid` nothing is extended."""
    lengths = x.shape[:-1]
    first = tuple(0 if edge == "valid" else low for low, _ in span)
    for axis, (low, high) in enumerate(span):
        extent = Extent(first[axis], first[axis] + high - low, lengths[axis], edge)
        x = extent.of(x, axis)
    if edge == "valid":
        lengths = x.shape[:-1]
    return _StageSamples(values=x, names=names, first=first, length=lengths)


def _padded_inputs(op: Op, inputs: _StageSamples, span: Span) -> _StageSamples:
    """Extend the inputs of a layer by the padding of its own."""
    if op.padding is None:
        return inputs
    task = replace(OpTask.alone(op.reach, span, inputs.length), starts=inputs.first)
    values = op.padding.extend(inputs.values, replace(task, begins=inputs.first))
    return replace(inputs, values=values)


def _computed(
    op: Op, step: BoundStep, inputs: _StageSamples, span: Span, *, valid: bool
) -> _StageSamples:
    """The outputs `span` of an operation; under `valid`, indices count from the first of them."""
    task = OpTask.alone(op.reach, span, inputs.length)
    with np.errstate(all="ignore"):  # NaN and infinity are results here
        values, _ = op.work.compute(inputs.values, task)
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
    return _StageSamples(values=values, names=names, first=first, length=length)


def _refuse_many(products: int, outputs: int, size: int) -> None:
    """Raise RequestError for more products than anybody reads, of windows of `size` samples."""
    if products > MOST_PRODUCTS:
        raise RequestError(
            f"{outputs:,} outputs of {size:,} taps are too many to see",
            hint="a shorter signal, such as convcli explain 1,2,3,4 KERNEL",
        )


def _refuse_wide_windows(op: Op, span: Span) -> None:
    """Raise RequestError before outputs are computed whose windows are too large to be shown."""
    outputs = math.prod(high - low for low, high in span)
    size = math.prod(reach.before + reach.after + 1 for reach in op.reach)
    _refuse_many(outputs * size // _FEWER, outputs, size)


@dataclass(frozen=True)
class _Stage:
    """An operation, or the operations of a layer, with the inputs and outputs.

    text : what the page calls it
    op : the first operation
    spread : set where the operations are a transposed convolution
    """

    text: str
    op: Op
    step: BoundStep
    inputs: _StageSamples
    outputs: _StageSamples
    spread: Spread | None = None

    def continued(self, op: Op, outputs: _StageSamples) -> _Stage:
        """The layer with another operation, which makes other outputs."""
        return replace(self, outputs=outputs, spread=op.formula.spread or self.spread)

    @cached_property
    def weights(self) -> WindowWeights | None:
        """The weights of the windows, None for an operation that is not a weighted sum."""
        found = self.op.formula.window_weights(len(self.inputs.names))
        if found is not None and found.only_complete and np.isnan(self.inputs.values).any():
            return None
        return found

    @cached_property
    def several(self) -> bool:
        """Whether there are several channels before or after."""
        return max(len(self.inputs.names), len(self.outputs.names)) > 1

    @cached_property
    def size(self) -> tuple[int, ...]:
        """How many samples a window has on each axis."""
        if self.weights is not None:
            return self.weights.size
        return tuple(reach.before + reach.after + 1 for reach in self.op.reach)

    @cached_property
    def before(self) -> tuple[int, ...]:
        """How many samples of a window lie before the index of the output times the stride."""
        if self.weights is not None:
            return self.weights.before
        return tuple(reach.before for reach in self.op.reach)

    def facts(self) -> StageFacts:
        """Record the operation and every window."""
        if self.spread is not None:
            return self._transposed(self.spread)
        sides = zip(self.size, self.before, strict=True)
        nn_call = self.op.formula.nn_call
        common = StageFacts(
            text=self.text,
            channels_in=self.inputs.names,
            channels_out=self.outputs.names,
            first=self.inputs.first,
            length=self.inputs.length,
            inputs=_by_channel(self.inputs.values, several=self.several),
            outputs=_by_channel(self.outputs.values, several=self.several),
            stride=tuple(reach.step for reach in self.op.reach),
            before=self.before,
            after=tuple(size - 1 - before for size, before in sides),
            nn_call="" if nn_call is None else nn_call.text("{x}"),
        )
        if any(reach.phases > 1 for reach in self.op.reach):
            return common
        common = replace(common, sums=tuple(self._sums()))
        if self.weights is None:
            return common
        return replace(common, **self._kernel(self.weights))

    def _transposed(self, spread: Spread) -> StageFacts:
        """Record a transposed convolution, with the copies of its kernel."""
        # Samples outside of the signal are 0, and add nothing.
        whole = []
        for first, n in zip(self.inputs.first, self.inputs.length, strict=True):
            whole.append(slice(-first, n - first))
        x = self.inputs.values[tuple(whole)]
        facts = StageFacts(
            text=self.text,
            channels_in=self.inputs.names,
            channels_out=self.outputs.names,
            first=(0,) * len(whole),
            length=self.inputs.length,
            inputs=_by_channel(x, several=self.several),
            outputs=_by_channel(self.outputs.values, several=self.several),
            stride=(1,) * len(whole),
            before=(0,) * len(whole),
            after=(0,) * len(whole),
        )
        if self.weights is None or np.isnan(x).any():
            return facts
        size = math.prod(spread.size)
        _refuse_many(x.size * size * len(self.outputs.names), self.outputs.values.size, size)
        at = self.outputs.first
        found = spread_facts(self.weights, spread, x, at, several=self.several)
        return replace(facts, spread=found)

    def _kernel(self, found: WindowWeights) -> dict[str, Any]:
        """The fields of a convolution."""
        flipped = found.flipped and not self.step.step.correlates
        laid, taps = found.weights, ()
        if not self.several:
            laid = found.weights[0, 0]
            taps = nested(np.flip(laid) if flipped else laid)
        bias = () if found.bias is None else tuple(map(float, found.bias))
        return {
            "flipped": flipped,
            "taps": taps,
            "laid": nested(laid),
            "groups": found.groups,
            "divisor": found.divisor,
            "bias": bias,
            "gaps": found.on_missing,
            "summarises": found.summarises,
            "padding": found.padding or "",
        }

    def _sums(self) -> Iterator[SumFacts]:
        """Yield how each output is computed, the channels one after the other."""
        outputs = self.outputs.values
        products = outputs.size * math.prod(self.size)
        if self.weights is not None:
            products *= self.weights.weights.shape[1]
        _refuse_many(products, outputs.size, math.prod(self.size))
        for channel in range(outputs.shape[-1]):
            for index in np.ndindex(outputs.shape[:-1]):
                yield self._sum(channel, index)

    def _sum(self, channel: int, index: tuple[int, ...]) -> SumFacts:
        """Record how the output at `index` of the array of outputs is computed."""
        window = self.inputs.values
        first = []
        for axis, k in enumerate(index):
            reach = self.op.reach[axis]
            start = k * reach.step + reach.before - self.before[axis]
            window = window.take(range(start, start + self.size[axis]), axis=axis)
            first.append(start + self.inputs.first[axis])
        reads = self._reads(channel)
        window = window[..., list(reads)]
        products, total = self._products(window, channel)
        at = zip(index, self.outputs.first, strict=True)
        outside = _outside_signal(first, self.size, self.inputs.length)
        return SumFacts(
            channel=channel,
            reads=tuple(reads),
            at=tuple(k + origin for k, origin in at),
            first=tuple(first),
            x=_by_channel(window, several=self.several),
            outside=outside.tolist(),
            products=products,
            total=total,
            y=none_if_missing(self.outputs.values[(*index, channel)]),
        )

    def _reads(self, channel: int) -> range:
        """The input channels that an output channel reads."""
        if self.weights is not None:
            return self.weights.inputs_of(channel)
        count = len(self.inputs.names)
        if len(self.outputs.names) == count:
            return range(channel, channel + 1)
        return range(count)

    def _products(self, window: Array, channel: int) -> tuple[Any, float | None]:
        """The products of a window with its weights, and their sum."""
        if self.weights is None:
            return None, None
        laid = np.moveaxis(self.weights.weights[channel], 0, -1)
        with np.errstate(all="ignore"):
            products = window * laid
        return _by_channel(products, several=self.several), _exact_sum(products)


def _outside_signal(
    first: Sequence[int], size: tuple[int, ...], length: tuple[int, ...]
) -> BoolArray:
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
