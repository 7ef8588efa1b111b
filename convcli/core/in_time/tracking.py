"""Times that are followed through a chain, and through branches that read the same input."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from convcli.core.in_time.reach import Tracker
from convcli.core.reach import Reach
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.core.chain import Chain
    from convcli.core.in_time.reach import Stamps


class ChainTracker:
    """The times of one signal, followed through the operations of a chain.

    chain : the chain with reaches that know the times so far
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._unbound = chain
        self._trackers = [op.times.tracker() for op in chain.ops]

    def arrive(self, stamps: Stamps, *, ended: bool) -> Stamps:
        """Take note of the stamps of the next inputs; return those of the next outputs."""
        for tracker in self._trackers:
            stamps = tracker.arrive(stamps, ended=ended)
        self._bind()
        return stamps

    def start_at(self, sample: int) -> int:
        """Begin with the input of a number, before any has come; return the first output."""
        for tracker in self._trackers:
            sample = tracker.start_at(sample)
        self._bind()
        return sample

    def forget(self, done: int) -> None:
        """Forget the times that no output from number `done` on needs."""
        inputs = self.chain.reads(done, done + 1)
        for tracker, (given, after) in zip(self._trackers, pairwise(inputs), strict=True):
            tracker.forget(given.start, after.start)
        self._bind()

    def _bind(self) -> None:
        pairs = zip(self._unbound.ops, self._trackers, strict=True)
        ops = tuple(op.times.bound(tracker.reach) for op, tracker in pairs)
        self.chain = replace(self._unbound, ops=ops)


@dataclass(frozen=True, kw_only=True, eq=False)
class UnionReach(Reach):
    """The union of what several chains read, whose outputs are aligned with the same samples."""

    chains: tuple[Chain, ...]

    def needs(self, start: Any, stop: Any) -> tuple[Any, Any]:
        """Return the inputs [low, high) that the outputs [start, stop) read."""
        spans = [chain.needs(0, start, stop)[0] for chain in self.chains]
        return min(low for low, _ in spans), max(high for _, high in spans)

    def ready(self, n: Any) -> Any:
        """Count the outputs that can be computed from the first `n` inputs."""
        return min(chain.ready(0, n) for chain in self.chains)

    def count(self, n: int) -> int:
        """Count the outputs of `n` inputs."""
        return self.chains[0].count(0, n)

    def aligned_input(self, k: Any) -> Any:
        """Return the input that output `k` is aligned with."""
        return self.chains[0].aligned_input(0, k)


class BranchesTracker(Tracker):
    """The times of the inputs and outputs of branches that read the same input."""

    def __init__(self, chains: tuple[Chain, ...]) -> None:
        super().__init__(UnionReach(chains=chains))
        self._branches = [ChainTracker(chain) for chain in chains]

    def arrive(self, stamps: Stamps, *, ended: bool) -> Stamps:
        """Take note of the stamps of the next inputs; return those of the next outputs."""
        first, *others = self._branches
        found = first.arrive(stamps, ended=ended)
        for branch in others:
            branch.arrive(stamps, ended=ended)
        self._bind()
        return found

    def start_at(self, sample: int) -> int:
        """Begin with the input of a number, before any has come; return the first output."""
        firsts = [branch.start_at(sample) for branch in self._branches]
        self._bind()
        return firsts[0]

    def forget(self, inputs: int, outputs: int) -> None:
        """Forget the times that no output from number `outputs` on needs."""
        for branch in self._branches:
            branch.forget(outputs)
        self._bind()

    def _bind(self) -> None:
        self.reach = UnionReach(chains=tuple(branch.chain for branch in self._branches))
