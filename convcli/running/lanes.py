"""Many signals of one chain, side by side: those whose next outputs are equally many go through it as channels."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.chain import Chain, Inputs, Job
from convcli.core.extend import OUTSIDE, filler, inside
from convcli.running.stream import NEVER, Stream, numbers_of, undisturbed
from convcli.signals import Edge, Groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from convcli.signals import AnyRows, Array, Block, Rows

    Numbers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

# Samples that are gathered at a time, to stay near the caches.
GATHERED = 1 << 17


class Lanes:
    """Takes in blocks of interleaved signals and gives out jobs, each for all signals that go on alike.

    What `Stream` does for one signal, by arrays with an entry for each. The chain must be `uniform` and the edge rule
    not `wrap`.
    """

    def __init__(self, chain: Chain, edge: Edge, channels: int) -> None:
        self.chain = chain
        self.edge = edge
        self.channels = channels
        self.one = Stream(chain, edge)
        self.step = chain.reach[0].step
        # The first input that the next output asks for, less `step` for each output before: at the start, and later.
        self.needed = (chain.reads(0, 1)[0][0], chain.reads(1, 2)[0][0] - self.step)
        self.numbers: defaultdict[bytes, int] = defaultdict(count().__next__)
        self.n = np.zeros(0, np.int64)
        self.done = np.zeros(0, np.int64)
        self.next_row = np.zeros(0, np.int64)
        self.samples = _Kept(np.empty((0, 0, channels)))
        self.stood = _Kept(np.empty((0, 0), np.int64))
        self.held = _Held() if any(op.holds for op in chain.ops) else None

    def push(self, block: Block, rows: AnyRows) -> list[tuple[bytes, Job]]:
        """Take in a block of samples, which stand at `rows` of the input; what can be computed now."""
        groups = block.groups or Groups([], np.empty(0, np.int64))
        # Small integers are sorted by counting.
        codes = groups.codes.astype(np.min_scalar_type(len(groups.names)))
        order, numbers = np.argsort(codes, kind="stable"), numbers_of(rows)
        counts = np.bincount(groups.codes, minlength=len(groups.names))
        met = np.flatnonzero(counts)
        return self._advance(
            self._numbered(groups.names)[met],
            block.x[order],
            numbers[order],
            counts[met],
            self._ready,
        )

    def finish(self) -> list[tuple[bytes, Job]]:
        """The outputs that were waiting for the end of the signals."""
        every = np.arange(len(self.numbers))
        nothing = np.empty((0, self.channels)), np.empty(0, np.int64)
        return self._advance(every, *nothing, np.zeros_like(every), self._count)

    def release(self, seen: int) -> int:
        """The first row whose output may still be waiting, `seen` rows having come."""
        return min(int(self.next_row.min(initial=NEVER)), seen)

    @property
    def edge_affected(self) -> int:
        """How many of the outputs so far read what lies outside of their signal."""
        if self.edge == "valid":
            return 0
        kinds, times = np.unique(np.stack([self.n, self.done]), axis=1, return_counts=True)
        affected = [done - undisturbed(self.chain, 0, n, done) for n, done in kinds.T.tolist()]
        return int(np.dot(affected, times))

    # --- the lengths, for many signals at once ---

    def _ready(self, n: Numbers) -> Numbers:
        """How many outputs can be known when `n` samples have come."""
        known: Any = self.chain.ready(0, n - self.one.origin)  # type: ignore[arg-type]  # plain arithmetic
        return np.where(n < self.one.first_needed, 0, known)

    def _count(self, n: Numbers) -> Numbers:
        """How many outputs there are if the signals end here."""
        lengths, which = np.unique(n, return_inverse=True)
        return np.array([self.one.count(length) for length in lengths.tolist()], np.int64)[which]

    def _stands(self, k: Numbers) -> Numbers:
        return self.chain.aligned_input(0, k) + self.one.origin

    # --- the state of the signals ---

    def _numbered(self, names: list[bytes]) -> Numbers:
        """The numbers of the signals called so, new ones at the end."""
        found = np.fromiter(map(self.numbers.__getitem__, names), np.int64, len(names))
        more = len(self.numbers) - len(self.n)
        if more > 0:
            self.n, self.done, self.next_row = (
                np.append(old, np.zeros(more, np.int64))
                for old in (self.n, self.done, self.next_row)
            )
            self.samples.make_room(len(self.numbers))
            self.stood.make_room(len(self.numbers))
        return found

    def _advance(
        self, g: Numbers, x: Array, rows: Rows, counts: Numbers, known: Callable[[Numbers], Numbers]
    ) -> list[tuple[bytes, Job]]:
        """Give `counts` more samples to each of the signals `g`, a part of the signals at a time."""
        if self.held is not None:
            self.held.turn()
        jobs: list[tuple[bytes, Job]] = []
        weight = np.cumsum(counts + self.one.margin) * self.channels
        cuts = np.flatnonzero(np.diff(weight // GATHERED, prepend=0)).tolist()
        ends = np.cumsum(counts)
        for first, last in zip([0, *cuts], [*cuts, len(g)], strict=True):
            if first < last:
                mine = slice(int(ends[first] - counts[first]), int(ends[last - 1]))
                part = slice(first, last)
                jobs += [
                    (b"", job)
                    for job in self._advance_some(g[part], x[mine], rows[mine], counts[part], known)
                ]
        return jobs

    def _advance_some(
        self, g: Numbers, x: Array, rows: Rows, counts: Numbers, known: Callable[[Numbers], Numbers]
    ) -> list[Job]:
        before, done = self.n[g], self.done[g]
        n = before + counts
        some = _Some(
            g,
            n,
            done,
            self.samples.join(g, before, counts, x),
            self.stood.join(g, before, counts, rows),
        )
        stop = np.maximum(known(n), done)
        jobs = [
            self._job(some, which, int(stop[which[0]])) for which in _alike(stop - done, done == 0)
        ]
        self.n[g], self.done[g] = n, stop
        stands = self._stands(stop)
        at = np.clip(stands, 0, n - 1)
        row = some.rows.of(np.arange(len(g)), at[:, None])[:, 0]
        over = stands >= n
        over[over] = self._count(n[over]) <= stop[over]
        self.next_row[g] = np.where(over, NEVER, row)
        needed = stop * self.step + np.where(stop == 0, *self.needed) + self.one.origin
        self.samples.keep(
            g, some.samples, n, np.minimum(np.minimum(needed, stands), n - self.one.margin)
        )
        self.stood.keep(g, some.rows, n, np.minimum(at, n - 1))
        return jobs

    def _job(self, some: _Some, which: Numbers, stop: int) -> Job:
        """The next outputs of the signals `which` of some, those of the first of them up to `stop`."""
        n, done = some.n[which], some.done[which]
        start = int(done[0])
        low, _, high = self.chain.reads(start, stop)[0]
        index = ((done - start) * self.step + self.one.origin)[:, None] + np.arange(low, high)
        outside: Flags | None = None
        if index[:, 0].min() < 0 or (index[:, -1] >= n).any():
            index = inside(index, n[:, None], self.edge)
            outside = index == OUTSIDE
            np.copyto(index, (n - 1)[:, None], where=outside)
        x = some.samples.of(which, index)
        if outside is not None:
            np.copyto(x, filler(self.edge), where=outside[:, :, None])
        lanes = np.moveaxis(x, 2, 1).reshape(-1, high - low).T
        stands = np.clip(self._stands(done[:, None] + np.arange(stop - start)), 0, (n - 1)[:, None])
        rows = some.rows.of(which, stands)
        mine = None if self.held is None else _Mine(self.held, some.g[which], self.channels)
        return LanesJob(
            self.chain,
            Inputs([lanes]),
            ((start, stop),),
            rows.reshape(-1),
            stop,
            (None,),
            mine,
            of=len(which),
        )


@dataclass(eq=False)
class LanesJob(Job):
    """A stretch of outputs of `of` signals, which are the channels of `x`; `rows` are those of one after the other."""

    of: int = 1

    def _run(self) -> Array:
        y = super()._run()
        if isinstance(self.previous, _Mine):
            self.previous.store(self._held)
        return self._apart(y)

    def became_missing(self, y: Array) -> npt.NDArray[np.bool_] | None:
        """As of any job, for the signals one after the other."""
        if y.size == 0 or not np.isnan(y.min()):
            return None
        beside = np.moveaxis(y.reshape(self.of, len(y) // self.of, -1), 0, 1).reshape(
            len(y) // self.of, -1
        )
        found = super().became_missing(beside)
        return None if found is None else self._apart(found)

    def _apart(self, lanes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The signals one after the other, that came as channels."""
        return np.moveaxis(lanes.reshape(len(lanes), self.of, -1), 1, 0).reshape(
            len(lanes) * self.of, -1
        )

    def let_go(self) -> None:
        """As any job, and those of later blocks need not wait for it."""
        if isinstance(self.previous, _Mine):
            self.previous.turn.leave()
        super().let_go()


