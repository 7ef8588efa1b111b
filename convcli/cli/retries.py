"""Notes about units that are tried again: a line for each, one line a second at most."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

from convcli.cli import print_message

if TYPE_CHECKING:
    from convcli.batch.run_units import Retry

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
