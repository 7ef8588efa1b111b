"""Work for the tests of processes, importable by the processes themselves."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convcli.media.outputs import open_output
from convcli.signals import TABLE


@dataclass(frozen=True)
class LosesProcess:
    """Work whose process ends at the first try of each unit, as if it were killed."""

    folder: Path
    retries: int = 0

    def run(self, unit: Any) -> int:
        tried = self.folder / str(unit.number)
        if not tried.exists():
            tried.touch()
            os._exit(9)
        return int(unit.number)


@dataclass(frozen=True)
class LosesEveryProcess:
    """Work whose process ends at every try."""

    retries: int = 0

    def run(self, unit: Any) -> int:  # noqa: ARG002 -- as all work
        os._exit(9)


@dataclass(frozen=True)
class AppendsLineAndLosesProcess:
    """Work that appends a line to its input, and whose process ends after the first time."""

    folder: Path
    retries: int = 0

    def run(self, unit: Any) -> int:
        """Write the result, complete."""
        text = unit.source.read_text()
        with open_output(unit.output, medium=TABLE, aside=unit.aside) as place:
            Path(str(place)).write_text(f"{text}2\n")
        tried = self.folder / str(unit.number)
        if not tried.exists():
            tried.touch()
            os._exit(9)
        return int(unit.number)


@dataclass
class Works:
    """Work that does nothing.

    text : is sent with the work
    """

    text: Any
    retries: int = 0

    def run(self, unit: Any) -> str:
        """Return a fact."""
        return f"unit {unit.number} is done"


@dataclass
class FailsTwice:
    """Work that fails two times for each unit, by errors that may pass."""

    retries: int = 2
    runs_network: bool = False

    def __post_init__(self) -> None:
        self.tried: Counter[int] = Counter()

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to a process, which counts its tries by itself."""
        return {**vars(self), "tried": Counter()}

    def refuse(self, unit: Any) -> None:
        """Accept every unit."""

    def run(self, unit: Any) -> Any:
        """Fail, or return nothing."""
        self.tried[unit.number] += 1
        if self.tried[unit.number] <= self.retries:
            raise OSError(5, "Input/output error")


@dataclass
class Counts:
    """Work that counts the units that it has carried out in its process."""

    count: int = 0
    retries: int = 0

    def run(self, unit: Any) -> int:  # noqa: ARG002 -- as all work
        """Return how many units there were."""
        self.count += 1
        return self.count
