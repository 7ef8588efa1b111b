"""A progress bar on standard error for work that takes long, and only on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

# Shorter work shows no bar, and does not pay for the import of one.
PATIENCE = 1.0


class Progress:
    """Counts what is done; shows a bar after PATIENCE seconds where `shown` and standard error is a terminal."""

    def __init__(self, total: int | None, *, shown: bool) -> None:
        self.total = total
        self.done = 0
        self.started = time.monotonic()
        self.shown = shown and sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None

    def expect(self, total: int | None) -> None:
        """The amount of work, where it becomes known only now."""
        self.total, self.done = total, 0

    def advance(self, count: int, note: str = "") -> None:
        """So much more is done; `note` stands beside the bar."""
        self.done += count
        if not self.shown:
            return
        if self._bar is None and time.monotonic() - self.started > PATIENCE:
            self._open()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, total=self.total, description=note)

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=self.total)
        self._bar.start()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
