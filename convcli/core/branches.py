"""A group of branches: chains that read the same input, combined by arithmetic.

The outputs of the chains are aligned at the sample that they stand for. The group is an operation
as any other: its reach is the union of the reaches of its branches.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.complete import common_bounds
from convcli.core.composed import composed, weighted_sum
from convcli.core.convolution.convolve import all_finite
from convcli.core.convolution.rounding import outside_of
from convcli.core.in_time.tracking import BranchesTracker, UnionReach
from convcli.core.missing import last_known
from convcli.core.ops import BranchTask, Held, Op, nothing_held
from convcli.core.reach import Reach, widest
from convcli.core.task import Continuation, Inputs, OpTask, held_of_parts
from convcli.dataclass import dataclass
from convcli.samples import as_samples, summed
from convcli.units import describe_seconds, plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from convcli.calendar_bins import CalendarBins
    from convcli.core.chain import Chain
    from convcli.core.complete import Bounds
    from convcli.core.convolution.rounding import Rounding
    from convcli.core.formula import Formula
    from convcli.core.in_time.reach import Tracker
    from convcli.core.ops import Convolve, Span, WindowWeights
    from convcli.core.task import HeldAfter, HeldEarlier, HeldPlace
    from convcli.signals import Array, Missing


class UnequalBranchesError(ValueError):
    """Branches that cannot be aligned: they differ in rate, length or the samples they stand for.

    number : of the branch that differs from the first one
    does : what that branch does; first_does : what the first one does instead
    """

    def __init__(self, number: int, does: str, first_does: str) -> None:
        super().__init__(f"branch {number + 1} {does}, and branch 1 {first_does}")
        self.number = number
        self.does = does
        self.first_does = first_does


@dataclass(frozen=True, eq=False)
class BranchChain:
    """The chain of one branch. Output k of the group is made of its output k + shift[axis]."""

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
        return self.chain.compute(
            x[tuple(places)],
            self.span(task.outputs),
            task.ends,
            earlier,
            Continuation(own_done, next_start + shift),
            bounds=task.bounds,
        )


@dataclass(frozen=True, kw_only=True)
class JoinedReach(Reach):
    """The union of the reaches of branches along an axis, with their exact lengths.

    A pool of two and the upsampling behind it make 2 * floor(n / 2) samples, which no growth says.
    """

    axis: int
    branches: tuple[BranchChain, ...]

    def count(self, n: int) -> int:
        """Count the outputs for which every branch has one."""
        axis = self.axis
        counts = [branch.chain.count(axis, n) - branch.shift[axis] for branch in self.branches]
        return max(0, min(counts))


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Branches(Op):
    """Branches that read the same input, combined by one formula for each group of outputs.

    A branch of one channel is combined with every channel of the others.

    formulas : the results of several formulas become channels
    keeps : the channel whose input is kept as it is (the opacity of a picture), or None
    exact : the result must not depend on where a block ends, not even in the last bit
    window : the reach of branches with windows in time, once they know the times
    """

    branches: tuple[BranchChain, ...]
    formulas: tuple[Formula, ...]
    axes: int
    keeps: int | None = None
    exact: bool = True
    window: UnionReach | None = None

    takes_stored = True

    @classmethod
    def of(
        cls,
        chains: tuple[Chain, ...],
        formulas: tuple[Formula, ...],
        axes: int,
        *,
        completed: bool = False,
    ) -> Self:
        """Align chains whose outputs stand for the same samples.

        completed : the group will be made `complete`, which aligns chains that lengthen or shorten
            the signal
        UnequalBranchesError where they differ in rate, length or the samples they stand for.
        """
        for number, chain in enumerate(chains):
            if chain.bins != chains[0].bins:
                first_does = _bins_text(chains[0].bins)
                raise UnequalBranchesError(number, _bins_text(chain.bins), first_does)
            for one, other in zip(chains[0].reach, chain.reach, strict=True):
                _check_equal_rates(one, other, number)
                if not completed:
                    _check_place(one, other, number)
        branches = tuple(BranchChain(chain, (0,) * axes) for chain in chains)
        return cls(branches=branches, formulas=formulas, axes=axes)

    # --- geometry ---

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The union of the reaches of the branches on each axis."""
        if self.window is not None:
            return (self.window,)
        by_axis = zip(*(branch.reach for branch in self.branches), strict=True)
        unions = map(_union, by_axis)
        return tuple(
            JoinedReach(**vars(union), axis=axis, branches=self.branches)
            for axis, union in enumerate(unions)
        )

    @property
    def in_time(self) -> bool:
        """Whether windows of some branch are bounded by the times of the samples."""
        return any(branch.chain.in_time for branch in self.branches)

    @property
    def bins(self) -> tuple[CalendarBins, ...]:
        """The calendar bins of each branch."""
        return self.branches[0].chain.bins

    @property
    def windows_over_bins(self) -> bool:
        """Whether windows in time of some branch read what calendar bins give."""
        return any(branch.chain.windows_over_bins for branch in self.branches)

    def tracker(self) -> Tracker:
        """Return what follows the times of the inputs through every branch."""
        return BranchesTracker(tuple(branch.chain for branch in self.branches))

    def bound(self, reach: Any) -> Self:
        """Return the group with branches that know the times so far."""
        if not isinstance(reach, UnionReach):
            return self
        pairs = zip(self.branches, reach.chains, strict=True)
        branches = tuple(replace(branch, chain=chain) for branch, chain in pairs)
        return replace(self, branches=branches, window=reach)

    def reads(self, start: int, stop: int, done: int, n: int | None) -> Inputs:
        """Return the inputs along axis 0: all that some branch is given.

        Each branch takes its own part of them, so that none are skipped here.
        """
        each = [branch.reads(start, stop, done, n) for branch in self.branches]
        first = min(inputs.start for inputs in each)
        high = max(inputs.high for inputs in each)
        return Inputs(first, first, high)

    def complete(self) -> Branches:
        """Return the group on complete windows: it begins where every branch has an output."""
        chains = [branch.chain.complete() for branch in self.branches]
        shifts = []
        for axis in range(self.axes):
            anchors = [chain.aligned_input(axis, 0) for chain in chains]
            latest = max(anchors)
            axis_shifts = []
            for number, chain in enumerate(chains):
                distance = latest - anchors[number]
                axis_shifts.append(_shift(chain.reach[axis], distance, number))
            shifts.append(axis_shifts)
        of_branches = zip(*shifts, strict=True)
        branches = tuple(map(BranchChain, chains, of_branches))
        return replace(self, branches=branches)

    @property
    def pads(self) -> bool:
        """Whether some branch extends its own input."""
        return any(branch.chain.pads for branch in self.branches)

    @property
    def needs_end(self) -> bool:
        """Whether the first outputs of some branch depend on the last inputs."""
        return any(branch.chain.needs_end for branch in self.branches)

    def complete_outputs(self, inputs: Bounds, ends: tuple[int | None, ...]) -> Bounds:
        """Return the outputs for which every branch has a complete window."""
        each = []
        for branch in self.branches:
            own = branch.chain.complete_outputs(inputs, ends)
            each.append(own.shifted(branch.shift))
        return common_bounds(each)

    # --- properties ---

    @cached_property
    def holds(self) -> bool:
        """Whether some operation of a branch fills gaps with the last known value."""
        return any(branch.chain.holds for branch in self.branches)

    @property
    def rounding(self) -> Rounding:
        """The rounding class: sums of exact branches are exact."""
        if self.as_convolution is not None:
            return outside_of(self.as_convolution.rounding)
        ops = [op for branch in self.branches for op in branch.chain.ops]
        classes = {op.rounding for op in ops}
        if "single" in classes:
            return "single"
        adds_only = all(formula.adds_only for formula in self.formulas)
        return "exact" if adds_only and classes <= {"exact"} else "rounded"

    @cached_property
    def uniform(self) -> bool:
        """Whether all channels are treated alike. Outputs of one channel are then neighbours."""
        if self.keeps is not None or not all(branch.chain.uniform for branch in self.branches):
            return False
        made = [branch.chain.channels(1) for branch in self.branches]
        widths = [{made[n] for n in formula.operands()} for formula in self.formulas]
        return all(len(width) == 1 for width in widths)

    @property
    def widest(self) -> int:
        """The most channels that a layer in some branch reads or makes."""
        inside = (op.widest for branch in self.branches for op in branch.chain.ops)
        return max(inside, default=0)

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

    def window_weights(self, channels: int) -> WindowWeights | None:
        """The weights of the one convolution that the group is, if it is one."""
        if self.as_convolution is None:
            return None
        return replace(self.as_convolution.window_weights(channels), only_complete=True)

    @property
    def convolutions(self) -> tuple[Convolve, ...]:
        """The one convolution that the group is, if it is one."""
        return () if self.as_convolution is None else (self.as_convolution,)

    @cached_property
    def _folded(self) -> Convolve | None:
        """The convolution that computes the group with fewer products than its branches take.

        Sums of branches are rounded more often than those of one convolution, so that exact results
        are always sums of branches.
        """
        if self.exact or self.as_convolution is None or self._holds_inside:
            return None
        folded = self.as_convolution
        return folded if folded.products <= self._products_of_branches else None

    @property
    def products(self) -> int:
        """How many products of samples and taps an output takes."""
        if self._folded is not None:
            return self._folded.products
        return self._products_of_branches

    @property
    def _products_of_branches(self) -> int:
        """The products of all branches; the addition of a branch counts as one, too."""
        inside = sum(op.products for branch in self.branches for op in branch.chain.ops)
        return inside + len(self.branches)

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

    @property
    def _holds_inside(self) -> bool:
        """Whether an operation holds values that are not inputs of the group."""
        later = (op for branch in self.branches for op in branch.chain.ops[1:])
        return any(op.holds for op in later)

    # --- samples ---

    def compute(self, x: Array, task: OpTask) -> tuple[Array, HeldAfter]:
        """Compute the outputs of a task, and what the operations of the branches hold then."""
        if self._folded is not None and all_finite(x):
            y, held_after = self._compute_folded(self._folded, x, task)
        else:
            y, held_after = self._compute_branches(x, task)
        if self.keeps is not None:
            y = self._with_kept_channel(summed(y), self.keeps, x, task)
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

    def _compute_branches(self, x: Array, task: OpTask) -> tuple[Array, HeldAfter]:
        """Compute every branch by itself and combine them."""
        operands = []
        held_after = {}
        for number, branch in enumerate(self.branches):
            earlier = partial(_held_in_branch, task.earlier, number)
            y, held_after[number] = branch.compute(x, task, earlier)
            operands.append(summed(y))
        results = [formula.value(operands) for formula in self.formulas]
        return self._side_by_side(results, x.shape[-1]), held_of_parts(held_after)

    def _side_by_side(self, results: list[Array], channels: int) -> Array:
        """Return the results of the formulas as channels.

        Where every channel is treated alike, its results are neighbours: many interleaved signals
        are channels of one array, too, and stay apart so.
        """
        if len(results) == 1:
            return results[0]
        if not self.uniform:
            return np.concatenate(results, axis=-1)
        of_channels = [y.reshape(*y.shape[:-1], channels, -1) for y in results]
        joined = np.concatenate(of_channels, axis=-1)
        return joined.reshape(*joined.shape[:-2], -1)

    def _compute_folded(self, folded: Convolve, x: Array, task: OpTask) -> tuple[Array, HeldAfter]:
        """Compute a group as one convolution, where no input is missing."""
        places = []
        for reach, outputs, first in zip(self.reach, task.outputs, task.starts, strict=True):
            low, high = reach.needs(*outputs)
            places.append(slice(low - first, high - first))
        y = folded(x[tuple(places)], task.outputs)
        held_after: HeldAfter = {}
        for number, branch in enumerate(self.branches):
            if branch.chain.holds:
                next_start = task.continuation.next_start
                following = branch.reads(next_start, next_start + 1, task.outputs[0][1], None)
                passed = max(following.start - task.starts[0], 0)
                earlier = partial(task.earlier, (number, 0))
                held_after[number, 0] = last_known(x[:passed], earlier)
        return y, held_after

    def _with_kept_channel(self, y: Array, channel: int, x: Array, task: OpTask) -> Array:
        """Return the outputs with one channel as it is in the inputs that they stand for."""
        places = []
        for axis, reach in enumerate(self.reach):
            aligned = reach.aligned_input(np.arange(*task.outputs[axis]))
            places.append(np.clip(aligned - task.starts[axis], 0, x.shape[axis] - 1))
        kept = as_samples(x[..., channel][np.ix_(*places)])
        y[..., channel] = kept
        return y

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Compute the outputs `span` of a signal of which no earlier output was computed."""
        task = OpTask.alone(self.reach, span, (None,) * self.axes)
        y, _ = self.compute(x, task)
        return y


def _held_in_branch(earlier: HeldEarlier, number: int, place: HeldPlace) -> Array | None:
    """Return the value held from before at a place in a branch of a group."""
    return earlier((number, *place))


def _union(reaches: tuple[Reach, ...]) -> Reach:
    """The reach of several branches that are aligned."""
    return replace(
        widest(reaches),
        growth=min(reach.growth for reach in reaches),
    )


def _bins_text(bins: Sequence[CalendarBins]) -> str:
    """What a chain with these calendar bins, one after the other, gives."""
    lengths = []
    for each in bins:
        months = {1: "month", 3: "quarter", 12: "year"}.get(each.months, f"{each.months} months")
        lengths.append(months if each.months else describe_seconds(each.seconds))
    return f"gives a row for each {', then each '.join(lengths) or 'row'}"


def _check_equal_rates(one: Reach, other: Reach, number: int) -> None:
    """Raise UnequalBranchesError where two branches have different rates."""
    if (one.step, one.phases) != (other.step, other.phases):
        raise UnequalBranchesError(number, _rate_text(other), _rate_text(one))


def _check_place(one: Reach, other: Reach, number: int) -> None:
    """Raise UnequalBranchesError where outputs of two branches stand for different samples."""
    if one.limit != other.limit:
        raise UnequalBranchesError(number, _cut(other), _cut(one))
    if one.growth != other.growth:
        raise UnequalBranchesError(number, _length(other), _length(one))
    if one.anchor != other.anchor:
        raise UnequalBranchesError(number, _stands_for(other), _stands_for(one))


def _rate_text(reach: Reach) -> str:
    outputs = plural(reach.phases, "output")
    samples = "each sample" if reach.step == 1 else f"every {reach.step:,} samples"
    return f"gives {outputs} for {samples}"


def _length(reach: Reach) -> str:
    if not reach.growth:
        return "keeps the length"
    change = "lengthens" if reach.growth > 0 else "shortens"
    return f"{change} the signal by {plural(abs(reach.growth), 'sample')}"


def _cut(reach: Reach) -> str:
    if reach.limit is None:
        return "keeps all samples"
    return f"keeps {plural(reach.limit, 'sample')}"


def _stands_for(reach: Reach) -> str:
    first = [str(reach.aligned_input(k)) for k in range(3)]
    return f"stands for the samples {', '.join(first)} ..."


def _shift(reach: Reach, distance: int, number: int) -> int:
    """By how many outputs a branch begins earlier than the one that begins latest.

    distance : between the samples that their first outputs stand for
    """
    outputs, rest = divmod(distance * reach.phases, reach.step)
    if rest or outputs % reach.phases:
        does = f"begins {plural(distance, 'sample')} before another branch"
        raise UnequalBranchesError(number, does, "has outputs between those of that one")
    return outputs
