"""The numbers of a block: whole ones as files store them, which stand for samples, and the extremes of a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.signals import Array

# The type of the samples, and what 1 of the numbers is worth: pictures count 0 ... 255, sound goes from -1 to 1. No
# picture is stored in int16: with two axes that is a sum of bytes (`summed`).
_MEANING: dict[np.dtype[Any], tuple[np.dtype[Any], float]] = {
    np.dtype(np.uint8): (np.dtype(np.float32), 1.0),
    np.dtype(np.int16): (np.dtype(np.float64), 2.0**-15),
    np.dtype(np.int32): (np.dtype(np.float64), 2.0**-31),
}

# Samples of one channel that are compared side by side.
_BESIDE = 256


def is_stored(x: Array) -> bool:
    """Whether the numbers are stored ones: none is missing, none is infinite."""
    return x.dtype.kind in "ui"


def sample_type(x: Array) -> np.dtype[Any]:
    """The type of the samples that stored numbers stand for; that of samples themselves."""
    return _MEANING[x.dtype][0] if is_stored(x) else x.dtype


def unit(x: Array) -> float:
    """What 1 is worth, a power of two."""
    return _MEANING[x.dtype][1] if is_stored(x) else 1.0


def as_samples(x: Array) -> Array:
    """The samples that stored numbers stand for, exactly; samples as they are."""
    if not is_stored(x):
        return x
    y = x.astype(sample_type(x))
    return y if unit(x) == 1 else np.multiply(y, unit(x), out=y)


def summed(y: Array) -> Array:
    """What an operation made of stored numbers, floating: the sums of bytes may be int16, which are what they are."""
    return y.astype(np.float32) if is_stored(y) else y


def extremes(x: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The smallest and the largest of each channel of (n, channels), n > 0; NaN where one is NaN.

    Rows of many samples first: NumPy folds the long axis of a narrow array dozens of times more slowly.

    >>> [found.tolist() for found in extremes(np.array([[3, -1], [2, 5]]))]
    [[2, -1], [3, 5]]
    """
    whole = len(x) // _BESIDE * _BESIDE
    found = []
    for fold in (np.minimum, np.maximum):
        wide = (
            fold.reduce(x[:whole].reshape(-1, _BESIDE * x.shape[1])).reshape(_BESIDE, -1)
            if whole
            else x[:0]
        )
        found.append(np.concatenate([wide, x[whole:]]).T.copy())
    return found[0].min(axis=1), found[1].max(axis=1)
