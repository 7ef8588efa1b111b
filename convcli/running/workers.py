"""A map over threads that keeps the order of its items and starts only a few of them ahead."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future, ThreadPoolExecutor

# Parameters of mallopt(3): the size from which memory is mapped on its own, and how much free
# memory is kept for later.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1

A = TypeVar("A")
B = TypeVar("B")


def cores() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system knows which processors a process may use
        return os.cpu_count() or 1


@cache
def keep_freed_memory() -> None:
    """Keep the memory of freed blocks for the next ones, which are of the same size.

    This saves a sixth of the time, which otherwise goes into new pages from the system. mallopt(3)
    is specific to glibc; elsewhere nothing happens.
    """
    import ctypes

    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_MMAP_THRESHOLD, 1 << 25)
    mallopt(_TRIM_THRESHOLD, 1 << 27)


def _never(_: object) -> bool:
    """Return False: items come as fast as they are asked for."""
    return False


def _results(under_way: deque[Future[B]]) -> Iterator[B]:
    """Yield the results that are under way, and forget them."""
    while under_way:
        yield under_way.popleft().result()


class Workers:
    """A pool of threads; with a single thread, everything runs in the calling thread."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or cores()
        self._pool: ThreadPoolExecutor | None = None
        self._owner = threading.get_ident()

    def map(
        self,
        function: Callable[[A], B],
        items: Iterable[A],
        *,
        last_for_now: Callable[[A], bool] = _never,
    ) -> Iterator[B]:
        """Yield results in the order of the items; start at most `threads` + 1 items ahead.

        last_for_now : whether the next item may be long in coming; all results up to this one are
            then yielded before it is asked for
        """
        if self.threads == 1:
            yield from map(function, items)
            return
        under_way: deque[Future[B]] = deque()
        alone: list[A] = []  # no thread has to be started for a single item
        for number, item in enumerate(items):
            if last_for_now(item):
                yield from map(function, alone)
                alone.clear()
                yield from _results(under_way)
                yield function(item)
            elif number == 0:
                alone.append(item)
            else:
                pool = self._started()
                under_way += [pool.submit(function, each) for each in (*alone, item)]
                alone.clear()
                while len(under_way) > self.threads:
                    yield under_way.popleft().result()
        yield from map(function, alone)
        yield from _results(under_way)

    def nested_map(self, function: Callable[[A], B], items: Sequence[A]) -> list[B]:
        """Return the result of a function for each item, in order.

        Work that `map` runs may call this. Its thread computes the items, and threads that would
        wait otherwise help it: at the end of a picture, when there are fewer jobs than threads.
        """
        if self.threads == 1 or len(items) < 2:
            return [function(item) for item in items]
        if threading.get_ident() == self._owner:
            return list(self.map(function, items))
        pool = self._started()
        futures = [pool.submit(function, item) for item in items]
        own = {}
        for number, future in enumerate(futures):
            if future.cancel():  # no thread has begun the item
                own[number] = function(items[number])
        results = []
        for number, future in enumerate(futures):
            results.append(own[number] if number in own else future.result())
        return results

    def _started(self) -> ThreadPoolExecutor:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self.threads)
        return self._pool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
