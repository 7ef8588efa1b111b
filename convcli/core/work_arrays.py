"""Arrays in memory that is used again and again.

New memory from the system costs 0.5 to 1 ms/MB, more than the sums that go into it.
"""

from __future__ import annotations

import math
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.dataclass import dataclass

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

# Bytes of an array from which its memory is kept for later ones, and of all memory that is kept.
LEAST_KEPT, MOST_KEPT = 1 << 20, 1 << 27


@dataclass(frozen=True, eq=False)
class _KeptMemory:
    """Memory, and the array that was last made in it.

    NumPy lets views refer to that array, and not to the memory, since this is a `memoryview` to it.
    """

    content: ByteArray
    user: weakref.ref[Array]


_KEPT: list[_KeptMemory] = []
_KEPT_LOCK = threading.Lock()


def output_array(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return an array whose content is arbitrary, in the memory of an earlier one if it is large.

    The memory is used again once neither the earlier array nor a view of it exists.
    """
    kind: np.dtype[Any] = np.dtype(dtype)
    count = math.prod(shape)
    size = count * kind.itemsize
    if size < LEAST_KEPT:
        return np.empty(shape, kind)
    with _KEPT_LOCK:
        content = _unused_memory(size)
        user: Array = np.frombuffer(content.data, kind, count)
        _KEPT.append(_KeptMemory(content, weakref.ref(user)))
        while sum(each.content.size for each in _KEPT) > MOST_KEPT:
            del _KEPT[0]
    return user.reshape(shape)


def _unused_memory(size: int) -> ByteArray:
    """Memory for some bytes: kept memory of which at most a fifth is left over, or else new one."""
    for place, kept in enumerate(_KEPT):
        if size <= kept.content.size <= 1.25 * size and kept.user() is None:
            return _KEPT.pop(place).content
    return np.empty(size, np.uint8)


def work_arrays(dtype: npt.DTypeLike, *shapes: tuple[int, ...]) -> list[Array]:
    """Return arrays of these shapes, whose content is arbitrary.

    They are valid until the same thread asks for others.
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
