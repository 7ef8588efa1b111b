"""How an operation takes part in the work of a chain: what it reads, computes and holds.

A chain computes outputs that continue earlier ones. It asks each operation which inputs it reads
for them, gives it a task (`task.py`), and passes the values that the operation holds on to the next
job. `OpWork` answers for every operation with a reach and a function. Only a group of branches
answers by itself (`branch_work.py`), because chains do its work.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from convcli.core.complete import Bounds
from convcli.core.missing import last_known
from convcli.core.task import Inputs
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.core.op import Op, Span
    from convcli.core.reach import Reach
    from convcli.core.task import HeldAfter, HeldPlace, OpTask
    from convcli.signals import Array


@dataclass(frozen=True)
class BranchTask:
    """What a branch of a group computes.

    ops : the operations of the branch
    spans : for each operation, the inputs [low, high) that it reads along each axis; at the end the
        outputs of the branch, by its own index
    """

    ops: tuple[Op, ...]
    spans: tuple[Span, ...]


class OpWork:
    """The work of one operation.

    windows : the windows that have to lie within the signal under the edge rule `missing`, one
        Reach per axis
    """

    def __init__(self, op: Op, windows: tuple[Reach, ...]) -> None:
        self.op = op
        self.windows = windows

    def compute(self, x: Array, task: OpTask) -> tuple[Array, HeldAfter]:
        """Compute the outputs of a task, and what the next job has to know.

        x : all inputs of the task, NaN where a sample is missing; not changed
        """
        op = self.op
        if op.padding is not None:
            x = op.padding.extend(x, task)
        windows = x[task.skipped :]
        if not op.holds:
            return op(windows, task.outputs), {}
        held = partial(last_known, x[: task.skipped], task.held_before)
        y = op(windows, task.outputs, held)
        return y, {(): last_known(x[: task.passed], task.held_before)}

    def reads(self, start: int, stop: int, done: int, n: int | None) -> Inputs:
        """Return the inputs along axis 0 for the outputs [start, stop).

        done : the end of the outputs that were computed before, at most 0 if there are none
        n : the length of the input, given if the operation needs the end of the signal
        """
        along = self.op.reach[0]
        low, high = along.needs(start, stop)
        first = low
        if self.op.holds and done > 0:
            _, read = along.needs(done - 1, done)
            first = min(low, read)
        return Inputs(first, low, high)

    def complete_outputs(self, inputs: Bounds, ends: tuple[int | None, ...]) -> Bounds:
        """Return the outputs whose windows lie within the inputs, for the edge rule `missing`.

        inputs : those that lack no part of the signal
        ends : the length of the input on each axis, None if it has not ended yet
        """
        low = []
        high = []
        for reach, first, stop in zip(self.windows, inputs.low, inputs.high, strict=True):
            low.append(reach.first_within(first))
            high.append(reach.ready(stop))
        if self.op.padding is not None:
            # Beyond the ends of its input the operation reads its padding, which is never missing.
            for axis, length in enumerate(ends):
                if inputs.low[axis] <= 0:
                    low[axis] = 0
                if length is not None and inputs.high[axis] >= length:
                    high[axis] = self.windows[axis].count(length)
        return Bounds(tuple(low), tuple(high))

    def branch_tasks(self, span: Span, ends: tuple[int | None, ...]) -> tuple[BranchTask, ...]:
        """Return what each branch of a group computes for the outputs `span` of the group.

        ends : the length of the signal along each axis, None if it has not ended yet
        """
        return ()

    # --- values that are held over gaps ---

    @property
    def held_places(self) -> tuple[HeldPlace, ...]:
        """The places of the values that the operation holds."""
        return ((),) if self.op.holds else ()

    def held_starts(self, start: int, stop: int, done: int) -> dict[HeldPlace, int]:
        """Return, for each held value, the input before which it is the last known one.

        start, stop : the outputs to come; done : the end of those that were computed before
        """
        first = self.reads(start, stop, done, None).start
        return dict.fromkeys(self.held_places, first)

    @property
    def holds_input_alone(self) -> bool:
        """Whether all values that are held are inputs of the operation itself."""
        return True
