"""One operation of a chain with its inputs and outputs, recorded window by window.

A transposed convolution is shown as it is taught: every input spreads the kernel over the outputs.
The layer runs as a convolution that makes all phases of each output channel, which are interleaved
afterwards. The kernel is rebuilt from the weights of that convolution.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.facts.explanation import CopyFacts, SpreadFacts, StageFacts, SumFacts
from convcli.facts.nested import nested, none_if_missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.array_types import BoolArray, FloatArray
    from convcli.core.op import Op, Span
    from convcli.core.op_formula import AddedSamples, Spread, WindowWeights
    from convcli.planning.plan import BoundStep
    from convcli.signals import Array


# More products than this in one stage are too many to read.
MOST_PRODUCTS = 1_000_000
# A window may be this many times as wide as the kernel in it, where a filter only delays.
_TIMES_AS_WIDE = 16


def by_channel(values: Array, *, several: bool) -> Any:
    """Convert samples to nested tuples, the channels first where there are several."""
    if several:
        return nested(np.moveaxis(values, -1, 0))
    return nested(values[..., 0])


@dataclass(frozen=True, kw_only=True)
class StageSamples:
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


def refuse_wide_windows(op: Op, span: Span) -> None:
    """Raise RequestError before outputs are computed whose windows are too large to be shown."""
    outputs = math.prod(high - low for low, high in span)
    size = math.prod(reach.before + reach.after + 1 for reach in op.reach)
    _refuse_many(outputs * size // _TIMES_AS_WIDE, outputs, size)


def _refuse_many(products: int, outputs: int, size: int) -> None:
    """Raise RequestError for more products than anybody reads, of windows of `size` samples."""
    if products > MOST_PRODUCTS:
        raise RequestError(
            f"{outputs:,} outputs of {size:,} taps are too many to see",
            hint="a shorter signal, such as convcli explain 1,2,3,4 KERNEL",
        )


@dataclass(frozen=True)
class ExplainedStage:
    """An operation, or the operations of a layer, with the inputs and outputs.

    text : what the page calls it
    op : the first operation
    spread : set where the operations are a transposed convolution
    """

    text: str
    op: Op
    step: BoundStep
    inputs: StageSamples
    outputs: StageSamples
    spread: Spread | None = None

    def continued(self, op: Op, outputs: StageSamples) -> ExplainedStage:
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
        if self.op.formula.added is not None:
            return self._padded(self.op.formula.added)
        sides = zip(self.size, self.before, strict=True)
        after = tuple(size - 1 - before for size, before in sides)
        stride = tuple(reach.step for reach in self.op.reach)
        facts = self._samples(*self._shown_inputs())
        facts = replace(facts, stride=stride, before=self.before, after=after)
        formula = self.op.formula
        facts = replace(facts, nn_pool=formula.nn_pool, nn_windows=formula.nn_windows)
        if formula.nn_call is not None:
            text, numbers = formula.nn_call.text("{x}"), formula.nn_call.numbers
            facts = replace(facts, nn_call=text, nn_numbers=numbers)
        if any(reach.phases > 1 for reach in self.op.reach):
            return replace(facts, phases=tuple(reach.phases for reach in self.op.reach))
        facts = replace(facts, sums=tuple(self._sums()))
        if self.weights is None:
            return facts
        return replace(facts, **self._kernel(self.weights))

    def _shown_inputs(self) -> tuple[Array, tuple[int, ...]]:
        """The samples of the signal and those outside that a window reads, and where they begin.

        A layer that pads its own input is given more than that.
        """
        padding = self.op.padding
        if padding is None or not padding.extends:
            return self.inputs.values, self.inputs.first
        shown = []
        first = []
        for axis, (low, high) in enumerate(self.outputs.span):
            step = self.op.reach[axis].step
            begin = min(0, low * step - self.before[axis])
            last = (high - 1) * step - self.before[axis] + self.size[axis]
            start = max(self.inputs.first[axis], begin)
            stop = max(self.inputs.length[axis], last)
            shown.append(slice(start - self.inputs.first[axis], stop - self.inputs.first[axis]))
            first.append(start)
        return self.inputs.values[tuple(shown)], tuple(first)

    def _samples(self, x: Array, first: tuple[int, ...]) -> StageFacts:
        """The inputs and the outputs, of an operation that reads one sample for each output.

        x : the inputs that are shown · first : the index of the first of them on each axis
        """
        none = (0,) * len(first)
        return StageFacts(
            text=self.text,
            channels_in=self.inputs.names,
            channels_out=self.outputs.names,
            first=first,
            length=self.inputs.length,
            inputs=by_channel(x, several=self.several),
            outputs=by_channel(self.outputs.values, several=self.several),
            stride=(1,) * len(first),
            before=none,
            after=none,
            at=self.outputs.first,
        )

    def _inside(self) -> StageFacts:
        """The inputs without samples outside of the signal, and the outputs."""
        starts = tuple(max(0, first) for first in self.inputs.first)
        return self._samples(self._inputs_inside(), starts)

    def _inputs_inside(self) -> Array:
        """The inputs without samples outside of the signal."""
        whole = []
        for first, n in zip(self.inputs.first, self.inputs.length, strict=True):
            whole.append(slice(max(0, -first), n - first))
        return self.inputs.values[tuple(whole)]

    def _padded(self, added: AddedSamples) -> StageFacts:
        """Record a layer that only adds samples."""
        return replace(
            self._inside(),
            before=added.before,
            after=added.after,
            padding=added.rule,
            only_pads=True,
        )

    def _transposed(self, spread: Spread) -> StageFacts:
        """Record a transposed convolution, with the copies of its kernel."""
        # Samples outside of the signal are 0, and add nothing.
        facts = self._inside()
        x = self._inputs_inside()
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
            "dilation": found.dilation or self._dilation_of_layer(found),
        }

    def _dilation_of_layer(self, found: WindowWeights) -> tuple[int, ...]:
        """The dilation of a model of one layer, whose weights became the taps of a filter."""
        ones = (1,) * len(found.size)
        layers = self.step.stage.layers
        stored = np.shape(layers[0].weights)[2:] if len(layers) == 1 else ()
        if len(stored) != len(ones):
            return ones
        apart = tuple(map(_distance_of_taps, found.size, stored))
        taps = without_zeros(found.weights, apart)
        others_are_zero = np.count_nonzero(taps) == np.count_nonzero(found.weights)
        return apart if others_are_zero else ones

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
            x=by_channel(window, several=self.several),
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
        return by_channel(products, several=self.several), _exact_sum(products)


def _outside_signal(
    first: Sequence[int], size: tuple[int, ...], length: tuple[int, ...]
) -> BoolArray:
    """Mark the samples of a window of `size` from `first` on that lie outside of [0, length)."""
    outside = np.zeros(size, bool)
    for offsets, start, n in zip(np.indices(size), first, length, strict=True):
        index = start + offsets
        outside |= (index < 0) | (index >= n)
    return outside


def _distance_of_taps(width: int, taps: int) -> int:
    """Samples from one tap to the next, if taps lie evenly in a window of `width` samples."""
    return max(1, (width - 1) // max(1, taps - 1))


def _exact_sum(products: Array) -> float:
    """Add up the products that are not missing, rounded once; an overflow gives infinity or NaN."""
    present = products[~np.isnan(products)].tolist()
    try:
        return math.fsum(present)
    except (OverflowError, ValueError):
        with np.errstate(all="ignore"):
            return float(np.sum(present))


# -------------------------------------------------------------------------- transposed convolutions


def without_zeros(weights: FloatArray, dilation: tuple[int, ...]) -> FloatArray:
    """Weights without the zeros that a dilation puts between the taps.

    weights : (..., *size), with a dilation for each axis of size
    """
    kept: Any = (..., *(slice(None, None, apart) for apart in dilation))
    taps: FloatArray = weights[kept]
    return taps


def spread_facts(
    phases: WindowWeights, spread: Spread, x: Array, at: tuple[int, ...], *, several: bool
) -> SpreadFacts:
    """Record every copy of the kernel; the outputs are sums of these copies.

    phases : the weights of the convolution that makes the phases
    x : the inputs from index 0 on, (n, channels) or (rows, columns, channels), none missing
    at : index of the first output along each axis
    several : whether arrays have a level for the channels
    """
    kernel = _kernel_of(phases, spread)
    bias: tuple[float, ...] = ()
    if phases.bias is not None:
        every = math.prod(spread.stride)
        bias = tuple(map(float, phases.bias[::every]))
    return SpreadFacts(
        kernel=nested(kernel if several else kernel[0, 0]),
        stride=spread.stride,
        first=spread.first,
        at=at,
        groups=phases.groups,
        bias=bias,
        dilation=spread.dilation,
        copies=tuple(_copies(kernel, phases.groups, spread, x)),
    )


def _kernel_of(phases: WindowWeights, spread: Spread) -> FloatArray:
    """The kernel (out, in / groups, *size): phase r of tap j lies at (before - j) * stride + r."""
    taken = phases.weights.shape[1]
    by_phase = phases.weights.reshape(-1, *spread.stride, taken, *phases.size)
    kernel = np.zeros((len(by_phase), taken, *spread.size))
    for phase in np.ndindex(spread.stride):
        for tap in np.ndindex(phases.size):
            place = []
            for axis, stride in enumerate(spread.stride):
                output = (phases.before[axis] - tap[axis]) * stride + phase[axis]
                place.append(output - spread.first[axis])
            inside = zip(place, spread.size, strict=True)
            if all(0 <= offset < size for offset, size in inside):
                to: Any = (..., *place)
                of: Any = (..., *tap)
                kernel[to] = by_phase[(slice(None), *phase)][of]
    return kernel


def _copies(kernel: FloatArray, groups: int, spread: Spread, x: Array) -> Iterator[CopyFacts]:
    """Yield the kernel times each input, the channels one after the other."""
    made = len(kernel) // groups
    taken = kernel.shape[1]
    several = x.shape[-1] > 1 or len(kernel) > 1
    for channel in range(x.shape[-1]):
        group, number = divmod(channel, taken)
        adds_to = range(group * made, (group + 1) * made)
        weights = kernel[list(adds_to), number]
        for index in np.ndindex(x.shape[:-1]):
            sample = float(x[(*index, channel)])
            products = sample * weights
            places = zip(index, spread.stride, spread.first, strict=True)
            first_output = tuple(i * stride + first for i, stride, first in places)
            yield CopyFacts(
                channel=channel,
                adds_to=tuple(adds_to),
                at=index,
                first=first_output,
                x=sample,
                products=nested(products if several else products[0]),
            )
