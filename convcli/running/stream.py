"""One signal that arrives in blocks, cut into jobs that have all their inputs: the ends extended once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.chain import Chain, Inputs, Job
from convcli.core.extend import beyond
from convcli.planning.plan import valid_count

if TYPE_CHECKING:
    from convcli.signals import AnyRows, Array, Edge, Rows

# Blocks that are kept as they came; more of them, of a few rows each, are put together.
MOST_PARTS = 16

# The row of a signal from which nothing more will come.
NEVER = (1 << 63) - 1


# Samples that may wait for more to come, so that those which are read once more beside them are not the most of it.
LARGEST_WAIT = 8_000_000

# How many times what is read beside them the outputs of a job of one axis shall be: an FFT costs by the whole of it.
OUTPUTS_PER_REACH = 3


class Stream:
    """Takes in a signal block by block and gives out jobs in order; a whole array is a stream of one block.

    `wrap` needs the end of the signal for its beginning and so keeps all of it; every other rule keeps no more than
    the chain reaches. `tail` more inputs are let ring out after the end. `patient` is who waits for more where that
    costs less than to begin at once.
    """

    def __init__(self, chain: Chain, edge: Edge, *, tail: int = 0, patient: bool = True) -> None:
        self.chain = chain
        self.edge = edge
        self.tail = tail
        self.patient = patient
        self.waits = edge == "wrap" or chain.needs_end
        low, high = chain.needs(0, 0, 1)[0]
        before, after = -low, high - 1
        # Input i has the absolute index i - origin. Under `valid` the first window starts at input 0.
        self.origin = before if edge == "valid" else 0
        self.margin = after + chain.reach[0].step + chain.reach[0].before + 1
        self.first_needed = {"reflect": before + 1, "symmetric": before}.get(edge, 0)
        self.n = 0
        self.done = 0
        self.kept: list[Array] = []
        self.kept_rows: list[AnyRows] = []
        self.first = 0
        self.last_job: Job | None = None

    def push(self, x: Array, rows: AnyRows) -> Job | None:
        """Take in the next samples, which stand at `rows` of the input; a job if outputs can be known now."""
        if len(x):
            # No stored number says that something is missing.
            self.kept.append(self.chain.samples(x) if self.edge == "shrink" else x)
            self.kept_rows.append(rows)
            self.n += len(x)
        if self.waits or self.n < self.first_needed:
            return None
        ready = self.chain.ready(0, self.n - self.origin)
        return self._job(ready, None) if not self.patient or self._pays(ready, x) else None

    def _pays(self, ready: int, x: Array) -> bool:
        """Whether so many outputs are ready that what is read once more beside them is not the most of it."""
        along = self.chain.reach[0]
        fresh = (ready - self.done) * along.step // along.phases
        enough = (along.before + along.after) * (OUTPUTS_PER_REACH if self.chain.axes == 1 else 1)
        return fresh >= enough or fresh * x[:1].size > LARGEST_WAIT

    def finish(self) -> Job | None:
        """The outputs that were waiting for the end of the signal."""
        return self._job(self.count(self.n), self.n + self.tail) if self.n else None

    def count(self, n: int) -> int:
        """How many outputs there are if the signal ends after `n` samples."""
        if self.edge == "valid":
            return valid_count(self.chain, 0, n)
        return self.chain.count(0, n + self.tail)

    @property
    def next_row(self) -> int:
        """The input row at which the next output will stand; NEVER if that has not come and would not at an end here.

        A last window that the signal does not fill stands at the last row there is.
        """
        at = int(self._stands(np.array([self.done]))[0])
        if at >= self.n and self.count(self.n) <= self.done:
            return NEVER
        return int(self._rows()[min(max(at, 0), self.n - 1) - self.first])

    @property
    def edge_affected(self) -> int:
        """How many of the outputs so far read what lies outside of the signal."""
        if self.edge == "valid" or not self.kept:
            return 0
        inner = [undisturbed(self.chain, 0, self.n, self.done)]
        outputs = [self.done]
        if self.chain.axes == 2:
            columns = self.kept[0].shape[1]
            outputs.append(self.chain.count(1, columns))
            inner.append(undisturbed(self.chain, 1, columns, outputs[1]))
        return int(np.prod(outputs) - np.prod(inner))

    def _stands(self, k: Rows) -> Rows:
        return self.chain.aligned_input(0, k) + self.origin

    def _rows(self) -> AnyRows:
        if len(self.kept_rows) > 1:
            self.kept_rows = [_joined(self.kept_rows)]
        return self.kept_rows[0]

    def _rows_of(self, start: int, stop: int) -> AnyRows:
        """The input rows at which the outputs [start, stop) stand, at the last there is where they stand past it."""
        rows, reach = self._rows(), self.chain.reach[0]
        first, last = (int(self._stands(np.array([k]))[0]) for k in (start, stop - 1))
        if reach.phases == 1 and self.first <= first and last < self.n:
            return rows[first - self.first : last - self.first + 1 : reach.step]
        stands = np.clip(self._stands(np.arange(start, stop)), self.first, self.n - 1) - self.first
        return rows[0] + stands if isinstance(rows, range) else rows[stands]

    def _samples(self) -> Array:
        if len(self.kept) > 1:
            self.kept = [np.concatenate(self.kept)]
        return self.kept[0]

    def _job(self, stop: int, end: int | None) -> Job | None:
        """The outputs up to `stop`; `end` is the length of the signal once it is known."""
        start = self.done
        if stop <= start:
            return None
        ends = self._ends(end)
        low, _, high = self.chain.reads(start, stop, ends[0])[0]
        inputs, spans = self._inputs(low + self.origin, high + self.origin)
        at = self._rows_of(start, stop)
        job = Job(self.chain, inputs, ((start, stop), *spans), at, stop, ends, self.last_job)
        self.done = stop
        self.last_job = job
        self._forget()
        return job

    def _ends(self, end: int | None) -> tuple[int | None, ...]:
        """The lengths by which layers pad; under `valid` nothing outside is read and nothing padded."""
        return (end,) if self.chain.axes == 1 else (end, self.kept[0].shape[1])

    def _inputs(self, low: int, high: int) -> tuple[Inputs, tuple[tuple[int, int], ...]]:
        """The inputs [low, high), extended at all ends, and the span of columns that come out of them."""
        parts = self._within(max(low, 0), min(high, self.n))
        if low < 0 or high > self.n:
            left, right = beyond(
                self._samples(), low, high, self.n, self.edge, axis=0, first=self.first
            )
            parts = [left, *parts, right]
        if self.chain.axes == 1:
            return Inputs(parts), ()
        n = self.kept[0].shape[1]
        count = valid_count(self.chain, 1, n) if self.edge == "valid" else self.chain.count(1, n)
        if count == 0:
            return Inputs(parts), ((0, 0),)
        start, stop = self.chain.needs(1, 0, count, n)[0]
        origin = -start if self.edge == "valid" else 0
        return Inputs(parts, (start + origin, stop + origin, n, self.edge)), ((0, count),)

    def _within(self, low: int, high: int) -> list[Array]:
        """The samples [low, high), in the parts in which they came."""
        parts, start = [], self.first
        for part in self.kept:
            piece = part[max(low - start, 0) : max(high - start, 0)]
            if len(piece):
                parts.append(piece)
            start += len(part)
        return parts

    def _forget(self) -> None:
        """Drop the inputs that neither later outputs nor the extension of the end will read."""
        if self.waits:
            return
        needed = self.chain.reads(self.done, self.done + 1)[0][0] + self.origin
        stands = int(self._stands(np.array([self.done]))[0])
        keep = min(needed, stands, self.n - self.margin)
        if keep > self.first:
            self.kept = self._within(keep, self.n)
            if len(self.kept) > MOST_PARTS:
                self._samples()
            self.kept_rows = [self._rows()[keep - self.first :]]
            self.first = keep


def numbers_of(rows: AnyRows) -> Rows:
    """Row numbers as an array."""
    return np.arange(rows.start, rows.stop, rows.step) if isinstance(rows, range) else rows


def _joined(rows: list[AnyRows]) -> AnyRows:
    """Rows that follow one another; those of a signal that is alone in its file are a range."""
    if isinstance(rows[0], range):
        return range(rows[0][0], rows[-1][-1] + 1)
    return np.concatenate(rows)


def undisturbed(chain: Chain, axis: int, n: int, outputs: int) -> int:
    """How many of the outputs read nothing but the `n` samples of the signal."""
    along = chain.reach[axis]
    first = -(-along.before * along.phases // along.step)
    return max(0, min(outputs, chain.ready(axis, n)) - first)
