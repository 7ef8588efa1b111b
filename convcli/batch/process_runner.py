"""Processes of this machine that carry out units, where threads would wait for each other."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO, cast

from convcli.batch.file_state import FileState
from convcli.batch.run_units import Outcome, ThreadRunner
from convcli.errors import ConvcliError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from convcli.batch.left import UnitsLeft
    from convcli.batch.run_units import Work
    from convcli.batch.units import Unit

# With fewer units the start of the processes takes longer than they save.
FEWEST_FOR_PROCESSES = 500
# The mean size of small files in bytes, and of how many the mean is taken.
_SMALL = 1 << 17
_TRIED = 50


def prefers_processes(units: UnitsLeft) -> bool:
    """Whether processes carry units out faster than threads: there are many small files.

    The first of them stand for all. Standard input and pipes are read in this process alone.
    """
    if len(units) < FEWEST_FOR_PROCESSES or not sys.executable:
        return False
    states = [FileState.of(unit.source) for unit in islice(units.to_do(), _TRIED)]
    sizes = [state.size for state in states if state is not None]
    return len(sizes) == len(states) and sum(sizes) < _SMALL * len(sizes)


class ProcessRunner(ThreadRunner):
    """Processes of this machine. A thread for each sends it units and waits for the outcomes.

    For small files this takes half the time of threads, which wait for each other's Python code.
    """

    def __init__(self, work: Work, processes: int, stopping: Event) -> None:
        super().__init__(work, processes, stopping)
        self._retries = work.retries
        self._pickled = pickle.dumps(work)
        self._idle: SimpleQueue[WorkerProcess | None] = SimpleQueue()
        self._started: list[WorkerProcess] = []
        for _ in range(processes):
            self._idle.put(None)

    def _outcome(self, unit: Unit) -> Outcome:
        """Let an idle process carry the unit out; one that is lost is replaced by another."""
        for tries in range(1, self._retries + 2):
            worker = self._idle.get()
            if worker is None:
                worker = WorkerProcess(self._pickled)
                self._started.append(worker)
            try:
                outcome = worker.carry_out(unit)
            except WorkerLostError as error:
                self._idle.put(None)
                lost = Outcome(unit=unit, error=error, tries=tries)
                continue
            self._idle.put(worker)
            return outcome
        return lost

    def cancel(self) -> None:
        """Begin no further unit, and end the processes."""
        super().cancel()
        for worker in self._started:
            worker.kill()

    def close(self) -> None:
        """Wait for the processes."""
        super().close()
        for worker in self._started:
            worker.close()


class WorkerLostError(ConvcliError):
    """A process ended while it worked on a unit."""

    exit_code = 3
    may_pass = True


class WorkerProcess:
    """A worker process, seen from the one that starts it."""

    def __init__(self, work: bytes) -> None:
        """Start it.

        work : the pickled `Work`
        """
        command: Sequence[str] = (sys.executable, "-m", "convcli.batch.worker")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        )
        self._input = cast("BinaryIO", self._process.stdin)
        self._output = cast("BinaryIO", self._process.stdout)
        with suppress(OSError):  # the first unit tells that the worker is lost
            self._input.write(work)
            self._input.flush()

    def carry_out(self, unit: Unit) -> Outcome:
        """Carry a unit out. WorkerLostError if the process ends before it is done."""
        try:
            pickle.dump(unit, self._input)
            self._input.flush()
            return cast("Outcome", pickle.load(self._output))  # noqa: S301 -- our own process
        except (OSError, EOFError, pickle.UnpicklingError):
            self.close()
            raise WorkerLostError(
                f"the process that worked on it ended with code {self._process.returncode}",
                hint="it may have needed more memory than there is; --retries 1 tries again",
            ) from None

    def kill(self) -> None:
        """End it at once; what it writes has no name yet."""
        self._process.kill()

    def close(self) -> None:
        """Let it end."""
        with suppress(OSError):
            self._input.close()
        self._output.close()
        self._process.wait()


def _environment() -> dict[str, str]:
    """The environment in which the worker finds this package, wherever it was found here."""
    folders = [folder for folder in sys.path if folder]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
