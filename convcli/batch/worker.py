"""A process that carries out what comes through its standard input, until that is closed.

A call is the length of its text in 8 bytes and a pickled function with its arguments. The answers
on standard output are of the same form: any number of notes, then what the function has returned or
raised. Only the process that has started this one writes to it.
"""

from __future__ import annotations

import os
import pickle
import sys
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Literal

from convcli.running.workers import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    # A function, its arguments, and whether it gets one more: what sends its notes.
    FunctionCall = tuple[Callable[..., Any], tuple[Any, ...], bool]
    # What is answered: a note, a result or an error.
    Answer = tuple[Literal["note", "returned", "raised"], Any]

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
    length = int.from_bytes(head, "little")
    data = stream.read(length)
    if len(data) < length:  # the other process was killed while it wrote
        raise EOFError
    return pickle.loads(data)  # noqa: S301 -- the other end is a process of this program


def answer_calls() -> None:
    """Answer calls until the pipe is closed."""
    calls = sys.stdin.buffer
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    note = partial(_write_note, answers)
    while True:
        try:
            function, arguments, notes = receive(calls)
            if notes:
                arguments = (*arguments, note)
            send(answers, _returned_or_raised(function, arguments))
        except (EOFError, BrokenPipeError):  # the other process has ended
            os._exit(0)


def _returned_or_raised(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Answer:
    """Call a function, and return its result or its error."""
    try:
        return "returned", function(*arguments)
    except Exception as error:  # noqa: BLE001 -- it is raised again where the call came from
        return "raised", error


def _write_note(answers: IO[bytes], value: object) -> None:
    """Send a note about a call that is under way."""
    send(answers, ("note", value))


if __name__ == "__main__":
    keep_freed_memory()
    answer_calls()
