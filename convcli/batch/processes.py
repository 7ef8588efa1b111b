"""Processes of this machine that carry out tasks, each in a thread's stead.

Python computes in one thread at a time. Processes share nothing but files.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeVar

from convcli.batch.worker import receive, send
from convcli.errors import InputError
from convcli.stopping import undone_at_stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

Result = TypeVar("Result")

# Tasks under way or waiting, for each process.
_AHEAD = 2


class WorkerProcesses:
    """Some processes, which end when the context does, or when this process ends.

    prepare : called once in each process
    """

    def __init__(self, count: int, prepare: Callable[[], object] | None = None) -> None:
        self.count = count
        self._prepare = prepare
        self._idle: SimpleQueue[_WorkerProcess] = SimpleQueue()
        self._started: list[_WorkerProcess] = []
        self._pool = ThreadPoolExecutor(count)
        self._undone = undone_at_stop(self._kill)

    def __enter__(self) -> Self:
        self._undone.__enter__()
        for _ in range(self.count):
            process = _WorkerProcess()
            self._started.append(process)
            self._idle.put(process)
        if self._prepare is not None:
            for process in self._started:
                process.call(self._prepare, ())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for process in self._started:
            process.close()
        self._undone.__exit__(None, None, None)

    def map(
        self, function: Callable[..., Result], calls: Iterable[tuple[Any, ...]]
    ) -> Iterator[Result]:
        """Call a function with each of some arguments; yield the results in their order.

        Only some calls are begun ahead. The first error in that order is raised.
        """
        under_way: deque[Future[Result]] = deque()
        for arguments in calls:
            under_way.append(self._pool.submit(self._call, function, arguments))
            if len(under_way) > _AHEAD * self.count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def _call(self, function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
        process = self._idle.get()
        try:
            result: Result = process.call(function, arguments)
            return result
        finally:
            self._idle.put(process)

    def _kill(self) -> None:
        for process in self._started:
            process.kill()


class _WorkerProcess:
    """One process, which carries out one call after the other."""

    def __init__(self) -> None:
        package = str(Path(__file__).parents[2])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "convcli.batch.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            # Ctrl-C is for the process that has started this one.
            start_new_session=True,
        )

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Carry out a call, and return its result or raise its error."""
        try:
            send(self._process.stdin, (function, arguments))
            returned, value = receive(self._process.stdout)
        except (EOFError, OSError) as error:
            code = self._process.wait()
            raise InputError(
                f"a process that filtered a part has ended with code {code}",
                hint="was it killed, or is there too little memory? --jobs with fewer needs less",
            ) from error
        if returned:
            return value
        raise value

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def close(self) -> None:
        """Let the process end, and wait for it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()
