"""Plans of the last few filters of short arrays, kept for the next call with the same filter.

Reading a network from its file, binding it and preparing its weights take ten times as long as
filtering a short array with it (VGG7 on 16 x 16 pixels: 27 of 30 ms).

A short array is filtered as one job in the calling thread, without the loop of `run`. What the loop
does for many blocks (it cuts jobs, hands them to threads and counts losses) takes longer than the
job of a short array: box:3 on 100 samples takes 0.12 ms here and 0.5 there. Where the job lies is
the same for all arrays of one shape.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convcli.dataclass import dataclass
from convcli.file_stamps import files_noted
from convcli.planning.plan import make_plan, rules_for
from convcli.running.chains import ALL
from convcli.running.geometry import Geometry, JobPlace
from convcli.running.jobs import InputBlocks, Job

if TYPE_CHECKING:
    from convcli.core.chain import Chain
    from convcli.file_stamps import FilesRead
    from convcli.planning.plan import Plan
    from convcli.running.jobs import SignalBlock
    from convcli.signals import Align, Array, Edge, Missing, Rows, Signal


# The most plans that are kept, the bytes of all files that they were made from, and the most
# samples that an output of one may read. They bound the memory for taps and weights.
MOST_PLANS = 16
MOST_FILE_BYTES = 32_000_000
MOST_REACH = 1 << 17


class PlanRequest(NamedTuple):
    """What a plan is made of, besides files."""

    filter: str
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
        return one_job_of(self.plan)


class KeptPlans:
    """Plans by what they were made of; those that were asked for last are kept."""

    def __init__(self) -> None:
        self._kept: dict[PlanRequest, KeptPlan] = {}
        self._lock = threading.Lock()

    def plan(self, request: PlanRequest) -> KeptPlan:
        """Return a plan, a new one if none is kept or a file that it was made from has changed."""
        with self._lock:
            kept = self._kept.pop(request, None)
        if kept is None or not kept.files.unchanged:
            kept = _made(request)
            if not _may_be_kept(kept):
                return kept
        with self._lock:
            self._kept[request] = kept
            file_bytes = sum(each.files.size for each in self._kept.values())
            while len(self._kept) > MOST_PLANS or file_bytes > MOST_FILE_BYTES:
                # The first one was asked for longest ago.
                oldest = self._kept.pop(next(iter(self._kept)))
                file_bytes -= oldest.files.size
        return kept


def _made(request: PlanRequest) -> KeptPlan:
    with files_noted() as files:
        rules = rules_for(
            request.signal,
            request.filter,
            edge=request.edge,
            align=request.align,
            missing=request.missing,
        )
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


# The most outputs of one job: some resamplers make thousands of each sample.
MOST_OUTPUTS = 1 << 18


@dataclass(frozen=True, eq=False)
class OneJob:
    """The job for each array of the shape that a plan was made for.

    place : where the job lies in the array
    rows : the samples along axis 0 that the outputs are aligned with
    """

    chain: Chain
    place: JobPlace
    rows: Rows

    def run(self, x: Array) -> SignalBlock:
        """Filter an array, (n, channels) or (rows, columns, channels); the result is no view."""
        job = Job(
            group=ALL,
            chain=self.chain,
            inputs=InputBlocks([self.place.along.of(x, 0)], self.place.across),
            span=self.place.span,
            rows=self.rows,
            ends=self.place.ends,
            bounds=self.place.bounds,
        )
        return job.run()


def one_job_of(plan: Plan) -> OneJob | None:
    """The job for whole arrays, None if a plan needs the loop or has no outputs or many.

    The loop takes further passes, follows times and refuses missing samples.
    """
    timed = plan.signal.timed or plan.chain.times.in_time
    if timed or not plan.single_pass or plan.rules.missing == "error":
        return None
    n, *columns = plan.signal.shape
    if not n or not all(columns):
        return None
    geometry = Geometry(plan.chain, plan.extension)
    count = geometry.count(n)
    if not 0 < count <= MOST_OUTPUTS:
        return None
    place = geometry.place((0, count), n, columns[0] if columns else None, n)
    samples = geometry.aligned_sample(np.arange(count))
    return OneJob(plan.chain, place, np.clip(samples, 0, n - 1))
