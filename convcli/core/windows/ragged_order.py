"""Order statistics of windows of any lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.windows.kth_smallest import LookedUpWindows
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.core.windows.order_statistics import OrderStatistic
    from convcli.core.windows.ragged import RaggedWindows
    from convcli.signals import Array


@dataclass(frozen=True)
class OrderInTime:
    """A statistic of the known samples of each window in order of their size."""

    statistic: OrderStatistic

    def __call__(self, windows: RaggedWindows) -> Array:
        """Look up the samples of every channel in a tree of its own."""
        y = np.empty((len(windows.low), windows.x.shape[1]))
        for channel in range(y.shape[1]):
            x = windows.x[:, channel]
            ordered = LookedUpWindows(x, windows.low, windows.high, windows.own)
            numbers = self.statistic.of_ordered(ordered)
            y[:, channel] = np.where(ordered.known > 0, numbers, np.nan)
        return y
