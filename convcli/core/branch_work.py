"""The work of a group of branches: each chain computes its own part of a job of the group."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.complete import common_bounds
from convcli.core.convolution.convolve import all_finite
from convcli.core.missing import last_known
from convcli.core.op_work import BranchTask, OpWork
from convcli.core.task import Continuation, Inputs, held_of_parts
from convcli.dataclass import dataclass
from convcli.samples import as_samples, summed

if TYPE_CHECKING:
    from convcli.core.branches import Branches
    from convcli.core.chain import Chain
    from convcli.core.complete import Bounds
    from convcli.core.op import Span
    from convcli.core.ops import Convolve
    from convcli.core.reach import Reach
    from convcli.core.task import HeldAfter, HeldEarlier, HeldPlace, OpTask
    from convcli.signals import Array


@dataclass(frozen=True, eq=False)
class BranchChain:
    """The chain of one branch. Output k of the group reads output k + shift[axis] of the chain."""

    chain: Chain
    shift: tuple[int, ...]

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The reach of the branch, counted in outputs of the group."""
        return tuple(map(_shifted_reach, self.chain.reach, self.shift))

    def span(self, outputs: Span) -> Span:
        """Return its own outputs for those of the group."""
        shifted = zip(outputs, self.shift, strict=True)
        return tuple((start + shift, stop + shift) for (start, stop), shift in shifted)

    def reads(self, start: int, stop: int, done: int, n: int | None) -> Inputs:
        """Return its inputs along axis 0 for the outputs [start, stop) of the group."""
        shift = self.shift[0]
        own_done = done + shift if done > 0 else 0
        return self.chain.reads(start + shift, stop + shift, n, done=own_done)[0]

    def inputs(self, task: OpTask) -> list[tuple[int, int]]:
        """Return its inputs [low, high) on each axis for a task of the group."""
        start, stop = task.outputs[0]
        along = self.reads(start, stop, task.continuation.done, task.ends[0])
        found = [(along.start, along.high)]
        own_outputs = self.span(task.outputs)
        for axis in range(1, self.chain.axes):
            needed = self.chain.needs(axis, *own_outputs[axis], task.ends[axis])
            found.append(needed[0])
        return found

    def compute(self, x: Array, task: OpTask, earlier: HeldEarlier) -> tuple[Array, HeldAfter]:
        """Compute its outputs from the inputs of the group."""
        places = []
        for (low, high), first in zip(self.inputs(task), task.starts, strict=True):
            places.append(slice(low - first, high - first))
        shift = self.shift[0]
        done, next_start = task.continuation
        own_done = done + shift if done > 0 else 0
        return self.chain.work.compute(
            x[tuple(places)],
            self.span(task.outputs),
            task.ends,
            earlier,
            Continuation(own_done, next_start + shift),
            bounds=task.bounds,
        )


def _shifted_reach(reach: Reach, shift: int) -> Reach:
    """The reach of output k + shift, as that of output k; `shift` is a multiple of the phases."""
    inputs = shift * reach.step // reach.phases
    return replace(
        reach,
        before=reach.before - inputs,
        after=reach.after + inputs,
        anchor=reach.anchor + inputs,
        growth=reach.growth - inputs,
    )


