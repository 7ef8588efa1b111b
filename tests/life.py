"""Signs of life of a running process, for tests that act at a certain moment of it.

Nothing here waits for a clock to run down: a loaded machine makes every wait longer and none fail.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import select
import signal
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

# A process that shows no sign of life for so many seconds is taken for dead.
PATIENCE = 300.0
# Seconds between two looks.
PAUSE = 0.005


def wait_until(sign: Callable[[], bool], what: str) -> None:
    """Wait until `sign` holds. AssertionError if it does not within PATIENCE seconds."""
    last = time.monotonic() + PATIENCE
    while not sign():
        assert time.monotonic() < last, f"no sign of life: {what}"
        time.sleep(PAUSE)


def wait_until_awake(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Wait until the program answers signals itself: it alone catches SIGTERM, Python does not."""
    status = Path(f"/proc/{process.pid}/status")

    def awake() -> bool:
        if process.poll() is not None:
            return True
        caught = re.search(r"^SigCgt:\s*(\w+)", status.read_text(), re.MULTILINE)
        return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)

    wait_until(awake, "catches SIGTERM")


def wait_until_worked(
    process: subprocess.Popen[str] | subprocess.Popen[bytes], seconds: float
) -> None:
    """Wait until the process has used `seconds` more of processor time, or has ended."""
    if process.poll() is not None:  # nothing tells what it had used
        return
    began = processor_time(process.pid)

    def worked() -> bool:
        ended = process.poll() is not None
        return ended or processor_time(process.pid) - began >= seconds

    wait_until(worked, "uses the processor")


def processor_time(pid: int) -> float:
    """Seconds of processor time that a process and its threads have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def wait_until_drained(pipe: IO[bytes] | IO[str]) -> None:
    """Wait until the reader of a pipe has taken all that was written, so that it waits for more."""

    def drained() -> bool:
        waiting = array.array("i", [0])
        fcntl.ioctl(pipe.fileno(), termios.FIONREAD, waiting)
        return waiting[0] == 0

    wait_until(drained, "reads its input")


def read_some(stream: IO[bytes]) -> bytes:
    """What a process has written, as soon as there is something; b"" at the end of the stream."""
    ready, _, _ = select.select([stream], [], [], PATIENCE)
    assert ready, "no sign of life: writes something"
    try:
        return os.read(stream.fileno(), 1 << 16)
    except OSError as error:
        if error.errno != errno.EIO:  # how Linux says that nobody has the terminal open any more
            raise
        return b""


def read_terminal(terminal: IO[bytes]) -> bytes:
    """All that processes write to a terminal until they have ended; it comes in pieces."""
    written = b""
    while some := read_some(terminal):
        written += some
    return written


def wait_for_end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> int:
    """The exit code of a process that is about to end."""
    return process.wait(PATIENCE)


def children(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> list[str]:
    """The processes that any thread of a process has started and that are still there."""
    found = []
    for task in Path(f"/proc/{process.pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            found += task.read_text().split()
    return found


def is_running(pid: str) -> bool:
    """Whether a process is there that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False
