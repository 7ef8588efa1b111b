"""The program with its imports done, which forks for every run: `python fork_server.py SOCKET`.

SOCKET is the number of a Unix socket that listens. `fork_client.py` says what a request holds; the
answer is the exit code as text. Several runs may go on at once. The server ends when its standard
input does.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import marshal
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import convcli
from convcli.cli import _limit_library_threads, main

# The longest that a run may take, in seconds.
LIMIT = 300
# prctl: any process may trace this one.
PR_SET_PTRACER, ANY_PROCESS = 0x59616D61, -1


def load_everything() -> None:
    """Import what a run imports, with the settings that it makes before."""
    _limit_library_threads()
    for library in ("cv2", "pyvips", "soundfile", "soxr"):
        importlib.import_module(library)
    for module in pkgutil.walk_packages(convcli.__path__, "convcli."):
        if module.name != "convcli.__main__":
            importlib.import_module(module.name)


def serve(listener: socket.socket) -> None:
    """Answer requests until standard input is closed."""
    with selectors.DefaultSelector() as events:
        events.register(sys.stdin, selectors.EVENT_READ)
        events.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is listener:
                    begin(listener.accept()[0], events)
                else:
                    events.unregister(key.fileobj)
                    os.close(key.fd)
                    end(*key.data)


def begin(connection: socket.socket, events: selectors.BaseSelector) -> None:
    """Start the run that a connection asks for, and watch for its end."""
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    data = connection.recv(int.from_bytes(head), socket.MSG_WAITALL)
    child = os.fork()
    if child == 0:
        connection.close()
        become_the_program(marshal.loads(data), streams)
    for stream in streams:
        os.close(stream)
    events.register(os.pidfd_open(child), selectors.EVENT_READ, (child, connection))


def end(child: int, connection: socket.socket) -> None:
    """Tell the exit code of a run that has ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with connection:
        connection.sendall(str(code).encode())


def become_the_program(request: dict[str, Any], streams: list[int]) -> None:
    """Run `convcli` in this process, a fork, with its own streams, folder and environment."""
    own = (sys.stdin, sys.stdout, sys.stderr)
    opened: list[TextIOWrapper | None] = []
    for number in range(3):
        if number in request["streams"]:
            given = streams[request["streams"].index(number)]
            os.dup2(given, number)
            os.close(given)
            opened.append(stream_like(own[number], number))
        else:
            os.close(number)
            opened.append(None)
    sys.stdin, sys.stdout, sys.stderr = opened  # Python has None there, too
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["convcli", *request["words"]]
    signal.alarm(LIMIT)
    if request["strace"]:
        be_traced(request["strace"])
    sys.exit(main())


def stream_like(old: TextIO, number: int) -> TextIOWrapper:
    """A text stream for a descriptor, with the encoding of one that Python opened."""
    mode = "w" if number else "r"
    binary = open(number, f"{mode}b", closefd=False)  # noqa: SIM115 -- it stays open
    return TextIOWrapper(binary, old.encoding, old.errors, line_buffering=number == 2)


def be_traced(arguments: list[str]) -> None:
    """Let strace watch this process from now on."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_long(ANY_PROCESS), 0, 0, 0)
    watching = subprocess.Popen(
        ["strace", "-f", "-p", str(os.getpid()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    status = Path("/proc/self/status")
    while "TracerPid:\t0\n" in status.read_text():
        assert watching.poll() is None, "strace watches"


if __name__ == "__main__":
    load_everything()
    gc.freeze()  # a run need not look through what is imported
    serve(socket.socket(fileno=int(sys.argv[1])))
