"""Work for the tests of processes, importable by the processes themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


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


@dataclass
class Works:
    """Work that does nothing.

    text : is sent with every unit
    """

    text: Any
    retries: int = 0

    def run(self, unit: Any) -> str:
        """Return a fact."""
        return f"unit {unit.number} is done"
