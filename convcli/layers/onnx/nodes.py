"""What each kind of node of an ONNX graph becomes: operations on samples with channels last.

A node that is not here, or that sees the whole signal, is refused by its name.
"""

from __future__ import annotations

import math
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.activations import (
    Elu,
    Rectifier,
    Sigmoid,
    Softplus,
    Tanh,
    TimesClippedLine,
    TimesNormal,
)
from convcli.core.op import Complete, Op
from convcli.core.ops import Pointwise
from convcli.core.windows.sliding import SlidingStatistic
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.affine import Affine
from convcli.layers.conv_op import ConvOp
from convcli.layers.conv_transpose import TransposedAxis, transposed_ops
from convcli.layers.onnx.channel_nodes import channel_argmax, channel_reduction, channel_softmax
from convcli.layers.padding import PaddedInput, Placement, widths_of
from convcli.layers.per_channel import sloped_rectifier
from convcli.layers.pool import SpreadExtreme
from convcli.layers.shuffle import (
    MOST_TIMES_AS_MANY,
    ChannelSelection,
    InterleavePhases,
    RepeatSamples,
    SplitPhases,
    cubic_upsampling,
    linear_upsampling,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convcli.layers.onnx.file import Node
    from convcli.layers.weights import Tensor
    from convcli.signals import Array, Edge

Ops = tuple[Op, ...]
# A value has at most this many channels.
MOST_CHANNELS = 1 << 16
# An end of a Slice that lies beyond every signal.
ENDLESS = 1 << 31
# The modes of Pad, and what they are called here.
_PAD_MODES: dict[str, Edge] = {
    "constant": "zero",
    "reflect": "reflect",
    "edge": "edge",
    "wrap": "wrap",
}


@dataclass(frozen=True, kw_only=True)
class NodePlace:
    """A node where it is: what reaches it, and its constants.

    path : of the file; channels : of its first input that is not a constant; axes : sample axes
    lengths : samples of that input on each axis, for each of the checked inputs of the graph
    length_sizes : numbers that follow from lengths, by name, for each of the checked inputs
    """

    path: str
    node: Node
    constants: Mapping[str, Tensor]
    channels: int
    axes: int
    lengths: tuple[tuple[int, ...], ...] = ()
    length_sizes: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)

    def error(self, message: str) -> RequestError:
        """An error that names the file and the node."""
        return RequestError(f"{self.path}: {self.node.title}: {message}")

    def constant(self, number: int) -> Tensor | None:
        """The constant of this input; None where it is left out."""
        inputs = self.node.inputs
        if number >= len(inputs) or not inputs[number]:
            return None
        if inputs[number] not in self.constants:
            raise self.error("its weights or sizes are not constant")
        return self.constants[inputs[number]]

    def needed(self, number: int) -> Tensor:
        """The constant of this input, which has to be there."""
        found = self.constant(number)
        if found is None:
            raise self.error(f"input {number} is missing")
        return found

    def filled(self, number: int) -> Tensor:
        """The constant of this input, which has to hold something."""
        found = self.needed(number)
        if found.size == 0:
            raise self.error(f"input {number} holds nothing")
        return found

    def sizes_of(self, number: int) -> tuple[Tensor, ...] | None:
        """The sizes of this input, for each of the checked inputs; None where it is left out."""
        inputs = self.node.inputs
        if number < len(inputs) and inputs[number] in self.length_sizes:
            return self.length_sizes[inputs[number]]
        constant = self.constant(number)
        return None if constant is None else (constant,) * len(self.lengths)

    def factors_of_sizes(self, number: int) -> Tensor | None:
        """A shape, this input, divided by the shape of what the node takes; None if left out.

        RequestError where that is not the same for inputs of several lengths.
        """
        sizes = self.sizes_of(number)
        if sizes is None:
            return None
        found: list[Tensor] = []
        # The last of the checked inputs has lengths that strides do not divide.
        for shape, lengths in zip(sizes[:-1], self.lengths, strict=False):
            given = (1, self.channels, *lengths)
            if shape.size != len(given):
                raise self.error(f"its sizes are {shape.tolist()}")
            found.append(shape / np.array(given))
        if not all(np.array_equal(factors, found[0]) for factors in found):
            raise self.error("its sizes are no multiples of those of its input")
        return found[0]

    def attribute(self, name: str, default: Any) -> Any:
        """The attribute `name` of the node, `default` where it has none."""
        return self.node.attributes.get(name, default)

    def sizes(self, name: str) -> tuple[int, ...]:
        """An attribute with a number for each sample axis; by default 1."""
        numbers = tuple(self.attribute(name, (1,) * self.axes))
        if len(numbers) != self.axes or min(numbers) < 1:
            raise self.error(f"{name} is {list(numbers)}, and there are {self.axes} sample axes")
        return numbers

    def count(self, name: str, most: int) -> int:
        """A whole number from 1 to `most`; 1 by default."""
        number = self.attribute(name, 1)
        if not isinstance(number, int) or not 1 <= number <= most:
            raise self.error(f"{name} is {number}, expected 1 to {most:,}")
        return number

    def scalar(self, number: int) -> float | None:
        """A constant that is one number; None where it is left out."""
        found = self.constant(number)
        if found is None:
            return None
        if found.size != 1:
            raise self.error(f"input {number} has the shape {found.shape}, expected one number")
        return float(found.item())

    def window(self, size: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Padding before and after along each axis, for windows that span so many samples."""
        kind = self.attribute("auto_pad", "NOTSET")
        pads = list(self.attribute("pads", (0,) * (2 * self.axes)))
        if kind in {"SAME_UPPER", "SAME_LOWER"}:
            if any(step != 1 for step in self.sizes("strides")):
                raise self.error(f"auto_pad={kind} with a stride depends on the length")
            more = [(width - 1) // 2 for width in size]
            less = [width - 1 - side for width, side in zip(size, more, strict=True)]
            pads = [*more, *less] if kind == "SAME_UPPER" else [*less, *more]
        elif kind == "VALID":
            pads = [0] * (2 * self.axes)
        if len(pads) != 2 * self.axes or min(pads) < 0:
            raise self.error(f"pads is {pads}")
        return tuple(zip(pads[: self.axes], pads[self.axes :], strict=True))

    def per_channel(self, array: Tensor) -> Tensor:
        """A constant that is one number, or one for each channel, as (channels,)."""
        shape = array.shape
        while len(shape) > self.axes + 1 and shape[0] == 1:
            shape = shape[1:]
        fits = array.size == 1 or (
            array.size == self.channels and shape == (self.channels, *(1,) * self.axes)
        )
        if not fits:
            raise self.error(f"a constant of the shape {array.shape} is not the same everywhere")
        return np.broadcast_to(array.ravel(), (self.channels,)).astype(np.float64)

    def vector(self, number: int) -> Tensor:
        """A constant with a number for each channel, (channels,)."""
        found = self.needed(number)
        if found.shape != (self.channels,):
            raise self.error(
                f"input {number} has the shape {found.shape} for {self.channels} channels"
            )
        return found

    def pointwise(self, function: Callable[[Array], Array]) -> Ops:
        """The operation that applies a function to each sample."""
        return (Pointwise(function=function, axes=self.axes),)


# --------------------------------------------------------------------------------- convolutions


def _conv(place: NodePlace) -> Ops:
    weights, bias = place.filled(1), place.constant(2)
    groups = place.count("group", place.channels)
    if weights.ndim != place.axes + 2 or weights.shape[1] * groups != place.channels:
        raise place.error(f"weights {weights.shape} do not take {place.channels} channels")
    dilation = place.sizes("dilations")
    widths = widths_of(weights.shape[2:], dilation)
    pads = place.window(widths)
    return (
        ConvOp(
            weights=weights,
            bias=bias,
            step=place.sizes("strides"),
            dilation=dilation,
            groups=groups,
            at=_placement(widths, pads, "zero"),
        ),
    )


def _placement(widths: tuple[int, ...], pads: tuple[tuple[int, int], ...], rule: Edge) -> Placement:
    """Where windows lie on an input that is padded."""
    anchors = []
    growths = []
    for width, (low, high) in zip(widths, pads, strict=True):
        middle = (width - 1) // 2
        anchors.append(middle - low)
        growths.append(low + high + 1 - width)
    return Placement(
        before=tuple(low for low, _ in pads),
        anchor=tuple(anchors),
        growth=tuple(growths),
        padding=rule,
    )


def _conv_transpose(place: NodePlace) -> Ops:
    weights, bias = place.filled(1), place.constant(2)
    groups = place.count("group", place.channels)
    shared = place.channels % groups == 0
    if weights.ndim != place.axes + 2 or len(weights) != place.channels or not shared:
        raise place.error(f"weights {weights.shape} do not take {place.channels} channels")
    if place.attribute("output_shape", None) or place.attribute("auto_pad", "NOTSET") != "NOTSET":
        raise place.error("output_shape and auto_pad depend on the length")
    strides, dilations = place.sizes("strides"), place.sizes("dilations")
    added = tuple(place.attribute("output_padding", (0,) * place.axes))
    pads = place.window((1,) * place.axes)
    axes = []
    for axis, taps in enumerate(weights.shape[2:]):
        spread = dilations[axis] * (taps - 1) + 1
        more = spread + added[axis] - sum(pads[axis]) - strides[axis]
        axes.append(TransposedAxis(taps, strides[axis], dilations[axis], pads[axis][0], more))
    try:
        return transposed_ops(weights, bias, axes, groups)
    except RequestError as error:
        raise place.error(error.message) from None


def _batch_normalization(place: NodePlace) -> Ops:
    scale, shift, mean, variance = (place.vector(n) for n in (1, 2, 3, 4))
    scale = scale / np.sqrt(variance + place.attribute("epsilon", 1e-5))
    return (Affine(scale=scale, shift=shift - mean * scale, axes=place.axes),)


# ---------------------------------------------------------------------------- functions of a sample


def _activation(make: Callable[[NodePlace], Callable[[Array], Array]]) -> Callable[..., Ops]:
    return lambda place: place.pointwise(make(place))


def _prelu(place: NodePlace) -> Ops:
    return (sloped_rectifier(place.per_channel(place.needed(1)), place.axes),)


def _gelu(place: NodePlace) -> Callable[[Array], Array]:
    if place.attribute("approximate", "none") == "tanh":
        return _gelu_of_tanh
    return TimesNormal()


def _gelu_of_tanh(x: Array) -> Array:
    """The approximation of Hendrycks & Gimpel (2016), equation 2."""
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    y: Array = 0.5 * x * (1 + np.tanh(inner))
    return y


def _without_errors(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function that is NaN or infinite outside of its domain, without a warning."""

    def quiet(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return function(x)

    return quiet


def _thresholded(place: NodePlace) -> Callable[[Array], Array]:
    """x above a threshold, else 0."""
    threshold = place.attribute("alpha", 1.0)
    return lambda x: np.where(x <= threshold, x.dtype.type(0), x)


def _shrunk(place: NodePlace) -> Callable[[Array], Array]:
    """0 within +-lambd, and beyond it x, brought nearer to 0 by a bias."""
    limit, bias = place.attribute("lambd", 0.5), place.attribute("bias", 0.0)

    def shrunk(x: Array) -> Array:
        nearer = x - np.sign(x) * x.dtype.type(bias)
        return np.where(np.abs(x) <= limit, x.dtype.type(0), nearer)

    return shrunk


def _error_function(x: Array) -> Array:
    from scipy.special import erf

    y: Array = erf(x)
    return y


def _hard_sigmoid(place: NodePlace) -> Callable[[Array], Array]:
    slope, offset = place.attribute("alpha", 0.2), place.attribute("beta", 0.5)
    return lambda x: np.clip(x * slope + offset, 0, 1)


def _leaky_rectifier(place: NodePlace) -> Callable[[Array], Array]:
    return Rectifier(place.attribute("alpha", 0.01))


def _elu_of_node(place: NodePlace) -> Callable[[Array], Array]:
    return Elu(place.attribute("alpha", 1.0))


def _softsign(x: Array) -> Array:
    y: Array = x / (1 + np.abs(x))
    return y


def _selu(place: NodePlace) -> Callable[[Array], Array]:
    alpha, gamma = place.attribute("alpha", 1.67326319), place.attribute("gamma", 1.05070102)
    return lambda x: Elu(alpha)(x) * np.asarray(gamma, x.dtype)


def _celu(place: NodePlace) -> Callable[[Array], Array]:
    alpha = place.attribute("alpha", 1.0)

    def scaled(x: Array) -> Array:
        y: Array = np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha)
        return y.astype(x.dtype, copy=False)

    return scaled


def _mish(x: Array) -> Array:
    """x times the hyperbolic tangent of its softplus. Misra (2019)."""
    return x * np.tanh(Softplus()(x))


def _power_node(place: NodePlace) -> Ops:
    exponent = place.scalar(1)
    if exponent is None:
        raise place.error("its exponent is not constant")
    return place.pointwise(lambda x: np.power(x, np.asarray(exponent, x.dtype)))


def _clip_node(place: NodePlace) -> Ops:
    low, high = place.scalar(1), place.scalar(2)
    least = place.attribute("min", -np.inf) if low is None else low
    most = place.attribute("max", np.inf) if high is None else high
    return place.pointwise(lambda x: np.clip(x, least, most))


def _no_operation(_: NodePlace) -> Ops:
    return ()


def _cast(place: NodePlace) -> Ops:
    from onnx import TensorProto

    floats = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    if place.attribute("to", TensorProto.FLOAT) not in floats:
        raise place.error("only a cast between floating point types changes nothing here")
    return ()


# ------------------------------------------------------------------------------------------ pools


def _pool_node(place: NodePlace, name: str, *, zeros: bool) -> Ops:
    """A pool, and before it the padding: zeros that count, or samples that are missing."""
    from convcli.designs.downsampling import avg_pool, max_pool

    size, step = place.sizes("kernel_shape"), place.sizes("strides")
    spacing = place.sizes("dilations")
    design = {"avg_pool": avg_pool, "max_pool": max_pool}[name]
    op: Op | None = design(size, stride=step, align="center")
    if any(space != 1 for space in spacing):
        op = _spread_pool(place, op, size, spacing)
    pads = place.window(widths_of(size, spacing))
    extended: list[Op] = []
    if any(map(any, pads)):
        extended.append(_extended_input(pads, "zero" if zeros else "shrink"))
    if place.attribute("ceil_mode", 0):
        sides = tuple((0, stride - 1) for stride in step)
        extended.append(_extended_input(sides, "shrink"))
    if op is None:
        return tuple(extended)
    return (*extended, Complete(op))


def _spread_pool(
    place: NodePlace, op: Op | None, size: tuple[int, ...], spacing: tuple[int, ...]
) -> Op:
    """The maximum of windows with gaps between their samples."""
    if not isinstance(op, SlidingStatistic) or op.function.fold is None:
        raise place.error("only a maximum has a dilation")
    function = SpreadExtreme(of_two=op.function.fold, distance=spacing)
    return replace(op, function=function, size=widths_of(size, spacing))


def _extended_input(pads: tuple[tuple[int, int], ...], rule: Edge) -> PaddedInput:
    ones = (1,) * len(pads)
    return PaddedInput(at=_placement(ones, pads, rule), step=ones)


def _average_pool(place: NodePlace) -> Ops:
    return _pool_node(place, "avg_pool", zeros=bool(place.attribute("count_include_pad", 0)))


def _max_pool(place: NodePlace) -> Ops:
    return _pool_node(place, "max_pool", zeros=False)


def _pad(place: NodePlace) -> Ops:
    pads = place.constant(1)
    sides = list(place.attribute("pads", ())) if pads is None else pads.astype(int).tolist()
    mode = place.attribute("mode", "constant")
    value = place.scalar(2)
    dimensions = place.axes + 2
    if len(sides) != 2 * dimensions or any(sides[n] for n in (0, 1, dimensions, dimensions + 1)):
        raise place.error("only samples are padded, not batches or channels")
    if mode not in _PAD_MODES or value not in {None, 0}:
        raise place.error("pads with zeros, reflect, edge or wrap")
    if min(sides) < 0 and mode != "constant":
        raise place.error(f"{mode} cuts nothing off")
    pairs = tuple(zip(sides[2:dimensions], sides[dimensions + 2 :], strict=True))
    return (_extended_input(pairs, _PAD_MODES[mode]),)


# --------------------------------------------------------------------------- channels and samples


def _depth_to_space(place: NodePlace) -> Ops:
    factors = (place.count("blocksize", MOST_TIMES_AS_MANY),) * place.axes
    phases = math.prod(factors)
    if place.channels % phases:
        raise place.error(f"makes one channel of {phases}, and {place.channels} come")
    interleaved = InterleavePhases(factors=factors)
    if place.attribute("mode", "DCR") == "CRD":
        return (interleaved,)
    # Depth, column, row: the phase is the slower index of a channel.
    order = np.arange(place.channels).reshape(phases, -1).T.ravel()
    return ChannelSelection(selected=tuple(order.tolist()), axes=place.axes), interleaved


def _space_to_depth(place: NodePlace) -> Ops:
    factors = (place.count("blocksize", MOST_TIMES_AS_MANY),) * place.axes
    phases = math.prod(factors)
    if place.channels * phases > MOST_CHANNELS:
        raise place.error(f"makes {place.channels * phases:,} channels; at most {MOST_CHANNELS:,}")
    order = np.arange(place.channels * phases).reshape(-1, phases).T.ravel()
    selection = ChannelSelection(selected=tuple(order.tolist()), axes=place.axes)
    return Complete(SplitPhases(factors=factors)), selection


def _gather_node(place: NodePlace) -> Ops:
    """Some of the channels, in another order."""
    picked = place.needed(1).astype(int)
    if place.attribute("axis", 0) % (place.axes + 2) != 1 or picked.ndim != 1:
        raise place.error("only channels are gathered, by a list of their numbers")
    if picked.size == 0 or (np.abs(picked + 0.5) > place.channels).any():
        raise place.error(f"there are {place.channels} channels")
    numbers = np.arange(place.channels)[picked]
    return (ChannelSelection(selected=tuple(numbers.tolist()), axes=place.axes),)


def _slice(place: NodePlace) -> Ops:
    """Some of the channels, and samples without those at the ends."""
    kept = list(range(place.channels))
    cuts = [(0, 0)] * place.axes
    for axis, start, end, step in _slice_arguments(place):
        if axis == 1:
            kept = kept[start:end:step]
            continue
        from_the_end = end < 0 or end >= ENDLESS
        if axis == 0 or step != 1 or start < 0 or not from_the_end:
            raise place.error("samples are cut off at the ends and nowhere else")
        cuts[axis - 2] = (-start, min(0, end))
    if not kept:
        raise place.error("no channel is left")
    ops: list[Op] = []
    if any(map(any, cuts)):
        ops.append(_extended_input(tuple(cuts), "zero"))
    if len(kept) != place.channels:
        ops.append(ChannelSelection(selected=tuple(kept), axes=place.axes))
    return tuple(ops)


def _slice_arguments(place: NodePlace) -> list[tuple[int, int, int, int]]:
    """The axis, the start, the end and the step of each part of a Slice."""
    starts = place.needed(1).astype(int).ravel().tolist()
    axes, steps = place.constant(3), place.constant(4)
    along = list(range(len(starts)))
    if axes is not None:
        along = axes.astype(int).ravel().tolist()
    strides = [1] * len(starts)
    if steps is not None:
        strides = steps.astype(int).ravel().tolist()
    numbers = [axis % (place.axes + 2) for axis in along]
    ends = _slice_ends(place, numbers)
    if not len(starts) == len(ends) == len(along) == len(strides) or 0 in strides:
        raise place.error("its starts, ends, axes and steps do not fit each other")
    return list(zip(numbers, starts, ends, strides, strict=True))


def _slice_ends(place: NodePlace, axes: list[int]) -> list[int]:
    """Where the parts of a Slice end; those made of lengths are counted from the end."""
    sizes = place.sizes_of(2)
    if sizes is None:
        raise place.error("input 2 is missing")
    if np.array_equal(sizes[0], sizes[1]):
        return sizes[0].astype(int).ravel().tolist()
    found = []
    for ends, lengths in zip(sizes, place.lengths, strict=True):
        shape = (1, place.channels, *lengths)
        from_the_end = [end - shape[axis] for end, axis in zip(ends.ravel(), axes, strict=False)]
        found.append([int(end) or ENDLESS for end in from_the_end])
    if found[0] != found[1]:
        raise place.error("its ends are no lengths of its input")
    return found[0]


def _resize(place: NodePlace) -> Ops:
    """Upsampling by whole factors, by the nearest sample, or by linear or cubic interpolation."""
    factors = _resize_factors(place)
    mode = place.attribute("mode", "nearest")
    where = place.attribute("coordinate_transformation_mode", "half_pixel")
    rounds = place.attribute("nearest_mode", "round_prefer_floor")
    halves = where in {"half_pixel", "pytorch_half_pixel"} and place.node.kind == "Resize"
    floors = rounds == "floor" or place.node.kind == "Upsample"
    if mode == "nearest" and (halves or floors):
        return (RepeatSamples(factors=factors),)
    if mode == "linear" and halves:
        return linear_upsampling(factors, place.channels, "edge")
    if mode == "cubic" and halves and not place.attribute("exclude_outside", 0):
        slope = place.attribute("cubic_coeff_a", -0.75)
        return cubic_upsampling(factors, place.channels, "edge", slope)
    if where == "align_corners":
        raise place.error("positions by align_corners depend on the length of the whole signal")
    raise place.error(f"{mode} at {where} positions is not known")


def _resize_factors(place: NodePlace) -> tuple[int, ...]:
    """How many samples are made of each, on each axis. RequestError unless that is a whole number.

    A node says it by scales, or by sizes that are a multiple of those of its input.
    """
    scales = place.factors_of_sizes(3)
    if scales is None:
        scales = place.constant(2 if place.node.kind == "Resize" else 1)
    if scales is None or scales.size != place.axes + 2:
        raise place.error("it says no scale for each dimension")
    factors = tuple(int(scale) for scale in scales[2:])
    if max(factors) > MOST_TIMES_AS_MANY:
        raise place.error(f"scales are {scales.tolist()}; at most {MOST_TIMES_AS_MANY:,} are made")
    if (scales[:2] != 1).any() or (scales[2:] != factors).any() or min(factors) < 1:
        raise place.error(f"scales are {scales.tolist()}; only whole factors of samples are known")
    return factors


# -------------------------------------------------------------------------- arithmetic of constants

_ARITHMETIC: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "Add": lambda c: (np.ones_like(c), c),
    "Sub": lambda c: (np.ones_like(c), -c),
    "Mul": lambda c: (c, np.zeros_like(c)),
    "Div": lambda c: (1 / c, np.zeros_like(c)),
}


