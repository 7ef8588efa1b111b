"""Arrays for intermediate results, in memory that a thread uses again and again."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.array_types import ByteArray
    from convcli.signals import Array

# Bytes of a cache line, at which arrays begin.
_LINE = 64


class _Memory(threading.local):
    """Memory that one thread uses for its intermediate results, one after the other."""

    def __init__(self) -> None:
        self.bytes: ByteArray = np.empty(0, np.uint8)

    def enlarge(self, size: int) -> None:
        """Take other memory, which begins at a cache line."""
        some = np.empty(size + _LINE, np.uint8)
        start = -some.ctypes.data % _LINE
        self.bytes = some[start : start + size]


_MEMORY = _Memory()


def work_arrays(dtype: npt.DTypeLike, *shapes: tuple[int, ...]) -> list[Array]:
    """Return arrays of these shapes, whose content is arbitrary.

    They are valid until the same thread asks for others. New memory from the system costs 0.5 to 1
    ms/MB, more than the sums that go into it.
    """
    kind: np.dtype[Any] = np.dtype(dtype)
    sizes = [math.prod(shape) * kind.itemsize for shape in shapes]
    rounded = [-(-size // _LINE) * _LINE for size in sizes]
    if _MEMORY.bytes.size < sum(rounded):
        _MEMORY.enlarge(sum(rounded))
    start = 0
    arrays: list[Array] = []
    for shape, room in zip(shapes, rounded, strict=True):
        arrays.append(np.ndarray(shape, kind, _MEMORY.bytes, start))
        start += room
    return arrays
