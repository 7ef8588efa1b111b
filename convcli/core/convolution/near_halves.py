"""Results in float32 that lie near one half, where rounding may take them to either side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from convcli.array_types import AnyArray, ByteArray, Float32Array, FloatArray
    from convcli.signals import Array

    Places = tuple[npt.NDArray[np.intp], ...]

# Half a unit in the last place of float32.
FLOAT32_HALF_ULP = 2.0**-24
# Results that are compared together, and samples of windows that are summed up together: they stay
# in the cache.
_COMPARED = 1 << 18
_GATHERED = 1 << 16


def accumulated_error(roundings: float, unit: float) -> float:
    """Return the largest relative error of a product through which a number of roundings go.

    It is gamma(n) = n u / (1 - n u) of n roundings, u being half a unit in the last place. A sum of
    products has at most this part of the sum of their sizes as its error, in whatever order it is
    added up, if at most n roundings go through each product (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd edition, lemma 3.1 and section 3.1).
    """
    error = roundings * unit
    return error / (1 - error)


@dataclass(frozen=True)
class ErrorBound:
    """A bound of the error of a sum: a part of the sum of |tap| * sample, and a number beside it.

    relative : that part; absolute : the number, in units of a byte
    """

    relative: float
    absolute: float


@dataclass(frozen=True, eq=False)
class InDouble:
    """How results are computed in float64.

    at : computes the results at some places, from their windows
    everywhere : computes all results; used for more than `most` places
    """

    at: Callable[[Places], Array]
    everywhere: Callable[[], Array]
    most: float

    def results(self, places: Places) -> Array:
        """Return the results at some places."""
        if len(places[0]) <= self.most:
            return self.at(places)
        found: Array = self.everywhere()[places]
        return found


def refine(
    strips: Iterable[Array],
    shape: tuple[int, ...],
    bound: ErrorBound,
    in_double: InDouble,
    *,
    to_bytes: bool,
) -> Array:
    """Return results in float32 so that they are rounded as in float64.

    strips : the results, side by side along axis 1, which are changed; shape : of all of them
    bound : of results that are not negative, or with a relative part of 0
    to_bytes : return rounded bytes; every result has to round to 0 ... 255
    """
    results: Any
    if to_bytes:
        results, places = _rounded(strips, shape, bound)
    else:
        results = _joined_strips(strips)
        places = _doubtful(results, bound)
    sums: Any = in_double.results(places)
    results[places] = np.rint(sums) if to_bytes else _rounded_alike(sums)
    return np.asarray(results)


def _joined_strips(strips: Iterable[Array]) -> Array:
    """Put strips side by side, without a copy if there is only one."""
    parts = list(strips)
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, axis=1)


def sums_of_windows(
    windows: Array, places: Places, sum_up: Callable[[FloatArray, slice], FloatArray]
) -> FloatArray:
    """Sum up some windows in float64, a part of them at a time.

    windows : a view whose last axes are those of a window; places : on its other axes
    sum_up : adds up the samples of a part of the windows, (windows, *sides)
    """
    sums = np.empty(len(places[0]))
    sides = windows.shape[len(places) :]
    together = max(1, _GATHERED // math.prod(sides))
    for first in range(0, len(sums), together):
        part = slice(first, first + together)
        read = windows[tuple(place[part] for place in places)]
        sums[part] = sum_up(read.astype(np.float64, copy=False), part)
    return sums


def _doubtful(y: Array, bound: ErrorBound) -> Places:
    """Find the results that the largest error may take to the other side of one half.

    Those from 256 on are cut off, whatever they are.
    """
    results = y.reshape(-1)
    limit = np.float32(0.5 - bound.absolute)
    lowest_limit = limit - np.float32(256 * bound.relative)
    found = []
    for first in range(0, len(results), _COMPARED):
        part = results[first : first + _COMPARED]
        distance = np.rint(part)
        np.subtract(part, distance, out=distance)
        np.abs(distance, out=distance)
        is_near = distance > lowest_limit
        places = _places_of_few(is_near.view(np.uint8), np.zeros(len(part), np.uint8))
        own_limits = limit - bound.relative * np.abs(part[places])
        is_doubtful = distance[places] > own_limits
        found.append(places[is_doubtful] + first)
    return np.unravel_index(np.concatenate(found), y.shape)


def _rounded(
    strips: Iterable[Array], shape: tuple[int, ...], bound: ErrorBound
) -> tuple[AnyArray, Places]:
    """Round results to bytes, and find those that may be rounded to either side.

    Rounded with the largest error added and taken off, they become different bytes.
    """
    import cv2

    relative, absolute = bound.relative, bound.absolute
    rounded = np.empty(shape, np.uint8)
    found: list[Places] = []
    left = 0
    for strip in strips:
        right = left + strip.shape[1]
        together = max(1, _COMPARED // max(strip[:1].size, 1))
        for top in range(0, len(strip), together):
            part: Any = strip[top : top + together]
            more: Any = cv2.convertScaleAbs(part, alpha=1 + relative, beta=absolute)
            less: Any = cv2.convertScaleAbs(part, alpha=1 - relative, beta=-absolute)
            rounded[top : top + together, left:right] = more.reshape(part.shape)
            few = _places_of_few(more.reshape(-1), less.reshape(-1))
            row, column, *others = np.unravel_index(few, part.shape)
            found.append((row + top, column + left, *others))
        left = right
    return rounded, tuple(map(np.concatenate, zip(*found, strict=True)))


def _places_of_few(one: ByteArray, other: ByteArray) -> npt.NDArray[np.intp]:
    """Return `np.flatnonzero(one != other)` in a third of the time if few are different."""
    whole = len(one) // 8 * 8
    words = one[:whole].view(np.uint64) != other[:whole].view(np.uint64)
    of_eight = np.flatnonzero(words)
    differs = one[:whole].reshape(-1, 8)[of_eight] != other[:whole].reshape(-1, 8)[of_eight]
    number, place = np.nonzero(differs)
    rest = whole + np.flatnonzero(one[whole:] != other[whole:])
    return np.concatenate([8 * of_eight[number] + place, rest])


def _rounded_alike(sums: FloatArray) -> Float32Array:
    """Return the float32 next to each sum that is rounded to the same whole number."""
    near = sums.astype(np.float32)
    whole = np.rint(sums)
    crossed = np.rint(near) != whole
    near[crossed] = np.nextafter(near[crossed], whole[crossed].astype(np.float32))
    return near
