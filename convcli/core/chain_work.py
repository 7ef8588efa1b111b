"""How a chain computes its outputs, one operation after the other, and what it holds for later."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convcli.core.chain_flow import flow_of
from convcli.core.complete import without_incomplete
from convcli.core.convolution.rounding import float_type_for_bytes, refines_alone
from convcli.core.exact.overflow import without_overflow
from convcli.core.missing import any_missing
from convcli.core.task import Continuation, HeldIfAsked, OpTask, held_of_parts, nothing_earlier
from convcli.dataclass import dataclass
from convcli.samples import as_samples, summed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.core.chain import Chain
    from convcli.core.chain_flow import Flow
    from convcli.core.complete import Bounds
    from convcli.core.convolution.refined_resample import RefinedResampling
    from convcli.core.executor import ExecutedRun, Executor, Pads
    from convcli.core.op import Op, Span
    from convcli.core.task import HeldAfter, HeldEarlier, HeldPlace
    from convcli.signals import Array


class HeldValues(Protocol):
    """The last known values from before a job, for operations that fill gaps with them."""

    def held(self, place: HeldPlace) -> Array | None:
        """Return the last known value of each channel before the operation at `place`, or None."""
        ...


@dataclass(frozen=True, eq=False)
class Computation:
    """What some outputs of a chain read, and the task of each operation for them.

    wanted : the span of the outputs, the length of the signal and the continuation
    """

    wanted: tuple[Span, tuple[int | None, ...], Continuation]
    chain: Chain
    flow: Flow
    tasks: list[OpTask]

    @cached_property
    def executed(self) -> ExecutedRun:
        """The computation with executors."""
        from convcli.core.executor import ExecutedRun

        return ExecutedRun(self.chain, self.tasks)

    def outputs(self, x: Array, bounds: Bounds | None) -> Array:
        """Return the outputs alone of samples that are floating-point numbers.

        x : the inputs `flow.inputs_of(0)`
        """
        work = self.chain.work
        if bounds is None and work.executors:
            return self.executed.outputs(x)
        y, _ = work.compute_each(x, self.tasks, bounds=bounds)
        return y


class ChainWork:
    """What a chain computes from its inputs, and the values that its operations hold."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._kept: Computation | None = None

    @cached_property
    def _type_for_bytes(self) -> type[np.floating[Any]]:
        """The type in which the bytes of a picture are filtered."""
        return float_type_for_bytes(op.numbers.rounding for op in self.chain.ops)

    def samples(self, x: Array) -> Array:
        """Convert stored numbers to samples, bytes to the type that this chain needs."""
        return x.astype(self._type_for_bytes) if x.dtype == np.uint8 else as_samples(x)

    def _first_input(self, x: Array) -> Array:
        """Return stored numbers as they are if the first operation takes them, else the samples."""
        exact = x.dtype != np.uint8 or self._takes_bytes
        if exact and self.chain.ops and self.chain.ops[0].numbers.takes_stored:
            return x
        return self.samples(x)

    @cached_property
    def _takes_bytes(self) -> bool:
        """Whether the results are right if the first operation gets bytes."""
        if self._type_for_bytes == np.float32:
            return True
        return refines_alone(op.numbers.rounding for op in self.chain.ops)

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
        bounds : where the signal lies, if a window that reaches beyond it has no output
        """
        # Under `valid`, a picture narrower than a window has no outputs.
        if any(stop <= start for start, stop in span):
            return self._no_outputs(x, span), {}
        made = self.computation(span, ends, continuation or Continuation(*span[0]), earlier)
        return made.chain.work.carry_out(made, x, bounds)

    def carry_out(
        self, made: Computation, x: Array, bounds: Bounds | None
    ) -> tuple[Array, HeldAfter]:
        """Compute the outputs of a computation of this chain, as `compute` does."""
        flow = made.flow
        x = _samples_between(x, flow.first_inputs)
        if bounds is None and x.dtype == np.uint8 and self._resampling_of_bytes is not None:
            # No byte is missing. A later job has gaps beyond the last row at most, and asks for no
            # value from before its own rows.
            return self._resampling_of_bytes(x[flow.skipped_of(0) :], made.wanted[0]), {}
        x = self._first_input(x)
        if bounds is None and self.executors:
            held = self._held_after_executed(x, made)
            return made.outputs(x, bounds), held
        return self.compute_each(x, made.tasks, bounds=bounds)

    def computation(
        self,
        span: Span,
        ends: tuple[int | None, ...],
        continuation: Continuation,
        earlier: HeldEarlier = nothing_earlier,
    ) -> Computation:
        """Return what is needed to compute some outputs, whatever the samples are.

        That of the last outputs before which nothing is held is kept: an array of the same length
        needs the same. A small network on 256 samples then takes 0.8 of the time.
        """
        if self._joined is not self.chain:
            return self._joined.work.computation(span, ends, continuation, earlier)
        wanted = (span, ends, continuation)
        kept = self._kept
        if earlier is nothing_earlier and kept is not None and kept.wanted == wanted:
            return kept
        flow = flow_of(self.chain, span, ends, continuation)
        made = Computation(wanted, self.chain, flow, list(self._tasks(flow, ends, earlier)))
        if earlier is nothing_earlier:
            self._kept = made
        return made

    def _held_after_executed(self, x: Array, made: Computation) -> HeldAfter:
        """Return the last values that the operations have met, computed when they are asked for.

        Without a gap in `x` no earlier value is needed, and no earlier job is kept for it.
        """
        if any_missing(x):
            return self.compute_each(x, made.tasks)[1]

        def values() -> HeldAfter:
            alone = list(self._tasks(made.flow, made.wanted[1], nothing_earlier))
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
            op = self.chain.ops[number]
            if number > 0:
                x = summed(x)
            bounded = task if bounds is None else replace(task, bounds=bounds)
            y, held_after[number] = op.work.compute(x, bounded)
            x = without_overflow(op, x, bounded, y)
            if bounds is not None:
                bounds = op.work.complete_outputs(bounds, task.ends)
                x = without_incomplete(x, task.outputs, bounds)
        return x, held_of_parts(held_after)

    @cached_property
    def _resampling_of_bytes(self) -> RefinedResampling | None:
        """What resamples bytes, if the chain does nothing else."""
        if not self.chain.ops:
            return None
        from convcli.core.convolution.refined_resample import refined_resampling

        return refined_resampling([op.axis_taps for op in self.chain.ops])

    @cached_property
    def executors(self) -> dict[int, Executor]:
        """The executors of several operations at once, by the number of the first operation."""
        found = {}
        number = 0
        while number < len(self.chain.ops):
            executor = self.chain.ops[number].executor(self.chain.ops[number:])
            if executor is None:
                number += 1
            else:
                found[number] = executor
                number += executor.count
        return found

    def executor_at(self, number: int, x: Array) -> Executor | None:
        """What computes operations from this one on at once, if it takes samples such as `x`."""
        return self.executors.get(number) if x.dtype == np.float32 else None

    @cached_property
    def _joined(self) -> Chain:
        """The chain with operations joined where that saves a pass, or the chain itself.

        Operations are joined only with functions of one sample, so that the geometry is the same.
        """
        ops: list[Op] = []
        for op in self.chain.ops:
            both = ops[-1].joined(op) if ops else None
            if both is None:
                ops.append(op)
            else:
                ops[-1] = both
        if len(ops) == len(self.chain.ops):
            return self.chain
        return replace(self.chain, ops=tuple(ops))

    def _no_outputs(self, x: Array, span: Span) -> Array:
        lengths = [max(0, stop - start) for start, stop in span]
        return np.empty((*lengths, self.chain.channels(x.shape[-1])), self.samples(x[:0]).dtype)

    def _tasks(
        self, flow: Flow, ends: tuple[int | None, ...], earlier: HeldEarlier
    ) -> Iterator[OpTask]:
        """Yield the task of each operation, from first to last."""
        for number, op in enumerate(self.chain.ops):
            outputs = flow.outputs_of(number)
            needed = [reach.needs(*wanted) for reach, wanted in zip(op.reach, outputs, strict=True)]
            next_start = flow.following[number + 1].start
            yield OpTask(
                outputs=outputs,
                starts=flow.starts_of(number),
                stops=tuple(high for _, high in needed),
                ends=ends,
                begins=flow.begins_of(number),
                skipped=flow.skipped_of(number),
                continuation=Continuation(done=flow.done[number + 1], next_start=next_start),
                next_input=flow.following[number].start,
                earlier=partial(_held_in_operation, earlier, number),
            )
            lengths = zip(op.reach, ends, strict=True)
            ends = tuple(None if n is None else reach.count(n) for reach, n in lengths)

    def inputs_and_pads(self, span: Span, ends: tuple[int | None, ...]) -> tuple[Span, list[Pads]]:
        """Return the inputs for the outputs `span` alone, and what each operation pads with.

        Nothing is read here for values that are held.
        """
        flow = flow_of(self.chain, span, ends, Continuation(0, span[0][1]))
        pads = [flow.pads_of(number) for number in range(len(self.chain.ops))]
        return flow.inputs_of(0), pads

    # --- values that are held over gaps ---

    @cached_property
    def held_places(self) -> tuple[HeldPlace, ...]:
        """The places of all values that are held."""
        places = []
        for number, op in enumerate(self.chain.ops):
            places += [(number, *place) for place in op.work.held_places]
        return tuple(places)

    def held_starts(self, start: int, done: int) -> dict[HeldPlace, int]:
        """Return before which input each value is the last known one that output `start` may need.

        Values that are not inputs of the chain are left out.
        done : the end of the outputs that were computed before
        """
        if not self.chain.ops:
            return {}
        outputs = self.chain.reads(start, start + 1, done=done)[1]
        own_done = 0
        if done > 0:
            _, own_done = self.chain.needs(0, done - 1, done)[1]
        found = self.chain.ops[0].work.held_starts(outputs.start, outputs.high, own_done)
        return {(0, *place): first for place, first in found.items()}

    @cached_property
    def holds_input_alone(self) -> bool:
        """Whether all values that are held are samples of the input of the chain."""
        if any(op.holds for op in self.chain.ops[1:]):
            return False
        return all(op.work.holds_input_alone for op in self.chain.ops[:1])


def _samples_between(x: Array, spans: Span) -> Array:
    """The samples [low, high) of each axis, zeros where `x` has none.

    Outputs for which samples are lacking lie in the padding of a later operation.
    """
    places = tuple([slice(max(low, 0), max(high, 0)) for low, high in spans])
    found = x[places]
    lengths = tuple([high - low for low, high in spans])
    if found.shape[:-1] == lengths:
        return found
    lacking = []
    for (low, high), n in zip(spans, x.shape, strict=False):
        before = min(high, 0) - min(low, 0)
        after = max(high, n) - max(low, n)
        lacking.append((before, after))
    return np.pad(found, [*lacking, (0, 0)])


def _held_in_operation(earlier: HeldEarlier, number: int, place: HeldPlace) -> Array | None:
    """Return the value held from before at a place in an operation of a chain."""
    return earlier((number, *place))
