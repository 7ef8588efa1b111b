"""Operations of which an output reads one sample: functions of it, and sums of its channels."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from convcli.core.convolution.rounding import rounding_of_taps
from convcli.core.op import ChannelUse, LastKnown, NumberUse, Op, Span, none_known
from convcli.core.op_formula import NNProduct, OpFormula, WindowWeights
from convcli.core.ops import Convolve
from convcli.core.reach import Reach
from convcli.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.array_types import FloatArray
    from convcli.core.activations import Activation
    from convcli.core.convolution.rounding import Rounding
    from convcli.core.op_formula import NNArithmetic, NNCall
    from convcli.signals import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class OneSample(Op):
    """An operation of which an output reads one sample, its own.

    axes : sample axes of the signal
    """

    axes: int

    cell = 1

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Nothing before the sample and nothing after it."""
        return (Reach(),) * self.axes


@dataclass(frozen=True, eq=False, kw_only=True)
class Pointwise(OneSample):
    """A function that is applied to every sample by itself.

    keeps : the channel that is left alone (the opacity of a picture), or None
    alike : whether the function is the same for all channels
    factor : of a function that multiplies by a number
    text : what pages call the function where FILTER does not name it
    nn_call : the function in PyTorch and JAX
    """

    function: Callable[[Array], Array]
    keeps: int | None = None
    alike: bool = True
    rounding: Rounding = "rounded"
    factor: float | None = None
    text: str = ""
    nn_call: NNCall | NNArithmetic | None = None

    @property
    def numbers(self) -> NumberUse:
        """The rounding class of the function."""
        return NumberUse(rounding=self.rounding)

    @property
    def channels(self) -> ChannelUse:
        """Uniform if no channel is left alone or has a function of its own."""
        return ChannelUse(uniform=self.alike and self.keeps is None)

    @property
    def formula(self) -> OpFormula:
        """The convolution that a multiplication is."""
        call: NNCall | NNArithmetic | NNProduct | None = self.nn_call
        if self.factor is not None and self.keeps is None:
            call = NNProduct(float(self.factor))
        return OpFormula(
            as_convolution=self._as_convolution(), delay=0.0, nn_call=call, text=self.text
        )

    def _as_convolution(self) -> Convolve | None:
        """The convolution with one tap, the factor."""
        if self.factor is None or self.keeps is not None:
            return None
        nothing = (0,) * self.axes
        return Convolve(
            taps=np.full((1,) * self.axes, self.factor),
            before=nothing,
            after=nothing,
            step=(1,) * self.axes,
            anchor=nothing,
        )

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Apply the function to all channels but the one that is kept."""
        y = self.function(x)
        if self.keeps is not None:
            y[..., self.keeps] = x[..., self.keeps]
        return y


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivationOp(Pointwise):
    """An activation of every sample, which a layer before it can apply to its own outputs."""

    function: Activation

    @property
    def formula(self) -> OpFormula:
        """The activation by its name in PyTorch."""
        return OpFormula(delay=0.0, nn_call=self.nn_call)

    @property
    def in_place(self) -> Activation | None:
        """The activation, if no channel is left alone."""
        return self.function if self.keeps is None else None


@dataclass(frozen=True, eq=False, kw_only=True)
class Mix(OneSample):
    """y[o] = sum_i weights[o, i] * x[i] / divisor, in every sample: a 1 x 1 convolution.

    weights : (outputs, inputs); a channel of weight 0 is not read
    keeps : the channel that the weights leave out and that comes last in the result (the opacity of
        a picture), or None
    """

    weights: FloatArray
    divisor: float = 1.0
    keeps: int | None = None

    @property
    def formula(self) -> OpFormula:
        """The weights, where no channel goes past them."""
        return OpFormula(window_weights=self._window_weights, delay=0.0)

    def _window_weights(self, channels: int) -> WindowWeights | None:
        """The weights of a window of one sample."""
        if self.keeps is not None or channels != self.weights.shape[1]:
            return None
        size = (1,) * self.axes
        return WindowWeights(
            weights=self.weights.reshape(*self.weights.shape, *size),
            before=(0,) * self.axes,
            groups=1,
            divisor=self.divisor,
            flipped=False,
            on_missing="empty",
        )

    @cached_property
    def numbers(self) -> NumberUse:
        """The rounding class of the weights."""
        return NumberUse(rounding=rounding_of_taps(self.weights, self.divisor), homogeneous=True)

    @cached_property
    def _terms(self) -> list[list[int]]:
        """The output and the input of each weight that is not 0, in the order of the sum."""
        pairs: list[list[int]] = np.argwhere(self.weights).tolist()
        return pairs

    def output_channels(self, count: int) -> int:
        """Count the sums, and the channel that is kept."""
        return len(self.weights) + (self.keeps is not None)

    def opacity_after(self, alpha: int | None) -> int | None:
        """Return the last channel, if there is an opacity."""
        return None if alpha is None else len(self.weights)

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Add up the channels; a sum is missing where a channel that it reads is."""
        inputs = [c for c in range(x.shape[-1]) if c != self.keeps]
        y = np.zeros((*x.shape[:-1], self.output_channels(x.shape[-1])), x.dtype)
        # One product after the other: a matrix product would round by the length of the block.
        for output, number in self._terms:
            weight = x.dtype.type(self.weights[output, number])
            y[..., output] += x[..., inputs[number]] * weight
        if self.divisor != 1:
            y /= x.dtype.type(self.divisor)
        if self.keeps is not None:
            y[..., -1] = x[..., self.keeps]
        return y