def with_constant(place: NodePlace, number: int) -> Ops:
    """A sum, difference, product or quotient of which one operand is constant.

    number : of the constant input
    """
    constant = place.per_channel(place.needed(number))
    kind = place.node.kind
    if kind == "Div" and number == 0:
        return place.pointwise(lambda x: constant.astype(x.dtype) / x)
    scale, shift = _ARITHMETIC[kind](constant)
    if kind == "Sub" and number == 0:
        scale, shift = -scale, constant
    return (Affine(scale=scale, shift=shift, axes=place.axes),)


# ------------------------------------------------------------------------------------- all of them

NODES: dict[str, Callable[[NodePlace], Ops]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "BatchNormalization": _batch_normalization,
    "Relu": _activation(lambda _: Rectifier()),
    "LeakyRelu": _activation(_leaky_rectifier),
    "PRelu": _prelu,
    "Elu": _activation(_elu_of_node),
    "Sigmoid": _activation(lambda _: Sigmoid()),
    "Tanh": _activation(lambda _: Tanh()),
    "Softplus": _activation(lambda _: Softplus()),
    "HardSwish": _activation(lambda _: TimesClippedLine()),
    "Gelu": _activation(_gelu),
    "Abs": _activation(lambda _: np.abs),
    "Exp": _activation(lambda _: np.exp),
    "Neg": _activation(lambda _: np.negative),
    "Sign": _activation(lambda _: np.sign),
    "Sqrt": _activation(lambda _: _without_errors(np.sqrt)),
    "Log": _activation(lambda _: _without_errors(np.log)),
    "Reciprocal": _activation(lambda _: _without_errors(np.reciprocal)),
    "Sin": _activation(lambda _: np.sin),
    "Cos": _activation(lambda _: np.cos),
    "Floor": _activation(lambda _: np.floor),
    "Ceil": _activation(lambda _: np.ceil),
    "Round": _activation(lambda _: np.rint),
    "ThresholdedRelu": _activation(_thresholded),
    "Shrink": _activation(_shrunk),
    "Erf": _activation(lambda _: _error_function),
    "HardSigmoid": _activation(_hard_sigmoid),
    "Selu": _activation(_selu),
    "Celu": _activation(_celu),
    "Mish": _activation(lambda _: _mish),
    "Softsign": _activation(lambda _: _softsign),
    "Pow": _power_node,
    "ReduceMean": channel_reduction,
    "ReduceSum": channel_reduction,
    "ReduceMax": channel_reduction,
    "ReduceMin": channel_reduction,
    "ReduceL2": channel_reduction,
    "Softmax": channel_softmax,
    "LogSoftmax": channel_softmax,
    "ArgMax": channel_argmax,
    "Concat": _no_operation,
    "Clip": _clip_node,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Slice": _slice,
    "Gather": _gather_node,
    "Resize": _resize,
    "Upsample": _resize,
    "Identity": _no_operation,
    "Dropout": _no_operation,
    "Cast": _cast,
}


def operations_of(place: NodePlace) -> Ops:
    """The operations of a node with one input that is not a constant.

    RequestError for a node that is not known, or with arguments that are not.
    """
    if place.node.kind not in NODES:
        raise place.error("this node is not known, or it sees the whole signal at once")
    return NODES[place.node.kind](place)
