"""Does a filter look into the future? It is run on prefixes of the data and on the whole, and both are compared.

What a filter that reads only what has been says of a row cannot depend on the rows that follow. Here this is not
derived from the reach of the steps but tried on the user's own data, by the same `run` that filters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.convolve import EXACT_TAPS
from convcli.errors import ConvcliError
from convcli.planning.describe import weights_of
from convcli.running.run import RunCounts, run
from convcli.signals import Block, Groups, blocks_of, row_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from convcli.planning.plan import Plan
    from convcli.signals import AnyRows, Array, Rows, Signal, Source

# Up to so many rows every prefix is tried.
ALL_UP_TO = 100
# Longer tables are cut at so many places evenly, besides the places where something ends or begins.
SPREAD = 8
# What FFT arithmetic may differ by, of the largest value of the column; direct arithmetic differs by nothing.
ROUNDING = 1e-9
# Rows that are looked at together.
STRETCH = 1 << 16


@dataclass
class Verdict:
    """What was found for one column of one group.

    row : the first row that changed, from 0, or None; whole, prefix : its values, None where there is no output
    known : how many rows of the group the prefix held; largest : the largest difference in any row
    """

    group: bytes
    channel: str
    row: int | None = None
    whole: float | None = None
    prefix: float | None = None
    known: int = 0
    largest: float = 0.0

    @property
    def difference(self) -> float | None:
        """By how much the first row changed; None where one of the values is missing."""
        if self.whole is None or self.prefix is None or np.isnan(self.whole - self.prefix):
            return None
        return abs(self.whole - self.prefix)


@dataclass(frozen=True)
class Checked:
    """The verdicts, group by group as they come in the data; how many prefixes were run; whether bits were compared."""

    verdicts: list[Verdict]
    prefixes: int
    exact: bool
    counts: RunCounts


def check(
    plan: Plan,
    source: Source[Any],
    scratch: Callable[[], BinaryIO],
    *,
    threads: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
    expect: Callable[[int], None] = lambda _: None,
) -> Checked:
    """Run `plan` on the whole of `source` and on prefixes of it, and compare every row of every prefix.

    source : one sample axis; it is read once, so a pipe will do. Numbers wait in files that scratch() opens.
    advance, expect : told how many prefixes are done, and how many there will be
    """
    spool = Spool(source, scratch)
    prefixes = list(choose(spool, plan))
    expect(len(prefixes) + 1)
    outputs = Outputs(spool, plan, scratch)
    ran = run(plan, Part(plan.signal, spool, spool.whole), outputs, threads=threads)
    advance(1)
    comparison = Comparison(spool, outputs, plan, scratch)
    for prefix in prefixes:
        comparison.run(prefix, threads)
        advance(1)
    names = plan.result.channels
    verdicts = [
        comparison.of(group, channel)
        for group in range(len(spool.names))
        for channel in range(len(names))
    ]
    return Checked(verdicts, len(prefixes), comparison.exact, ran)


# ------------------------------------------------------------------------------------------------ the data


@dataclass(frozen=True)
class Prefix:
    """The first `limits[g]` rows of every group g, none of which stands at or past the row `end`."""

    limits: Rows
    end: int


class Spool:
    """The numbers of a source in a file, each row with its group and with how many rows of that came before it."""

    def __init__(self, source: Source[Any], scratch: Callable[[], BinaryIO]) -> None:
        kind = [("x", "f8", (len(source.signal.channels),)), ("group", "i8"), ("rank", "i8")]
        self.ends: list[int] = []
        self.n = 0
        names: dict[bytes, int] = {}
        counts: list[int] = []
        self.grouped = False
        with scratch() as file:
            for block in blocks_of(source):
                rows = np.zeros(len(block.x), kind)
                rows["x"] = block.x
                self.grouped = block.groups is not None
                for group, _, places in block.by_group():
                    number = names.setdefault(group, len(names))
                    counts += [0] * (len(names) - len(counts))
                    rows["group"][places] = number
                    rows["rank"][places] = counts[number] + np.arange(len(places))
                    counts[number] += len(places)
                file.write(rows.tobytes())
                self.n += len(rows)
                self.ends.append(self.n)
            file.flush()
            self.rows: Any = (
                np.memmap(file, kind, "r", shape=(self.n,)) if self.n else np.empty(0, kind)
            )
        self.names, self.counts = list(names), np.array(counts, np.int64)

    @property
    def whole(self) -> Prefix:
        """All there is."""
        return Prefix(self.counts, self.n)

    def first(self, count: int) -> Prefix:
        """The first rows of the table."""
        limits = np.zeros(len(self.names), np.int64)
        for start in range(0, count, STRETCH):
            limits += np.bincount(
                self.rows["group"][start : min(count, start + STRETCH)], minlength=len(limits)
            )
        return Prefix(limits, count)

    def of_each(self, limits: Any) -> Prefix:
        """So many rows of each group."""
        return Prefix(np.clip(limits, 0, self.counts).astype(np.int64), self.n)


@dataclass
class Part:
    """A prefix as a Source, in the same blocks as the whole."""

    signal: Signal
    spool: Spool
    prefix: Prefix

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Where blocks begin and end."""
        for start, end in zip([0, *self.spool.ends], self.spool.ends, strict=False):
            if start < self.prefix.end:
                yield start, min(end, self.prefix.end)

    def kept(self, start: int, end: int) -> Rows:
        """The rows of the table in [start, end) that belong to the prefix."""
        rows = self.spool.rows[start:end]
        return start + np.flatnonzero(rows["rank"] < self.prefix.limits[rows["group"]])

    def decode(self, raw: tuple[int, int]) -> Block:
        """The rows of a block that belong to the prefix."""
        rows = self.spool.rows[self.kept(*raw)]
        if not self.spool.grouped:
            return Block(np.array(rows["x"]))
        numbers, codes = np.unique(rows["group"], return_inverse=True)
        return Block(
            np.array(rows["x"]), Groups([self.spool.names[number] for number in numbers], codes)
        )


