"""A group of branches: chains that read the same input, combined by arithmetic.

The outputs of the chains are combined where they are aligned with the same sample. The group is an
operation as any other: its reach is the union of the reaches of its branches.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.branch_chain import BranchChain, check_alignment, shift_of_branch
from convcli.core.composed import composed, weighted_sum
from convcli.core.convolution.convolve import all_finite, any_in_window
from convcli.core.convolution.frames import common_cell
from convcli.core.convolution.rounding import rounding_around
from convcli.core.extend import common_bounds, joined_bounds
from convcli.core.framing import laid_chain
from convcli.core.in_time.tracking import BranchesTracker, UnionReach
from convcli.core.missing import last_known
from convcli.core.op import (
    ChannelUse,
    LastKnown,
    NumberUse,
    Op,
    OpTimes,
    OwnPadding,
    ToMeasure,
    none_known,
)
from convcli.core.op_formula import OpFormula, delay_of_one_sample
from convcli.core.reach import Reach, widest
from convcli.core.task import (
    BranchTask,
    Inputs,
    OpTask,
    held_by_parts,
    held_within,
    nothing_earlier,
)
from convcli.dataclass import dataclass
from convcli.samples import as_samples, sums_as_floats

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

    from convcli.core.chain import Chain
    from convcli.core.convolution.frames import FrameGrid
    from convcli.core.convolution.rounding import Rounding
    from convcli.core.extend import Bounds
    from convcli.core.formula import Formula
    from convcli.core.op import Span
    from convcli.core.op_formula import WindowWeights
    from convcli.core.ops import Convolve
    from convcli.core.task import HeldLookup, HeldPlace, HeldValues
    from convcli.signals import Array, Missing


@dataclass(frozen=True, kw_only=True)
class JoinedReach(Reach):
    """The union of the reaches of branches along an axis, with their exact lengths.

    A pool of two and an upsampling after it make 2 * floor(n / 2) samples, which `growth` cannot
    say.
    """

    axis: int
    branches: tuple[BranchChain, ...]

    def count(self, n: int) -> int:
        """Count the outputs for which every branch has one."""
        axis = self.axis
        counts = [branch.chain.count(axis, n) - branch.shift[axis] for branch in self.branches]
        return max(0, min(counts))


@dataclass(frozen=True)
class _MeasuredPlace:
    """The place of an operation in a branch, and what it has to measure."""

    branch: int
    place: int
    inside: ToMeasure


@dataclass(frozen=True, eq=False, kw_only=True)
class Branches(Op):
    """Branches that read the same input, combined by one formula for each group of outputs.

    A branch of one channel is combined with every channel of the others.

    formulas : the results of several formulas become channels
    keeps : the channel whose input is kept as it is (the opacity of a picture), or None
    exact : the result must not depend on where a block ends, not even in the last bit
    window : the reach of branches with windows in time, once they know the times
    by_number : combine the n-th outputs of all branches, as the nodes of a graph do, even if they
        are aligned with different samples (`x[1:] - x[:-1]`); and order the channels by formula:
        all channels of one result, then all of the next
    names_results : the results have names of their own, and are written one after the other
    grid : the grid of the one convolution that equals the group, see `Convolve`
    """

    branches: tuple[BranchChain, ...]
    formulas: tuple[Formula, ...]
    axes: int
    keeps: int | None = None
    exact: bool = True
    window: UnionReach | None = None
    by_number: bool = False
    names_results: bool = False
    grid: FrameGrid | None = None

    @classmethod
    def of(
        cls,
        chains: tuple[Chain, ...],
        formulas: tuple[Formula, ...],
        axes: int,
        *,
        shape: Sequence[int | None] = (None, None),
        completed: bool = False,
    ) -> Self:
        """Combine chains whose outputs are aligned with the same samples.

        shape : of the signal, None where a length is not known
        completed : the group will be made `complete`, which aligns chains that lengthen or shorten
            the signal
        UnequalBranchesError where they differ in rate, in length, or in the aligned samples.
        """
        check_alignment(chains, shape, completed=completed)
        branches = tuple(BranchChain(chain, (0,) * axes) for chain in chains)
        return cls(branches=branches, formulas=formulas, axes=axes)

    # --- geometry ---

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The union of the reaches of the branches on each axis."""
        if self.window is not None:
            return (self.window,)
        by_axis = zip(*(branch.reach for branch in self.branches), strict=True)
        joined = []
        for axis, reaches in enumerate(by_axis):
            growth = min(reach.growth for reach in reaches)
            union = replace(widest(reaches), growth=growth)
            joined.append(JoinedReach(**vars(union), axis=axis, branches=self.branches))
        return tuple(joined)

    @property
    def times(self) -> OpTimes:
        """The times as the branches follow them."""
        chains = tuple(branch.chain for branch in self.branches)
        uses = [chain.times for chain in chains]
        return OpTimes(
            in_time=any(use.in_time for use in uses),
            bins=uses[0].bins,
            counted=max(use.counted for use in uses),
            tracker=partial(BranchesTracker, chains),
            bound=self._bound,
        )

    def _bound(self, reach: UnionReach) -> Self:
        """Return the group with branches that know the times so far."""
        pairs = zip(self.branches, reach.chains, strict=True)
        branches = tuple(replace(branch, chain=chain) for branch, chain in pairs)
        return replace(self, branches=branches, window=reach)

    def complete(self) -> Branches:
        """Return the group on complete windows: it begins where every branch has an output."""
        chains = [branch.chain.complete() for branch in self.branches]
        by_axis = [[0] * len(chains)] * self.axes
        if not self.by_number:
            by_axis = [_shifts_to_latest(chains, axis) for axis in range(self.axes)]
        of_branches = zip(*by_axis, strict=True)
        branches = tuple(map(BranchChain, chains, of_branches))
        return replace(self, branches=branches)

    @property
    def padding(self) -> OwnPadding | None:
        """The padding of the branches, which extend their own inputs."""
        paddings = [branch.chain.padding for branch in self.branches]
        found = [padding for padding in paddings if padding is not None]
        if not found:
            return None
        return OwnPadding(needs_end=any(padding.needs_end for padding in found))

    @cached_property
    def to_measure(self) -> ToMeasure | None:
        """What the branches have to measure, one branch after the other."""
        found = list(self._to_measure())
        if not found:
            return None
        first = found[0]
        ops = self.branches[first.branch].chain.ops
        return ToMeasure(
            measures=tuple(measure for each in found for measure in each.inside.measures),
            before=(*ops[: first.place], *first.inside.before),
            with_measured=partial(self._with_measured, first),
        )

    def _to_measure(self) -> Iterator[_MeasuredPlace]:
        """Yield the operations of the branches that have something to measure."""
        for number, branch in enumerate(self.branches):
            for place, op in enumerate(branch.chain.ops):
                if op.to_measure is not None:
                    yield _MeasuredPlace(number, place, op.to_measure)

    def _with_measured(self, first: _MeasuredPlace, op: Op) -> Self:
        """Return the group after its first measure.

        op : the operation that follows from what was measured
        """
        branch = self.branches[first.branch]
        ops = list(branch.chain.ops)
        ops[first.place] = first.inside.with_measured(op)
        branches = list(self.branches)
        branches[first.branch] = replace(branch, chain=replace(branch.chain, ops=tuple(ops)))
        return replace(self, branches=tuple(branches))

    # --- properties ---

    @cached_property
    def holds(self) -> bool:
        """Whether some operation of a branch fills gaps with the last known value."""
        return any(branch.chain.holds for branch in self.branches)

    @property
    def numbers(self) -> NumberUse:
        """Stored numbers are accepted, because each branch converts them by itself."""
        return NumberUse(takes_stored=True, rounding=self._rounding())

    def _rounding(self) -> Rounding:
        """The rounding class: sums of exact branches are exact."""
        if self.as_convolution is not None:
            return rounding_around(self.as_convolution.numbers.rounding)
        ops = [op for branch in self.branches for op in branch.chain.ops]
        classes = {op.numbers.rounding for op in ops}
        if "single" in classes:
            return "single"
        adds_only = all(formula.adds_only for formula in self.formulas)
        return "exact" if adds_only and classes <= {"exact"} else "rounded"

    def opacity_after(self, alpha: int | None) -> int | None:
        """Return which channel is the opacity of the result: the last of any branch."""
        found = [branch.chain.opacity_after(alpha) for branch in self.branches]
        return max((channel for channel in found if channel is not None), default=None)

    @cached_property
    def opacity(self) -> int | None:
        """The channel of the result that holds the opacity that is kept, or None."""
        return None if self.keeps is None else self.opacity_after(self.keeps)

    @cached_property
    def channels(self) -> ChannelUse:
        """Whether all channels are treated alike, and the widest layer of the branches."""
        widths = (op.channels.widest for branch in self.branches for op in branch.chain.ops)
        results = self._results_of_channel()
        return ChannelUse(
            uniform=bool(results),
            written_by_result=results if self.names_results else (),
            widest=max(widths, default=0),
        )

    def _results_of_channel(self) -> tuple[int, ...]:
        """How many outputs of a channel each formula makes; empty if channels are not alike."""
        if self.keeps is not None or not all(branch.chain.uniform for branch in self.branches):
            return ()
        if self.by_number and len(self.formulas) > 1:
            return ()
        made = [branch.chain.channels(1) for branch in self.branches]
        widths = [{made[n] for n in formula.operands()} for formula in self.formulas]
        if any(len(width) != 1 for width in widths):
            return ()
        return tuple(width.pop() for width in widths)

    def output_channels(self, count: int) -> int:
        """Count the channels of the results of all formulas."""
        channels = [branch.chain.channels(count) for branch in self.branches]
        widths = [max(channels[n] for n in formula.operands()) for formula in self.formulas]
        return sum(widths)

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the group under the rules of a run, which its branches were bound under."""
        return replace(self, exact=exact)

    # --- linear groups ---

    @cached_property
    def as_convolution(self) -> Convolve | None:
        """The one convolution that equals the group where no sample is missing, or None."""
        if len(self.formulas) > 1:
            return None
        combination = self.formulas[0].combination(len(self.branches))
        if combination is None or combination.constant:
            return None
        parts = []
        for branch in self.branches:
            part = composed(branch.chain)
            if part is None:
                return None
            parts.append(part)
        return weighted_sum(parts, combination.weights.tolist())

    @property
    def formula(self) -> OpFormula:
        """The one convolution that the group is, if it is one."""
        whole = self.as_convolution
        return OpFormula(
            convolutions=() if whole is None else (whole,),
            as_convolution=whole,
            window_weights=self._window_weights,
            delay=delay_of_one_sample(self.reach),
        )

    def _window_weights(self, channels: int) -> WindowWeights | None:
        """The weights of the one convolution that the group is, if it is one."""
        if self.as_convolution is None:
            return None
        return replace(self.as_convolution.window_weights(channels), only_complete=True)

    @cached_property
    def folded(self) -> Convolve | None:
        """The convolution that computes the group with fewer products than its branches take.

        Sums of branches are rounded more often than those of one convolution, so that exact results
        are always sums of branches.
        """
        if self.exact or self.as_convolution is None or not self.holds_input_alone:
            return None
        folded = replace(self.as_convolution, grid=self.grid)
        return folded if folded.products <= self._products_of_branches else None

    @property
    def products(self) -> int:
        """How many products of samples and taps an output takes."""
        if self.folded is not None:
            return self.folded.products
        return self._products_of_branches

    @property
    def _products_of_branches(self) -> int:
        """The products of all branches; the addition of a branch counts as one, too."""
        inside = sum(op.products for branch in self.branches for op in branch.chain.ops)
        return inside + len(self.branches)

    # --- where blocks end ---

    @cached_property
    def cell(self) -> int | None:
        """The cell of all branches, and of the convolution that equals the group."""
        cells = [branch.chain.cell for branch in self.branches]
        if self.folded is not None:
            cells.append(self.folded.cell)
        return common_cell(cells)

    @property
    def framed_taps(self) -> tuple[int, ...]:
        """The taps of the branches, and of the convolution that equals the group."""
        ops = [op for branch in self.branches for op in branch.chain.ops]
        taps = tuple(k for op in ops for k in op.framed_taps)
        return taps if self.folded is None else (*taps, *self.folded.framed_taps)

    def on_grids(self, grids: Mapping[int, FrameGrid], first: int, end: int) -> Self:
        """Return the group with grids for its convolutions."""
        grid = None
        if self.folded is not None:
            grid = self.folded.on_grids(grids, first, end).grid
        branches = []
        for branch in self.branches:
            shift = branch.shift[0]
            chain = laid_chain(branch.chain, grids, first + shift, end + shift)
            branches.append(replace(branch, chain=chain))
        return replace(self, branches=tuple(branches), grid=grid)

    # --- as a part of a chain ---

    def reads(self, start: int, stop: int, done: int, n: int | None) -> Inputs:
        """Return the inputs along axis 0: all that some branch is given.

        Each branch takes its own part of them, so the group skips none.
        """
        each = [branch.reads(start, stop, done, n) for branch in self.branches]
        first = min(inputs.start for inputs in each)
        high = max(inputs.high for inputs in each)
        if self.grid is not None:
            low, _ = self.reach[0].needs(self.grid.cell_start(start), stop)
            first = min(first, low)
        return Inputs(first, first, high)

    def complete_outputs(self, inputs: Bounds, ends: tuple[int | None, ...]) -> Bounds:
        """Return the outputs for which every branch has a complete window.

        Filters of columns, with which a chain ends, are complete each by itself: the outputs are
        those for which any of them is, and the others are missing where their windows are not.
        """
        each = []
        for branch in self.branches:
            own = branch.chain.complete_outputs(inputs, ends)
            each.append(own.shifted(branch.shift))
        if not self.names_results:
            return common_bounds(each)
        of_formulas = [[each[number] for number in formula.operands()] for formula in self.formulas]
        return joined_bounds([common_bounds(bounds) for bounds in of_formulas])

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Compute the outputs `span` of a signal of which no earlier output was computed."""
        task = OpTask.alone(self.reach, span, (None,) * self.axes)
        y, _ = self.compute(x, task)
        return y

    def compute(self, x: Array, task: OpTask) -> tuple[Array, HeldLookup]:
        """Compute the outputs of a task, and what the operations of the branches hold then."""
        if self.folded is None:
            y, held_after = self._compute_branches(x, task)
        elif all_finite(x):
            y, held_after = self._compute_folded(self.folded, x, task)
        else:
            y, held_after = self._compute_around_gaps(self.folded, x, task)
        if self.opacity is not None:
            kept = self._kept_channel(x, task)
            y = sums_as_floats(y)
            y[..., self.opacity] = kept
        return y, held_after

    def branch_tasks(self, span: Span, ends: tuple[int | None, ...]) -> tuple[BranchTask, ...]:
        """Return what each branch computes for the outputs `span` of the group."""
        found = []
        for branch in self.branches:
            needed = []
            for axis, (start, stop) in enumerate(branch.span(span)):
                needed.append(branch.chain.needs(axis, start, stop, ends[axis]))
            spans = tuple(zip(*needed, strict=True))
            found.append(BranchTask(branch.chain.ops, spans))
        return tuple(found)

    def _compute_branches(self, x: Array, task: OpTask) -> tuple[Array, HeldLookup]:
        """Compute every branch by itself and combine them."""
        operands = []
        held_after = {}
        for number, branch in enumerate(self.branches):
            earlier = partial(held_within, task.earlier, number)
            y, held_after[number] = branch.compute(x, task, earlier)
            operands.append(sums_as_floats(self._colours(y, branch)))
        results = [formula.value(operands) for formula in self.formulas]
        together = self._side_by_side(results, x.shape[-1])
        if self.opacity is not None:
            together = np.insert(together, self.opacity, 0, axis=-1)
        return together, held_by_parts(held_after)

    def _colours(self, y: Array, branch: BranchChain) -> Array:
        """Return the outputs of a branch without the opacity, which the group keeps as it is.

        So a grey branch of one channel can be combined with branches of three colours.
        """
        opacity = branch.chain.opacity_after(self.keeps)
        return y if opacity is None else np.delete(y, opacity, axis=-1)

    def _side_by_side(self, results: list[Array], channels: int) -> Array:
        """Return the results of the formulas as channels.

        Where every channel is treated alike, the results of a channel are neighbours. Interleaved
        signals, which are channels of one array too, then keep their outputs together.
        """
        if len(results) == 1:
            return results[0]
        if not self.channels.uniform:
            return np.concatenate(results, axis=-1)
        of_channels = [y.reshape(*y.shape[:-1], channels, -1) for y in results]
        joined = np.concatenate(of_channels, axis=-1)
        return joined.reshape(*joined.shape[:-2], -1)

    def _compute_folded(self, folded: Convolve, x: Array, task: OpTask) -> tuple[Array, HeldLookup]:
        """Compute a group as one convolution, where no input is missing."""
        earlier = self._earlier_in_cell(task)
        along, *others = task.outputs
        computed = ((along[0] - earlier, along[1]), *others)
        places = []
        for reach, outputs, first in zip(self.reach, computed, task.starts, strict=True):
            low, high = reach.needs(*outputs)
            places.append(slice(low - first, high - first))
        y = folded(x[tuple(places)], computed)[earlier:]
        if not self.holds:
            return y, nothing_earlier
        next_start, done = task.continuation.next_start, task.outputs[0][1]
        held_after: HeldValues = {}
        for place, first in self.held_starts(next_start, next_start + 1, done).items():
            passed = max(first - task.starts[0], 0)
            held_after[place] = last_known(x[:passed], partial(task.earlier, place))
        return y, held_after.get

    def _compute_around_gaps(
        self, folded: Convolve, x: Array, task: OpTask
    ) -> tuple[Array, HeldLookup]:
        """Compute a group that equals one convolution, where some inputs are missing.

        The branches follow the rule for missing samples. On a grid, outputs whose windows read no
        gap are those of the one convolution, so that they do not depend on the block that a gap
        comes in.
        """
        y, held_after = self._compute_branches(x, task)
        if self.grid is None:
            return y, held_after
        usual = np.isfinite(x)
        as_one, _ = self._compute_folded(folded, np.where(usual, x, 0.0), task)
        reach = self.reach[0]
        low, high = reach.needs(*task.outputs[0])
        places = slice(low - task.starts[0], high - task.starts[0])
        reads_gap = any_in_window(~usual[places], reach.before + reach.after + 1, 1)
        return np.where(reads_gap, y, as_one), held_after

    def _earlier_in_cell(self, task: OpTask) -> int:
        """How many outputs of their cell are computed before those of a task."""
        if self.grid is None:
            return 0
        start, stop = task.outputs[0]
        low, _ = self.reach[0].needs(start, stop)
        return min(start - self.grid.cell_start(start), low - task.starts[0])

    def _kept_channel(self, x: Array, task: OpTask) -> Array:
        """Return the opacity as it is in the inputs that the outputs are aligned with."""
        places = []
        for axis, reach in enumerate(self.reach):
            aligned = reach.aligned_input(np.arange(*task.outputs[axis]))
            places.append(np.clip(aligned - task.starts[axis], 0, x.shape[axis] - 1))
        return as_samples(x[..., self.keeps][np.ix_(*places)])

    # --- values that are held over gaps ---

    @property
    def held_places(self) -> tuple[HeldPlace, ...]:
        """The places of the values that operations of the branches hold."""
        places = []
        for number, branch in enumerate(self.branches):
            places += [(number, *place) for place in branch.chain.held_places]
        return tuple(places)

    def held_starts(self, start: int, stop: int, done: int) -> dict[HeldPlace, int]:
        """Return before which input each held value is the last known one that is needed.

        A branch is given its own inputs alone.
        """
        found = {}
        for number, branch in enumerate(self.branches):
            shift = branch.shift[0]
            own_done = done + shift if done > 0 else 0
            starts = branch.chain.held_starts(start + shift, own_done)
            found.update({(number, *place): first for place, first in starts.items()})
        return found

    @property
    def holds_input_alone(self) -> bool:
        """Whether all values that are held are inputs of the group."""
        return all(branch.chain.holds_input_alone for branch in self.branches)


def _shifts_to_latest(chains: Sequence[Chain], axis: int) -> list[int]:
    """How many outputs of each chain to leave out, so that all begin aligned with one sample."""
    anchors = [chain.aligned_input(axis, 0) for chain in chains]
    latest = max(anchors)
    shifts = []
    for number, chain in enumerate(chains):
        distance = latest - anchors[number]
        shifts.append(shift_of_branch(chain.reach[axis], distance, number))
    return shifts
