"""One thread for each call of a matrix library, while a function for Python users runs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def _libraries() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


class _Limit:
    """The limit while any thread is inside; the last one to leave restores what was before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        # The libraries that had another number of threads, each with that number.
        self._limited: list[tuple[Any, int]] = []

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limit()
            self._inside += 1

    def leave(self) -> None:
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
                library.set_num_threads(1)

    def _restore(self) -> None:
        for library, threads in self._limited:
            library.set_num_threads(threads)


_LIMIT = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let matrix libraries such as OpenBLAS use one thread for each call inside this context.

    Blocks are computed in parallel, and OpenBLAS with threads of its own computes the products of
    one thread after those of another. VGG7 on 512 x 512 pixels took 13.8 s of processor in place of
    1.1, on two cores that other programs used too. The command line sets environment variables
    before NumPy is imported instead. Entering and leaving takes some 10 microseconds.
    """
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()
