"""The convolution that layers of a network run as.

y[k, o] = b[o] + sum over i, j of w[o, i, j] * x[k*step - before + j*dilation, i], a correlation, as
torch.nn.Conv1d and Conv2d compute it: the weights are not flipped. A dense layer, a transposed
convolution and an interpolation run as this operation, too.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from convcli.core.missing import any_missing, hold, known_by
from convcli.core.op import ChannelUse, LastKnown, NumberUse, Span, none_known
from convcli.core.op_formula import OpFormula, WindowWeights, delay_of_one_sample
from convcli.core.reach import Reach, aligned_samples
from convcli.dataclass import dataclass
from convcli.layers.conv_path import ConvPath, ConvSums
from convcli.layers.conv_paths import cheapest_conv_path
from convcli.layers.onnx.session_nodes import SessionNode, session_node
from convcli.layers.padding import Placement, SelfPadding, widths_of
from convcli.layers.training.trained import trained_form
from convcli.layers.training.trained_conv import TrainedConv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.array_types import BoolArray, FloatArray, Sizes
    from convcli.core.executor import Executor
    from convcli.core.op import Op
    from convcli.layers.weights import Tensor
    from convcli.signals import Array, Missing

# With a larger sum of squares an output may be so large that a path which mixes windows rounds the
# outputs beside it too coarsely.
MODERATE = 1e24


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvOp(SelfPadding):
    """A convolution with weights between all channels of a group, which may pad its own input.

    weights : (out, in / groups, k) or (out, in / groups, height, width); bias : (out,) or None
    beside : the last channel (the opacity of a picture) goes past the layer unchanged
    missing : the rule for missing samples
    activation : a function that is applied to the outputs, in place
    """

    weights: FloatArray
    bias: FloatArray | None
    step: Sizes
    dilation: Sizes
    at: Placement
    groups: int = 1
    beside: bool = False
    missing: Missing = "keep"
    activation: Callable[[Array, Array], Array] | None = None

    holds = True
    numbers = NumberUse(rounding="single")

    @cached_property
    def widths(self) -> Sizes:
        """How many neighbouring samples a window spans on each axis."""
        return widths_of(self.weights.shape[2:], self.dilation)

    def output_channels(self, count: int) -> int:
        """Count the outputs, and the channel that goes past them."""
        return len(self.weights) + self.beside

    @property
    def channels(self) -> ChannelUse:
        """The number of input or of output channels, whichever is larger."""
        inputs: int = self.weights.shape[1] * self.groups
        return ChannelUse(widest=max(inputs, len(self.weights)))

    def with_rules(self, missing: Missing, *, exact: bool) -> Self:
        """Return the layer under the rules of a run."""
        return replace(self, missing=missing)

    def joined(self, following: Op) -> Op | None:
        """Return the layer with the activation, or the scale and shift, that follows it."""
        if self.activation is not None or self.beside:
            return None
        if following.scale_and_shift is not None:
            return self._scaled(*following.scale_and_shift)
        if following.in_place is None:
            return None
        return replace(self, activation=following.in_place)

    def _scaled(self, scale: FloatArray, shift: FloatArray) -> Self:
        """Return the convolution with weights and biases that scale and shift the outputs."""
        of_weights = scale.reshape(-1, *(1,) * (self.weights.ndim - 1))
        bias = shift
        if self.bias is not None:
            bias = self.bias * scale + shift
        return replace(self, weights=self.weights * of_weights, bias=bias)

    def executor(self, ops: Sequence[Op]) -> Executor | None:
        """Return what runs this and the following layers in an inference library."""
        from convcli.layers.onnx.sessions import network_executor

        return network_executor(ops)

    @property
    def formula(self) -> OpFormula:
        """The weights of the windows, for explanations and for inference libraries."""
        delay = delay_of_one_sample(self.reach)
        return OpFormula(window_weights=self._window_weights, delay=delay)

    def _window_weights(self, channels: int) -> WindowWeights | None:
        """The weights with the zeros of the dilation; None where a channel goes past the layer."""
        if self.beside:
            return None
        return WindowWeights(
            weights=dilated(self.weights, self.dilation),
            before=self.at.before,
            groups=self.groups,
            bias=self.bias,
            flipped=False,
            padding=self.at.padding,
            dilation=self.dilation,
        )

    @property
    def taps(self) -> FloatArray:
        """The weights as taps of a convolution: flipped, with the zeros of the dilation.

        (k,) or (height, width); with several channels a stack of them, one for each output and each
        of its inputs
        """
        spaced = dilated(self.weights, self.dilation)
        stack = np.flip(spaced.reshape(-1, *spaced.shape[2:]), tuple(range(1, spaced.ndim - 1)))
        return stack[0] if len(stack) == 1 else stack

    @property
    def position(self) -> Reach | None:
        """How the taps lie along axis 0; None where the layer pads its own input."""
        return self.reach[0] if self.at.padding is None else None

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Convolve; NaN in `x` is missing."""
        x = self.within(x)
        held = self.held_within(held)
        first = span[0][0]
        if not self.beside:
            return self._filtered(x, first, held)
        y = self._filtered(x[..., :-1], first, _without_last(held))
        passed = self._aligned(x, y.shape)[..., -1:]
        return np.concatenate([y, passed], axis=-1)

    def _filtered(self, x: Array, first: int, held: LastKnown) -> Array:
        if any_missing(x):
            return self._over_gaps(x, first, held)
        return self._summed(x, first)

    def _summed(self, x: Array, first: int) -> Array:
        """The layer on samples of which none is missing; `first` : number of the first output."""
        path = self._path(x.dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            y = path(x, first)
            if path.mixes_windows and not _is_moderate(y):
                y = self._path(x.dtype, mixes_windows=False)(x, first)
        return y

    def _path(self, dtype: np.dtype[Any], *, mixes_windows: bool = True) -> ConvPath:
        """The path that computes the layer on samples of a type."""
        path = self._paths.get((dtype, mixes_windows))
        if path is None:
            path = cheapest_conv_path(self.sums, dtype, mixes_windows=mixes_windows)
            self._paths[dtype, mixes_windows] = path
        return path

    @cached_property
    def sums(self) -> ConvSums:
        """The sums of the layer, for the path that computes them."""
        return ConvSums(
            weights=self.weights,
            bias=self.bias,
            step=self.step,
            dilation=self.dilation,
            groups=self.groups,
            activation=self.activation,
        )

    @cached_property
    def _paths(self) -> dict[tuple[np.dtype[Any], bool], ConvPath]:
        """The paths that compute the layer, by the arguments of `_path`."""
        return {}

    def _over_gaps(self, x: Array, first: int, held: LastKnown) -> Array:
        """Convolve with every gap filled by the last known value.

        An output is NaN where no value is known yet.
        """
        filled = hold(x, held)
        unknown = np.isnan(filled)
        y = self._summed(np.where(unknown, 0.0, filled).astype(x.dtype), first)
        if x.ndim == 2:
            earlier = held() if np.isnan(x[0]).any() else None
            known = known_by(x, earlier, self.widths[0], self.step[0], len(y))
            y[~known.all(axis=-1)] = np.nan
        else:
            y[self._touched(unknown, y.shape)] = np.nan
        if self.missing == "propagate":
            y[self._touched(np.isnan(x), y.shape)] = np.nan
        elif self.missing != "fill":
            gone = np.isnan(self._aligned(x, y.shape))
            y[gone.any(axis=-1)] = np.nan
        return y

    def _touched(self, missing: BoolArray, shape: Sizes) -> BoolArray:
        """The outputs with a missing sample in their window, in any channel."""
        any_channel: Any = missing.any(axis=-1, keepdims=True).astype(np.float64)
        window = np.ones((1, 1, *self.weights.shape[2:]))
        ones = ConvSums(weights=window, bias=None, step=self.step, dilation=self.dilation)
        counted = cheapest_conv_path(ones, np.float64)(any_channel)
        return np.asarray(counted[..., 0] > 0.5, bool)

    def _aligned(self, x: Array, shape: Sizes) -> Array:
        """The inputs that the outputs are aligned with; `x` is without the spare inputs."""
        windows = tuple(
            replace(reach, before=before)
            for reach, before in zip(self.reach, self.at.before, strict=True)
        )
        return aligned_samples(x, windows, shape)


def _is_moderate(y: Array) -> bool:
    """Whether no output is missing, infinite or huge; `y` : contiguous."""
    flat = y.reshape(-1)
    return bool(np.dot(flat, flat) < MODERATE)


def dilated(weights: Tensor, dilation: Sizes) -> Tensor:
    """Weights (out, in, k...) with zeros between the taps."""
    spaced = np.zeros((*weights.shape[:2], *widths_of(weights.shape[2:], dilation)))
    every = tuple(slice(None, None, d) for d in dilation)
    spaced[(slice(None), slice(None), *every)] = weights
    return spaced


def _without_last(held: LastKnown) -> LastKnown:
    """The held values of all channels but the last."""

    def some() -> Array | None:
        values = held()
        return None if values is None else values[..., :-1]

    return some


@session_node.register(ConvOp)
def _session_node_of_conv(op: ConvOp) -> SessionNode | None:
    from convcli.layers.onnx.session_convs import node_of_convolution

    return node_of_convolution(op)


@trained_form.register(ConvOp)
def _trained_conv(op: ConvOp) -> TrainedConv:
    """How a convolution is trained, with its own geometry."""
    return TrainedConv(op=op)
