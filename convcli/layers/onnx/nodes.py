"""What each kind of node of an ONNX graph becomes: operations on samples with channels last.

A node that is not here, or that sees the whole signal, is refused by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.core.one_sample import OneSample
from convcli.core.op import Complete, LastKnown, Op, Span, none_known
from convcli.dataclass import dataclass
from convcli.errors import RequestError
from convcli.layers.conv_op import ConvOp
from convcli.layers.onnx.channels_last import CHANNEL_NORMALIZATION
from convcli.layers.onnx.global_nodes import not_local_error
from convcli.layers.onnx.pointwise_nodes import POINTWISE_NODES
from convcli.layers.onnx.sample_nodes import SAMPLE_NODES
from convcli.layers.padding import (
    begun_windows,
    extended_input,
    padded_placement,
    widths_of,
)
from convcli.layers.pool import spread_extreme
from convcli.layers.transposed import TransposedAxis, transposed_ops

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.layers.onnx.node_place import NodePlace, Ops
    from convcli.signals import Array, Edge


def _conv_node(place: NodePlace) -> Ops:
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
            at=padded_placement(widths, pads, "zero"),
        ),
    )


def _product_node(place: NodePlace) -> Ops:
    """The product of a matrix with the channels of each sample, which is a convolution of one tap.

    Raises RequestError for a matrix as the second factor, and for pictures: both multiply along
    samples.
    """
    matrix = place.constants.get(place.node.inputs[0])
    if matrix is None or place.axes != 1 or matrix.ndim != 2 or matrix.size == 0:
        raise not_local_error(place.path, place.node)
    if matrix.shape[1] != place.channels:
        raise place.error(f"a matrix {matrix.shape} does not take {place.channels} channels")
    weights = matrix[:, :, None]
    return (
        ConvOp(
            weights=weights,
            bias=None,
            step=(1,),
            dilation=(1,),
            groups=1,
            at=padded_placement((1,), ((0, 0),), "zero"),
        ),
    )


def _conv_transpose_node(place: NodePlace) -> Ops:
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
        span = dilations[axis] * (taps - 1) + 1
        more = span + added[axis] - sum(pads[axis]) - strides[axis]
        axes.append(TransposedAxis(taps, strides[axis], dilations[axis], pads[axis][0], more))
    try:
        return transposed_ops(weights, bias, axes, groups)
    except RequestError as error:
        raise place.error(error.message) from None


def _average_pool_node(place: NodePlace) -> Ops:
    """The mean of each window, with zeros that count beside the signal, or nothing."""
    from convcli.designs.downsampling import avg_pool

    size, step = place.sizes("kernel_shape"), place.sizes("strides")
    if any(space != 1 for space in place.sizes("dilations")):
        raise place.error("only a maximum has a dilation")
    op = avg_pool(size, stride=step, align="center")
    counts_padding = bool(place.attribute("count_include_pad", 0))
    return _padded_pool(place, op, size, "zero" if counts_padding else "shrink")


def _max_pool_node(place: NodePlace) -> Ops:
    """The largest sample of each window, which may have gaps between its samples."""
    from convcli.designs.downsampling import max_pool

    size, step = place.sizes("kernel_shape"), place.sizes("strides")
    spacing = place.sizes("dilations")
    op = max_pool(size, stride=step, align="center")
    if op is not None and any(space != 1 for space in spacing):
        op = spread_extreme(np.fmax, op.reach, size, spacing)
    return _padded_pool(place, op, widths_of(size, spacing), "shrink")


def _padded_pool(place: NodePlace, op: Op | None, widths: tuple[int, ...], rule: Edge) -> Ops:
    """A pool on complete windows, and before it what extends its input.

    op : None where the pool changes nothing
    widths : of its windows; rule : what the padding puts beside the signal
    """
    ops: list[Op] = []
    pads = place.window(widths)
    if any(map(any, pads)):
        ops.append(extended_input(pads, rule))
    if place.attribute("ceil_mode", 0):
        ops.append(begun_windows(widths, pads, place.sizes("strides")))
    if op is not None:
        ops.append(Complete(op))
    return tuple(ops)


WINDOW_NODES: dict[str, Callable[[NodePlace], Ops]] = {
    "Conv": _conv_node,
    "ConvTranspose": _conv_transpose_node,
    "MatMul": _product_node,
    "MaxPool": _max_pool_node,
    "AveragePool": _average_pool_node,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class AcrossChannels(OneSample):
    """A function of all channels of each sample.

    function : of (samples..., channels), returns (samples..., made)
    made : how many channels come out; None: as many as go in
    """

    function: Callable[[Array], Array]
    made: int | None = None

    def output_channels(self, count: int) -> int:
        """Count the channels that come out."""
        return self.made or count

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Apply the function; an output is missing where a channel that it reads is."""
        y = self.function(x)
        return y.astype(x.dtype, copy=False)


def softmax(x: Array) -> Array:
    """The exponentials of the channels, divided by their sum."""
    # Without the largest one the exponentials would overflow.
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    y: Array = powers / powers.sum(axis=-1, keepdims=True)
    return y


