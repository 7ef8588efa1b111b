"""The causality check: filter prefixes of a table and the whole, and compare the outputs.

If no output of a filter depends on later rows, an output is the same in the whole table and in
every prefix that holds its row. The check does not derive this from the reach of the steps: it
filters the user's own data with the same `run` as the command does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.checking.prefixes import ROWS_AT_ONCE, PrefixSource, StoredRows, choose_prefixes
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, RequestError
from convcli.facts.causality import CausalityFacts, ColumnVerdict
from convcli.running.run import RunCounts, run
from convcli.signals import row_numbers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from convcli.checking.prefixes import Prefix
    from convcli.planning.plan import Plan
    from convcli.signals import AnyRows, Array, Rows, Source


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
    along = plan.chain.reach[0]
    if along.phases > along.step:
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
