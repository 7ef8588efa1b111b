"""Chains: operations one after the other.

The whole program rests on one idea. A signal is extended once, at its two ends, by as much as the
whole chain looks beyond them. After that every operation is "valid": it turns the samples that it
is given into the outputs that they suffice for, and asks neither where the signal ends nor where a
block does. A signal that comes in blocks is therefore filtered exactly as an array is (an array is
a stream of one block), and blocks are independent of each other: they may be computed in any order
and by any thread. The samples outside come from `core/extend.py`; `running/stream.py` adds them
where a job reads beyond an end, and `running/jobs.py` beside the columns of a picture.

    outputs of the chain        [start, stop)
    read by the last operation  [low, high)        = reach.needs(start, stop)
    ...                                              and so on backwards through the chain
    read by the first one       [low, high)        what a job has to be given

Some operations need more than a window of the extended signal:

* One that *holds* values fills a gap with the last known value, however far back that lies. What it
  met before its inputs comes from the job before (`HeldValues`). Samples that a later stride skips
  are given to it all the same. It may be deep in a branch of a branch; its place says where.
* A layer of a network may pad its own input. It is told where the signal ends (`ends`) and does so
  in `Op.padded`. A layer with circular padding (`needs_end`) begins with samples of the end, so
  that no output is known before the signal has ended.
* The windows of a filter in time are bounded by times. Their reach is known as far as samples have
  come: a `Tracker` records the times, and a job is computed by a chain that is bound to them
  (`time_tracking.py`). Outside of the signal there are no times, and all samples are missing.
* Layers on a picture are computed in blocks of a fixed grid (`blocks.py`), so that an output has
  the same bits however the picture arrives.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convcli.core.blocks import block_columns, block_rows
from convcli.core.complete import without_incomplete
from convcli.core.convolution.rounding import float_type_for_bytes, settles_all
from convcli.core.exact.overflow import without_overflow
from convcli.core.executor import ExecutedRun
from convcli.core.missing import any_missing
from convcli.core.reach import Reach
from convcli.core.task import (
    Continuation,
    HeldIfAsked,
    Inputs,
    OpTask,
    held_of_parts,
    nothing_earlier,
)
from convcli.dataclass import dataclass
from convcli.samples import as_samples, summed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.calendar_bins import CalendarBins
    from convcli.core.complete import Bounds
    from convcli.core.executor import Executor, Pads
    from convcli.core.ops import Op, Span
    from convcli.core.reach import Index, Indices
    from convcli.core.task import HeldAfter, HeldEarlier, HeldPlace
    from convcli.signals import Array

# Outputs that are looked at for the reach of a chain of resamplers; of a longer period these many
# are, evenly spaced.
MOST_PHASES = 1 << 18
# The length of an input that goes on.
NOT_ENDED = 1 << 62


class HeldValues(Protocol):
    """The last known values from before a job, for operations that fill gaps with them."""

    def held(self, place: HeldPlace) -> Array | None:
        """Return the last known value of each channel before the operation at `place`, or None."""
        ...


@dataclass(frozen=True, eq=False)
class Chain:
    """Operations one after the other on a signal with `axes` sample axes.

    A chain of no operations changes nothing.
    """

    ops: tuple[Op, ...]
    axes: int = 1

    # --- geometry ---

    def needs(
        self, axis: int, start: Index, stop: Index, n: int | None = None
    ) -> list[tuple[Index, Index]]:
        """Return the samples [low, high) that each operation reads for the outputs [start, stop).

        The first entry is what the chain reads, the last one is (start, stop).

        start, stop : of one stretch of outputs, or of many at once
        n : the length of the signal if it is known; a layer with circular padding then gets all of
            its input
        """
        given, _ = self._walk(axis, (start, stop), n)
        spans: list[tuple[Any, Any]] = [(each.start, each.high) for each in given]
        return spans

    def reads(
        self, start: int, stop: int, n: int | None = None, *, done: int | None = None
    ) -> list[Inputs]:
        """Return the inputs of each operation along axis 0 for the outputs [start, stop).

        This is `needs` for outputs that continue earlier ones: an operation that holds values is
        given all samples from where the earlier outputs left off, also those that a stride later in
        the chain skips.

        done : the end of the earlier outputs, by default `start`
        """
        given, _ = self._walk(0, (start, stop), n, done=start if done is None else done)
        return given

    def _walk(
        self,
        axis: int,
        span: tuple[Any, Any],
        n: int | None,
        *,
        done: int | None = None,
        inside: bool = False,
    ) -> tuple[list[Inputs], list[Inputs]]:
        """Return what each operation is given along an axis, and what of that is computed.

        done : the end of earlier outputs along axis 0; None where the outputs continue no earlier
            ones
        inside : samples outside of the input of a layer that extends it by itself are not computed
        """
        circular = self._circular_lengths(axis, n)
        ended = None if done is None else self._ended(done)
        start, stop = span
        after = Inputs(start, start, stop)
        given = [after]
        computed = [after]
        lengths = self._input_lengths(axis, n) if inside else None
        for number in reversed(range(len(self.ops))):
            op = self.ops[number]
            length = circular.get(number)
            if ended is None:
                low, high = op.reach[axis].needs(after.start, after.high)
                inputs = Inputs(low, low, high)
            else:
                inputs = op.reads(after.start, after.high, ended[number + 1], length)
            if length is not None:
                inputs = inputs._replace(high=max(inputs.high, length))
            given.append(inputs)
            after = inputs if lengths is None else _within(inputs, lengths[number])
            computed.append(after)
        return given[::-1], computed[::-1]

    def _ended(self, done: int) -> list[int]:
        """Return where the inputs of each operation end for outputs that end at `done`."""
        if done <= 0:
            return [0] * (len(self.ops) + 1)
        return [high for _, high in self.needs(0, done - 1, done)]

    def _input_lengths(self, axis: int, n: int | None) -> list[int | None]:
        """Length of the input of each operation that reads nothing outside of it, else None.

        A length that is not known yet is NOT_ENDED.
        """
        found: list[int | None] = []
        for op in self.ops:
            length = NOT_ENDED if n is None else n
            found.append(length if op.reads_inside else None)
            n = None if n is None else op.reach[axis].count(n)
        return found

    def _circular_lengths(self, axis: int, n: int | None) -> dict[int, int]:
        """Input length of every circularly padded layer, by the number of the operation."""
        found: dict[int, int] = {}
        if n is None or not self.needs_end:
            return found
        for number, op in enumerate(self.ops):
            if op.needs_end:
                found[number] = n
            n = op.reach[axis].count(n)
        return found

    def ready(self, axis: int, n: Index) -> Index:
        """Count the outputs that read no input at or past `n`."""
        for op in self.ops:
            n = op.reach[axis].ready(n)
        return n

    def count(self, axis: int, n: int) -> int:
        """Count the outputs of a signal of `n` samples that is extended at both ends."""
        for op in self.ops:
            n = op.reach[axis].count(n)
        return n

    def valid_count(self, axis: int, n: int) -> int:
        """Count the outputs of a signal that is not extended: window 0 starts at sample 0.

        Layers of a network that pad their own input do so here too.
        """
        if self.pads:
            return self.complete().count(axis, n)
        before = -self.needs(axis, 0, 1)[0][0]
        return max(0, self.ready(axis, n - before))

    def aligned_input(self, axis: int, k: Index) -> Index:
        """Return the inputs that the outputs `k` are aligned with."""
        for op in reversed(self.ops):
            k = op.reach[axis].aligned_input(k)
        return k

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The reach of the chain on each axis; the union over all phases."""
        return tuple(self._reach(axis) for axis in range(self.axes))

    def _reach(self, axis: int) -> Reach:
        step = 1
        phases = 1
        growth = 0
        for op in self.ops:
            reach = op.reach[axis]
            growth += reach.growth * step // phases
            step *= reach.step
            phases *= reach.phases
        common = math.gcd(step, phases)
        step //= common
        phases //= common
        k = self._one_period(axis)
        low, high = self.needs(axis, k, k + 1)[0]
        positions = k * step // phases
        return Reach(
            before=int((positions - low).max()),
            after=int((high - 1 - positions).max()),
            step=step,
            phases=phases,
            anchor=self.aligned_input(axis, 0),
            growth=growth,
            limit=self._limit(axis),
        )

    def _limit(self, axis: int) -> int | None:
        """The most outputs, where an operation cuts off what follows."""
        limit: int | None = None
        for op in self.ops:
            reach = op.reach[axis]
            limit = reach.limit if limit is None else reach.count(limit)
        return limit

    def look_ahead(self, axis: int = 0) -> int:
        """Return how far an output reads past the sample it is aligned with; at most 0: not."""
        _, after = self.around_aligned(axis)
        return after

    def around_aligned(self, axis: int) -> tuple[int, int]:
        """Return how far outputs read before and past the samples that they are aligned with."""
        k = self._one_period(axis)
        low, high = self.needs(axis, k, k + 1)[0]
        aligned = self.aligned_input(axis, k)
        return int((aligned - low).max()), int((high - 1 - aligned).max())

    def _one_period(self, axis: int) -> Indices:
        """Return the outputs after which the phases of all operations repeat, or many of them.

        The ratios of two operations may cancel, their phases do not: 2/3 and 3/2 repeat after 3
        outputs.
        """
        outputs = 1
        inputs = 1
        for op in reversed(self.ops):
            reach = op.reach[axis]
            factor = reach.phases // math.gcd(inputs, reach.phases)
            outputs *= factor
            inputs = inputs * factor // reach.phases * reach.step
        return np.arange(0, outputs, max(1, outputs // MOST_PHASES))

    def complete_outputs(self, inputs: Bounds, ends: tuple[int | None, ...]) -> Bounds:
        """Return the outputs whose windows lie within the inputs.

        ends : the length of the signal on each axis, None if it has not ended yet
        """
        for op in self.ops:
            inputs = op.complete_outputs(inputs, ends)
            lengths = zip(op.reach, ends, strict=True)
            ends = tuple(None if n is None else reach.count(n) for reach, n in lengths)
        return inputs

    # --- properties ---

    def channels(self, count: int) -> int:
        """Count the channels that come out if `count` channels go in."""
        for op in self.ops:
            count = op.output_channels(count)
        return count

    @cached_property
    def needs_end(self) -> bool:
        """Whether the first outputs depend on the end of the signal."""
        return any(op.needs_end for op in self.ops)

    @cached_property
    def pads(self) -> bool:
        """Whether some operation extends its own input."""
        return any(op.pads for op in self.ops)

    @cached_property
    def reads_inside(self) -> bool:
        """Whether some operation extends its input by itself, from samples near the ends."""
        return any(op.reads_inside for op in self.ops)

    def complete(self) -> Chain:
        """Return the chain in which every operation reads its own input and nothing outside."""
        return Chain(tuple(op.complete() for op in self.ops), self.axes)

    @cached_property
    def holds(self) -> bool:
        """Whether some operation fills gaps with the last known value."""
        return any(op.holds for op in self.ops)

    @cached_property
    def held_places(self) -> tuple[HeldPlace, ...]:
        """The places of all values that are held."""
        return tuple(
            (number, *place) for number, op in enumerate(self.ops) for place in op.held_places
        )

    def held_starts(self, start: int, done: int) -> dict[HeldPlace, int]:
        """Return before which input each value is the last known one that output `start` may need.

        Values that are not inputs of the chain are left out.
        done : the end of the outputs that were computed before
        """
        if not self.ops:
            return {}
        outputs = self.reads(start, start + 1, done=done)[1]
        own_done = self.needs(0, done - 1, done)[1][1] if done > 0 else 0
        found = self.ops[0].held_starts(outputs.start, outputs.high, own_done)
        return {(0, *place): first for place, first in found.items()}

    @cached_property
    def holds_input_alone(self) -> bool:
        """Whether all values that are held are samples of the input of the chain."""
        if any(op.holds for op in self.ops[1:]):
            return False
        return all(op.holds_input_alone for op in self.ops[:1])

    @cached_property
    def in_time(self) -> bool:
        """Whether windows are bounded by the times of the samples."""
        return any(op.in_time for op in self.ops)

    @cached_property
    def bins(self) -> tuple[CalendarBins, ...]:
        """The calendar bins that there is an output for, one after the other."""
        return tuple(bins for op in self.ops for bins in op.bins)

    @cached_property
    def windows_over_bins(self) -> bool:
        """Whether windows in time read the outputs of calendar bins, numbered from the first."""
        in_time = [op for op in self.ops if op.in_time]
        over_bins = any(op.bins for op in in_time[:-1])
        return over_bins or any(op.windows_over_bins for op in in_time)

    @cached_property
    def uniform(self) -> bool:
        """Whether interleaved signals can be filtered side by side, as channels of one array."""
        return all(op.uniform for op in self.ops)

    @cached_property
    def block_rows(self) -> int | None:
        """Rows of the blocks that pictures are computed in; None: all is computed at once."""
        return block_rows(self)

    def block_columns(self, n: int | None) -> int:
        """Columns of the blocks that pictures of `n` columns are computed in."""
        if n not in self._block_columns:
            self._block_columns[n] = block_columns(self, self.block_rows or 1, n)
        return self._block_columns[n]

    @cached_property
    def _block_columns(self) -> dict[int | None, int]:
        """Columns of the blocks by the width of the picture."""
        return {}

    # --- samples ---

    @cached_property
    def _type_for_bytes(self) -> type[np.floating[Any]]:
        """The type in which the bytes of a picture are filtered."""
        return float_type_for_bytes(op.rounding for op in self.ops)

    def samples(self, x: Array) -> Array:
        """Convert stored numbers to samples, bytes to the type that this chain needs."""
        return x.astype(self._type_for_bytes) if x.dtype == np.uint8 else as_samples(x)

    def _first_input(self, x: Array) -> Array:
        """Return stored numbers as they are if the first operation takes them, else the samples."""
        exact = x.dtype != np.uint8 or self._takes_bytes
        if exact and self.ops and self.ops[0].takes_stored:
            return x
        return self.samples(x)

    @cached_property
    def _takes_bytes(self) -> bool:
        """Whether the results are right if the first operation gets bytes."""
        if self._type_for_bytes == np.float32:
            return True
        return settles_all(op.rounding for op in self.ops)

    def compute(
        self,
        x: Array,
        span: Span,
        ends: tuple[int | None, ...],
        earlier: HeldEarlier = nothing_earlier,
        continuation: Continuation | None = None,
        *,
        bounds: Bounds | None = None,
    ) -> tuple[Array, HeldAfter]:
        """Compute the outputs `span` and the last values that each holding operation has met.

        x : the inputs `reads(*span[0], ends[0])[0]` along axis 0 and `needs` along the others,
            extended at the ends
        ends : the length of the signal on each axis, None if it has not ended yet
        earlier : gives the values held from before `x`
        continuation : of the outputs; by default they begin where earlier ones ended, and later
            ones begin where they end
        bounds : the samples of the signal, where windows that reach beyond it have no output
        """
        if self._joined is not self:
            return self._joined.compute(x, span, ends, earlier, continuation, bounds=bounds)
        # Under `valid`, a picture narrower than a window has no outputs.
        if any(stop <= start for start, stop in span):
            return self._no_outputs(x, span), {}
        if continuation is None:
            continuation = Continuation(*span[0])
        flow = self._flow(span, ends, continuation)
        x = self._first_input(_samples_between(x, flow.first_inputs))
        tasks = list(self._tasks(flow, ends, earlier))
        if bounds is None and self._executors:
            run = ExecutedRun(self, tasks)
            return run.outputs(x), self._held_after_executed(x, flow, ends, tasks)
        return self.compute_each(x, tasks, bounds=bounds)

    def _held_after_executed(
        self, x: Array, flow: _Flow, ends: tuple[int | None, ...], tasks: list[OpTask]
    ) -> HeldAfter:
        """Return the last values that the operations have met, computed when they are asked for.

        Without a gap in `x` no earlier value is needed, and no earlier job is kept for it.
        """
        if any_missing(x):
            return self.compute_each(x, tasks)[1]

        def values() -> HeldAfter:
            alone = list(self._tasks(flow, ends, nothing_earlier))
            return self.compute_each(x, alone)[1]

        return HeldIfAsked(values)

    def compute_each(
        self, x: Array, tasks: Sequence[OpTask], *, first: int = 0, bounds: Bounds | None = None
    ) -> tuple[Array, HeldAfter]:
        """Compute one operation after the other, from the operation `first` on.

        tasks : of these operations; the result is as of `compute`
        """
        held_after = {}
        for number, task in enumerate(tasks, start=first):
            op = self.ops[number]
            if number > 0:
                x = summed(x)
            bounded = replace(task, bounds=bounds)
            y, held_after[number] = op.compute(x, bounded)
            x = without_overflow(op, x, bounded, y)
            if bounds is not None:
                bounds = op.complete_outputs(bounds, task.ends)
                x = without_incomplete(x, task.outputs, bounds)
        return x, held_of_parts(held_after)

    @cached_property
    def _executors(self) -> dict[int, Executor]:
        """What computes several operations at once, by the number of the first of them."""
        found = {}
        number = 0
        while number < len(self.ops):
            executor = self.ops[number].executor(self.ops[number:])
            if executor is None:
                number += 1
            else:
                found[number] = executor
                number += executor.count
        return found

    def executor_at(self, number: int, x: Array) -> Executor | None:
        """What computes operations from this one on at once, if it takes samples such as `x`."""
        return self._executors.get(number) if x.dtype == np.float32 else None

    @cached_property
    def _joined(self) -> Chain:
        """The chain with as few operations as do the same; the chain itself if there are none.

        Operations are joined only with functions of one sample, so that the geometry is the same.
        """
        ops: list[Op] = []
        for op in self.ops:
            both = ops[-1].joined(op) if ops else None
            if both is None:
                ops.append(op)
            else:
                ops[-1] = both
        if len(ops) == len(self.ops):
            return self
        return Chain(tuple(ops), self.axes)

    def _no_outputs(self, x: Array, span: Span) -> Array:
        lengths = [max(0, stop - start) for start, stop in span]
        return np.empty((*lengths, self.channels(x.shape[-1])), self.samples(x[:0]).dtype)

    def _tasks(
        self, flow: _Flow, ends: tuple[int | None, ...], earlier: HeldEarlier
    ) -> Iterator[OpTask]:
        """Yield the task of each operation, from first to last."""
        for number, op in enumerate(self.ops):
            outputs = flow.outputs_of(number)
            reaches = list(zip(op.reach, outputs, strict=True))
            yield OpTask(
                outputs=outputs,
                starts=flow.starts_of(number),
                stops=tuple(reach.needs(*wanted)[1] for reach, wanted in reaches),
                ends=ends,
                begins=flow.begins_of(number),
                skipped=flow.skipped_of(number),
                continuation=Continuation(
                    done=flow.done[number + 1], next_start=flow.following[number + 1].start
                ),
                next_input=flow.following[number].start,
                earlier=partial(_held_in_operation, earlier, number),
            )
            lengths = zip(op.reach, ends, strict=True)
            ends = tuple(None if n is None else reach.count(n) for reach, n in lengths)

    def inputs_and_pads(self, span: Span, ends: tuple[int | None, ...]) -> tuple[Span, list[Pads]]:
        """Return the inputs for the outputs `span` alone, and what each operation pads with.

        Nothing is read here for values that are held.
        """
        flow = self._flow(span, ends, Continuation(0, span[0][1]))
        pads = [flow.pads_of(number) for number in range(len(self.ops))]
        return flow.inputs_of(0), pads

    def _flow(self, span: Span, ends: tuple[int | None, ...], continuation: Continuation) -> _Flow:
        """Return what the operations read for the outputs `span`."""
        done, next_start = continuation
        first = []
        given = []
        computed = []
        for axis in range(self.axes):
            own_done = done if axis == 0 else None
            walked = self._walk(axis, span[axis], ends[axis], done=own_done)
            first.append(walked[0][0].start)
            if self.reads_inside:
                walked = self._walk(axis, span[axis], ends[axis], done=own_done, inside=True)
            given.append(walked[0])
            computed.append(walked[1])
        following = computed[0]
        if self.holds:
            following = self.reads(next_start, next_start + 1, done=span[0][1])
        return _Flow(
            first=first,
            given=given,
            computed=computed,
            done=self._ended(done),
            following=following,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Flow:
    """What the operations of a chain read in a computation, by their numbers.

    The last entry of each list is for the outputs of the chain.

    first : where the inputs of the chain begin on each axis
    given : the inputs on each axis, with what padding puts beside them
    computed : the inputs on each axis that lie in the input of their operation
    done : the end of what earlier computations have read along axis 0
    following : the inputs of the next computation along axis 0
    """

    first: list[int]
    given: list[list[Inputs]]
    computed: list[list[Inputs]]
    done: list[int]
    following: list[Inputs]

    def starts_of(self, number: int) -> tuple[int, ...]:
        """Return the first input of an operation on each axis."""
        return tuple(inputs[number].start for inputs in self.computed)

    def begins_of(self, number: int) -> tuple[int, ...]:
        """Return where the inputs of an operation begin when its padding is beside them."""
        return tuple(inputs[number].start for inputs in self.given)

    def skipped_of(self, number: int) -> int:
        """Count the first inputs of an operation that serve only to hold their last value."""
        inputs = self.given[0][number]
        return inputs.low - inputs.start

    @property
    def first_inputs(self) -> Span:
        """Which of the inputs of the chain the first operation is given, on each axis."""
        pairs = zip(self.inputs_of(0), self.first, strict=True)
        return tuple((low - first, high - first) for (low, high), first in pairs)

    def inputs_of(self, number: int) -> Span:
        """Return the inputs [start, high) of an operation on each axis, without its padding."""
        inputs = [along[number] for along in self.computed]
        return tuple((each.start, each.high) for each in inputs)

    def pads_of(self, number: int) -> Pads:
        """Return how many samples an operation puts before and after its inputs, on each axis."""
        pads = []
        for given, computed in zip(self.given, self.computed, strict=True):
            wanted, inside = given[number], computed[number]
            pads.append((inside.start - wanted.start, wanted.high - inside.high))
        return tuple(pads)

    def outputs_of(self, number: int) -> Span:
        """Return the outputs of an operation on each axis."""
        after = [inputs[number + 1] for inputs in self.computed]
        return tuple((inputs.start, inputs.high) for inputs in after)


def _samples_between(x: Array, spans: Span) -> Array:
    """The samples [low, high) of each axis, zeros where `x` has none.

    Outputs for which samples are lacking lie in the padding of a later operation.
    """
    found = x[tuple(slice(max(low, 0), max(high, 0)) for low, high in spans)]
    lacking = []
    for (low, high), n in zip(spans, x.shape, strict=False):
        before = min(high, 0) - min(low, 0)
        after = max(high, n) - max(low, n)
        lacking.append((before, after))
    if not any(map(any, lacking)):
        return found
    return np.pad(found, [*lacking, (0, 0)])


def _within(inputs: Inputs, n: int | None) -> Inputs:
    """The part of some inputs in a signal of `n` samples, of which one is left at least."""
    if not n or (n == NOT_ENDED and inputs.high <= 0):
        return inputs
    first = min(max(inputs.start, 0), n - 1)
    last = max(first + 1, min(inputs.high, n))
    return Inputs(first, max(first, inputs.low), last)


def _held_in_operation(earlier: HeldEarlier, number: int, place: HeldPlace) -> Array | None:
    """Return the value held from before at a place in an operation of a chain."""
    return earlier((number, *place))
