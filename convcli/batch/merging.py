"""Ledgers of several machines, or of several runs, put together."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from convcli.batch.ledger import cannot_read_ledger, lines_with_places
from convcli.batch.ledger_line import Line
from convcli.batch.units import Shard
from convcli.errors import RequestError
from convcli.facts.batch import BatchFacts, ShardFacts, UnitFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

# Most failures, and most ranges of missing units, that the facts list. A ledger has them all.
_MOST_FACTS = 1000
# Fields that are equal in all lines of one command, and their names in warnings.
_COMMON = {"filter": "FILTER", "request": "options", "version": "version of convcli"}
# Counts of samples in `BatchFacts`, and their names in the facts of a line.
_SAMPLES = {
    "clipped": "clipped",
    "missing_values": "missing",
    "became_missing": "became_missing",
}
_TOTALS = ("done", "failed", "left_out", "read_bytes", "written_bytes", *_SAMPLES)


class _ChosenLine(NamedTuple):
    """Where the chosen line of a unit is.

    ledger : its place among the paths
    position : of the first byte of the line in that ledger
    failed : the line has an error
    """

    ledger: int
    position: int
    failed: bool


class MergedLedgers:
    """The ledgers of one list of units, merged: one line for each unit.

    Where a unit has several lines, a line without an error is chosen before one with an error, and
    then the last line in the order of `paths`.

    first : the first of all lines
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._first: Line | None = None
        # By the number of the unit.
        self._chosen: dict[int, _ChosenLine] = {}
        self._differing: list[str] = []
        for ledger, path in enumerate(paths):
            for position, line in lines_with_places(path):
                self._check(line, path)
                chosen = self._chosen.get(line.number)
                failed = line.error is not None
                if not failed or chosen is None or chosen.failed:
                    self._chosen[line.number] = _ChosenLine(ledger, position, failed)
        self.first = self._any_line()

    def _any_line(self) -> Line:
        if self._first is None:
            raise RequestError("the ledgers hold no lines")
        return self._first

    @property
    def seconds(self) -> float:
        """How long the units took, one after the other."""
        return sum(line.seconds for line in self.lines())

    @property
    def warnings(self) -> list[str]:
        """A sentence for each field that differs although one command has it in common."""
        return [f"not all units have the same {what}" for what in self._differing]

    def _check(self, line: Line, path: Path) -> None:
        """Raise RequestError for a line of another list of units."""
        if self._first is None:
            self._first = line
        first = self._first
        if (line.units, line.listing) != (first.units, first.listing):
            if path == self._paths[0]:
                raise RequestError(
                    f"{path} is of two lists of inputs, of {first.units:,} and {line.units:,}: "
                    "a folder could not be read",
                    hint="run its command again with --resume when the folder can be read",
                )
            raise RequestError(
                f"{path} is of other inputs or outputs ({line.units:,}) than {self._paths[0]} "
                f"({first.units:,})",
                hint="only shards of one list of inputs go together; a shard of which something "
                "failed is run again by its own command with --resume",
            )
        if not 1 <= line.number <= line.units:
            raise RequestError(f"{path} has a unit {line.number} of {line.units}")
        for name, what in _COMMON.items():
            if vars(line)[name] != vars(first)[name] and what not in self._differing:
                self._differing.append(what)

    def lines(self) -> Iterator[Line]:
        """The line of each unit that has one, in the order of the units."""
        with ExitStack() as held:
            files: list[BinaryIO] = [held.enter_context(path.open("rb")) for path in self._paths]
            for number in sorted(self._chosen):
                chosen = self._chosen[number]
                path = self._paths[chosen.ledger]
                yield _line_at(chosen.position, files[chosen.ledger], path)

    def facts(self) -> BatchFacts:
        """Add up what became of the units."""
        totals: Counter[str] = Counter()
        failures: list[UnitFailure] = []
        shards = _Shards(self.first.units)
        for line in self.lines():
            totals.update(_line_counts(line))
            shards.add(line)
            if line.error is not None and len(failures) < _MOST_FACTS:
                failure = UnitFailure(
                    unit=line.number,
                    path=line.input,
                    message=line.error["message"],
                    exit_code=line.exit_code,
                )
                failures.append(failure)
        numbers = sorted(self._chosen)
        units = self.first.units
        return BatchFacts(
            units=units,
            missing=units - len(numbers),
            parts_of=None if self.first.joined_into is None else self.first.input,
            failures=tuple(failures),
            missing_units=tuple(_gaps(numbers, units)),
            shards=shards.facts(),
            **{name: totals[name] for name in _TOTALS},
        )


def _line_at(position: int, file: BinaryIO, path: Path) -> Line:
    """The line of a ledger that begins at a position."""
    try:
        file.seek(position)
        data = file.readline()
    except OSError as error:
        raise cannot_read_ledger(path, error) from error
    return Line.from_json(data)


def _line_counts(line: Line) -> dict[str, int]:
    """What a line adds to the totals of `BatchFacts`."""
    counts = {
        "done": int(line.error is None),
        "failed": int(line.error is not None),
        "left_out": int(line.skipped),
    }
    if line.done:
        counts["read_bytes"] = 0 if line.read is None else line.read.size
        counts["written_bytes"] = 0 if line.wrote is None else line.wrote.size
        for total, fact in _SAMPLES.items():
            value = (line.facts or {}).get(fact, 0)
            counts[total] = value if isinstance(value, int) else 0
    return counts


def _gaps(numbers: Iterable[int], units: int) -> Iterator[tuple[int, int]]:
    """The first ranges of numbers from 1 to `units` that are missing among sorted ones."""
    expected = 1
    found = 0
    for number in (*numbers, units + 1):
        if number > expected:
            yield expected, number - 1
            found += 1
            if found == _MOST_FACTS:
                return
        expected = number + 1


class _Shards:
    """Counts of each shard, where all lines name the same number of shards."""

    def __init__(self, units: int) -> None:
        self._units = units
        self._counts: set[int] = set()
        self._by_shard: dict[int, Counter[str]] = {}
        self._seconds: dict[int, float] = {}

    def add(self, line: Line) -> None:
        """Count a unit, and its seconds, for the shard that it belongs to."""
        self._counts.add(line.shards)
        index = (line.number - 1) % line.shards + 1
        counted = self._by_shard.setdefault(index, Counter())
        counted["failed" if line.error is not None else "done"] += 1
        self._seconds[index] = self._seconds.get(index, 0.0) + line.seconds

    def facts(self) -> tuple[ShardFacts, ...]:
        """The counts; none where the units were not shared."""
        if len(self._counts) != 1 or self._counts == {1}:
            return ()
        (count,) = self._counts
        return tuple(self._facts_of(Shard(index, count)) for index in self._known(count))

    def _known(self, count: int) -> range:
        return range(1, min(count, self._units, _MOST_FACTS) + 1)

    def _facts_of(self, shard: Shard) -> ShardFacts:
        counted = self._by_shard.get(shard.index, Counter())
        units = len(shard.positions(self._units))
        return ShardFacts(
            shard=f"{shard.index}/{shard.count}",
            units=units,
            done=counted["done"],
            failed=counted["failed"],
            missing=units - counted.total(),
            seconds=self._seconds.get(shard.index, 0.0),
        )
