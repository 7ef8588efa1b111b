"""Jobs: stretches of outputs with all the inputs that they need, to be computed by any thread."""

from __future__ import annotations

from dataclasses import field
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.blocks import OutputTask, serial_map
from convcli.core.extend import joined_rows
from convcli.core.missing import any_missing
from convcli.core.task import nothing_earlier
from convcli.dataclass import dataclass
from convcli.signals import row_numbers

if TYPE_CHECKING:
    from convcli.array_types import BoolArray, IntArray
    from convcli.core.blocks import ParallelMap
    from convcli.core.chain import Chain
    from convcli.core.task import HeldLookup, HeldPlace
    from convcli.running.geometry import JobPlace
    from convcli.signals import AnyRows, Array

    # The group that a signal is; None if the input has no groups. An empty name is a group too.
    SignalName = bytes | None


# The input row of samples before a part, and of those after it. Outputs that are aligned with them
# belong to other parts.
ROW_BEFORE = -1
ROW_AFTER = (1 << 63) - 1


@dataclass(frozen=True, eq=False)
class SignalBlock:
    """Consecutive outputs of one signal.

    rows : the input rows that they are aligned with, or their own numbers (see `Stream`)
    became_missing : per channel, how many outputs are missing although their input is not; None if
        there are none
    """

    group: SignalName
    x: Array
    rows: AnyRows
    became_missing: IntArray | None = None


@dataclass(eq=False, kw_only=True)
class Job:
    """A stretch of outputs with all the inputs it needs; `run` may be called in any thread.

    place : which outputs these are, and which inputs they read
    parts : the inputs along axis 0, extended at the ends of the signal, in one or more blocks
    rows : the input rows that the outputs are aligned with, or their own numbers (see `Stream`)
    earlier : gives the values held from before: those of the job before in the same signal
    """

    group: SignalName
    chain: Chain
    place: JobPlace
    parts: list[Array]
    rows: AnyRows
    earlier: HeldLookup = nothing_earlier
    _held: HeldLookup = nothing_earlier
    _finished: Event = field(default_factory=Event)

    def run(self, parallel_map: ParallelMap = serial_map) -> SignalBlock:
        """Compute the outputs of the job.

        parallel_map : computes the blocks of a large job in several threads
        """
        try:
            # Infinity and NaN are answers here, not accidents. NumPy keeps this setting for each
            # thread.
            with np.errstate(all="ignore"):
                return self._run(parallel_map)
        finally:
            self.release()

    def _run(self, parallel_map: ParallelMap) -> SignalBlock:
        y = self._compute(parallel_map)
        return self._block(y, self._became_missing(y))

    def _block(self, y: Array, became_missing: BoolArray | None) -> SignalBlock:
        """Return the outputs without those that are aligned with a row of another part.

        became_missing : marks the outputs to be counted
        """
        rows = self.rows
        here = _rows_here(rows)
        if here is not None:
            y = y[here]
            rows = row_numbers(rows)[here]
            if became_missing is not None:
                became_missing = became_missing[here]
        counts = None
        if became_missing is not None:
            sample_axes = tuple(range(y.ndim - 1))
            counts = became_missing.sum(axis=sample_axes)
        order = self.chain.written_order(y.shape[-1])
        if order is not None:
            y = y[..., order]
            counts = counts if counts is None else counts[order]
        return SignalBlock(self.group, y, rows, counts)

    def _compute(self, parallel_map: ParallelMap) -> Array:
        task = OutputTask(
            chain=self.chain,
            x=self._inputs(),
            span=self.place.span,
            ends=self.place.ends,
            earlier=self.earlier,
            bounds=self.place.bounds,
        )
        y, self._held = task.in_blocks(parallel_map)
        return y

    def _inputs(self) -> Array:
        """Return the inputs as one array, without a copy if they are one block already."""
        if self.place.across is not None:
            return joined_rows(self.parts, self.place.across)
        if len(self.parts) == 1:
            return self.parts[0]
        return np.concatenate(self.parts)

    def _became_missing(self, y: Array) -> BoolArray | None:
        """Mark the outputs that are missing although the input that they are aligned with is not.

        y : (n, channels) or (rows, columns, channels). If the operations combine channels, an
            output is marked if all channels of its input are known; if they make several outputs of
            each channel, it is marked if that channel is known. None if no output is missing.
        """
        if not any_missing(y):
            return None
        x = self._inputs()
        places = [self._aligned_with(axis, x.shape[axis]) for axis in range(self.chain.axes)]
        missing: Any = np.isnan(x[np.ix_(*places)])
        if y.shape[-1] != x.shape[-1]:
            missing = self._missing_for(y.shape[-1], missing)
        found: BoolArray = np.isnan(y) & ~missing
        return found

    def _missing_for(self, outputs: int, missing: BoolArray) -> Any:
        """Return whether the aligned input of each output is missing, for each output channel."""
        of_each, rest = divmod(outputs, missing.shape[-1])
        if self.chain.uniform and not rest:
            return np.repeat(missing, of_each, axis=-1)
        return missing.any(axis=-1, keepdims=True)

    def _aligned_with(self, axis: int, length: int) -> IntArray:
        """Return the indices of the inputs that the outputs are aligned with, along an axis."""
        start, stop = self.place.span[axis]
        if axis == 0:
            first = self.chain.reads(start, stop)[0].start
        else:
            first = self.chain.needs(axis, start, stop)[0][0]
        last = length - 1
        end = self.place.ends[axis]
        if end is not None:
            last = min(last, end - 1 - first)
        aligned = self.chain.aligned_input(axis, np.arange(start, stop))
        return np.clip(aligned - first, 0, last)

    def held(self, place: HeldPlace) -> Array | None:
        """Return the last value before the inputs of the next job; wait for this job."""
        self._finished.wait()
        return self._held(place)

    def release(self) -> None:
        """Let go of the job before and of all who wait, whether this job succeeded or not."""
        self._finished.set()
        self.earlier = nothing_earlier


def _rows_here(rows: AnyRows) -> BoolArray | None:
    """Mark the rows that lie in the part; None if all do."""
    if isinstance(rows, range) or (rows.min() > ROW_BEFORE and rows.max() < ROW_AFTER):
        return None
    here: BoolArray = (rows > ROW_BEFORE) & (rows < ROW_AFTER)
    return here


@dataclass(frozen=True, eq=False)
class JobBatch:
    """Jobs that became ready together.

    complete : when the jobs are done, all outputs aligned with rows before this one are known
    kept : whether the outputs are wanted, and not only the values that the jobs hold
    last_for_now : see `Block`
    """

    jobs: list[Job]
    complete: int
    kept: bool = True
    last_for_now: bool = False

    def run(self, parallel_map: ParallelMap = serial_map) -> BatchOutputs:
        """Compute the outputs of every job; for `parallel_map` see `Job.run`."""
        try:
            blocks = [job.run(parallel_map) for job in self.jobs]
            kept = [block for block in blocks if self.kept and len(block.x)]
            return BatchOutputs(kept, self.complete)
        finally:
            self.give_up()  # after an error nobody must wait for jobs that were not reached

    def give_up(self) -> None:
        """Let go of all who wait for the jobs."""
        for job in self.jobs:
            job.release()


@dataclass(frozen=True, eq=False)
class BatchOutputs:
    """The outputs of a batch of jobs.

    complete : all later outputs are aligned with this row or later rows
    """

    blocks: list[SignalBlock]
    complete: int
