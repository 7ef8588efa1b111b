"""The program with its imports done, which forks for every run: `python fork_server.py SOCKET`.

SOCKET is the number of a connected Unix socket. A request is 8 bytes with the length of a JSON text,
sent together with the three standard streams of the run, then the text: the words after `convcli`,
the folder to run in, and the environment. The answer is a line with the exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
from io import TextIOWrapper
from typing import Any, TextIO

import convcli
from convcli.cli import _limit_library_threads, main

# The longest that a run may take, in seconds.
LIMIT = 300


def load_everything() -> None:
    """Import what a run imports, with the settings that it makes before."""
    _limit_library_threads()
    for library in ("cv2", "pyvips", "soundfile", "soxr"):
        importlib.import_module(library)
    for module in pkgutil.walk_packages(convcli.__path__, "convcli."):
        if module.name != "convcli.__main__":
            importlib.import_module(module.name)


def serve(connection: socket.socket) -> None:
    """Answer requests until the other end is closed."""
    while True:
        head, streams, _, _ = socket.recv_fds(connection, 8, 3)
        if not head:
            return
        text = connection.recv(int.from_bytes(head), socket.MSG_WAITALL)
        child = os.fork()
        if child == 0:
            connection.close()
            become_the_program(json.loads(text), streams)
        for stream in streams:
            os.close(stream)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.sendall(f"{code}\n".encode())


def become_the_program(request: dict[str, Any], streams: list[int]) -> None:
    """Run `convcli` in this process, a fork, with its own streams, folder and environment."""
    own = (sys.stdin, sys.stdout, sys.stderr)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = stream_like(own[0], 0, "r")
    sys.stdout = stream_like(own[1], 1, "w")
    sys.stderr = stream_like(own[2], 2, "w")
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["convcli", *request["words"]]
    signal.alarm(LIMIT)
    sys.exit(main())


def stream_like(old: TextIO, number: int, mode: str) -> TextIOWrapper:
    """A text stream for a descriptor, with the encoding of one that Python opened."""
    binary = open(number, f"{mode}b", closefd=False)  # noqa: SIM115 -- it stays open
    return TextIOWrapper(binary, old.encoding, old.errors, line_buffering=number == 2)


if __name__ == "__main__":
    load_everything()
    gc.freeze()  # a run need not look through what is imported
    serve(socket.socket(fileno=int(sys.argv[1])))