# --------------------------------------------------------------------------------------------- the prefixes


def choose(spool: Spool, plan: Plan) -> Iterator[Prefix]:
    """The prefixes that are tried: of a short table all; of a longer one some thirty.

    The first rows and the last, a window of the filter and one row more or less, the ends of blocks, and places
    spread evenly; where there are groups, so many rows of all of them at once too.
    """
    reach = plan.chain.reach[0]
    window = reach.before + reach.after + 1
    ends = [end + by for end in (spool.ends[:1] + spool.ends[-2:-1]) for by in (-1, 0, 1)]
    edges = [1, 2, 3, window - 1, window, window + 1]
    edges += [spool.n - back for back in (1, 2, 3, window, reach.after, reach.after + 1)]
    spread = [spool.n * i // (SPREAD + 1) for i in range(1, SPREAD + 1)]
    wanted = range(1, spool.n) if spool.n <= ALL_UP_TO else sorted({*edges, *ends, *spread})
    yield from (spool.first(count) for count in wanted if 0 < count < spool.n)
    if len(spool.names) > 1:
        counts = spool.counts
        firsts = [count for count in (1, 2, 3, window) if count < counts.max()]
        lasts = [counts - back for back in (1, 2, max(3, reach.after))]
        shares = [counts * part // 4 for part in (1, 2, 3)]
        yield from map(spool.of_each, [*firsts, *shares, *lasts])


# ------------------------------------------------------------------------------------------ the comparison


def _kept(scratch: Callable[[], BinaryIO], kind: Any, n: int) -> Any:
    """An array in a file that is gone when nobody holds it any longer."""
    with scratch() as file:
        return np.memmap(file, kind, "w+", shape=(max(1, n),))


class Outputs:
    """The outputs for the whole, in a file: a Sink. there : whether the row has one."""

    def __init__(self, spool: Spool, plan: Plan, scratch: Callable[[], BinaryIO]) -> None:
        kind = [("y", "f8", (len(plan.result.channels),)), ("there", "?")]
        self.rows = _kept(scratch, kind, spool.n)
        self.largest: Any = np.zeros(len(plan.result.channels))

    def encode(self, y: Array, rows: AnyRows) -> tuple[Array, Rows]:
        """As they are."""
        return y, row_numbers(rows)

    def write(self, encoded: tuple[Array, Rows]) -> None:
        """Keep them."""
        y, rows = encoded
        self.rows["y"][rows], self.rows["there"][rows] = y, True
        self.largest = np.fmax(self.largest, np.fmax.reduce(np.abs(y), axis=0, initial=0.0))


class Comparison:
    """The outputs of one prefix after the other beside those of the whole."""

    def __init__(
        self, spool: Spool, outputs: Outputs, plan: Plan, scratch: Callable[[], BinaryIO]
    ) -> None:
        self.spool, self.outputs, self.plan = spool, outputs, plan
        weights = [weights_of(step) for step in plan.steps]
        self.exact = all(w is None or w.shape[-1] <= EXACT_TAPS for w in weights)
        self.verdicts: dict[tuple[int, int], Verdict] = {}
        self._kept, self._met = _kept(scratch, np.int64, spool.n), _kept(scratch, np.bool_, spool.n)

    def of(self, group: int, channel: int) -> Verdict:
        """The verdict on a column of a group."""
        new = Verdict(self.spool.names[group], self.plan.result.channels[channel])
        return self.verdicts.get((group, channel), new)

    def run(self, prefix: Prefix, threads: int | None) -> None:
        """Run one prefix and compare it."""
        part = Part(self.plan.signal, self.spool, prefix)
        count = 0
        for start, end in part.chunks():
            kept = part.kept(start, end)
            self._kept[count : count + len(kept)] = kept
            count += len(kept)
        self._met[:count] = False
        try:
            run(self.plan, part, _Beside(self, prefix), threads=threads)
        except ConvcliError:
            # More rows are asked for than the prefix has: then it has no output, and the whole should have none there.
            self._met[:count] = False
        self._unmet(prefix, count)

    def compare(self, prefix: Prefix, y: Array, numbers: Rows) -> None:
        """Outputs of the prefix that stand at its rows `numbers`."""
        self._met[numbers] = True
        rows = self._kept[numbers]
        whole = self.outputs.rows[rows]
        absent, groups = ~whole["there"], self.spool.rows["group"][rows]
        # A last window that the prefix does not fill stands at its last row; the whole fills it and has it elsewhere.
        unfilled = self.spool.rows["rank"][rows] == prefix.limits[groups] - 1
        unfilled &= self.plan.look_ahead is not None
        different = self._different(whole["y"], y) & ~absent[:, None]
        for channel in np.flatnonzero(different.any(axis=0)).tolist():
            at = np.flatnonzero(different[:, channel])
            values = whole["y"][at, channel], y[at, channel]
            self._note(prefix, channel, rows[at], groups[at], *values)
        at = np.flatnonzero(absent & ~unfilled)
        for channel in range(y.shape[1]) if len(at) else ():
            self._note(prefix, channel, rows[at], groups[at], None, y[at, channel])

    def _different(self, whole: Any, y: Any) -> Any:
        """Bit for bit; one NaN is like another. Where FFT is used, more than its rounding."""
        both_missing = np.isnan(whole) & np.isnan(y)
        same: Any = np.ascontiguousarray(whole).view(np.int64) == np.ascontiguousarray(
            y, np.float64
        ).view(np.int64)
        if not self.exact:
            with np.errstate(invalid="ignore"):
                same |= np.abs(whole - y) <= ROUNDING * self.outputs.largest
        return ~(same | both_missing)

    def _unmet(self, prefix: Prefix, count: int) -> None:
        """Rows of the prefix that have an output in the whole alone."""
        for start in range(0, count, STRETCH):
            stretch = slice(start, min(count, start + STRETCH))
            rows = self._kept[stretch]
            whole = self.outputs.rows[rows]
            at = np.flatnonzero(whole["there"] & ~self._met[stretch])
            for channel in range(whole["y"].shape[1]) if len(at) else ():
                groups = self.spool.rows["group"][rows[at]]
                self._note(prefix, channel, rows[at], groups, whole["y"][at, channel], None)

    def _note(  # noqa: PLR0917
        self, prefix: Prefix, channel: int, rows: Rows, groups: Rows, whole: Any, y: Any
    ) -> None:
        """Remember the first row that changed of each group, and the largest change; rows are in their order."""
        for group in np.unique(groups):
            mine = np.flatnonzero(groups == group)
            verdict = self.verdicts.setdefault((int(group), channel), self.of(int(group), channel))
            if whole is not None and y is not None:
                with np.errstate(invalid="ignore"):
                    largest = np.fmax.reduce(np.abs(whole[mine] - y[mine]), initial=0.0)
                verdict.largest = max(verdict.largest, float(largest))
            first = mine[0]
            if verdict.row is None or rows[first] < verdict.row:
                verdict.row, verdict.known = int(rows[first]), int(prefix.limits[group])
                verdict.whole, verdict.prefix = (
                    None if v is None else float(v[first]) for v in (whole, y)
                )


@dataclass
class _Beside:
    """A Sink that hands the outputs of a prefix to the comparison."""

    comparison: Comparison
    prefix: Prefix

    def encode(self, y: Array, rows: AnyRows) -> tuple[Array, Rows]:
        """As they are."""
        return y, row_numbers(rows)

    def write(self, encoded: tuple[Array, Rows]) -> None:
        """Compare them."""
        self.comparison.compare(self.prefix, *encoded)
