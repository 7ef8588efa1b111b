"""What became of many inputs, in words and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.words import duration_text, visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts.batch import BatchFacts, UnitFailure

FAILURE_COLUMNS = ("input", "path", "error", "exit code")

# This many ranges and failures are named in a sentence.
_MOST_NAMED = 5
# This many failures have a line on a page.
MOST_LISTED = 200


def _units_text(count: int, facts: BatchFacts) -> str:
    """`3 inputs`, or `3 parts of big.csv` where the units are the parts of one input."""
    if facts.parts_of is None:
        return plural(count, "input")
    return f"{plural(count, 'part')} of {visible(facts.parts_of)}"


def shard_columns(facts: BatchFacts) -> Sequence[str]:
    """The names of the columns of `shard_rows`."""
    units = "inputs" if facts.parts_of is None else "parts"
    return ("shard", units, "done", "failed", "missing", "time")


def batch_summary(facts: BatchFacts, filter: str) -> str:
    """`3 inputs of sma:3: 2 done, 1 failed`, or `3 parts of big.csv, sma:3: 2 done`."""
    counts = [f"{facts.done:,} done"]
    if facts.failed:
        counts.append(f"{facts.failed:,} failed")
    if facts.missing:
        counts.append(f"{facts.missing:,} missing")
    if facts.parts_of is None:
        return f"{plural(facts.units, 'input')} of {visible(filter)}: {', '.join(counts)}"
    return f"{_units_text(facts.units, facts)}, {visible(filter)}: {', '.join(counts)}"


def missing_text(facts: BatchFacts) -> str:
    """`2 of 7 inputs are missing: 3, 6; of --shard 3/3`."""
    named = [_range_text(*ends) for ends in facts.missing_units[:_MOST_NAMED]]
    more = len(facts.missing_units) - len(named)
    if more > 0:
        named.append("...")
    verb = "is" if facts.missing == 1 else "are"
    of_all = f"{facts.missing:,} of {_units_text(facts.units, facts)}"
    text = f"{of_all} {verb} missing: {', '.join(named)}"
    shards = [each.shard for each in facts.shards if each.missing]
    if not shards:
        return text
    message = ", ".join(shards[:_MOST_NAMED]) + (", ..." if len(shards) > _MOST_NAMED else "")
    return f"{text}; of --shard {message}"


def failures_text(facts: BatchFacts) -> str:
    """`1 of 7 inputs failed: in/a.csv`, or the numbers of the parts of one input."""
    named = [each.path for each in facts.failures[:_MOST_NAMED]]
    if facts.parts_of is not None:
        named = [str(each.unit) for each in facts.failures[:_MOST_NAMED]]
    more = facts.failed - len(named)
    if more > 0:
        named.append(f"and {more:,} more")
    return f"{facts.failed:,} of {_units_text(facts.units, facts)} failed: {', '.join(named)}"


def again_hint(facts: BatchFacts) -> str:
    """How the units that are missing or have failed are run again."""
    resumed = "the same command with its --ledger and --resume"
    shards = [each.shard for each in facts.shards if each.missing or each.failed]
    if shards:
        resumed = f"the command of --shard {shards[0]} with its --ledger and --resume"
    things = "inputs" if facts.parts_of is None else "parts"
    text = f"{resumed} runs the {things} that are left"
    if facts.parts_of is not None:
        text += ", and merge joins all parts then"
    return text


def _range_text(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def batch_rows(facts: BatchFacts) -> Iterator[tuple[str, str]]:
    """Yield the facts that are not tables, as pairs of a name and a text."""
    if facts.parts_of is None:
        yield "inputs", f"{facts.units:,}"
    else:
        yield "parts", f"{facts.units:,} of {visible(facts.parts_of)}"
    yield "done", f"{facts.done:,}"
    counts = {"left out": facts.left_out, "failed": facts.failed, "missing": facts.missing}
    yield from ((name, f"{count:,}") for name, count in counts.items() if count)
    if facts.missing:
        yield "missing", missing_text(facts)
    yield "read", f"{facts.read_bytes:,} bytes"
    yield "written", f"{facts.written_bytes:,} bytes"
    samples = {
        "clipped": facts.clipped,
        "missing": facts.missing_values,
        "became missing": facts.became_missing,
    }
    yield from ((name, plural(count, "sample")) for name, count in samples.items() if count)


def shard_rows(facts: BatchFacts) -> list[Sequence[str]]:
    """A row for each shard: its units, how they ended, and the time that they took."""
    rows: list[Sequence[str]] = []
    for each in facts.shards:
        counts = (each.units, each.done, each.failed, each.missing)
        cells = [f"{count:,}" for count in counts]
        rows.append((each.shard, *cells, duration_text(each.seconds, 3)))
    return rows


def failure_rows(failures: Sequence[UnitFailure]) -> list[Sequence[str]]:
    """A row for each of the units that failed."""
    return [
        (str(each.unit), visible(each.path), visible(each.message), str(each.exit_code))
        for each in failures
    ]


def failed_lines(failures: Sequence[UnitFailure]) -> list[tuple[str, str]]:
    """The input and the error of each unit that failed, and how many more there are."""
    lines = [(visible(each.path), visible(each.message)) for each in failures[:MOST_LISTED]]
    more = len(failures) - len(lines)
    if more > 0:
        lines.append((f"and {more:,} more", "the ledger, or a report as .json, has all of them"))
    return lines
