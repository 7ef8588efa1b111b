"""A process that carries out units for another one: `python -m convcli.batch.worker`.

It reads pickled objects from standard input, first the `Work` and then units, and answers each unit
with its `Outcome` on standard output. It ends with its input, so that none is left behind where the
other process is killed.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING, BinaryIO

from convcli.batch.run_units import carry_out

if TYPE_CHECKING:
    from convcli.batch.run_units import Work

# prctl(2): the signal that a process gets when its parent ends.
_SET_PARENT_DEATH_SIGNAL = 1


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Carry out units until there are no more."""
    work: Work = pickle.load(requests)  # noqa: S301 -- from the process that started this one
    while True:
        try:
            unit = pickle.load(requests)  # noqa: S301
        except EOFError:
            return
        pickle.dump(carry_out(work, unit), answers)
        answers.flush()


def main() -> None:
    """Serve the process that started this one."""
    # Ctrl-C is answered by that process, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    gc.set_threshold(100_000)  # as in `convcli.cli`: imports make few reference cycles
    # Whatever prints to standard output must not end up among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


if __name__ == "__main__":
    main()
