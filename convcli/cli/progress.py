"""What is said on standard error while a run goes on: a progress bar, and units tried again."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, TextIO

from convcli.cli import print_message
from convcli.stopping import undone_at_stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.batch.run_units import Retry

# Seconds before a bar is shown; shorter work does not pay for importing it.
_PATIENCE = 1.0
# Seconds between two drawings of a bar.
_BETWEEN = 0.1
# Goes to the start of the line and erases it.
_ERASE = "\r\x1b[2K"


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
        self._bar: _Bar | None = None

    def expect(self, total: int | None) -> None:
        """Start over with this amount of work."""
        self.total, self.done = total, 0
        self.started = time.monotonic()

    def advance(self, count: int, note: str = "") -> None:
        """Add to the work done; `note` is shown beside the bar."""
        self.done += count
        if not self.shown:
            return
        if self._bar is None and time.monotonic() - self.started > _PATIENCE:
            self._bar = _Bar()
        if self._bar is not None:
            self._bar.show(self.done, self.total, lambda: self._described(note))

    def advance_unit(self) -> None:
        """Add one of the inputs; how many are done, and how many a second, is beside the bar."""
        done = self.done + 1
        seconds = max(time.monotonic() - self.started, 1e-3)
        self.advance(1, f"{done:,} of {self.total or 0:,}, {done / seconds:.3g} a second")

    def _described(self, note: str) -> str:
        """The time that is left, if it is known, and the note."""
        left = self._seconds_left()
        if left is None:
            return note
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        text = f"{hours}:{minutes:02}:{seconds:02} left"
        return f"{text}, {note}" if note else text

    def _seconds_left(self) -> float | None:
        """How long the rest takes at the rate so far."""
        if not self.total or not self.done:
            return None
        elapsed = time.monotonic() - self.started
        return elapsed * max(self.total - self.done, 0) / self.done

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Bar:
    """A bar in the last line of the terminal. Lines that are printed meanwhile appear above it.

    Lines are printed as they are, at a sixth of the time that the live display of rich takes.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Columns

        self._terminal = sys.stderr
        self._console = Console(file=self._terminal)
        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
        self._columns = Columns(*columns, console=self._console)
        self._task = self._columns.add_task("", total=None)
        self._drawn = ""
        self._drawn_at = 0.0
        self._lock = RLock()
        self._held = ExitStack()
        self._held.enter_context(undone_at_stop(self._erase_at_once))
        sys.stderr = _TextAboveBar(self._terminal, self)

    def show(self, done: int, total: int | None, describe: Callable[[], str]) -> None:
        """Draw the bar, unless it was drawn a moment ago.

        describe : makes the text beside the bar
        """
        now = time.monotonic()
        if now - self._drawn_at < _BETWEEN:
            return
        self._drawn_at = now
        self._columns.update(self._task, completed=done, total=total, description=describe())
        with self._console.capture() as captured:
            self._console.print(self._columns.get_renderable(), end="")
        with self._lock:
            self._drawn = captured.get().partition("\n")[0]
            self._write(_ERASE + self._drawn)

    def print_above(self, lines: str) -> None:
        """Print whole lines above the bar."""
        with self._lock:
            self._write(f"{_ERASE}{lines}{self._drawn}")

    def _write(self, text: str) -> None:
        self._terminal.write(text)
        self._terminal.flush()

    def _erase_at_once(self) -> None:
        os.write(self._terminal.fileno(), _ERASE.encode())

    def close(self) -> None:
        """Remove the bar, and write what was printed above it without the end of a line."""
        above = sys.stderr
        sys.stderr = self._terminal
        self._held.close()
        with self._lock:
            self._drawn = ""
            self._write(_ERASE)
        if isinstance(above, _TextAboveBar):
            self._write(above.rest)


class _TextAboveBar:
    """Standard error while a bar is shown: whole lines are printed above it.

    rest : the beginning of a line
    """

    def __init__(self, terminal: TextIO, bar: _Bar) -> None:
        self._terminal = terminal
        self._bar = bar
        self.rest = ""

    def __getattr__(self, name: str) -> Any:
        """What else a stream can do, as the terminal does it."""
        return getattr(self._terminal, name)

    def write(self, text: str) -> int:
        """Print the whole lines, and keep the beginning of the next one."""
        lines, end, self.rest = (self.rest + text).rpartition("\n")
        if end:
            self._bar.print_above(lines + end)
        return len(text)

    def flush(self) -> None:
        """Do nothing: whole lines are printed at once."""


# Seconds between two lines. Where a network is down, every unit is tried again.
_LEAST_BETWEEN = 1.0


class RetryNotes:
    """Prints a line for each retry, at most one a second, and counts the others.

    quiet : nothing is printed
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._lock = Lock()
        self._printed_at: float | None = None
        self._left_out = 0

    def __call__(self, retry: Retry) -> None:
        """Report a retry, in any thread."""
        if self._quiet:
            return
        with self._lock:
            now = time.monotonic()
            if self._printed_at is not None and now - self._printed_at < _LEAST_BETWEEN:
                self._left_out += 1
                return
            self._printed_at = now
            left_out, self._left_out = self._left_out, 0
        when = "at once" if retry.pause == 0 else f"in {retry.pause:g} s"
        text = f"{retry.label} is tried again {when}, {retry.number} of {retry.most}: {retry.error}"
        if left_out:
            text += f" (further tries since the last line: {left_out:,})"
        print_message(text, kind="note")

    def close(self) -> None:
        """Tell how many retries had no line."""
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        if left_out:
            print_message(f"further tries: {left_out:,}", kind="note")