def _alike(counts: Numbers, new: Flags) -> Iterator[Numbers]:
    """The signals, told by their places, that have equally many outputs to give; those that begin by themselves."""
    kind = 2 * counts + new
    order = np.argsort(kind, kind="stable")
    order = order[np.searchsorted(kind[order], 2) :]
    if len(order):
        yield from np.split(order, np.flatnonzero(np.diff(kind[order])) + 1)


# ------------------------------------------------------------------------------------------- what is kept


@dataclass(frozen=True)
class _Ragged:
    """Consecutive values of several signals: value number 0 of the i-th would stand at `starts[i]`."""

    values: npt.NDArray[Any]
    starts: Numbers

    def of(self, which: Numbers, index: Numbers) -> npt.NDArray[Any]:
        """The values number index[i, ...] of the signals which[i]."""
        found: npt.NDArray[Any] = self.values[self.starts[which][:, None] + index]
        return found


@dataclass(frozen=True)
class _Some:
    """Some of the signals: their numbers, how many samples came, outputs that are done, samples and their rows."""

    g: Numbers
    n: Numbers
    done: Numbers
    samples: _Ragged
    rows: _Ragged


class _Kept:
    """The latest values of many signals: of signal g those from number first[g] on, at the start of values[g]."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self.first = np.zeros(0, np.int64)
        self.values = values

    def make_room(self, signals: int, width: int = 0) -> None:
        """For so many signals and so many values of each; room for signals grows by half."""
        have, wide = self.values.shape[:2]
        if signals > have or width > wide:
            signals = max(signals, have + have // 2) if signals > have else have
            larger = np.empty(
                (signals, max(width, wide), *self.values.shape[2:]), self.values.dtype
            )
            larger[:have, :wide] = self.values
            self.values = larger
            self.first = np.append(self.first, np.zeros(signals - have, np.int64))

    def join(self, g: Numbers, n: Numbers, counts: Numbers, fresh: npt.NDArray[Any]) -> _Ragged:
        """The values kept of `n` that came, and `counts` fresh ones, those of all signals one after the other."""
        first = self.first[g]
        kept, length = n - first, n - first + counts
        starts = np.cumsum(length) - length
        values = np.empty((int(length.sum()), *fresh.shape[1:]), fresh.dtype)
        at = new = 0
        # A slice for a signal costs no more than the indices of its values would, and a tenth where these are many.
        for one, old, more in zip(g.tolist(), kept.tolist(), counts.tolist(), strict=True):
            values[at : at + old] = self.values[one, :old]
            values[at + old : at + old + more] = fresh[new : new + more]
            at, new = at + old + more, new + more
        return _Ragged(values, starts - first)

    def keep(self, g: Numbers, joined: _Ragged, n: Numbers, since: Numbers) -> None:
        """Keep the values from number `since` on, of `n`."""
        self.first[g] = since = np.maximum(self.first[g], since)
        self.make_room(0, int((n - since).max()))
        at = (joined.starts + since)[:, None] + np.arange(self.values.shape[1])
        self.values[g] = joined.values[np.minimum(at, len(joined.values) - 1)]


class _Held:
    """The last values that the holding operations of a chain met in each signal.

    Jobs run in any thread; those of one turn read what the turns before have stored, and wait for them.
    """

    def __init__(self) -> None:
        self.values: dict[int, Array] = {}
        self.last = _Turn(None)

    def turn(self) -> None:
        """Begin another turn, unless the last one has no jobs."""
        if self.last.jobs:
            self.last = _Turn(self.last)


@dataclass(eq=False)
class _Turn:
    """The jobs that came of one block; one thread runs them all."""

    before: _Turn | None
    jobs: int = 0
    gone: int = 0
    over: Event = field(default_factory=Event)

    def wait(self) -> None:
        """Until the turns before this one are over."""
        if self.before is not None:
            self.before.over.wait()
        self.before = None

    def leave(self) -> None:
        """One job is over."""
        self.gone += 1
        if self.gone == self.jobs:
            self.over.set()


@dataclass(eq=False)
class _Mine:
    """The values held in the signals `g` of one job."""

    table: _Held
    g: Numbers
    channels: int

    def __post_init__(self) -> None:
        self.turn = self.table.last
        self.turn.jobs += 1

    def held(self, number: int) -> Array | None:
        """What operation `number` holds from before this turn, of one signal after the other; NaN is nothing."""
        self.turn.wait()
        values = self.table.values.get(number)
        if values is None:
            return None
        mine = np.full((len(self.g), self.channels), np.nan)
        known = self.g < len(values)
        mine[known] = values[self.g[known]]
        return mine.reshape(-1)

    def store(self, held: dict[int, Array | None]) -> None:
        """What the operations hold after this job."""
        self.turn.wait()
        for number, mine in held.items():
            if mine is not None:
                values = self.table.values.get(number, np.empty((0, self.channels)))
                more = int(self.g.max()) + 1 - len(values)
                if more > 0:
                    values = np.append(
                        values, np.full((more + len(values) // 2, self.channels), np.nan), axis=0
                    )
                    self.table.values[number] = values
                values[self.g] = mine.reshape(len(self.g), self.channels)
