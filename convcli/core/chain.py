"""A chain of operations is an operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convcli.core.extend import laid_together
from convcli.core.missing import any_missing, last_known
from convcli.core.reach import Reach
from convcli.core.rounding import float_type_for_bytes
from convcli.samples import as_samples, summed

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.core.ops import Op, Span
    from convcli.signals import AnyRows, Array, Edge, Rows


@dataclass(frozen=True, eq=False)
class Chain:
    """Operations one after the other on a signal with `axes` sample axes; with none of them it changes nothing."""

    ops: tuple[Op, ...]
    axes: int = 1

    def needs(
        self, axis: int, start: int, stop: int, n: int | None = None
    ) -> list[tuple[int, int]]:
        """What each operation reads for the outputs [start, stop), and those outputs: one interval per boundary.

        n : the length of the signal, where it is known; a layer for which that is a circle then gets all of it
        """
        spans, circles = [(start, stop)], self._circles(axis, n)
        for number in range(len(self.ops) - 1, -1, -1):
            low, high = self.ops[number].reach[axis].needs(*spans[-1])
            spans.append((low, max(high, circles.get(number, high))))
        return spans[::-1]

    def _circles(self, axis: int, n: int | None) -> dict[int, int]:
        """How long what comes to each layer is that pads with its other end."""
        found: dict[int, int] = {}
        if n is None or not self.needs_end:
            return found
        for number, op in enumerate(self.ops):
            if op.needs_end:
                found[number] = n
            n = op.reach[axis].count(n)
        return found

    def reads(self, start: int, stop: int, n: int | None = None) -> list[tuple[int, int, int]]:
        """`needs` along axis 0 for outputs that follow those before: (from, low, high) for each boundary.

        An operation that holds values over gaps is given all samples `from` where the outputs before left off, even
        where a stride later in the chain skips them; it computes with those from `low` on.
        """
        before = self.needs(0, start - 1, start) if start > 0 else None
        found, circles = [(start, start, stop)], self._circles(0, n)
        for number in range(len(self.ops) - 1, -1, -1):
            op, (wanted, _, _) = self.ops[number], found[-1]
            low, high = op.reach[0].needs(wanted, stop)
            known = min(low, before[number][1]) if before is not None and op.holds else low
            stop = max(high, circles.get(number, high))
            found.append((known, low, stop))
        return found[::-1]

    def ready(self, axis: int, n: int) -> int:
        """One past the last output that reads no input at or past `n`."""
        for op in self.ops:
            n = op.reach[axis].ready(n)
        return n

    def count(self, axis: int, n: int) -> int:
        """How many outputs stand on a signal of `n` samples that is extended at its ends."""
        for op in self.ops:
            n = op.reach[axis].count(n)
        return n

    def channels(self, count: int) -> int:
        """How many channels come out of `count`."""
        for op in self.ops:
            count = op.output_channels(count)
        return count

    @cached_property
    def type_of_bytes(self) -> type[np.floating[Any]]:
        """The type in which it filters the bytes of a picture."""
        return float_type_for_bytes(op.rounding for op in self.ops)

    def samples(self, x: Array) -> Array:
        """The samples that stored numbers stand for; of bytes in the type in which this chain filters them."""
        return x.astype(self.type_of_bytes) if x.dtype == np.uint8 else as_samples(x)

    def taken(self, x: Array) -> Array:
        """What the first operation is given of numbers that may be stored ones."""
        takes = bool(self.ops) and self.ops[0].takes_stored
        return (
            x
            if takes and (x.dtype != np.uint8 or self.type_of_bytes == np.float32)
            else self.samples(x)
        )

    @cached_property
    def needs_end(self) -> bool:
        """Whether the first outputs depend on the end of the signal."""
        return any(op.needs_end for op in self.ops)

    @cached_property
    def uniform(self) -> bool:
        """Whether it does the same to every channel wherever it starts, so that signals can be channels of one."""
        return all(op.uniform for op in self.ops)

    def aligned_input(self, axis: int, k: Rows) -> Rows:
        """The absolute inputs at which the outputs `k` stand."""
        for op in reversed(self.ops):
            k = op.reach[axis].aligned_input(k)
        return k

    @cached_property
    def reach(self) -> tuple[Reach, ...]:
        """The reach of the whole; with several phases the widest of them."""
        return tuple(self._reach(axis) for axis in range(self.axes))

    def _reach(self, axis: int) -> Reach:
        step = phases = 1
        for op in self.ops:
            step, phases = step * op.reach[axis].step, phases * op.reach[axis].phases
        common = int(np.gcd(step, phases))
        step, phases = step // common, phases // common
        reads = [(k * step // phases, *self.needs(axis, k, k + 1)[0]) for k in _some(phases)]
        return Reach(
            before=max(at - low for at, low, _ in reads),
            after=max(high - 1 - at for at, _, high in reads),
            step=step,
            phases=phases,
            anchor=int(self.aligned_input(axis, np.zeros(1, np.int64))[0]),
        )

    def look_ahead(self, axis: int = 0) -> int:
        """How many inputs past the one it stands at the farthest-sighted output reads; 0 or less: none."""
        some = _some(self.reach[axis].phases)
        stands = self.aligned_input(axis, np.array(some))
        return max(
            self.needs(axis, k, k + 1)[0][1] - 1 - int(at)
            for k, at in zip(some, stands, strict=True)
        )


def _some(phases: int) -> range:
    """The outputs of one period, or some hundreds of them where there are more."""
    return range(0, phases, max(1, phases // 512))


@dataclass(frozen=True, eq=False)
class Inputs:
    """Samples in the parts in which they came; put together, and extended across, only by who computes with them.

    across : (start, stop, n, edge) of the columns of a picture
    """

    parts: list[Array]
    across: tuple[int, int, int, Edge] | None = None

    @property
    def channels(self) -> int:
        """How many channels they have."""
        return int(self.parts[0].shape[-1])

    def __call__(self) -> Array:
        """The samples as one array."""
        if self.across is not None:
            return laid_together(self.parts, *self.across)
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)


class Memory(Protocol):
    """What was met before."""

    def held(self, number: int) -> Array | None:
        """The last value of each channel that operation `number` met; None where there was none."""
        ...


@dataclass(eq=False)
class Job:
    """A stretch of outputs of a chain with all the inputs it needs; `run` is pure and may run in any thread.

    inputs : those of `span`, extended; rows : the inputs at which the outputs stand
    ends : the length of the signal along each axis, None where it has not ended yet
    previous : the job before it in the same signal, asked only for values that are held across a gap
    """

    chain: Chain
    inputs: Inputs
    span: Span
    rows: AnyRows
    next_start: int
    ends: tuple[int | None, ...]
    previous: Memory | None = None
    _held: dict[int, Array | None] = field(default_factory=dict)
    _done: Event = field(default_factory=Event)

    def run(self) -> Array:
        """The outputs."""
        try:
            # Infinity and NaN are answers here, not accidents; NumPy keeps this setting for each thread.
            with np.errstate(all="ignore"):
                return self._run()
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Whether it came to an end or not: nobody waits for it any longer, and it holds no other job."""
        self._done.set()
        self.previous = None

    def _run(self) -> Array:
        if any(
            stop <= start for start, stop in self.span
        ):  # a picture narrower than a window, under `valid`
            shape = (
                *(max(0, stop - start) for start, stop in self.span),
                self.chain.channels(self.inputs.channels),
            )
            return np.empty(shape, self.chain.samples(self.inputs.parts[0][:0]).dtype)
        x, ends = self.chain.taken(self.inputs()), self.ends
        along = self.chain.reads(*self.span[0], ends[0])
        across = [
            self.chain.needs(axis, *self.span[axis], ends[axis])
            for axis in range(1, self.chain.axes)
        ]
        following = self.chain.reads(self.next_start, self.next_start + 1)
        for number, op in enumerate(self.chain.ops):
            x = summed(x) if number else x
            earlier = _Earlier(self.previous, number)
            known, low, _ = along[number]
            wanted = (
                (along[number + 1][0], along[number + 1][2]),
                *(boundary[number + 1] for boundary in across),
            )
            starts = (known, *(boundary[number][0] for boundary in across))
            stops = tuple(r.needs(*span)[1] for r, span in zip(op.reach, wanted, strict=True))
            x = op.padded(x, starts, stops, ends)
            ends = tuple(
                None if n is None else r.count(n) for n, r in zip(ends, op.reach, strict=True)
            )
            met = earlier if low == known else _Met(x[: low - known], earlier)
            y = op(x[low - known :], wanted, met)
            if op.holds:
                self._held[number] = last_known(x[: max(following[number][0] - known, 0)], earlier)
            x = y
        return x

    def became_missing(self, y: Array) -> npt.NDArray[np.bool_] | None:
        """Which of the outputs `y` are missing where the input that they stand at is not; None: none of them.

        y : (n, channels) or (rows, columns, channels); the answer is True and False. Where a layer makes other
        channels of those that come in, an output counts if every one of them is there.
        """
        if not any_missing(y):
            return None
        x = self.inputs()
        starts = (self.chain.reads(*self.span[0])[0][0], *self._across_starts())
        places = []
        for axis, (start, (first, stop), end) in enumerate(
            zip(starts, self.span, self.ends, strict=True)
        ):
            stands = self.chain.aligned_input(axis, np.arange(first, stop))
            last = x.shape[axis] - 1 if end is None else min(end - 1 - start, x.shape[axis] - 1)
            places.append(np.clip(stands - start, 0, last))
        gone: Any = np.isnan(x[np.ix_(*places)])
        if y.shape[-1] != x.shape[-1]:
            gone = gone.any(axis=-1, keepdims=True)
        found: npt.NDArray[np.bool_] = np.isnan(y) & ~gone
        return found

    def _across_starts(self) -> tuple[int, ...]:
        return tuple(
            self.chain.needs(axis, *self.span[axis])[0][0] for axis in range(1, self.chain.axes)
        )

    def held(self, number: int) -> Array | None:
        """The last value that operation `number` met before the inputs of the next job; waits for this job."""
        self._done.wait()
        return self._held.get(number)


@dataclass(frozen=True)
class _Earlier:
    """What an operation holds from before its inputs, found out only when it is asked."""

    previous: Memory | None
    number: int

    def __call__(self) -> Array | None:
        return self.previous.held(self.number) if self.previous else None


@dataclass(frozen=True)
class _Met:
    """What an operation holds from samples that it reads for nothing else, or from before them."""

    x: Array
    earlier: _Earlier

    def __call__(self) -> Array | None:
        return last_known(self.x, self.earlier)
