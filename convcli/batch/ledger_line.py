"""A line of a ledger: how a unit ended, as JSON."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from convcli import __version__
from convcli.batch.file_state import FileState
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.batch.run_units import Outcome
    from convcli.batch.units import Unit
    from convcli.facts import RunFacts

# Most warnings of a run that its line holds.
_MOST_WARNINGS = 5
# Most hits that a line holds, so that it stays below the length at which lines are refused. An
# input with more is searched again by --resume.
_MOST_HITS = 20_000


@dataclass(frozen=True, eq=False, kw_only=True)
class RunIdentity:
    """What the lines of one run have in common.

    units : number of units in the whole list, of all shards
    listing : the identity of that list, see `Units.identity`
    filter : FILTER as written
    request : a short text that two runs have in common if their FILTER and options give the same
        results
    shards : into how many parts the list is divided
    in_place : each input is replaced by its result
    holds_results : units write no output, and their lines hold what they have found
    began : when the ledger was begun for this list, in nanoseconds, by the clock of its file system
    """

    units: int
    listing: str
    filter: str
    request: str
    shards: int = 1
    in_place: bool = False
    holds_results: bool = False
    began: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Line:
    """A line of the ledger: how a unit ended.

    number, units, listing, shards, filter, request, began : see `Unit` and `RunIdentity`
    input, output : names of the files; None for standard output
    relative : the path of the input below the folder or the fixed part of the pattern that it was
        found by; None for a file that was named itself
    read, wrote : states of the input before it was read, and of the output as it was written
    facts : a few facts of the run
    error : message, hint and exit code; None where all went well
    skipped : the output was there before, and no ledger says that this command wrote it
    joined_into : the output that this part of the input is joined into; None for a whole input
    result : what was found in the input, where no output is written
    """

    number: int
    units: int
    listing: str
    input: str
    output: str | None
    relative: str | None
    shards: int
    filter: str
    request: str
    read: FileState | None = None
    wrote: FileState | None = None
    version: str = __version__
    began: int = 0
    tries: int = 1
    seconds: float = 0.0
    facts: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    skipped: bool = False
    joined_into: str | None = None
    result: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, unit: Unit, run: RunIdentity, **ended: Any) -> Line:
        """The line of a unit of this run."""
        name, place = unit.noted
        return cls(
            number=unit.number,
            units=run.units,
            listing=run.listing,
            input=name,
            output=place,
            relative=unit.below,
            shards=run.shards,
            filter=run.filter,
            request=run.request,
            began=run.began,
            joined_into=unit.joined_into,
            **ended,
        )

    @classmethod
    def of_outcome(cls, outcome: Outcome, run: RunIdentity, *, with_facts: bool) -> Line:
        """The line of a unit that has ended."""
        facts = None
        error = None
        result = None
        if outcome.facts is not None and with_facts:
            facts = small_facts(outcome.facts)
        if outcome.facts is not None and run.holds_results:
            result = _result(outcome.facts)
        if outcome.error is not None:
            error = {
                "message": outcome.error.message,
                "hint": outcome.error.hint,
                "exit_code": outcome.error.exit_code,
            }
        return cls.of(
            outcome.unit,
            run,
            read=outcome.read,
            wrote=outcome.wrote,
            tries=outcome.tries,
            seconds=round(outcome.seconds, 6),
            facts=facts,
            error=error,
            result=result,
        )

    @property
    def done(self) -> bool:
        """Whether the unit was carried out without an error."""
        return self.error is None and not self.skipped

    @property
    def exit_code(self) -> int:
        """The exit code of the unit: 0 without an error."""
        return 0 if self.error is None else int(self.error["exit_code"])

    def to_json(self) -> bytes:
        """The line with its end. Bytes of names that are not UTF-8 are escaped."""
        plain = {
            "unit": self.number,
            "units": self.units,
            "list": self.listing,
            "shards": self.shards,
            "input": _file(self.input, self.read),
            "relative": self.relative,
            "output": _file(self.output, self.wrote),
            "filter": self.filter,
            "request": self.request,
            "version": self.version,
            "began": self.began,
            "tries": self.tries,
            "seconds": self.seconds,
            "facts": self.facts,
            "error": self.error,
        }
        if self.skipped:
            plain["skipped"] = True
        if self.joined_into is not None:
            plain["joined_into"] = self.joined_into
        if self.result is not None:
            plain["result"] = self.result
        return json.dumps(plain, separators=(",", ":"), allow_nan=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Line:
        """Read a line. ValueError for text that is not a line of a ledger."""
        try:
            return cls(**_fields_of(json.loads(data)))
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"no line of a ledger: {error}") from error


def _file(name: str | None, state: FileState | None) -> dict[str, Any]:
    return {"path": name} | ({} if state is None else state.to_plain())


def _fields_of(plain: Any) -> dict[str, Any]:
    """The fields of a line as read from JSON, which may hold anything."""
    source, output = plain["input"], plain["output"]
    return {
        "number": int(plain["unit"]),
        "units": int(plain["units"]),
        "listing": str(plain["list"]),
        "shards": max(1, int(plain["shards"])),
        "input": _checked_name(source["path"]) or "",
        "read": FileState.from_plain(source),
        "relative": _checked_name(plain["relative"]),
        "output": _checked_name(output["path"]),
        "wrote": FileState.from_plain(output),
        "filter": str(plain["filter"]),
        "request": str(plain["request"]),
        "version": str(plain["version"]),
        "began": int(plain["began"]),
        "tries": int(plain["tries"]),
        "seconds": float(plain["seconds"]),
        "facts": _checked_facts(plain["facts"]),
        "error": _checked_error(plain["error"]),
        "skipped": plain.get("skipped") is True,
        "joined_into": _checked_name(plain.get("joined_into")),
        "result": plain.get("result"),
    }


def _checked_name(plain: Any) -> str | None:
    """A name, if there is one. ValueError if no file can have it."""
    if plain is None:
        return None
    name = str(plain)
    os.fsencode(name)
    return name


def _checked_facts(plain: Any) -> Mapping[str, Any] | None:
    if plain is None or isinstance(plain, dict):
        return plain
    raise TypeError("the facts are no object")


def _checked_error(plain: Any) -> Mapping[str, Any] | None:
    if plain is None:
        return None
    return {
        "message": str(plain["message"]),
        "hint": plain["hint"],
        "exit_code": int(plain["exit_code"]),
    }


def _result(run: RunFacts) -> dict[str, Any] | None:
    """What a search has found in an input; None if a ledger has no room for it."""
    from convcli.facts import to_plain

    plain: dict[str, Any] = to_plain(run.found)
    return plain if len(plain["hits"]) <= _MOST_HITS else None


def small_facts(run: RunFacts) -> dict[str, Any]:
    """The facts of a run whose size does not depend on the signal or on the filter."""
    from convcli.facts import to_plain

    source = run.inputs[0]
    facts: dict[str, Any] = {
        "medium": source.medium,
        "shape": source.shape,
        "channels": len(source.channels),
        "rate": source.rate,
    }
    if run.outputs:
        facts |= {"output_shape": run.outputs[0].shape, "output_rate": run.outputs[0].rate}
    losses = run.losses
    facts |= {
        "clipped": sum(losses.clipped.values()),
        "missing": sum(losses.missing.values()),
        "became_missing": sum(losses.became_missing.values()),
        "warnings": run.warnings[:_MOST_WARNINGS],
    }
    plain: dict[str, Any] = to_plain(facts)
    return plain
