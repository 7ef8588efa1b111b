"""A runner of units in processes, because Python code runs in one thread at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, cast

from convcli.batch.answers import AnswerReader
from convcli.batch.run_units import Outcome, Retry
from convcli.batch.worker import pickled, receive, send, send_pickled
from convcli.errors import InputError, OutputError, as_convcli_error
from convcli.facts.libraries import note_versions
from convcli.stopping import undone_at_stop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from convcli.batch.run_units import OnRetry, Work
    from convcli.batch.units import Unit

# Units that are under way or queued, for each process.
_AHEAD = 2
# How often a unit is begun again after its process was lost, in addition to --retries.
_MORE_TRIES = 1


class LostProcessError(InputError):
    """A process ended before it answered."""

    may_pass = True


class ProcessRunner:
    """Carries units out in processes, which end with the runner or when this process ends.

    stopping : set when the run is cancelled
    on_retry : is called with each unit that is tried again
    """

    def __init__(
        self,
        work: Work,
        count: int,
        stopping: Event,
        on_retry: OnRetry | None = None,
    ) -> None:
        self.window = _AHEAD * count
        self._work = work
        self._stopping = stopping
        self._on_retry = on_retry
        self._units: SimpleQueue[Unit | None] = SimpleQueue()
        self._ended: SimpleQueue[Outcome] = SimpleQueue()
        equal: dict[Any, Any] = {}
        self._processes = [_WorkerProcess(equal) for _ in range(count)]
        self._held = ExitStack()
        self._held.enter_context(undone_at_stop(self._kill))
        self._threads = [
            Thread(target=self._serve, args=(process,), daemon=True) for process in self._processes
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, unit: Unit) -> None:
        """Let the next free process carry the unit out."""
        self._units.put(unit)

    def next_outcome(self) -> Outcome:
        """Wait for the next unit that ends."""
        return self._ended.get()

    def cancel(self) -> None:
        """Kill all processes, without waiting for their units."""
        self._stopping.set()
        self._kill()

    def close(self) -> None:
        """Let the processes end, and wait for them."""
        for _ in self._threads:
            self._units.put(None)
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            process.close()
        self._held.close()

    def _serve(self, process: _WorkerProcess) -> None:
        """Carry units out in one process until there are no more."""
        while (unit := self._units.get()) is not None:
            try:
                outcome = self._outcome(process, unit)
            except Exception as error:  # noqa: BLE001 -- the run would wait forever for the outcome of this unit
                outcome = Outcome(unit=unit, error=as_convcli_error(error))
            self._ended.put(outcome)

    def _outcome(self, process: _WorkerProcess, unit: Unit) -> Outcome:
        """Carry a unit out, again in a new process if its process is lost."""
        most = self._work.retries + _MORE_TRIES
        tries = 0
        while True:
            tries += 1
            try:
                if not process.started:
                    process.start(self._work)
                outcome = process.carry_out(unit, self._note)
            except LostProcessError as error:
                process.close()
                if self._stopping.is_set() or tries > most:
                    return Outcome(unit=unit, error=error, tries=tries)
                self._note(
                    Retry(
                        label=unit.label,
                        error=error.message,
                        number=tries,
                        most=most,
                        pause=0,
                    )
                )
            else:
                return outcome

    def _note(self, retry: Retry) -> None:
        if self._on_retry is not None and not self._stopping.is_set():
            self._on_retry(retry)

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()


class _WorkerProcess:
    """A process that carries out one unit after the other, started when it is needed."""

    def __init__(self, equal: dict[Any, Any]) -> None:
        self._equal = equal
        self._reader = AnswerReader(equal)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def started(self) -> bool:
        """Whether the process was started."""
        return self._process is not None

    def start(self, work: Work) -> None:
        """Start the worker process, and send it the work.

        OutputError if the system starts none, LostProcessError if it ends at once.
        """
        data = pickled(work)
        package = str(Path(__file__).parents[2])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "convcli.batch.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                # Ctrl-C is handled by the process that has started this one.
                start_new_session=True,
            )
        except OSError as error:
            raise OutputError(
                f"cannot start a process: {error.strerror}", hint="--jobs 1 needs no other process"
            ) from error
        self._reader = AnswerReader(self._equal)
        with self._loss_as_error() as (requests, _):
            send_pickled(requests, data)

    def carry_out(self, unit: Unit, on_retry: OnRetry) -> Outcome:
        """Carry a unit out. LostProcessError if the process ends before it answers."""
        with self._loss_as_error() as (requests, answers):
            send(requests, unit)
            kind, value = receive(answers)
            while kind != "outcome":
                if kind == "libraries":
                    note_versions(value)
                else:
                    on_retry(value)
                kind, value = receive(answers)
        return cast("Outcome", self._reader.value(value))

    @contextmanager
    def _loss_as_error(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """The pipes of requests and of answers. LostProcessError where they break."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise LostProcessError("no process was started")
        try:
            yield process.stdin, process.stdout
        except (EOFError, OSError) as error:
            code = process.wait()
            raise LostProcessError(
                f"a process that worked on a part has ended with code {code}",
                hint="was it killed, or is there too little memory? fewer --jobs need less",
            ) from error

    def kill(self) -> None:
        """Kill the process, if it was started."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Let the process end, and wait for it."""
        process = self._process
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                # A unit that a lost process has not read cannot be sent any more.
                with suppress(OSError):
                    stream.close()
        process.wait()
        self._process = None
