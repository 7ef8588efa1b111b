"""Resampling of bytes in float32 whose results are rounded as those of float64 are.

Both axes of a picture are resampled in float32, in a third of the time of float64. The few results
that lie nearer to one half than the error of float32 are computed once more in float64, each from
the bytes of its window.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcli.core.convolution.near_halves import (
    FLOAT32_HALF_ULP,
    ErrorBound,
    InDouble,
    accumulated_error,
    refine,
    sums_of_windows,
)
from convcli.core.convolution.polyphase import PhaseTaps, polyphase_along
from convcli.core.convolution.rounding import BINARY, share_a_denominator
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import FloatArray, IntArray
    from convcli.core.convolution.near_halves import Places
    from convcli.core.convolution.polyphase import AxisTaps
    from convcli.core.op import Span
    from convcli.signals import Array

# Roundings of a result after both axes: `near_halves.py` adds and compares.
_LATER_ROUNDINGS = 3
# Where more samples of windows would have to be read again, for each sample of the input, float64
# throughout takes less time.
_MOST_READ_AGAIN = 2.0
# Phases that are looked at for results of exactly one half. A single phase of many makes few.
_PHASES = 4
# From this many outputs of a block on, rounding them by OpenCV pays for its import.
_MANY = 1 << 16

_UNCHANGED = PhaseTaps.one_phase(np.ones(1), 1)


def refined_resampling(resamplers: Sequence[AxisTaps | None]) -> RefinedResampling | None:
    """Return what computes operations on bytes at once, None where it is not faster.

    resamplers : the taps of each operation, in the order of the axes; None if it is no resampler
    """
    known = [each for each in resamplers if each is not None]
    axes = [each.axis for each in known]
    if len(known) < len(resamplers) or axes not in ([0], [1], [0, 1]):
        return None
    taps = {each.axis: each.taps for each in known}
    found = RefinedResampling(taps.get(0, _UNCHANGED), taps.get(1, _UNCHANGED))
    return found if found.is_exact or found.is_cheap else None


@dataclass(frozen=True, eq=False)
class RefinedResampling:
    """Bytes of a picture, (rows, columns, channels), resampled along both axes.

    down, across : the taps along axis 0 and along axis 1
    """

    down: PhaseTaps
    across: PhaseTaps

    @cached_property
    def is_exact(self) -> bool:
        """Whether float32 rounds no sum: the weights are fractions of a power of two."""
        return _is_binary_mean(self.down) and _is_binary_mean(self.across)

    @cached_property
    def is_cheap(self) -> bool:
        """Whether the results near one half are so few that it pays to compute them again."""
        down, across = self.down, self.across
        outputs = down.phases * across.phases / (down.step * across.step)
        part = 2 * (256 * self._error.relative + self._error.absolute)
        if part * outputs * down.width * across.width > _MOST_READ_AGAIN:
            return False
        return not _often_one_half(down, across)

    @cached_property
    def _error(self) -> ErrorBound:
        """The largest error of a result in float32.

        A product through two sums of k and l terms meets at most k - 1 and l - 1 additions, and in
        each of them the product and the tap are rounded. The weights w of bytes x add up to 1, so
        that the sum of |w| x is the result and twice the share of the weights below 0, which is at
        most 255 times the sum of |w| - 1.
        """
        roundings = self.down.width + 1 + self.across.width + 1 + _LATER_ROUNDINGS
        relative = accumulated_error(roundings, FLOAT32_HALF_ULP)
        size = _largest_sum(self.down) * _largest_sum(self.across)
        return ErrorBound(relative, relative * 255 * (size - 1))

    def __call__(self, x: Array, span: Span) -> Array:
        """Return the outputs `span` in float32, to be rounded to whole numbers.

        x : bytes from the inputs that the outputs are aligned with on, and before that
        Returns rounded bytes if none of the outputs has to be cut off.
        """
        y = self._resampled(x, span)
        if self.is_exact:
            return y

        window = self.down.width * self.across.width
        in_double = InDouble(
            at=lambda places: self._sums_at(places, x, span),
            everywhere=lambda: self._resampled(x.astype(np.float64), span),
            most=_MOST_READ_AGAIN * x.size / window,
        )
        return refine([y], y.shape, self._error, in_double, to_bytes=self._are_bytes(y))

    def _are_bytes(self, y: Array) -> bool:
        """Whether the outputs are many, and are rounded to 0 ... 255, whatever their error."""
        if y.size < _MANY:
            return False
        room = 0.5 - 256 * self._error.relative - self._error.absolute
        return bool(y.min() > -room and y.max() < 255 + room)

    def _resampled(self, x: Array, span: Span) -> Array:
        """Return the outputs in float32, of float64 in float64."""
        for axis, taps in enumerate((self.down, self.across)):
            if taps is not _UNCHANGED:
                x = polyphase_along(x, taps, span[axis], axis=axis)
        return x

    def _sums_at(self, places: Places, x: Array, span: Span) -> FloatArray:
        """Return the results at some places in float64."""
        row, column, channel = places
        sides = (self.down.width, self.across.width)
        windows = sliding_window_view(x, sides, axis=(0, 1))
        top, down_phase = _windows_of(self.down, row, span[0])
        left, across_phase = _windows_of(self.across, column, span[1])

        def products(samples: FloatArray, part: slice) -> FloatArray:
            row_taps = self.across.table[across_phase[part], :, None]
            column_taps = self.down.table[down_phase[part], None, :]
            along_rows = np.matmul(samples, row_taps)
            sums: FloatArray = np.matmul(column_taps, along_rows)[:, 0, 0]
            return sums

        return sums_of_windows(windows, (top, left, channel), products)


def _windows_of(
    taps: PhaseTaps, places: IntArray, span: tuple[int, int]
) -> tuple[IntArray, IntArray]:
    """Return where the windows of some outputs begin in a block, and their phases.

    places : counted from the first output of `span`
    """
    start, _ = span
    groups, phases = np.divmod(places + start, taps.phases)
    first_inputs = groups * taps.step + taps.starts[phases]
    return first_inputs - taps.origin(start), phases


def _often_one_half(down: PhaseTaps, across: PhaseTaps) -> bool:
    """Return whether results often come to exactly one half, in a pair of phases."""
    for column, row in product(down.table[-_PHASES:], across.table[-_PHASES:]):
        weights = np.outer(column, row)
        is_whole = np.array_equal(weights, np.rint(weights))
        if not is_whole and share_a_denominator(weights):
            return True
    return False


def _largest_sum(taps: PhaseTaps) -> float:
    """Return the largest sum of the sizes of the taps of a phase."""
    sums = np.abs(taps.table).sum(axis=1)
    return float(sums.max())


def _is_binary_mean(taps: PhaseTaps) -> bool:
    """Return whether the taps are multiples of 1 / BINARY, none of them below 0."""
    parts = taps.table * BINARY
    is_whole = np.array_equal(parts, np.rint(parts))
    return is_whole and bool((parts >= 0).all())
