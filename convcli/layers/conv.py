"""Convolution layers: text form, weights, the operation that runs, the gradients that train it.

A layer computes y[k, o] = b[o] + sum over i, j of w[o, i, j] * x[k*step - before + j*dilation, i],
which is what torch.nn.Conv1d and Conv2d compute (a correlation: the weights are not flipped).
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from convcli.core.kernel import Kernel
from convcli.core.missing import any_missing, hold, known_by
from convcli.core.op import ChannelUse, Held, NumberUse, Span, nothing_held
from convcli.core.op_formula import OpFormula, WindowWeights, delay_of_one_sample
from convcli.core.reach import Reach, aligned_samples
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.bands import Band, channels_of_group
from convcli.layers.conv_path import ConvPath, ConvSums
from convcli.layers.conv_paths import cheapest_conv_path
from convcli.layers.layer import WeightedLayer, layer
from convcli.layers.onnx.session_nodes import SessionNode, session_node
from convcli.layers.padding import EDGES, Padding, PaddingMode, Placement, SelfPadding
from convcli.layers.training.trained import BatchLayer, TrainedLayer, TrainedWeights, trained_form
from convcli.units import Count, Size, UnitError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convcli.array_types import BoolArray, FloatArray, Sizes
    from convcli.core.binding import Stage
    from convcli.core.executor import Executor
    from convcli.core.op import Op
    from convcli.layers.layer import LayerSite, LayerTensors
    from convcli.layers.onnx.writer import ExportPlace
    from convcli.layers.training.trained import BatchShape, Tensors, Vector
    from convcli.layers.weights import Tensor
    from convcli.planning.calls import Call
    from convcli.signals import Array, Edge, Missing

# A layer of more weights would not be learned in a day here.
MOST_WEIGHTS = 10_000_000


# --------------------------------------------------------------------------------------- as written


@layer("conv")
@dataclass(frozen=True)
class ConvLayer(WeightedLayer):
    """A convolution with OUT channels and windows of SIZE, as Conv1d and Conv2d.

    out, size : None where the weights say them; all sizes have one number for each sample axis
    Its weights are (out, in / groups, size...).
    """

    out: Count | None = None
    size: Size | None = None
    _: KW_ONLY
    stride: Size | None = None
    padding: Padding | None = None
    padding_mode: PaddingMode = "zeros"
    dilation: Size | None = None
    groups: Count = 1

    example: ClassVar[str] = "conv:stride=2"
    trainable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.padding == "same" and any(step != 1 for step in self._step):
            raise UnitError("padding=same needs a stride of 1, as in torch")

    @property
    def _step(self) -> Sizes:
        return self.stride or (1,) * self.signal.axes

    @property
    def _spacing(self) -> Sizes:
        """The dilation: inputs from one tap to the next."""
        return self.dilation or (1,) * self.signal.axes

    @property
    def pads(self) -> bool:
        """Whether the layer is written with a padding of its own."""
        return self.padding is not None

    def _checked(self, tensors: LayerTensors) -> tuple[Tensor, Tensor | None]:
        """The weights and the bias.

        RequestError where they are not those of the layer as written.
        """
        axes = self.signal.axes
        mismatch = self.call.error(f"{tensors.found}, which is another layer")
        if tensors.weight.ndim != axes + 2:
            wanted = "(out, in, k)" if axes == 1 else "(out, in, height, width)"
            message = f"{tensors.found}, and this signal needs {wanted}"
            hint = (
                "one-dimensional models are for sound and tables, two-dimensional ones for pictures"
            )
            mismatch = RequestError(message, hint=hint)
        declared = (self.out, None, *(self.size or (None,) * axes))
        weights, bias = self.weights_and_bias(tensors, declared, mismatch)
        if len(weights) % self.groups:
            message = f"{self.groups} groups do not share {len(weights)} channels evenly"
            raise self.call.error(message)
        return weights, bias

    def channels(self, tensors: LayerTensors) -> tuple[int, int]:
        """Channels that go in and come out by the weights."""
        weights, _ = self._checked(tensors)
        return weights.shape[1] * self.groups, len(weights)

    def kernel(self, tensors: LayerTensors) -> Kernel | None:
        """The taps of a layer of one channel without stride, padding and bias; None of others."""
        weights, bias = self._checked(tensors)
        one = weights.shape[:2] == (1, 1) and all(step == 1 for step in self._step)
        if not one or bias is not None or self.pads:
            return None
        kernel = Kernel.correlating(dilated(weights, self._spacing)[0, 0])
        # torch's padding="same" puts the odd sample of padding behind the signal.
        return replace(kernel, centre=tuple(k // 2 for k in kernel.taps.shape))

    def bind(self, site: LayerSite) -> tuple[Stage, ...]:
        """Return one stage with one operation."""
        weights, bias = self._checked(site.tensors)
        taken = weights.shape[1] * self.groups
        if taken * site.copies != site.channels:
            name = f"{site.tensors.path}: {site.tensors.number}.weight"
            message = f"{name} takes {taken} channels, and {site.channels} come to it"
            raise self.call.error(message)
        if site.copies > 1:
            weights = np.tile(weights, (site.copies, *(1,) * (weights.ndim - 1)))
            bias = None if bias is None else np.tile(bias, site.copies)
        op = ConvOp(
            weights=weights,
            bias=bias,
            step=self._step,
            dilation=self._spacing,
            groups=self.groups * site.copies,
            at=self._placement(weights.shape[2:], site),
            beside=site.passed_by is not None,
        )
        return (replace(site.stage(op), learned=op),)

    def _placement(self, shape: Sizes, site: LayerSite) -> Placement:
        """Where the windows of taps of this shape lie, and how the layer pads."""
        widths = widths_of(shape, self._spacing)
        nothing = (0,) * len(widths)
        last = tuple(width - 1 for width in widths)
        if site.rules.align == "causal":
            padding = self._causal_padding() if site.padding == "causal" else None
            if padding is not None and site.rules.edge == "valid" and not self.pads:
                fewer = tuple(-n for n in last)
                return Placement(before=nothing, anchor=last, growth=fewer, padding=padding)
            return Placement(before=last, anchor=nothing, growth=nothing, padding=padding)
        middle = tuple(n // 2 for n in last)
        if site.padding == "chain":
            return Placement(before=middle, anchor=nothing, growth=nothing)
        if self.padding == "same":
            left = middle
            right = tuple(width // 2 for width in widths)
        else:
            left = right = self.padding or nothing
        sides = zip(left, right, last, strict=True)
        anchor = [half - low for half, low in zip(middle, left, strict=True)]
        return Placement(
            before=left,
            anchor=tuple(anchor),
            growth=tuple(low + high - n for low, high, n in sides),
            padding=EDGES[self.padding_mode],
        )

    def _causal_padding(self) -> Edge:
        """How the layer pads before the signal. RequestError if that takes later samples."""
        padding = EDGES[self.padding_mode]
        if padding in {"wrap", "reflect"}:
            message = f"padding_mode={self.padding_mode} looks ahead; --align causal does not"
            raise self.call.error(message)
        return padding

    def export(self, place: ExportPlace) -> None:
        """Add a Conv, and before it a Pad where the padding is not zeros."""
        weights, bias = self._checked(place.tensors)
        widths = widths_of(weights.shape[2:], self._spacing)
        before, after = self._exported_padding(widths, place)
        graph = place.graph
        if self.padding_mode != "zeros":
            graph.padded(before, after, EDGES[self.padding_mode])
            before = after = (0,) * len(widths)
        inputs = [place.stored("weight", weights)]
        if bias is not None:
            inputs.append(place.stored("bias", bias))
        graph.node(
            "Conv",
            *inputs,
            kernel_shape=weights.shape[2:],
            strides=self._step,
            dilations=self._spacing,
            group=self.groups,
            pads=[*before, *after],
        )
        graph.channels = len(weights)

    def _exported_padding(self, widths: Sizes, place: ExportPlace) -> tuple[Sizes, Sizes]:
        """Samples that are added before and after, on each axis."""
        nothing = (0,) * len(widths)
        if place.padding == "causal":
            return tuple(width - 1 for width in widths), nothing
        if self.padding == "same":
            before = tuple((width - 1) // 2 for width in widths)
            return before, tuple(width // 2 for width in widths)
        sides = self.padding or nothing
        return sides, sides

    def untrained(self, channels: int) -> dict[str, Tensor]:
        """The tensors of a layer that gets `channels` channels, all 0.

        RequestError where the text says too little.
        """
        if self.out is None or self.size is None:
            message = "a conv to be trained says how many channels it makes, and its taps"
            raise self.call.error(message, hint="conv:8,7")
        if channels % self.groups or self.out % self.groups:
            message = f"{self.groups} groups do not share {channels} and {self.out} channels evenly"
            raise self.call.error(message)
        shape = (self.out, channels // self.groups, *self.size)
        check_weight_count(shape, self.call, "conv:8,7")
        tensors = {"weight": np.zeros(shape)}
        if self.bias is not False:
            tensors["bias"] = np.zeros(self.out)
        return tensors


def check_weight_count(shape: Sizes, call: Call, example: str) -> None:
    """RequestError where a layer of weights of this shape would take too long to be trained."""
    count = math.prod(shape)
    if count > MOST_WEIGHTS:
        message = f"{count:,} weights in a layer; at most {MOST_WEIGHTS:,} are trained"
        raise call.error(message, hint=example)


# --------------------------------------------------------------------------------------- as it runs


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvOp(SelfPadding):
    """A convolution layer that runs.

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
        """Return the layer with the activation that follows it."""
        if following.in_place is None or self.activation is not None or self.beside:
            return None
        return replace(self, activation=following.in_place)

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
        )

    @property
    def taps(self) -> FloatArray:
        """The weights as taps of a convolution.

        They are flipped, with the zeros of the dilation between them.

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

    def __call__(self, x: Array, span: Span, held: Held = nothing_held) -> Array:
        """Convolve; NaN in `x` is missing."""
        x = self.within(x)
        held = self.held_within(held)
        first = span[0][0]
        if not self.beside:
            return self._filtered(x, first, held)
        y = self._filtered(x[..., :-1], first, _without_last(held))
        passed = self._aligned(x, y.shape)[..., -1:]
        return np.concatenate([y, passed], axis=-1)

    def _filtered(self, x: Array, first: int, held: Held) -> Array:
        if any_missing(x):
            return self._over_gaps(x, first, held)
        return self._summed(x, first)

    def _summed(self, x: Array, first: int) -> Array:
        """The layer on samples of which none is missing; `first` : number of the first output."""
        path = self._paths.get(x.dtype)
        if path is None:
            path = cheapest_conv_path(self.sums, x.dtype)
            self._paths[x.dtype] = path
        with np.errstate(invalid="ignore", over="ignore"):
            return path(x, first)

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
    def _paths(self) -> dict[np.dtype[Any], ConvPath]:
        """The path that computes the layer, by the type of the samples."""
        return {}

    def _over_gaps(self, x: Array, first: int, held: Held) -> Array:
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
        """The outputs with a missing sample in their window, in whatever channel."""
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


def widths_of(shape: Sizes, dilation: Sizes) -> Sizes:
    """How many neighbouring samples windows of `shape` taps span."""
    widths = []
    for taps, spacing in zip(shape, dilation, strict=True):
        last = (taps - 1) * spacing
        widths.append(last + 1)
    return tuple(widths)


def dilated(weights: Tensor, dilation: Sizes) -> Tensor:
    """Weights (out, in, k...) with zeros between the taps."""
    spaced = np.zeros((*weights.shape[:2], *widths_of(weights.shape[2:], dilation)))
    every = tuple(slice(None, None, d) for d in dilation)
    spaced[(slice(None), slice(None), *every)] = weights
    return spaced


def _without_last(held: Held) -> Held:
    """The held values of all channels but the last."""

    def some() -> Array | None:
        values = held()
        return None if values is None else values[..., :-1]

    return some


@session_node.register(ConvOp)
def _session_node_of_conv(op: ConvOp) -> SessionNode | None:
    from convcli.layers.onnx.session_convs import node_of_convolution

    return node_of_convolution(op)


# ------------------------------------------------------------------------------------- as it learns


@dataclass(frozen=True, kw_only=True)
class TrainedConv(TrainedWeights):
    """A convolution layer in training, with the pool before it that it has taken in.

    op : the layer as it runs; its weights give the shape alone
    pool : each tap weighs the sum of so many neighbouring inputs, () without a pool; scale : times
        this factor
    count : outputs along the last axis that are computed at once (`Band`)
    """

    op: ConvOp
    pool: Sizes = ()
    scale: float = 1.0
    count: int = 1

    @property
    def outputs(self) -> int:
        """How many channels the layer makes."""
        return len(self.op.weights)

    @property
    def weight_shape(self) -> Sizes:
        """Shape of the weights, (out, in / groups, k...)."""
        return self.op.weights.shape

    @property
    def bias_count(self) -> int:
        """One constant for each output, or none."""
        return 0 if self.op.bias is None else self.outputs

    def own_tap(self, before: Sizes) -> Sizes | None:
        """The tap that reads the sample `before` samples after the first of the window."""
        taps = []
        sizes = self.op.weights.shape[2:]
        for place, dilation, size in zip(before, self.op.dilation, sizes, strict=True):
            tap, between = divmod(place, dilation)
            if between or not 0 <= tap < size:
                return None
            taps.append(tap)
        return tuple(taps)

    def weights_of_tap(self, tensors: Tensors, tap: Sizes) -> Vector:
        """A view of the weights of one tap, of all inputs and outputs."""
        where: Any = (slice(None), slice(None), *tap)
        weights: Vector = tensors["weight"][where]
        return weights

    @cached_property
    def band(self) -> Band:
        """The geometry of one group of channels."""
        op = self.op
        band = Band.of_weights(op.weights, step=op.step, dilation=op.dilation, groups=op.groups)
        return replace(band, pool=self.pool or band.pool, count=self.count)

    def needs(self, outputs: Span) -> Span:
        """Return the inputs that the outputs read, through the pool if there is one."""
        found = []
        for axis, (low, high) in enumerate(outputs):
            step = self.band.steps[axis]
            first = -self.op.at.before[axis] * self.band.pool[axis]
            last = first + self.band.widths[axis]
            found.append((low * step + first, (high - 1) * step + last))
        return tuple(found)

    @property
    def pace(self) -> tuple[tuple[int, int], ...]:
        """Return the stride of each axis: so many inputs for one output."""
        return tuple((step, 1) for step in self.band.steps)

    def output_channels(self, channels: int) -> int:
        """Return how many channels come out."""
        return self.outputs

    def absorbing(self, previous: TrainedLayer) -> TrainedConv | None:
        """Return the layer with the mean or sum before it: each tap weighs a whole window."""
        sums = previous.side_by_side_sums
        if sums is None:
            return None
        pool, scale = sums
        return replace(self, pool=pool, scale=scale)

    def fitted(self, outputs: Sizes, *, leads: bool) -> Self:
        """Return the layer with as many outputs at once as are fastest."""
        # Without strides another band computes the derivatives by the inputs.
        alone = leads or not self.band.strides
        return replace(self, count=self.band.fastest(outputs, leads=alone).count)

    def rounded(self, outputs: Sizes) -> Sizes:
        """Return the outputs, along the last axis a multiple of those that are computed at once."""
        rows = -(-outputs[-1] // self.count)
        return (*outputs[:-1], rows * self.count)

    def at_work(self, batch: BatchShape) -> BatchConv:
        """Return the layer at work on mini-batches."""
        return BatchConv(self, batch)


@trained_form.register(ConvOp)
def _trained_conv(op: ConvOp) -> TrainedConv:
    """How a convolution is trained, with its own geometry."""
    return TrainedConv(op=op)


class BatchConv(BatchLayer):
    """A convolution layer at work.

    One product of gathered rows and a banded matrix for each group (`Band`).
    """

    def __init__(self, layer: TrainedConv, batch: BatchShape) -> None:
        self.layer = layer
        self.band = band = layer.band
        self.groups = layer.op.groups
        self.made = batch.made
        count = batch.size * math.prod(batch.made) // band.count
        wide = band.count * band.outputs
        # A column of ones carries the bias through the product.
        lines = band.taps + (layer.bias_count > 0)
        self.rows = [np.ones((count, lines), batch.dtype) for _ in range(self.groups)]
        self.matrices = [np.zeros((lines, wide), batch.dtype) for _ in range(self.groups)]
        self.bands = [band.bands(matrix) for matrix in self.matrices]
        self.slopes = np.empty((lines, wide), batch.dtype)
        self.slope_bands = band.bands(self.slopes)
        self.y = np.empty((batch.size, *batch.made, layer.outputs), batch.dtype)
        if self.groups == 1:
            self.product = self.y.reshape(count, wide)
        else:
            self.product = np.empty((count, wide), batch.dtype)
        self.x: Array | None = None
        self.copies: list[tuple[Array, Array]] = []
        self.back: _MirroredConv | _ScatteredRows | None = None
        if not batch.leads:
            kind = _ScatteredRows if band.strides else _MirroredConv
            self.back = kind(self, batch)

    def inputs_of(self, x: Array, group: int) -> Array:
        """The input channels of one group."""
        return x[..., channels_of_group(group, self.band.inputs)]

    def outputs_of(self, y: Array, group: int) -> Array:
        """The output channels of one group."""
        return y[..., channels_of_group(group, self.band.outputs)]

    def load(self, tensors: Tensors) -> None:
        """Fill the matrices with new weights."""
        bias = tensors.get("bias")
        scaled = tensors["weight"] * self.layer.scale
        for group, part in enumerate(np.split(scaled, self.groups)):
            self.bands[group][...] = self.band.laid_out(part)
            if self.back is not None:
                self.back.load(group, part)
            if bias is not None:
                last_row = self.matrices[group][-1].reshape(self.band.count, -1)
                last_row[...] = self.outputs_of(bias, group)

    def forward(self, x: Array) -> Array:
        """Return the outputs, in an array that is used again."""
        if x is not self.x:
            self.x = x
            self.copies = [
                self.band.copies(self.inputs_of(x, group), self.made, rows)
                for group, rows in enumerate(self.rows)
            ]
        for group, (windows, place) in enumerate(self.copies):
            np.copyto(place, windows)
            np.matmul(self.rows[group], self.matrices[group], out=self.product)
            if self.groups > 1:
                part = self.outputs_of(self.y, group)
                part[...] = self.product.reshape(part.shape)
        return self.y

    def backward(self, dy: Array) -> Array | None:
        """Return the derivatives by the inputs, unless no layer before learns."""
        return None if self.back is None else self.back(dy)

    def rows_of(self, dy: Array, group: int) -> Array:
        """One group of `dy`, a row for each row of the product."""
        if self.groups == 1:
            return dy.reshape(self.product.shape)
        part = self.outputs_of(dy, group)
        self.product.reshape(part.shape)[...] = part
        return self.product

    def learn(self, dy: Array, gradients: Tensors) -> None:
        """Write the derivatives by the weights and the bias."""
        weights = gradients["weight"]
        bias = gradients.get("bias")
        for group, rows in enumerate(self.rows):
            np.matmul(rows.T, self.rows_of(dy, group), out=self.slopes)
            part = weights[channels_of_group(group, self.band.outputs)]
            np.multiply(self.band.summed(self.slope_bands), self.layer.scale, out=part)
            if bias is not None:
                last_row = self.slopes[-1].reshape(self.band.count, -1)
                self.outputs_of(bias, group)[...] = last_row.sum(axis=0)


class _MirroredConv:
    """Derivatives by the inputs of a layer without strides.

    The mirrored layer, applied to `dy` between zeros.
    """

    def __init__(self, conv: BatchConv, batch: BatchShape) -> None:
        self.groups = conv.groups
        self.band = band = conv.band.mirrored.fastest(batch.given, leads=True, whole=True)
        sides = band.reads(batch.given)
        self.padded = np.zeros((batch.size, *sides, conv.layer.outputs), batch.dtype)
        widths = zip(band.widths, batch.made, strict=True)
        self.inside = (slice(None), *(slice(w - 1, w - 1 + m) for w, m in widths))
        count = batch.size * math.prod(batch.given) // band.count
        self.rows = np.empty((count, band.taps), batch.dtype)
        wide = band.count * band.outputs
        self.matrices = [np.zeros((band.taps, wide), batch.dtype) for _ in range(self.groups)]
        self.dx = batch.inputs()
        self.copies = [
            band.copies(conv.outputs_of(self.padded, group), batch.given, self.rows)
            for group in range(self.groups)
        ]
        self.places = [conv.inputs_of(self.dx, group) for group in range(self.groups)]

    def load(self, group: int, weights: Vector) -> None:
        """Fill the matrix of one group with its weights.

        Inputs and outputs are exchanged, and the taps are flipped.
        """
        mirrored = np.flip(weights.swapaxes(0, 1), axis=tuple(range(2, weights.ndim)))
        self.band.bands(self.matrices[group])[...] = self.band.laid_out(mirrored)

    def __call__(self, dy: Array) -> Array:
        self.padded[self.inside] = dy
        for group, (windows, place) in enumerate(self.copies):
            np.copyto(place, windows)
            if self.groups == 1:
                np.matmul(self.rows, self.matrices[0], out=self.dx.reshape(len(self.rows), -1))
            else:
                part = self.places[group]
                part[...] = (self.rows @ self.matrices[group]).reshape(part.shape)
        return self.dx


class _ScatteredRows:
    """Derivatives by the inputs of any layer.

    The rows of the transposed product, added up where they overlap.
    """

    def __init__(self, conv: BatchConv, batch: BatchShape) -> None:
        self.conv = conv
        self.dx = batch.inputs()
        self.rows = np.empty((len(conv.rows[0]), conv.band.taps), batch.dtype)
        self.sums = [
            conv.band.sums(self.rows, batch.made, conv.inputs_of(self.dx, group))
            for group in range(conv.groups)
        ]

    def load(self, group: int, weights: Vector) -> None:
        """Do nothing: the matrices of the layer are used."""

    def __call__(self, dy: Array) -> Array:
        self.dx[...] = 0
        for group, sums in enumerate(self.sums):
            matrix = self.conv.matrices[group][: self.conv.band.taps]
            np.matmul(self.conv.rows_of(dy, group), matrix.T, out=self.rows)
            for some, into in sums:
                np.add(into, some, out=into)
        return self.dx
