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
  met before its inputs comes from the job before (`HeldLookup`). Samples that a later stride skips
  are given to it all the same. It may be deep in a branch of a branch; its place says where.
* A layer of a network may pad its own input (`OwnPadding`). Its task says where the signal ends. A
  layer with circular padding begins with samples of the end, so that no output is known before the
  signal has ended.
* The windows of a filter in time are bounded by times. Their reach is known as far as samples have
  come: a `Tracker` records the times, and a job is computed by a chain that is bound to them
  (`in_time/tracking.py`). Outside of the signal there are no times, and all samples are missing.
* Layers on a picture are computed in blocks of a fixed grid (`blocks.py`), so that an output has
  the same bits however the picture arrives. So are the FFTs of a sound, whose blocks are called
  cells (`convolution/frames.py`). A job begins with the inputs of its first cell, even if the
  outputs before it in this cell were computed by the job before.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.blocks import columns_of_blocks, rows_of_blocks
from convcli.core.chain_geometry import ChainGeometry, lengths_after
from convcli.core.convolution.rounding import float_type_for_bytes, refines_alone
from convcli.core.extend import without_incomplete
from convcli.core.missing import any_missing
from convcli.core.task import (
    Continuation,
    OpTask,
    held_by_parts,
    held_if_asked,
    held_within,
    nothing_earlier,
)
from convcli.dataclass import dataclass
from convcli.samples import as_samples, sums_as_floats

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from convcli.core.chain_geometry import Walk
    from convcli.core.convolution.refined_resample import RefinedResampling
    from convcli.core.executor import ExecutedRun, Executor, Pads
    from convcli.core.extend import Bounds
    from convcli.core.op import Op, Span
    from convcli.core.task import HeldLookup, HeldPlace
    from convcli.signals import Array


