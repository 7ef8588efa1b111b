"""Whole numbers as files store them, and the samples that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from convcli.array_types import AnyArray
    from convcli.signals import Array

# For each stored type the type of the samples and the sample that the number 1 stands for: pictures
# count 0 ... 255, sound goes from -1 to 1. No picture is stored in int16: with two axes int16 is a
# sum of bytes (`sums_as_floats`).
_MEANING: dict[np.dtype[Any], tuple[np.dtype[Any], float]] = {
    np.dtype(np.uint8): (np.dtype(np.float32), 1.0),
    np.dtype(np.uint16): (np.dtype(np.float64), 1.0),
    np.dtype(np.uint32): (np.dtype(np.float64), 1.0),
    np.dtype(np.int16): (np.dtype(np.float64), 2.0**-15),
    np.dtype(np.int32): (np.dtype(np.float64), 2.0**-31),
}

# Samples of one channel that are compared side by side.
_BESIDE = 512


def is_stored(x: Array) -> bool:
    """Return whether the numbers are whole ones as stored, of which none is missing or infinite."""
    return x.dtype.kind in "ui"


def sample_type(x: Array) -> np.dtype[Any]:
    """Return the type of the samples: of those that stored numbers stand for, or of `x` itself."""
    return _MEANING[x.dtype][0] if is_stored(x) else x.dtype


def value_of_one(x: Array) -> float:
    """Return the sample that the number 1 stands for, a power of two."""
    return _MEANING[x.dtype][1] if is_stored(x) else 1.0


def as_samples(x: Array) -> Array:
    """Convert stored numbers to samples, exactly; return samples unchanged."""
    if not is_stored(x):
        return x
    y = x.astype(sample_type(x))
    scale = value_of_one(x)
    return y if scale == 1 else np.multiply(y, scale, out=y)


def in_type(x: Array, dtype: npt.DTypeLike) -> Array:
    """Convert to a floating type, without the warnings of NumPy.

    A value beyond the type is infinite, and a NaN that signals becomes a quiet one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return x.astype(dtype, copy=False)


def sums_as_floats(y: Array) -> Array:
    """Convert sums of bytes, which may come as int16 whose number 1 stands for 1, to floats."""
    return y.astype(np.float32) if is_stored(y) else y


def extremes(x: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return the smallest and largest of each channel of (n, channels), n > 0; NaN if one is.

    Rows of many samples are compared first: NumPy folds the long axis of a narrow array dozens of
    times more slowly.

    >>> [found.tolist() for found in extremes(np.array([[3, -1], [2, 5]]))]
    [[2, -1], [3, 5]]
    """
    smallest = _folded_to_rows(np.minimum, x).min(axis=1)
    largest = _folded_to_rows(np.maximum, x).max(axis=1)
    return smallest, largest


def _folded_to_rows(fold: np.ufunc, x: AnyArray) -> AnyArray:
    """Fold (n, channels) to some hundreds of values per channel, (channels, values)."""
    whole = len(x) // _BESIDE * _BESIDE
    rest = x[whole:]
    if whole:
        wide = x[:whole].reshape(-1, _BESIDE * x.shape[1])
        folded = fold.reduce(wide).reshape(_BESIDE, -1)
        rest = np.concatenate([folded, rest])
    return rest.T.copy()
