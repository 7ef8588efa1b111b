"""Times that are followed through a chain, and through branches that read the same input."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from convcli.core.in_time.reach import Tracker
from convcli.core.reach import Reach
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        self._firsts = [0] * len(chain.ops)

    def arrive(self, stamps: Stamps, *, ended: bool) -> Stamps:
        """Take note of the stamps of the next inputs; return those of the next outputs."""
        for tracker in self._trackers:
            stamps = tracker.arrive(stamps, ended=ended)
        self._bind()
        return stamps

    @property
    def bins_begun(self) -> tuple[int, ...]:
        """How many of each calendar bins have begun, one after the other."""
        return tuple(begun for tracker in self._trackers for begun in tracker.bins_begun)

    def start_at(self, sample: int, bins: Sequence[int] = ()) -> int:
        """Begin with the input of a number, before any has come; return the first output.

        bins : the number of the first bin of each of the calendar bins; 0 where there is none
        """
        self._firsts = []
        for tracker in self._trackers:
            sample = tracker.start_at(sample, bins)
            bins = bins[len(tracker.bins_begun) :]
            self._firsts.append(sample)
        self._bind()
        return sample

    def reads_first(self, done: int) -> bool:
        """Whether output `done` reads the first output of an operation that there is here.

        In the whole signal it may read earlier ones.
        """
        given = self.chain.reads(done, done + 1)
        pairs = zip(given[1:], self._firsts, strict=True)
        return any(read.start <= first for read, first in pairs)

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


def first_bins(chain: Chain, sample: int, stamps: Stamps, begun: Sequence[int]) -> tuple[int, ...]:
    """Return the number of the first of each calendar bins in a run that begins with a sample.

    stamps : of the samples from there to some place
    begun : how many bins have begun in the whole signal before that place. As many of the bins that
        follow each other are numbered.
    """
    firsts = (0,) * len(begun)
    # The times of bins of bins follow from the numbers of the bins before them.
    for _ in begun:
        tracker = ChainTracker(chain)
        tracker.start_at(sample, firsts)
        tracker.arrive(stamps, ended=False)
        numbers = []
        for first, wanted, here in zip(firsts, begun, tracker.bins_begun, strict=False):
            number = first + wanted - here
            numbers.append(max(0, number))
        firsts = tuple(numbers)
    return firsts


@dataclass(frozen=True, kw_only=True, eq=False)
class UnionReach(Reach):
    """The union of what several chains read, whose outputs are aligned with the same samples."""

    chains: tuple[Chain, ...]

    def needs(self, start: Any, stop: Any) -> tuple[Any, Any]:
        """Return the inputs [low, high) that the outputs [start, stop) read."""
        spans = [chain.needs(0, start, stop)[0] for chain in self.chains]
        return min(low for low, _ in spans), max(high for _, high in spans)

    def first_read(self, k: int) -> int:
        """Return the first input that output `k` of any of the chains reads."""
        return min(chain.first_read(k) for chain in self.chains)

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

    @property
    def bins_begun(self) -> tuple[int, ...]:
        """How many of each calendar bins have begun; all branches have the same bins."""
        return self._branches[0].bins_begun

    def start_at(self, sample: int, bins: Sequence[int] = ()) -> int:
        """Begin with the input of a number, before any has come; return the first output."""
        firsts = [branch.start_at(sample, bins) for branch in self._branches]
        self._bind()
        return firsts[0]

    def forget(self, inputs: int, outputs: int) -> None:
        """Forget the times that no output from number `outputs` on needs."""
        for branch in self._branches:
            branch.forget(outputs)
        self._bind()

    def _bind(self) -> None:
        self.reach = UnionReach(chains=tuple(branch.chain for branch in self._branches))
