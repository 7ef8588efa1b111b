"""Run one command and print what it cost: `python -I -S launch.py DESCRIPTOR PATIENCE COMMAND...`.

Until a child calls exec, its peak memory counts that of its parent. So this parent is as small as
Python can be: it imports what is built in and nothing else.
"""

import posix
import sys
import time
from _signal import ITIMER_REAL, SIGALRM, SIGKILL, setitimer, signal  # type: ignore[import-not-found]


def main(tell: int, patience: float, command: list[str]) -> None:
    """Write to `tell` the exit code (minus the signal that ended it), seconds, processor seconds and peak kilobytes."""
    posix.set_inheritable(tell, False)  # noqa: FBT003 -- it has no keywords
    started = time.perf_counter()
    child = posix.fork()
    if child == 0:
        try:
            posix.setpgid(0, 0)
            _exec(command)
        except OSError as error:
            posix.write(2, f"{command[0]}: {error}\n".encode())
        posix._exit(127)
    signal(SIGALRM, lambda *_: posix.killpg(child, SIGKILL))
    setitimer(ITIMER_REAL, patience)
    try:
        _, status, used = posix.wait4(child, 0)
    except BaseException:
        posix.killpg(child, SIGKILL)
        raise
    wall = time.perf_counter() - started
    cpu = used.ru_utime + used.ru_stime
    posix.write(
        tell, f"{posix.waitstatus_to_exitcode(status)} {wall} {cpu} {used.ru_maxrss}\n".encode()
    )


def _exec(command: list[str]) -> None:
    """Look along the PATH, as the shell does."""
    environment = posix.environ
    folders = [b""] if "/" in command[0] else environment.get(b"PATH", b"").split(b":")
    for folder in folders:
        path = (folder + b"/" if folder else b"") + command[0].encode()
        if posix.access(path, posix.X_OK):
            posix.execve(path, command, environment)
    raise FileNotFoundError("not found on the PATH")


main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
