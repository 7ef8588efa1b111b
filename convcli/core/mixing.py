"""Weighted sums of the channels, sample by sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.convolution.rounding import of_taps
from convcli.core.op import Held, NumberUse, Op, Span, nothing_held
from convcli.core.reach import Reach
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from convcli.array_types import FloatArray
    from convcli.signals import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Mix(Op):
    """y[o] = sum_i weights[o, i] * x[i] / divisor, in every sample: a 1 x 1 convolution.

    weights : (outputs, inputs); a channel of weight 0 is not read
    axes : sample axes of the signal
    keeps : the channel that the weights leave out and that comes last in the result (the opacity of
        a picture), or None
    """

    weights: FloatArray
    axes: int
    divisor: float = 1.0
    keeps: int | None = None

    @property
    def reach(self) -> tuple[Reach, ...]:
        """An output reads one sample, its own."""
        return (Reach(),) * self.axes

    @property
    def numbers(self) -> NumberUse:
        """The rounding class of the weights."""
        return NumberUse(rounding=of_taps(self.weights, self.divisor), homogeneous=True)

    def output_channels(self, count: int) -> int:
        """Count the sums, and the channel that is kept."""
        return len(self.weights) + (self.keeps is not None)

    def opacity_after(self, alpha: int | None) -> int | None:
        """Return the last channel, if there is an opacity."""
        return None if alpha is None else len(self.weights)

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Add up the channels; a sum is missing where a channel that it reads is."""
        inputs = [c for c in range(x.shape[-1]) if c != self.keeps]
        y = np.zeros((*x.shape[:-1], self.output_channels(x.shape[-1])), x.dtype)
        for output, weights in enumerate(self.weights):
            # One product after the other: a matrix product would round by the length of the block.
            for channel, weight in zip(inputs, weights.tolist(), strict=True):
                if weight != 0:
                    y[..., output] += x[..., channel] * x.dtype.type(weight)
        if self.divisor != 1:
            y /= x.dtype.type(self.divisor)
        if self.keeps is not None:
            y[..., -1] = x[..., self.keeps]
        return y
