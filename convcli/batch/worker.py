"""A process that carries out what comes through its standard input, until that is closed.

A call is the length of its text in 8 bytes and a pickled function with its arguments; the answer on
standard output is of the same form. Only the process that has started this one writes to it.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    # A function and its arguments.
    FunctionCall = tuple[Callable[..., Any], tuple[Any, ...]]
    # Whether the function has returned, and its result or its error.
    Answer = tuple[bool, Any]

LENGTH_BYTES = 8


def send(stream: IO[bytes], value: object) -> None:
    """Write a value to a pipe: its length in 8 bytes, then the pickled value."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    stream.write(len(data).to_bytes(LENGTH_BYTES, "little"))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read a value from a pipe. EOFError where the other end is closed."""
    head = stream.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        raise EOFError
    data = stream.read(int.from_bytes(head, "little"))
    return pickle.loads(data)  # noqa: S301 -- the other end is a process of this program


def main() -> None:
    """Answer calls until the pipe is closed."""
    calls = sys.stdin.buffer
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            function, arguments = receive(calls)
            send(answers, _returned_or_raised(function, arguments))
        except (EOFError, BrokenPipeError):  # the other process has ended
            os._exit(0)


def _returned_or_raised(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Answer:
    """Call a function, and return its result or its error."""
    try:
        return True, function(*arguments)
    except Exception as error:  # noqa: BLE001 -- it is raised again where the call came from
        return False, error


if __name__ == "__main__":
    main()
