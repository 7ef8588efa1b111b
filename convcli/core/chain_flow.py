"""What each operation of a chain reads, found backwards from the outputs (see `chain.py`)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from convcli.core.task import Inputs
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.core.chain import Chain
    from convcli.core.executor import Pads
    from convcli.core.op import OwnPadding, Span
    from convcli.core.reach import Reach
    from convcli.core.task import Continuation

# The length of an input that goes on.
NOT_ENDED = 1 << 62


def walk(
    chain: Chain,
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
    circular = _circular_lengths(chain, axis, n)
    ended = None if done is None else ends_of_inputs(chain, done)
    start, stop = span
    after = Inputs(start, start, stop)
    given = [after]
    computed = [after]
    lengths = _input_lengths(chain, axis, n) if inside else None
    for number in reversed(range(len(chain.ops))):
        op = chain.ops[number]
        length = circular.get(number)
        if ended is None:
            inputs = _inputs_alone(op.reach[axis], after)
        else:
            inputs = op.work.reads(after.start, after.high, ended[number + 1], length)
        if length is not None:
            inputs = inputs._replace(high=max(inputs.high, length))
        given.append(inputs)
        after = inputs if lengths is None else _within(inputs, lengths[number])
        computed.append(after)
    return given[::-1], computed[::-1]


def _inputs_alone(reach: Reach, outputs: Inputs) -> Inputs:
    """The inputs that outputs read, without any that only serve to hold their last value."""
    low, high = reach.needs(outputs.start, outputs.high)
    return Inputs(low, low, high)


def ends_of_inputs(chain: Chain, done: int) -> list[int]:
    """Return where the inputs of each operation end for outputs that end at `done`."""
    if done <= 0:
        return [0] * (len(chain.ops) + 1)
    return [high for _, high in chain.needs(0, done - 1, done)]


def _input_lengths(chain: Chain, axis: int, n: int | None) -> list[int | None]:
    """Length of the input of each operation that reads nothing outside of it, else None.

    A length that is not known yet is NOT_ENDED.
    """
    found: list[int | None] = []
    for op in chain.ops:
        length = NOT_ENDED if n is None else n
        found.append(length if _reads_inside(op.padding) else None)
        n = None if n is None else op.reach[axis].count(n)
    return found


def _circular_lengths(chain: Chain, axis: int, n: int | None) -> dict[int, int]:
    """Input length of every circularly padded layer, by the number of the operation."""
    found: dict[int, int] = {}
    if n is None or not chain.needs_end:
        return found
    for number, op in enumerate(chain.ops):
        if op.padding is not None and op.padding.needs_end:
            found[number] = n
        n = op.reach[axis].count(n)
    return found


def _reads_inside(padding: OwnPadding | None) -> bool:
    """Whether an operation or a chain extends its input from samples near the same end."""
    return padding is not None and padding.reads_inside


def _within(inputs: Inputs, n: int | None) -> Inputs:
    """The part of some inputs in a signal of `n` samples, of which one is left at least."""
    if not n or (n == NOT_ENDED and inputs.high <= 0):
        return inputs
    first = min(max(inputs.start, 0), n - 1)
    last = max(first + 1, min(inputs.high, n))
    return Inputs(first, max(first, inputs.low), last)


@dataclass(frozen=True, eq=False, kw_only=True)
class Flow:
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

    @cached_property
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


def flow_of(
    chain: Chain, span: Span, ends: tuple[int | None, ...], continuation: Continuation
) -> Flow:
    """Return what the operations read for the outputs `span`."""
    done, next_start = continuation
    first = []
    given = []
    computed = []
    for axis in range(chain.axes):
        own_done = done if axis == 0 else None
        walked = walk(chain, axis, span[axis], ends[axis], done=own_done)
        first.append(walked[0][0].start)
        if _reads_inside(chain.padding):
            walked = walk(chain, axis, span[axis], ends[axis], done=own_done, inside=True)
        given.append(walked[0])
        computed.append(walked[1])
    following = computed[0]
    if chain.holds:
        following = chain.reads(next_start, next_start + 1, done=span[0][1])
    return Flow(
        first=first,
        given=given,
        computed=computed,
        done=ends_of_inputs(chain, done),
        following=following,
    )
