"""What an operation is asked to compute, and what it knows besides its inputs.

Outputs that continue earlier ones are computed in jobs. Most operations are a pure function of
their inputs. One that holds values also has to know the last value from before its inputs, and to
say what the next job has to know.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.core.extend import Bounds
    from convcli.core.op import Op, Span
    from convcli.core.reach import Reach
    from convcli.signals import Array

# An operation that holds values fills a gap with the last known value of each channel. Its place is
# its number in the chain; inside branches then the number of the branch, the number in its chain,
# and so on.
HeldPlace = tuple[int, ...]

# The last known values before some outputs, by the place of the operation that holds them; None if
# there are none. They can be pickled.
HeldValues = dict[HeldPlace, "Array | None"]

# Looks up the value held at a place from before the inputs, None if there is none. It may wait for
# another thread, or compute, and is therefore called only if a gap needs it. A computation of
# outputs returns such a function for those that follow. `LastKnown` of `core/op.py` is the same for
# a single place.
HeldLookup = Callable[[HeldPlace], "Array | None"]


def nothing_earlier(_: HeldPlace) -> None:
    """Say that no value is known from before the start of a signal."""
    return


def held_within(earlier: HeldLookup, number: int, place: HeldPlace) -> Array | None:
    """Return the value held at a place in a part: an operation of a chain, or a branch of a group.

    earlier : looks up the values of the whole; number : of the part
    """
    return earlier((number, *place))


def held_by_parts(parts: Mapping[int, HeldLookup]) -> HeldLookup:
    """Return the lookup for an operation that consists of numbered parts.

    parts : for each number, the lookup within the part
    """

    def held(place: HeldPlace) -> Array | None:
        number, *place_in_part = place
        return parts[number](tuple(place_in_part))

    return held


def held_if_asked(find: Callable[[], HeldLookup]) -> HeldLookup:
    """Return a lookup that calls `find` only when a value is asked for, and then only once.

    Only a gap at the very beginning of the next outputs asks.
    """
    found = cache(find)

    def held(place: HeldPlace) -> Array | None:
        return found()(place)

    return held


class Inputs(NamedTuple):
    """The samples [start, high) that an operation is given along an axis.

    Its windows read those from `low` on.
    """

    start: int
    low: int
    high: int


class Continuation(NamedTuple):
    """How outputs along axis 0 continue earlier ones, and where later ones begin.

    done : the end of the outputs that were computed before, 0 if there are none
    next_start : the first output of the next job
    """

    done: int
    next_start: int


@dataclass(frozen=True, eq=False, kw_only=True)
class OpTask:
    """The part of one operation in a computation.

    outputs : the outputs to compute on each axis
    starts, stops : the inputs [start, stop) on each axis
    begins : where the inputs begin on each axis when the padding of the operation is beside them
    ends : the length of the input on each axis, None if that is not known yet
    skipped : how many inputs at the start are read by no window and serve only to hold their last
        value
    continuation : of the outputs
    next_input : the first input that the next job is given
    earlier : looks up what the operation holds from before its inputs
    bounds : the inputs that are complete; an output that reads any other is missing. None where
        windows need not be complete
    """

    outputs: Span
    starts: tuple[int, ...]
    begins: tuple[int, ...]
    stops: tuple[int, ...]
    ends: tuple[int | None, ...]
    skipped: int
    continuation: Continuation
    next_input: int
    earlier: HeldLookup = nothing_earlier
    bounds: Bounds | None = None

    @classmethod
    def alone(
        cls, reaches: tuple[Reach, ...], outputs: Span, ends: tuple[int | None, ...]
    ) -> OpTask:
        """The task of an operation with these reaches, before which nothing was computed."""
        needs = [reach.needs(*wanted) for reach, wanted in zip(reaches, outputs, strict=True)]
        starts = tuple(low for low, _ in needs)
        stops = tuple(high for _, high in needs)
        return cls(
            outputs=outputs,
            starts=starts,
            begins=starts,
            stops=stops,
            ends=ends,
            skipped=0,
            continuation=Continuation(done=0, next_start=outputs[0][1]),
            next_input=needs[0][1],
        )

    def held_before(self) -> Array | None:
        """Return the last known values from before the inputs."""
        return self.earlier(())

    @property
    def passed(self) -> int:
        """How many of the inputs lie before those of the next job."""
        return max(self.next_input - self.begins[0], 0)


class BranchTask(NamedTuple):
    """What a branch of a group computes.

    ops : the operations of the branch
    spans : for each operation, the inputs [low, high) that it reads along each axis; at the end the
        outputs of the branch, by its own index
    """

    ops: tuple[Op, ...]
    spans: tuple[Span, ...]
