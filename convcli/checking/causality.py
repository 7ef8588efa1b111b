"""The causality check: filter prefixes of a table and the whole, and compare the outputs.

If no output of a filter depends on later rows, an output is the same in the whole table and in
every prefix that holds its row. The check does not derive this from the reach of the steps: it
filters the user's own data with the same `run` as the command does. What the reach says is in
`look_ahead.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, RequestError
from convcli.facts.causality import CausalityFacts, ColumnVerdict
from convcli.running.run import RunCounts, run
from convcli.signals import Block, Groups, blocks_of, row_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from convcli.planning.plan import Plan
    from convcli.signals import AnyRows, Array, Rows, Signal, Source


def check_causality(
    plan: Plan,
    source: Source[Any],
    scratch: Callable[[], BinaryIO],
    *,
    group_name: Callable[[bytes], str],
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[CausalityFacts, RunCounts]:
    """Filter the whole of `source` and prefixes of it by `plan`, and compare every output.

    source : has one sample axis; it is read once, so a pipe will do
    scratch : opens a temporary file; the rows and the outputs are kept in such files
    group_name : returns the name of a group as text
    progress : is called with the number of runs that are done and the number of all runs
    Returns the facts, and the counts of the run on the whole. Raises RequestError for a filter that
    gives several outputs for a row.
    """
    if plan.chain.shares_inputs():
        message = f"--causal-check compares one output for each row, and {plan.filter} gives more"
        raise RequestError(message, hint="check the filter without upsample:N")
    stored = StoredRows(source, scratch)
    prefixes = list(choose_prefixes(stored, plan))
    runs = len(prefixes) + 1
    progress(0, runs)
    outputs = WholeOutputs(stored.count, len(plan.result.channels), scratch)
    counts = run(plan, PrefixSource(plan.signal, stored, stored.whole), outputs, threads=threads)
    progress(1, runs)
    comparison = PrefixComparison(plan, stored, outputs, scratch, group_name)
    for number, prefix in enumerate(prefixes, 2):
        comparison.run(prefix, threads)
        progress(number, runs)
    columns = tuple(comparison.verdicts.values())
    facts = CausalityFacts(prefixes=len(prefixes), columns=columns)
    return facts, counts


def _array_in_file(scratch: Callable[[], BinaryIO], dtype: Any, n: int) -> Any:
    """Return an array of length `n` in a temporary file, which is removed with the array."""
    with scratch() as file:
        return np.memmap(file, dtype, "w+", shape=(max(1, n),))


class WholeOutputs:
    """A Sink for the outputs of the whole table.

    rows : structured array of the outputs `y` of each row, and `there`, whether the row has one
    """

    def __init__(self, count: int, channels: int, scratch: Callable[[], BinaryIO]) -> None:
        dtype = [("y", "f8", (channels,)), ("there", "?")]
        self.rows = _array_in_file(scratch, dtype, count)

    def encode(self, y: Array, rows: AnyRows) -> tuple[Array, Rows]:
        """Return the outputs and the numbers of their rows."""
        return y, row_numbers(rows)

    def write(self, encoded: tuple[Array, Rows]) -> None:
        """Store the outputs of the whole table."""
        y, rows = encoded
        self.rows["y"][rows] = y
        self.rows["there"][rows] = True


class PrefixComparison:
    """Compares the outputs of one prefix after another with those of the whole table.

    verdicts : for each number of a group and of a channel
    """

    def __init__(
        self,
        plan: Plan,
        stored: StoredRows,
        outputs: WholeOutputs,
        scratch: Callable[[], BinaryIO],
        group_name: Callable[[bytes], str],
    ) -> None:
        self.plan = plan
        self.stored = stored
        self.outputs = outputs
        self.verdicts = {
            (group, channel): ColumnVerdict(column=column, group=group_name(name))
            for group, name in enumerate(stored.names)
            for channel, column in enumerate(plan.result.channels)
        }
        # For each row of the prefix, its row in the table, and whether the prefix has an output.
        self._rows = _array_in_file(scratch, np.int64, stored.count)
        self._has_output = _array_in_file(scratch, np.bool_, stored.count)

    def run(self, prefix: Prefix, threads: int | None) -> None:
        """Filter one prefix and compare its outputs."""
        source = PrefixSource(self.plan.signal, self.stored, prefix)
        count = 0
        for start, end in source.pieces():
            members = source.members(start, end)
            self._rows[count : count + len(members)] = members
            count += len(members)
        self._has_output[:count] = False
        try:
            run(self.plan, source, _PrefixOutputs(self, prefix), threads=threads)
        except ConvcliError:
            # The steps need more rows than the prefix has, so it has no outputs.
            self._has_output[:count] = False
        self._compare_missing(prefix, count)

    def compare(self, prefix: Prefix, y: Array, numbers: Rows) -> None:
        """Compare outputs of the prefix with those of the whole.

        numbers : the rows of the prefix that the outputs are aligned with
        """
        self._has_output[numbers] = True
        rows = self._rows[numbers]
        whole = self.outputs.rows[rows]
        differs = self._differs(whole["y"], y) & whole["there"][:, None]
        for channel in np.flatnonzero(differs.any(axis=0)).tolist():
            at = np.flatnonzero(differs[:, channel])
            self._record(prefix, channel, rows[at], whole["y"][at, channel], y[at, channel])
        only_in_prefix = np.flatnonzero(~whole["there"] & ~self._ends_incomplete(prefix, rows))
        if len(only_in_prefix):
            for channel in range(y.shape[1]):
                values = y[only_in_prefix, channel]
                self._record(prefix, channel, rows[only_in_prefix], None, values)

    def _ends_incomplete(self, prefix: Prefix, rows: Rows) -> Any:
        """Whether the output at each row may belong to a window that the prefix cuts off.

        Such an output is aligned with the last row of the prefix. In the whole table, which
        completes the window, it is aligned with a later row.
        """
        if self.plan.look_ahead is None:
            return np.zeros(len(rows), bool)
        stored = self.stored.rows[rows]
        limits = prefix.limits[stored["group"]]
        return stored["rank"] == limits - 1

    def _differs(self, whole: Any, y: Any) -> Any:
        """Compare outputs bit for bit; NaN equals NaN."""
        both_missing = np.isnan(whole) & np.isnan(y)
        whole_bits = np.ascontiguousarray(whole).view(np.int64)
        bits = np.ascontiguousarray(y, np.float64).view(np.int64)
        same: Any = whole_bits == bits
        return ~(same | both_missing)

    def _compare_missing(self, prefix: Prefix, count: int) -> None:
        """Record the rows of the prefix that have an output only in the whole.

        count : number of rows of the prefix
        """
        for start in range(0, count, ROWS_AT_ONCE):
            part = slice(start, min(count, start + ROWS_AT_ONCE))
            rows = self._rows[part]
            whole = self.outputs.rows[rows]
            only_in_whole = np.flatnonzero(whole["there"] & ~self._has_output[part])
            if len(only_in_whole):
                for channel in range(whole["y"].shape[1]):
                    values = whole["y"][only_in_whole, channel]
                    self._record(prefix, channel, rows[only_in_whole], values, None)

    def _record(self, prefix: Prefix, channel: int, rows: Rows, whole: Any, y: Any) -> None:
        """Record outputs that differ: the first row of each group and the largest difference.

        rows : increasing; whole, y : outputs in the whole and in the prefix, None if there are none
        """
        groups = self.stored.rows["group"][rows]
        for group in np.unique(groups).tolist():
            members = np.flatnonzero(groups == group)
            verdict = self.verdicts[group, channel]
            if whole is not None and y is not None:
                with np.errstate(invalid="ignore"):
                    differences = np.abs(whole[members] - y[members])
                largest = float(np.fmax.reduce(differences, initial=0.0))
                verdict = replace(verdict, largest=max(verdict.largest, largest))
            first = members[0]
            row = int(rows[first]) + 1
            if verdict.row is None or row < verdict.row:
                known = int(prefix.limits[group])
                verdict = replace(verdict, row=row, known=known)
                verdict = verdict.with_outputs(_value_at(whole, first), _value_at(y, first))
            self.verdicts[group, channel] = verdict


def _value_at(values: Any, index: int) -> float | None:
    return None if values is None else float(values[index])


@dataclass(frozen=True)
class _PrefixOutputs:
    """A Sink that hands the outputs of a prefix to the comparison."""

    comparison: PrefixComparison
    prefix: Prefix

    def encode(self, y: Array, rows: AnyRows) -> tuple[Array, Rows]:
        """Return the outputs and the numbers of their rows."""
        return y, row_numbers(rows)

    def write(self, encoded: tuple[Array, Rows]) -> None:
        """Compare the outputs of a prefix with those of the whole."""
        self.comparison.compare(self.prefix, *encoded)


# ----------------------------------------------------------------------------------------- prefixes


# Up to this many rows, every prefix is tried.
ALL_UP_TO = 100
# Longer tables are cut at this many evenly spaced rows, besides the rows where something ends.
EVENLY_SPACED = 8
# Rows that are counted or compared together, which bounds the memory.
ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Prefix:
    """The rows before row `end`, and of each group g at most the first `limits[g]` of these."""

    limits: Rows
    end: int


class StoredRows:
    """The rows of a source in a temporary file, so that even a pipe can be read again.

    rows : structured array of the samples `x`, the number of the `group` and the `rank`, which
        is how many rows of the same group come before
    names, counts : name and number of rows of each group
    grouped : whether the source separates groups
    block_ends : number of rows up to the end of each block
    """

    def __init__(self, source: Source[Any], scratch: Callable[[], BinaryIO]) -> None:
        channels = len(source.signal.channels)
        self._dtype = np.dtype([("x", "f8", (channels,)), ("group", "i8"), ("rank", "i8")])
        self._group_numbers: dict[bytes, int] = {}
        self._group_counts: list[int] = []
        self.grouped = False
        self.block_ends: list[int] = []
        self.rows: Any = np.empty(0, self._dtype)
        with scratch() as file:
            for block in blocks_of(source):
                rows = self._numbered(block)
                file.write(rows.tobytes())
                self.block_ends.append(self.count + len(rows))
            file.flush()
            if self.count:
                self.rows = np.memmap(file, self._dtype, "r", shape=(self.count,))
        self.names = list(self._group_numbers)
        self.counts = np.array(self._group_counts, np.int64)

    def _numbered(self, block: Block) -> Any:
        """Return the rows of a block with their group and rank."""
        self.grouped = block.groups is not None
        rows = np.zeros(len(block.x), self._dtype)
        rows["x"] = block.x
        for name, _, places in block.by_group():
            group = self._group_numbers.setdefault(name, len(self._group_numbers))
            if group == len(self._group_counts):
                self._group_counts.append(0)
            earlier = self._group_counts[group]
            rows["group"][places] = group
            rows["rank"][places] = earlier + np.arange(len(places))
            self._group_counts[group] += len(places)
        return rows

    @property
    def count(self) -> int:
        """The number of rows that were stored."""
        return self.block_ends[-1] if self.block_ends else 0

    @property
    def whole(self) -> Prefix:
        """The prefix that holds all rows."""
        return Prefix(self.counts, self.count)

    def first_rows(self, count: int) -> Prefix:
        """Return the first `count` rows of the table."""
        limits = np.zeros(len(self.names), np.int64)
        for start in range(0, count, ROWS_AT_ONCE):
            stop = min(count, start + ROWS_AT_ONCE)
            limits += np.bincount(self.rows["group"][start:stop], minlength=len(limits))
        return Prefix(limits, count)

    def first_of_each_group(self, limits: Any) -> Prefix:
        """Return the first `limits` rows of each group; one limit for all, or one for each."""
        return Prefix(np.clip(limits, 0, self.counts).astype(np.int64), self.count)


@dataclass
class PrefixSource:
    """A prefix as a Source, in the same blocks as the whole table."""

    signal: Signal
    stored: StoredRows
    prefix: Prefix

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Yield the first row of each block and the row after its last."""
        start = 0
        for end in self.stored.block_ends:
            if start < self.prefix.end:
                yield start, min(end, self.prefix.end)
            start = end

    def members(self, start: int, end: int) -> Rows:
        """Return the numbers of the rows in [start, end) that belong to the prefix."""
        rows = self.stored.rows[start:end]
        limits = self.prefix.limits[rows["group"]]
        belongs = rows["rank"] < limits
        return start + np.flatnonzero(belongs)

    def decode(self, raw: tuple[int, int]) -> Block:
        """Return the rows of a block that belong to the prefix."""
        rows = self.stored.rows[self.members(*raw)]
        x = np.array(rows["x"])
        if not self.stored.grouped:
            return Block(x)
        numbers, codes = np.unique(rows["group"], return_inverse=True)
        names = [self.stored.names[number] for number in numbers]
        return Block(x, Groups(names, codes))


