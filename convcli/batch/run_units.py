"""Where units are carried out: one interface for the threads of this machine and for others.

A runner gets `Work`, which is the same for all units, and then one unit after the other. Both can
be pickled, so that another process carries a unit out by the same call: `carry_out(work, unit)`.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event
from typing import TYPE_CHECKING, Protocol

from convcli.batch.file_state import FileState
from convcli.dataclass import dataclass
from convcli.errors import ConvcliError, as_convcli_error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from convcli.batch.units import Unit
    from convcli.facts import RunFacts

    # Is called with each unit that is tried again, in any thread.
    OnRetry = Callable[["Retry"], object]

# Seconds before a failed unit is tried again; they double each time.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0


class Work(Protocol):
    """What is done with each unit. It can be pickled.

    retries : how often a unit is tried again after an error that may pass
    """

    retries: int

    @property
    def runs_network(self) -> bool:
        """Whether results depend on the library that runs networks."""

    def refuse(self, unit: Unit) -> None:
        """Raise the error of a unit that must not be begun, such as one whose output exists."""

    def run(self, unit: Unit) -> RunFacts:
        """Carry the unit out, and return the facts of the run. Raise the error if it fails."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """How a unit ended: with facts, or with an error.

    tries : how often it was tried
    seconds : how long it took, all tries together
    read, wrote : states of the input before it was read, and of the output after it was written
    """

    unit: Unit
    facts: RunFacts | None = None
    error: ConvcliError | None = None
    tries: int = 1
    seconds: float = 0.0
    read: FileState | None = None
    wrote: FileState | None = None


@dataclass(frozen=True, kw_only=True)
class Retry:
    """A unit that has failed and is tried again.

    label : what the unit is called in messages
    error : why it failed
    number, most : which retry this is, from 1, and how many there are at most
    pause : seconds until then
    """

    label: str
    error: str
    number: int
    most: int
    pause: float


def carry_out(
    work: Work,
    unit: Unit,
    stopping: Event | None = None,
    on_retry: OnRetry | None = None,
) -> Outcome:
    """Carry a unit out, and try it again after an error that may pass.

    stopping : ends the pauses between the tries
    """
    started = time.perf_counter()
    pauses = stopping or Event()
    pause = _FIRST_PAUSE
    tries = 0
    while True:
        tries += 1
        facts = None
        error = None
        read = FileState.of(unit.source)
        try:
            facts = work.run(unit)
        except Exception as caught:  # noqa: BLE001 -- one unit never stops the others
            error = as_convcli_error(caught)
        if error is None or not error.may_pass or tries > work.retries:
            break
        if on_retry is not None and not pauses.is_set():
            on_retry(
                Retry(
                    label=unit.label,
                    error=error.message,
                    number=tries,
                    most=work.retries,
                    pause=pause,
                )
            )
        if pauses.wait(pause):
            break
        pause = min(2 * pause, _LONGEST_PAUSE)
    return Outcome(
        unit=unit,
        facts=facts,
        error=error,
        tries=tries,
        seconds=time.perf_counter() - started,
        read=read,
        wrote=None if facts is None else FileState.of(unit.written),
    )


class Runner(Protocol):
    """Carries units out: in threads, in processes or on other machines.

    window : how many units may be under way, or ended and not yet taken
    """

    window: int

    def submit(self, unit: Unit) -> None:
        """Begin a unit, or queue it until a worker is free."""

    def next_outcome(self) -> Outcome:
        """Wait for the next unit that ends, in whatever order they end."""

    def cancel(self) -> None:
        """Begin no further unit, and let those under way end early."""

    def close(self) -> None:
        """Wait until nothing is under way."""


def outcomes(runner: Runner, units: Iterable[Unit]) -> Generator[Outcome]:
    """Carry units out and yield how each ended, as they end.

    At most `runner.window` units are under way, so that memory does not grow with their number.
    """
    under_way = 0
    with ended_at_exit(runner):
        for unit in units:
            if under_way == runner.window:
                yield runner.next_outcome()
                under_way -= 1
            runner.submit(unit)
            under_way += 1
        for _ in range(under_way):
            yield runner.next_outcome()


@contextmanager
def ended_at_exit(runner: Runner) -> Iterator[None]:
    """End a runner at the exit: after an error it begins no further unit."""
    try:
        yield
    except BaseException:
        runner.cancel()
        raise
    finally:
        runner.close()


class ThreadRunner:
    """Carries units out in threads of this process.

    stopping : set to end the units that are under way
    """

    def __init__(
        self, work: Work, threads: int, stopping: Event, on_retry: OnRetry | None = None
    ) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.window = 4 * threads
        self._work = work
        self._stopping = stopping
        self._on_retry = on_retry
        self._pool = ThreadPoolExecutor(threads)
        self._ended: SimpleQueue[Outcome | BaseException] = SimpleQueue()

    def submit(self, unit: Unit) -> None:
        """Let the next free thread carry the unit out."""
        self._pool.submit(self._carry_out, unit)

    def _carry_out(self, unit: Unit) -> None:
        try:
            self._ended.put(carry_out(self._work, unit, self._stopping, self._on_retry))
        except BaseException as error:  # noqa: BLE001 -- raised again where outcomes are taken
            self._ended.put(error)

    def next_outcome(self) -> Outcome:
        """Wait for the next unit that ends. Raise an error that ends the run, as a closed pipe."""
        ended = self._ended.get()
        if isinstance(ended, BaseException):
            raise ended
        return ended

    def cancel(self) -> None:
        """Begin no further unit, and stop the others between two blocks."""
        self._stopping.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Wait until all threads have ended."""
        self._pool.shutdown(wait=True)


