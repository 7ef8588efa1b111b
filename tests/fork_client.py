"""Ask the waiting program for a run: `python -IS fork_client.py SOCKET WORD...` is `convcli WORD...`.

Nothing is imported that is not built into Python, so that asking takes 0.01 s.
"""

from __future__ import annotations

import _socket
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A Unix socket gives copies of these descriptors to the other process.
SOL_SOCKET, SCM_RIGHTS = _socket.SOL_SOCKET, _socket.SCM_RIGHTS


def ask(  # noqa: PLR0917 -- all that a process has
    socket: str,
    words: Sequence[str],
    streams: Sequence[int | None],
    cwd: str,
    environment: Mapping[str, str],
    strace: Sequence[str] = (),
) -> _socket.socket:
    """Ask for a run; the answer, its exit code, comes through the socket that is returned.

    streams : descriptors of its standard input, output and error; None where it is closed
    strace : arguments of strace, which then watches the run
    """
    given = [stream for stream in streams if stream is not None]
    request = {
        "words": list(words),
        "streams": [number for number, stream in enumerate(streams) if stream is not None],
        "cwd": cwd,
        "environment": dict(environment),
        "strace": list(strace),
    }
    data = marshal.dumps(request)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(socket)
    numbers = b"".join(stream.to_bytes(4, sys.byteorder) for stream in given)
    rights = [(SOL_SOCKET, SCM_RIGHTS, numbers)] if given else []
    connection.sendmsg([len(data).to_bytes(8, "big")], rights)
    connection.sendall(data)
    return connection


def exit_code(connection: _socket.socket) -> int:
    """Wait for the end of a run; its exit code, minus the number of a signal that ended it."""
    answer = connection.recv(16)
    connection.close()
    if not answer:
        raise ConnectionError("the waiting program has ended")
    return int(answer)


def open_streams() -> list[int | None]:
    """The standard streams of this process; a closed one is replaced, lest its number be used."""
    streams: list[int | None] = []
    for number in range(3):
        try:
            os.fstat(number)
            streams.append(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            streams.append(None)
    return streams


if __name__ == "__main__":
    place, *arguments = sys.argv[1:]
    standard = open_streams()
    folder = os.getcwd()  # noqa: PTH109 -- pathlib takes longer to import than all this
    code = exit_code(ask(place, arguments, standard, folder, os.environ))
    os._exit(code if code >= 0 else 128 - code)