class GroupWork(OpWork):
    """The work of a group of branches: each chain does its own part."""

    op: Branches

    def reads(self, start: int, stop: int, done: int, n: int | None) -> Inputs:
        """Return the inputs along axis 0: all that some branch is given.

        Each branch takes its own part of them, so the group skips none.
        """
        each = [branch.reads(start, stop, done, n) for branch in self.op.branches]
        first = min(inputs.start for inputs in each)
        high = max(inputs.high for inputs in each)
        return Inputs(first, first, high)

    def complete_outputs(self, inputs: Bounds, ends: tuple[int | None, ...]) -> Bounds:
        """Return the outputs for which every branch has a complete window."""
        each = []
        for branch in self.op.branches:
            own = branch.chain.complete_outputs(inputs, ends)
            each.append(own.shifted(branch.shift))
        return common_bounds(each)

    def compute(self, x: Array, task: OpTask) -> tuple[Array, HeldAfter]:
        """Compute the outputs of a task, and what the operations of the branches hold then."""
        if self.op.folded is not None and all_finite(x):
            y, held_after = self._compute_folded(self.op.folded, x, task)
        else:
            y, held_after = self._compute_branches(x, task)
        if self.op.opacity is not None:
            kept = self._kept_channel(x, task)
            y = summed(y)
            y[..., self.op.opacity] = kept
        return y, held_after

    def branch_tasks(self, span: Span, ends: tuple[int | None, ...]) -> tuple[BranchTask, ...]:
        """Return what each branch computes for the outputs `span` of the group."""
        found = []
        for branch in self.op.branches:
            needed = []
            for axis, (start, stop) in enumerate(branch.span(span)):
                needed.append(branch.chain.needs(axis, start, stop, ends[axis]))
            spans = tuple(zip(*needed, strict=True))
            found.append(BranchTask(branch.chain.ops, spans))
        return tuple(found)

    def _compute_branches(self, x: Array, task: OpTask) -> tuple[Array, HeldAfter]:
        """Compute every branch by itself and combine them."""
        operands = []
        held_after = {}
        for number, branch in enumerate(self.op.branches):
            earlier = partial(_held_in_branch, task.earlier, number)
            y, held_after[number] = branch.compute(x, task, earlier)
            operands.append(summed(self._colours(y, branch)))
        results = [formula.value(operands) for formula in self.op.formulas]
        together = self._side_by_side(results, x.shape[-1])
        if self.op.opacity is not None:
            together = np.insert(together, self.op.opacity, 0, axis=-1)
        return together, held_of_parts(held_after)

    def _colours(self, y: Array, branch: BranchChain) -> Array:
        """Return the outputs of a branch without the opacity, which the group keeps as it is.

        One grey branch goes with three colours so.
        """
        opacity = branch.chain.opacity_after(self.op.keeps)
        return y if opacity is None else np.delete(y, opacity, axis=-1)

    def _side_by_side(self, results: list[Array], channels: int) -> Array:
        """Return the results of the formulas as channels.

        Where every channel is treated alike, its results are neighbours: many interleaved signals
        are channels of one array, too, and stay apart so.
        """
        if len(results) == 1:
            return results[0]
        if not self.op.channels.uniform:
            return np.concatenate(results, axis=-1)
        of_channels = [y.reshape(*y.shape[:-1], channels, -1) for y in results]
        joined = np.concatenate(of_channels, axis=-1)
        return joined.reshape(*joined.shape[:-2], -1)

    def _compute_folded(self, folded: Convolve, x: Array, task: OpTask) -> tuple[Array, HeldAfter]:
        """Compute a group as one convolution, where no input is missing."""
        places = []
        for reach, outputs, first in zip(self.op.reach, task.outputs, task.starts, strict=True):
            low, high = reach.needs(*outputs)
            places.append(slice(low - first, high - first))
        y = folded(x[tuple(places)], task.outputs)
        held_after: HeldAfter = {}
        for number, branch in enumerate(self.op.branches):
            if branch.chain.holds:
                next_start = task.continuation.next_start
                following = branch.reads(next_start, next_start + 1, task.outputs[0][1], None)
                passed = max(following.start - task.starts[0], 0)
                earlier = partial(task.earlier, (number, 0))
                held_after[number, 0] = last_known(x[:passed], earlier)
        return y, held_after

    def _kept_channel(self, x: Array, task: OpTask) -> Array:
        """Return the opacity as it is in the inputs that the outputs are aligned with."""
        places = []
        for axis, reach in enumerate(self.op.reach):
            aligned = reach.aligned_input(np.arange(*task.outputs[axis]))
            places.append(np.clip(aligned - task.starts[axis], 0, x.shape[axis] - 1))
        return as_samples(x[..., self.op.keeps][np.ix_(*places)])

    # --- values that are held over gaps ---

    @property
    def held_places(self) -> tuple[HeldPlace, ...]:
        """The places of the values that operations of the branches hold."""
        places = []
        for number, branch in enumerate(self.op.branches):
            places += [(number, *place) for place in branch.chain.work.held_places]
        return tuple(places)

    def held_starts(self, start: int, stop: int, done: int) -> dict[HeldPlace, int]:
        """Return before which input each held value is the last known one that is needed.

        A branch is given its own inputs alone.
        """
        found = {}
        for number, branch in enumerate(self.op.branches):
            shift = branch.shift[0]
            own_done = done + shift if done > 0 else 0
            starts = branch.chain.work.held_starts(start + shift, own_done)
            found.update({(number, *place): first for place, first in starts.items()})
        return found

    @property
    def holds_input_alone(self) -> bool:
        """Whether all values that are held are inputs of the group."""
        return all(branch.chain.work.holds_input_alone for branch in self.op.branches)


def _held_in_branch(earlier: HeldEarlier, number: int, place: HeldPlace) -> Array | None:
    """Return the value held from before at a place in a branch of a group."""
    return earlier((number, *place))
