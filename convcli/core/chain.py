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
* A layer of a network may pad its own input (`OwnPadding`). Its task says where the signal ends. A
  layer with circular padding begins with samples of the end, so that no output is known before the
  signal has ended.
* The windows of a filter in time are bounded by times. Their reach is known as far as samples have
  come: a `Tracker` records the times, and a job is computed by a chain that is bound to them
  (`in_time/tracking.py`). Outside of the signal there are no times, and all samples are missing.
* Layers on a picture are computed in blocks of a fixed grid (`blocks.py`), so that an output has
  the same bits however the picture arrives.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.blocks import BlockGrid
from convcli.core.chain_flow import walk
from convcli.core.chain_work import ChainWork
from convcli.core.op import OwnPadding
from convcli.core.op_times import time_use_of_series
from convcli.core.reach import Reach
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import IntArray
    from convcli.core.complete import Bounds
    from convcli.core.op import Op
    from convcli.core.op_times import TimeUse
    from convcli.core.reach import Index
    from convcli.core.task import Inputs

# The reach of a chain of resamplers is that of the outputs of one period. Of a longer period than
# this only some outputs are computed, evenly spaced.
LONGEST_PERIOD = 1 << 18


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
        given, _ = walk(self, axis, (start, stop), n)
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
        earlier_end = start if done is None else done
        given, _ = walk(self, 0, (start, stop), n, done=earlier_end)
        return given

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
        if self.padding is not None:
            return self.complete().count(axis, n)
        before = -self.needs(axis, 0, 1)[0][0]
        return max(0, self.ready(axis, n - before))

    def opacity_after(self, alpha: int | None) -> int | None:
        """Return which channel is the opacity behind the chain, where `alpha` is it before."""
        for op in self.ops:
            alpha = op.opacity_after(alpha)
        return alpha

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
        before = positions - low
        after = high - 1 - positions
        return Reach(
            before=int(before.max()),
            after=int(after.max()),
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
        """Return how far an output reads past its aligned sample; 0 or less if it does not."""
        _, after = self.around_aligned(axis)
        return after

    def around_aligned(self, axis: int) -> tuple[int, int]:
        """Return how far outputs read before and past the samples that they are aligned with."""
        k = self._one_period(axis)
        low, high = self.needs(axis, k, k + 1)[0]
        aligned = self.aligned_input(axis, k)
        before = aligned - low
        after = high - 1 - aligned
        return int(before.max()), int(after.max())

    def _one_period(self, axis: int) -> IntArray:
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
        return np.arange(0, outputs, max(1, outputs // LONGEST_PERIOD))

    def complete_outputs(self, inputs: Bounds, ends: tuple[int | None, ...]) -> Bounds:
        """Return the outputs whose windows lie within the inputs.

        ends : the length of the signal on each axis, None if it has not ended yet
        """
        for op in self.ops:
            inputs = op.work.complete_outputs(inputs, ends)
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
    def padding(self) -> OwnPadding | None:
        """How operations of the chain extend their own input; None if none does."""
        found = [op.padding for op in self.ops if op.padding is not None]
        if not found:
            return None
        needs_end = any(padding.needs_end for padding in found)
        reads_inside = any(padding.reads_inside for padding in found)
        return OwnPadding(needs_end=needs_end, reads_inside=reads_inside)

    @property
    def needs_end(self) -> bool:
        """Whether the first outputs depend on the end of the signal, by circular padding."""
        return self.padding is not None and self.padding.needs_end

    def complete(self) -> Chain:
        """Return the chain in which every operation reads its own input and nothing outside."""
        return Chain(tuple(op.complete() for op in self.ops), self.axes)

    @cached_property
    def holds(self) -> bool:
        """Whether some operation fills gaps with the last known value."""
        return any(op.holds for op in self.ops)

    @cached_property
    def uniform(self) -> bool:
        """Whether interleaved signals can be filtered side by side, as channels of one array."""
        return all(op.channels.uniform for op in self.ops)

    @cached_property
    def times(self) -> TimeUse:
        """What the operations make of the times of the samples."""
        return time_use_of_series(self.ops)

    # --- how it is computed ---

    @cached_property
    def work(self) -> ChainWork:
        """What the chain computes from its inputs, and the values that it holds."""
        return ChainWork(self)

    @cached_property
    def blocks(self) -> BlockGrid:
        """The grid of blocks that layers on a picture are computed in."""
        return BlockGrid(self)
