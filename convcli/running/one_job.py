"""Short arrays, each filtered as one job in the calling thread, without the loop of `run`.

A whole array is a stream of one block. What the loop does for many blocks (it cuts jobs, hands them
to threads and counts losses) takes longer than the job of a short array: box:3 on 100 samples takes
0.03 ms here and 0.5 there. What the outputs read is the same for all arrays of one shape, and so is
the task of each operation. Both are kept with the plan.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.task import Continuation
from convcli.dataclass import dataclass
from convcli.running.geometry import Geometry, JobPlace

if TYPE_CHECKING:
    from convcli.core.chain import Chain, Computation
    from convcli.core.extend import Bounds, Extent
    from convcli.planning.plan import Plan
    from convcli.signals import Array, Rows

# The most outputs of one job: some resamplers make thousands of each sample.
MOST_OUTPUTS = 1 << 18


@dataclass(frozen=True, eq=False)
class OneJob:
    """The job for each array of the shape that a plan was made for.

    computation : what the outputs read, and what each operation does for them
    read : the samples that they read along each axis
    bounds : the samples of the array, where windows that reach beyond it have no output
    rows : the samples along axis 0 that the outputs are aligned with
    """

    computation: Computation
    read: list[Extent]
    bounds: Bounds | None
    rows: Rows

    def outputs(self, x: Array) -> Array:
        """Filter an array, (n, channels) or (rows, columns, channels); the result is no view."""
        inputs = x
        for axis, extent in enumerate(self.read):
            inputs = extent.of(inputs, axis)
        # Infinity and NaN are answers here, not accidents.
        with np.errstate(all="ignore"):
            y = self.computation.outputs(inputs, self.bounds)
        return y.copy() if np.may_share_memory(x, y) else y


def one_job_of(plan: Plan) -> OneJob | None:
    """The job for whole arrays, None if a plan needs the loop or has no outputs or many."""
    if _needs_loop(plan):
        return None
    n, *columns = plan.signal.shape
    if not n or not all(columns):
        return None
    geometry = Geometry(plan.chain, plan.extension)
    count = geometry.count(n)
    if not 0 < count <= MOST_OUTPUTS:
        return None
    place = geometry.place((0, count), n, columns[0] if columns else None, n)
    if not _is_one_block(plan.chain, place):
        return None
    # No later outputs continue these, so that no values are held for them.
    alone = Continuation(done=0, next_start=0)
    computation = plan.chain.computation(place.span, place.ends, alone)
    read = _samples_read(place, computation)
    if read is None:
        return None
    samples = geometry.aligned_sample(np.arange(count))
    rows = np.clip(samples, 0, n - 1)
    return OneJob(computation, read, place.bounds, rows)


def _needs_loop(plan: Plan) -> bool:
    """Whether a plan takes further passes, follows times or refuses missing samples."""
    in_time = plan.signal.timed or plan.chain.times.in_time
    return in_time or not plan.single_pass or plan.rules.missing == "error"


def _samples_read(place: JobPlace, computation: Computation) -> list[Extent] | None:
    """The samples that a computation reads along each axis; None if the job does not have all."""
    extents = [place.along]
    if place.across is not None:
        extents.append(place.across)
    read = []
    for extent, (low, high) in zip(extents, computation.inputs, strict=True):
        if low < 0 or high > extent.stop - extent.start:
            return None
        read.append(replace(extent, start=extent.start + low, stop=extent.start + high))
    return read


def _is_one_block(chain: Chain, place: JobPlace) -> bool:
    """Whether there are outputs, and all of them are one block where layers are computed in blocks.

    See core/blocks.py.
    """
    sides = [stop for _, stop in place.span]
    if not all(sides):
        return False
    block_rows = chain.block_rows
    if block_rows is None:
        return True
    rows, columns = sides
    return rows <= block_rows and columns <= chain.block_columns(place.ends[1])
