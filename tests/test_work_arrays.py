"""Memory that large arrays use one after the other."""

from __future__ import annotations

import numpy as np

from convcli.core.work_arrays import LEAST_KEPT, output_array


def test_memory_is_used_again_once_no_view_is_left() -> None:
    """An array has memory of its own as long as it or a view of it exists."""
    first = output_array((LEAST_KEPT,), np.uint8)
    first[:] = 1
    address = first.ctypes.data
    view = first[5:].reshape(-1, 1)[::2]
    del first

    second = output_array((LEAST_KEPT,), np.uint8)
    second[:] = 2
    assert second.ctypes.data != address
    assert (view == 1).all()

    del view
    third = output_array((LEAST_KEPT // 8,), np.float64)
    assert third.ctypes.data == address
    assert (second == 2).all()


def test_small_arrays_have_memory_of_their_own() -> None:
    """Small arrays are left to NumPy."""
    arrays = [output_array((3, 4), np.float32) for _ in range(20)]
    assert all(array.flags.owndata for array in arrays)
