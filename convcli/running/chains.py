"""The chain of each signal, whose operations may depend on what was measured of the signal."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from convcli.core.chain import Chain
from convcli.core.op import op_itself
from convcli.dataclass import dataclass
from convcli.running.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from convcli.core.op import Measure, Op
    from convcli.running.jobs import SignalName
    from convcli.signals import Edge, Signal

# The name of the only signal of an input without groups. The names of groups are never None.
ALL: SignalName = None


@dataclass(frozen=True, eq=False)
class ChainOfEachSignal:
    """The chain of each signal.

    ops : the operations that all signals have in common
    own : by its place in the chain, an operation that each signal has of its own: a measured gain
    planned : the chain of the plan if it is the common one, because its cached properties are known
    """

    signal: Signal
    ops: tuple[Op, ...] = ()
    own: Mapping[int, Mapping[SignalName, Op]] = field(default_factory=dict)
    planned: Chain | None = None

    def then(self, ops: tuple[Op, ...]) -> ChainOfEachSignal:
        """Return the chains that go on with operations of all signals."""
        return replace(self, ops=(*self.ops, *ops))

    def then_own(self, ops: Mapping[SignalName, Op]) -> ChainOfEachSignal:
        """Return the chains that go on with an operation of each signal."""
        place = len(self.ops) + len(self.own)
        return replace(self, own={**self.own, place: ops})

    @cached_property
    def common(self) -> Chain | None:
        """The chain of all signals, None if they differ."""
        if self.planned is not None:
            return self.planned
        return None if self.own else Chain(self.ops, self.signal.axes)

    def of(self, group: SignalName) -> Chain:
        """Return the chain of one signal."""
        if self.common is not None:
            return self.common
        ops = list(self.ops)
        for place, each in self.own.items():
            ops.insert(place, each[group])
        return Chain(tuple(ops), self.signal.axes)


def chains_so_far(
    signal: Signal, ops: Sequence[Op], known: Sequence[Mapping[SignalName, Any]]
) -> tuple[ChainOfEachSignal, Measure | None]:
    """Return the chains up to what has to be measured next, and that measure.

    known : what was measured of each signal before, in the order of the measures of the operations
    The measure is None, and the chains are complete, if all is known.
    """
    chains = ChainOfEachSignal(signal)
    coming = iter(known)
    for op in ops:
        if op.to_measure is None:
            chains = chains.then((op,))
            continue
        own = _OwnOps(op, {})
        for measure in op.to_measure.measures:
            found = next(coming, None)
            if found is None:
                return own.up_to_measure(chains), measure
            own = own.after_measure(measure, found)
        chains = chains.then_own(own.by_signal(op_itself))
    return chains, None


@dataclass(frozen=True, eq=False)
class _OwnOps:
    """An operation that each signal has of its own, as far as it was measured.

    of : by the name of the signal
    other : for signals of which nothing was measured, because they have no samples
    """

    other: Op
    of: Mapping[SignalName, Op]

    def after_measure(self, measure: Measure, found: Mapping[SignalName, Any]) -> _OwnOps:
        """Return the operations that follow from what a measure has found of each signal."""
        of = {}
        for name in {*self.of, *found}:
            before = self.of.get(name, self.other)
            of[name] = _op_after_measure(before, measure, found.get(name))
        return _OwnOps(_op_after_measure(self.other, measure, None), of)

    def up_to_measure(self, chains: ChainOfEachSignal) -> ChainOfEachSignal:
        """Return the chains with the operations whose outputs are measured next."""
        for place in range(len(_ops_before_measure(self.other))):
            chains = chains.then_own(self.by_signal(partial(_op_before_measure, place)))
        return chains

    def by_signal(self, part: Callable[[Op], Op]) -> Mapping[SignalName, Op]:
        """Return a part of the operation of each signal."""
        other = part(self.other)
        return defaultdict(lambda: other, {name: part(op) for name, op in self.of.items()})


def _ops_before_measure(op: Op) -> tuple[Op, ...]:
    """The operations of a branch whose outputs are measured next."""
    return () if op.to_measure is None else op.to_measure.before


def _op_before_measure(place: int, op: Op) -> Op:
    return _ops_before_measure(op)[place]


def _op_after_measure(op: Op, measure: Measure, found: Any | None) -> Op:
    """The operation after its first measure; nothing is found of a signal without samples."""
    if op.to_measure is None:
        return op
    return op.to_measure.with_measured(measure.measured_op(found))


def geometry_of(chain: Chain, edge: Edge, tail: int = 0) -> Geometry:
    """Return the geometry of the chain of one signal."""
    if not chain.times.in_time:
        return Geometry(chain, edge, tail)
    from convcli.running.timed_geometry import TimedGeometry

    return TimedGeometry(chain, edge, tail)
