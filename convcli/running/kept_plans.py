"""The last few plans, kept for the next signal of the same kind.

Arrays of one shape that are filtered by the same FILTER share a plan, and so do inputs of one shape
in a command. Reading a network from its file, binding it and preparing its weights take ten times
as long as filtering a short array with it (VGG7 on 16 x 16 pixels: 27 of 30 ms).
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from convcli.dataclass import dataclass
from convcli.file_stamps import files_noted
from convcli.planning.plan import make_plan, rules_for

if TYPE_CHECKING:
    from convcli.file_stamps import FilesRead
    from convcli.planning.calls import Call
    from convcli.planning.plan import Plan
    from convcli.running.one_job import OneJob
    from convcli.signals import Align, Edge, Missing, Signal

# The most plans that are kept, the bytes of all files that they were made from, and the most
# samples that an output of one may read. They bound the memory for taps and weights.
MOST_PLANS = 16
MOST_FILE_BYTES = 32_000_000
MOST_REACH = 1 << 17


class PlanRequest(NamedTuple):
    """What a plan is made of, besides files."""

    filter: str | tuple[Call, ...]
    signal: Signal
    edge: Edge | None
    align: Align | None
    missing: Missing | None


@dataclass(frozen=True, eq=False)
class KeptPlan:
    """A plan, and the files that it was made from."""

    plan: Plan
    files: FilesRead

    @cached_property
    def one_job(self) -> OneJob | None:
        """The job that filters a short array, None if it takes the loop."""
        from convcli.running.one_job import one_job_of

        return one_job_of(self.plan)


class KeptPlans:
    """Plans by what they were made of; those that were asked for last are kept."""

    def __init__(self) -> None:
        self._kept: dict[PlanRequest, KeptPlan] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[KeptPlans], tuple[()]]:
        """Another process makes its own plans."""
        return KeptPlans, ()

    def plan(self, request: PlanRequest) -> KeptPlan:
        """Return a plan, a new one if none is kept or a file that it was made from has changed."""
        with self._lock:
            kept = self._kept.pop(request, None)
            if kept is not None:
                self._kept[request] = kept
        if kept is not None and kept.files.unchanged:
            return kept
        made = _made(request)
        if _may_be_kept(made):
            with self._lock:
                self._kept[request] = made
                self._drop_oldest()
        return made

    def _drop_oldest(self) -> None:
        """Drop plans that were not asked for lately until few enough are left."""
        while len(self._kept) > MOST_PLANS or self._file_bytes() > MOST_FILE_BYTES:
            oldest = next(iter(self._kept))
            del self._kept[oldest]

    def _file_bytes(self) -> int:
        return sum(kept.files.size for kept in self._kept.values())


def _made(request: PlanRequest) -> KeptPlan:
    """Make a plan, and note the files that are read for it."""
    with files_noted() as files:
        rules = rules_for(**request._asdict())
        plan = make_plan(request.filter, request.signal, rules)
    return KeptPlan(plan, files)


def _may_be_kept(kept: KeptPlan) -> bool:
    """Whether a plan takes little memory, and only its files and its request say what it is."""
    if not kept.files.shows_changes or kept.files.size > MOST_FILE_BYTES:
        return False
    chain = kept.plan.chain
    if kept.plan.signal.timed or chain.times.in_time or chain.times.bins:
        return False
    return all(reach.before + reach.after <= MOST_REACH for reach in chain.reach)
