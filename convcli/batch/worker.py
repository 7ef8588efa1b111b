"""A process that carries out units that come through its standard input, until that is closed.

The first message is the work, and each further one a unit: its length in 8 bytes, then the pickled
value. The work keeps what it makes for a unit, such as plans, for the next one. The answers on
standard output have the same form: a note for each retry, the versions of libraries where the
process has imported further ones, then the outcome. Only the process that has started this one
writes to it.
"""

from __future__ import annotations

import os
import pickle
import sys
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from convcli.batch.answers import AnswerWriter
from convcli.batch.run_units import carry_out
from convcli.facts.libraries import imported_libraries, library_versions
from convcli.running.workers import keep_freed_memory

if TYPE_CHECKING:
    from convcli.batch.run_units import Retry

LENGTH_BYTES = 8


def send(stream: IO[bytes], value: object) -> None:
    """Write a value to a pipe: its length in 8 bytes, then the pickled value."""
    send_pickled(stream, pickled(value))


def pickled(value: object) -> bytes:
    """A value in the bytes that are sent to another process."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def send_pickled(stream: IO[bytes], data: bytes) -> None:
    """Write a pickled value to a pipe, after its length in 8 bytes."""
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


def carry_out_requests() -> None:
    """Carry out units until the pipe is closed."""
    requests = sys.stdin.buffer
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    note = partial(_write_note, answers)
    writer = AnswerWriter()
    noted: tuple[str, ...] = ()
    try:
        work = receive(requests)
        while True:
            outcome = carry_out(work, receive(requests), on_retry=note)
            imported = imported_libraries()
            if imported != noted:
                noted = imported
                send(answers, ("libraries", library_versions()))
            send(answers, ("outcome", writer.answer(outcome)))
    except (EOFError, BrokenPipeError):  # the other process has ended
        os._exit(0)


def _write_note(answers: IO[bytes], retry: Retry) -> None:
    """Send a note about the unit that is under way."""
    send(answers, ("note", retry))


if __name__ == "__main__":
    keep_freed_memory()
    carry_out_requests()
