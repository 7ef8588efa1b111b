"""The geometry of a chain: which samples its operations read, and how many outputs there are."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convcli.core.convolution.frames import common_cell
from convcli.core.op import OwnPadding, time_use_of_series
from convcli.core.reach import Reach
from convcli.core.task import Inputs
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from typing import Self

    from convcli.array_types import IntArray
    from convcli.core.extend import Bounds
    from convcli.core.op import Op, TimeUse
    from convcli.core.reach import Index

# The reach of a chain of resamplers is that of the outputs of one period. Of a longer period than
# this only some outputs are computed, evenly spaced.
LONGEST_PERIOD = 1 << 18


class Walk(NamedTuple):
    """What each operation reads along an axis; the last entries are the outputs of the chain.

    given : the inputs, with what padding puts beside them
    inside : those of them that lie in the input of their operation
    """

    given: list[Inputs]
    inside: list[Inputs]

    def pads_of(self, number: int) -> tuple[int, int]:
        """Return how many samples an operation puts before and after its inputs."""
        given, inside = self.given[number], self.inside[number]
        return inside.start - given.start, given.high - inside.high


@dataclass(frozen=True, eq=False)
class ChainGeometry:
    """Operations one after the other, by what they read and not by what they compute."""

    ops: tuple[Op, ...]
    axes: int = 1

    # --- what outputs read ---

    def needs(
        self, axis: int, start: Index, stop: Index, n: int | None = None
    ) -> list[tuple[Index, Index]]:
        """Return the samples [low, high) that each operation reads for the outputs [start, stop).

        The first entry is what the chain reads, the last one is (start, stop).

        start, stop : of one stretch of outputs, or of many at once
        n : the length of the signal if it is known; a layer with circular padding then gets all of
            its input
        """
        given = self.walk(axis, (start, stop), n).given
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
        return self.walk(0, (start, stop), n, done=earlier_end).given

    def first_read(self, k: int) -> int:
        """Return the first input along axis 0 that output `k` reads."""
        for op in reversed(self.ops):
            k = op.reach[0].first_read(k)
        return k

    def walk(
        self,
        axis: int,
        span: tuple[Any, Any],
        n: int | None,
        *,
        done: int | None = None,
        inside: bool = False,
    ) -> Walk:
        """Find what each operation reads along an axis, backwards from the outputs `span`.

        n : the length of the signal, None if it is not known
        done : the end of earlier outputs along axis 0; None where the outputs continue no earlier
            ones
        inside : samples outside of the input of a layer that extends it by itself are not computed
        """
        ended = None if done is None else self.ends_of_inputs(done)
        lengths = self._input_lengths(axis, n)
        start, stop = span
        after = Inputs(start, start, stop)
        given = [after]
        computed = [after]
        for number in reversed(range(len(self.ops))):
            op = self.ops[number]
            padding = op.padding
            circular = None
            if padding is not None and padding.needs_end:
                circular = lengths[number]
            if ended is None:
                low, high = op.reach[axis].needs(after.start, after.high)
                inputs = Inputs(low, low, high)
            else:
                inputs = op.reads(after.start, after.high, ended[number + 1], circular)
            if circular is not None:
                inputs = inputs._replace(high=max(inputs.high, circular))
            given.append(inputs)
            after = inputs
            if inside and padding is not None and padding.reads_inside:
                after = _within(inputs, lengths[number])
            computed.append(after)
        return Walk(given[::-1], computed[::-1])

    def ends_of_inputs(self, done: int) -> list[int]:
        """Return where the inputs of each operation end for outputs that end at `done`."""
        if done <= 0:
            return [0] * (len(self.ops) + 1)
        return [high for _, high in self.needs(0, done - 1, done)]

    def _input_lengths(self, axis: int, n: int | None) -> list[int | None]:
        """The length of the input of each operation, None where it is not known or not needed."""
        if n is None or self.padding is None:
            return [None] * len(self.ops)
        found = []
        for op in self.ops:
            found.append(n)
            n = op.reach[axis].count(n)
        return list(found)

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

    def shares_inputs(self, axis: int = 0) -> bool:
        """Return whether two outputs are aligned with the same input."""
        k = self._one_period(axis)
        same = self.aligned_input(axis, k) == self.aligned_input(axis, k + 1)
        return bool(same.any())

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
            inputs = op.complete_outputs(inputs, ends)
            ends = lengths_after(op, ends)
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

    def complete(self) -> Self:
        """Return the chain in which every operation reads its own input and nothing outside."""
        return replace(self, ops=tuple(op.complete() for op in self.ops))

    @cached_property
    def cell(self) -> int | None:
        """The number of outputs that are computed together, see `Op.cell`.

        `in_frames` lays grids so that the cells of all operations end together.
        """
        return common_cell([op.cell for op in self.ops])

    @cached_property
    def holds(self) -> bool:
        """Whether some operation fills gaps with the last known value."""
        return any(op.holds for op in self.ops)

    @cached_property
    def uniform(self) -> bool:
        """Whether all channels are treated alike."""
        return all(op.channels.uniform for op in self.ops)

    def written_order(self, outputs: int) -> IntArray | None:
        """Return the channels of the outputs in the order of writing; None if they lie in it."""
        widths = self.ops[-1].channels.written_by_result if self.ops else ()
        if not widths:
            return None
        of_channels = np.arange(outputs).reshape(-1, sum(widths))
        results = np.split(of_channels, np.cumsum(widths)[:-1], axis=1)
        return np.concatenate([result.reshape(-1) for result in results])

    @cached_property
    def times(self) -> TimeUse:
        """What the operations make of the times of the samples."""
        return time_use_of_series(self.ops)


def lengths_after(op: Op, lengths: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Return the length of the outputs on each axis, None where that of the input is not known."""
    pairs = zip(op.reach, lengths, strict=True)
    return tuple(None if n is None else reach.count(n) for reach, n in pairs)


def _within(inputs: Inputs, n: int | None) -> Inputs:
    """The part of some inputs in a signal of `n` samples, of which one is left at least.

    n : None for a signal that goes on
    """
    if n == 0 or (n is None and inputs.high <= 0):
        return inputs
    first = max(inputs.start, 0)
    stop = inputs.high
    if n is not None:
        first = min(first, n - 1)
        stop = min(stop, n)
    last = max(first + 1, stop)
    return Inputs(first, max(first, inputs.low), last)
