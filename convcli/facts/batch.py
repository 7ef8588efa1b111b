"""Facts of `merge`: what became of all units of a command, on however many machines."""

from __future__ import annotations

from convcli.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class UnitFailure:
    """A unit that failed.

    unit : its number in the list of all units, from 1
    path : its input
    """

    unit: int
    path: str
    message: str
    exit_code: int


@dataclass(frozen=True, kw_only=True)
class ShardFacts:
    """The part of the units that one machine had.

    shard : `I/N`
    units, done, failed, missing : how many it has; `done` counts those whose output was there
    seconds : how long its units took, one after the other
    """

    shard: str
    units: int
    done: int
    failed: int
    missing: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class BatchFacts:
    """What became of the units of a command.

    units, done, failed, missing : how many there are; `done` counts those that were left out, too
    parts_of : the input whose parts the units are; None where each unit is an input
    left_out : units whose output was there before
    read_bytes, written_bytes : sizes of inputs and outputs
    clipped, missing_values, became_missing : samples of all units
    failures : the first units that failed
    missing_units : the first ranges of units without a line, from the first to the last of each
    shards : what became of each machine's part
    """

    units: int
    done: int
    failed: int
    missing: int
    parts_of: str | None = None
    left_out: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    clipped: int = 0
    missing_values: int = 0
    became_missing: int = 0
    failures: tuple[UnitFailure, ...] = ()
    missing_units: tuple[tuple[int, int], ...] = ()
    shards: tuple[ShardFacts, ...] = ()
