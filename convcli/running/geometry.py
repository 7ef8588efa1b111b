"""Which samples of a signal the outputs of a chain read, as the samples arrive.

All of this is arithmetic on lengths and indices. It is the same for one signal (an int) and for
many signals side by side (an array with an entry for each); methods that take an `Index` accept
both.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.extend import Bounds, Extent
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import IntArray
    from convcli.core.chain import Chain
    from convcli.core.in_time.reach import Stamps
    from convcli.core.op import Span
    from convcli.core.reach import Index
    from convcli.core.task import HeldPlace
    from convcli.signals import Edge


@dataclass(frozen=True, eq=False, kw_only=True)
class JobPlace:
    """Where a job lies in its signal.

    span : the outputs on each axis
    along, across : the samples that they read along axis 0, and the columns of a picture
    ends : the length of the signal on each axis, None where it has not ended yet
    bounds : the samples of the signal, where windows that reach beyond it have no output
    """

    span: Span
    along: Extent
    across: Extent | None
    ends: tuple[int | None, ...]
    bounds: Bounds | None


@dataclass(eq=False)
class Geometry:
    """The outputs of a chain on a signal that is extended at its ends by an edge rule.

    A chain counts its inputs from the input at the place of output 0. Sample i of the signal is
    input i - origin.

    tail : outputs go on for this many samples past the end (the ringing of a filter)
    """

    chain: Chain
    edge: Edge
    tail: int = 0

    # --- times, which regular samples do not need ---

    def arrive(self, stamps: Stamps | None, *, ended: bool = False) -> None:
        """Take note of the times of the next samples, and of the end of the signal."""

    @property
    def timed(self) -> bool:
        """Whether windows follow the times of the samples."""
        return False

    @property
    def bins_begun(self) -> tuple[int, ...]:
        """How many of each calendar bins have begun, if there are some."""
        return ()

    def start_at(self, sample: int, bins: Sequence[int] = ()) -> int:  # noqa: ARG002 -- no bins
        """Begin with the sample of a number, if windows follow times; return the first output.

        bins : the number of the first bin of each of the calendar bins
        """
        return sample

    def first_needed(self, done: int, n: int) -> int:
        """Return the first sample with which a run can begin that gives outputs from `done` on."""
        return self.oldest_needed(done, n)

    def decisive(self, n: int) -> int:
        """Return how many of the `n` samples after a part decide the outputs of that part."""
        return n

    def forget(self, done: int) -> None:
        """Forget the times that no output from number `done` on needs."""

    @cached_property
    def stride(self) -> int | None:
        """The distance between outputs in samples; None if it varies.

        The ratios of two operations may cancel, their phases do not: the outputs of stride:2 and
        upsample:2 are aligned with the samples 0, 0, 2, 2.
        """
        phases = [op.reach[0].phases for op in self.chain.ops]
        return None if max(phases, default=1) > 1 else self.chain.reach[0].step

    # --- constants ---

    @cached_property
    def _first_window(self) -> tuple[int, int]:
        """How many inputs output 0 reads before and after input 0."""
        low, high = self.chain.needs(0, 0, 1)[0]
        return -low, high - 1

    @cached_property
    def phases(self) -> int:
        """The number of outputs after which their distances repeat: the L of a resampler by L/M."""
        return self.chain.reach[0].phases

    @cached_property
    def origin(self) -> int:
        """The sample that is input 0. Under `valid` the first window starts at sample 0."""
        return self._first_window[0] if self.edge == "valid" else 0

    @property
    def only_complete(self) -> bool:
        """Whether an output is missing unless its whole window lies on the signal."""
        return self.edge == "missing"

    @cached_property
    def needs_end(self) -> bool:
        """Whether no output is known before the signal has ended."""
        return self.edge == "wrap" or self.chain.needs_end

    @cached_property
    def margin(self) -> int:
        """How many of the last samples the extension of the end may repeat."""
        _, ahead = self._first_window
        reach = self.chain.reach[0]
        return ahead + reach.step + reach.before + 1

    @cached_property
    def _mirrored(self) -> int:
        """How many of the first samples the extension of the start repeats."""
        before, _ = self._first_window
        if self.edge == "reflect":
            return before + 1
        return before if self.edge == "symmetric" else 0

    # --- how many outputs there are ---

    def ready(self, n: Index) -> Index:
        """Count the outputs that are known when `n` samples have come and more may follow."""
        if self.needs_end:
            return 0 * n
        known = self.chain.ready(0, n - self.origin) * (n >= self._mirrored)
        # A block is computed when all of it can be, so that its outputs are always the same.
        together = self.chain.block_rows or self.chain.cell
        return known if together is None else known - known % together

    def count(self, n: int) -> int:
        """Count the outputs if the signal ends after `n` samples."""
        if self.edge == "valid":
            return self.chain.valid_count(0, n)
        return self.chain.count(0, n + self.tail)

    def edge_affected(self, n: int, outputs: int, columns: int | None = None) -> int:
        """Count those of the first `outputs` outputs that read what lies outside of the signal.

        n : how many samples (rows) have come; columns : the width of a picture
        """
        if self.edge == "valid":
            return 0
        inner = self._undisturbed(0, n, outputs)
        if columns is None:
            return outputs - inner
        across = self.chain.count(1, columns)
        return outputs * across - inner * self._undisturbed(1, columns, across)

    def _undisturbed(self, axis: int, n: int, outputs: int) -> int:
        """Count those of the first `outputs` outputs that read only samples of the axis."""
        reach = self.chain.reach[axis]
        first = max(0, -(-reach.before * reach.phases // reach.step))
        stop = min(outputs, self.chain.ready(axis, n))
        return max(0, stop - first)

    # --- which samples they read ---

    def aligned_sample(self, k: Index) -> Index:
        """Return the sample that output `k` is aligned with."""
        return self.chain.aligned_input(0, k) + self.origin

    def reads(self, start: int, stop: int, end: int | None = None) -> tuple[int, int]:
        """Return the samples [low, high) that a job with the outputs [start, stop) is given.

        The edge rule gives the samples below 0 and past the end.

        end : the length of the signal and its tail, if it is known
        """
        inputs = self.chain.reads(start, stop, end)[0]
        return inputs.start + self.origin, inputs.high + self.origin

    def held_starts(self, done: int) -> dict[HeldPlace, int]:
        """Return, for each held value, the sample before which it is the last known one.

        done : how many outputs are computed. Values that are not samples of the signal are left
            out.
        """
        starts = self.chain.held_starts(done, done)
        return {place: first + self.origin for place, first in starts.items()}

    def oldest_needed(self, done: int, n: int) -> int:
        """Return the first sample that must be kept after `done` outputs.

        A later output reads it or is aligned with it, or the extension of the end repeats it.
        """
        low, _ = self.reads(done, done + 1)
        return min(low, self.aligned_sample(done), n - self.margin)

    def oldest_needed_of_each(self, done: IntArray, n: IntArray) -> IntArray:
        """Return `oldest_needed` for many signals at once; the chain has one phase."""
        first, later = self._first_reads
        offset = np.where(done == 0, first, later)
        low = done * self.chain.reach[0].step + offset + self.origin
        low = np.minimum(low, self.aligned_sample(done))
        return np.minimum(low, n - self.margin)

    @cached_property
    def _first_reads(self) -> tuple[int, int]:
        """The first input of a job at output 0, and at any later output k less k * step."""
        step = self.chain.reach[0].step
        first = self.chain.reads(0, 1)[0].start
        second = self.chain.reads(1, 2)[0].start
        return first, second - step

    def place(
        self, outputs: tuple[int, int], n: int, columns: int | None, end: int | None
    ) -> JobPlace:
        """Return the place of the job of some outputs along axis 0, when `n` samples have come.

        columns : the width of a picture; end : the length of the signal and its tail, if it is
            known
        """
        low, high = self.reads(*outputs, end)
        along = Extent(low, high, n, self.edge)
        if columns is None:
            bounds = self._bounds((n,))
            return JobPlace(span=(outputs,), along=along, across=None, ends=(end,), bounds=bounds)
        count, across = self.columns(columns)
        return JobPlace(
            span=(outputs, (0, count)),
            along=along,
            across=across,
            ends=(end, columns),
            bounds=self._bounds((n, columns)),
        )

    def _bounds(self, lengths: tuple[int, ...]) -> Bounds | None:
        """Return where the signal lies, if windows that reach beyond it have no output."""
        if not self.only_complete:
            return None
        return Bounds(low=(0,) * len(lengths), high=lengths)

    def columns(self, n: int) -> tuple[int, Extent | None]:
        """Return how many columns come out of `n` and which they read; None if none come out."""
        valid = self.edge == "valid"
        count = self.chain.valid_count(1, n) if valid else self.chain.count(1, n)
        if count == 0:
            return 0, None
        start, stop = self.chain.needs(1, 0, count, n)[0]
        origin = -start if valid else 0
        return count, Extent(start + origin, stop + origin, n, self.edge)
