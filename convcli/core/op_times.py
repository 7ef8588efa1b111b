"""What operations and chains make of the times of the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from convcli.calendar_bins import CalendarBins
    from convcli.core.in_time.reach import Tracker
    from convcli.core.op import Op


@dataclass(frozen=True, eq=False, kw_only=True)
class TimeUse:
    """What an operation or a chain makes of the times of its inputs.

    in_time : whether windows are bounded by the times of the samples
    bins : the calendar bins that there is an output for, one after the other
    counted : how many of `bins` have to be counted from the start of the signal, because the number
        of a bin matters after them: to sums of windows in time, and to strides
    """

    in_time: bool = False
    bins: tuple[CalendarBins, ...] = ()
    counted: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class OpTimes(TimeUse):
    """How an operation follows the times of its inputs.

    tracker : makes what follows the times of the inputs of one signal and of their outputs
    bound : gives the operation with the reach of its tracker, which knows the times so far
    """

    tracker: Callable[[], Tracker]
    bound: Callable[[Any], Op]


def time_use_of_series(ops: Iterable[Op]) -> TimeUse:
    """Return what operations one after the other make of the times."""
    bins: tuple[CalendarBins, ...] = ()
    counted = 0
    in_time = False
    for op in ops:
        times = op.times
        along = op.reach[0]
        if times.in_time or along.step != 1 or along.phases != 1:
            counted = len(bins)
        if times.counted:
            counted = len(bins) + times.counted
        bins += times.bins
        in_time = in_time or times.in_time
    return TimeUse(in_time=in_time, bins=bins, counted=counted)