def choose_prefixes(stored: StoredRows, plan: Plan) -> Iterator[Prefix]:
    """Yield all prefixes of a short table, and about thirty of a longer one.

    If there are groups, further prefixes hold the same number of rows of each group.
    """
    lengths: Sequence[int] = range(1, stored.count)
    if stored.count > ALL_UP_TO:
        lengths = sorted(_revealing_lengths(stored, plan))
    for length in lengths:
        if 0 < length < stored.count:
            yield stored.first_rows(length)
    if len(stored.names) > 1:
        yield from _group_prefixes(stored, plan)


def _revealing_lengths(stored: StoredRows, plan: Plan) -> set[int]:
    """Choose lengths at which look-ahead shows.

    These are a few rows, a window of the filter, the ends of the first block and of the last but
    one, all rows but a few, and evenly spaced rows.
    """
    n = stored.count
    window = _window(plan)
    after = plan.chain.reach[0].after
    starts = [1, 2, 3, window - 1, window, window + 1]
    ends = [n - back for back in (1, 2, 3, window, after, after + 1)]
    blocks = stored.block_ends[:1] + stored.block_ends[-2:-1]
    block_edges = [end + shift for end in blocks for shift in (-1, 0, 1)]
    even = [n * part // (EVENLY_SPACED + 1) for part in range(1, EVENLY_SPACED + 1)]
    return {*starts, *ends, *block_edges, *even}


def _group_prefixes(stored: StoredRows, plan: Plan) -> Iterator[Prefix]:
    """Yield prefixes with few rows of each group, with all but a few, and with quarters of them."""
    counts = stored.counts
    window = _window(plan)
    for first in (1, 2, 3, window):
        if first < counts.max():
            yield stored.first_of_each_group(first)
    for quarters in (1, 2, 3):
        yield stored.first_of_each_group(counts * quarters // 4)
    for left_out in (1, 2, max(3, plan.chain.reach[0].after)):
        yield stored.first_of_each_group(counts - left_out)


def _window(plan: Plan) -> int:
    """Return how many samples along axis 0 an output reads."""
    reach = plan.chain.reach[0]
    return reach.before + reach.after + 1
