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
    windows_over_bins : whether windows in time read what calendar bins give
    """

    in_time: bool = False
    bins: tuple[CalendarBins, ...] = ()
    windows_over_bins: bool = False


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
    each = [op.times for op in ops]
    in_time = [times for times in each if times.in_time]
    over_bins = any(times.bins for times in in_time[:-1])
    return TimeUse(
        in_time=bool(in_time),
        bins=tuple(bins for times in each for bins in times.bins),
        windows_over_bins=over_bins or any(times.windows_over_bins for times in in_time),
    )
