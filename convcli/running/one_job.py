"""Short arrays, each filtered as one job in the calling thread, without the loop of `run`.

A whole array is a stream of one block. What the loop does for many blocks (it cuts jobs, hands them
to threads and counts losses) takes longer than the job of a short array: box:3 on 100 samples takes
0.12 ms here and 0.5 there. Where the job lies is the same for all arrays of one shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.dataclass import dataclass
from convcli.running.chains import ALL
from convcli.running.geometry import Geometry, JobPlace
from convcli.running.jobs import InputBlocks, Job

if TYPE_CHECKING:
    from convcli.core.chain import Chain
    from convcli.planning.plan import Plan
    from convcli.running.jobs import SignalBlock
    from convcli.signals import Array, Rows

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
