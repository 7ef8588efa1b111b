"""One thread for each call of a matrix library, while a function for Python users runs."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator, suppress
from functools import cache
from typing import Any


@cache
def _libraries() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def _set_threads(library: Any, threads: int) -> None:
    """Give a library a number of threads, from whichever thread this is called.

    OpenBLAS 0.3.31 ignores other threads once the main thread has done this. What it calls a local
    number is the number of all threads. OpenCV comes with an older one that has no such function,
    and of which nothing here makes use.
    """
    library.set_num_threads(threads)
    if library.get_num_threads() != threads:
        with suppress(AttributeError):
            library.dynlib.openblas_set_num_threads_local(threads)


class _Limit(ContextDecorator):
    """The limit while any thread is inside; the last one to leave restores what was before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        # The libraries that had another number of threads, each with that number.
        self._limited: list[tuple[Any, int]] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limit()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore()

    def _limit(self) -> None:
        self._limited = []
        for library in _libraries():
            threads = library.get_num_threads()
            if threads != 1:
                self._limited.append((library, threads))
                _set_threads(library, 1)

    def _restore(self) -> None:
        for library, threads in self._limited:
            _set_threads(library, threads)


_LIMIT = _Limit()


def one_blas_thread() -> _Limit:
    """Let matrix libraries such as OpenBLAS use one thread for each call inside this context.

    Blocks are computed in parallel, and OpenBLAS with threads of its own computes the products of
    one thread after those of another. VGG7 on 512 x 512 pixels took 13.8 s of processor in place of
    1.1, on two cores that other programs used too. The command line sets environment variables
    before NumPy is imported instead. Entering and leaving takes 2 microseconds.
    """
    return _LIMIT
