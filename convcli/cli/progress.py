"""A progress bar on standard error, for work that takes long."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from typing import Any

from convcli.stopping import undone_at_stop

# Seconds before a bar is shown; shorter work does not pay for importing it.
_PATIENCE = 1.0


class Progress:
    """Counts the work done, and shows it as a bar if standard error is a terminal.

    total : amount of work, None if it is unknown
    shown : False hides the bar
    """

    def __init__(self, total: int | None, *, shown: bool) -> None:
        self.total = total
        self.done = 0
        self.started = time.monotonic()
        self.shown = shown and sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None
        self._held = ExitStack()

    def expect(self, total: int | None) -> None:
        """Start over with this amount of work."""
        self.total, self.done = total, 0

    def advance(self, count: int, note: str = "") -> None:
        """Add to the work done; `note` is shown beside the bar."""
        self.done += count
        if not self.shown:
            return
        if self._bar is None and time.monotonic() - self.started > _PATIENCE:
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
        self._held.enter_context(undone_at_stop(_restore_terminal))
        self._bar.start()

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._held.close()


def _restore_terminal() -> None:
    """Remove the bar and show the cursor, which a bar hides."""
    os.write(sys.stderr.fileno(), b"\r\x1b[2K\x1b[?25h")
