"""The chain of one branch, and how the branches of a group are aligned."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from convcli.core.task import Continuation
from convcli.dataclass import dataclass
from convcli.units import describe_seconds, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.calendar_bins import CalendarBins
    from convcli.core.chain import Chain
    from convcli.core.op import Span
    from convcli.core.reach import Reach
    from convcli.core.task import HeldLookup, Inputs, OpTask
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

    def compute(self, x: Array, task: OpTask, earlier: HeldLookup) -> tuple[Array, HeldLookup]:
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


# ------------------------------------------------------------------------------------- alignment


class UnequalBranchesError(ValueError):
    """Branches that cannot be aligned: they differ in rate, in length, or in the aligned samples.

    number : of the branch that differs from the first one
    does : what that branch does; first_does : what the first one does instead
    """

    def __init__(self, number: int, does: str, first_does: str) -> None:
        super().__init__(f"branch {number + 1} {does}, and branch 1 {first_does}")
        self.number = number
        self.does = does
        self.first_does = first_does


def check_alignment(
    chains: Sequence[Chain], shape: Sequence[int | None], *, completed: bool
) -> None:
    """Raise UnequalBranchesError for chains that differ in rate, in length, or in aligned samples.

    shape : of the signal, None where a length is not known; a pool that drops an incomplete window
        shortens only some lengths
    completed : chains that lengthen or shorten the signal will be aligned
    """
    first = chains[0]
    for number, chain in enumerate(chains):
        if chain.times.bins != first.times.bins:
            first_does = _bins_text(first.times.bins)
            raise UnequalBranchesError(number, _bins_text(chain.times.bins), first_does)
        for axis, (one, other) in enumerate(zip(first.reach, chain.reach, strict=True)):
            _check_equal_rates(one, other, number)
            if completed:
                continue
            n = shape[axis]
            if n is None or first.count(axis, n) != chain.count(axis, n):
                _check_lengths(one, other, number)
            _check_place(one, other, number)


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


def _check_lengths(one: Reach, other: Reach, number: int) -> None:
    """Raise UnequalBranchesError where two branches may make different numbers of outputs."""
    if one.growth != other.growth:
        raise UnequalBranchesError(number, _length(other), _length(one))


def _check_place(one: Reach, other: Reach, number: int) -> None:
    """Raise UnequalBranchesError where outputs of two branches are aligned with other samples."""
    if one.limit != other.limit:
        raise UnequalBranchesError(number, _cut(other), _cut(one))
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


def shift_of_branch(reach: Reach, distance: int, number: int) -> int:
    """By how many outputs a branch begins earlier than the one that begins latest.

    distance : between the samples that their first outputs are aligned with
    """
    outputs, rest = divmod(distance * reach.phases, reach.step)
    if rest or outputs % reach.phases:
        does = f"begins {plural(distance, 'sample')} before another branch"
        raise UnequalBranchesError(number, does, "has outputs between those of that one")
    return outputs
