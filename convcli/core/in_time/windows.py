"""The operation whose windows are bounded by times: a statistic of each window."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.in_time.reach import BinReach, BinTracker, TimeReach, TimeTracker
from convcli.core.op import ChannelUse, LastKnown, NumberUse, Op, OpTimes, none_known
from convcli.core.windows.ragged import RaggedWindows
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from typing import Self

    from convcli.core.binding import Site, Stage
    from convcli.core.op import Span
    from convcli.core.reach import Reach
    from convcli.core.windows.ragged import Statistic
    from convcli.signals import Array, Missing


@dataclass(frozen=True, eq=False, kw_only=True)
class _StatisticInTime(Op):
    """A statistic of the samples of windows whose places follow from times.

    window : knows the times once it is bound to them
    """

    window: TimeReach | BinReach
    statistic: Statistic
    missing: Missing = "keep"

    channels = ChannelUse(uniform=True)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The window, which lies along axis 0."""
        return (self.window,)

    def _bound(self, reach: Any) -> Self:
        """Return the operation with a window that knows the times."""
        return replace(self, window=reach)

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the operation under the rules of a run; it is always exact."""
        return replace(self, missing=missing)

    def _windows(self, x: Array, span: Span) -> RaggedWindows:
        """The windows of the outputs `span`, which are aligned with the last of their samples."""
        start, stop = span[0]
        first = self.window.needs(start, stop)[0]
        low, high = self.window.windows(start, stop)
        return RaggedWindows(
            x=np.asarray(x, np.float64),
            low=low - first,
            high=high - first,
            first=first,
            own=high - first - 1,
            times=np.zeros(len(x), np.int64),
        )

    def _without_gaps(self, y: Array, windows: RaggedWindows) -> Array:
        """The outputs; under "propagate" those of windows with a gap are missing."""
        if self.missing == "propagate":
            y[windows.gaps > 0] = np.nan
        return y


@dataclass(frozen=True, eq=False, kw_only=True)
class TimeWindows(_StatisticInTime):
    """A statistic of the samples in a window around each sample, bounded in time.

    homogeneous : whether the statistic grows as the samples do
    """

    window: TimeReach
    homogeneous: bool = True

    @property
    def numbers(self) -> NumberUse:
        """Samples of any size; whether the statistic grows with them is a parameter."""
        return NumberUse(homogeneous=self.homogeneous)

    @property
    def times(self) -> OpTimes:
        """Windows bounded by the times of the inputs."""
        tracker = partial(TimeTracker, self.window)
        return OpTimes(in_time=True, tracker=tracker, bound=self._bound)

    def bind(self, site: Site) -> tuple[Stage, ...]:
        """Return one stage, with a message that says what a day is where rows are trading days."""
        stage = replace(site.stage(self), remark="rows count by their distance in time")
        if site.signal.trading_days:
            text = "durations are days of the calendar; a plain number counts trading days (20)"
            stage = replace(stage, notices=(text,))
        return (stage,)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Compute the statistic of each window."""
        windows = self._windows(x, span)
        own = np.arange(*span[0]) - windows.first
        times = self.window.times_of(np.arange(windows.first, windows.first + len(x)))
        windows = replace(windows, own=own, times=times)
        y = self._without_gaps(self.statistic(windows), windows)
        if self.missing not in ("propagate", "fill"):
            y[windows.missing[own]] = np.nan
        return y


@dataclass(frozen=True, eq=False, kw_only=True)
class CalendarPool(_StatisticInTime):
    """A statistic of the samples in each calendar bin."""

    window: BinReach

    numbers = NumberUse(homogeneous=True)

    @property
    def times(self) -> OpTimes:
        """The calendar bins, by the times of the inputs."""
        tracker = partial(BinTracker, self.window)
        bins = (self.window.bins,)
        return OpTimes(in_time=True, bins=bins, tracker=tracker, bound=self._bound)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Compute the statistic of each bin."""
        windows = self._windows(x, span)
        return self._without_gaps(self.statistic(windows), windows)
