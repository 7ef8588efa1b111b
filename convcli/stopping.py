"""How a signal ends the program: at once, whatever is being computed, and without a trace.

Python runs its handlers of signals between two steps of the main thread, and not during a long
call in C. So a thread of its own waits for signals. It ends the process as SIGKILL would, but with
the right exit code: results get their names only when they are complete, and what else has to be
undone is registered with `undone_at_stop`.
"""

from __future__ import annotations

import os
import signal
import sys
from _thread import allocate_lock, start_new_thread
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event
    from types import FrameType
    from typing import Any

INTERRUPTED = 130

# What is undone before a signal ends the process.
_undos: list[Callable[[], object]] = []
# Events that the next Ctrl-C sets instead of ending the process, the latest last.
_requests: list[Event] = []
# The process that has a thread which waits for signals; a fork has none.
_watched: list[int] = []
# Held until the thread has answered a signal without ending the process.
_unanswered = allocate_lock()
# Held while a thread makes what a stop undoes. A stop takes it for good, so that nothing is made
# between the undoing and the end of the process.
_making = allocate_lock()
# Seconds that a stop waits for such a thread.
_LONGEST_MAKING = 0.5


@contextmanager
def undone_at_stop(undo: Callable[[], object]) -> Iterator[None]:
    """Call `undo` if a signal ends the process inside this context."""
    _undos.append(undo)
    try:
        yield
    finally:
        _undos.remove(undo)


@contextmanager
def only_before_stop() -> Iterator[None]:
    """Do what stands in this context before a signal begins to end the process, or never."""
    with _making:
        yield


@contextmanager
def first_interrupt_sets(pressed: Event) -> Iterator[None]:
    """Let the first Ctrl-C inside this context set `pressed`; the second ends the process."""
    _requests.append(pressed)
    try:
        yield
    finally:
        with suppress(ValueError):  # Ctrl-C has taken it away
            _requests.remove(pressed)


@contextmanager
def ending_at_signals() -> Iterator[None]:
    """Ctrl-C, `kill` and a closed terminal end the process inside this context."""
    before = answer_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def answer_signals() -> dict[signal.Signals, Any]:
    """Let Ctrl-C, `kill` and a closed terminal end the process; returns the handlers before.

    A closed terminal does not end a process that was started with `nohup`.
    """
    _watch_signals()
    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = signal.Signals.__members__.get(name)  # Windows has no SIGHUP
        if number is None:
            continue
        if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
            continue
        before[number] = signal.signal(number, _handle)
    return before


def _watch_signals() -> None:
    """Start the thread that waits for signals, unless this process has it."""
    if os.name != "posix" or _watched == [os.getpid()]:
        return
    reading, writing = _pipe_beside_standard_streams()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    _unanswered.acquire(blocking=False)
    start_new_thread(_watch, (reading,))
    _watched[:] = [os.getpid()]


def _pipe_beside_standard_streams() -> list[int]:
    """The ends of a pipe, for reading and for writing, with other numbers than 0, 1 and 2.

    These are free where a standard stream is closed, and the program connects them to something.
    """
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    lowest = os.pipe()
    ends = [fcntl(end, F_DUPFD_CLOEXEC, 3) for end in lowest]
    for end in lowest:
        os.close(end)
    return ends


def _watch(reading: int) -> None:
    """Answer the signals whose numbers come through a pipe."""
    while True:
        for number in os.read(reading, 64):
            if signal.getsignal(number) is _handle:
                _answer(number)
                if _unanswered.locked():
                    _unanswered.release()


def _handle(number: int, _: FrameType | None) -> None:
    """Wait until the thread has answered the signal; answer it where there is no thread."""
    if _watched:
        _unanswered.acquire(timeout=1)
    else:
        _answer(number)


def _answer(number: int) -> None:
    if number == signal.SIGINT and _requests:
        _requests.pop().set()
        return
    _making.acquire(timeout=_LONGEST_MAKING)
    for undo in reversed(_undos):
        with suppress(Exception):
            undo()
    os._exit(128 + number)


def end_process(code: int) -> None:
    """End the process with an exit code, without the long way of Python.

    On that way Python would forget its handlers, and a signal would end the process by itself.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)
