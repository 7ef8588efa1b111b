"""The steps of companded samples, mu-law and A-law (ITU-T G.711), in units of 16 bits."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convcli.array_types import FloatArray
    from convcli.signals import Array

COMPANDED = frozenset({"ULAW", "ALAW"})


@cache
def magnitudes(subtype: str) -> FloatArray:
    """(128,) the magnitudes that a coding can hold, from the smallest on.

    A code has 3 bits for a power of two and 4 bits for a step within it.
    """
    power, step = np.divmod(np.arange(128), 16)
    if subtype == "ULAW":
        found = ((2 * step + 33) << power) - 33
        return np.asarray(4 * found, np.float64)
    hidden_bit = np.where(power > 0, 32, 0)
    found = (2 * step + 1 + hidden_bit) << np.maximum(power - 1, 0)
    return np.asarray(8 * found, np.float64)


def nearest_step(z: Array, subtype: str) -> Array:
    """The numbers of a companded coding that are nearest to z; libsndfile takes others, too.

    z : in units of 16 bits
    """
    steps = magnitudes(subtype)
    middles = (steps[1:] + steps[:-1]) / 2
    found: Array = np.copysign(steps[np.searchsorted(middles, np.abs(z))], z)
    return found
