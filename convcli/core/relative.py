"""The change of a sample relative to an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.op import ChannelUse, Held, Op, Span, nothing_held
from convcli.core.reach import Reach
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.signals import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class RelativeChange(Op):
    """y[t] = (x[t] - x[t - lags]) / x[t - lags]; missing where the earlier sample is 0.

    lags : samples along each axis, 0 for all axes but one
    keeps : the channel that is left alone (the opacity of a picture), or None
    """

    lags: tuple[int, ...]
    keeps: int | None = None

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output reads its own sample and earlier ones."""
        return tuple(Reach(before=lag) for lag in self.lags)

    @property
    def channels(self) -> ChannelUse:
        """Uniform if no channel is left alone."""
        return ChannelUse(uniform=self.keeps is None)

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Divide the difference by the earlier sample."""
        behind_lags = tuple(slice(lag, None) for lag in self.lags)
        now = x[behind_lags]
        before_ends = tuple(slice(length) for length in now.shape[: len(self.lags)])
        earlier = x[before_ends]
        y: Array = np.divide(
            now - earlier, earlier, out=np.full_like(now, np.nan), where=earlier != 0
        )
        if self.keeps is not None:
            y[..., self.keeps] = now[..., self.keeps]
        return y