def _log_softmax(x: Array) -> Array:
    """The logarithm of the softmax."""
    below = x - x.max(axis=-1, keepdims=True)
    y: Array = below - np.log(np.exp(below).sum(axis=-1, keepdims=True))
    return y


def _largest_channel(x: Array) -> Array:
    """The number of the channel with the largest value, of several the first one."""
    y: Array = np.argmax(x, axis=-1, keepdims=True).astype(x.dtype)
    y[np.isnan(x).any(axis=-1)] = np.nan
    return y


def _root_of_squares(x: Array) -> Any:
    return np.sqrt(np.square(x).sum(axis=-1, keepdims=True))


def _over_channels(reduce: Callable[..., Any]) -> Callable[[Array], Array]:
    return lambda x: reduce(x, axis=-1, keepdims=True)


_REDUCTIONS: dict[str, Callable[[Array], Array]] = {
    "ReduceMean": _over_channels(np.mean),
    "ReduceSum": _over_channels(np.sum),
    "ReduceMax": _over_channels(np.max),
    "ReduceMin": _over_channels(np.min),
    "ReduceL2": _root_of_squares,
}


def _reduction_node(place: NodePlace) -> Ops:
    """One channel for all: their mean, their sum, the largest or the smallest of them."""
    axes = place.constant(1)
    along = place.attribute("axes", ()) if axes is None else axes.ravel()
    of_channels = [int(axis) % (place.axes + 2) for axis in along] == [1]
    if not of_channels:
        raise not_local_error(place.path, place.node)
    if not place.attribute("keepdims", 1):
        raise place.error("what is taken of the channels is known with keepdims=1 alone")
    return (AcrossChannels(function=_REDUCTIONS[place.node.kind], axes=place.axes, made=1),)


def _softmax_node(place: NodePlace) -> Ops:
    """The softmax of the channels, or its logarithm."""
    _check_axis(place, default=-1)
    function = {"Softmax": softmax, "LogSoftmax": _log_softmax}[place.node.kind]
    return (AcrossChannels(function=function, axes=place.axes),)


def _argmax_node(place: NodePlace) -> Ops:
    """The number of the channel with the largest value, as one channel."""
    _check_axis(place, default=0)
    if not place.attribute("keepdims", 1) or place.attribute("select_last_index", 0):
        raise place.error("the number of the largest channel is known with keepdims=1 alone")
    return (AcrossChannels(function=_largest_channel, axes=place.axes, made=1),)


def _check_axis(place: NodePlace, *, default: int) -> None:
    """Raise RequestError for a node that goes along samples."""
    axis = place.attribute("axis", default)
    if axis % (place.axes + 2) != 1:
        raise place.error("goes along samples, not along channels, and sees the whole signal")


def _normalization_node(place: NodePlace) -> Ops:
    """The channels of each sample, less their mean, divided by their deviation."""
    scale, shift = place.vector(1), place.constant(2)
    added = np.zeros(place.channels) if shift is None else place.vector(2)
    least = float(place.attribute("epsilon", 1e-5))

    def normalised(x: Array) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        deviation = np.sqrt(variance + least)
        y: Array = centred / deviation * scale + added
        return y

    return (AcrossChannels(function=normalised, axes=place.axes),)


CHANNEL_NODES: dict[str, Callable[[NodePlace], Ops]] = {
    **dict.fromkeys(_REDUCTIONS, _reduction_node),
    "Softmax": _softmax_node,
    "LogSoftmax": _softmax_node,
    "ArgMax": _argmax_node,
    CHANNEL_NORMALIZATION: _normalization_node,
}


def _no_operation(_: NodePlace) -> Ops:
    return ()


def _cast_node(place: NodePlace) -> Ops:
    """Nothing between types of floating numbers; conditions of what becomes them."""
    from onnx import TensorProto

    kind = place.attribute("to", TensorProto.FLOAT)
    floats = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    if kind == TensorProto.BOOL:
        return place.pointwise(_condition)
    if kind not in floats:
        raise place.error("casts to floating point types and to conditions are known")
    return ()


def _condition(x: Array) -> Array:
    """1 where x is not 0, else 0; NaN where it is missing."""
    return np.where(np.isnan(x), x, (x != 0).astype(x.dtype))


NODES: dict[str, Callable[[NodePlace], Ops]] = {
    **WINDOW_NODES,
    **POINTWISE_NODES,
    **SAMPLE_NODES,
    **CHANNEL_NODES,
    "Cast": _cast_node,
    "Concat": _no_operation,
    "Dropout": _no_operation,
    "Identity": _no_operation,
}


def operations_of(place: NodePlace) -> Ops:
    """The operations of a node with one input that is not a constant.

    Raises RequestError for a node that is not known, or with arguments that are not.
    """
    if place.node.kind not in NODES:
        raise not_local_error(place.path, place.node)
    return NODES[place.node.kind](place)