class OwnThread:
    """The calling thread, which carries each unit out when its outcome is asked for."""

    window = 1

    def __init__(self, work: Work, stopping: Event, on_retry: OnRetry | None = None) -> None:
        self._work = work
        self._stopping = stopping
        self._on_retry = on_retry
        self._submitted: deque[Unit] = deque()

    def submit(self, unit: Unit) -> None:
        """Queue the unit until its outcome is asked for."""
        self._submitted.append(unit)

    def next_outcome(self) -> Outcome:
        """Carry out the unit that was submitted first."""
        unit = self._submitted.popleft()
        return carry_out(self._work, unit, self._stopping, self._on_retry)

    def cancel(self) -> None:
        """Let the unit that is under way stop between two blocks."""
        self._stopping.set()

    def close(self) -> None:
        """Do nothing: no unit is under way between two calls."""


class UnitOrder:
    """Yields outcomes in the order in which their units were begun, as far as memory allows.

    most : how many outcomes may wait for an earlier one; beyond that the earliest is yielded
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Numbers of the units that were begun and not yielded in order, the earliest first.
        self._begun: deque[int] = deque()
        self._waiting: dict[int, Outcome] = {}
        self._yielded_early: set[int] = set()

    def noted(self, units: Iterable[Unit]) -> Iterator[Unit]:
        """Yield the units, and note their order as they are begun."""
        for unit in units:
            self._begun.append(unit.number)
            yield unit

    def sorted(self, ended: Iterable[Outcome]) -> Iterator[Outcome]:
        """Yield the outcomes in the order of their units."""
        for outcome in ended:
            self._waiting[outcome.unit.number] = outcome
            yield from self._due()
            if len(self._waiting) > self._most:
                earliest = next(number for number in self._begun if number in self._waiting)
                self._yielded_early.add(earliest)
                yield self._waiting.pop(earliest)

    def _due(self) -> Iterator[Outcome]:
        """Yield the outcomes that wait for no earlier one."""
        while self._begun:
            number = self._begun[0]
            if number in self._yielded_early:
                self._yielded_early.remove(number)
            elif number in self._waiting:
                yield self._waiting.pop(number)
            else:
                return
            self._begun.popleft()