@dataclass(frozen=True, eq=False)
class Chain(ChainGeometry):
    """Operations one after the other on a signal with `axes` sample axes.

    A chain of no operations changes nothing. `ChainGeometry` has what follows from the reaches of
    the operations, and this class what is computed.
    """

    @cached_property
    def _type_for_bytes(self) -> type[np.floating[Any]]:
        """The type in which the bytes of a picture are filtered."""
        return float_type_for_bytes(op.numbers.rounding for op in self.ops)

    def samples(self, x: Array) -> Array:
        """Convert stored numbers to samples, bytes to the type that this chain needs."""
        return x.astype(self._type_for_bytes) if x.dtype == np.uint8 else as_samples(x)

    def _first_input(self, x: Array) -> Array:
        """Return stored numbers as they are if the first operation takes them, else the samples."""
        may_stay_stored = x.dtype != np.uint8 or self._takes_bytes
        if may_stay_stored and self.ops and self.ops[0].numbers.takes_stored:
            return x
        return self.samples(x)

    @cached_property
    def _takes_bytes(self) -> bool:
        """Whether the results are right if the first operation gets bytes."""
        if self._type_for_bytes == np.float32:
            return True
        return refines_alone(op.numbers.rounding for op in self.ops)

    def compute(
        self,
        x: Array,
        span: Span,
        ends: tuple[int | None, ...],
        earlier: HeldLookup = nothing_earlier,
        continuation: Continuation | None = None,
        *,
        bounds: Bounds | None = None,
    ) -> tuple[Array, HeldLookup]:
        """Compute the outputs `span`; return also what gives the last values that were met.

        x : the inputs `reads(*span[0], ends[0])[0]` along axis 0 and `needs` along the others,
            extended at the ends
        ends : the length of the signal on each axis, None if it has not ended yet
        earlier : gives the values held from before `x`
        continuation : of the outputs; by default they begin where earlier ones ended, and later
            ones begin where they end
        bounds : where the signal lies, if a window that reaches beyond it has no output
        """
        if self._joined is not None:
            return self._joined.compute(x, span, ends, earlier, continuation, bounds=bounds)
        # Under `valid`, a picture narrower than a window has no outputs.
        if any(stop <= start for start, stop in span):
            return self._no_outputs(x, span), nothing_earlier
        if continuation is None:
            continuation = Continuation(*span[0])
        computation = self.computation(span, ends, continuation, earlier)
        tasks = computation.tasks
        x = _samples_between(x, computation.inputs)
        if bounds is None and x.dtype == np.uint8 and self._resampling_of_bytes is not None:
            # No byte is missing. A later job has gaps beyond the last row at most, and asks for no
            # value from before its own rows.
            return self._resampling_of_bytes(x[tasks[0].skipped :], span), nothing_earlier
        x = self._first_input(x)
        if bounds is None and self.executors:
            return computation.executed.outputs(x), self._held_after_executed(x, tasks)
        return self.compute_each(x, tasks, bounds=bounds)

    def _held_after_executed(self, x: Array, tasks: list[OpTask]) -> HeldLookup:
        """Give the last values that the operations have met, computed when they are asked for.

        Without a gap in `x` no earlier value is needed, and no earlier job is kept for it.
        """
        if any_missing(x):
            return self.compute_each(x, tasks)[1]

        def values() -> HeldLookup:
            alone = [replace(task, earlier=nothing_earlier) for task in tasks]
            return self.compute_each(x, alone)[1]

        return held_if_asked(values)

    def compute_each(
        self, x: Array, tasks: Sequence[OpTask], *, first: int = 0, bounds: Bounds | None = None
    ) -> tuple[Array, HeldLookup]:
        """Compute one operation after the other, from the operation `first` on.

        tasks : of these operations

        Return the same as `compute`.
        """
        held_after = {}
        for number, task in enumerate(tasks, start=first):
            op = self.ops[number]
            if number > 0:
                x = sums_as_floats(x)
            bounded = task if bounds is None else replace(task, bounds=bounds)
            y, held_after[number] = op.compute(x, bounded)
            x = _without_overflow(op, x, bounded, y)
            if bounds is not None:
                bounds = op.complete_outputs(bounds, task.ends)
                x = without_incomplete(x, task.outputs, bounds)
        return x, held_by_parts(held_after)

    @cached_property
    def _resampling_of_bytes(self) -> RefinedResampling | None:
        """What resamples bytes, if the chain does nothing else."""
        if not self.ops:
            return None
        from convcli.core.convolution.refined_resample import refined_resampling

        return refined_resampling([op.axis_taps for op in self.ops])

    @cached_property
    def executors(self) -> dict[int, Executor]:
        """The executors of several operations at once, by the number of the first operation."""
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
        return self.executors.get(number) if x.dtype == np.float32 else None

    @cached_property
    def _joined(self) -> Self | None:
        """The chain with operations joined where that saves a pass; None if it saves none.

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
            return None
        return replace(self, ops=tuple(ops))

    def _no_outputs(self, x: Array, span: Span) -> Array:
        lengths = [max(0, stop - start) for start, stop in span]
        return np.empty((*lengths, self.channels(x.shape[-1])), self.samples(x[:0]).dtype)

    # --- tasks ---

    def computation(
        self,
        span: Span,
        ends: tuple[int | None, ...],
        continuation: Continuation,
        earlier: HeldLookup = nothing_earlier,
    ) -> Computation:
        """Return what is needed to compute some outputs, whatever the samples are."""
        if self._joined is not None:
            return self._joined.computation(span, ends, continuation, earlier)
        walks = self._walks(span, ends, continuation.done)
        inputs = self._inputs_of(walks, span, ends, continuation.done)
        tasks = list(self._tasks(walks, ends, continuation, earlier))
        return Computation(self, inputs, tasks)

    def _inputs_of(
        self, walks: list[Walk], span: Span, ends: tuple[int | None, ...], done: int
    ) -> Span:
        """Return which of the samples that the chain is given are read, on each axis."""
        # A layer that extends its own input is given what lies outside of the signal, too.
        whole_walks = walks
        if self.padding is not None and self.padding.reads_inside:
            whole_walks = self._walks(span, ends, done, inside=False)
        inputs = []
        for walk, whole in zip(walks, whole_walks, strict=True):
            read = walk.inside[0]
            first = whole.given[0].start
            inputs.append((read.start - first, read.high - first))
        return tuple(inputs)

    def _walks(
        self, span: Span, ends: tuple[int | None, ...], done: int, *, inside: bool = True
    ) -> list[Walk]:
        """Return what the operations read on each axis.

        done : the end of earlier outputs along axis 0; inside : see `walk`
        """
        dones = (done, None)
        return [
            self.walk(axis, span[axis], ends[axis], done=dones[axis], inside=inside)
            for axis in range(self.axes)
        ]

    def _tasks(
        self,
        walks: list[Walk],
        ends: tuple[int | None, ...],
        continuation: Continuation,
        earlier: HeldLookup,
    ) -> Iterator[OpTask]:
        """Yield the task of each operation, from first to last."""
        done, next_start = continuation
        read = self.ends_of_inputs(done)
        following = walks[0].inside
        if self.holds:
            following = self.reads(next_start, next_start + 1, done=following[-1].high)
        for number, op in enumerate(self.ops):
            outputs = _span_of(walks, number + 1)
            needed = [reach.needs(*wanted) for reach, wanted in zip(op.reach, outputs, strict=True)]
            along = walks[0].given[number]
            yield OpTask(
                outputs=outputs,
                starts=tuple(walk.inside[number].start for walk in walks),
                begins=tuple(walk.given[number].start for walk in walks),
                stops=tuple(high for _, high in needed),
                ends=ends,
                skipped=along.low - along.start,
                continuation=Continuation(read[number + 1], following[number + 1].start),
                next_input=following[number].start,
                earlier=partial(held_within, earlier, number),
            )
            ends = lengths_after(op, ends)

    def inputs_and_pads(self, span: Span, ends: tuple[int | None, ...]) -> tuple[Span, list[Pads]]:
        """Return the inputs for the outputs `span` alone, and what each operation pads with.

        Nothing is read here for values that are held.
        """
        walks = self._walks(span, ends, 0)
        pads = [tuple(walk.pads_of(number) for walk in walks) for number in range(len(self.ops))]
        return _span_of(walks, 0), pads

    # --- blocks of layers on a picture ---

    @cached_property
    def block_rows(self) -> int | None:
        """How many rows of outputs a block has; None if all is computed at once."""
        return rows_of_blocks(self)

    def block_columns(self, n: int | None) -> int:
        """How many columns a block has, in a picture of `n` columns."""
        if n not in self._block_columns:
            self._block_columns[n] = columns_of_blocks(self, self.block_rows or 1, n)
        return self._block_columns[n]

    @cached_property
    def _block_columns(self) -> dict[int | None, int]:
        """Columns of the blocks by the width of the picture."""
        return {}

    # --- values that are held over gaps ---

    @cached_property
    def held_places(self) -> tuple[HeldPlace, ...]:
        """The places of all values that are held, in the chain that is computed."""
        if self._joined is not None:
            return self._joined.held_places
        places = []
        for number, op in enumerate(self.ops):
            places += [(number, *place) for place in op.held_places]
        return tuple(places)

    def held_starts(self, start: int, done: int) -> dict[HeldPlace, int]:
        """Return before which input each value is the last known one that output `start` may need.

        Values that are not inputs of the chain are left out.
        done : the end of the outputs that were computed before
        """
        if not self.ops:
            return {}
        outputs = self.reads(start, start + 1, done=done)[1]
        own_done = 0
        if done > 0:
            _, own_done = self.needs(0, done - 1, done)[1]
        found = self.ops[0].held_starts(outputs.start, outputs.high, own_done)
        return {(0, *place): first for place, first in found.items()}

    @cached_property
    def holds_input_alone(self) -> bool:
        """Whether all values that are held are samples of the input of the chain."""
        if any(op.holds for op in self.ops[1:]):
            return False
        return all(op.holds_input_alone for op in self.ops[:1])


@dataclass(frozen=True, eq=False)
class Computation:
    """What some outputs of a chain read, and the task of each operation for them.

    inputs : which of the samples that the chain is given are read, on each axis
    """

    chain: Chain
    inputs: Span
    tasks: list[OpTask]

    @cached_property
    def executed(self) -> ExecutedRun:
        """The computation with executors."""
        from convcli.core.executor import ExecutedRun

        return ExecutedRun(self.chain, self.tasks)

    def outputs(self, x: Array, bounds: Bounds | None) -> Array:
        """Return the outputs alone, computed from floating-point samples.

        x : only the samples that are read; bounds : see `Chain.compute`
        """
        if bounds is None and self.chain.executors:
            return self.executed.outputs(x)
        y, _ = self.chain.compute_each(x, self.tasks, bounds=bounds)
        return y


def _samples_between(x: Array, spans: Span) -> Array:
    """The samples [low, high) of each axis, zeros where `x` has none.

    Outputs for which samples are lacking lie in the padding of a later operation.
    """
    places = tuple([slice(max(low, 0), max(high, 0)) for low, high in spans])
    found = x[places]
    if found.shape[:-1] == tuple([high - low for low, high in spans]):
        return found
    lacking = []
    for (low, high), n in zip(spans, x.shape, strict=False):
        before = min(high, 0) - min(low, 0)
        after = max(high, n) - max(low, n)
        lacking.append((before, after))
    return np.pad(found, [*lacking, (0, 0)])


def _span_of(walks: list[Walk], number: int) -> Span:
    """The inputs [start, high) of an operation on each axis, without its padding."""
    inputs = [walk.inside[number] for walk in walks]
    return tuple((each.start, each.high) for each in inputs)


# ----------------------------------------------------------------------------------------- overflow


# The mean of 1e308 and 1e308 is 1e308. Where a homogeneous operation (c x gives c y) returns
# infinity or NaN, it is computed again on scaled down samples, and the result is scaled up.

# Sums of samples below this do not overflow.
_HUGE = 2.0**900
# What huge samples are multiplied by: their squares do not overflow either, and whatever is lost of
# small ones beside them is far below the rounding of their sum.
_SCALE = 2.0**-600


def _without_overflow(op: Op, x: Array, task: OpTask, y: Array) -> Array:
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


def _scaled_down(earlier: HeldLookup, place: HeldPlace) -> Array | None:
    """Return the value held at a place, scaled as the samples are."""
    held = earlier(place)
    return None if held is None else held * _SCALE
